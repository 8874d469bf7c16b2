/**
 * Training on regions that overlap, with voxels whose label is to be ignored: a small network learns a ball and its core from
 * scans of which half is not annotated, and its bundle writes label maps. What lies below ignored voxels counts nowhere.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { fill } from '../src/cli/verify/fill.ts';
import { nodeEngine } from '../src/engine/node.ts';
import { dice, regionOverlaps } from '../src/evaluate/index.ts';
import { createSegmenter } from '../src/predict/index.ts';
import { openModel } from '../src/predict/model.node.ts';
import { adamW } from '../src/train/optimizers.ts';
import { type RunRequest, trainInFolder } from '../src/train/run.node.ts';
import { identityDirection, type Volume, writeNifti } from '../src/volume/index.ts';
import { tinySettings } from './bundle.ts';
import { shell } from './shell.ts';

const scratch = mkdtempSync(join(tmpdir(), 'unetrpp-regions-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const side = 16;
const names = Array.from({ length: 10 }, (_, index) => `ball_${index}`);

/** A ball of label 1 and gray value 1 with a core of label 2 and gray value 2, in noise. */
function ball(index: number): { image: Volume<Float32Array>; labels: Volume<Uint8Array> } {
  const data = fill(`noise ${index}`, side ** 3, -0.3, 0.3);
  const labels = new Uint8Array(side ** 3);
  const [z, y, x] = [6 + (index % 4), 6 + ((index >> 1) % 4), 9 - (index % 3)];
  for (let i = 0; i < data.length; i++) {
    const [dz, dy, dx] = [Math.floor(i / side ** 2) - z, (Math.floor(i / side) % side) - y, (i % side) - x];
    const distance = Math.hypot(dz, dy, dx);
    labels[i] = distance > 5 ? 0 : distance > 3 ? 1 : 2;
    data[i] += labels[i];
  }
  const grid = { shape: [side, side, side], spacing: [1, 1, 1], origin: [0, 0, 0], channels: 1 } as const;
  const placed = { ...grid, direction: identityDirection } as const;
  return { image: { ...placed, data }, labels: { ...placed, data: labels } };
}

/** Every second case is annotated in its upper half alone. */
const isIgnored = (index: number, voxel: number) => index % 2 === 1 && voxel < side ** 3 / 2;

interface Drawn {
  readonly labels: Readonly<Record<string, number | readonly number[]>>;
  readonly order?: readonly number[];
  /** Value of ignored voxels; without one they have 3 all the same. */
  readonly ignored?: number;
}

function writeDataset(name: string, { labels, order, ignored }: Drawn): string {
  const folder = join(scratch, name);
  for (const part of ['imagesTr', 'labelsTr']) mkdirSync(join(folder, part), { recursive: true });
  const description = {
    channel_names: { 0: 'noNorm' },
    labels: { ...labels, ...(ignored !== undefined && { ignore: ignored }) },
    ...(order && { regions_class_order: order }),
    numTraining: names.length,
    file_ending: '.nii',
  };
  writeFileSync(join(folder, 'dataset.json'), JSON.stringify(description));
  writeFileSync(join(folder, 'splits_final.json'), JSON.stringify([{ train: names.slice(2), val: names.slice(0, 2) }]));
  for (const [index, each] of names.entries()) {
    const { image, labels: map } = ball(index);
    const data = map.data.map((value, voxel) => (isIgnored(index, voxel) ? (ignored ?? 3) : value));
    writeFileSync(join(folder, 'imagesTr', `${each}_0000.nii`), writeNifti(image, { gzip: false }));
    writeFileSync(join(folder, 'labelsTr', `${each}.nii`), writeNifti({ ...map, data }, { gzip: false }));
  }
  return folder;
}

const { classes: _classes, inputChannels: _channels, ...tiny } = tinySettings;
const recipe = {
  network: { ...tiny, patch: [16, 16, 16], stem: [2, 2, 2], featureSize: 4, dims: [8, 16, 16, 16] },
  plan: { patch: [16, 16, 16], inference: { mirrorAxes: [] } },
  batch: 2,
  epochs: 1,
  batchesPerEpoch: 3,
  optimizer: adamW,
  schedule: { kind: 'poly', rate: 0.02, exponent: 0.9, warmupSteps: 5, per: 'step' },
  average: null,
  dropout: false,
  augmentation: null,
  validationCases: 0,
};

let runs = 0;
function train(dataset: string, part: Record<string, unknown> = {}, more: Partial<RunRequest> = {}) {
  const run = join(scratch, `run-${runs++}`);
  const parts = [recipe, part];
  return trainInFolder(nodeEngine, { dataset, fold: 0, run, parts, device: 'cpu', threads: 1, workers: 0, ...more });
}

const weightsOf = (bundle: string) => readFileSync(join(bundle, 'weights.safetensors'));

const nested: Drawn = { labels: { background: 0, whole: [1, 2], core: [2] }, order: [1, 2], ignored: 3 };
const plain: Drawn = { labels: { background: 0, shell: 1, core: 2 }, ignored: 3 };

describe('regions, some of whose voxels are ignored', () => {
  it('are learned, and written as one label map', async () => {
    const dataset = writeDataset('nested', nested);
    const { bundle, scores, settings, cases } = await train(dataset, { batchesPerEpoch: 80 });
    expect(settings.network.classes).toBe(2);
    expect(settings.loss.of).toEqual({ kind: 'softDiceRegions', regions: [[1, 2], [2]], ignoredLabel: 3, batch: true });
    const model = await openModel(bundle);
    expect([...model.labels]).toEqual([
      [0, 'background'],
      [1, 'whole without core'],
      [2, 'core'],
    ]);
    expect(model.plan).toMatchObject({ regions: [{ name: 'whole' }, { name: 'core' }], regionsClassOrder: [1, 2] });
    expect(Object.keys(scores!.dice)).toEqual(['whole', 'core']);
    expect(scores!.dice['whole']).toBeGreaterThan(0.85);
    expect(scores!.dice['core']).toBeGreaterThan(0.8);

    // The bundle's own masks have the Dice that the run says, over what is annotated.
    const segmenter = await createSegmenter(nodeEngine, model, { device: 'cpu' });
    for (const [index, { dice: said }] of cases.entries()) {
      const { image, labels } = ball(index);
      const { labels: mask } = await segmenter.segment(image);
      const reference = { ...labels, data: labels.data.map((value, voxel) => (isIgnored(index, voxel) ? 3 : value)) };
      const counts = regionOverlaps(reference, mask, [[1, 2], [2]], 3);
      expect(Object.values(said)).toEqual(counts.map((count) => dice(count, 'nan')));
      expect(counts[0].trueNegatives).toBeLessThan(isIgnored(index, 0) ? side ** 3 / 2 : side ** 3);
    }
    await segmenter.dispose();

    // As commands: scores of both regions, and of each whether its probabilities mean what they say.
    const [masks, evaluated] = [join(scratch, 'masks'), join(scratch, 'scores')];
    const ran = [
      await shell('predict', '-m', bundle, '-i', join(dataset, 'imagesTr'), '-o', masks, '--save-probabilities'),
      await shell('evaluate', '-r', join(dataset, 'labelsTr'), '-p', masks, '--fold', '0', '-o', evaluated),
    ];
    expect(ran.map(({ code, err }) => [code, code && err])).toEqual([
      [0, 0],
      [0, 0],
    ]);
    const { calibration, summary } = JSON.parse(readFileSync(join(evaluated, 'evaluation.json'), 'utf8'));
    expect(summary.labels[0].metrics.dice.mean).toBeCloseTo(scores!.dice['whole'], 9);
    expect(calibration).toMatchObject({ labels: [{ name: 'whole' }, { name: 'core' }], chosen: null });
    for (const { expectedError } of calibration.labels) expect(expectedError).toBeLessThan(0.1);
  });

  it('give the same weights to the bit whatever lies below the ignored voxels', async () => {
    // 3 is a value of both regions there, and of nothing here: it would be learned, were it not ignored.
    const inRegions: Drawn = { ...nested, labels: { background: 0, whole: [1, 2, 3], core: [2, 3] }, ignored: 4 };
    const [one, other] = [writeDataset('ignored-3', nested), writeDataset('ignored-4', inRegions)];
    const trained = await train(one);
    expect(weightsOf((await train(other)).bundle)).toEqual(weightsOf(trained.bundle));
    const { ignored: _, ...learned } = inRegions;
    const { bundle } = await train(writeDataset('learned-3', learned));
    expect(weightsOf(bundle)).not.toEqual(weightsOf(trained.bundle));
  });
});

describe('labels, some of whose voxels are ignored', () => {
  it('are learned from the others', async () => {
    const { scores, settings } = await train(writeDataset('plain', plain), { batchesPerEpoch: 80 });
    expect(settings.loss.of).toEqual({ kind: 'softDiceCrossEntropy', ignoredLabel: 3, batch: true });
    expect(scores!.dice['shell']).toBeGreaterThan(0.75);
    expect(scores!.dice['core']).toBeGreaterThan(0.8);
  });
});

describe('settings for other regions or labels are refused', () => {
  it.each([
    [
      'a loss that does not ignore',
      plain,
      { loss: { of: { kind: 'diceCrossEntropy' } } },
      /would learn from its voxels/,
    ],
    ['a loss that ignores another', plain, { loss: { of: { ignoredLabel: 2 } } }, /the ignore label 3/],
    ['regions in another order', nested, { plan: { regionsClassOrder: [2, 1] } }, /not in their order \(whole, core\)/],
  ])('%s', async (name, drawn, part, message) => {
    await expect(train(writeDataset(name, drawn), part)).rejects.toThrow(message);
  });
});
