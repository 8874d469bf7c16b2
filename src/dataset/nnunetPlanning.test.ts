import { describe, expect, test } from 'vitest';
import { nnunetPlan, nnunetTargetSpacing, nnunetTopology, type PlannedData } from './nnunetPlanning.ts';

// The reference plans are replayed by `unetrpp verify planning.json` (src/cli/verify.test.ts).

describe('the target spacing', () => {
  const size = (shape: number[], count: number) => Array.from({ length: count }, () => shape);

  test('is the median of each axis', () => {
    const spacings = [
      [1, 2, 3],
      [3, 2, 1],
      [2, 5, 1],
    ];
    expect(nnunetTargetSpacing(spacings, size([40, 40, 40], 3))).toEqual([2, 2, 1]);
  });

  test('of slices that are few and far apart is finer: the 10th percentile', () => {
    const spacings = [5, 10, 10].map((z) => [z, 1, 1]);
    // Ranks 0, 1, 2; the 10th percentile lies at 0.2: 5 + 0.2 * 5.
    expect(nnunetTargetSpacing(spacings, size([10, 200, 200], 3))).toEqual([6, 1, 1]);
    // As many slices as a third of the rows: the median stays.
    expect(nnunetTargetSpacing(spacings, size([70, 200, 200], 3))).toEqual([10, 1, 1]);
  });

  test('of slices is not finer than that of the other axes', () => {
    const spacings = [0.5, 10, 10].map((z) => [z, 3, 2]);
    // The 10th percentile would be 0.5 + 0.2 * 9.5 = 2.4.
    expect(nnunetTargetSpacing(spacings, size([10, 200, 200], 3))).toEqual([3 + 1e-5, 3, 2]);
  });
});

describe('the topology', () => {
  test('halves axes together once their spacings are within a factor of 2', () => {
    // 4 x 1 x 1 mm: in-plane alone until it is 4 mm too (2 halvings would be 4; at 2 mm 4 / 2 is still 2).
    const { strides, kernels, patch, halvings } = nnunetTopology([4, 1, 1], [16, 64, 64]);
    expect(strides).toEqual([
      [1, 1, 1],
      [1, 2, 2],
      [1, 2, 2],
      [2, 2, 2],
      [2, 2, 2],
    ]);
    expect(kernels).toEqual([
      [1, 3, 3],
      [1, 3, 3],
      [3, 3, 3],
      [3, 3, 3],
      [3, 3, 3],
    ]);
    expect(halvings).toEqual([2, 4, 4]);
    expect(patch).toEqual([16, 64, 64]);
  });

  test('pads the patch to what can be halved', () => {
    expect(nnunetTopology([1, 1, 1], [36, 50, 35])).toMatchObject({ patch: [40, 56, 40], divisors: [8, 8, 8] });
    // A median may be half a voxel.
    expect(nnunetTopology([5, 1.5, 1.5], [16.5, 64, 64]).patch[0]).toBe(20);
  });
});

describe('a plan', () => {
  const data: PlannedData = {
    spacings: [[1, 1, 5]],
    shapes: [[100, 120, 20]],
    medianRelativeSize: 0.5,
    channels: ['CT', 'T1', 'noNorm'],
    classes: 2,
    trainingCases: 10,
  };

  test('turns the axis of the largest spacing to the front', () => {
    const plan = nnunetPlan('plain', data);
    expect(plan.transposeForward).toEqual([2, 0, 1]);
    expect(plan.transposeBackward).toEqual([1, 2, 0]);
    expect(plan.medianShape).toEqual([20, 100, 120]);
    expect(plan.configurations['2d'].spacing).toEqual([1, 1]);
  });

  test('uses the mask for z-score alone, where cropping takes a quarter or more', () => {
    const { useMask, schemes } = nnunetPlan('plain', data).configurations['2d'];
    expect(schemes).toEqual(['CTNormalization', 'ZScoreNormalization', 'NoNormalization']);
    expect(useMask).toEqual([false, true, false]);
    expect(nnunetPlan('plain', { ...data, medianRelativeSize: 0.75 }).configurations['2d'].useMask).toEqual([
      false,
      false,
      false,
    ]);
  });

  test('of single slices has no 3-D configuration', () => {
    const slices = { ...data, spacings: [[999, 1, 1]], shapes: [[1, 64, 64]] };
    expect(Object.keys(nnunetPlan('resEncL', slices).configurations)).toEqual(['2d']);
  });

  test('of no cases does not exist', () => {
    expect(() => nnunetPlan('plain', { ...data, spacings: [], shapes: [] })).toThrow(RangeError);
  });
});
