import { describe, expect, test } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../test/shared.ts';
import { InputError } from '../errors.ts';
import type { Tensor } from '../tensor.ts';
import { readSafetensors } from '../weights/safetensors.ts';
import {
  type IntensityRange,
  intensityStatistics,
  type NormalizeIntensityOptions,
  normalize,
  normalizeIntensity,
  percentile,
  scaleIntensityRange,
} from './intensities.ts';

const v1 = { convention: 'nnunet-v1' } as const;
const v2 = { convention: 'nnunet-v2' } as const;
/** Clips to [0, 10]. */
const intensities = { mean: 4, std: 2, percentile005: 0, percentile995: 10 };

describe('normalize', () => {
  const data = Float64Array.of(-5, 2, 4, 6, 50);
  const inside = Uint8Array.of(0, 1, 1, 1, 0);

  test('ct: clipped, then by the training foreground', () => {
    expect([...normalize(data, 'ct', { ...v2, intensities })]).toEqual([-2, -1, 0, 1, 3]);
    expect([...normalize(data, 'ct', { ...v1, intensities, inside })]).toEqual([0, -1, 0, 1, 0]);
  });

  test('ct2: the mean and deviation of what lies strictly between the bounds', () => {
    // Of 2, 4, 6: mean 4, variance 8/3.
    const std = Math.sqrt(8 / 3);
    expect([...normalize(data, 'ct2', { ...v1, intensities })]).toEqual([-4 / std, -2 / std, 0, 2 / std, 6 / std]);
  });

  test('zScore with a mask: the outside becomes 0 in v1 and is untouched in v2', () => {
    const std = Math.sqrt(8 / 3);
    const first = normalize(data, 'zScore', { ...v1, inside });
    const second = normalize(data, 'zScore', { ...v2, inside });
    [0, -2 / std, 0, 2 / std, 0].forEach((value, i) => {
      expect(first[i]).toBeCloseTo(value, 7);
    });
    expect([...second]).toEqual([-5, -2 / std, 0, 2 / std, 50]);
  });

  test('a constant image becomes 0', () => {
    const constant = Float32Array.of(7, 7, 7);
    for (const convention of [v1, v2]) expect([...normalize(constant, 'zScore', convention)]).toEqual([0, 0, 0]);
    expect([...normalize(constant, 'rescale01', v2)]).toEqual([0, 0, 0]);
  });

  test('rescale01 and rgb', () => {
    expect([...normalize(Float64Array.of(2, 3, 6), 'rescale01', v2)]).toEqual([0, 0.25, 1]);
    expect([...normalize(Float64Array.of(0, 51, 255), 'rgb', v2)]).toEqual([0, 0.2, 1]);
  });

  test('does not change its input', () => {
    const before = data.slice();
    for (const scheme of ['ct', 'zScore', 'rescale01', 'rgb', 'none'] as const)
      normalize(data, scheme, { ...v2, intensities });
    expect(data).toEqual(before);
  });

  test('float32 statistics are summed in float64', () => {
    // In float32 a sum of ones stops at 2^24.
    const many = new Float32Array(2 ** 24 + 2 ** 22).fill(1);
    many[0] = 2;
    expect(normalize(many, 'zScore', v2)[1]).toBeCloseTo(-1 / Math.sqrt(many.length), 9);
  });

  test('refuses what the convention does not know', () => {
    expect(() => normalize(data, 'ct', v2)).toThrow('needs the intensities');
    expect(() => normalize(data, 'ct2', { ...v2, intensities })).toThrow('nnunet-v2 has no scheme ct2');
    expect(() => normalize(data, 'rgb', v1)).toThrow('nnunet-v1 has no scheme rgb');
    expect(() => normalize(data, 'rescale01', v1)).toThrow('nnunet-v1 has no scheme rescale01');
    expect(() => normalize(data, 'ct', { ...v2, intensities, inside })).toThrow(
      'nnunet-v2 takes no mask for the scheme ct',
    );
    expect(() => normalize(data, 'zScore', { ...v2, inside: Uint8Array.of(1) })).toThrow('a mask of 1 voxels');
  });
});

describe('normalizeIntensity', () => {
  // Two channels of two values.
  const data = Float64Array.of(0, 4, 10, 10);

  test('all channels together unless said; a deviation of 0 counts as 1', () => {
    const std = Math.sqrt(18);
    expect([...normalizeIntensity(data, 2)]).toEqual([-6 / std, -2 / std, 4 / std, 4 / std]);
    expect([...normalizeIntensity(data, 2, { channelWise: true })]).toEqual([-1, 1, 0, 0]);
  });

  test('nonzero leaves zeros alone', () => {
    expect([...normalizeIntensity(data, 2, { channelWise: true, nonzero: true })]).toEqual([0, 0, 0, 0]);
    expect([...normalizeIntensity(Float64Array.of(0, 3, 5), 1, { nonzero: true })]).toEqual([0, -1, 1]);
    expect([...normalizeIntensity(Float64Array.of(0, 0), 1, { nonzero: true })]).toEqual([0, 0]);
  });

  test('refuses a wrong count of numbers', () => {
    expect(() => normalizeIntensity(data, 2, { channelWise: true, divisor: [1] })).toThrow(
      'divisor has 1 numbers; give 2',
    );
  });
});

describe('scaleIntensityRange', () => {
  test('maps one range to another, and clips when told to', () => {
    const data = Float64Array.of(-10, 0, 5, 20);
    expect([...scaleIntensityRange(data, { aMin: 0, aMax: 10 })]).toEqual([-1, 0, 0.5, 2]);
    expect([...scaleIntensityRange(data, { aMin: 0, aMax: 10, bMin: 1, bMax: 3, clip: true })]).toEqual([1, 1, 2, 3]);
  });

  test('refuses an empty range and half of one', () => {
    const data = Float64Array.of(1);
    expect(() => scaleIntensityRange(data, { aMin: 5, aMax: 5 })).toThrow(InputError);
    expect(() => scaleIntensityRange(data, { aMin: 0, aMax: 5, bMin: 0 })).toThrow(InputError);
    expect(() => scaleIntensityRange(data, { aMin: 0, aMax: 5, clip: true })).toThrow(InputError);
  });
});

describe('statistics', () => {
  test('percentiles lie between ranks', () => {
    expect(percentile([10, 20, 30, 40, 50], 50)).toBe(30);
    expect(percentile([10, 20], 25)).toBe(12.5);
    expect(percentile([10], 99.5)).toBe(10);
  });

  test('of no values there are none', () => {
    expect(() => intensityStatistics([])).toThrow(RangeError);
  });
});

interface Golden {
  normalisation: {
    properties: { mean: number; std: number; percentile_00_5: number; percentile_99_5: number };
  };
  fingerprint: {
    statistics_of_all_foreground_voxels: (Record<string, number> & { n: number })[];
  };
  monai: { results: Record<string, { array: string; arguments: Record<string, unknown> }> };
}

describe.skipIf(!hasShared)('reference values', () => {
  const { tensors } = hasShared
    ? readSafetensors(sharedBytes('golden', 'volumes', 'preprocessing.safetensors'))
    : { tensors: new Map<string, Tensor>() };
  const golden = () => sharedJson<Golden>('golden', 'volumes', 'preprocessing.json');
  const array = (name: string) => tensors.get(name)?.data as Float64Array;

  function expectClose(found: Float64Array, name: string): void {
    const expected = array(name);
    expect(found.length).toBe(expected.length);
    let largest = 0;
    for (let i = 0; i < found.length; i++) largest = Math.max(largest, Math.abs(found[i] - expected[i]));
    expect(largest).toBeLessThan(1e-9);
  }

  test("nnU-Net's schemes", () => {
    const { properties } = golden().normalisation;
    const training = {
      mean: properties.mean,
      std: properties.std,
      percentile005: properties.percentile_00_5,
      percentile995: properties.percentile_99_5,
    };
    const image = array('norm_image');
    const inside = Uint8Array.from(tensors.get('norm_seg')?.data as Int8Array, (label) => (label >= 0 ? 1 : 0));
    expectClose(normalize(image, 'ct', { ...v2, intensities: training }), 'norm_ct');
    expectClose(normalize(image, 'ct', { ...v1, intensities: training }), 'norm_ct');
    expectClose(normalize(image, 'zScore', v2), 'norm_zscore');
    expectClose(normalize(image, 'zScore', { ...v2, inside }), 'norm_zscore_mask');
    expectClose(normalize(image, 'rescale01', v2), 'norm_rescale01');
    expectClose(normalize(array('rgb_image'), 'rgb', v2), 'norm_rgb01');
    expectClose(normalize(image, 'zScore', { ...v1, inside }), 'norm_v1_nonCT_mask');
    expectClose(normalize(image, 'ct2', { ...v1, intensities: training }), 'norm_v1_CT2');
  });

  test("MONAI's NormalizeIntensityd and ScaleIntensityRanged", () => {
    const image = Float64Array.from(tensors.get('monai_image')?.data as Float32Array);
    let cases = 0;
    for (const [name, { array: expected, arguments: given }] of Object.entries(golden().monai.results)) {
      if (name.startsWith('NormalizeIntensityd')) {
        const { channel_wise: channelWise, ...rest } = given;
        expectClose(normalizeIntensity(image, 2, { channelWise, ...rest } as NormalizeIntensityOptions), expected);
      } else if (name.startsWith('ScaleIntensityRanged')) {
        const { a_min: aMin, a_max: aMax, b_min: bMin, b_max: bMax, clip } = given;
        expectClose(scaleIntensityRange(image, { aMin, aMax, bMin, bMax, clip } as IntensityRange), expected);
      } else continue;
      cases++;
    }
    expect(cases).toBe(8);
  });

  test('statistics of a foreground', () => {
    const image = array('fingerprint_image');
    const labels = tensors.get('fingerprint_seg')?.data as Int16Array;
    golden().fingerprint.statistics_of_all_foreground_voxels.forEach(({ n, ...expected }, channel) => {
      const values = image
        .subarray(channel * labels.length, (channel + 1) * labels.length)
        .filter((_, voxel) => labels[voxel] > 0);
      expect(values.length).toBe(n);
      const found = intensityStatistics(values);
      expect(found.mean).toBeCloseTo(expected.mean, 9);
      expect(found.std).toBeCloseTo(expected.std, 9);
      expect(found.median).toBeCloseTo(expected.median, 9);
      expect([found.min, found.max]).toEqual([expected.min, expected.max]);
      expect(found.percentile005).toBeCloseTo(expected.percentile_00_5, 9);
      expect(found.percentile995).toBeCloseTo(expected.percentile_99_5, 9);
    });
  });
});
