import { describe, expect, test } from 'vitest';
import { identityDirection, type Vector3, type Volume } from '../volume/volume.ts';
import { largestDisagreement, overlayPicture } from './overlay.ts';

/** Zeros but for the given voxels (z, y, x). */
function drawn(shape: Vector3, spacing: Vector3, ...marks: readonly (readonly [Vector3, number])[]): Volume {
  const data = new Uint8Array(shape[0] * shape[1] * shape[2]);
  for (const [[z, y, x], value] of marks) data[(z * shape[1] + y) * shape[2] + x] = value;
  return { data, channels: 1, shape, spacing, origin: [0, 0, 0], direction: identityDirection };
}

describe('largestDisagreement', () => {
  const shape: Vector3 = [4, 4, 4];
  const cube = (...marks: readonly (readonly [Vector3, number])[]) => drawn(shape, [1, 1, 1], ...marks);

  test('goes through the voxel whose slices differ most', () => {
    const reference = cube([[1, 1, 1], 1], [[2, 1, 1], 1], [[0, 3, 3], 1], [[1, 0, 1], 1]);
    const prediction = cube([[1, 0, 1], 1]);
    // Of the three that differ, two share y = 1 and x = 1; the first of them has the lower z.
    expect(largestDisagreement(reference, prediction, [1])).toEqual([1, 1, 1]);
  });

  test('slices count by their area in the patient', () => {
    // Along x 10 mm: the slice x = 0 has 1 mm2 for a voxel, y = 3 and z = 3 have 10 mm2 each.
    const far = [
      [[3, 3, 1], 1],
      [[3, 3, 2], 1],
    ] as const;
    const many = [
      [[0, 0, 0], 1],
      [[1, 1, 0], 1],
      [[2, 2, 0], 1],
    ] as const;
    const empty = drawn(shape, [10, 1, 1]);
    expect(largestDisagreement(drawn(shape, [10, 1, 1], ...far, ...many), empty, [1])).toEqual([3, 3, 1]);
  });

  test('labels other than the one asked for do not count, a region is one label', () => {
    const reference = cube([[0, 0, 0], 1], [[1, 1, 1], 2], [[3, 3, 3], 3]);
    const prediction = cube([[0, 0, 0], 2], [[1, 1, 1], 1]);
    expect(largestDisagreement(reference, prediction, [3])).toEqual([3, 3, 3]);
    expect(largestDisagreement(reference, prediction, [1, 2, 3])).toEqual([3, 3, 3]);
    expect(largestDisagreement(reference, prediction, [1])).toEqual([0, 0, 0]);
  });

  test('where nothing differs it shows the label, and without any the middle', () => {
    const same = cube([[3, 2, 1], 1]);
    expect(largestDisagreement(same, same, [1])).toEqual([3, 2, 1]);
    expect(largestDisagreement(same, same, [2])).toEqual([2, 2, 2]);
  });
});

test('the picture shows what is labelled with its surroundings, not the whole scan', () => {
  const shape: Vector3 = [3, 400, 400];
  const spacing: Vector3 = [1, 1, 10];
  const image = drawn(shape, spacing);
  const reference = drawn(shape, spacing, [[1, 200, 200], 1]);
  const { width, height } = overlayPicture(image, reference, image, [1], { width: 500 });
  // A voxel of 1 mm grows to 80 mm: 81 x 81 mm axial, beside 81 x 30 and 81 x 30.
  const pixelsPerMm = (500 - 4 * 12) / (3 * 81);
  expect([width, height]).toEqual([500, Math.round(81 * pixelsPerMm) + 24]);
});
