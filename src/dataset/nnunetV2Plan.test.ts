import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { hasShared, sharedPath } from '../../test/shared.ts';
import { InputError } from '../errors.ts';
import { planFromV2Json } from './nnunetV2Plan.ts';

const resampling = (order: number) => ({ is_seg: false, order, order_z: 0, force_separate_z: null });

const configuration = {
  patch_size: [16, 160, 160],
  spacing: [5, 1.5, 1.5],
  normalization_schemes: ['CTNormalization', 'ZScoreNormalization'],
  use_mask_for_norm: [false, true],
  resampling_fn_data: 'resample_data_or_seg_to_shape',
  resampling_fn_data_kwargs: resampling(3),
  resampling_fn_probabilities: 'resample_data_or_seg_to_shape',
  resampling_fn_probabilities_kwargs: resampling(1),
};

const plans = (changes: object = {}, rest: object = {}) => ({
  transpose_forward: [2, 0, 1],
  configurations: { '3d_fullres': { ...configuration, ...changes } },
  foreground_intensity_properties_per_channel: {
    0: { mean: 80, std: 140, percentile_00_5: -950, percentile_99_5: 330, median: 90 },
  },
  ...rest,
});

test('of nnU-Net v2 gives spacing, transposition, patch, normalization and resampling', () => {
  expect(planFromV2Json(plans(), ['CT', 'T1'])).toMatchObject({
    convention: 'nnunet-v2',
    transposeForward: [2, 0, 1],
    spacing: [5, 1.5, 1.5],
    patch: [16, 160, 160],
    channels: [
      {
        name: 'CT',
        normalization: 'ct',
        useMask: false,
        intensities: { mean: 80, std: 140, percentile005: -950, percentile995: 330 },
      },
      { name: 'T1', normalization: 'zScore', useMask: true },
    ],
    resampling: { image: 3, imageZ: 0, probabilities: 1, probabilitiesZ: 0 },
    orientation: null,
  });
});

test('a configuration has what it inherits, and its own entries win', () => {
  const configurations = {
    '3d_fullres': { inherits_from: 'base', spacing: [3, 1, 1] },
    base: { ...configuration, inherits_from: 'root' },
    root: { patch_size: [1, 1, 1] },
  };
  expect(planFromV2Json(plans({}, { configurations }), ['CT', 'T1'])).toMatchObject({
    spacing: [3, 1, 1],
    patch: [16, 160, 160],
  });
});

test.each<[string, unknown, string[], RegExp]>([
  ['something else', { a: 1 }, ['CT'], /^plans\.json: transpose_forward: .* give the plans\.json of an nnU-Net v2/],
  [
    'no 3-D configuration',
    plans({}, { configurations: { '2d': {} } }),
    ['CT'],
    /has no configuration 3d_fullres \(2d\)/,
  ],
  [
    'a ring of inheritance',
    plans({}, { configurations: { '3d_fullres': { inherits_from: 'a' }, a: { inherits_from: '3d_fullres' } } }),
    ['CT'],
    /the configuration 3d_fullres inherits from itself/,
  ],
  ['other channels', plans(), ['CT'], /is for 2 channels and there are 1 \(CT\)/],
  ['an unknown scheme', plans({ normalization_schemes: ['X', 'Y'] }), ['CT', 'T1'], /normalizes by "X"; only CTNorm/],
  ['another preprocessor', plans({ preprocessor_name: 'Mine' }), ['CT', 'T1'], /asks for the preprocessor Mine/],
  ['CT without statistics', plans({}, { foreground_intensity_properties_per_channel: {} }), ['CT', 'T1'], /CT normal/],
])('is refused for %s', (_, value, channels, message) => {
  expect(() => planFromV2Json(value, channels)).toThrow(InputError);
  expect(() => planFromV2Json(value, channels)).toThrow(message);
});

describe.skipIf(!hasShared)('reference values', () => {
  test('a whole plan of nnU-Net v2 is read', () => {
    const { constants_in_full_plan: whole } = JSON.parse(readFileSync(sharedPath('golden', 'planning.json'), 'utf8'));
    expect(planFromV2Json(whole, ['MRI'])).toMatchObject({ patch: [40, 56, 40], spacing: [1, 1, 1] });
  });
});
