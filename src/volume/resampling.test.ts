import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../test/shared.ts';
import { readSafetensors } from '../weights/safetensors.ts';
import {
  newShape,
  type Regrid,
  resample,
  resampleChannel,
  resampleLabelChannel,
  resampleLabels,
  resize,
  separateAxis,
} from './resampling.ts';
import { identityDirection, indexToWorld, type Vector3, type Volume } from './volume.ts';

/** A row of voxels along x. */
const row = (values: number[], m: number, order: 0 | 1 | 3) => [
  ...resize(Float64Array.from(values), [1, 1, values.length], [1, 1, m], order),
];

describe('newShape', () => {
  test('halves go to the even number of voxels', () => {
    expect(newShape([5, 7, 9], [1, 1, 1], [2, 2, 2])).toEqual([2, 4, 4]);
  });

  test('never gives an empty axis', () => {
    expect(newShape([1, 2, 3], [1, 1, 1], [10, 10, 1])).toEqual([1, 1, 3]);
  });
});

describe('separateAxis', () => {
  test('an axis more than 3 times as coarse is treated apart; exactly 3 times is not', () => {
    expect(separateAxis([3.1, 1, 1], [1, 1, 1])).toBe(0);
    expect(separateAxis([3, 1, 1], [1, 1, 1])).toBeUndefined();
    expect(separateAxis([1, 1, 1], [1, 4, 1])).toBe(1);
    expect(separateAxis([1, 1, 4], [4, 1, 1])).toBe(2);
  });

  test('two equally coarse axes are not', () => {
    expect(separateAxis([1, 4, 4], [1, 1, 1])).toBeUndefined();
  });

  test('the threshold is a setting', () => {
    expect(separateAxis([2.5, 1, 1], [1, 1, 1], { anisotropyThreshold: 2 })).toBe(0);
  });

  test('can be forced either way', () => {
    expect(separateAxis([1, 2, 1], [1, 1, 1], { separateZ: true })).toBe(1);
    expect(separateAxis([9, 1, 1], [1, 1, 1], { separateZ: false })).toBeUndefined();
  });
});

describe('resize', () => {
  test('order 0 at half the size takes the odd voxels, at a quarter every fourth from 2 on', () => {
    expect(row([0, 1, 2, 3, 4, 5, 6, 7], 4, 0)).toEqual([1, 3, 5, 7]);
    expect(row([0, 1, 2, 3, 4, 5, 6, 7], 2, 0)).toEqual([2, 6]);
  });

  test('order 1 reads half way between voxels at half the size, and repeats the edge at twice the size', () => {
    expect(row([0, 2, 4, 6], 2, 1)).toEqual([1, 5]);
    expect(row([0, 4], 4, 1)).toEqual([0, 1, 3, 4]);
  });

  test('order 3 goes through a straight line away from the edges', () => {
    const line = Array.from({ length: 40 }, (_, i) => 3 * i);
    row(line, 20, 3).forEach((value, k) => {
      if (k >= 8 && k < 12) expect(value).toBeCloseTo(3 * (2 * k + 0.5), 8);
    });
  });

  test('order 3 overshoots an edge but for the range of the input', () => {
    const step = row([0, 0, 0, 0, 10, 10, 10, 10], 16, 3);
    expect([Math.min(...step), Math.max(...step)]).toEqual([0, 10]);
  });

  test('order 3 at three times the size keeps every voxel at its center', () => {
    const values = [3, 1, 4, 1, 5, 9, 2, 6];
    const tripled = row(values, 24, 3);
    values.forEach((value, i) => {
      expect(tripled[3 * i + 1]).toBeCloseTo(value, 12);
    });
  });

  test('the axes do not mix: the order of axes may be changed before or after', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -100, max: 100, noNaN: true }), { minLength: 24, maxLength: 24 }),
        fc.tuple(...[0, 1, 2].map(() => fc.integer({ min: 1, max: 6 }))),
        fc.constantFrom<0 | 1 | 3>(0, 1, 3),
        (values, [a, b, c], order) => {
          const data = Float64Array.from(values);
          const direct = resize(data, [2, 3, 4], [a, b, c], order);
          const turned = resize(transposed(data, [2, 3, 4]), [4, 3, 2], [c, b, a], order);
          transposed(turned, [c, b, a]).forEach((value, i) => {
            expect(value).toBeCloseTo(direct[i], 9);
          });
        },
      ),
      { numRuns: 100 },
    );
  });

  test('columns do not mix, however many there are', () => {
    // 200 columns along z, of which 100 to 199 are the second volume; both reach from -9 to 9, which is what clips.
    const data = Float64Array.from({ length: 5 * 200 }, (_, i) => 4 * Math.sin(i * i));
    data.set([-9, 9], 100);
    const half = Float64Array.from({ length: 5 * 100 }, (_, i) => data[Math.floor(i / 100) * 200 + 100 + (i % 100)]);
    const whole = resize(data, [5, 1, 200], [8, 1, 200], 3);
    resize(half, [5, 1, 100], [8, 1, 100], 3).forEach((value, i) => {
      expect(value).toBe(whole[Math.floor(i / 100) * 200 + 100 + (i % 100)]);
    });
  });
});

/** x and z exchanged. */
function transposed(data: Float64Array, [nz, ny, nx]: Vector3): Float64Array {
  const out = new Float64Array(data.length);
  for (let x = 0, to = 0; x < nx; x++) {
    for (let y = 0; y < ny; y++) for (let z = 0; z < nz; z++) out[to++] = data[(z * ny + y) * nx + x];
  }
  return out;
}

describe('labels', () => {
  const along = (axis: number, values: number[], m: number, orderZ: 0 | 1, separateZ: boolean) => {
    const shape = [1, 1, 1].map((_, a) => (a === axis ? values.length : 1)) as unknown as Vector3;
    const regrid: Regrid = {
      shape,
      spacing: [2, 1, 1],
      newShape: shape.map((length, a) => (a === axis ? m : length)) as unknown as Vector3,
      newSpacing: [1, 1, 1],
    };
    return [...resampleLabelChannel(Int8Array.from(values), regrid, { order: 1, orderZ, separateZ })];
  };

  test('the larger of two labels wins a tie', () => {
    expect(along(2, [0, 1, 2, 1], 2, 0, false)).toEqual([1, 2]);
  });

  test('where no label has half of the weights there is background', () => {
    // Four different labels around one point.
    const regrid: Regrid = { shape: [1, 2, 2], spacing: [1, 1, 1], newShape: [1, 1, 1], newSpacing: [1, 2, 2] };
    const options = { order: 1, orderZ: 0 } as const;
    expect([...resampleLabelChannel(Int8Array.of(1, 2, 3, 4), regrid, options)]).toEqual([0]);
    expect([...resampleLabelChannel(Int8Array.of(1, 2, 1, 4), regrid, options)]).toEqual([1]);
    expect([...resampleLabelChannel(Int8Array.of(-1, -1, -1, 4), regrid, options)]).toEqual([-1]);
  });

  test('along a separate axis of order 1 a tie is background', () => {
    expect(along(0, [1, 2], 1, 1, true)).toEqual([0]);
    expect(along(0, [1, 1], 1, 1, true)).toEqual([1]);
    expect(along(0, [1, 2], 4, 1, true)).toEqual([1, 1, 2, 2]);
    expect(along(0, [1, 2], 1, 0, true)).toEqual([2]);
  });
});

describe('resample', () => {
  const volume: Volume<Int16Array> = {
    shape: [2, 2, 4],
    channels: 2,
    spacing: [1, 2, 3],
    origin: [10, 20, 30],
    direction: [0, 1, 0, 1, 0, 0, 0, 0, 1],
    data: Int16Array.from({ length: 32 }, (_, i) => i),
  };

  test('keeps the extent in the patient: the outer edges of the grid stay where they are', () => {
    const half = resample(volume, [2, 2, 3]);
    expect([half.shape, half.spacing]).toEqual([
      [2, 2, 2],
      [2, 2, 3],
    ]);
    expect(half.origin).toEqual([10, 20.5, 30]);
    expect(indexToWorld(half, [-0.5, -0.5, -0.5])).toEqual(indexToWorld(volume, [-0.5, -0.5, -0.5]));
    expect(indexToWorld(half, [1.5, 1.5, 1.5])).toEqual(indexToWorld(volume, [3.5, 1.5, 1.5]));
  });

  test('says the spacing that a whole number of voxels gives', () => {
    expect(resample(volume, [1.1, 2, 3]).spacing).toEqual([1, 2, 3]);
    expect(resample(volume, [0.7, 2, 3]).spacing[0]).toBe(4 / 6);
  });

  test('treats channels apart and makes float32 of integers', () => {
    const { data } = resample(volume, [2, 2, 3], { order: 1, orderZ: 0 });
    expect(data).toEqual(Float32Array.from({ length: 16 }, (_, i) => 2 * i + 0.5));
  });

  test('label maps keep their type and the names of labels', () => {
    const labels = {
      ...volume,
      channels: 1,
      data: Uint8Array.from({ length: 16 }, (_, i) => i >> 3),
      labels: new Map(),
    };
    const half = resampleLabels(labels, [2, 2, 3]);
    expect(half.data).toEqual(Uint8Array.of(0, 0, 0, 0, 1, 1, 1, 1));
    expect(half.labels).toBe(labels.labels);
  });

  test('its own spacing is the identity', () => {
    const same = { ...volume, data: Float32Array.from(volume.data), direction: identityDirection };
    expect(resample(same, same.spacing)).toEqual(same);
  });
});

function largestDifference(found: ArrayLike<number>, expected: ArrayLike<number | bigint>): number {
  let largest = 0;
  for (let i = 0; i < found.length; i++) largest = Math.max(largest, Math.abs(found[i] - Number(expected[i])));
  return largest;
}

interface Case {
  id: string;
  input: string;
  output: string;
  current_spacing: Vector3;
  new_spacing: Vector3;
  is_seg: boolean;
  order: 0 | 1 | 3;
  order_z: 0 | 1;
  force_separate_z: boolean | null;
  do_separate_z: boolean;
  axis: number | null;
  new_shape: Vector3;
  voxels_within_1e9_of_the_half_threshold: number[];
  why: string;
}

interface Golden {
  cases: Case[];
  new_shape: { shape: Vector3; current: Vector3; new: Vector3; new_shape: Vector3 }[];
  separate_z: { current: Vector3; new: Vector3; force: boolean | null; result: { axis: number | null } }[];
}

describe.skipIf(!hasShared)('nnU-Net reference values', () => {
  const golden: Golden = hasShared
    ? sharedJson<Golden>('golden', 'volumes', 'resampling.json')
    : { cases: [], new_shape: [], separate_z: [] };
  const { tensors } = hasShared
    ? readSafetensors(sharedBytes('golden', 'volumes', 'resampling.safetensors'))
    : { tensors: new Map() };

  test('new shapes', () => {
    for (const { shape, current, new: wanted, new_shape } of golden.new_shape) {
      expect(newShape(shape, current, wanted)).toEqual(new_shape);
    }
  });

  test('which axis is treated apart', () => {
    for (const { current, new: wanted, force, result } of golden.separate_z) {
      expect(separateAxis(current, wanted, { separateZ: force ?? undefined }) ?? null).toBe(result.axis);
    }
  });

  test.each(golden.cases)('$id: $why', (given) => {
    const input = tensors.get(given.input);
    const expected = tensors.get(given.output);
    if (!input || !expected) throw new Error(`no arrays for ${given.id}`);
    const shape = input.shape as unknown as Vector3;
    const regrid: Regrid = {
      shape,
      spacing: given.current_spacing,
      newShape: given.new_shape,
      newSpacing: given.new_spacing,
    };
    expect(newShape(shape, given.current_spacing, given.new_spacing)).toEqual(given.new_shape);
    const separateZ = given.force_separate_z ?? undefined;
    expect(separateAxis(given.current_spacing, given.new_spacing, { separateZ }) ?? null).toBe(given.axis);

    if (given.is_seg) {
      const options = { order: given.order === 0 ? 0 : 1, orderZ: given.order_z, separateZ } as const;
      const found = resampleLabelChannel(input.data as Int16Array, regrid, options);
      const nearTies = new Set(given.voxels_within_1e9_of_the_half_threshold);
      // The exact factor of 2 is no near tie: its ties are exact and part of the definition.
      if (given.id === 'seg1_half_down') nearTies.clear();
      const different = [...found].flatMap((label, i) => (label === expected.data[i] || nearTies.has(i) ? [] : [i]));
      expect(different).toEqual([]);
      return;
    }
    const options = { order: given.order, orderZ: given.order_z, separateZ };
    const exact = Float64Array.from(input.data as Float32Array);
    expect(largestDifference(resampleChannel(exact, regrid, options), expected.data)).toBeLessThan(1e-9);
    const float32 = largestDifference(resampleChannel(input.data as Float32Array, regrid, options), expected.data);
    expect(float32).toBeLessThan(1e-4);
  });
});
