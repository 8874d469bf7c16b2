import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hasBrowser, launchBrowser } from '../../test/chromium.ts';
import { identityDirection, type Volume } from '../volume/volume.ts';
import {
  type EvaluatedLabel,
  type Evaluation,
  type EvaluationSettings,
  evaluateCases,
  scoreCase,
} from './evaluation.ts';
import { labelColors, labelsWorstFirst, reportPage } from './report.ts';

/** A row of voxels. */
function row(text: string): Volume {
  return {
    data: Uint8Array.from(text.replaceAll('.', '0'), Number),
    channels: 1,
    shape: [1, 1, text.length],
    spacing: [1, 1, 1],
    origin: [0, 0, 0],
    direction: identityDirection,
  };
}

const two: readonly EvaluatedLabel[] = [
  { name: 'one', values: [1] },
  { name: 'two', values: [2] },
];

function evaluated(
  masks: Readonly<Record<string, readonly [reference: string, prediction: string]>>,
  settings: Partial<EvaluationSettings> = {},
): Evaluation {
  const all = { labels: two, ...settings };
  const cases = Object.entries(masks).map(([name, [reference, prediction]]) =>
    scoreCase(name, row(reference), row(prediction), all),
  );
  return evaluateCases(cases, all, { resamples: 50 });
}

const three = evaluated({ good: ['1122', '1122'], bad: ['1122', '..22'], middling: ['1122', '1.22'] });
const text = (html: string) =>
  html
    .replace(/<style>.*<\/style>/s, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ');

describe('reportPage', () => {
  const page = reportPage({ title: 'Drawn', evaluation: three });

  test('says in a sentence what came out', () => {
    // Label one has 1, 0, 2/3 and label two 1, 1, 1.
    expect(text(page)).toMatch(
      /3 cases, 2 labels\. The mean Dice is 0\.778 \(95 % interval .{5} to .{5}\)\. Half of the cases are better than 0\.833; the worst is bad, with 0\.500\./,
    );
  });

  test('lists cases from worst to best, with their worst label', () => {
    expect([...page.matchAll(/<span>(\d)<\/span>(\w+)<\/th><td>([\d.]+)</g)].map(([, ...each]) => each)).toEqual([
      ['1', 'bad', '0.500'],
      ['2', 'middling', '0.833'],
      ['3', 'good', '1.000'],
    ]);
    expect(page).toContain('<td>one 0.000</td>');
    expect(labelsWorstFirst(three, three.cases[2])).toEqual([0, 1]);
  });

  test('says whose distances these are, and what empty masks scored', () => {
    expect(text(page)).toContain(
      'Distances in mm as medpy defines them, NSD within 1 mm. Empty masks (--empty penalize): 1 missed and 0 invented count as Dice 0 and the diagonal of the image',
    );
    const paper = reportPage({ title: 'Drawn', evaluation: evaluated({ a: ['11', '..'] }, { convention: 'unetrpp' }) });
    expect(text(paper)).toContain('Distances in voxels as unetrpp defines them');
    expect(text(paper)).toContain('as distance 0, the best there is');
  });

  test('distances that a rule made are counted beside the box plot, not drawn in it', () => {
    expect(page).toContain('>one (and 1 by rule)</text>');
    const plot = /<figcaption>HD95[\s\S]*?<\/figure>/.exec(page)![0];
    expect([...plot.matchAll(/<title>(\w+): /g)].map(([, name]) => name)).toEqual([
      ...['good', 'middling'],
      ...['good', 'bad', 'middling'],
    ]);
    expect(/<figcaption>Dice[\s\S]*?<\/figure>/.exec(page)![0]).toContain('<title>bad: 0</title>');
  });

  test('has no section for what it was not given, and a link to each that it has', () => {
    const links = [...page.matchAll(/<a href="#(\w+)">/g)].map(([, id]) => id);
    expect(links).toEqual(['scores', 'spread', 'cases', 'made']);
    expect([...page.matchAll(/<section id="(\w+)">/g)].map(([, id]) => id)).toEqual(links);
  });

  test('one metric, one case and labels that nobody has leave no hole', () => {
    // Percentile 95 of the distances 0, and 0 and 1.
    const evaluation = evaluated({ only: ['11', '1.'] }, { metrics: ['hd95'] });
    const html = reportPage({ title: 'Drawn', evaluation });
    expect(text(html)).toContain('1 case, 2 labels. The mean HD95 is 0.90 mm.');
    expect(text(html)).not.toMatch(/NaN|undefined|null|Infinity/);
    const nothing = reportPage({ title: 'Drawn', evaluation: evaluated({ only: ['..', '..'] }) });
    expect(text(nothing)).toContain('No case has a value of Dice.');
    expect(text(nothing)).not.toMatch(/NaN|undefined|null|Infinity/);
  });

  test('published scores in percent, with the own ones below them', () => {
    const published = {
      title: 'Drawings',
      source: 'a <table>',
      evaluated: two,
      rows: [{ method: 'A & B', dice: { one: 90, two: 80.5 }, meanDice: 85.25, hd95: 7.5 }],
      differences: ['Other cases.'],
    };
    const html = reportPage({ title: 'Drawn', evaluation: three, published });
    expect(html).toContain('<th scope="row">A &amp; B</th><td>90.00</td><td>80.50</td><td>85.25</td><td>7.50</td>');
    // Mean of labels of 5/9 and 1, by 100.
    expect(html).toMatch(/This evaluation<\/th><td>55\.56<\/td><td>100\.00<\/td><td>77\.78<\/td><td>[\d.]+<\/td>/);
    expect(text(html)).toContain('Published: a &lt;table&gt;.');
    const other = evaluated({ a: ['11', '11'] }, { labels: [two[0]] });
    expect(reportPage({ title: 'Drawn', evaluation: other, published })).toMatch(
      /This evaluation<\/th><td>100\.00<\/td><td>–<\/td><td>–<\/td>/,
    );
  });
});

test('a region has the color of what is seen of it', () => {
  const regions = [{ values: [1, 2, 3] }, { values: [2, 3] }, { values: [3] }];
  const single = [{ values: [1] }, { values: [2] }, { values: [3] }];
  expect(labelColors(regions)).toEqual(labelColors(single));
  expect(new Set(labelColors(single)).size).toBe(3);
});

describe.skipIf(!hasBrowser)('in a browser', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchBrowser([]);
  });
  afterAll(() => browser?.close());

  test('names and texts are shown, never obeyed, and the longest do not widen a phone’s page', async () => {
    const evil = `<script>document.title = 'obeyed'</script>"' ${'long'.repeat(40)}`;
    const labels = Array.from({ length: 13 }, (_, i) => ({ name: `${evil}${i}`, values: [i + 1] }));
    const html = reportPage({
      title: evil,
      evaluation: evaluated({ [evil]: ['1122', '1.22'], [`${evil}2`]: ['1122', '1122'] }, { labels }),
      notices: [evil],
      training: { about: evil, charts: [{ title: evil, curves: [{ name: evil, points: [{ x: 1, y: 1 }] }] }] },
      made: [{ title: evil, facts: [[evil, evil]] }],
    });
    const page = await browser.newPage({ viewport: { width: 390, height: 800 } });
    await page.setContent(html);
    expect(await page.locator('script').count()).toBe(0);
    expect(await page.title()).toBe(`${evil}: segmentation report`);
    expect(await page.locator('h1').textContent()).toBe(evil);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390);
    await page.close();
  });
});
