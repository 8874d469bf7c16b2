import { describe, expect, test } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../../test/shared.ts';
import type { FloatData } from '../../volume/volume.ts';
import { readSafetensors } from '../../weights/safetensors.ts';
import { applyGamma, lowerResolution, scaleBrightness, scaleContrast } from './intensity.ts';

test('brightness multiplies', () => {
  expect([...scaleBrightness(Float64Array.of(-2, 0, 4), 1.5)]).toEqual([-3, 0, 6]);
});

test('contrast moves values away from the mean, and may be clipped to the old range', () => {
  const channel = Float64Array.of(0, 2, 4);
  expect([...scaleContrast(channel, 1.5, false)]).toEqual([-1, 2, 5]);
  expect([...scaleContrast(channel, 1.5, true)]).toEqual([0, 2, 4]);
  expect([...scaleContrast(channel, 0.5, true)]).toEqual([1, 2, 3]);
});

describe('gamma', () => {
  const plain = { inverted: false, keepStatistics: false };

  test('bends the range, its ends stay', () => {
    const found = applyGamma(Float64Array.of(0, 5, 10), 2, plain);
    [0, 2.5, 10].forEach((value, i) => {
      expect(found[i]).toBeCloseTo(value, 6);
    });
  });

  test('inverted, it bends from the other end', () => {
    const found = applyGamma(Float64Array.of(0, 5, 10), 2, { ...plain, inverted: true });
    [0, 7.5, 10].forEach((value, i) => {
      expect(found[i]).toBeCloseTo(value, 6);
    });
  });

  test('mean and deviation can be kept', () => {
    // 0, 2.5, 10 have the mean 4.1667 and the deviation 4.2492; 0, 5, 10 have 5 and 4.0825.
    const found = applyGamma(Float64Array.of(0, 5, 10), 2, { ...plain, keepStatistics: true });
    [0, 2.5, 10].forEach((value, i) => {
      expect(found[i]).toBeCloseTo(((value - 25 / 6) * Math.sqrt(50 / 3)) / Math.sqrt(325 / 18) + 5, 6);
    });
  });

  test('an image of one value stays', () => {
    for (const keepStatistics of [true, false]) {
      expect([...applyGamma(Float64Array.of(3, 3), 0.7, { ...plain, keepStatistics })]).toEqual([3, 3]);
    }
  });
});

test('half the resolution keeps every other voxel, and an axis of one voxel', () => {
  expect([...lowerResolution(Float64Array.of(1, 2, 3, 4), [1, 1, 4], 0.5, { up: 0 })]).toEqual([2, 2, 4, 4]);
});

test('axis 0 can keep its resolution', () => {
  const stack = Float64Array.of(1, 2, 3, 4);
  expect([...lowerResolution(stack, [4, 1, 1], 0.5, { up: 0, inPlane: true })]).toEqual([1, 2, 3, 4]);
});

interface Case {
  id: string;
  op: string;
  parameters: {
    multiplier: number;
    factor: number;
    preserve_range: boolean;
    zoom: number;
    order_downsample: 0 | 1 | 3;
    order_upsample: 0 | 1 | 3;
    ignore_axes?: number[];
    gamma: number;
    invert: boolean;
    retain_stats: boolean;
    per_channel: boolean;
  };
  output: string;
}

const operations: Record<string, (channel: FloatData, p: Case['parameters']) => FloatData> = {
  brightness_multiplicative: (channel, p) => scaleBrightness(channel, p.multiplier),
  contrast: (channel, p) => scaleContrast(channel, p.factor, p.preserve_range),
  simulate_low_resolution: (channel, p) =>
    lowerResolution(channel, [16, 20, 18], p.zoom, {
      down: p.order_downsample,
      up: p.order_upsample,
      inPlane: p.ignore_axes !== undefined,
    }),
  gamma: (channel, p) => applyGamma(channel, p.gamma, { inverted: p.invert, keepStatistics: p.retain_stats }),
};

describe.skipIf(!hasShared)('batchgenerators reference values', () => {
  // Training treats every channel by itself; the one case over all channels at once is not offered.
  const cases = hasShared
    ? sharedJson<{ cases: Case[] }>('golden', 'volumes', 'augmentation.json').cases.filter(
        ({ op, parameters }) => op in operations && parameters.per_channel !== false,
      )
    : [];
  const { tensors } = hasShared
    ? readSafetensors(sharedBytes('golden', 'volumes', 'augmentation.safetensors'))
    : { tensors: new Map() };

  test.each(cases)('$id', ({ op, parameters, output }) => {
    const image = tensors.get('image')?.data as Float32Array;
    const expected = tensors.get(output)?.data as Float64Array;
    const count = image.length / 2;
    for (const [data, tolerance] of [
      [Float64Array.from(image), 1e-9],
      [image, 1e-5],
    ] as const) {
      const found = [0, 1].flatMap((c) => [...operations[op](data.subarray(c * count, (c + 1) * count), parameters)]);
      expect(found.length).toBe(expected.length);
      expect(Math.max(...found.map((value, i) => Math.abs(value - expected[i])))).toBeLessThan(tolerance);
    }
  });
});
