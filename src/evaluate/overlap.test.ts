import { describe, expect, test } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../test/shared.ts';
import { InputError } from '../errors.ts';
import type { Tensor } from '../tensor.ts';
import { identityDirection, type Vector3, type Volume } from '../volume/volume.ts';
import { readSafetensors } from '../weights/safetensors.ts';
import { dice, overlaps } from './overlap.ts';

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
      1: { truePositives: 2, falsePositives: 2, falseNegatives: 2, reference: 4, predicted: 4 },
      2: { truePositives: 1, falsePositives: 0, falseNegatives: 1, reference: 2, predicted: 1 },
      3: { truePositives: 0, falsePositives: 1, falseNegatives: 0, reference: 0, predicted: 1 },
      4: { truePositives: 0, falsePositives: 0, falseNegatives: 0, reference: 0, predicted: 0 },
    });
  });

  test('what the reference does not judge counts nowhere', () => {
    expect(Object.fromEntries(overlaps(reference, prediction, [1, 3], 2))).toEqual({
      1: { truePositives: 2, falsePositives: 2, falseNegatives: 2, reference: 4, predicted: 4 },
      3: { truePositives: 0, falsePositives: 0, falseNegatives: 0, reference: 0, predicted: 0 },
    });
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

describe('dice', () => {
  const counts = (truePositives: number, reference: number, predicted: number) => ({
    truePositives,
    reference,
    predicted,
    falsePositives: predicted - truePositives,
    falseNegatives: reference - truePositives,
  });

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

interface Counts {
  readonly Dice: number | 'nan';
  readonly TP: number;
  readonly FP: number;
  readonly FN: number;
  readonly n_ref: number;
  readonly n_pred: number;
}
interface Golden {
  readonly cases: readonly {
    readonly name: string;
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
  const found = (name: string, label: number, ignored?: number) =>
    overlaps(volume(`${name}.reference`), volume(`${name}.prediction`), [label], ignored).get(label)!;
  const named = (value: number) => (Number.isNaN(value) ? 'nan' : value);

  test.each(golden.cases.map((each) => [each.name, each] as const))('%s', (name, expected) => {
    const overlap = found(name, 1);
    expect({
      TP: overlap.truePositives,
      FP: overlap.falsePositives,
      FN: overlap.falseNegatives,
      n_ref: overlap.reference,
      n_pred: overlap.predicted,
      Dice: named(dice(overlap, 'nan')),
    }).toEqual({ ...expected.nnunet_v2_summary, TN: undefined, IoU: undefined });
    expect(dice(overlap, 'zero')).toBe(expected.nnunet_v1_evaluator_nan_for_nonexisting_false.Dice);
    expect(dice(overlap, 'one')).toBeCloseTo(expected.unetr_pp_scripts.dice, 12);
  });

  test.each(['labels', 'labels_without_ignore', 'labels_with_absent_class_4'])(
    'several labels, as nnU-Net v2 summarizes them: %s',
    (kind) => {
      const { ignore_label, metric_per_case } = golden.nnunet_v2_summary_json[kind];
      for (const [name, labels] of Object.entries(metric_per_case)) {
        for (const [label, expected] of Object.entries(labels)) {
          const overlap = found(`multilabel.${name}`, Number(label), ignore_label ?? undefined);
          expect(
            [overlap.truePositives, overlap.falsePositives, overlap.falseNegatives, named(dice(overlap, 'nan'))],
            `${name}, label ${label}`,
          ).toEqual([expected.TP, expected.FP, expected.FN, expected.Dice]);
        }
      }
    },
  );
});
