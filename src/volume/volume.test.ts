import { describe, expect, test } from 'vitest';
import {
  affineFault,
  affineOf,
  determinant,
  type Geometry,
  geometryFromAffine,
  indexToWorld,
  inverse,
  swapLpsRas,
  toSmallestIntegers,
  worldToIndex,
} from './volume.ts';

/** x runs to posterior, y to the left, z to the head; voxels of 2 x 3 x 4 mm. */
const turned: Geometry = {
  shape: [5, 6, 7],
  spacing: [2, 3, 4],
  origin: [10, 20, 30],
  direction: [0, 1, 0, 1, 0, 0, 0, 0, 1],
};

describe('geometry', () => {
  test('an index goes to its place in the patient and back', () => {
    // One step along x is 2 mm posterior, two along y are 6 mm left, three along z are 12 mm up.
    expect(indexToWorld(turned, [1, 2, 3])).toEqual([16, 22, 42]);
    expect(worldToIndex(turned, [16, 22, 42])).toEqual([1, 2, 3]);
  });

  test('the affine holds spacing times direction and the origin', () => {
    expect(affineOf(turned)).toEqual([0, 3, 0, 10, 2, 0, 0, 20, 0, 0, 4, 30]);
    expect(geometryFromAffine(affineOf(turned), turned.shape)).toEqual(turned);
  });

  test('RAS has the opposite x and y, without negative zeros', () => {
    expect(swapLpsRas(affineOf(turned))).toEqual([0, -3, 0, -10, -2, 0, 0, -20, 0, 0, 4, 30]);
    expect(swapLpsRas(swapLpsRas(affineOf(turned)))).toEqual(affineOf(turned));
  });

  test('the inverse of a matrix takes it back', () => {
    const m = [2, 1, 0, 0, 1, 3, 1, 0, 1] as const;
    const n = inverse(m);
    expect(determinant(m)).toBe(5);
    expect(n.map((value) => Math.round(value * 5))).toEqual([1, -1, 3, 3, 2, -6, -1, 1, 2]);
  });
});

describe('affineFault', () => {
  test('finds none in right-handed, left-handed and slightly rounded affines', () => {
    expect(affineFault([1, 0, 0, 5, 0, 2, 0, 5, 0, 0, 3, 5])).toBeUndefined();
    expect(affineFault([-1, 0, 0, 5, 0, 2, 0, 5, 0, 0, 3, 5])).toBeUndefined();
    expect(affineFault([1, 0.0005, 0, 5, 0, 1, 0, 5, 0, 0, 1, 5])).toBeUndefined();
  });

  test('says what is wrong', () => {
    expect(affineFault([1, 0, 0, NaN, 0, 2, 0, 5, 0, 0, 3, 5])).toBe('holds numbers that are not finite');
    expect(affineFault([1, 0, 0, 5, 0, 0, 0, 5, 0, 0, 3, 5])).toBe('gives the y axis a voxel size of 0 mm');
    expect(affineFault([1, 0, 0, 5, 0, 1, 1, 5, 0, 0, 1, 5])).toBe(
      'puts the y and z axes 45.00 degrees apart instead of 90 (as from a tilted gantry)',
    );
    expect(affineFault([1, 1, 0, 5, 0, 0, 0, 5, 0, 0, 1, 5])).toMatch(/x and y axes 0\.00 degrees/);
  });
});

describe('toSmallestIntegers', () => {
  test.each([
    [[0, 255], Uint8Array],
    [[-1, 127], Int8Array],
    [[0, 256], Uint16Array],
    [[-1, 128], Int16Array],
    [[0, 65536], Uint32Array],
    [[-1, 40000], Int32Array],
  ])('%j', (values, type) => {
    const small = toSmallestIntegers(Float64Array.from(values));
    expect(small).toBeInstanceOf(type);
    expect([...small]).toEqual(values);
  });

  test('refuses what is no label', () => {
    expect(() => toSmallestIntegers(Float32Array.of(1, 0.5))).toThrow('0.5 at voxel 1 is no integer');
    expect(() => toSmallestIntegers(Float64Array.of(-1, 2 ** 31))).toThrow('from -1 to 2147483648');
  });
});
