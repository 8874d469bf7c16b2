import { expect, test } from 'vitest';
import { filterRows, type SplineBoundary, splineCoefficients } from './spline.ts';

/** The spline at its samples: 1/6, 4/6, 1/6 of neighboring coefficients; `before` and `after` say which lie beyond. */
function atSamples(coefficients: ArrayLike<number>, boundary: SplineBoundary): number[] {
  const n = coefficients.length;
  const [before, after] = boundary === 'halfSample' ? [0, n - 1] : [1, n - 2];
  return Array.from({ length: n }, (_, i) => {
    const left = coefficients[i === 0 ? before : i - 1];
    const right = coefficients[i === n - 1 ? after : i + 1];
    return (left + 4 * coefficients[i] + right) / 6;
  });
}

test.each<SplineBoundary>(['halfSample', 'wholeSample'])('the %s spline passes through its samples', (boundary) => {
  for (const samples of [[3, 7], [1, -2, 5], Array.from({ length: 100 }, (_, i) => (i * 37) % 11)]) {
    const block = Float64Array.from(samples);
    filterRows(block, samples.length, 1, boundary);
    atSamples(block, boundary).forEach((value, i) => {
      expect(value).toBeCloseTo(samples[i], 12);
    });
  }
});

test('a single row, and a constant, are their own coefficients', () => {
  const single = Float64Array.of(4, 5);
  filterRows(single, 1, 2, 'wholeSample');
  expect([...single]).toEqual([4, 5]);
  splineCoefficients(new Float64Array(24).fill(7), [2, 3, 4], [0, 1, 2]).forEach((value) => {
    expect(value).toBeCloseTo(7, 12);
  });
});

test('axes that are not named stay', () => {
  // Two slices of one row each: only neighbors along x are asked.
  const slices = splineCoefficients(Float64Array.of(1, -2, 5, 10, 20, 30), [2, 1, 3], [1, 2]);
  atSamples(slices.subarray(0, 3), 'wholeSample').forEach((value, i) => {
    expect(value).toBeCloseTo([1, -2, 5][i], 12);
  });
  atSamples(slices.subarray(3), 'wholeSample').forEach((value, i) => {
    expect(value).toBeCloseTo([10, 20, 30][i], 12);
  });
});
