import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../test/shared.ts';
import { InputError } from '../errors.ts';
import type { Tensor } from '../tensor.ts';
import { readSafetensors } from '../weights/safetensors.ts';
import { boundingBox, crop, cropToNonZero, fillHoles, nonZeroMask, padTo, paste } from './cropping.ts';
import { identityDirection, indexToWorld, type Vector3, type Volume } from './volume.ts';

/** Digits of one slice, rows from top to bottom; a space between slices. */
function drawn(slices: string): { data: Uint8Array; shape: Vector3 } {
  const parts = slices.trim().split(/\n\s*\n/);
  const rows = parts[0].trim().split('\n');
  const digits = [...slices.replace(/\s/g, '')].map(Number);
  return { data: Uint8Array.from(digits), shape: [parts.length, rows.length, rows[0].trim().length] };
}

function volumeOf({ data, shape }: { data: Uint8Array; shape: Vector3 }, channels = 1): Volume<Uint8Array> {
  return { data, shape, channels, spacing: [1, 2, 3], origin: [10, 20, 30], direction: identityDirection };
}

describe('fillHoles', () => {
  test('in one slice every zero reaches the outside', () => {
    const { data, shape } = drawn(`
      111
      101
      111`);
    expect(fillHoles(data, shape)).toEqual(data);
  });

  const open = `
    11111
    11111
    11111

    11111
    10101
    11111

    11111
    11111
    11111`;

  test('a closed hole is filled', () => {
    const { data, shape } = drawn(open);
    expect(fillHoles(data, shape).every((value) => value === 1)).toBe(true);
  });

  test('a hole with a way out through faces stays', () => {
    const { data, shape } = drawn(open);
    // The left hole gets a way to the top.
    data[0 * 15 + 1 * 5 + 1] = 0;
    const filled = fillHoles(data, shape);
    expect([filled[1 * 15 + 1 * 5 + 1], filled[1 * 15 + 1 * 5 + 3]]).toEqual([0, 1]);
  });

  test('a hole that meets the outside at a corner is closed', () => {
    const { data, shape } = drawn(open);
    data[0] = 0;
    const filled = fillHoles(data, shape);
    expect([filled[0], filled[1 * 15 + 1 * 5 + 1]]).toEqual([0, 1]);
  });

  test('agrees with spreading voxel by voxel', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 120, maxLength: 120 }), (bits) => {
        const mask = Uint8Array.from(bits, (bit) => (bit ? 1 : 0));
        expect(fillHoles(mask, [4, 5, 6])).toEqual(filledSlowly(mask, [4, 5, 6]));
      }),
      { numRuns: 200 },
    );
  });
});

/** Zeros next to the outside or to a zero that is outside are outside, until nothing changes. */
function filledSlowly(mask: Uint8Array, [nz, ny, nx]: Vector3): Uint8Array {
  const outside = new Uint8Array(mask.length);
  const isOutside = (z: number, y: number, x: number) =>
    z < 0 || z >= nz || y < 0 || y >= ny || x < 0 || x >= nx || outside[(z * ny + y) * nx + x] === 1;
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = 0; i < mask.length; i++) {
      if (mask[i] || outside[i]) continue;
      const [z, y, x] = [Math.floor(i / (nx * ny)), Math.floor(i / nx) % ny, i % nx];
      const reached = [-1, 1].some((d) => isOutside(z + d, y, x) || isOutside(z, y + d, x) || isOutside(z, y, x + d));
      if (reached) {
        outside[i] = 1;
        changed = true;
      }
    }
  }
  return outside.map((value) => 1 - value);
}

describe('boundingBox', () => {
  test('goes around all that is not 0, half-open', () => {
    const { data, shape } = drawn(`
      0000
      0000
      0000

      0000
      0010
      0000

      0000
      0001
      0100`);
    expect(boundingBox(data, shape)).toEqual({ start: [1, 1, 1], end: [3, 3, 4] });
  });

  test('there is none around nothing', () => {
    expect(boundingBox(new Uint8Array(8), [2, 2, 2])).toBeUndefined();
  });
});

describe('crop, paste and padTo', () => {
  const volume = volumeOf(
    drawn(`
      123
      456

      789
      012`),
  );
  const box = { start: [1, 0, 1], end: [2, 2, 3] } as const;

  test('crop cuts the box out, and the origin moves with its first voxel', () => {
    const part = crop(volume, box);
    expect([...part.data]).toEqual([8, 9, 1, 2]);
    expect(part.shape).toEqual([1, 2, 2]);
    expect(part.origin).toEqual(indexToWorld(volume, [1, 0, 1]));
  });

  test('paste puts it back, zeros around, in the very grid', () => {
    const back = paste(crop(volume, box), box, volume);
    expect([...back.data]).toEqual([0, 0, 0, 0, 0, 0, 0, 8, 9, 0, 1, 2]);
    expect({ ...back, data: volume.data }).toEqual(volume);
  });

  test('padding puts the odd voxel behind', () => {
    const { volume: padded, box: inner } = padTo(volume, [2, 5, 4], 7);
    expect([...padded.data.subarray(0, 20)].join('')).toBe('77771237456777777777');
    expect(inner).toEqual({ start: [0, 1, 0], end: [2, 3, 3] });
    expect(padded.origin).toEqual(indexToWorld(volume, [0, -1, 0]));
    expect(crop(padded, inner)).toEqual(volume);
  });

  test('an axis that is long enough is not padded', () => {
    expect(padTo(volume, [1, 2, 3]).volume).toBe(volume);
  });

  test('boxes that reach outside, are empty or do not fit are refused', () => {
    expect(() => crop(volume, { start: [0, 0, 0], end: [2, 3, 3] })).toThrow(RangeError);
    expect(() => crop(volume, { start: [0, 0, -1], end: [2, 2, 3] })).toThrow(RangeError);
    expect(() => crop(volume, { start: [1, 1, 1], end: [2, 1, 2] })).toThrow(RangeError);
    expect(() => paste(crop(volume, box), { start: [0, 0, 0], end: [1, 2, 3] }, volume)).toThrow(RangeError);
    expect(() => paste(crop(volume, box), { start: [1, 0, 2], end: [2, 2, 4] }, volume)).toThrow(RangeError);
  });

  test('channels go along, and any box goes there and back', () => {
    const two = volumeOf({ data: Uint8Array.from({ length: 2 * 60 }, (_, i) => i + 1), shape: [3, 4, 5] }, 2);
    const edge = (length: number) =>
      fc.tuple(fc.nat(length - 1), fc.nat(length - 1)).map((pair) => pair.sort((a, b) => a - b));
    fc.assert(
      fc.property(edge(3), edge(4), edge(5), (z, y, x) => {
        const inner = {
          start: [z[0], y[0], x[0]],
          end: [z[1] + 1, y[1] + 1, x[1] + 1],
        } as const;
        const back = paste(crop(two, inner), inner, two);
        back.data.forEach((value, i) => {
          const index = [Math.floor(i / 20) % 3, Math.floor(i / 5) % 4, i % 5];
          const isIn = index.every((at, axis) => at >= inner.start[axis] && at < inner.end[axis]);
          expect(value).toBe(isIn ? two.data[i] : 0);
        });
      }),
      { numRuns: 50 },
    );
  });
});

describe('cropToNonZero', () => {
  test('any channel counts, and background outside of the mask is -1', () => {
    const image = volumeOf({ data: Uint8Array.of(0, 0, 5, 0, 0, 0, 6, 0), shape: [1, 1, 4] }, 2);
    const labels = volumeOf({ data: Uint8Array.of(9, 9, 0, 9), shape: [1, 1, 4] });
    const cut = cropToNonZero(image, labels);
    expect(cut.box).toEqual({ start: [0, 0, 2], end: [1, 1, 3] });
    expect([...cut.image.data]).toEqual([5, 6]);
    expect([...cut.labels.data]).toEqual([0]);
    expect(cut.labels.origin).toEqual([12, 20, 30]);
  });

  test('labels outside of the mask stay, background becomes -1, what is below -1 becomes 0', () => {
    const image = volumeOf({ data: Uint8Array.of(5, 0, 0, 0, 5), shape: [1, 1, 5] });
    const labels = { ...volumeOf(image), data: Int16Array.of(-3, 0, 7, -1, 300) };
    expect([...cropToNonZero(image, labels).labels.data]).toEqual([0, -1, 7, -1, 300]);
    expect(cropToNonZero(image).labels.data).toEqual(Int8Array.of(0, -1, -1, -1, 0));
  });

  test('an image of zeros keeps its size', () => {
    const cut = cropToNonZero(volumeOf({ data: new Uint8Array(4), shape: [1, 2, 2] }));
    expect(cut.box).toEqual({ start: [0, 0, 0], end: [1, 2, 2] });
    expect([...cut.labels.data]).toEqual([-1, -1, -1, -1]);
  });

  test('refuses labels of another shape', () => {
    const image = volumeOf({ data: new Uint8Array(4), shape: [1, 2, 2] });
    expect(() => cropToNonZero(image, { ...image, shape: [1, 1, 4] })).toThrow(InputError);
  });
});

describe.skipIf(!hasShared)('nnU-Net reference values', () => {
  interface Golden {
    crop: { bbox: [number, number][]; nonzero_before_fill: number; nonzero_after_fill: number };
    fill_holes: { zeros_before: number; zeros_after: number }[];
  }
  const golden = () => sharedJson<Golden>('golden', 'volumes', 'preprocessing.json');
  const arrays = () => readSafetensors(sharedBytes('golden', 'volumes', 'preprocessing.safetensors')).tensors;
  const count = (mask: Uint8Array, value: number) => mask.reduce((sum, voxel) => sum + (voxel === value ? 1 : 0), 0);

  test('the tiny cubes of the hole-filling table', () => {
    const cavity = new Set<number>();
    for (const z of [1, 2, 3]) for (const y of [1, 2, 3]) for (const x of [1, 2, 3]) cavity.add((z * 5 + y) * 5 + x);
    const opened = [
      [],
      [[2, 2, 0]],
      [
        [0, 0, 0],
        [1, 0, 0],
        [1, 1, 0],
      ],
      [[0, 0, 0]],
    ];
    golden().fill_holes.forEach(({ zeros_before, zeros_after }, i) => {
      const mask = new Uint8Array(125).fill(1);
      for (const voxel of cavity) mask[voxel] = 0;
      for (const [z, y, x] of opened[i]) mask[(z * 5 + y) * 5 + x] = 0;
      expect(count(mask, 0)).toBe(zeros_before);
      expect(count(fillHoles(mask, [5, 5, 5]), 0)).toBe(zeros_after);
    });
  });

  test('box, image and labels of the example', () => {
    const { crop: expected } = golden();
    const tensors = arrays();
    const tensor = (name: string) => tensors.get(name) as Tensor<'float32'>;
    const place = { spacing: [1, 1, 1], origin: [0, 0, 0], direction: identityDirection } as const;
    const shape: Vector3 = [9, 11, 10];
    const image = { ...place, shape, channels: 2, data: tensor('crop_image').data };
    const labels = { ...place, shape, channels: 1, data: tensor('crop_seg').data as unknown as Int16Array };

    const mask = nonZeroMask(image);
    expect(count(mask, 1)).toBe(expected.nonzero_before_fill);
    const filled = fillHoles(mask, shape);
    expect(count(filled, 1)).toBe(expected.nonzero_after_fill);
    expect(filled).toEqual(tensor('crop_nonzero_mask').data);

    const cut = cropToNonZero(image, labels);
    expect(cut.box).toEqual({ start: expected.bbox.map(([start]) => start), end: expected.bbox.map(([, end]) => end) });
    expect(cut.image.data).toEqual(tensor('crop_result_image').data);
    expect(cut.labels.data).toEqual(tensor('crop_result_seg').data);
    expect(cropToNonZero(image).labels.data).toEqual(tensor('crop_result_seg_without_input').data);
  });
});
