import { describe, expect, test } from 'vitest';
import { curveOf, roundMarks, smoothed } from './curve.ts';

describe('the curve of the loss', () => {
  const box = { left: 0, right: 100, top: 0, bottom: 110 };

  test('goes from the first step at the left to the last at the right, and down where the loss falls', () => {
    // Of the range 1 to 2, a twentieth is left free on either side: 110 pixels for 1.1.
    const { raw, end } = curveOf([2, 1, 1.5], 5, box);
    expect(raw).toBe('M0.0 5.0L25.0 105.0L50.0 55.0');
    expect(end![0]).toBe(50);
  });

  test('is smoothed by what was before, and begins at the first loss', () => {
    expect(smoothed([2, 1])).toEqual([2, (0.9 * 2 + 1) / 1.9]);
    expect(smoothed(Array(40).fill(3)).at(-1)).toBeCloseTo(3, 12);
    expect(smoothed([])).toEqual([]);
  });

  test('has round numbers beside it', () => {
    expect(roundMarks(0.93, 2.07, 5)).toEqual([1, 1.5, 2]);
    expect(roundMarks(-0.31, 0.12, 4)).toEqual([-0.2, 0]);
    expect(curveOf([2, 1], 100, { ...box, bottom: 220 }).up.map(({ text }) => text)).toEqual(['1.0', '1.5', '2.0']);
  });

  test('is empty before the first step, and stands where all losses are the same', () => {
    expect(curveOf([], 10, box)).toMatchObject({ raw: '', smooth: '', end: undefined, up: [] });
    expect(curveOf([1, 1], 2, box).raw).toBe('M0.0 55.0L100.0 55.0');
    expect(curveOf([1], 1, box).raw).toBe('M0.0 55.0');
  });
});
