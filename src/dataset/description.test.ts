import { describe, expect, test } from 'vitest';
import { InputError } from '../errors.ts';
import { declaredValues, parseDataset, plannedRegions, writtenLabels } from './description.ts';

const json = {
  name: 'Liver',
  channel_names: { 0: 'CT' },
  labels: { background: 0, liver: 1, tumor: 2 },
  numTraining: 3,
  file_ending: '.nii.gz',
};

describe('dataset.json', () => {
  test('names channels, labels and the ending of files', () => {
    expect(parseDataset(json, 'Dataset001_Liver')).toEqual({
      name: 'Dataset001_Liver',
      channels: ['CT'],
      labels: [
        { name: 'background', values: [0] },
        { name: 'liver', values: [1] },
        { name: 'tumor', values: [2] },
      ],
      regionsClassOrder: undefined,
      ignoreLabel: undefined,
      fileEnding: '.nii.gz',
      files: undefined,
    });
  });

  test('of ten channels and more has them in the order of their numbers', () => {
    const channel_names = Object.fromEntries(Array.from({ length: 11 }, (_, c) => [c, `channel ${c}`]).reverse());
    expect(parseDataset({ ...json, channel_names }, 'D').channels[10]).toBe('channel 10');
  });

  test('of the older form has modality, and labels from value to name', () => {
    const { channels, labels } = parseDataset(
      { modality: { 0: 'MRI' }, labels: { 0: 'background', 2: 'Posterior', 1: 'Anterior' } },
      'Task04_Hippocampus',
    );
    expect(channels).toEqual(['MRI']);
    expect(labels.map(({ name, values }) => [name, ...values])).toEqual([
      ['background', 0],
      ['Anterior', 1],
      ['Posterior', 2],
    ]);
  });

  test('names the values that a network of regions writes by what later regions leave of them', () => {
    const labels = { background: 0, whole: [1, 2, 3], core: [2, 3], enhancing: [3] };
    const nested = parseDataset({ ...json, labels, regions_class_order: [1, 2, 3] }, 'D');
    expect(writtenLabels(nested)).toEqual([
      { value: 0, name: 'background' },
      { value: 1, name: 'whole without core' },
      { value: 2, name: 'core without enhancing' },
      { value: 3, name: 'enhancing' },
    ]);
    expect(plannedRegions(nested)).toEqual({
      regions: [
        { name: 'whole', labels: [1, 2, 3] },
        { name: 'core', labels: [2, 3] },
        { name: 'enhancing', labels: [3] },
      ],
      regionsClassOrder: [1, 2, 3],
    });
    const plain = parseDataset(json, 'D');
    expect(plannedRegions(plain)).toEqual({});
    expect(writtenLabels(plain)).toEqual(plain.labels.map(({ name, values: [value] }) => ({ value, name })));
  });

  test('may have regions, in their own order', () => {
    const labels = { background: 0, whole: [1, 2, 3], core: [2, 3], enhancing: 3 };
    const description = parseDataset({ ...json, labels, regions_class_order: [1, 2, 3] }, 'D');
    expect(description.labels.map(({ name }) => name)).toEqual(['background', 'whole', 'core', 'enhancing']);
    expect(description.regionsClassOrder).toEqual([1, 2, 3]);
    expect(declaredValues(description)).toEqual([0, 1, 2, 3]);
  });

  test('may have a label that nothing is learned from', () => {
    const description = parseDataset({ ...json, labels: { ...json.labels, ignore: 3 } }, 'D');
    expect(description.ignoreLabel).toBe(3);
    expect(description.labels).toHaveLength(3);
    expect(declaredValues(description)).toEqual([0, 1, 2, 3]);
  });

  test('may list its files', () => {
    const dataset = { a: { images: ['elsewhere/a.nii.gz'], label: 'masks/a.nii.gz' } };
    expect(parseDataset({ ...json, dataset }, 'D').files?.get('a')).toEqual(dataset.a);
  });

  test.each<[string, unknown, string]>([
    ['nothing', null, 'dataset.json of D: Invalid input'],
    ['no channels', { ...json, channel_names: undefined }, 'dataset.json of D at channel_names: is missing.'],
    ['channels with a gap', { ...json, channel_names: { 0: 'T1', 2: 'T2' } }, 'from 0 on without a gap, not 0, 2.'],
    [
      'channels without numbers',
      { ...json, channel_names: { T1: 'T1' } },
      'channel_names.T1: channels are numbered, from "0" on.',
    ],
    ['labels of another form', { ...json, labels: { background: 'none' } }, 'labels must be a number for each name'],
    ['labels with a gap', { ...json, labels: { background: 0, liver: 2 } }, 'without a gap, not 0, 2; renumber them.'],
    ['no foreground', { ...json, labels: { background: 0 } }, 'without a gap, not 0; renumber them.'],
    ['no background', { ...json, labels: { all: [0, 1], liver: 1 } }, 'a label of its own must be 0, the background.'],
    ['one number twice', { ...json, labels: { background: 0, a: 1, b: 1 } }, 'two labels have the number 1'],
    [
      'an ignore label in between',
      { ...json, labels: { background: 0, ignore: 1, a: 2 } },
      'the highest number, 2, not 1',
    ],
    [
      'a region with the number of the ignore label',
      { ...json, labels: { background: 0, a: [1, 2], b: [2], ignore: 2 }, regions_class_order: [1, 2] },
      'a has the number of the label "ignore", 2',
    ],
    ['regions without an order', { ...json, labels: { background: 0, a: [1, 2], b: 2 } }, 'must have 2 numbers'],
    [
      'a case whose name leads elsewhere',
      { ...json, dataset: { '../a': { images: ['a.nii.gz'], label: 'b.nii.gz' } } },
      'dataset.json of D at dataset.../a: a case needs a name without slashes that begins with no dot.',
    ],
    ['pictures', { ...json, file_ending: '.png' }, '"file_ending" is ".png"; images that can be read end in .nii.gz'],
  ])('is refused with a sentence for %s', (_, value, message) => {
    expect(() => parseDataset(value, 'D')).toThrow(InputError);
    expect(() => parseDataset(value, 'D')).toThrow(message);
  });
});
