import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../test/shared.ts';
import type { Tensor } from '../tensor.ts';
import { readSafetensors } from '../weights/safetensors.ts';
import { distanceTransform } from './distanceTransform.ts';
import type { Vector3 } from './volume.ts';

describe('distanceTransform', () => {
  test('one target in a plane, rows 2 mm and columns 1 mm apart', () => {
    const targets = Uint8Array.of(0, 0, 0, 1, 0, 0);
    expect([...distanceTransform(targets, [1, 2, 3], [5, 2, 1])]).toEqual(
      [4, 5, 8, 0, 1, 4].map((squared) => Math.sqrt(squared)),
    );
  });

  test('the nearer of two targets along z, 3 mm a slice', () => {
    expect([...distanceTransform(Uint8Array.of(1, 0, 0, 0, 1), [5, 1, 1], [3, 1, 1])]).toEqual([0, 3, 6, 3, 0]);
  });

  test('without a target every voxel is infinitely far', () => {
    expect([...distanceTransform(Uint8Array.of(0, 0), [1, 1, 2], [1, 1, 1])]).toEqual([Infinity, Infinity]);
  });

  test('is the smallest distance over all targets, on any grid', () => {
    const spacings = fc.tuple(...[0, 1, 2].map(() => fc.double({ min: 0.1, max: 9, noNaN: true })));
    const shapes = fc.tuple(...[0, 1, 2].map(() => fc.integer({ min: 1, max: 6 })));
    fc.assert(
      fc.property(shapes, spacings, fc.infiniteStream(fc.boolean()), (shape, spacing, draws) => {
        const [nz, ny, nx] = shape;
        const targets = Uint8Array.from({ length: nz * ny * nx }, () =>
          Number(draws.next().value && draws.next().value),
        );
        const found = distanceTransform(targets, shape as unknown as Vector3, spacing as unknown as Vector3);
        const place = (i: number) => [Math.floor(i / (ny * nx)), Math.floor(i / nx) % ny, i % nx];
        found.forEach((distance, i) => {
          const nearest = targets.reduce((least, target, j) => {
            const apart = place(i).map((at, axis) => (at - place(j)[axis]) * spacing[axis]);
            return target ? Math.min(least, Math.hypot(...apart)) : least;
          }, Infinity);
          if (nearest === Infinity) expect(distance).toBe(Infinity);
          else expect(Math.abs(distance - nearest)).toBeLessThanOrEqual(1e-12 * (1 + nearest));
        });
      }),
      { numRuns: 60 },
    );
  });
});

describe.skipIf(!hasShared)('reference values', () => {
  const { distance_transform } = hasShared
    ? sharedJson<{
        distance_transform: readonly { name: string; targets: string; distance: string; spacing: Vector3 }[];
      }>('golden', 'volumes', 'components.json')
    : { distance_transform: [] };
  const { tensors } = hasShared
    ? readSafetensors(sharedBytes('golden', 'volumes', 'components.safetensors'))
    : { tensors: new Map<string, Tensor>() };

  test.each(distance_transform)('$name', ({ targets, distance, spacing }) => {
    const { data, shape } = tensors.get(targets) as Tensor<'uint8'>;
    const expected = tensors.get(distance) as Tensor<'float64'>;
    const found = distanceTransform(data, shape as unknown as Vector3, spacing);
    expect(found.length).toBe(expected.data.length);
    found.forEach((value, i) => {
      expect(Math.abs(value - expected.data[i])).toBeLessThanOrEqual(1e-12 * Math.max(1, expected.data[i]));
    });
  });
});
