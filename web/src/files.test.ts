import { expect, test } from 'vitest';
import { InputError } from '../../src/errors.ts';
import { imageFile, imagesOf, scanName, sortFiles } from './files.ts';
import type { GivenFile } from './protocol.ts';

const given = (...paths: string[]): GivenFile[] => paths.map((path) => ({ path, bytes: new Blob([path]) }));
const paths = (files: readonly GivenFile[]) => files.map(({ path }) => path);

test('a model and a scan dropped together are told apart; a model card is no scan', () => {
  const { model, scan } = sortFiles(
    given('brats/README.md', 'brats/weights.safetensors', 'brats/model.json', 'case.nii.gz'),
  );
  expect(model?.manifest.path).toBe('brats/model.json');
  expect(model?.weights.path).toBe('brats/weights.safetensors');
  expect(paths(scan)).toEqual(['case.nii.gz']);
  const slices = ['ct/IM1', 'ct/IM2'];
  expect(paths(sortFiles(given('brats/model.json', 'brats/weights.safetensors', ...slices)).scan)).toEqual(slices);
});

test('slices are in the order of their numbers, and what systems hide in folders is left out', () => {
  const { model, scan } = sortFiles(given('ct/IM10', 'ct/.DS_Store', 'ct/IM2', '.hidden/IM1'));
  expect(model).toBeUndefined();
  expect(paths(scan)).toEqual(['ct/IM2', 'ct/IM10']);
});

test.each([
  [['model.json'], 'model.json came without weights.safetensors'],
  [['a/weights.safetensors'], 'weights.safetensors came without model.json'],
  [['a/model.json', 'b/model.json', 'a/weights.safetensors'], 'several models'],
  [['.DS_Store'], 'no file'],
])('%j is refused with a sentence', (names, words) => {
  expect(() => sortFiles(given(...names))).toThrow(InputError);
  expect(() => sortFiles(given(...names))).toThrow(words);
});

test('as many images as the model takes channels are its channels; otherwise all files are one image', () => {
  const four = given('flair.nii.gz', 't1.nii.gz', 't1gd.nii.gz', 't2.nii.gz');
  expect(imagesOf(four, 4).map(paths)).toEqual([['flair.nii.gz'], ['t1.nii.gz'], ['t1gd.nii.gz'], ['t2.nii.gz']]);
  expect(imagesOf(four, 1)).toEqual([four]);
  for (const slices of [given('ct/IM1', 'ct/IM2'), given('ct/1.dcm', 'ct/2.dcm')]) {
    expect(imagesOf(slices, 2)).toEqual([slices]);
  }
});

test('a scan is called by its file without ending and channel, or by the folder of its slices', () => {
  expect(scanName(given('cases/liver_7.nii.gz'))).toBe('liver_7');
  expect(scanName(given('case_0000.nii.gz', 'case_0001.nii.gz'))).toBe('case');
  expect(scanName(given('patient/ct chest/IM1', 'patient/ct chest/IM2'))).toBe('ct chest');
  expect(scanName(given('ct chest/1.dcm', 'ct chest/2.dcm'))).toBe('ct chest');
});

test('a file is read whole or from its beginning', async () => {
  const file = imageFile({ path: 'a/b.nii', bytes: new Blob([Uint8Array.of(1, 2, 3)]) });
  expect([file.name, file.size]).toEqual(['a/b.nii', 3]);
  expect(await file.read()).toEqual(Uint8Array.of(1, 2, 3));
  expect(await file.read(2)).toEqual(Uint8Array.of(1, 2));
});

test('a file that is gone since it was chosen is refused by name', async () => {
  const bytes = { size: 3, slice: () => ({ arrayBuffer: () => Promise.reject(new Error('NotFoundError')) }) };
  const read = imageFile({ path: 'gone.nii', bytes: bytes as unknown as Blob }).read();
  await expect(read).rejects.toThrow(InputError);
  await expect(read).rejects.toThrow('gone.nii cannot be read any more');
});
