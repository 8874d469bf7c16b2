import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hasBrowser, launchBrowser } from '../../test/chromium.ts';
import { progressPage } from './progressPage.ts';
import type { EpochRecord } from './run.ts';

const about = { title: 'hippocampus, fold 0', lines: ['UNETR++, 200 cases'], running: true };

function epoch(number: number, more: Partial<EpochRecord> = {}): EpochRecord {
  return {
    epoch: number,
    step: 250 * number,
    seconds: 90 * number,
    loss: 1 / number,
    learningRate: 0.01,
    examplesPerSecond: 2.5,
    waitingShare: 0.125,
    memoryBytes: 3 * 2 ** 30,
    ...more,
  };
}

/** The names of elements that are opened, when every one is closed in its turn; throws at the first that is not. */
function elements(page: string): string[] {
  const found: string[] = [];
  const open: string[] = [];
  const rest = page.replace(
    /<(\/?)([a-z][a-z0-9]*)((?:\s+[a-zA-Z:-]+="[^"<>&]*(?:&(?:amp|lt|gt|quot|#39);[^"<>&]*)*")*)\s*(\/?)>/g,
    (_, closing, name, _attributes, empty) => {
      if (closing) expect(open.pop()).toBe(name);
      else found.push(name);
      if (!closing && !empty) open.push(name);
      return '';
    },
  );
  expect(open).toEqual([]);
  expect(rest.replace('<!DOCTYPE html>', '').replace(/<\/?(style)>/g, '')).not.toMatch(/[<]/);
  return found;
}

/** How often a name is in the page's elements. */
const count = (page: string, name: string) => elements(page).filter((each) => each === name).length;

/** Paths of the curves of one chart. */
function curves(page: string, title: string): string[] {
  const chart = page.split('<figure>').find((part) => part.includes(`<figcaption>${title}`));
  const drawn = chart?.split('</svg>')[0] ?? '';
  return [...drawn.matchAll(/class="curve" d="([^"]*)"/g)].map(([, path]) => path);
}

describe('progressPage', () => {
  test('is well-formed: with no epoch, one, and many, with and without validation', () => {
    const many = Array.from({ length: 60 }, (_, i) => epoch(i + 1, i % 2 ? { dice: { anterior: i / 60 } } : {}));
    for (const records of [[], [epoch(1)], many]) expect(count(progressPage(records, about), 'html')).toBe(1);
  });

  test('refers to nothing outside of itself, and holds no script', () => {
    const page = progressPage([epoch(1), epoch(2, { dice: { anterior: 0.5 } })], about);
    expect(page).not.toMatch(/https?:|\/\/[a-z]|url\(|@import|<script|src=/i);
    expect([...page.matchAll(/href="([^"]*)"/g)].map(([, target]) => target)).toEqual(['data:,']);
    expect(page).toContain(`default-src 'none'`);
  });

  test('names and texts are shown, never obeyed', () => {
    const evil = `<script>alert("1")</script>&'`;
    const shown = '&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;';
    const page = progressPage([epoch(1, { dice: { [evil]: 0.5 } })], { title: evil, lines: [evil], running: false });
    expect(elements(page)).not.toContain('script');
    expect(page).toContain(`<title>${shown}</title>`);
    expect(page).toContain(`<h1>${shown}</h1>\n<p>${shown}</p>`);
    expect(page).toContain(`<th scope="col">${shown}</th>`);
    expect(page).toContain(`<title>${shown}, epoch 1: 0.5</title>`);
    expect(progressPage([], { ...about, title: 'a\u0000b\u001bc' })).toContain('<h1>a\ufffdb\ufffdc</h1>');
  });

  test('before the first epoch it says so, and draws nothing', () => {
    const page = progressPage([], about);
    expect(page).toContain('No epoch is complete yet.');
    expect([count(page, 'svg'), count(page, 'table')]).toEqual([0, 0]);
  });

  test('one epoch is a dot in each chart, and there is no chart of Dice without validation', () => {
    const page = progressPage([epoch(1)], about);
    expect(count(page, 'figure')).toBe(3);
    expect(count(page, 'circle')).toBe(3);
    expect(page).not.toContain('Dice');
    expect(page).not.toMatch(/NaN|undefined|Infinity/);
  });

  test('a curve goes from the left edge to the right, and up where values rise', () => {
    const page = progressPage([epoch(1, { loss: 0 }), epoch(2, { loss: 1 }), epoch(3, { loss: 0.5 })], about);
    // 54 to 408 across; 0 at the bottom, 186, and 1 at the top, 10.
    expect(curves(page, 'Loss')).toEqual(['M54 186L231 10L408 98']);
  });

  test('a label has its own curve over the epochs that validated it, interrupted where there is no number', () => {
    const page = progressPage(
      [
        epoch(1, { dice: { a: 0, b: 1 } }),
        epoch(2),
        epoch(3, { dice: { a: Number.NaN, b: 1 } }),
        epoch(4, { dice: { a: 0.5, b: 1 } }),
        epoch(5, { dice: { a: 1, b: 1 } }),
      ],
      about,
    );
    expect(curves(page, 'Dice')).toEqual(['M54 186M319.5 98L408 10', 'M54 10L231 10L319.5 10L408 10']);
    expect(page).toContain('<dt>best mean Dice</dt><dd>1 (epoch 3)</dd>');
  });

  test('a loss that is no number is a gap and a dash', () => {
    const page = progressPage([epoch(1), epoch(2, { loss: Number.NaN }), epoch(3)], about);
    expect(curves(page, 'Loss')[0].match(/M/g)).toHaveLength(2);
    expect(page).not.toContain('NaN');
  });

  test('the table has the latest twenty epochs, the last one first', () => {
    const page = progressPage(
      Array.from({ length: 30 }, (_, i) => epoch(i + 1, { dice: { a: 0.25, b: 0.75 } })),
      about,
    );
    const rows = page.split('<tbody>')[1].split('<tr>').slice(1);
    expect(rows).toHaveLength(20);
    const cells = [...rows[0].matchAll(/<td>([^<]*)<\/td>/g)].map(([, cell]) => cell);
    expect(cells).toEqual([
      '30',
      '7500',
      '45 min',
      '0.0333',
      '0.01',
      '2.50',
      '13 %',
      '3.0 GiB',
      '0.500',
      '0.250',
      '0.750',
    ]);
    expect(rows[19]).toContain('<td>11</td>');
  });

  test('only a run at work asks to be read again', () => {
    expect(progressPage([], about)).toContain('<meta http-equiv="refresh" content="30" />');
    const ended = progressPage([], { ...about, running: false });
    expect(ended).not.toContain('http-equiv="refresh"');
    expect(ended).toContain('The run has ended.');
  });
});

describe.skipIf(!hasBrowser)('in a browser', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchBrowser([]);
  });
  afterAll(() => browser?.close());

  test('a phone shows it without scrolling sideways, and nothing is complained of or fetched', async () => {
    const labels = Object.fromEntries(Array.from({ length: 13 }, (_, i) => [`right adrenal gland ${i}`, i / 13]));
    const html = progressPage(
      Array.from({ length: 50 }, (_, i) => epoch(i + 1, { dice: labels })),
      { title: 'a'.repeat(200), lines: ['b'.repeat(200)], running: false },
    );
    const page = await browser.newPage({ viewport: { width: 390, height: 800 } });
    const seen: string[] = [];
    page.on('console', (message) => seen.push(message.text()));
    page.on('request', (request) => seen.push(request.url()));
    await page.setContent(html);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390);
    expect(await page.locator('figure > svg').count()).toBe(4);
    // What the browser understands is what was written: the same elements.
    expect(await page.evaluate('document.querySelectorAll("*").length')).toBe(elements(html).length);
    expect(seen.filter((each) => !each.startsWith('data:'))).toEqual([]);
    await page.close();
  });
});
