import { describe, expect, test } from 'vitest';
import { InputError } from '../errors.ts';
import { type Tensor, tensor } from '../tensor.ts';
import { type Plan, parsePlan, planFromV1Pickle } from './plan.ts';

const plan: Plan = {
  format: 'unetrpp-plan',
  version: 1,
  configuration: '3d_fullres',
  transposeForward: [0, 1, 2],
  spacing: [3, 0.76, 0.76],
  patch: [64, 128, 128],
  channels: [
    {
      name: 'CT',
      normalization: 'ct',
      useMask: false,
      intensities: { mean: 83, std: 137, percentile005: -958, percentile995: 326 },
    },
  ],
  convention: 'nnunet-v1',
  resampling: { image: 3, imageZ: 0, probabilities: 1, probabilitiesZ: 0, anisotropyThreshold: 3 },
  orientation: null,
  inference: { step: 0.5, mirrorAxes: [0, 1, 2] },
};

describe('a plan', () => {
  test('comes back whole from its JSON', () => {
    expect(parsePlan(JSON.parse(JSON.stringify(plan)))).toEqual(plan);
  });

  test('may have regions, components to keep, an orientation, and no resampling', () => {
    const full: Plan = {
      ...plan,
      spacing: null,
      orientation: 'LPS',
      regions: [
        { name: 'whole tumor', labels: [1, 2, 3] },
        { name: 'enhancing tumor', labels: [3] },
      ],
      regionsClassOrder: [1, 3],
      keepLargestComponents: [[1, 2, 3], [3]],
    };
    expect(parsePlan(full)).toEqual(full);
  });

  test.each<[string, unknown, string]>([
    ['an unknown key', { ...plan, spacng: null }, 'plan.json: Unrecognized key: "spacng"'],
    [
      'an unknown key further in',
      { ...plan, inference: { ...plan.inference, stepp: 1 } },
      'plan.json at inference: Unrecognized key: "stepp"',
    ],
    [
      'an unknown normalization',
      { ...plan, channels: [{ name: 'T1', normalization: 'zscore', useMask: false }] },
      'plan.json at channels[0].normalization: Invalid option: expected one of "ct"|"zScore"|"rescale01"|"rgb"|"none"',
    ],
    [
      'CT without the intensities of the training set',
      { ...plan, channels: [{ name: 'CT', normalization: 'ct', useMask: false }] },
      'plan.json at channels[0].intensities: CT normalization needs the mean, std and percentiles of the training foreground',
    ],
    [
      'an axis that is transposed twice',
      { ...plan, transposeForward: [0, 0, 2] },
      'plan.json at transposeForward: must name each of the axes 0, 1 and 2 once',
    ],
    [
      'a spacing of zero',
      { ...plan, spacing: [1, 0, 1] },
      'plan.json at spacing[1]: Too small: expected number to be >0',
    ],
    [
      'an orientation that names one axis twice',
      { ...plan, orientation: 'LRS' },
      'plan.json at orientation: must be an axis code of three letters',
    ],
    [
      'regions without the labels that they write',
      { ...plan, regions: [{ name: 'all', labels: [1] }] },
      'plan.json at regionsClassOrder: must have one label for each of the regions',
    ],
    ['a step above 1', { ...plan, inference: { step: 1.5, mirrorAxes: [] } }, 'plan.json at inference.step: Too big'],
    ['another version', { ...plan, version: 2 }, 'plan.json at version: Invalid input: expected 1'],
    ['no object', null, 'plan.json: Invalid input: expected object, received null'],
  ])('with %s is refused', (_what, value, message) => {
    expect(() => parsePlan(value, 'plan.json')).toThrow(InputError);
    expect(() => parsePlan(value, 'plan.json')).toThrow(message);
  });
});

/** An nnU-Net v1 plan as it is unpickled, of two stages and a CT and an MR channel, with NumPy values as tensors. */
const v1 = () =>
  new Map<unknown, unknown>([
    ['num_stages', 2],
    ['num_modalities', 2],
    [
      'modalities',
      new Map([
        [0, 'CT'],
        [1, 'MRI'],
      ]),
    ],
    [
      'normalization_schemes',
      new Map([
        [0, 'CT'],
        [1, 'nonCT'],
      ]),
    ],
    [
      'use_mask_for_norm',
      new Map([
        [0, false],
        [1, true],
      ]),
    ],
    [
      'dataset_properties',
      new Map([
        [
          'intensityproperties',
          new Map([
            [
              0,
              new Map<string, unknown>([
                ['mean', tensor('float64', [], Float64Array.of(83.5))],
                ['sd', 137],
                ['percentile_00_5', -958],
                ['percentile_99_5', 326],
              ]),
            ],
          ]),
        ],
      ]),
    ],
    ['num_classes', 13],
    ['transpose_forward', [2, 0, 1]],
    [
      'keep_only_largest_region',
      new Map<unknown, boolean>([
        [[1, 2], true],
        [1, false],
        [2, true],
      ]),
    ],
    ['preprocessor_name', 'GenericPreprocessor'],
    [
      'plans_per_stage',
      new Map([
        [
          0,
          new Map<string, Tensor>([
            ['patch_size', tensor('int64', [3], BigInt64Array.of(32n, 64n, 64n))],
            ['current_spacing', tensor('float64', [3], Float64Array.of(3.2, 1.6, 1.6))],
          ]),
        ],
        [
          1,
          new Map<string, Tensor>([
            ['patch_size', tensor('int64', [3], BigInt64Array.of(64n, 128n, 128n))],
            ['current_spacing', tensor('float64', [3], Float64Array.of(3, 0.76, 0.76))],
          ]),
        ],
      ]),
    ],
  ]);

describe('an nnU-Net v1 plan', () => {
  test('gives its last stage, channels, transposition and components', () => {
    expect(planFromV1Pickle(v1())).toEqual({
      plan: {
        ...plan,
        transposeForward: [2, 0, 1],
        channels: [
          {
            name: 'CT',
            normalization: 'ct',
            useMask: false,
            intensities: { mean: 83.5, std: 137, percentile005: -958, percentile995: 326 },
          },
          { name: 'MRI', normalization: 'zScore', useMask: true },
        ],
        keepLargestComponents: [[1, 2], [2]],
      },
      classes: 14,
    });
  });

  test('takes names of channels and the list of postprocessing.json from its surroundings', () => {
    const { plan } = planFromV1Pickle(v1(), { channelNames: ['abdomen', 'T2w'], keepLargest: [[1, 2, 3], 3] });
    expect(plan.channels.map(({ name }) => name)).toEqual(['abdomen', 'T2w']);
    expect(plan.keepLargestComponents).toEqual([[1, 2, 3], [3]]);
  });

  test('may be an object with text for keys, as JSON has it', () => {
    const { plan, classes } = planFromV1Pickle({
      modalities: { 0: 'MRI' },
      normalization_schemes: { 0: 'nonCT' },
      use_mask_for_norm: { 0: false },
      num_classes: 3,
      keep_only_largest_region: null,
      plans_per_stage: { 0: { patch_size: [16, 160, 160], current_spacing: [10, 1.5, 1.5] } },
    });
    expect({ patch: plan.patch, spacing: plan.spacing, transposeForward: plan.transposeForward, classes }).toEqual({
      patch: [16, 160, 160],
      spacing: [10, 1.5, 1.5],
      transposeForward: [0, 1, 2],
      classes: 4,
    });
    expect(plan).not.toHaveProperty('keepLargestComponents');
  });

  test('without resampling keeps the spacing of each scan', () => {
    expect(planFromV1Pickle(v1().set('preprocessor_name', 'PreprocessorFor3D_NoResampling')).plan.spacing).toBeNull();
  });

  test.each<[string, Map<unknown, unknown>, string]>([
    ['another preprocessor', v1().set('preprocessor_name', 'PreprocessorFor2D'), 'the preprocessor PreprocessorFor2D'],
    ['another normalization', v1().set('normalization_schemes', new Map([[0, 'CT2']])), 'normalizes by "CT2"'],
    ['no stages', v1().set('plans_per_stage', new Map()), 'the nnU-Net plan.plans_per_stage has no 0'],
    [
      'no intensities for CT',
      v1().set('dataset_properties', new Map()),
      'dataset_properties has no intensityproperties',
    ],
    [
      'a patch of two axes',
      v1().set('plans_per_stage', [{ patch_size: [8, 8], current_spacing: [1, 1, 1] }]),
      'at patch',
    ],
    ['a text for a number', v1().set('num_classes', 'three'), 'the nnU-Net plan.num_classes is not a number'],
  ])('with %s is refused', (_what, value, message) => {
    expect(() => planFromV1Pickle(value)).toThrow(InputError);
    expect(() => planFromV1Pickle(value)).toThrow(message);
  });

  test('that is no plan at all is refused', () => {
    for (const value of [null, 3, 'plans', [], new Map(), { plans_per_stage: [] }]) {
      expect(() => planFromV1Pickle(value)).toThrow(InputError);
    }
  });
});
