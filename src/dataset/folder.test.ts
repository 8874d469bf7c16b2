import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { hasShared, sharedPath } from '../../test/shared.ts';
import { InputError } from '../errors.ts';
import { datasetHash, openDataset, surveyDataset } from './folder.node.ts';

const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

const json = { channel_names: { 0: 'T1', 1: 'T2' }, labels: { background: 0, lesion: 1 }, file_ending: '.nii.gz' };

/** A data set of two channels whose files hold their own names. */
function dataset(
  files: readonly string[],
  description: unknown = json,
  splits?: unknown,
  others: Readonly<Record<string, string>> = {},
): string {
  const folder = mkdtempSync(join(tmpdir(), 'dataset-'));
  folders.push(folder);
  const write = (name: string, text: string) => {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  };
  write('dataset.json', typeof description === 'string' ? description : JSON.stringify(description));
  if (splits) write('splits_final.json', JSON.stringify(splits));
  for (const [name, text] of Object.entries(others)) write(name, text);
  for (const file of files) write(file.includes('.') ? file : `${file}.nii.gz`, file);
  return folder;
}

const whole = ['imagesTr/b_0000', 'imagesTr/b_0001', 'labelsTr/b', 'imagesTr/a_0000', 'imagesTr/a_0001', 'labelsTr/a'];

describe('a data set folder', () => {
  test('has its cases in the order of their names, each with a file for each channel', async () => {
    const folder = dataset([...whole, 'imagesTr/.DS_Store', 'labelsTr/notes.txt']);
    const { cases, description, splits } = await openDataset(folder);
    expect(cases.map(({ name }) => name)).toEqual(['a', 'b']);
    expect(cases[1]).toEqual({
      name: 'b',
      images: [join(folder, 'imagesTr/b_0000.nii.gz'), join(folder, 'imagesTr/b_0001.nii.gz')],
      label: join(folder, 'labelsTr/b.nii.gz'),
    });
    expect(description.channels).toEqual(['T1', 'T2']);
    expect(splits).toBeUndefined();
  });

  test('may keep all channels of a case in one file', async () => {
    const { cases } = await openDataset(dataset(['imagesTr/a', 'labelsTr/a']));
    expect(cases[0].images.map((path) => path.slice(-17))).toEqual(['imagesTr/a.nii.gz']);
  });

  test('may list its files', async () => {
    const listed = { ...json, dataset: { a: { images: ['x/1.nii.gz', 'x/2.nii.gz'], label: 'y/a.nii.gz' } } };
    const folder = dataset(['x/1', 'x/2', 'y/a'], listed);
    expect((await openDataset(folder)).cases).toEqual([
      {
        name: 'a',
        images: [join(folder, 'x/1.nii.gz'), join(folder, 'x/2.nii.gz')],
        label: join(folder, 'y/a.nii.gz'),
      },
    ]);
  });

  test('may bring its splits', async () => {
    const { splits } = await openDataset(dataset(whole, json, [{ train: ['a'], val: ['b'] }]));
    expect(splits).toEqual([{ train: ['a'], validation: ['b'] }]);
  });

  test.each<[string, string[], unknown, string]>([
    [
      'a missing channel',
      whole.filter((file) => file !== 'imagesTr/b_0001'),
      json,
      'The case b lacks b_0001.nii.gz in ',
    ],
    [
      'a label map without an image',
      [...whole, 'labelsTr/c'],
      json,
      'has no image: imagesTr/c_0000.nii.gz is not there',
    ],
    ['an image without a label map', [...whole, 'imagesTr/c_0000'], json, 'has no label map for c; add c.nii.gz'],
    ['a channel too many', [...whole, 'imagesTr/b_0002'], json, 'b_0002.nii.gz in '],
    ['no label maps', ['imagesTr/a_0000'], json, 'a data set needs imagesTr and labelsTr.'],
    ['no cases', ['imagesTr/notes.txt', 'labelsTr/notes.txt'], json, 'holds no images that end in .nii.gz'],
    ['a broken dataset.json', whole, '{', 'is no JSON'],
    [
      'a listed file that is not there',
      [],
      { ...json, dataset: { a: { images: ['a', 'b'], label: 'c' } } },
      'not there',
    ],
    [
      'a wrong number of listed files',
      [],
      { ...json, dataset: { a: { images: ['a', 'b', 'c'], label: 'd' } } },
      'lists 3',
    ],
  ])('is refused with a sentence for %s', async (_, files, description, message) => {
    const opening = openDataset(dataset(files, description));
    await expect(opening).rejects.toThrow(InputError);
    await expect(opening).rejects.toThrow(message);
  });

  test('must be there, with a dataset.json', async () => {
    await expect(openDataset('/nowhere/at/all')).rejects.toThrow('There is no folder /nowhere/at/all');
    await expect(openDataset(tmpdir())).rejects.toThrow('holds no dataset.json');
  });

  test('may say whose its cases are, and has no patient on both sides of a split then', async () => {
    const patients = { 'patients.json': JSON.stringify([{ patient: 'p', cases: ['a', 'b'] }]) };
    const folder = dataset(whole, json, undefined, patients);
    expect([...(await openDataset(folder)).patients!]).toEqual([
      ['a', 'p'],
      ['b', 'p'],
    ]);
    const opening = openDataset(dataset(whole, json, [{ train: ['a'], val: ['b'] }], patients));
    await expect(opening).rejects.toThrow(InputError);
    await expect(opening).rejects.toThrow(
      'splits_final.json: fold 0 trains on p (a) and is validated on the same patient (b); move all cases',
    );
  });

  test('of which much is wrong tells all of it at once to those who ask', async () => {
    const files = [
      'imagesTr/a_0000',
      'imagesTr/a_0001',
      'labelsTr/a',
      'labelsTr/b',
      'imagesTr/c_0000',
      'imagesTr/a_0002',
    ];
    const { dataset: opened, faults } = await surveyDataset(dataset(files, json, [{ train: ['b'], val: [] }]));
    expect(opened.cases.map(({ name }) => name)).toEqual(['a']);
    expect(faults.map(({ file }) => file)).toEqual([
      'labelsTr/b.nii.gz',
      'imagesTr/a_0002.nii.gz',
      'imagesTr/c_0000.nii.gz',
      'splits_final.json',
      'splits_final.json',
    ]);
  });

  test.skipIf(!hasShared)('opens real ones', async () => {
    const hippocampus = await openDataset(sharedPath('data', 'Dataset004_Hippocampus'));
    expect(hippocampus.cases).toHaveLength(220);
    expect(hippocampus.splits).toHaveLength(5);
    const heart = await openDataset(sharedPath('data', 'Dataset027_ACDC'));
    expect(heart.cases).toHaveLength(50);
    expect(heart.description.labels.map(({ name }) => name)).toEqual(['background', 'RV', 'MYO', 'LV']);
  });
});

describe('the hash of a data set', () => {
  const hashOf = async (folder: string) => datasetHash(await openDataset(folder));

  test('is that of a copy elsewhere, and of no other contents, names or labels', async () => {
    const first = await hashOf(dataset(whole));
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(await hashOf(dataset([...whole].reverse()))).toBe(first);
    const changed = dataset(whole);
    writeFileSync(join(changed, 'labelsTr/a.nii.gz'), 'something else');
    expect(await hashOf(changed)).not.toBe(first);
    const renamed = { ...json, labels: { background: 0, wound: 1 } };
    expect(await hashOf(dataset(whole, renamed))).not.toBe(first);
    expect(await hashOf(dataset(whole.slice(0, 3)))).not.toBe(first);
  });

  test('does not ask about splits and remarks', async () => {
    const first = await hashOf(dataset(whole));
    expect(await hashOf(dataset(whole, { ...json, description: 'new' }, [{ train: ['a'], val: ['b'] }]))).toBe(first);
  });

  test('tells a file that is gone', async () => {
    const folder = dataset(whole);
    const opened = await openDataset(folder);
    rmSync(join(folder, 'labelsTr/a.nii.gz'));
    await expect(datasetHash(opened)).rejects.toThrow('labelsTr/a.nii.gz cannot be read (ENOENT).');
  });
});
