import { describe, expect, test } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../test/shared.ts';
import type { Tensor } from '../tensor.ts';
import { readSafetensors } from '../weights/safetensors.ts';
import { respace, respaceLabels } from './spacing.ts';
import {
  type Affine,
  affineOf,
  geometryFromAffine,
  identityDirection,
  indexToWorld,
  swapLpsRas,
  type Vector3,
  type Volume,
} from './volume.ts';

const row: Volume<Float64Array> = {
  shape: [1, 1, 4],
  channels: 1,
  spacing: [3, 1, 1],
  origin: [10, 20, 30],
  direction: identityDirection,
  data: Float64Array.of(0, 3, 6, 0),
};

describe('respace', () => {
  test('the first voxel center stays, and the last one when it is met', () => {
    const fine = respace(row, [1, 1, 1]);
    // 0 to 9 mm at 1 mm.
    expect(fine.shape).toEqual([1, 1, 10]);
    expect(fine.origin).toEqual(row.origin);
    [0, 1, 2, 3, 4, 5, 6, 4, 2, 0].forEach((value, i) => {
      expect(fine.data[i]).toBeCloseTo(value, 12);
    });
  });

  test('beyond the last voxel its value is repeated', () => {
    // 9 mm are 2.25 steps of 4 mm: 3 voxels would end at 8; of 3.5 mm 2.57, rounded to 4 voxels that end at 10.5.
    expect(respace(row, [4, 1, 1]).shape[2]).toBe(3);
    const wide = respace({ ...row, data: Float64Array.of(0, 3, 6, 9) }, [3.5, 1, 1]);
    expect(wide.shape[2]).toBe(4);
    expect(wide.data[3]).toBe(9);
  });

  test('a spacing within a thousandth of a mm stays', () => {
    expect(respace(row, [3.0009, 1, 1])).toEqual(row);
    expect(respace(row, [3.0011, 1, 1]).spacing[0]).toBe(3.0011);
  });

  test('labels get the nearest value and keep their type, channels stay apart', () => {
    const labels = { ...row, channels: 2, data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) };
    const fine = respaceLabels(labels, [1, 1, 1]);
    expect(fine.data).toEqual(Uint8Array.of(1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 5, 6, 6, 6, 7, 7, 7, 8, 8));
  });

  test('where shear leaves no lowest corner the middles of the grids meet', () => {
    // y leans back over x, and z over both: on the straightened axes no corner is the lowest three times.
    const sheared = geometryFromAffine([1, -0.4, -0.3, 0, 0, 1, -0.4, 0, 0, 0, 1, 0], [4, 5, 6]);
    const volume = { ...sheared, channels: 1, data: new Float32Array(120).fill(2) };
    const straight = respace(volume, [1, 1, 1]);
    const middle = indexToWorld(sheared, [3, 2.5, 2]);
    const newMiddle = indexToWorld(straight, [straight.shape[2] / 2, straight.shape[1] / 2, straight.shape[0] / 2]);
    for (const axis of [0, 1, 2]) expect(newMiddle[axis]).toBeCloseTo(middle[axis], 12);
    expect(straight.data.every((value) => value === 2)).toBe(true);
  });
});

interface SpacingCase {
  array: string;
  affine: number[][];
  pixdim: Vector3;
  mode: 'bilinear' | 'nearest';
  shape_after: Vector3;
  affine_after: number[][];
}

describe.skipIf(!hasShared)("MONAI's Spacingd", () => {
  const cases = hasShared
    ? sharedJson<{ monai: { results: { Spacingd: SpacingCase[] } } }>('golden', 'volumes', 'preprocessing.json').monai
        .results.Spacingd
    : [];
  const { tensors } = hasShared
    ? readSafetensors(sharedBytes('golden', 'volumes', 'preprocessing.safetensors'))
    : { tensors: new Map<string, Tensor>() };

  /** Arrays there run over (i, j, k) with k fastest; here i is fastest. */
  function fastestFirst(data: ArrayLike<number>, [ni, nj, nk]: Vector3): Float64Array {
    const out = new Float64Array(data.length);
    for (let k = 0, to = 0; k < nk; k++) {
      for (let j = 0; j < nj; j++) for (let i = 0; i < ni; i++) out[to++] = data[(i * nj + j) * nk + k];
    }
    return out;
  }

  test.each(cases)('$array', ({ array, affine, pixdim, mode, shape_after, affine_after }) => {
    const geometry = geometryFromAffine(swapLpsRas(affine.slice(0, 3).flat() as unknown as Affine), [6, 5, 4]);
    const image = tensors.get('orient_image')?.data as Float32Array;
    const volume = { ...geometry, channels: 1, data: fastestFirst(image, [4, 5, 6]) };
    const found = mode === 'nearest' ? respaceLabels(volume, pixdim) : respace(volume, pixdim);
    expect([...found.shape].reverse()).toEqual(shape_after);
    swapLpsRas(affineOf(found)).forEach((value, i) => {
      expect(value).toBeCloseTo(affine_after[Math.floor(i / 4)][i % 4], 12);
    });
    const expected = fastestFirst(tensors.get(array)?.data as Float64Array, shape_after);
    let largest = 0;
    for (let i = 0; i < expected.length; i++) largest = Math.max(largest, Math.abs(found.data[i] - expected[i]));
    expect(largest).toBeLessThan(1e-9);
  });
});
