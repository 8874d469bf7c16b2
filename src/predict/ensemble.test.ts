import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { tinyModel, tinyScan, writeTinyBundle } from '../../test/bundle.ts';
import type { Plan } from '../dataset/index.ts';
import { nodeEngine } from '../engine/node.ts';
import { InputError } from '../errors.ts';
import { keepLargestComponent, reorient } from '../volume/index.ts';
import { type Ensemble, ensembleOf } from './ensemble.ts';
import { openModel, openModels } from './model.node.ts';
import type { Model } from './model.ts';
import type { Progress } from './progress.ts';
import { createSegmenter, networkMemory, scanMemory, segmentOnce } from './segmenter.ts';
import { largestClass } from './tiles.ts';

const scratch = mkdtempSync(join(tmpdir(), 'unetrpp-ensemble-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const voxels = tinyScan.data.length;
const of = (data: Float32Array, k: number) => data.subarray(k * voxels, (k + 1) * voxels);

/** Every model by itself, its probabilities on the scan's grid, added in their order and divided: all at once. */
async function allAtOnce(models: readonly Model[]) {
  const mean = new Float32Array(models[0].settings.classes * voxels);
  for (const model of models) {
    const { probabilities } = await segmentOnce(nodeEngine, model, tinyScan, { probabilities: true });
    probabilities!.data.forEach((value, i) => {
      mean[i] += value;
    });
  }
  for (let i = 0; i < mean.length; i++) mean[i] /= models.length;
  return { mean, labels: largestClass([...Array(models[0].settings.classes).keys()], (k) => of(mean, k)) };
}

const together = (ensemble: Ensemble) => segmentOnce(nodeEngine, ensemble, tinyScan, { probabilities: true });

describe('an ensemble', () => {
  test.each<[string, Partial<Plan>[]]>([
    [
      'of one plan, as of nnU-Net v2',
      [{ convention: 'nnunet-v2' }, { convention: 'nnunet-v2' }, { convention: 'nnunet-v2' }],
    ],
    ['of one plan, as of nnU-Net v1', [{}, {}]],
    [
      'of plans with other spacings, patches and conventions',
      [{ spacing: [1, 1, 1] }, { patch: [16, 8, 8], convention: 'nnunet-v2' }, { spacing: [3, 1, 2] }],
    ],
    ['of plans that see the axes in another order', [{}, { transposeForward: [2, 0, 1], spacing: [1, 1, 1] }]],
    ['of plans that turn the scan in other ways', [{ orientation: 'RAS' }, { orientation: 'SPL' }, {}]],
  ])('%s decides by the mean of the probabilities, to the bit', async (_, plans) => {
    const models = plans.map((plan, index) => tinyModel(plan, 3, `model ${index}`));
    const expected = await allAtOnce(models);
    const { labels, probabilities } = await together(ensembleOf(models));
    expect(probabilities!.data).toEqual(expected.mean);
    expect(labels.data).toEqual(expected.labels);
    expect(labels).toMatchObject({ shape: tinyScan.shape, spacing: tinyScan.spacing, origin: tinyScan.origin });
    // The models must disagree somewhere, or this sees nothing.
    const [one] = models;
    expect((await segmentOnce(nodeEngine, one, tinyScan)).labels.data).not.toEqual(labels.data);
  });

  test('gives the same mask without probabilities, in a batch, and however the scan is stored', async () => {
    const models = ['a', 'b'].map((salt) => tinyModel({ orientation: 'LPS', spacing: [1, 1, 1] }, 3, salt));
    const { labels } = await together(ensembleOf(models));
    const segmenter = await createSegmenter(nodeEngine, ensembleOf(models), { batch: 3 });
    expect((await segmenter.segment(tinyScan)).labels.data).toEqual(labels.data);
    const turned = (await segmenter.segment(reorient(tinyScan, 'SAR'))).labels;
    expect(reorient(turned, 'LPS').data).toEqual(labels.data);
    await segmenter.dispose();
  });

  test('of one model is that model', async () => {
    const model = tinyModel({ keepLargestComponents: [[1]] });
    const alone = await segmentOnce(nodeEngine, model, tinyScan);
    expect((await together(ensembleOf([model]))).labels.data).toEqual(alone.labels.data);
  });

  test('of regions writes each whose mean is above one half, later over earlier', async () => {
    const regions = [
      { name: 'whole', labels: [1, 2] },
      { name: 'core', labels: [2] },
    ];
    const plan = { regions, regionsClassOrder: [1, 2] };
    const models = [tinyModel(plan, 2, 'a'), tinyModel({ ...plan, convention: 'nnunet-v2' }, 2, 'b')];
    const { mean } = await allAtOnce(models);
    const { labels } = await together(ensembleOf(models));
    labels.data.forEach((label, i) => {
      expect(label).toBe(of(mean, 1)[i] > 0.5 ? 2 : mean[i] > 0.5 ? 1 : 0);
    });
  });

  test('filters what the models decide together, once', async () => {
    const models = ['a', 'b'].map((salt) => tinyModel({}, 3, salt));
    const { labels } = await allAtOnce(models);
    const kept = keepLargestComponent(labels, tinyScan.shape, [2], { connectivity: 6 });
    expect(kept.removed).toBeGreaterThan(0);
    const filtered = await together(ensembleOf(models, { keepLargestComponents: [[2]] }));
    expect(filtered.labels.data).toEqual(kept.data);
    // The models' own list counts where they have the same one; other lists count for nothing, and that is said.
    const own = (salt: string, label: number) => tinyModel({ keepLargestComponents: [[label]] }, 3, salt);
    const agreed = await together(ensembleOf([own('a', 2), own('b', 2)]));
    expect(agreed.labels.data).toEqual(kept.data);
    const { labels: all, notices } = await together(ensembleOf([own('a', 2), own('b', 1)]));
    expect(all.data).toEqual(labels);
    expect(notices).toEqual([
      'The models keep the largest components of different labels, so together they keep all components.',
    ]);
  });

  test('reports the tiles of all models, and stops when it is aborted', async () => {
    const ensemble = ensembleOf(['a', 'b'].map((salt) => tinyModel({}, 3, salt)));
    const seen: Progress[] = [];
    await segmentOnce(nodeEngine, ensemble, tinyScan, { onProgress: (progress) => seen.push(progress) });
    const network = seen.filter(({ stage }) => stage === 'network');
    expect(network.map(({ done, total }) => `${done}/${total}`)).toEqual(
      Array.from({ length: 17 }, (_, index) => `${index}/16`),
    );
    const stop = new AbortController();
    const aborted = segmentOnce(nodeEngine, ensemble, tinyScan, {
      signal: stop.signal,
      onProgress: ({ done }) => {
        if (done === 3) stop.abort(new Error('enough'));
      },
    });
    await expect(aborted).rejects.toThrow('enough');
  });

  test('is estimated to need the memory of all its networks', () => {
    const [a, b] = ['a', 'b'].map((salt) => tinyModel({}, 3, salt));
    const both = ensembleOf([a, b]);
    expect(networkMemory(nodeEngine, both)).toBe(2 * networkMemory(nodeEngine, a));
    const long = { ...tinyScan, shape: [200, 9, 12] as const, data: new Float32Array(200 * 108) };
    expect(scanMemory(both, long)).toBeGreaterThan(scanMemory(a, long));
    // Other axes: the whole scan's probabilities are held, of all three classes, several times.
    const turned = ensembleOf([a, tinyModel({ transposeForward: [2, 1, 0] })]);
    expect(scanMemory(turned, long)).toBeGreaterThan(2 * scanMemory(both, long));
  });
});

describe('models of different tasks are no ensemble', () => {
  const renamed = (model: Model, name: string): Model => ({ ...model, labels: new Map([...model.labels, [1, name]]) });

  test.each<[string, Model, string]>([
    [
      'other labels',
      renamed(tinyModel(), 'liver'),
      'An ensemble needs models of the same labels: the first model tiny has 0 background, 1 part 1, 2 part 2, the other model tiny has 0 background, 1 liver, 2 part 2; give models of one task.',
    ],
    [
      'other channels',
      tinyModel({ channels: [{ name: 'CT', normalization: 'zScore', useMask: false }] }),
      'the same channels: the first model tiny has MR, the other model tiny has CT;',
    ],
    [
      'regions',
      tinyModel({ regions: [1, 2, 2].map((label) => ({ name: 'r', labels: [label] })), regionsClassOrder: [1, 2, 2] }),
      'the same regions: the first model tiny has none, the other model tiny has r (1), r (2), r (2);',
    ],
  ])('%s', (_, other, message) => {
    expect(() => ensembleOf([tinyModel(), other])).toThrow(InputError);
    expect(() => ensembleOf([tinyModel(), other])).toThrow(message);
  });

  test('nor is none', () => {
    expect(() => ensembleOf([])).toThrow('at least one model');
  });
});

describe('the folder of an ensemble', () => {
  const file = (changes: object = {}) =>
    JSON.stringify({
      format: 'unetrpp-ensemble',
      version: 1,
      name: 'folds',
      bundles: ['fold_0', 'fold_1'],
      keepLargestComponents: [[1]],
      ...changes,
    });
  const write = (text: string) => writeFileSync(join(scratch, 'ensemble.json'), text);

  test('opens as its bundles, with its own list of components', async () => {
    for (const fold of ['fold_0', 'fold_1']) await writeTinyBundle(join(scratch, fold), 1, fold);
    write(file());
    const ensemble = (await openModels([scratch])) as Ensemble;
    expect(ensemble).toMatchObject({ name: 'folds', keepLargestComponents: [[1]] });
    expect(ensemble.members).toHaveLength(2);
    const one = await openModels([join(scratch, 'fold_1')]);
    expect('members' in one).toBe(false);
    const three = (await openModels([scratch, join(scratch, 'fold_1')])) as Ensemble;
    expect(three.members).toHaveLength(3);
    expect(three.keepLargestComponents).toEqual([]);
  });

  test('is refused where one model is wanted, and where its file is none', async () => {
    write(file());
    await expect(openModel(scratch)).rejects.toThrow(`${scratch} is an ensemble, and one model is wanted here;`);
    write('{');
    await expect(openModels([scratch])).rejects.toThrow('ensemble.json is no JSON text');
    write(file({ bundles: [] }));
    await expect(openModels([scratch])).rejects.toThrow('ensemble.json describes no ensemble: bundles:');
    write(file({ bundles: ['fold_9'] }));
    await expect(openModels([scratch])).rejects.toThrow('There is no model bundle');
  });
});
