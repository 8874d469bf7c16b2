import { describe, expect, test } from 'vitest';
import { checkSettings } from '../nets/index.ts';
import { identityDirection, type Vector3, type Volume } from '../volume/index.ts';
import { type CaseSurvey, defaultSettings, surveyCase } from './defaults.ts';
import { checkTrainSettings } from './settings.ts';

const volume = (shape: Vector3, data: Float32Array, spacing: Vector3 = [1, 1, 1]): Volume<Float32Array> => ({
  shape,
  spacing,
  origin: [0, 0, 0],
  direction: identityDirection,
  channels: data.length / (shape[0] * shape[1] * shape[2]),
  data,
});

const survey = (shape: Vector3, spacing: Vector3 = [1, 1, 1], changes: Partial<CaseSurvey> = {}): CaseSurvey => ({
  shape,
  spacing,
  share: 1,
  foreground: [Float32Array.of(0, 100)],
  ...changes,
});

const defaults = (surveys: CaseSurvey[], changes: { channels?: string[]; patch?: number[] } = {}) =>
  defaultSettings({
    dataset: { name: 'drawn', path: 'nowhere', sha256: '0'.repeat(64) },
    fold: 0,
    channels: ['MRI'],
    labels: ['background', 'thing'],
    surveys,
    ...changes,
  });

describe('what is measured of a case', () => {
  test('is the part that is not zero, spacing along z, y, x, and foreground intensities of each channel', () => {
    // Two channels of 1 x 2 x 4; the last column is zero in both. Foreground: the voxel of 3 and 30.
    const image = volume([1, 2, 4], Float32Array.of(1, 2, 3, 0, 1, 1, 1, 0, 10, 20, 30, 0, 1, 1, 1, 0), [0.5, 2, 3]);
    const labels = volume([1, 2, 4], Float32Array.of(0, 0, 1, 0, 0, 0, 0, 0));
    const measured = surveyCase(image, labels, 0);
    expect(measured).toMatchObject({ shape: [1, 2, 3], spacing: [3, 2, 0.5], share: 6 / 8 });
    expect(measured.foreground.map((values) => [values.length, ...new Set(values)])).toEqual([
      [10_000, 3],
      [10_000, 30],
    ]);
  });

  test('is no intensity where there is no foreground', () => {
    const nothing = volume([1, 1, 2], Float32Array.of(0, 0));
    expect(surveyCase(volume([1, 1, 2], Float32Array.of(1, 2)), nothing, 0).foreground[0]).toHaveLength(0);
  });
});

describe('default settings', () => {
  test('are complete, and legal for any size of scan', () => {
    for (const shape of [
      [1, 1, 1],
      [10, 300, 300],
      [36, 50, 35],
      [148, 512, 512],
      [40, 40, 40],
    ] as Vector3[]) {
      const { settings } = defaults([survey(shape)]);
      expect(checkTrainSettings(settings, 'defaults')).toEqual(settings);
      checkSettings(settings.network);
      expect(settings.plan.patch[0] * settings.plan.patch[1] * settings.plan.patch[2]).toBeLessThanOrEqual(2 ** 20);
    }
  });

  test('take the median spacing, and put the axis of the largest spacing first', () => {
    const { plan } = defaults([
      survey([90, 20, 80], [1, 5, 1]),
      survey([90, 20, 80], [1, 3, 1]),
      survey([90, 20, 80], [1, 4, 2]),
    ]).settings;
    expect(plan.transposeForward).toEqual([1, 0, 2]);
    expect(plan.spacing).toEqual([4, 1, 1]);
    // 20 slices of 4 mm, 90 voxels, 80 voxels: the next multiples of 8 stems of 1, 2 and 2.
    expect(plan.patch).toEqual([24, 96, 80]);
  });

  test('cut a patch that is too large along its longest axes', () => {
    expect(defaults([survey([148, 512, 512])]).settings.plan.patch).toEqual([96, 96, 96]);
  });

  test('give small scans a narrow network', () => {
    expect(defaults([survey([36, 50, 35])]).settings.network).toMatchObject({
      featureSize: 8,
      dims: [16, 32, 64, 128],
    });
    expect(defaults([survey([148, 512, 512])]).settings.network).toMatchObject({ featureSize: 16 });
  });

  test('take a patch that was given, with a stem that divides it', () => {
    expect(defaults([survey([36, 50, 35])], { patch: [40, 56, 40] }).settings.network).toMatchObject({
      patch: [40, 56, 40],
      stem: [1, 1, 1],
    });
    expect(defaults([survey([9, 9, 9])], { patch: [64, 128, 80] }).settings.network.stem).toEqual([4, 4, 2]);
  });

  test('normalize CT by the foreground of all cases, and other channels by their own mean, by the mask where much is zero', () => {
    const ct = defaults(
      [survey([40, 40, 40]), survey([40, 40, 40], [1, 1, 1], { foreground: [Float32Array.of(50, 50)] })],
      {
        channels: ['CT'],
      },
    );
    expect(ct.settings.plan.channels).toEqual([
      {
        name: 'CT',
        normalization: 'ct',
        useMask: false,
        intensities: { mean: 50, std: Math.sqrt(1250), percentile005: 0.75, percentile995: 99.25 },
      },
    ]);
    expect(ct.notices).toEqual([]);
    const brain = defaults([survey([40, 40, 40], [1, 1, 1], { share: 0.5 })]);
    expect(brain.settings.plan.channels).toEqual([{ name: 'MRI', normalization: 'zScore', useMask: true }]);
  });

  test('are refused where the name of a channel does not say how it is normalized', () => {
    expect(() => defaults([survey([40, 40, 40])], { channels: ['computed'] })).toThrow(
      'The channel name "computed" does not say how its values are normalized',
    );
  });
});
