import { describe, expect, test } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../test/shared.ts';
import { InputError } from '../errors.ts';
import type { Tensor } from '../tensor.ts';
import { identityDirection, type Vector3, type Volume } from '../volume/volume.ts';
import { readSafetensors } from '../weights/safetensors.ts';
import {
  dice,
  iou,
  overlaps,
  precision,
  regionOverlaps,
  sensitivity,
  specificity,
  volumeDifference,
} from './overlap.ts';

/** One slice, drawn. */
function drawn(rows: string): Volume {
  const lines = rows.trim().split(/\s+/);
  const data = Uint8Array.from(lines.join('').replaceAll('.', '0'), Number);
  return {
    data,
    channels: 1,
    shape: [1, lines.length, lines[0].length],
    spacing: [1, 1, 1],
    origin: [0, 0, 0],
    direction: identityDirection,
  };
}

const reference = drawn(`
  11..
  11.2
  ...2`);
const prediction = drawn(`
  .11.
  .112
  ...3`);

describe('overlaps', () => {
  test('counts each label that is asked for, also where neither has it', () => {
    expect(Object.fromEntries(overlaps(reference, prediction, [1, 2, 3, 4]))).toEqual({
      1: { truePositives: 2, falsePositives: 2, falseNegatives: 2, trueNegatives: 6, reference: 4, predicted: 4 },
      2: { truePositives: 1, falsePositives: 0, falseNegatives: 1, trueNegatives: 10, reference: 2, predicted: 1 },
      3: { truePositives: 0, falsePositives: 1, falseNegatives: 0, trueNegatives: 11, reference: 0, predicted: 1 },
      4: { truePositives: 0, falsePositives: 0, falseNegatives: 0, trueNegatives: 12, reference: 0, predicted: 0 },
    });
  });

  test('what the reference does not judge counts nowhere', () => {
    expect(Object.fromEntries(overlaps(reference, prediction, [1, 3], 2))).toEqual({
      1: { truePositives: 2, falsePositives: 2, falseNegatives: 2, trueNegatives: 4, reference: 4, predicted: 4 },
      3: { truePositives: 0, falsePositives: 0, falseNegatives: 0, trueNegatives: 10, reference: 0, predicted: 0 },
    });
  });

  test('a region is all of its labels: a voxel of another label of the region is right', () => {
    expect(regionOverlaps(reference, prediction, [[2, 3], [1]])).toEqual([
      { truePositives: 2, falsePositives: 0, falseNegatives: 0, trueNegatives: 10, reference: 2, predicted: 2 },
      { truePositives: 2, falsePositives: 2, falseNegatives: 2, trueNegatives: 6, reference: 4, predicted: 4 },
    ]);
  });

  test('reference and prediction change places with their errors', () => {
    const one = overlaps(reference, prediction, [2]).get(2)!;
    const other = overlaps(prediction, reference, [2]).get(2)!;
    expect([other.falsePositives, other.falseNegatives]).toEqual([one.falseNegatives, one.falsePositives]);
    expect(dice(other, 'nan')).toBe(dice(one, 'nan'));
  });

  test('two grids are refused, by shape and by place', () => {
    expect(() => overlaps(reference, drawn('1'), [1])).toThrow(
      new InputError(
        'the prediction has 1x1x1 voxels (z, y, x) and the reference 1x3x4; they can be compared on one grid only',
      ),
    );
    expect(() => overlaps(reference, { ...prediction, origin: [0, 0, 5] }, [1])).toThrow(
      'lies elsewhere in the patient',
    );
  });
});

const counts = (truePositives: number, reference: number, predicted: number, all = 10) => ({
  truePositives,
  reference,
  predicted,
  falsePositives: predicted - truePositives,
  falseNegatives: reference - truePositives,
  trueNegatives: all - reference - predicted + truePositives,
});

describe('dice', () => {
  test('is 2 TP / (2 TP + FP + FN)', () => {
    expect(dice(counts(2, 4, 4), 'nan')).toBe(0.5);
    expect(dice(counts(3, 3, 3), 'nan')).toBe(1);
  });

  test('is 0 where one has the label and the other not, under every rule', () => {
    for (const rule of ['nan', 'one', 'zero'] as const) {
      expect(dice(counts(0, 4, 0), rule)).toBe(0);
      expect(dice(counts(0, 0, 4), rule)).toBe(0);
    }
  });

  test('is what the rule says where neither has it', () => {
    expect((['nan', 'one', 'zero'] as const).map((rule) => dice(counts(0, 0, 0), rule))).toEqual([Number.NaN, 1, 0]);
  });
});

describe('the other scores', () => {
  test('of 2 right voxels where the reference has 4, the prediction 3 and the image 10', () => {
    const overlap = counts(2, 4, 3);
    expect([iou(overlap), sensitivity(overlap), precision(overlap), specificity(overlap)]).toEqual([
      2 / 5,
      2 / 4,
      2 / 3,
      5 / 6,
    ]);
    expect(volumeDifference(overlap, { ...reference, spacing: [10, 10, 10] })).toEqual({
      referenceMl: 4,
      predictedMl: 3,
      differenceMl: -1,
      relative: -0.25,
    });
  });

  test('have no value where there is nothing to divide by', () => {
    expect([iou(counts(0, 0, 0)), sensitivity(counts(0, 0, 4)), precision(counts(0, 4, 0))]).toEqual(
      [0, 0, 0].fill(Number.NaN),
    );
    expect(specificity(counts(10, 10, 10))).toBeNaN();
    expect(volumeDifference(counts(0, 0, 4), reference).relative).toBeNaN();
  });
});

interface Counts {
  readonly Dice: number | 'nan';
  readonly IoU: number | 'nan';
  readonly TP: number;
  readonly FP: number;
  readonly FN: number;
  readonly TN: number;
  readonly n_ref: number;
  readonly n_pred: number;
}
interface Golden {
  readonly cases: readonly {
    readonly name: string;
    /** Between slices, rows and columns. */
    readonly spacing: Vector3;
    readonly overlap: Readonly<Record<string, number | 'nan'>>;
    readonly nnunet_v2_summary: Counts;
    readonly nnunet_v1_evaluator_nan_for_nonexisting_false: { readonly Dice: number };
    readonly unetr_pp_scripts: { readonly dice: number };
  }[];
  readonly nnunet_v2_summary_json: Record<
    string,
    {
      readonly labels_or_regions: readonly string[];
      readonly ignore_label: number | null;
      readonly metric_per_case: Record<string, Record<string, Counts>>;
    }
  >;
}

describe.skipIf(!hasShared)('reference values', () => {
  const golden = hasShared
    ? sharedJson<Golden>('golden', 'volumes', 'metrics.json')
    : { cases: [], nnunet_v2_summary_json: {} };
  const { tensors } = hasShared
    ? readSafetensors(sharedBytes('golden', 'volumes', 'metrics.safetensors'))
    : { tensors: new Map<string, Tensor>() };
  const volume = (name: string): Volume => {
    const { data, shape } = tensors.get(name) as Tensor<'uint8'>;
    return {
      data,
      channels: 1,
      shape: shape as unknown as Vector3,
      spacing: [1, 1, 1],
      origin: [0, 0, 0],
      direction: identityDirection,
    };
  };
  const found = (name: string, region: readonly number[], ignored?: number) =>
    regionOverlaps(volume(`${name}.reference`), volume(`${name}.prediction`), [region], ignored)[0];
  const named = (value: number) => (Number.isNaN(value) ? 'nan' : value);

  test.each(golden.cases.map((each) => [each.name, each] as const))('%s', (name, expected) => {
    const overlap = found(name, [1]);
    expect({
      TP: overlap.truePositives,
      FP: overlap.falsePositives,
      FN: overlap.falseNegatives,
      TN: overlap.trueNegatives,
      IoU: named(iou(overlap)),
      n_ref: overlap.reference,
      n_pred: overlap.predicted,
      Dice: named(dice(overlap, 'nan')),
    }).toEqual(expected.nnunet_v2_summary);
    expect(dice(overlap, 'zero')).toBe(expected.nnunet_v1_evaluator_nan_for_nonexisting_false.Dice);
    expect(dice(overlap, 'one')).toBeCloseTo(expected.unetr_pp_scripts.dice, 12);
    const [z, y, x] = expected.spacing;
    const volumes = volumeDifference(overlap, { ...volume(`${name}.reference`), spacing: [x, y, z] });
    const scores: Record<string, number> = {
      dice: dice(overlap, 'nan'),
      iou: iou(overlap),
      sensitivity: sensitivity(overlap),
      precision: precision(overlap),
      specificity: specificity(overlap),
      reference_ml: volumes.referenceMl,
      prediction_ml: volumes.predictedMl,
      volume_difference_ml: volumes.differenceMl,
      relative_volume_difference: volumes.relative,
    };
    expect(Object.keys(scores)).toEqual(Object.keys(expected.overlap));
    for (const [score, value] of Object.entries(expected.overlap)) {
      if (value === 'nan') expect(scores[score], score).toBeNaN();
      else expect(scores[score], score).toBeCloseTo(value, 12);
    }
  });

  test.each(['labels', 'labels_without_ignore', 'labels_with_absent_class_4', 'regions'])(
    'several labels or regions, as nnU-Net v2 summarizes them: %s',
    (kind) => {
      const { ignore_label, metric_per_case } = golden.nnunet_v2_summary_json[kind];
      for (const [name, labels] of Object.entries(metric_per_case)) {
        for (const [label, expected] of Object.entries(labels)) {
          const region = label.match(/\d+/g)!.map(Number);
          const overlap = found(`multilabel.${name}`, region, ignore_label ?? undefined);
          expect(
            [
              overlap.truePositives,
              overlap.falsePositives,
              overlap.falseNegatives,
              overlap.trueNegatives,
              named(dice(overlap, 'nan')),
            ],
            `${name}, label ${label}`,
          ).toEqual([expected.TP, expected.FP, expected.FN, expected.TN, expected.Dice]);
        }
      }
    },
  );
});
