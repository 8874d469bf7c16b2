import { describe, expect, it } from 'vitest';
import { gather, isContiguous, viewCount, viewEnd } from './strided.ts';

const numbers = Int32Array.from({ length: 12 }, (_, i) => i);

function copy(shape: number[], stride: number[], offset: number): number[] {
  const out = new Int32Array(viewCount(shape));
  gather<number>(numbers, shape, stride, offset, out);
  return [...out];
}

describe('a strided view of 0..11', () => {
  it('transposed, 4x3 of 3x4', () => expect(copy([4, 3], [1, 4], 0)).toEqual([0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]));
  it('every second of the last row', () => expect(copy([2], [2], 8)).toEqual([8, 10]));
  it('one number three times', () => expect(copy([3], [0], 5)).toEqual([5, 5, 5]));
  it('a scalar', () => expect(copy([], [], 11)).toEqual([11]));
  it('a 2x2x2 corner of 2x2x3', () => expect(copy([2, 2, 2], [6, 3, 1], 1)).toEqual([1, 2, 4, 5, 7, 8, 10, 11]));
  it('that is empty', () => expect(copy([2, 0], [5, 1], 99)).toEqual([]));
  it('that reaches further is no view of it', () => {
    expect(viewEnd([2, 3], [6, 3], 0)).toBe(13);
    expect(() => copy([2, 3], [6, 3], 0)).toThrow(RangeError);
  });
});

describe('contiguous', () => {
  it('means C order, whatever the stride of an axis of length 1', () => {
    expect(isContiguous([2, 1, 3], [3, 77, 1])).toBe(true);
    expect(isContiguous([2, 3], [1, 2])).toBe(false);
    expect(isContiguous([0, 3], [9, 9])).toBe(true);
  });
  it('counts no elements beside an empty axis, however long the others', () => {
    expect(viewCount([2 ** 53 - 1, ...new Array(30).fill(2 ** 53 - 1), 0])).toBe(0);
  });
});
