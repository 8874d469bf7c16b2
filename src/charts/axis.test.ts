import { expect, test } from 'vitest';
import { axis } from './axis.ts';

test.each([
  ['round numbers around the values', [0.12, 0.88], { low: 0, high: 1 }],
  ['negative ones too', [-0.83, -0.18], { low: -1, high: 0 }],
  ['a single share among all shares', [1, 1], { low: 0, high: 1 }],
  ['another single value with half of it on both sides, to round numbers', [10], { low: 4, high: 16 }],
  ['nothing at all', [], { low: 0, high: 1 }],
])('%s', (_, values, ends) => {
  const { low, high, ticks } = axis(values, 5, 0);
  expect([low, high]).toEqual([expect.closeTo(ends.low, 12), expect.closeTo(ends.high, 12)]);
  expect(ticks.length).toBeGreaterThan(2);
  expect(ticks.length).toBeLessThanOrEqual(7);
});

test('counts have ticks at whole steps and end where they end', () => {
  expect(axis([1, 15], 6, 1)).toEqual({ low: 1, high: 15, ticks: [5, 10, 15] });
});
