import { describe, expect, it } from 'vitest';
import { type Deviation, gradientDeviation, largestMagnitude, passed } from './deviation.ts';

const row = (got: number[], wanted: number[], largest: number): Deviation => ({
  set: 'drawn',
  tensor: 'w',
  ...gradientDeviation(got, wanted, largest),
});

describe('the bound of a gradient', () => {
  it('is a thousandth of the element and a hundred-thousandth of the largest of all', () => {
    // |2.001 - 2| = 0.001 of 0.001 * 2 + 1e-5 * 100 = 0.003.
    expect(row([2.001], [2], 100).bound).toMatchObject({ absolute: 0.001, relative: 0.001 });
    expect(row([2.001], [2], 100).bound!.taken).toBeCloseTo(1 / 3, 10);
    expect(passed(row([2.0029], [2], 100))).toBe(true);
    expect(passed(row([2.0031], [2], 100))).toBe(false);
  });

  it('lets an element that is almost 0 be off by what the largest cannot know', () => {
    expect(passed(row([1e-6, 0], [3e-6, 0], 1))).toBe(true);
    expect(passed(row([1e-6, 0], [3e-6, 0], 0.1))).toBe(false);
  });

  it('is broken by what is no number, wherever it stands', () => {
    expect(passed(row([Number.NaN, 1], [1, 1], 1))).toBe(false);
    expect(passed(row([1, Number.NaN], [1, 1], 1))).toBe(false);
  });

  it('is not asked where the number of elements differs', () => {
    expect(() => row([1], [1, 2], 1)).toThrow('1 elements, expected 2');
  });

  it('takes the largest magnitude over all tensors', () => {
    expect(largestMagnitude([[1, -5], [3]])).toBe(5);
  });
});
