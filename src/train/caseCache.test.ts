import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDataset } from '../dataset/folder.node.ts';
import { cutPatch, type Plan, randomStream, standardNormal, trainingAugmentation } from '../dataset/index.ts';
import { InputError } from '../errors.ts';
import { identityDirection, type Vector3, writeNifti } from '../volume/index.ts';
import { drawBatch, readBatch, type TrainingCase } from './batches.ts';
import { caseKey, findCase, patchReader, planFolder, readStored, storeCase } from './caseCache.node.ts';
import { loadCases, readCase } from './cases.node.ts';
import { prepareCase } from './cases.ts';
import { openLoader } from './loader.node.ts';
import { preprocess } from './preprocessing.node.ts';

const scratch = mkdtempSync(join(tmpdir(), 'unetrpp-cache-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const plan: Plan = {
  format: 'unetrpp-plan',
  version: 1,
  configuration: '3d_fullres',
  transposeForward: [0, 1, 2],
  spacing: [1, 1, 1],
  patch: [8, 8, 8],
  channels: [{ name: 'MRI', normalization: 'zScore', useMask: false }],
  convention: 'nnunet-v2',
  resampling: { image: 3, imageZ: 0, probabilities: 1, probabilitiesZ: 0, anisotropyThreshold: 3 },
  orientation: null,
  inference: { step: 0.5, mirrorAxes: [] },
};

const dataset = join(scratch, 'Drawn');
const shape: Vector3 = [10, 12, 11];

/** Noise with a block of label 1, and of label 2 in every second case. */
function writeScan(index: number): void {
  const length = shape[0] * shape[1] * shape[2];
  const data = standardNormal(randomStream(index), length);
  const labels = Uint8Array.from({ length }, (_, i) => (i % 11 < 4 ? 0 : index % 2 ? 1 : 2));
  const grid = { shape, channels: 1, spacing: [1, 1, 1], origin: [0, 0, 0], direction: identityDirection } as const;
  writeFileSync(join(dataset, 'imagesTr', `case_${index}_0000.nii`), writeNifti({ ...grid, data }, { gzip: false }));
  writeFileSync(join(dataset, 'labelsTr', `case_${index}.nii`), writeNifti({ ...grid, data: labels }, { gzip: false }));
}

beforeAll(() => {
  for (const part of ['imagesTr', 'labelsTr']) mkdirSync(join(dataset, part), { recursive: true });
  writeFileSync(
    join(dataset, 'dataset.json'),
    JSON.stringify({ channel_names: { 0: 'MRI' }, labels: { background: 0, a: 1, b: 2 }, file_ending: '.nii' }),
  );
  for (let index = 0; index < 4; index++) writeScan(index);
});

async function preparedCases() {
  const opened = await openDataset(dataset);
  const cases: TrainingCase[] = [];
  for (const files of opened.cases)
    cases.push(prepareCase(files.name, await readCase(files, opened.description), plan));
  return { ...opened, prepared: cases };
}

describe('a stored case', () => {
  test('is what was prepared, to the bit', async () => {
    const { prepared } = await preparedCases();
    const folder = join(scratch, 'one');
    await storeCase(folder, plan, 'key', prepared[0], ['a note']);
    const found = await findCase(folder, plan, 'case_0', 'key');
    expect(found).toMatchObject({ name: 'case_0', shape, channels: 1, notices: ['a note'] });
    const whole = await readStored(found!);
    expect(whole.patch.image).toEqual(prepared[0].patch.image);
    expect(whole.patch.labels).toEqual(prepared[0].patch.labels);
    expect(whole.locations).toEqual(prepared[0].locations);
  });

  test('keeps what is annotated where a label is ignored, and is another for other regions', async () => {
    const { cases, description } = await preparedCases();
    const scan = await readCase(cases[0], description);
    const prepared = prepareCase('case_0', scan, plan, 2);
    expect(prepared.annotated!.length).toBeGreaterThan(0);
    const folder = join(scratch, 'sparse');
    const stored = await storeCase(folder, plan, 'key', prepared, []);
    expect(stored.annotated).toEqual(prepared.annotated);
    expect((await readStored((await findCase(folder, plan, 'case_0', 'key'))!)).annotated).toEqual(prepared.annotated);

    const regions = { ...plan, regions: [{ name: 'both', labels: [1, 2] }], regionsClassOrder: [1] };
    const keys = [
      await caseKey(cases[0], description, plan),
      await caseKey(cases[0], description, regions),
      await caseKey(cases[0], { ...description, labels: description.labels.slice(0, 2), ignoreLabel: 2 }, plan),
    ];
    expect(new Set(keys).size).toBe(3);
  });

  test('of several chunks gives patches as the case in memory does, beyond its ends too', async () => {
    const size: Vector3 = [20, 70, 66];
    const count = 20 * 70 * 66;
    const large: TrainingCase = {
      name: 'large',
      patch: {
        shape: size,
        channels: 2,
        image: Float32Array.from({ length: 2 * count }, (_, i) => i),
        labels: Int16Array.from({ length: count }, (_, i) => (i % 5) - 1),
      },
      locations: new Map(),
    };
    const stored = await storeCase(join(scratch, 'large'), plan, 'key', large, []);
    const read = patchReader();
    const places: [Vector3, Vector3][] = [
      [[0, 0, 0], size],
      [
        [3, 50, 60],
        [10, 20, 6],
      ],
      [
        [-4, -2, 60],
        [30, 10, 20],
      ],
      [
        [100, 0, 0],
        [4, 4, 4],
      ],
    ];
    for (const [corner, wanted] of places) {
      expect(await read(stored, corner, wanted)).toEqual(cutPatch(large.patch, corner, wanted));
    }
  });

  test('is not found by another key, for another plan, or where it is damaged', async () => {
    const { prepared } = await preparedCases();
    const folder = join(scratch, 'other');
    await storeCase(folder, plan, 'key', prepared[1], []);
    expect(await findCase(folder, plan, 'case_1', 'other key')).toBeUndefined();
    expect(await findCase(folder, { ...plan, spacing: [2, 1, 1] }, 'case_1', 'key')).toBeUndefined();
    // What makes no difference to preparing does not count.
    expect(await findCase(folder, { ...plan, patch: [16, 8, 8] }, 'case_1', 'key')).toBeDefined();
    rmSync(join(planFolder(folder, plan), 'case_1.zarr', 'image', 'zarr.json'));
    expect(await findCase(folder, plan, 'case_1', 'key')).toBeUndefined();
  });

  test('has a key that changes with its files', async () => {
    const { cases, description } = await openDataset(dataset);
    const before = await caseKey(cases[3], description, plan);
    expect(await caseKey(cases[3], description, plan)).toBe(before);
    writeScan(7);
    const other = { ...cases[3], images: [join(dataset, 'imagesTr', 'case_7_0000.nii')] };
    expect(await caseKey(other, description, plan)).not.toBe(before);
    for (const name of ['imagesTr/case_7_0000.nii', 'labelsTr/case_7.nii']) rmSync(join(dataset, name));
  });
});

describe('batches', () => {
  const patch: Vector3 = [8, 8, 8];
  const settings = { patch, batch: 2, seed: 3, augmentation: trainingAugmentation(patch), zeroOutside: false };

  test('are the same wherever the cases lie', async () => {
    const { prepared } = await preparedCases();
    const folder = join(scratch, 'batches');
    const mixed = [
      prepared[0],
      await storeCase(folder, plan, 'k', prepared[1], []),
      await storeCase(folder, plan, 'k', prepared[2], []),
      prepared[3],
    ];
    const wanted = [0, 1, 2, 3, 4, 5].map((index) => drawBatch(prepared, settings, index));
    const read = patchReader();
    for (const [index, each] of wanted.entries()) {
      expect(await readBatch(mixed, settings, index, read)).toEqual(each);
    }
    for (const workers of [0, 1]) {
      const source = openLoader(mixed, settings, { workers });
      for (const each of wanted) expect(await source.next()).toEqual(each);
      await source.close();
    }
  });

  test('of cases that memory is not enough for are read from files', async () => {
    const { cases: files, description, prepared } = await preparedCases();
    const overflow = join(scratch, 'overflow');
    // Room for two cases: 4 bytes of image and 2 of labels a voxel.
    const memoryBytes = 2 * 6 * 10 * 12 * 11;
    const load = () => loadCases(files, description, plan, { overflow, memoryBytes });
    const { cases } = await load();
    expect(cases.map((each) => 'patch' in each)).toEqual([true, true, false, false]);
    expect(readdirSync(planFolder(overflow, plan))).toEqual(['case_2.zarr', 'case_3.zarr']);
    expect(await readBatch(cases, settings, 5, patchReader())).toEqual(drawBatch(prepared, settings, 5));
    expect((await load()).cases.map((each) => 'patch' in each)).toEqual([true, true, false, false]);
  });
});

describe('preprocessing', () => {
  const folder = join(scratch, 'preprocessed');

  test('prepares every case once; a changed one again', async () => {
    const first = await preprocess(await openDataset(dataset), plan, folder, { workers: 2 });
    expect(first).toMatchObject({ prepared: ['case_0', 'case_1', 'case_2', 'case_3'], present: [] });
    const again = await preprocess(await openDataset(dataset), plan, folder, { workers: 1 });
    expect(again).toMatchObject({ prepared: [], present: ['case_0', 'case_1', 'case_2', 'case_3'] });
    rmSync(join(planFolder(folder, plan), 'case_2.zarr'), { recursive: true });
    const data = new Float32Array(shape[0] * shape[1] * shape[2]).fill(1);
    const grid = { shape, channels: 1, spacing: [1, 1, 1], origin: [0, 0, 0], direction: identityDirection } as const;
    writeFileSync(join(dataset, 'imagesTr', 'case_1_0000.nii'), writeNifti({ ...grid, data }, { gzip: false }));
    const changed = await preprocess(await openDataset(dataset), plan, folder, { workers: 1 });
    expect(changed.prepared).toEqual(['case_1', 'case_2']);
    writeScan(1);
  });

  test('gives what training finds and would have prepared itself', async () => {
    const { cases: files, description, prepared } = await preparedCases();
    await preprocess(await openDataset(dataset), plan, folder, { workers: 1 });
    const { cases } = await loadCases(files, description, plan, { caches: [folder] });
    for (const [index, each] of cases.entries()) {
      expect([...(each as TrainingCase).patch.image]).toEqual([...prepared[index].patch.image]);
    }
  });

  test('that is interrupted leaves whole cases alone', async () => {
    const controller = new AbortController();
    const place = join(scratch, 'interrupted');
    const working = preprocess(await openDataset(dataset), plan, place, {
      workers: 1,
      signal: controller.signal,
      onCase: () => controller.abort(new Error('enough')),
    });
    await expect(working).rejects.toThrow('enough');
    const { description, cases } = await openDataset(dataset);
    for (const name of readdirSync(planFolder(place, plan))) {
      const files = cases.find((each) => `${each.name}.zarr` === name)!;
      expect(await findCase(place, plan, files.name, await caseKey(files, description, plan))).toBeDefined();
    }
    const rest = await preprocess(await openDataset(dataset), plan, place, { workers: 1 });
    expect(rest.present.length).toBeGreaterThanOrEqual(1);
    expect(readdirSync(planFolder(place, plan))).toEqual(cases.map(({ name }) => `${name}.zarr`));
  });

  test('names the case that is wrong', async () => {
    const broken = await openDataset(dataset);
    const missing = { ...broken, cases: [{ ...broken.cases[0], label: join(dataset, 'labelsTr', 'nothing.nii') }] };
    const working = preprocess(missing, plan, join(scratch, 'wrong'), { workers: 1 });
    await expect(working).rejects.toThrow(InputError);
    await expect(working).rejects.toThrow('nothing.nii');
  });
});
