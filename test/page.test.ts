/**
 * The page in a real browser, driven as a user would; its training is in trainingPage.test.ts. Needs Chromium; without it the tests are skipped, and say so.
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openModel, readVolumeFile, segment } from '../src/index.node.ts';
import { labelVolumes, readNifti, stackChannels } from '../src/volume/index.ts';
import { type BuiltPage, openBuiltPage } from './builtPage.ts';
import { tinyScan, writeScan, writeTinyBundle } from './bundle.ts';
import { contentType, hasBrowser, listening } from './chromium.ts';
import { drawnSlice } from './drawnDicom.ts';
import { hasShared, sharedPath } from './shared.ts';

const file = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const examplePath = file('examples/hippocampus_319.nii.gz');

describe.skipIf(!hasBrowser)('the page', () => {
  const folder = mkdtempSync(join(tmpdir(), 'unetrpp-page-'));
  const built = join(folder, 'built');
  const written = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  let opened: BuiltPage;
  let page: Page;

  beforeAll(async () => {
    opened = await openBuiltPage(built);
    page = opened.page;
  });

  afterAll(async () => {
    await opened?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const drop: BuiltPage['drop'] = (...paths) => opened.drop(...paths);
  const shown: BuiltPage['shown'] = (selector) => opened.shown(selector);

  test('says that it is no medical device, and that the scan stays', async () => {
    expect(await shown('footer')).toMatch(/not a medical device.*stays in this browser/is);
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
  });

  test('a file that is no scan is named, with the reason', async () => {
    await drop(written('notes.txt', 'These are notes, and no scan at all.'));
    await page.locator('#failure').waitFor();
    expect(await shown('#failure-title')).toBe('notes.txt could not be read');
    expect(await shown('#failure-text')).toContain('notes.txt');
    expect(await page.locator('#start').isVisible()).toBe(true);
    await page.locator('#failure-close').click();
  });

  test('half a model is refused with a sentence that says what is missing', async () => {
    await drop(written('model.json', '{}'));
    await page.locator('#failure').waitFor();
    expect(await shown('#failure-text')).toContain('model.json came without weights.safetensors');
    await page.locator('#failure-close').click();
  });

  test('the example is read, and what will be run is said before', async () => {
    await page.locator('#take-example').click();
    await page.locator('#run:enabled').waitFor();
    await page.getByText('Needs about').waitFor();
    expect(await shown('#stage-title')).toBe('hippocampus_319');
    expect(await shown('#scan-facts')).toBe('NIfTI-1, 33 × 48 × 34 voxels of 1 × 1 × 1 mm');
    expect(await shown('#model-name')).toBe('hippocampus');
    expect(await shown('#model-labels')).toMatch(/Anterior.*Posterior/);
    expect(await shown('#slice-2-at')).toBe('18 of 34');
    expect(await page.locator('#failure').isVisible()).toBe(false);
  });

  test('what cannot be read leaves the scan that is there', async () => {
    await drop(written('notes.txt', 'These are notes, and no scan at all.'));
    await page.locator('#failure').waitFor();
    expect(await shown('#failure-title')).toBe('notes.txt could not be read');
    expect(await shown('#stage-title')).toBe('hippocampus_319');
    expect(await page.locator('#run').isEnabled()).toBe(true);
    await page.locator('#failure-close').click();
  });

  test('a dropped folder is walked through: here a model with its card, and a scan', async () => {
    const given = join(folder, 'given');
    cpSync(file('models/hippocampus'), join(given, 'my model'), { recursive: true });
    cpSync(file('examples/hippocampus_099.nii.gz'), join(given, 'scans', 'hippocampus_099.nii.gz'));
    await drop(given);
    await page.locator('#stage-title', { hasText: 'hippocampus_099' }).waitFor();
    await page.locator('#shipped-model').waitFor();
    await page.locator('#run:enabled').waitFor();
    await page.locator('#start-over').click();
    await page.locator('#start-model', { hasText: 'The model hippocampus is loaded' }).waitFor();
    await page.locator('#take-example').click();
    await page.locator('#run:enabled').waitFor();
  });

  test('a run can be cancelled, and another one started', async () => {
    await page.locator('summary:visible', { hasText: 'Options' }).click();
    await page.locator('#mirror').check();
    await page.locator('#run').click();
    await page.locator('#progress-text', { hasText: 'Tile' }).waitFor();
    await page.locator('#cancel').click();
    await page.locator('#run:visible:enabled').waitFor();
    expect(await shown('#status')).toBe('The run is cancelled');
    expect(await page.locator('#result').isVisible()).toBe(false);
    await page.locator('#mirror').uncheck();
  });

  test('the mask is that of the library in Node, and is kept in the geometry of the scan', async () => {
    await page.locator('#run').click();
    await page.locator('#result').waitFor({ timeout: 60_000 });
    const [downloaded] = await Promise.all([page.waitForEvent('download'), page.locator('#download').click()]);
    expect(downloaded.suggestedFilename()).toBe('hippocampus_319_mask.nii.gz');
    const mask = readNifti(new Uint8Array(readFileSync(await downloaded.path())));

    const scan = await readVolumeFile(examplePath);
    const model = await openModel(file('models/hippocampus'));
    const { labels } = await segment(model, scan.volume);
    const expected = labelVolumes(labels);
    const found = labelVolumes({ ...mask.volume, labels: model.labels });
    expect(found.map(({ name }) => name)).toEqual(['Anterior', 'Posterior']);
    found.forEach(({ volumeMl }, index) => {
      expect(Math.abs(volumeMl - expected[index].volumeMl)).toBeLessThan(0.02);
    });
    const { shape, spacing, origin, direction } = scan.volume;
    expect(mask.volume).toMatchObject({ shape, spacing, origin, direction });

    const cells = await page.locator('#volumes').locator('th, td').allTextContents();
    expect(cells).toEqual(
      found.flatMap(({ name, volumeMl, voxels }) => [name, volumeMl.toFixed(2), voxels.toLocaleString('en')]),
    );
  });

  test('the picture shows the scan in gray and each structure in its color', async () => {
    await page.locator('#opacity').fill('100');
    const picture = await page.locator('#canvas').screenshot();
    const colors = await page.evaluate(async (base64) => {
      const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${base64}`)).blob());
      const context = new OffscreenCanvas(image.width, image.height).getContext('2d')!;
      context.drawImage(image, 0, 0);
      const { data } = context.getImageData(0, 0, image.width, image.height);
      const count = { gray: 0, orange: 0, blue: 0 };
      for (let at = 0; at < data.length; at += 4) {
        const [r, g, b] = data.subarray(at, at + 3);
        if (r === g && g === b && r > 60) count.gray++;
        if (Math.abs(r - 230) < 3 && Math.abs(g - 120) < 3 && b < 3) count.orange++;
        if (Math.abs(r - 86) < 3 && Math.abs(g - 180) < 3 && Math.abs(b - 233) < 3) count.blue++;
      }
      return count;
    }, picture.toString('base64'));
    expect(colors.gray).toBeGreaterThan(10_000);
    expect(colors.orange).toBeGreaterThan(1000);
    expect(colors.blue).toBeGreaterThan(500);
  });

  test('of a folder with two DICOM series the longer one is shown, and the other can be', async () => {
    const given = join(folder, 'study');
    mkdirSync(given);
    const drawn = (series: number, slice: number, size: [number, number]) => {
      const position = `0\\0\\${2 * slice}`;
      const bytes = drawnSlice({ seriesUid: `1.2.${series}`, instanceNumber: slice + 1, size, position });
      writeFileSync(join(given, `IM${series}${slice}`), bytes);
    };
    for (const slice of [0, 1]) drawn(1, slice, [4, 4]);
    for (const slice of [0, 1, 2]) drawn(2, slice, [6, 5]);
    await drop(given);
    await page.locator('#scan-facts', { hasText: /6 × 5 × 3 voxels of 0.7 × 0.5 × 2 mm/ }).waitFor();
    expect(await shown('#stage-title')).toBe('study');
    expect(await page.locator('#series option').allTextContents()).toEqual([
      '1: CT, 4 × 4 × 2, 0.7 × 0.5 × 2 mm',
      '2: CT, 6 × 5 × 3, 0.7 × 0.5 × 2 mm',
    ]);
    await page.locator('#series').selectOption('1');
    await page.locator('#scan-facts', { hasText: '4 × 4 × 2 voxels' }).waitFor();
  });

  test.skipIf(!hasShared)('a folder of compressed DICOM slices is decoded in the worker', async () => {
    await drop(sharedPath('data', 'dicom', 'ct_j2k_empty_uids'));
    await page.locator('#scan-facts', { hasText: /^DICOM, .* × 20 voxels/ }).waitFor();
    expect(await page.locator('#series-field').isVisible()).toBe(false);
  });

  test('a model of two channels takes two files, in an order that can be changed', async () => {
    const bundle = await writeTinyBundle(join(folder, 'two channels'), 2);
    const data = Float32Array.from(tinyScan.data, (value, at) => (at * value) % 57);
    const paths = [writeScan(join(folder, 'tiny_0000.nii.gz')), writeScan(join(folder, 'tiny_0001.nii.gz'), { data })];
    await drop(bundle, ...paths);
    await page.locator('#scan-facts', { hasText: '2 channels' }).waitFor();
    await page.locator('#channels select').first().selectOption({ label: 'tiny_0001.nii.gz' });
    await expect
      .poll(() => page.locator('#channels option:checked').allTextContents())
      .toEqual(['tiny_0001.nii.gz', 'tiny_0000.nii.gz']);
    await page.locator('#run:enabled').click();
    await page.locator('#result').waitFor();

    const volumes = await Promise.all(paths.reverse().map(async (path) => (await readVolumeFile(path)).volume));
    const scan = stackChannels(
      volumes.map((volume, channel) => ({ volume, name: String(channel) })),
      'tiny',
    );
    const { labels } = await segment(await openModel(bundle), scan);
    expect(await page.locator('#volumes').locator('th, td').allTextContents()).toEqual(
      labelVolumes(labels).flatMap(({ name, volumeMl, voxels }) => [name, volumeMl.toFixed(2), String(voxels)]),
    );
  });

  test('starting over clears scan and result', async () => {
    await page.locator('#start-over').click();
    expect(await page.locator('#start').isVisible()).toBe(true);
    expect(await page.locator('#bench').isVisible()).toBe(false);
  });

  test('nothing was asked of another server, and nothing went wrong unseen', () => {
    expect(opened.outside).toEqual([]);
    expect(opened.complaints).toEqual([]);
  });

  /** Tries to reach a server that would answer, from the page and from its worker. */
  async function expectBarred(): Promise<void> {
    let asked = 0;
    const other = await listening((_request, response) => {
      asked++;
      response.writeHead(200, { 'Access-Control-Allow-Origin': '*', 'Cross-Origin-Resource-Policy': 'cross-origin' });
      response.end('reached');
    });
    const reach = (url: string) =>
      fetch(url).then(
        (response) => response.text(),
        () => 'barred',
      );
    expect(await reach(other.url)).toBe('reached');
    expect(await page.evaluate(reach, other.url)).toBe('barred');
    expect(page.workers().length).toBeGreaterThan(0);
    expect(await page.workers()[0].evaluate(reach, other.url)).toBe('barred');
    expect(asked).toBe(1);
    await other.close();
  }

  test('neither the page nor its worker can reach another server', async () => {
    await expectBarred();
  });

  test('works in a subfolder of a server that sends no headers, with one thread, and says so', async () => {
    const plain = await listening((request, response) => {
      const path = new URL(request.url ?? '', 'http://localhost').pathname.replace('/some/folder/', '') || 'index.html';
      response.setHeader('Content-Type', contentType(path));
      response.end(readFileSync(join(built, path)));
    });
    await page.goto(`${plain.url}some/folder/`);
    await page.locator('#take-example').click();
    await page.locator('#run:enabled').click();
    await page.locator('#result').waitFor({ timeout: 60_000 });
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(false);
    expect(await shown('#thread-note')).toMatch(/^One thread/);
    expect(await shown('#result-facts')).toMatch(/s on CPU \(WebAssembly, 1 thread\)$/);
    await expectBarred();
    await plain.close();
  });
});
