import { beforeAll, describe, expect, test } from 'vitest';
import { packTinyBundle } from '../../test/bundle.ts';
import { drawnLabelledScan } from '../../test/drawnLabels.ts';
import { nodeEngine } from '../engine/node.ts';
import { InputError } from '../errors.ts';
import { loadModel, type Model, segmentOnce } from '../predict/index.ts';
import { packBundle } from '../weights/index.ts';
import { type FineTuneOptions, type FineTuneProgress, fineTune, fineTuneMemory, trainingCase } from './fineTune.ts';

const quick: FineTuneOptions = { threads: 1, rate: 3e-3, steps: 4 };
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

let model: Model;
beforeAll(async () => {
  model = await loadModel(await packTinyBundle(), 'tiny');
});

const drawn = (index = 0, changes: { image?: object; labels?: object } = {}) => {
  const { image, labels } = drawnLabelledScan(index);
  return trainingCase(model, `case ${index}`, {
    image: { ...image, ...changes.image },
    labels: { ...labels, ...changes.labels },
  });
};

describe('a labelled scan for a model', () => {
  test('is prepared by the model’s plan', () => {
    const { patch, locations } = drawn();
    expect(patch.shape).toEqual([12, 14, 16]);
    // Normalized: mean 0 and deviation 1.
    expect(mean([...patch.image])).toBeCloseTo(0, 5);
    expect([...locations.keys()]).toEqual([1, 2]);
  });

  test.each<[string, Parameters<typeof drawn>[1], string]>([
    [
      'a label that the model does not know',
      { labels: { data: drawnLabelledScan(0).labels.data.map((value) => 4 * value) } },
      'The label map of case 0 holds the value 4 at 315 voxels, and the model tiny declares 0, 1, 2; correct the label map, or take a model that has the label.',
    ],
    [
      'another size',
      { labels: { shape: [14, 12, 16] } },
      "The label map of case 0 has 14x12x16 voxels (z, y, x) and its image 12x14x16; resample the labels onto the image's grid.",
    ],
    [
      'too few channels',
      { image: { channels: 2, data: new Float32Array(2 * 12 * 14 * 16) } },
      'The case case 0 has 2 channels and the model tiny names 1 (MR); give one for each.',
    ],
  ])('is refused for %s', (_, changes, message) => {
    expect(() => drawn(0, changes)).toThrow(InputError);
    expect(() => drawn(0, changes)).toThrow(message);
  });

  test('has the network’s classes for labels, which may have other values', () => {
    const names = [...model.labels.values()];
    const other = { ...model, labels: new Map([0, 5, 900].map((value, index) => [value, names[index]])) };
    const { image, labels } = drawnLabelledScan(0);
    const data = Int16Array.from(labels.data, (value) => [0, 5, 900][value]);
    expect(trainingCase(other, 'case 0', { image, labels: { ...labels, data } })).toEqual(drawn());
  });

  test('keeps its values for a model of regions, and is drawn around each region', () => {
    const regions = [[1, 2, 3], [2], [3]].map((labels) => ({ name: labels.join(), labels }));
    const ofRegions = { ...model, plan: { ...model.plan, regions, regionsClassOrder: [1, 2, 3] } };
    const { image, labels } = drawnLabelledScan(0);
    const { patch, locations } = trainingCase(ofRegions, 'a', { image, labels });
    expect(patch.labels).toEqual(drawn().patch.labels);
    expect([...locations.keys()]).toEqual([1, 2]);
    const other = { ...labels, data: Int16Array.from(labels.data, (value) => 2 * value) };
    expect(() => trainingCase(ofRegions, 'a', { image, labels: other })).toThrow('declares 0, 1, 2, 3; correct');
  });
});

describe('fine-tuning', () => {
  test('makes the loss fall, and gives a bundle that says where it comes from and finds what was labelled', async () => {
    const seen: FineTuneProgress[] = [];
    const { weights, manifest, losses, notices } = await fineTune(
      nodeEngine,
      model,
      [drawn(0), drawn(1)],
      { ...quick, steps: 100, rate: 3e-2, dropout: false, augmentation: undefined },
      { onProgress: (progress) => seen.push(progress) },
    );
    expect(losses).toHaveLength(100);
    expect(mean(losses.slice(-10))).toBeLessThan(mean(losses.slice(0, 10)) - 0.8);
    expect(notices).toEqual([]);
    expect(seen.map(({ step }) => step)).toEqual(Array.from({ length: 101 }, (_, step) => step));
    expect(seen[0]).toMatchObject({ steps: 100, loss: Number.NaN, secondsLeft: undefined });
    expect(seen[100]).toMatchObject({ loss: losses[99], secondsLeft: 0 });
    expect(seen[30].secondsLeft).toBeGreaterThan(0);

    const loaded = await loadModel(await packBundle(manifest, weights, 'float32'), 'the result');
    expect(loaded.manifest).toMatchObject({
      name: 'tiny fine-tuned',
      description: 'A network of no use, for tests. Fine-tuned on 2 labelled scans (100 steps).',
      provenance: {
        source: 'fine-tuned from the bundle tiny',
        sourceSha256: model.manifest.weights.sha256,
        data: '2 labelled scans',
        recipe: { steps: 100, optimizer: { kind: 'adamW' } },
      },
    });
    const { image, labels } = drawnLabelledScan(0);
    const agreeing = async (by: Model) => {
      const found = await segmentOnce(nodeEngine, by, image, { threads: 1 });
      return mean(Array.from(labels.data, (value, at) => (found.labels.data[at] === value ? 1 : 0)));
    };
    // Three quarters of the voxels are background.
    expect(await agreeing(loaded)).toBeGreaterThan(0.85);
    expect(await agreeing(model)).toBeLessThan(0.5);
  });

  test('is a function of model, cases and options, and leaves the model as it is', async () => {
    const before = new Map([...model.weights].map(([name, { data }]) => [name, data.slice()]));
    const [one, two] = [
      await fineTune(nodeEngine, model, [drawn()], quick),
      await fineTune(nodeEngine, model, [drawn()], quick),
    ];
    expect(two.losses).toEqual(one.losses);
    expect([...two.weights]).toEqual([...one.weights]);
    expect(new Map([...model.weights].map(([name, { data }]) => [name, data]))).toEqual(before);
  });

  test('stopped, gives what was learned so far', async () => {
    const controller = new AbortController();
    const { losses, manifest } = await fineTune(nodeEngine, model, [drawn()], quick, {
      // Heard only if others get their turn between steps.
      onProgress: ({ step }) => step === 2 && setTimeout(() => controller.abort()),
      signal: controller.signal,
    });
    expect([2, 3]).toContain(losses.length);
    expect(manifest.provenance.recipe).toMatchObject({ steps: losses.length, plannedSteps: 4 });
    const never = fineTune(nodeEngine, model, [drawn()], quick, { signal: AbortSignal.abort(new Error('enough')) });
    await expect(never).rejects.toThrow('enough');
  });

  test('wants something to learn from', async () => {
    await expect(fineTune(nodeEngine, model, [])).rejects.toThrow('There is no labelled scan to train on');
    const empty = drawn(0, { labels: { data: new Uint8Array(12 * 14 * 16) } });
    const refused = fineTune(nodeEngine, model, [empty]);
    await expect(refused).rejects.toThrow(InputError);
    await expect(refused).rejects.toThrow(
      'The label map of case 0 has no foreground: every voxel is background; give a case in which a structure is labelled.',
    );
    const half = drawn(1, { labels: { data: drawnLabelledScan(1).labels.data.map((value) => (value === 1 ? 1 : 0)) } });
    const { notices } = await fineTune(nodeEngine, model, [empty, half], { ...quick, steps: 0 });
    expect(notices).toEqual([
      'Without foreground: case 0; patches of it are drawn from anywhere.',
      'No case has dots (2); the model may forget how to find it.',
    ]);
  });

  test('ends with a sentence where the loss is no number any more', async () => {
    const broken = drawn();
    broken.patch.image.fill(Number.NaN);
    await expect(fineTune(nodeEngine, model, [broken], quick)).rejects.toThrow(
      /^The loss was NaN .* at step 1, with the cases case 0; look at these cases, or train with a lower learning rate than 0.003.$/,
    );
  });

  test('needs more memory with more patches in a step', () => {
    const one = fineTuneMemory(nodeEngine, model, { batch: 1 });
    expect(one).toBeGreaterThan(1e8);
    expect(fineTuneMemory(nodeEngine, model, { batch: 4 })).toBeGreaterThan(one);
  });
});
