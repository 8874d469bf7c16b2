import { describe, expect, test } from 'vitest';
import { hasShared, sharedJson } from '../../test/shared.ts';
import { InputError } from '../errors.ts';
import { patientsByName } from './patients.ts';
import { nnunetSplit, parseSplits, patientSplit, splitOf } from './split.ts';

const ten = Array.from({ length: 10 }, (_, i) => `case_${i}`);

describe("nnU-Net's rule", () => {
  test('holds two of ten cases out for validation, each in one fold', () => {
    const folds = [0, 1, 2, 3, 4].map((fold) => nnunetSplit(ten, fold));
    // The shuffled order of ten is 0 7 3 9 6 4 1 8 5 2.
    expect(folds.map(({ validation }) => validation.join(' '))).toEqual([
      'case_0 case_7',
      'case_3 case_9',
      'case_4 case_6',
      'case_1 case_8',
      'case_2 case_5',
    ]);
    expect(folds[0].train).toEqual(['case_1', 'case_2', 'case_3', 'case_4', 'case_5', 'case_6', 'case_8', 'case_9']);
  });

  test('does not ask in which order the cases come', () => {
    expect(nnunetSplit([...ten].reverse(), 2)).toEqual(nnunetSplit(ten, 2));
  });

  test('sorts names as text', () => {
    expect(nnunetSplit(['c10', 'c9', 'c1', 'c2', 'C3'], 0).validation).toEqual(['C3']);
  });

  test('wants five cases', () => {
    expect(() => nnunetSplit(ten.slice(0, 4), 0)).toThrow(InputError);
    expect(() => nnunetSplit(ten.slice(0, 4), 0)).toThrow(
      '4 cases are too few for 5 folds; take the fold "all", or write splits_final.json.',
    );
  });

  test.skipIf(!hasShared)('is that of the reference, beyond the fifth fold too', () => {
    const reference = sharedJson<{
      splits: { n: number; validation_indices_per_fold: number[][] }[];
      fallback_80_20: { n: number; fold: number; train: number[]; val: number[] }[];
    }>('golden', 'volumes', 'splits.json');
    const named = (n: number) => Array.from({ length: n }, (_, i) => String(i).padStart(4, '0'));
    for (const { n, validation_indices_per_fold } of reference.splits) {
      validation_indices_per_fold.forEach((indices, fold) => {
        expect(nnunetSplit(named(n), fold).validation.map(Number)).toEqual(indices);
      });
    }
    for (const { n, fold, train, val } of reference.fallback_80_20) {
      const split = nnunetSplit(named(n), fold);
      expect(split.train.map(Number)).toEqual(train);
      expect(split.validation.map(Number)).toEqual(val);
    }
  });

  test.skipIf(!hasShared)('gives the splits that lie beside the hippocampus data', () => {
    const written = sharedJson<{ train: string[]; val: string[] }[]>(
      'data',
      'Dataset004_Hippocampus',
      'splits_final.json',
    );
    written.forEach(({ train, val }, fold) => {
      expect(nnunetSplit([...train, ...val], fold)).toEqual({ train, validation: val });
    });
  });
});

/** Two frames of each patient. */
const frames = (count: number) =>
  Array.from({ length: count }, (_, p) => `patient00${p}`).flatMap((patient) => [
    `${patient}_frame01`,
    `${patient}_frame07`,
  ]);

describe('the split by patient', () => {
  test('holds one of five patients out, with all of its cases', () => {
    const patients = patientsByName(frames(5).reverse())!;
    const folds = [0, 1, 2, 3, 4].map((fold) => patientSplit(patients, fold));
    for (const { train, validation } of folds) {
      expect(train).toHaveLength(8);
      expect(validation[0].slice(0, 10)).toBe(validation[1].slice(0, 10));
      expect([...train, ...validation].sort()).toEqual(frames(5));
    }
    expect(folds.flatMap(({ validation }) => validation).sort()).toEqual(frames(5));
  });

  test('is taken where patients are known and no splits are', () => {
    const patients = patientsByName(frames(7))!;
    expect(splitOf(frames(7), undefined, 3, patients)).toEqual(patientSplit(patients, 3));
    const splits = [{ train: ['patient000_frame01'], validation: ['patient001_frame01'] }];
    expect(splitOf(frames(7), splits, 0, patients)).toEqual(splits[0]);
  });

  test('has five folds and wants five patients', () => {
    expect(() => patientSplit(patientsByName(frames(4))!, 0)).toThrow('4 patients are too few for 5 folds');
    expect(() => patientSplit(patientsByName(frames(5))!, 5)).toThrow(
      'There is no fold 5: a data set that names its patients has 5 (0 to 4); give one of them, or "all".',
    );
  });

  test.skipIf(!hasShared)("is nnU-Net's for ACDC, as it lies beside the data", () => {
    const written = sharedJson<{ train: string[]; val: string[] }[]>('data', 'Dataset027_ACDC', 'splits_final.json');
    const patients = patientsByName([...written[0].train, ...written[0].val])!;
    written.forEach(({ train, val }, fold) => {
      expect(patientSplit(patients, fold)).toEqual({ train, validation: val });
    });
  });
});

describe('splits_final.json', () => {
  test('that has a patient on both sides is refused where patients are known', () => {
    const cases = frames(2);
    const json = [{ train: [cases[0], cases[2]], val: [cases[3]] }];
    expect(parseSplits(json, cases)).toHaveLength(1);
    expect(() => parseSplits(json, cases, 'splits_final.json', patientsByName(cases))).toThrow(
      'splits_final.json: fold 0 trains on patient001 (patient001_frame01) and is validated on the same patient ' +
        '(patient001_frame07); move all cases of a patient to one side.',
    );
  });

  test('decides where it is there', () => {
    const splits = parseSplits([{ train: ['case_1', 'case_2'], val: ['case_3'] }], ten);
    expect(splitOf(ten, splits, 0)).toEqual({ train: ['case_1', 'case_2'], validation: ['case_3'] });
    expect(() => splitOf(ten, splits, 1)).toThrow(
      'There is no fold 1: the split that is given has one, 0; give that, or "all".',
    );
    expect(() => splitOf(ten, [...splits, ...splits], 2)).toThrow('has 2, 0 to 1; give one of them, or "all".');
  });

  test.each(['val', 'test'])('may be a single split with "%s"', (key) => {
    const splits = parseSplits({ rule: 'by hand', train: ['case_1', 'case_2'], [key]: ['case_3'] }, ten);
    expect(splits).toEqual([{ train: ['case_1', 'case_2'], validation: ['case_3'] }]);
  });

  test.each([
    ['an unknown case', [{ train: ['case_1'], val: ['case_x'] }], 'fold 0 names the case case_x, which the data set'],
    ['a case on both sides', [{ train: ['case_1'], val: ['case_1'] }], 'the case case_1 in "train" and in "val"'],
    ['a case that is named twice', [{ train: ['case_1', 'case_1'], val: ['case_2'] }], 'case_1 twice in "train"'],
    ['an empty fold', [{ train: [], val: ['case_2'] }], '"train" of fold 0 is empty'],
    ['no folds', [], 'splits_final.json: Too small'],
    ['another form', { folds: ['case_1'] }, 'it must be a list of folds'],
    ['a split without cases to judge', { train: ['case_1'] }, 'splits_final.json at 0.val'],
    ['a missing part', [{ train: ['case_1'] }], 'splits_final.json at 0.val'],
  ])('is refused for %s', (_, json, message) => {
    expect(() => parseSplits(json, ten)).toThrow(InputError);
    expect(() => parseSplits(json, ten)).toThrow(message);
  });
});

describe('a fold', () => {
  test('of the name "all" trains and validates on every case', () => {
    expect(splitOf(['b', 'a'], undefined, 'all')).toEqual({ train: ['a', 'b'], validation: ['a', 'b'] });
  });

  test.each([-1, 0.5, Number.NaN])('is not %d', (fold) => {
    expect(() => splitOf(ten, undefined, fold)).toThrow(`${fold} is no fold; give its number, from 0 on, or "all".`);
  });
});
