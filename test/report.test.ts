/**
 * The report that `unetrpp evaluate` writes, made from drawn hearts and opened in a real browser: on a screen, on a phone, in
 * the dark and on paper. The data set has the labels and cases of a published one, a run, and probabilities.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { identityDirection, type Volume, writeNifti } from '../src/volume/index.ts';
import { hasBrowser, launchBrowser } from './chromium.ts';
import { shell } from './shell.ts';

const folder = mkdtempSync(join(tmpdir(), 'unetrpp-report-'));
const at = (...parts: string[]) => join(folder, ...parts);
const report = at('scores', 'report.html');

// Two of the published test cases, two that the published network was trained on, and one that nobody knows.
const names = [
  'patient001_frame01',
  'patient002_frame01',
  'patient002_frame12',
  'patient004_frame01',
  'patient900_frame01',
];
const shape = [6, 24, 30] as const;

/** Rings around a center: MYO around LV, and RV beside them; scaled by `size`. */
function heart(x: number, size: number): Uint8Array {
  const data = new Uint8Array(shape[0] * shape[1] * shape[2]);
  for (let i = 0; i < data.length; i++) {
    const [row, column] = [Math.floor(i / shape[2]) % shape[1], i % shape[2]];
    const radius = Math.hypot(row - 12, column - x) / size;
    if (radius < 3) data[i] = 3;
    else if (radius < 5) data[i] = 2;
    else if (radius < 8 && column < x) data[i] = 1;
  }
  return data;
}

const grid: Omit<Volume, 'data' | 'channels'> = {
  shape,
  spacing: [2, 2, 8],
  origin: [0, 0, 0],
  direction: identityDirection,
};

function write(path: string, data: Volume['data'], channels = 1): void {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, writeNifti({ ...grid, data, channels }, { gzip: true }));
}

function drawEverything(): void {
  const labels = { background: 0, RV: 1, MYO: 2, LV: 3 };
  for (const [index, name] of names.entries()) {
    const reference = heart(16, 1);
    // The last has no right ventricle in the prediction.
    const predicted = heart(16 + index * 0.7, 1 + index * 0.05).map((label) =>
      index === 4 && label === 1 ? 0 : label,
    );
    write(
      at('set', 'imagesTr', `${name}_0000.nii.gz`),
      Float32Array.from(reference, (label, i) => 60 * label + (i % 17)),
    );
    write(at('set', 'labelsTr', `${name}.nii.gz`), reference);
    write(at('predictions', `${name}.nii.gz`), predicted);
    if (index > 1) continue;
    const probabilities = [0, 1, 2, 3].flatMap((label) =>
      Array.from(predicted, (chosen, i) => (chosen === label ? 0.65 + (i % 4) / 10 : (0.35 - (i % 4) / 10) / 3)),
    );
    write(at('predictions', `${name}_probabilities.nii.gz`), Float32Array.from(probabilities), 4);
  }
  const description = { name: 'ACDC', channel_names: { 0: 'cineMRI' }, labels, numTraining: 5, file_ending: '.nii.gz' };
  writeFileSync(at('set', 'dataset.json'), JSON.stringify(description));
  mkdirSync(at('run'));
  const epochs = [1, 2, 3].map((epoch) => ({
    ...{ kind: 'epoch', epoch, step: 10 * epoch, seconds: 60 * epoch, loss: 1 / epoch, learningRate: 0.01 },
    ...{ examplesPerSecond: 2, waitingShare: 0, memoryBytes: 1e9, dice: { RV: 0.5, MYO: 0.6, LV: 0.7 + epoch / 100 } },
  }));
  const lines = [{ kind: 'event', step: 0, text: 'The run begins.' }, ...epochs].map((line) => JSON.stringify(line));
  writeFileSync(at('run', 'log.jsonl'), `${lines.join('\n')}\n{"kind":"epo`);
}

describe('the report of an evaluation', () => {
  let [out, html] = ['', ''];
  let browser: Browser;
  beforeAll(async () => {
    if (hasBrowser) browser = await launchBrowser([]);
    drawEverything();
    const words = ['-r', at('set', 'labelsTr'), '-p', at('predictions'), '--run', at('run'), '-o', at('scores')];
    const result = await shell('evaluate', ...words, '--pictures', '4');
    expect([result.code, result.err]).toEqual([0, '']);
    out = result.out;
    html = readFileSync(report, 'utf8');
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test('comes with the scores, and with a PNG for each picture', () => {
    expect(out).toContain('report.html, summary.json, scores.csv, evaluation.json, 4 pictures in overlays\n');
    expect(readdirSync(at('scores', 'overlays')).sort()).toEqual(names.slice(1).map((name) => `${name}.png`));
    const png = readFileSync(at('scores', 'overlays', `${names[4]}.png`));
    expect(html).toContain(`src="data:image/png;base64,${png.toString('base64')}"`);
  });

  test('stands beside the published scores, and says what differs', () => {
    expect(html).toContain('Published: README of Amshaker/unetr_plus_plus, table &quot;ACDC&quot; (of the preprint).');
    expect(html).toMatch(/<th scope="row">UNETR\+\+<\/th><td>91\.47<\/td><td>86\.47<\/td><td>94\.25<\/td><td>90\.73</);
    expect(html).toContain(
      'Cases: 2 of the 40 published test cases are scored here, and 3 others, 2 of which the published network was trained on.',
    );
    expect(html).not.toContain('The published HD95');
  });

  test('calibration is counted where there are probabilities, and is in the record too', () => {
    const { calibration } = JSON.parse(readFileSync(at('scores', 'evaluation.json'), 'utf8'));
    expect(calibration.cases).toBe(2);
    expect(calibration.labels.map(({ name }: { name: string }) => name)).toEqual(['RV', 'MYO', 'LV']);
    // Of the chosen class: 0.65 to 0.95 each in a quarter of the voxels.
    const confidences = calibration.chosen.bins.flatMap(
      ({ probability }: { probability: number | null }) => probability ?? [],
    );
    expect(confidences.map((value: number) => Math.round(value * 1000) / 1000)).toEqual([0.65, 0.75, 0.85, 0.95]);
  });

  test('the missed label is said where the case is shown, which is first', () => {
    const first = /<article>[\s\S]*?<\/article>/.exec(html)![0];
    expect(first).toContain(`<span>1</span>${names[4]}`);
    expect(first).toMatch(/RV<\/th><td>0\.000 <small>missed<\/small><\/td>/);
  });

  test.each([
    ['--images', 'nowhere', 'There is no folder'],
    ['--images', 'run', 'has no image of the cases (patient001_frame01 is one of them)'],
    ['--run', 'set', 'holds no log.jsonl'],
    ['--model', 'set', 'model.json'],
  ])('%s %s is refused in a sentence, before anything is scored or written', async (option, name, sentence) => {
    const words = ['-r', at('set', 'labelsTr'), '-p', at('predictions'), option, at(name), '-o', at('none')];
    const { code, out: said, err } = await shell('evaluate', ...words);
    expect([code, said]).toEqual([2, '']);
    expect(err).toContain(sentence);
    expect(readdirSync(folder)).not.toContain('none');
  });

  describe.skipIf(!hasBrowser)('in a browser', () => {
    /** Opens the page, and keeps what it complains of and what it asks for besides itself. */
    async function opened(options: Parameters<Browser['newPage']>[0]): Promise<{ page: Page; seen: string[] }> {
      const page = await browser.newPage(options);
      const seen: string[] = [];
      page.on('console', (message) => seen.push(message.text()));
      page.on('request', (request) => seen.push(request.url()));
      await page.goto(pathToFileURL(report).href);
      return { page, seen };
    }
    /** What sticks out of the page to the right, but for what can be scrolled in its own frame. */
    const overflowing = (page: Page) =>
      page.evaluate(`[...document.querySelectorAll('body *')]
        .filter((each) => !each.closest('.table') && each.getBoundingClientRect().right > innerWidth + 0.5)
        .map((each) => each.outerHTML.slice(0, 80))`);

    test.each([
      ['a screen', 1280],
      ['a tablet', 800],
      ['a phone', 390],
    ])('on %s nothing sticks out, every picture is there, and nothing is fetched', async (_, width) => {
      const { page, seen } = await opened({ viewport: { width, height: 800 } });
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
      expect(await overflowing(page)).toEqual([]);
      const images = await page.evaluate(
        '[...document.images].map((each) => each.complete && each.naturalWidth === Number(each.getAttribute("width")))',
      );
      expect(images).toEqual([true, true, true, true]);
      // Four box plots, the four curves of the run, the reliability diagram.
      expect(await page.locator('figure > svg:visible').count()).toBe(4 + 4 + 1);
      expect(await page.locator('nav a').count()).toBe(await page.locator('section[id]').count());
      expect(seen.filter((each) => !each.startsWith('data:'))).toEqual([pathToFileURL(report).href]);
      await page.close();
    });

    test('a phone shows scores without columns, each with its name', async () => {
      const { page } = await opened({ viewport: { width: 390, height: 800 } });
      const tables = page.locator('.scores').first();
      expect(await tables.evaluate((table) => table.scrollWidth <= table.clientWidth)).toBe(true);
      const name = await tables
        .locator('td')
        .first()
        .evaluate((cell) => getComputedStyle(cell, '::before').content);
      expect(name).toBe('"Dice"');
      await page.close();
    });

    test('it is dark where the reader’s screen is, and always light on paper', async () => {
      const { page } = await opened({ colorScheme: 'dark', viewport: { width: 1280, height: 800 } });
      const background = () => page.evaluate('getComputedStyle(document.body).backgroundColor');
      expect(await background()).toBe('rgb(20, 23, 27)');
      await page.emulateMedia({ media: 'print' });
      expect(await background()).toBe('rgb(255, 255, 255)');
      await page.close();
    });

    test('it prints: no card is cut, and what is folded away on the screen is on paper', async () => {
      const { page } = await opened({ viewport: { width: 680, height: 1000 } });
      await page.emulateMedia({ media: 'print' });
      expect(await overflowing(page)).toEqual([]);
      expect(
        await page
          .locator('article')
          .first()
          .evaluate((card) => getComputedStyle(card).breakInside),
      ).toBe('avoid');
      const hashes = page.locator('.hashes code').first();
      expect(await hashes.evaluate((each) => each.getBoundingClientRect().height)).toBeGreaterThan(0);
      const pdf = (await page.pdf({ format: 'A4' })).toString('latin1');
      expect(pdf.startsWith('%PDF-')).toBe(true);
      const pages = Number(/\/Type \/Pages[\s\S]*?\/Count (\d+)/.exec(pdf)![1]);
      expect(pages).toBeGreaterThanOrEqual(2);
      expect(pages).toBeLessThanOrEqual(6);
      await page.close();
    });
  });
});
