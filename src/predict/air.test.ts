import { describe, expect, test } from 'vitest';
import { airDetector } from './air.ts';

/** 1000 voxels: noise up to 4 in the first half, 100 to 500 in the other. */
const scan = Float32Array.from({ length: 1000 }, (_, i) => (i < 500 ? i % 5 : 100 + (i % 401)));

describe('air', () => {
  test('is noise at the floor of the intensities, and padding', () => {
    const isAir = airDetector(scan, [10, 10, 10]);
    expect(isAir(Float32Array.of(0, 4, 2, 3))).toBe(true);
    expect(isAir(new Float32Array(4))).toBe(true);
  });

  test('is not a tile with one voxel of something', () => {
    const isAir = airDetector(scan, [10, 10, 10]);
    expect(isAir(Float32Array.of(0, 4, 100, 3))).toBe(false);
    expect(isAir(Float32Array.of(0, 4, Number.NaN, 3))).toBe(false);
  });

  test('must be air in every channel', () => {
    const two = new Float32Array(2000);
    two.set(scan);
    two.set(scan, 1000);
    const isAir = airDetector(two, [10, 10, 10]);
    expect(isAir(Float32Array.of(1, 1, 2, 2))).toBe(true);
    expect(isAir(Float32Array.of(1, 1, 2, 200))).toBe(false);
  });

  test('is found in a clipped CT, where much lies exactly on the floor', () => {
    const clipped = scan.map((value) => Math.max(value, 50));
    const isAir = airDetector(clipped, [10, 10, 10]);
    expect(isAir(Float32Array.of(50, 50))).toBe(true);
    expect(isAir(Float32Array.of(50, 61))).toBe(false);
  });
});
