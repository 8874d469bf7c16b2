import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../test/shared.ts';
import { InputError } from '../errors.ts';
import { readSafetensors } from '../weights/safetensors.ts';
import { orientationOf, reorient, reorientLike } from './orientation.ts';
import {
  type Affine,
  affineOf,
  geometryFromAffine,
  identityDirection,
  indexToWorld,
  type LabelMap,
  swapLpsRas,
  type Vector3,
  type Volume,
} from './volume.ts';

const codes = ['RL', 'AP', 'SI'].flatMap((first, i, pairs) =>
  pairs
    .filter((_, j) => j !== i)
    .flatMap((second, _, rest) => [first, second, rest.find((pair) => pair !== second) as string].join(' ')),
);
/** All 48, such as 'RAS'. */
const orientations = codes.flatMap((pairs) => {
  const [a, b, c] = pairs.split(' ');
  return [...a].flatMap((x) => [...b].flatMap((y) => [...c].map((z) => x + y + z)));
});

/** 1 x 2 x 3 voxels (z, y, x) of 1 x 2 x 4 mm with x to the left and y to posterior. */
const small: Volume<Int16Array> = {
  shape: [1, 2, 3],
  channels: 1,
  spacing: [1, 2, 4],
  origin: [10, 20, 30],
  direction: identityDirection,
  data: Int16Array.of(1, 2, 3, 4, 5, 6),
};

describe('orientationOf', () => {
  test('the identity direction is LPS', () => {
    expect(orientationOf(small)).toBe('LPS');
  });

  test('there are 48, and each is recognized', () => {
    expect(new Set(orientations).size).toBe(48);
    for (const code of orientations) expect(orientationOf(reorient(small, code))).toBe(code);
  });

  test('an oblique grid has the code of the closest axes', () => {
    // x and y turned by 30 degrees about z: still mostly L and P.
    const [c, s] = [Math.cos(Math.PI / 6), Math.sin(Math.PI / 6)];
    expect(orientationOf({ direction: [c, -s, 0, s, c, 0, 0, 0, 1] })).toBe('LPS');
    // By 60 degrees: x mostly to P, y mostly to R.
    expect(orientationOf({ direction: [s, -c, 0, c, s, 0, 0, 0, 1] })).toBe('PRS');
  });

  test('the axis that lies closest to a world axis chooses first', () => {
    // Columns x (0.7, 0.51, 0.5) and y (-0.71, 0.5, 0.5): both lean most on left-right, and y more so.
    expect(orientationOf({ direction: [0.7, -0.71, 0, 0.51, 0.5, -0.7, 0.5, 0.5, 0.71] })).toBe('PRS');
  });
});

describe('reorient', () => {
  test('reverses x, and the origin goes to the other end', () => {
    const { data, origin, direction, shape } = reorient(small, 'RPS');
    expect([...data]).toEqual([3, 2, 1, 6, 5, 4]);
    expect(origin).toEqual([12, 20, 30]);
    expect(direction).toEqual([-1, 0, 0, 0, 1, 0, 0, 0, 1]);
    expect(shape).toEqual([1, 2, 3]);
  });

  test('swaps x and y', () => {
    const { data, spacing, direction, shape } = reorient(small, 'PLS');
    expect([...data]).toEqual([1, 4, 2, 5, 3, 6]);
    expect([shape, spacing]).toEqual([
      [1, 3, 2],
      [2, 1, 4],
    ]);
    expect(direction).toEqual([0, 1, 0, 1, 0, 0, 0, 0, 1]);
  });

  test('leaves a volume that is so already as it is, and keeps the names of labels', () => {
    expect(reorient(small, 'LPS')).toBe(small);
    const labels: LabelMap = { ...small, labels: new Map([[1, 'liver']]) };
    expect(reorient(labels, 'SAR').labels.get(1)).toBe('liver');
  });

  test.each(['', 'RA', 'RAL', 'ras', 'RASS', 'RAX'])('refuses %j', (code) => {
    expect(() => reorient(small, code)).toThrow(InputError);
    expect(() => reorient(small, code)).toThrow(`${JSON.stringify(code)} is no orientation`);
  });

  /** A two-channel volume of up to 4 x 4 x 4 voxels on a turned grid; every voxel has its own value. */
  const volumes = fc
    .record({
      shape: fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 })),
      spacing: fc.tuple(...[0, 1, 2].map(() => fc.double({ min: 0.2, max: 6, noNaN: true }))),
      origin: fc.tuple(...[0, 1, 2].map(() => fc.double({ min: -500, max: 500, noNaN: true }))),
      angle: fc.double({ min: -3.2, max: 3.2, noNaN: true }),
      start: fc.constantFrom(...orientations),
    })
    .map(({ shape, spacing, origin, angle, start }) => {
      // No negative zero: a reversed axis makes none, so it would not come back.
      const [c, s] = [Math.cos(angle), Math.sin(angle) + 0];
      const data = Int16Array.from({ length: 2 * shape[0] * shape[1] * shape[2] }, (_, i) => i);
      const volume: Volume<Int16Array> = {
        shape,
        channels: 2,
        spacing: spacing as unknown as Vector3,
        origin: origin as unknown as Vector3,
        direction: [c, 0 - s, 0, s * 0.8, c * 0.8, -0.6, s * 0.6, c * 0.6, 0.8],
        data,
      };
      return reorient(volume, start);
    });

  test('every voxel keeps its value and its place, and the way back restores every bit', () => {
    fc.assert(
      fc.property(volumes, fc.constantFrom(...orientations), (volume, code) => {
        const turned = reorient(volume, code);
        expect(orientationOf(turned)).toBe(code);
        expect(turned.data.length).toBe(volume.data.length);
        const places = placesByValue(volume);
        for (const [value, place] of placesByValue(turned)) {
          const before = places.get(value) as Vector3;
          for (const axis of [0, 1, 2]) expect(Math.abs(place[axis] - before[axis])).toBeLessThan(1e-10);
        }
        expect(reorientLike(turned, volume)).toEqual(volume);
        const back = reorient(turned, orientationOf(volume));
        expect(back.data).toEqual(volume.data);
        expect([back.spacing, back.direction]).toEqual([volume.spacing, volume.direction]);
      }),
      { numRuns: 300 },
    );
  });

  test('reorientLike refuses another grid', () => {
    expect(() => reorientLike(small, { ...small, origin: [10, 20, 31] })).toThrow(RangeError);
    expect(() => reorientLike(small, { ...small, shape: [1, 3, 2] })).toThrow(RangeError);
  });
});

function placesByValue(volume: Volume): Map<number, Vector3> {
  const [nz, ny, nx] = volume.shape;
  const places = new Map<number, Vector3>();
  volume.data.forEach((value: number, i: number) => {
    const k = Math.floor(i / (nx * ny)) % nz;
    places.set(value, indexToWorld(volume, [i % nx, Math.floor(i / nx) % ny, k]));
  });
  return places;
}

interface OrientationCase {
  array: string;
  affine: number[][];
  axcodes_before: string;
  axcodes_wanted: string;
  affine_after: number[][];
  shape_after: Vector3;
}

describe.skipIf(!hasShared)("MONAI's Orientationd", () => {
  const cases = hasShared
    ? sharedJson<{ monai: { results: { Orientationd: OrientationCase[] } } }>('golden', 'volumes', 'preprocessing.json')
        .monai.results.Orientationd
    : [];
  const { tensors } = hasShared
    ? readSafetensors(sharedBytes('golden', 'volumes', 'preprocessing.safetensors'))
    : { tensors: new Map() };

  /** Arrays there run over (i, j, k) with k fastest; here i is fastest. */
  function fastestFirst(data: Float32Array, [ni, nj, nk]: Vector3): Float32Array {
    const out = new Float32Array(data.length);
    for (let k = 0, to = 0; k < nk; k++) {
      for (let j = 0; j < nj; j++) for (let i = 0; i < ni; i++) out[to++] = data[(i * nj + j) * nk + k];
    }
    return out;
  }

  test.each(cases)('$array', ({ array, affine, axcodes_before, axcodes_wanted, affine_after, shape_after }) => {
    const geometry = geometryFromAffine(swapLpsRas(affine.slice(0, 3).flat() as unknown as Affine), [6, 5, 4]);
    const image = tensors.get('orient_image')?.data as Float32Array;
    const volume = { ...geometry, channels: 1, data: fastestFirst(image, [4, 5, 6]) };
    expect(orientationOf(volume)).toBe(axcodes_before);
    const turned = reorient(volume, axcodes_wanted);
    expect([...turned.shape].reverse()).toEqual(shape_after);
    swapLpsRas(affineOf(turned)).forEach((value, i) => {
      expect(value).toBeCloseTo(affine_after[Math.floor(i / 4)][i % 4], 12);
    });
    expect(turned.data).toEqual(fastestFirst(tensors.get(array)?.data as Float32Array, shape_after));
  });
});
