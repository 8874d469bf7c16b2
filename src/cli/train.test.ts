import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { shell } from '../../test/shell.ts';
import { identityDirection, type Volume, writeNifti } from '../volume/index.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

const volume = (data: Volume['data']): Volume => ({
  shape: [1, 1, 2],
  channels: 1,
  spacing: [1, 1, 1],
  origin: [0, 0, 0],
  direction: identityDirection,
  data,
});

/** Two frames of one heart and one of another, with these files besides. */
function dataset(others: Readonly<Record<string, unknown>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'unetrpp-train-'));
  folders.push(folder);
  for (const part of ['imagesTr', 'labelsTr']) mkdirSync(join(folder, part));
  const files = { 'dataset.json': { channel_names: { 0: 'cineMRI' }, labels: { background: 0, LV: 1 } }, ...others };
  for (const [name, json] of Object.entries(files)) writeFileSync(join(folder, name), JSON.stringify(json));
  for (const name of ['patient001_frame01', 'patient001_frame12', 'patient002_frame01']) {
    writeFileSync(join(folder, 'imagesTr', `${name}_0000.nii.gz`), writeNifti(volume(Int16Array.of(1, 2))));
    writeFileSync(join(folder, 'labelsTr', `${name}.nii.gz`), writeNifti(volume(Uint8Array.of(0, 1))));
  }
  return folder;
}

describe('unetrpp train refuses with one sentence', () => {
  test.each<[string, Parameters<typeof dataset>, string]>([
    [
      'a split with a case that is not there',
      [{ 'splits_final.json': [{ train: ['patient001_frame01'], val: ['patient003_frame01'] }] }],
      'splits_final.json: fold 0 names the case patient003_frame01, which the data set does not have; remove it or add its files.',
    ],
    [
      'a split with a patient on both sides, told by the names',
      [{ 'splits_final.json': [{ train: ['patient001_frame01', 'patient002_frame01'], val: ['patient001_frame12'] }] }],
      'splits_final.json: fold 0 trains on patient001 (patient001_frame01) and is validated on the same patient (patient001_frame12); move all cases of a patient to one side.',
    ],
    [
      'a split with a patient on both sides, told by patients.json',
      [
        {
          'patients.json': [
            { patient: 'A', cases: ['patient001_frame01', 'patient002_frame01'] },
            { patient: 'B', cases: ['patient001_frame12'] },
          ],
          'splits_final.json': [{ train: ['patient001_frame01'], val: ['patient002_frame01'] }],
        },
      ],
      'fold 0 trains on A (patient001_frame01) and is validated on the same patient (patient002_frame01);',
    ],
    [
      'too few patients for five folds',
      [{}],
      '2 patients are too few for 5 folds; take the fold "all", or write splits_final.json.',
    ],
  ])('%s', async (_, [others], message) => {
    const folder = dataset(others);
    const { code, out, err } = await shell('train', '-d', folder, '-f', '0', '-o', join(folder, 'run'));
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(/^error: [^\n]+\n$/);
    expect(err).toContain(message);
  });
});
