import { describe, expect, test } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../../test/shared.ts';
import type { Vector3 } from '../../volume/volume.ts';
import { readSafetensors } from '../../weights/safetensors.ts';
import type { Patch } from './patch.ts';
import { centerCrop, initialPatchShape, rotationMatrix, transformPatch } from './spatial.ts';

const degrees = (angle: number) => (angle * Math.PI) / 180;

/** One channel of one slice; the labels are the rounded intensities. */
function slice(rows: number[][]): Patch<Float64Array> {
  const values = rows.flat();
  return {
    shape: [1, rows.length, rows[0].length],
    channels: 1,
    image: Float64Array.from(values),
    labels: Int16Array.from(values),
  };
}

const still = { angles: [0, 0, 0], scale: [1, 1, 1] } as const;
const turn = { angles: [Math.PI / 2, 0, 0], scale: [1, 1, 1], inPlane: true } as const;

describe('transformPatch', () => {
  const corner = slice([
    [1, 2, 3],
    [4, 5, 6],
    [7, 8, 9],
  ]);

  test('no rotation at scale 1 gives the patch back, at every order', () => {
    for (const imageOrder of [0, 1, 3] as const) {
      for (const inPlane of [true, false]) {
        const found = transformPatch(corner, [1, 3, 3], { ...still, inPlane }, { imageOrder, labelOrder: 1 });
        found.image.forEach((value, i) => {
          expect(value).toBeCloseTo(corner.image[i], 12);
        });
        expect(found.labels).toEqual(corner.labels);
      }
    }
  });

  test('a quarter turn about axis 0 brings the last column to the first row', () => {
    const wider = slice([
      [0, 0, 0, 0, 0],
      [0, 1, 2, 3, 0],
      [0, 4, 5, 6, 0],
      [0, 7, 8, 9, 0],
      [0, 0, 0, 0, 0],
    ]);
    const found = transformPatch(wider, [1, 3, 3], turn, { imageOrder: 1, labelOrder: 1 });
    expect([...found.labels]).toEqual([3, 6, 9, 2, 5, 8, 1, 4, 7]);
    found.image.forEach((value, i) => {
      expect(value).toBeCloseTo(found.labels[i], 12);
    });
  });

  test('scale 2 reads every other voxel; what lies outside is 0, and -1 in labels of order 0', () => {
    const row = slice([[1, 2, 3, 4, 5]]);
    const zoomOut = { angles: [0, 0, 0], scale: [1, 1, 2] } as const;
    const linear = transformPatch(row, [1, 1, 5], zoomOut, { imageOrder: 1, labelOrder: 1 });
    expect([...linear.image]).toEqual([0, 1, 3, 5, 0]);
    expect([...linear.labels]).toEqual([0, 1, 3, 5, 0]);
    const nearest = transformPatch(row, [1, 1, 5], zoomOut, { imageOrder: 0, labelOrder: 0 });
    expect([...nearest.image]).toEqual([0, 1, 3, 5, 0]);
    expect([...nearest.labels]).toEqual([-1, 1, 3, 5, -1]);
  });

  test('half way between two labels the larger one wins, between four none', () => {
    const row = slice([[2, 3]]);
    expect([...transformPatch(row, [1, 1, 1], still).labels]).toEqual([3]);
    const four = slice([
      [1, 2],
      [3, 4],
    ]);
    expect([...transformPatch(four, [1, 1, 1], still).labels]).toEqual([0]);
  });

  test('slices that are turned by themselves do not mix', () => {
    const two: Patch<Float64Array> = {
      shape: [2, 3, 3],
      channels: 1,
      image: Float64Array.from({ length: 18 }, (_, i) => (i < 9 ? 1 : 100)),
      labels: new Int16Array(18),
    };
    const { image } = transformPatch(two, [2, 1, 1], { ...turn, angles: [0.3, 0, 0] });
    expect(image[0]).toBeCloseTo(1, 12);
    expect(image[1]).toBeCloseTo(100, 12);
    expect(() => transformPatch(two, [1, 1, 1], turn)).toThrow(/2 slices .* cannot become 1/);
  });
});

test('the middle of a patch; an odd remainder stays at the upper end', () => {
  const patch = slice([[1, 2, 3, 4, 5, 6]]);
  expect([...centerCrop(patch, [1, 1, 3]).labels]).toEqual([2, 3, 4]);
  expect(() => centerCrop(patch, [1, 2, 3])).toThrow(RangeError);
});

test('axis 0 keeps its length when slices are turned by themselves', () => {
  expect(initialPatchShape([16, 160, 160], [Math.PI, 0, 0], 0.85, true)).toEqual([16, 188, 188]);
});

interface Case {
  id: string;
  op: string;
  parameters: {
    patch_size: number[];
    angles_deg: Vector3;
    angle_deg: number;
    scale: number | Vector3;
    order_image: 0 | 1 | 3;
    order_seg: 0 | 1;
    border_mode_image: string;
    centre?: Vector3;
    matrix: number[][];
  };
  output: string;
  voxels_near_a_decision?: number[];
}

interface Golden {
  cases: Case[];
  initial_patch_size: {
    final_patch_size: number[];
    rotation_deg: Vector3;
    scale_range: [number, number];
    result: number[];
  }[];
}

describe.skipIf(!hasShared)('batchgenerators reference values', () => {
  const golden: Golden = hasShared
    ? sharedJson<Golden>('golden', 'volumes', 'augmentation.json')
    : { cases: [], initial_patch_size: [] };
  const { tensors } = hasShared
    ? readSafetensors(sharedBytes('golden', 'volumes', 'augmentation.safetensors'))
    : { tensors: new Map() };
  // Training fills what lies outside with 0; the one case that repeats the edge is not offered.
  const cases = golden.cases.filter(
    ({ op, parameters }) => op.startsWith('spatial') && parameters.border_mode_image === 'constant',
  );

  const [image, labels] = [tensors.get('image'), tensors.get('segmentation')];
  const patch = (data: Float32Array | Float64Array) => ({
    shape: [16, 20, 18] as const,
    channels: 2,
    image: data,
    labels: labels?.data as Int16Array,
  });

  const transformOf = ({ op, parameters: p }: Case) => {
    const inPlane = op === 'spatial_dummy_2d';
    const each = typeof p.scale === 'number' ? ([p.scale, p.scale, p.scale] as const) : p.scale;
    const [a, b, c] = inPlane ? [p.angle_deg, 0, 0] : p.angles_deg;
    return { angles: [degrees(a), degrees(b), degrees(c)], scale: each, inPlane, center: p.centre } as const;
  };

  /** Points on the end planes of the input, or at half a weight, may fall on either side. The identity is exact. */
  const nearDecisions = (labelCase: Case | undefined) =>
    new Set(labelCase?.id === 'spatial_identity.seg' ? [] : labelCase?.voxels_near_a_decision);

  test.each(cases)('$id', (given) => {
    const { op, parameters: p, output, voxels_near_a_decision } = given;
    const expected = tensors.get(output);
    if (!expected) throw new Error(`no arrays for ${given.id}`);
    const shape = (op === 'spatial_dummy_2d' ? [16, ...p.patch_size] : p.patch_size) as unknown as Vector3;
    const transform = transformOf(given);
    const orders = { imageOrder: p.order_image, labelOrder: p.order_seg };
    if (!transform.inPlane) {
      // Stored is the transposed matrix, the one that output coordinates are multiplied by.
      const found = rotationMatrix(transform.angles);
      p.matrix.flat().forEach((value, i) => {
        expect(found[3 * (i % 3) + Math.floor(i / 3)]).toBeCloseTo(value, 14);
      });
    }

    const exact = transformPatch(patch(Float64Array.from(image?.data as Float32Array)), shape, transform, orders);
    if (voxels_near_a_decision) {
      const near = nearDecisions(given);
      const different = [...exact.labels].flatMap((label, i) => (label === expected.data[i] || near.has(i) ? [] : [i]));
      expect(different).toEqual([]);
      return;
    }
    const near = nearDecisions(golden.cases.find(({ id }) => id === given.id.replace('.image', '.seg')));
    const count = shape[0] * shape[1] * shape[2];
    const largest = (found: ArrayLike<number>) => {
      let difference = 0;
      for (let i = 0; i < expected.data.length; i++) {
        if (!near.has(i % count)) difference = Math.max(difference, Math.abs(found[i] - Number(expected.data[i])));
      }
      return difference;
    };
    expect(exact.image.length).toBe(expected.data.length);
    expect(largest(exact.image)).toBeLessThan(1e-9);
    expect(largest(transformPatch(patch(image?.data as Float32Array), shape, transform, orders).image)).toBeLessThan(
      1e-5,
    );
  });

  test('sizes of the patch that is loaded', () => {
    for (const { final_patch_size, rotation_deg, scale_range, result } of golden.initial_patch_size) {
      const inPlane = final_patch_size.length === 2;
      const shape = (inPlane ? [1, ...final_patch_size] : final_patch_size) as unknown as Vector3;
      const [a, b, c] = rotation_deg.map(degrees);
      expect(initialPatchShape(shape, [a, b, c], scale_range[0], inPlane).slice(inPlane ? 1 : 0)).toEqual(result);
    }
  });
});

describe('voxels that are too far away to count', () => {
  /** A cube of 48 voxels a side with these values. */
  const cube = (value: (z: number, y: number, x: number) => number): Patch<Float64Array> => {
    const image = Float64Array.from({ length: 48 ** 3 }, (_, i) =>
      value(Math.floor(i / 2304), Math.floor(i / 48) % 48, i % 48),
    );
    return { shape: [48, 48, 48], channels: 1, image, labels: new Int16Array(48 ** 3) };
  };
  const transform = { angles: [0.3, -0.2, 0.1], scale: [0.9, 0.9, 0.9] } as const;

  test('are left out where little of the patch is read: a ramp stays a ramp', () => {
    const { image } = transformPatch(
      cube((z, y, x) => 3 * z - 2 * y + x),
      [5, 6, 7],
      transform,
    );
    // Linear weights give a ramp's value at any point.
    const linear = transformPatch(
      cube((z, y, x) => 3 * z - 2 * y + x),
      [5, 6, 7],
      transform,
      {
        imageOrder: 1,
        labelOrder: 1,
      },
    );
    image.forEach((value, i) => {
      expect(Math.abs(value - linear.image[i])).toBeLessThan(1e-6);
    });
  });

  test('are left out where the patch is 0: a spot stays what it is among other voxels', () => {
    const spot = (z: number, y: number, x: number) => (z < 6 && y > 40 && x < 5 ? 1 + x - 2 * y + z * z : 0);
    const all = transformPatch(
      cube((...at) => spot(...at) + 100),
      [48, 48, 48],
      transform,
    );
    const hundred = transformPatch(
      cube(() => 100),
      [48, 48, 48],
      transform,
    );
    const { image } = transformPatch(cube(spot), [48, 48, 48], transform);
    const largest = image.reduce(
      (most, value, i) => Math.max(most, Math.abs(value - (all.image[i] - hundred.image[i]))),
      0,
    );
    // Of values up to 100.
    expect(largest).toBeLessThan(1e-4);
    expect(Math.max(...image)).toBeLessThan(100);
    expect(Math.min(...image)).toBeLessThan(-10);
  });

  test('are all of them where nothing is there, or nothing is seen', () => {
    expect(
      transformPatch(
        cube(() => 0),
        [4, 4, 4],
        transform,
      ).image,
    ).toEqual(new Float64Array(64));
    const away = { ...transform, center: [200, 200, 200] } as const;
    expect(
      transformPatch(
        cube(() => 1),
        [4, 4, 4],
        away,
      ).image,
    ).toEqual(new Float64Array(64));
  });
});
