import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { hasShared, sharedPath } from '../../test/shared.ts';
import { plannedRegions } from '../dataset/description.ts';
import { openDataset } from '../dataset/folder.node.ts';
import { type DatasetDescription, type Plan, parseDataset } from '../dataset/index.ts';
import { InputError } from '../errors.ts';
import { identityDirection, type Vector3, type Volume, writeNifti } from '../volume/index.ts';
import type { TrainingCase } from './batches.ts';
import { inSharedMemory, loadCases, readCase } from './cases.node.ts';
import { checkTrainingSet, prepareCase } from './cases.ts';

const description: DatasetDescription = parseDataset(
  { channel_names: { 0: 'MRI' }, labels: { background: 0, lesion: 1, edema: 2 } },
  'Drawn',
);

const plan: Plan = {
  format: 'unetrpp-plan',
  version: 1,
  configuration: '3d_fullres',
  transposeForward: [0, 1, 2],
  spacing: null,
  patch: [2, 4, 4],
  channels: [{ name: 'MRI', normalization: 'none', useMask: false }],
  convention: 'nnunet-v2',
  resampling: { image: 3, imageZ: 0, probabilities: 1, probabilitiesZ: 0, anisotropyThreshold: 3 },
  orientation: null,
  inference: { step: 0.5, mirrorAxes: [0, 1, 2] },
};

function volume(shape: Vector3, values: readonly number[], change: Partial<Volume> = {}): Volume {
  const geometry = { spacing: [1, 1, 1], origin: [0, 0, 0], direction: identityDirection } as const;
  return { shape, channels: 1, ...geometry, data: Float32Array.from(values), ...change };
}

const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** The files of a case. */
function written(image: Volume, labels: Volume) {
  const folder = mkdtempSync(join(tmpdir(), 'case-'));
  folders.push(folder);
  const write = (name: string, each: Volume) => {
    writeFileSync(join(folder, name), writeNifti(each, { gzip: false }));
    return join(folder, name);
  };
  return { name: 'drawn', images: [write('drawn_0000.nii', image)], label: write('drawn.nii', labels) };
}

const image = volume([1, 3, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
const labels = volume([1, 3, 3], [0, 1, 0, 2, 2, 0, 0, 0, 0]);

describe('a case', () => {
  test('is read from its files', async () => {
    const read = await readCase(written(image, labels), description);
    expect([...read.image.data]).toEqual([...image.data]);
    expect([...read.labels.data]).toEqual([...labels.data]);
  });

  test.each<[string, Volume, Volume, string]>([
    [
      'another size of the label map',
      image,
      volume([1, 2, 3], [0, 0, 0, 0, 0, 0]),
      "The label map of drawn has 1x2x3 voxels (z, y, x) and its image 1x3x3; resample the labels onto the image's grid.",
    ],
    [
      'another origin',
      image,
      { ...labels, origin: [0, 0, 5] },
      'lies up to 5.00 mm from its image in the patient (labels: spacing 1, 1, 1 mm, origin 0, 0, 5, direction ',
    ],
    ['another spacing', image, { ...labels, spacing: [1, 1.5, 1] }, 'lies up to 1.00 mm from its image'],
    ['another direction', image, { ...labels, direction: [-1, 0, 0, 0, 1, 0, 0, 0, 1] }, 'lies up to 4.00 mm from'],
    [
      'a label that is not declared',
      image,
      { ...labels, data: Float32Array.of(0, 7, 0, 7, 2, 0, 0, 0, 0) },
      'The label map of drawn holds the value 7 at 2 voxels, and dataset.json declares 0, 1, 2; ',
    ],
    [
      'a label between two',
      image,
      { ...labels, data: Float32Array.of(0, 0.5, 0, 0, 0, 0, 0, 0, 0) },
      'value 0.5 at 1 voxel,',
    ],
    [
      'a missing channel',
      { ...image, channels: 2, data: new Float32Array(18) },
      labels,
      'has 2 channels and dataset.json',
    ],
  ])('is refused for %s', async (_, scan, map, message) => {
    const reading = readCase(written(scan, map), description);
    await expect(reading).rejects.toThrow(InputError);
    await expect(reading).rejects.toThrow(message);
  });

  test('brings what its readers had to change', async () => {
    const holed = { ...image, data: Float32Array.of(1, 2, 3, 4, NaN, 6, 7, 8, 9) };
    const { cases, notices } = await loadCases([written(holed, labels)], description, plan);
    expect((cases[0] as TrainingCase).patch.image[4]).toBe(0);
    expect(notices.join()).toContain('drawn_0000.nii');
  });

  test('may have headers that differ by rounding', async () => {
    await expect(readCase(written(image, { ...labels, origin: [0.02, 0, 0] }), description)).resolves.toBeDefined();
  });
});

describe('a prepared case', () => {
  // A rim of zeros around an image with a corner that is 0 too; one label lies on that corner, one beyond the box.
  const scan = volume([1, 4, 4], [0, 0, 0, 0, 0, 5, 6, 0, 0, 7, 0, 0, 0, 0, 0, 0]);
  const map = volume([1, 4, 4], [2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

  test("is the box of the image, labels with it, and -1 outside of the image's mask", () => {
    const { patch, locations, name } = prepareCase('drawn', { image: scan, labels: map }, plan);
    expect(name).toBe('drawn');
    expect(patch.shape).toEqual([1, 2, 2]);
    expect([...patch.image]).toEqual([5, 6, 7, 0]);
    expect([...patch.labels]).toEqual([1, 0, 0, -1]);
    expect(locations).toEqual(new Map([[1, Int32Array.of(0)]]));
  });

  test('has its axes as the plan orders them', () => {
    const turned = { ...plan, transposeForward: [2, 1, 0] as const } as unknown as Plan;
    const { patch } = prepareCase('drawn', { image, labels }, turned);
    expect(patch.shape).toEqual([3, 3, 1]);
    expect([...patch.image]).toEqual([1, 4, 7, 2, 5, 8, 3, 6, 9]);
    expect([...patch.labels]).toEqual([0, 2, 0, 1, 2, 0, 0, 0, 0]);
  });

  test('is resampled, its labels by a vote', () => {
    const wide = volume([1, 1, 4], [1, 2, 3, 4]);
    const four = volume([1, 1, 4], [1, 1, 2, 2]);
    const { patch } = prepareCase('drawn', { image: wide, labels: four }, { ...plan, spacing: [1, 1, 0.5] });
    expect(patch.shape).toEqual([1, 1, 8]);
    expect([...patch.labels]).toEqual([1, 1, 1, 1, 2, 2, 2, 2]);
    const coarse = prepareCase('drawn', { image: wide, labels: four }, { ...plan, spacing: [1, 1, 2] });
    expect([...coarse.patch.labels]).toEqual([1, 2]);
  });

  test('is turned to the orientation of the plan', () => {
    const { patch } = prepareCase('drawn', { image, labels }, { ...plan, orientation: 'RPS' });
    expect([...patch.image]).toEqual([3, 2, 1, 6, 5, 4, 9, 8, 7]);
    expect([...patch.labels]).toEqual([0, 1, 0, 0, 2, 2, 0, 0, 0]);
  });

  test.each(['nnunet-v1', 'nnunet-v2'] as const)('is normalized within its mask, as %s does', (convention) => {
    const channels = [{ name: 'MRI', normalization: 'zScore', useMask: true } as const];
    const { patch } = prepareCase('drawn', { image: scan, labels: map }, { ...plan, convention, channels });
    // 5, 6, 7 have the mean 6 and the deviation √(2/3); what lies outside stays 0.
    const expected = [-Math.sqrt(1.5), 0, Math.sqrt(1.5), 0];
    for (let i = 0; i < 4; i++) expect(patch.image[i]).toBeCloseTo(expected[i], 5);
  });

  test('draws around voxels of each region, and none that is ignored', () => {
    const regions = { regions: [[1, 2], [2]].map((each) => ({ name: 'r', labels: each })), regionsClassOrder: [1, 2] };
    // 0 1 0 / 2 2 3 / 0 0 3, and 3 is the ignored label.
    const sparse = volume([1, 3, 3], [0, 1, 0, 2, 2, 3, 0, 0, 3]);
    const prepared = prepareCase('drawn', { image, labels: sparse }, { ...plan, ...regions }, 3);
    const sorted = (voxels: Int32Array | undefined) => [...voxels!].sort();
    expect(sorted(prepared.locations.get(1))).toEqual([1, 3, 4]);
    expect(sorted(prepared.locations.get(2))).toEqual([3, 4]);
    expect(sorted(prepared.annotated)).toEqual([0, 1, 2, 3, 4, 6, 7]);
    expect(inSharedMemory(prepared)).toEqual(prepared);
    const plain = prepareCase('drawn', { image, labels: sparse }, plan, 3);
    expect([...plain.locations.keys()]).toEqual([1, 2]);
    expect(prepareCase('drawn', { image, labels: sparse }, plan).annotated).toBeUndefined();
    const nothing = { ...sparse, data: new Uint8Array(9).fill(3) };
    expect(prepareCase('drawn', { image, labels: nothing }, plan, 3)).not.toHaveProperty('annotated');
  });

  test('can lie in memory that threads share', () => {
    const { patch } = inSharedMemory(prepareCase('drawn', { image, labels }, plan));
    expect(patch.image.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(patch.labels.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(patch.labels).toBeInstanceOf(Int16Array);
  });
});

describe('a training set', () => {
  const with1 = prepareCase('one', { image, labels }, plan);
  const empty = prepareCase('none', { image, labels: { ...labels, data: new Float32Array(9) } }, plan);

  test('tells of cases without foreground and of a patch larger than all of them', () => {
    expect(checkTrainingSet([with1, empty], description, [1, 4, 3])).toEqual([
      'Without foreground: none; patches of it are drawn from anywhere.',
      'The patch of 1x4x3 voxels is larger than every case along h (at most 1x3x3); the rest is filled with zeros.',
    ]);
    expect(checkTrainingSet([with1], description, [1, 3, 3])).toEqual([]);
  });

  test('must have every label', () => {
    expect(() => checkTrainingSet([empty], description, [1, 3, 3])).toThrow(InputError);
    expect(() => checkTrainingSet([empty], description, [1, 3, 3])).toThrow(
      'No training case of Drawn has lesion (1), edema (2); ',
    );
  });

  test('must have every region', () => {
    const regions = parseDataset(
      {
        channel_names: { 0: 'MRI' },
        labels: { background: 0, whole: [1, 2], core: [2], rest: [3] },
        regions_class_order: [1, 2, 3],
      },
      'Drawn',
    );
    const prepared = prepareCase('one', { image, labels }, { ...plan, ...plannedRegions(regions) });
    expect([...prepared.locations.keys()]).toEqual([1, 2]);
    expect(() => checkTrainingSet([prepared], regions, [1, 3, 3])).toThrow('No training case of Drawn has rest (3); ');
  });

  test('is read case by case, and no further when that is enough', async () => {
    const files = [written(image, labels), written(image, labels), written(image, labels)];
    const seen: string[] = [];
    const controller = new AbortController();
    const loading = loadCases(files, description, plan, {
      onCase: (done, total) => {
        seen.push(`${done} of ${total}`);
        if (done === 2) controller.abort(new Error('enough'));
      },
      signal: controller.signal,
    });
    await expect(loading).rejects.toThrow('enough');
    expect(seen).toEqual(['1 of 3', '2 of 3']);
  });

  test.skipIf(!hasShared)('of hearts, whose slices lie far apart, comes from its files', async () => {
    const { cases, description: hearts } = await openDataset(sharedPath('data', 'Dataset027_ACDC'));
    const { cases: loaded } = await loadCases(cases.slice(0, 1), hearts, { ...plan, spacing: [10, 3, 3] });
    expect([...loaded[0].locations.keys()]).toEqual([1, 2, 3]);
    expect(checkTrainingSet(loaded, hearts, [8, 32, 32])).toEqual([]);
  });
});
