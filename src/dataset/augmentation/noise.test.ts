import { describe, expect, test } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../../test/shared.ts';
import type { FloatData } from '../../volume/volume.ts';
import { readSafetensors } from '../../weights/safetensors.ts';
import { addNoise, blur } from './noise.ts';

test('noise is added as often as the deviation says', () => {
  expect([...addNoise(Float64Array.of(10, 20), 0.5, Float64Array.of(2, -4))]).toEqual([11, 18]);
});

describe('blur', () => {
  // sigma 0.5: exp(-2 j^2) for |j| <= 2 is 1, 0.1353, 0.0003; their sum with both sides 1.27134.
  const [middle, next, last] = [1, Math.exp(-2), Math.exp(-8)].map(
    (w) => w / (1 + 2 * Math.exp(-2) + 2 * Math.exp(-8)),
  );

  test('a point becomes the kernel, along every axis', () => {
    for (const shape of [
      [5, 1, 1],
      [1, 5, 1],
      [1, 1, 5],
    ] as const) {
      // The two axes of one voxel only see copies of it, so they change nothing.
      const found = blur(Float64Array.of(0, 0, 1, 0, 0), shape, 0.5);
      [last, next, middle, next, last].forEach((weight, i) => {
        expect(found[i]).toBeCloseTo(weight, 14);
      });
    }
  });

  test('at the end the image is mirrored about the outer edge of its voxel', () => {
    const found = blur(Float64Array.of(1, 0, 0, 0), [1, 1, 4], 0.5);
    [middle + next, next + last, last, 0].forEach((weight, i) => {
      expect(found[i]).toBeCloseTo(weight, 14);
    });
  });

  test('a constant stays, also where the kernel is longer than the image', () => {
    for (const value of blur(new Float64Array(12).fill(3), [1, 3, 4], 2)) expect(value).toBeCloseTo(3, 12);
  });
});

interface Case {
  id: string;
  op: string;
  parameters: { sigma: number; noise_variance_parameter: number; noise: string };
  output: string;
}

describe.skipIf(!hasShared)('batchgenerators reference values', () => {
  const cases = hasShared
    ? sharedJson<{ cases: Case[] }>('golden', 'volumes', 'augmentation.json').cases.filter(({ op }) =>
        ['gaussian_noise', 'gaussian_blur'].includes(op),
      )
    : [];
  const { tensors } = hasShared
    ? readSafetensors(sharedBytes('golden', 'volumes', 'augmentation.safetensors'))
    : { tensors: new Map() };

  test.each(cases)('$id', ({ op, parameters, output }) => {
    const image = tensors.get('image')?.data as Float32Array;
    const expected = tensors.get(output)?.data as Float64Array;
    const count = image.length / 2;
    const apply = (data: FloatData): FloatData[] =>
      op === 'gaussian_noise'
        ? [addNoise(data, parameters.noise_variance_parameter, tensors.get(parameters.noise)?.data as Float64Array)]
        : [0, 1].map((c) => blur(data.subarray(c * count, (c + 1) * count), [16, 20, 18], parameters.sigma));
    for (const [data, tolerance] of [
      [Float64Array.from(image), 1e-9],
      [image, 1e-5],
    ] as const) {
      const found = apply(data).flatMap((part) => [...part]);
      expect(found.length).toBe(expected.length);
      expect(Math.max(...found.map((value, i) => Math.abs(value - expected[i])))).toBeLessThan(tolerance);
    }
  });
});
