import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { shell } from '../../test/shell.ts';
import { phantom, randomStream } from '../dataset/index.ts';
import { readNifti } from '../volume/index.ts';
import { registerPhantom } from './phantom.ts';
import { run } from './run.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'unetrpp-phantom-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const at = (...parts: string[]) => join(folder, ...parts);
const small = ['--size', '6x12x10'];
const read = (...parts: string[]) => readNifti(new Uint8Array(readFileSync(at(...parts)))).volume;

describe('unetrpp phantom', () => {
  test('writes images, labels and dataset.json as nnU-Net lays them out', async () => {
    const { code, out } = await shell('phantom', '-n', '2', '--test', '1', ...small, '-o', at('set'));
    expect(code).toBe(0);
    expect(out).toContain('2 cases to train with and 1 to test with, 6 x 12 x 10 voxels, 8 organs');
    expect(readdirSync(at('set'), { recursive: true }).sort()).toEqual([
      'dataset.json',
      'imagesTr',
      'imagesTr/phantom_001_0000.nii.gz',
      'imagesTr/phantom_002_0000.nii.gz',
      'imagesTs',
      'imagesTs/phantom_003_0000.nii.gz',
      'labelsTr',
      'labelsTr/phantom_001.nii.gz',
      'labelsTr/phantom_002.nii.gz',
      'labelsTs',
      'labelsTs/phantom_003.nii.gz',
    ]);
    expect(JSON.parse(readFileSync(at('set', 'dataset.json'), 'utf8'))).toMatchObject({
      channel_names: { 0: 'CT' },
      labels: {
        background: 0,
        spleen: 1,
        'right kidney': 2,
        'left kidney': 3,
        gallbladder: 4,
        liver: 5,
        stomach: 6,
        aorta: 7,
        pancreas: 8,
      },
      numTraining: 2,
      file_ending: '.nii.gz',
    });
  });

  test('case k is phantom k of the seed, voxel for voxel and in its place', async () => {
    await shell('phantom', '-n', '2', '--seed', '7', ...small, '-o', at('seeded'));
    const { image, labels } = phantom(randomStream(7, 2), { shape: [6, 12, 10] });
    const read2 = read('seeded', 'imagesTr', 'phantom_002_0000.nii.gz');
    expect(read2.data).toEqual(image.data);
    expect(read('seeded', 'labelsTr', 'phantom_002.nii.gz').data).toEqual(labels.data);
    for (const axis of [0, 1, 2]) {
      expect(read2.spacing[axis]).toBeCloseTo(image.spacing[axis], 5);
      expect(read2.origin[axis]).toBeCloseTo(image.origin[axis], 4);
    }
  });

  test('the spacing is given along z, y, x, as the size is', async () => {
    await shell('phantom', '-n', '1', ...small, '--spacing', '20,16,15', '-o', at('spaced'));
    expect(read('spaced', 'imagesTr', 'phantom_001_0000.nii.gz')).toMatchObject({
      shape: [6, 12, 10],
      spacing: [15, 16, 20],
    });
  });

  test('--json prints the names of the cases and nothing besides', async () => {
    const { out } = await shell('phantom', '-n', '1', '--test', '1', '--json', ...small, '-o', at('json'));
    expect(JSON.parse(out)).toEqual({
      folder: at('json'),
      seed: 1,
      training: ['phantom_001'],
      test: ['phantom_002'],
    });
  });

  test('a folder that holds something is refused and left as it is', async () => {
    mkdirSync(at('full'));
    writeFileSync(at('full', 'notes'), 'mine');
    const { code, err } = await shell('phantom', '-n', '1', ...small, '-o', at('full'));
    expect([code, readdirSync(at('full'))]).toEqual([2, ['notes']]);
    expect(err).toBe(
      `error: ${at('full')} is not empty; name a new folder, so that the cases of two data sets do not mix.\n`,
    );
  });

  test.each([
    [['--size', '6x12'], 'three numbers, such as 48x96x96'],
    [['--size', '6x12x'], 'three numbers, such as 48x96x96'],
    [['--size', '0x12x10'], 'a phantom of 0x12x10 voxels (z, y, x) cannot be made'],
    [['--spacing', '5x4xwide'], 'three numbers, such as 5x4x4'],
    [['--spacing', '0x4x4'], 'voxels of 4 x 4 x 0 mm cannot be made'],
    [['--test', '-1'], 'a whole number from 0 up'],
    [['--seed', '1.5'], 'a whole number from 0 up'],
    [['-n', 'many'], 'a whole number from 1 up'],
  ])('%s is refused in a sentence, and nothing is written', async (words, sentence) => {
    const { code, err } = await shell('phantom', '-n', '1', ...small, ...words, '-o', at('none'));
    expect(code).toBe(2);
    expect(err).toContain(sentence);
    expect(existsSync(at('none'))).toBe(false);
  });

  test('an interrupt between two cases leaves nothing behind', async () => {
    const interrupted = new AbortController();
    let asked = 0;
    // The third time that anybody looks.
    const signal = Object.create(interrupted.signal, {
      aborted: { get: () => interrupted.signal.aborted },
      throwIfAborted: {
        value: () => {
          asked += 1;
          if (asked === 3) interrupted.abort();
          interrupted.signal.throwIfAborted();
        },
      },
    }) as AbortSignal;
    const terminal = { out: () => undefined, err: () => undefined, signal, columns: 80 };
    const code = await run(['phantom', '-n', '3', ...small, '-o', at('stopped')], terminal, [registerPhantom]);
    expect([code, asked, existsSync(at('stopped'))]).toEqual([130, 3, false]);
  });
});
