import { describe, expect, test } from 'vitest';
import { InputError } from '../../src/errors.ts';
import { holdsLabels, labelledFiles } from './labelledFiles.ts';

const given = (...paths: string[]) => paths.map((path) => ({ path, bytes: new Blob() }));
const paired = (...paths: string[]) =>
  labelledFiles(given(...paths)).map(({ name, images, labels }) => [
    name,
    ...images.map(({ path }) => path),
    labels.path,
  ]);

describe('images and label maps', () => {
  test('belong together as nnU-Net names them, channels in order, cases by number', () => {
    expect(paired('b10.nii.gz', 'b10_0001.nii.gz', 'b9.nii.gz', 'b10_0000.nii.gz', 'b9_0000.nii.gz')).toEqual([
      ['b9', 'b9_0000.nii.gz', 'b9.nii.gz'],
      ['b10', 'b10_0000.nii.gz', 'b10_0001.nii.gz', 'b10.nii.gz'],
    ]);
  });

  test('belong together as the Decathlon’s and nnU-Net’s folders have them; what is no image or hidden is left out', () => {
    const files = ['d/imagesTr/a.nii.gz', 'd/labelsTr/a.nii.gz', 'd/dataset.json', 'd/imagesTr/._a.nii.gz'];
    expect(paired(...files)).toEqual([['a', 'd/imagesTr/a.nii.gz', 'd/labelsTr/a.nii.gz']]);
    expect(paired('imagesTr/a_0000.nrrd', 'labelsTr/a.nrrd')).toEqual([
      ['a', 'imagesTr/a_0000.nrrd', 'labelsTr/a.nrrd'],
    ]);
  });

  test.each(['knee_mask.nii', 'knee-seg.nii.gz', 'knee_label.mha'])('belong together by the ending of %s', (label) => {
    expect(paired(label, 'knee.nii.gz')).toEqual([['knee', 'knee.nii.gz', label]]);
  });

  test.each([
    [
      ['a_0000.nii.gz', 'a.nii.gz', 'b_0000.nii.gz'],
      'The image b_0000.nii.gz has no label map; give b_mask.nii.gz with it, or name the two b_0000.nii.gz and b.nii.gz.',
    ],
    [['b_mask.nii.gz'], 'The label map b_mask.nii.gz has no image; give b_0000.nii.gz with it.'],
    [['a.nii', 'a_mask.nii', 'a_seg.nii'], 'a has two label maps, a_mask.nii and a_seg.nii; give one.'],
    [['x/a.nii', 'y/a.nii', 'a_seg.nii'], 'a has two images, x/a.nii and y/a.nii; give one.'],
    [['notes.txt'], 'There is no scan in what was given; give images with their label maps.'],
  ])('are refused: %j', (paths, message) => {
    expect(() => labelledFiles(given(...paths))).toThrow(InputError);
    expect(() => labelledFiles(given(...paths))).toThrow(message);
  });

  test('are told from scans alone', () => {
    expect(holdsLabels(given('a_0000.nii.gz', 'a.nii.gz', 'b_0000.nii.gz'))).toBe(true);
    expect(holdsLabels(given('a_0000.nii.gz', 'a_0001.nii.gz'))).toBe(false);
    expect(holdsLabels(given('a.nii.gz', 'IM0001', 'IM0002.dcm'))).toBe(false);
  });
});
