/**
 * One contract for all formats that are written: what goes in comes out, voxels and geometry, in each of the 48
 * orientations, and one canonical orientation gives one array whatever the format.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { orientationOf, reorient } from '../orientation.ts';
import { type Affine, affineOf, type Geometry, type Matrix3, type Volume, type VoxelData } from '../volume.ts';
import { readMetaImage, writeMetaImage } from './metaImage.ts';
import { readNifti, writeNifti } from './nifti.ts';
import { readNrrd, writeNrrd } from './nrrd.ts';

interface Format {
  readonly name: string;
  through(volume: Volume, compressed: boolean): { volume: Volume; notices: readonly string[] };
  /** What of a geometry the format keeps to the last bit. */
  kept(geometry: Geometry): unknown;
  /** How far a corner of the drawn grids may move, in mm. */
  readonly tolerance: number;
}

const formats: Format[] = [
  {
    name: 'NIfTI',
    through: (volume, gzip) => readNifti(writeNifti(volume, { gzip })),
    // float32 numbers in the file, and those exactly (docs/decisions/nifti-geometry.md).
    kept: (geometry) => affineOf(geometry).map((value) => Math.fround(value) + 0),
    tolerance: 3e-5,
  },
  {
    name: 'NRRD',
    through: (volume, gzip) => readNrrd(writeNrrd(volume, { gzip })),
    // Spacing and direction are one number in the file.
    kept: (geometry) => ({ affine: affineOf(geometry), shape: geometry.shape }),
    tolerance: 0,
  },
  {
    name: 'MetaImage',
    through: (volume, compress) => readMetaImage(writeMetaImage(volume, { compress })),
    kept: ({ shape, spacing, origin, direction }) => ({ shape, spacing, origin, direction }),
    tolerance: 0,
  },
];

/** All orientation codes. */
const codes = ['RL', 'AP', 'SI'].flatMap((first, x, pairs) =>
  pairs.flatMap((second, y) =>
    pairs.flatMap((third, z) =>
      x === y || y === z || x === z
        ? []
        : [...first].flatMap((a) => [...second].flatMap((b) => [...third].map((c) => a + b + c))),
    ),
  ),
);

/** A turn by 20 degrees about z, then by 12 about x: the closest axes are still the world's. */
function obliqueDirection(): Matrix3 {
  const [c, s] = [Math.cos(Math.PI / 9), Math.sin(Math.PI / 9)];
  const [d, t] = [Math.cos(Math.PI / 15), Math.sin(Math.PI / 15)];
  return [c, -s, 0, s * d, c * d, -t, s * t, c * t, d];
}

const drawnVolume: Volume = {
  shape: [2, 3, 4],
  channels: 1,
  data: Int16Array.from({ length: 24 }, (_, i) => i - 5),
  spacing: [0.7, 0.9, 3.3],
  origin: [-120.3, 45.6, -789.1],
  direction: obliqueDirection(),
};

const largestMove = (a: Affine, b: Affine) => Math.max(...a.map((value, i) => Math.abs(value - b[i])));

test('there are 48 orientations', () => {
  expect(new Set(codes).size).toBe(48);
  expect(codes.length).toBe(48);
});

describe.each(formats)('$name', ({ through, kept, tolerance }) => {
  test.each(codes)(
    '%s: the same voxels and the same geometry, and the canonical orientation gives one array',
    (code) => {
      const oriented = reorient(drawnVolume, code);
      expect(orientationOf(oriented)).toBe(code);
      for (const compressed of [false, true]) {
        const { volume, notices } = through(oriented, compressed);
        expect(notices).toEqual([]);
        expect(volume.data).toEqual(oriented.data);
        expect([volume.channels, volume.shape]).toEqual([1, oriented.shape]);
        expect(kept(volume)).toEqual(kept(oriented));
        expect(largestMove(affineOf(volume), affineOf(oriented))).toBeLessThanOrEqual(tolerance);

        const canonical = reorient(volume, 'LPS');
        expect(canonical.data).toEqual(drawnVolume.data);
        expect(canonical.shape).toEqual(drawnVolume.shape);
        // To and fro moves the origin by rounding alone: 1e-12 mm of 789.
        expect(largestMove(affineOf(canonical), affineOf(drawnVolume))).toBeLessThanOrEqual(2 * tolerance + 1e-12);
      }
    },
  );

  test('what was read goes through unchanged from then on', () => {
    const once = through({ ...drawnVolume, data: Float32Array.from(drawnVolume.data) }, true).volume;
    expect(kept(through(once, true).volume)).toEqual(kept(once));
    expect(through(once, true).volume.data).toEqual(once.data);
  });
});

describe('any volume, through any format', () => {
  const part = fc.double({ min: -1, max: 1, noNaN: true });
  const size = fc.double({ min: 0.05, max: 20, noNaN: true });
  const coordinate = fc.double({ min: -500, max: 500, noNaN: true });
  const length = fc.integer({ min: 1, max: 4 });
  const types = [Int8Array, Uint8Array, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array];

  /** The rotation of a quaternion of any length, its third axis turned round when mirrored. */
  function turn([a, b, c, d]: readonly number[], mirrored: boolean): Matrix3 {
    const n = a * a + b * b + c * c + d * d;
    const s = mirrored ? -1 : 1;
    return [
      (a * a + b * b - c * c - d * d) / n,
      (2 * (b * c - a * d)) / n,
      (s * 2 * (b * d + a * c)) / n,
      (2 * (b * c + a * d)) / n,
      (a * a + c * c - b * b - d * d) / n,
      (s * 2 * (c * d - a * b)) / n,
      (2 * (b * d - a * c)) / n,
      (2 * (c * d + a * b)) / n,
      (s * (a * a + d * d - b * b - c * c)) / n,
    ];
  }

  const volumes = fc
    .record({
      quaternion: fc.tuple(part, part, part, part).filter((q) => Math.hypot(...q) > 0.01),
      mirrored: fc.boolean(),
      spacing: fc.tuple(size, size, size),
      origin: fc.tuple(coordinate, coordinate, coordinate),
      shape: fc.tuple(length, length, length),
      channels: fc.integer({ min: 1, max: 3 }),
      type: fc.constantFrom(...types),
      seed: fc.nat(1e6),
    })
    .map(({ quaternion, mirrored, type, seed, ...rest }): Volume => {
      const data: VoxelData = new type(rest.channels * rest.shape[0] * rest.shape[1] * rest.shape[2]);
      // A tenth has no end in float32, so that float64 stays what it is.
      for (let i = 0; i < data.length; i++) data[i] = ((seed + 7919 * i) % 251) + 0.1;
      return { ...rest, data, direction: turn(quaternion, mirrored) };
    });

  test.each(formats)('$name', ({ through, kept }) => {
    fc.assert(
      fc.property(volumes, fc.boolean(), (drawn, compressed) => {
        const { volume, notices } = through(drawn, compressed);
        expect(notices).toEqual([]);
        expect(volume.data).toEqual(drawn.data);
        expect(volume.channels).toBe(drawn.channels);
        expect(kept(volume)).toEqual(kept(drawn));
      }),
      { numRuns: 200 },
    );
  });
});
