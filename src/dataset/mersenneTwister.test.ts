import { describe, expect, test } from 'vitest';
import { hasShared, sharedJson } from '../../test/shared.ts';
import { legacyInteger, legacyPermutation, mersenneTwister } from './mersenneTwister.ts';

interface Reference {
  splits: { n: number; permutation: number[] }[];
  mt19937: { seed: number; first_uint32: number[]; draw_1000th_uint32: number }[];
  randint: { n: number; k: number; seed: number; values: number[] }[];
}

test('the seed 5489 gives the number at place 10000 that the C++ standard demands of MT19937', () => {
  const next = mersenneTwister(5489);
  for (let i = 1; i < 10_000; i++) next();
  expect(next()).toBe(4123659995);
});

test('one thing has one order, and nothing has none', () => {
  expect(legacyPermutation(1, 12345)).toEqual([0]);
  expect(legacyPermutation(0, 12345)).toEqual([]);
});

describe.skipIf(!hasShared)("NumPy's legacy generator", () => {
  const reference = hasShared ? sharedJson<Reference>('golden', 'volumes', 'splits.json') : undefined!;

  test('gives the same numbers', () => {
    for (const { seed, first_uint32, draw_1000th_uint32 } of reference.mt19937) {
      const next = mersenneTwister(seed);
      const drawn = Array.from({ length: 1000 }, next);
      expect(drawn.slice(0, first_uint32.length)).toEqual(first_uint32);
      expect(drawn[999]).toBe(draw_1000th_uint32);
    }
  });

  test('shuffles in the same way', () => {
    for (const { n, permutation } of reference.splits) expect(legacyPermutation(n, 12345)).toEqual(permutation);
  });

  test('draws whole numbers in the same way', () => {
    for (const { n, k, seed, values } of reference.randint) {
      const next = mersenneTwister(seed);
      expect(Array.from({ length: k }, () => legacyInteger(next, n - 1))).toEqual(values);
    }
  });
});
