import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { hasShared, sharedPath } from '../../test/shared.ts';
import { identityDirection, intensityStatistics, type Vector3, type Volume } from '../volume/index.ts';
import { readSafetensors } from '../weights/index.ts';
import { drawForeground, ForegroundPool, measureCase, statisticsOf } from './fingerprint.ts';

const volume = (shape: Vector3, data: Float32Array, spacing: Vector3 = [1, 1, 1]): Volume<Float32Array> => ({
  shape,
  spacing,
  origin: [0, 0, 0],
  direction: identityDirection,
  channels: data.length / (shape[0] * shape[1] * shape[2]),
  data,
});

describe('a case', () => {
  // Two channels of 1 x 2 x 4; the last column is zero in both.
  const image = volume([1, 2, 4], Float32Array.of(1, 2, 3, 0, 1, 1, 1, 0, 10, 20, 30, 0, 1, 1, 1, 0), [0.5, 2, 3]);

  test('is measured where it is not zero, along z, y, x', () => {
    const labels = volume([1, 2, 4], Float32Array.of(0, 1, 1, 0, 0, 0, 2, 0));
    expect(measureCase('drawn', image, labels, 10).fingerprint).toEqual({
      name: 'drawn',
      shape: [1, 2, 3],
      spacing: [3, 2, 0.5],
      relativeSize: 6 / 8,
      orientation: 'LPS',
      foregroundShape: [1, 2, 2],
      labelCenters: { 1: [0, 0, 1.5], 2: [0, 1, 2] },
    });
  });

  test('gives as many voxels of the foreground as were asked for, of each channel', () => {
    const labels = volume([1, 2, 4], Float32Array.of(0, 0, 1, 0, 0, 0, 0, 0));
    expect(measureCase('drawn', image, labels, 10).drawn.map((values) => [...values])).toEqual([[[3, 10]], [[30, 10]]]);
  });

  test('is measured without voxels that are ignored', () => {
    const labels = volume([1, 2, 4], Float32Array.of(0, 0, 1, 0, 2, 0, 0, 0));
    const { fingerprint, drawn } = measureCase('drawn', image, labels, 10, 2);
    expect(fingerprint).toMatchObject({ foregroundShape: [1, 1, 1], labelCenters: { 1: [0, 0, 2] } });
    expect(drawn.map((values) => [...values])).toEqual([[[3, 10]], [[30, 10]]]);
  });

  test('without foreground gives none', () => {
    const { fingerprint, drawn } = measureCase('drawn', image, volume([1, 2, 4], new Float32Array(8)), 10);
    expect(fingerprint).toMatchObject({ foregroundShape: null, labelCenters: {} });
    expect(drawn.map((values) => values.size)).toEqual([0, 0]);
  });
});

describe('statistics of drawn values', () => {
  test('are those of the list in which each stands as often as it was drawn', () => {
    const list = [5, 5, 5, -1, -1, 2, 9];
    const drawn = new Map([
      [5, 3],
      [-1, 2],
      [2, 1],
      [9, 1],
    ]);
    const wanted = intensityStatistics(list);
    for (const [name, value] of Object.entries(statisticsOf(drawn)!)) {
      expect(value).toBeCloseTo(wanted[name as keyof typeof wanted], 12);
    }
  });

  test('of nothing are none', () => {
    expect(statisticsOf(new Map())).toBeNull();
  });

  test('of more than a million different values differ by less than 1 part in 65,536', () => {
    const pool = new ForegroundPool(1);
    const values = Float64Array.from({ length: 2 ** 20 + 2 }, (_, i) => 100 + i / 1000);
    pool.add([new Map([...values].map((value) => [value, 1]))]);
    const [found] = pool.statistics();
    const wanted = intensityStatistics(values);
    for (const name of ['mean', 'median', 'percentile005', 'percentile995'] as const) {
      expect(Math.abs(found![name] / wanted[name] - 1)).toBeLessThan(2 ** -16);
    }
  });
});

describe.skipIf(!hasShared)('reference values', () => {
  interface Sampled {
    readonly num_samples: number;
    readonly statistics: readonly Record<string, number>[];
  }
  const file = (ending: string) => sharedPath('golden', 'volumes', `preprocessing.${ending}`);

  test("nnU-Net's draws from the foreground of two channels, and their statistics", () => {
    const { fingerprint } = JSON.parse(readFileSync(file('json'), 'utf8')) as { fingerprint: { sampled: Sampled } };
    const { tensors } = readSafetensors(readFileSync(file('safetensors')));
    const image = tensors.get('fingerprint_image')!.data as Float64Array;
    const labels = tensors.get('fingerprint_seg')!.data as Int16Array;
    const foreground = Uint32Array.from([...labels.keys()].filter((i) => labels[i] > 0));
    const { num_samples: samples, statistics } = fingerprint.sampled;
    const pool = new ForegroundPool(2);
    pool.add(drawForeground(foreground, image, labels.length, samples));
    for (const [channel, found] of pool.statistics().entries()) {
      const wanted = statistics[channel];
      expect(found!.mean).toBeCloseTo(wanted['mean'], 9);
      expect(found!.std).toBeCloseTo(wanted['std'], 9);
      expect(found!.median).toBeCloseTo(wanted['median'], 9);
      expect(found!.min).toBeCloseTo(wanted['min'], 9);
      expect(found!.max).toBeCloseTo(wanted['max'], 9);
      expect(found!.percentile005).toBeCloseTo(wanted['percentile_00_5'], 9);
      expect(found!.percentile995).toBeCloseTo(wanted['percentile_99_5'], 9);
    }
  });
});
