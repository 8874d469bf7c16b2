import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { hasShared, sharedPath } from '../../test/shared.ts';
import { shell } from '../../test/shell.ts';
import type { Problem } from '../dataset/checking.ts';
import { identityDirection, type Volume, writeNifti } from '../volume/index.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

const volume = (data: Volume['data'], change: Partial<Volume> = {}): Volume => ({
  shape: [1, 2, 3],
  channels: 1,
  spacing: [1, 1, 2],
  origin: [0, 0, 0],
  direction: identityDirection,
  data,
  ...change,
});

type Files = Record<string, Volume | Uint8Array | object>;

/** Two good cases, each file as it is named or changed; null takes one away. */
function dataset(changes: Files | Record<string, null> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), 'unetrpp-check-'));
  folders.push(folder);
  for (const part of ['imagesTr', 'labelsTr']) mkdirSync(join(folder, part));
  const files: Record<string, unknown> = {
    'dataset.json': {
      channel_names: { 0: 'CT' },
      labels: { background: 0, liver: 1, tumor: 2 },
      file_ending: '.nii',
    },
    'imagesTr/a_0000.nii': volume(Int16Array.of(1, 2, 3, 4, 5, 6)),
    'labelsTr/a.nii': volume(Uint8Array.of(0, 1, 1, 0, 0, 0)),
    'imagesTr/b_0000.nii': volume(Int16Array.of(6, 5, 4, 3, 2, 1)),
    'labelsTr/b.nii': volume(Uint8Array.of(0, 0, 0, 2, 2, 1)),
    ...changes,
  };
  for (const [name, content] of Object.entries(files)) {
    if (content === null) continue;
    const isVolume = typeof content === 'object' && 'direction' in content!;
    writeFileSync(
      join(folder, name),
      content instanceof Uint8Array
        ? content
        : isVolume
          ? writeNifti(content as Volume, { gzip: false })
          : JSON.stringify(content),
    );
  }
  return folder;
}

async function check(changes?: Files | Record<string, null>) {
  const { code, out, err } = await shell('check', '-d', dataset(changes), '--json');
  const { problems } = JSON.parse(out) as { problems: Problem[] };
  return { code, err, problems, brief: problems.map(({ severity, group, file }) => `${severity} ${group} ${file}`) };
}

describe('unetrpp check', () => {
  test('says of a good data set what it is, and that nothing is wrong', async () => {
    const { code, out, err } = await shell('check', '-d', dataset());
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/: 2 cases; CT; liver, tumor\nNothing is wrong with it\.\n$/);
  });

  test('finds all problems at once, says file and remedy, and exits with 2', async () => {
    const folder = dataset({
      'labelsTr/a.nii': volume(Uint8Array.of(0, 1, 7, 0, 0, 0)),
      'labelsTr/b.nii': volume(Uint8Array.of(0, 0, 2, 2, 2, 1), { origin: [0, 0, 9] }),
      'imagesTr/c_0000.nii': volume(Int16Array.of(1, 1, 1, 2, 2, 2)),
    });
    const { code, out, err } = await shell('check', '-d', folder);
    expect(code).toBe(2);
    expect(err).toBe(`error: 3 errors in ${folder}: mend what is listed above before training.\n`);
    expect(out).toContain('\n3 errors\n  files: add c.nii or remove the images\n    imagesTr/c_0000.nii: ');
    expect(out).toContain(
      "  grid: resample the labels onto the image's grid, or correct the header that is wrong\n    labelsTr/b.nii: The label map of b lies up to 9.00 mm",
    );
    expect(out).toContain(
      '  labels: correct the label map, or declare the label\n    labelsTr/a.nii: The label map of a holds the value 7 at 1 voxel, and',
    );
  });

  test.each<[string, Files | Record<string, null>, string[]]>([
    [
      'another size',
      { 'labelsTr/a.nii': volume(Uint8Array.of(0, 1), { shape: [1, 1, 2] }) },
      ['error grid labelsTr/a.nii'],
    ],
    [
      'another spacing',
      { 'labelsTr/a.nii': volume(Uint8Array.of(0, 1, 1, 0, 0, 0), { spacing: [1, 3, 2] }) },
      ['error grid labelsTr/a.nii'],
    ],
    [
      'another direction',
      { 'labelsTr/a.nii': volume(Uint8Array.of(0, 1, 1, 0, 0, 0), { direction: [-1, 0, 0, 0, 1, 0, 0, 0, 1] }) },
      ['error grid labelsTr/a.nii'],
    ],
    [
      'labels between two, and labels stored as floats',
      { 'labelsTr/a.nii': volume(Float32Array.of(0, 0.5, 1, 0, 0, 0)) },
      ['error labels labelsTr/a.nii', 'warning stored type labelsTr/a.nii'],
    ],
    [
      'voxels that are no numbers',
      { 'imagesTr/a_0000.nii': volume(Float32Array.of(1, Number.NaN, 3, 4, 5, Infinity)) },
      ['error values imagesTr/a_0000.nii', 'warning stored type imagesTr'],
    ],
    [
      'one value everywhere',
      { 'imagesTr/a_0000.nii': volume(Int16Array.of(5, 5, 5, 5, 5, 5)) },
      ['warning values imagesTr/a_0000.nii'],
    ],
    [
      'an image of two channels',
      {
        'imagesTr/a_0000.nii': volume(
          Int16Array.from({ length: 12 }, (_, i) => i),
          { channels: 2 },
        ),
      },
      ['error channels imagesTr/a_0000.nii'],
    ],
    ['an empty label map', { 'labelsTr/a.nii': volume(new Uint8Array(6)) }, ['warning labels labelsTr/a.nii']],
    [
      'a label that no case has',
      { 'labelsTr/b.nii': volume(Uint8Array.of(0, 0, 0, 1, 1, 1)) },
      ['error labels dataset.json'],
    ],
    [
      'the same image twice',
      { 'imagesTr/b_0000.nii': volume(Int16Array.of(1, 2, 3, 4, 5, 6)) },
      ['error duplicates imagesTr/b_0000.nii'],
    ],
    [
      'another orientation',
      {
        'imagesTr/c_0000.nii': volume(Int16Array.of(6, 5, 4, 3, 2, 0), { direction: [-1, 0, 0, 0, 1, 0, 0, 0, 1] }),
        'labelsTr/c.nii': volume(new Uint8Array(6).fill(1), { direction: [-1, 0, 0, 0, 1, 0, 0, 0, 1] }),
      },
      ['warning orientation imagesTr/c_0000.nii'],
    ],
    ['a file that is cut short', { 'imagesTr/a_0000.nii': new Uint8Array(100) }, ['error files imagesTr/a_0000.nii']],
    ['a label map without an image', { 'imagesTr/a_0000.nii': null }, ['error files labelsTr/a.nii']],
    [
      'an unknown channel name',
      {
        'dataset.json': {
          channel_names: { 0: 'CTT' },
          labels: { background: 0, liver: 1, tumor: 2 },
          file_ending: '.nii',
        },
      },
      ['error channels dataset.json'],
    ],
    [
      'a split with an unknown case',
      { 'splits_final.json': [{ train: ['a'], val: ['z'] }] },
      ['error patients and splits splits_final.json'],
    ],
    [
      'a patient on both sides',
      {
        'patients.json': [{ patient: 'p', cases: ['a', 'b'] }],
        'splits_final.json': [{ train: ['a'], val: ['b'] }],
      },
      ['error patients and splits splits_final.json'],
    ],
  ])('finds %s', async (_, changes, expected) => {
    const { code, brief } = await check(changes);
    expect(brief).toEqual(expected);
    expect(code).toBe(expected.some((each) => each.startsWith('error')) ? 2 : 0);
  });

  test('finds a qform that contradicts the sform', async () => {
    const bytes = writeNifti(volume(Int16Array.of(1, 2, 3, 4, 5, 6)), { gzip: false });
    // qoffset_x at byte 268 of the header: 5 mm further to the right.
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    view.setFloat32(268, view.getFloat32(268, true) + 5, true);
    const { code, problems } = await check({ 'imagesTr/a_0000.nii': bytes });
    expect(code).toBe(0);
    expect(problems).toMatchObject([{ severity: 'warning', group: 'header', file: 'imagesTr/a_0000.nii' }]);
    expect(problems[0].text).toContain('up to 5.00 mm apart');
  });

  test('is for a folder that is a data set', async () => {
    const { code, err } = await shell('check', '-d', '/nowhere');
    expect(code).toBe(2);
    expect(err).toContain('There is no folder /nowhere');
  });

  test.skipIf(!hasShared)(
    'has nothing against the hearts of ACDC but their headers',
    async () => {
      const { code, out } = await shell('check', '-d', sharedPath('data', 'Dataset027_ACDC'), '--json');
      expect(code).toBe(0);
      const { cases, patients, problems } = JSON.parse(out) as { cases: number; patients: number; problems: Problem[] };
      expect({ cases, patients }).toEqual({ cases: 50, patients: 25 });
      expect(new Set(problems.map(({ group }) => group))).toEqual(new Set(['header', 'stored type']));
    },
    30_000,
  );
});
