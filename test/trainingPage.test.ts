/** The page fine-tunes a tiny bundle on two drawn labelled scans, in a real browser, driven as a user would. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unzipSync } from 'fflate';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel, type Model, openModel, readVolumeFile, segment } from '../src/index.node.ts';
import { labelVolumes, type Volume, writeNifti } from '../src/volume/index.ts';
import { type BuiltPage, openBuiltPage } from './builtPage.ts';
import { writeTinyBundle } from './bundle.ts';
import { hasBrowser } from './chromium.ts';
import { drawnLabelledScan } from './drawnLabels.ts';

describe.skipIf(!hasBrowser)('the page, training', () => {
  const folder = mkdtempSync(join(tmpdir(), 'unetrpp-training-page-'));
  let opened: BuiltPage;
  let page: Page;
  let bundle: string;
  let saved: Model;

  beforeAll(async () => {
    opened = await openBuiltPage(join(folder, 'built'));
    page = opened.page;
    bundle = await writeTinyBundle(join(folder, 'tiny'));
  });

  afterAll(async () => {
    await opened?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const drop: BuiltPage['drop'] = (...paths) => opened.drop(...paths);
  const shown: BuiltPage['shown'] = (selector) => opened.shown(selector);

  const write = (name: string, volume: Volume) => {
    writeFileSync(join(folder, name), writeNifti(volume, { gzip: name.endsWith('.gz') }));
    return join(folder, name);
  };
  /** The two files of a drawn case, as nnU-Net names them. */
  const writtenCase = (name: string, index: number, changes: Partial<Volume> = {}) => {
    const { image, labels } = drawnLabelledScan(index);
    return [write(`${name}_0000.nii.gz`, image), write(`${name}.nii.gz`, { ...labels, ...changes })];
  };

  const refusal = async (...paths: string[]) => {
    await drop(...paths);
    await page.locator('#failure').waitFor();
    expect(await shown('#failure-title')).toBe('These labelled scans were not taken');
    const words = await shown('#failure-text');
    await page.locator('#failure-close').click();
    return words;
  };

  test('labelled scans with a model lead to training, and what they hold is shown', async () => {
    await drop(bundle, ...writtenCase('box 1', 0), ...writtenCase('box 2', 1));
    await page.locator('#train:enabled').waitFor();
    await page.locator('#training-memory', { hasText: 'Needs about' }).waitFor();
    expect(await shown('#training-facts')).toBe('2 labelled scans');
    expect(await page.locator('#case-rows').locator('th, td').allTextContents()).toEqual(
      ['box 1', 'box 2'].flatMap((name) => [name, '16 × 14 × 12', 'stripesdots']),
    );
    expect(await shown('#model-name')).toBe('tiny');
  });

  test('what cannot be trained on is refused in a sentence, and the scans before stay', async () => {
    const [image] = writtenCase('alone', 0);
    expect(await refusal(image)).toContain(
      'The image alone_0000.nii.gz has no label map; give alone_mask.nii.gz with it',
    );
    const { data } = drawnLabelledScan(0).labels;
    expect(await refusal(...writtenCase('unknown', 0, { data: data.map((value) => 3 * value) }))).toContain(
      'The label map of unknown holds the value 3 at 315 voxels, and the model tiny declares 0, 1, 2; correct the label map',
    );
    expect(await refusal(...writtenCase('turned', 0, { shape: [14, 12, 16] }))).toContain(
      'The label map of turned has 14x12x16 voxels (z, y, x) and its image 12x14x16',
    );
    expect(await shown('#training-facts')).toBe('2 labelled scans');
    expect(await page.locator('#train').isEnabled()).toBe(true);
  });

  test('a case without foreground is refused when training begins', async () => {
    const other = join(folder, 'other');
    mkdirSync(other);
    await drop(...writtenCase('other/empty', 0, { data: new Uint8Array(12 * 14 * 16) }));
    await page.locator('#case-rows', { hasText: 'nothing labelled' }).waitFor();
    await page.locator('#train:enabled').click();
    await page.locator('#failure').waitFor();
    expect(await shown('#failure-title')).toBe('The model could not be trained');
    expect(await shown('#failure-text')).toContain(
      'The label map of empty has no foreground: every voxel is background',
    );
    await page.locator('#failure-close').click();
    await page.locator('#train:visible').waitFor();
    await drop(...writtenCase('box 1', 0), ...writtenCase('box 2', 1));
    await page.locator('#training-facts', { hasText: '2 labelled scans' }).waitFor();
  });

  test('a training can be stopped, and what was learned is kept', async () => {
    await page.locator('#steps').fill('5000');
    await page.locator('#train:enabled').click();
    await page.locator('#training-text', { hasText: /^Step [2-9]/ }).waitFor();
    await page.locator('#stop').click();
    await page.locator('#tuned').waitFor();
    expect(await shown('#tuned-facts')).toMatch(/^[1-9]\d* steps\. /);
    expect(await shown('#model-name')).toBe('tiny fine-tuned');
    // Back to where it began.
    await drop(bundle);
    await page.locator('#model-name', { hasText: /^tiny$/ }).waitFor();
    await page.locator('#tuned').waitFor({ state: 'hidden' });
    await page.locator('#train:enabled').waitFor();
  });

  test('the loss falls, drawn step by step', async () => {
    await page.locator('#steps').fill('60');
    await page.locator('summary:visible', { hasText: 'Options' }).click();
    await page.locator('#rate').fill('0.03');
    await page.locator('#train').click();
    await page.locator('#tuned').waitFor();
    const heights = await page
      .locator('#curve .smooth')
      .evaluate((path) => [...path.getAttribute('d')!.matchAll(/[ML][\d.]+ ([\d.]+)/g)].map(([, y]) => Number(y)));
    expect(heights).toHaveLength(60);
    // Down is larger.
    expect(heights[59]).toBeGreaterThan(heights[0] + 50);
    expect(await shown('#tuned-facts')).toBe('60 steps. The page segments with it from now on.');
  });

  test('the bundle that is saved is a model, with where it comes from', async () => {
    const [downloaded] = await Promise.all([page.waitForEvent('download'), page.locator('#save-bundle').click()]);
    expect(downloaded.suggestedFilename()).toBe('tiny-fine-tuned.zip');
    const files = unzipSync(new Uint8Array(readFileSync(await downloaded.path())));
    expect(Object.keys(files).sort()).toEqual(['tiny-fine-tuned/model.json', 'tiny-fine-tuned/weights.safetensors']);
    saved = await loadModel({
      manifest: files['tiny-fine-tuned/model.json'],
      weights: files['tiny-fine-tuned/weights.safetensors'],
    });
    expect(saved.manifest.provenance).toMatchObject({
      source: 'fine-tuned from the bundle tiny',
      data: '2 labelled scans',
      recipe: { steps: 60, rate: 0.03 },
    });
  });

  test('and the page segments with it at once, as Node does with the bundle', async () => {
    await page.locator('#segment-with-it').click();
    await page.locator('#start-model', { hasText: 'The model tiny fine-tuned is loaded' }).waitFor();
    const [path] = writtenCase('another box', 0);
    await drop(path);
    await page.locator('#run:enabled').click();
    await page.locator('#result').waitFor();
    const { volume } = await readVolumeFile(path);
    const voxelsOf = async (model: Model) =>
      labelVolumes((await segment(model, volume, { threads: 1 })).labels).map(({ voxels }) => voxels);
    const found = await page.locator('#volumes').locator('td.number:nth-child(3)').allTextContents();
    const [expected, before] = [await voxelsOf(saved), await voxelsOf(await openModel(bundle))];
    const away = (counts: number[]) =>
      Math.max(...counts.map((count, index) => Math.abs(Number(found[index].replace(',', '')) - count)));
    expect(away(expected)).toBeLessThanOrEqual(5);
    expect(away(before)).toBeGreaterThan(50);
    // From there to training and back, the scan and its result stay.
    await page.locator('#fine-tune-model').click();
    expect(await page.locator('#scan-stage').isVisible()).toBe(false);
    expect(await page.locator('#tuned').isVisible()).toBe(true);
    await page.locator('#training-back').click();
    expect(await page.locator('#scan-stage').isVisible()).toBe(true);
    expect(await page.locator('#result').isVisible()).toBe(true);
  });

  test('labelled scans that another model does not fit are said to be so when training is shown again', async () => {
    await drop(await writeTinyBundle(join(folder, 'two'), 2));
    await page.locator('#model-name', { hasText: /^tiny$/ }).waitFor();
    expect(await page.locator('#failure').isVisible()).toBe(false);
    await page.locator('#fine-tune-model').click();
    await page.locator('#failure', { hasText: 'The case box 1 has 1 channels and the model tiny names 2' }).waitFor();
    expect(await page.locator('#train').isEnabled()).toBe(false);
  });

  test('nothing was asked of another server, and nothing went wrong unseen', () => {
    expect(opened.outside).toEqual([]);
    expect(opened.complaints).toEqual([]);
  });
});
