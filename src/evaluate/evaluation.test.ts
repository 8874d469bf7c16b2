import { describe, expect, test } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../test/shared.ts';
import type { Tensor } from '../tensor.ts';
import { identityDirection, type Vector3, type Volume } from '../volume/volume.ts';
import { readSafetensors } from '../weights/safetensors.ts';
import {
  caseMean,
  type EmptyPolicy,
  type EvaluatedLabel,
  type EvaluationSettings,
  evaluateCases,
  scoreCase,
} from './evaluation.ts';
import { scoresCsv, summaryJson } from './evaluationFiles.ts';

/** One row of voxels of 3 mm (x), 4 mm (y) and 12 mm (z): its diagonal is that of a box. */
function row(text: string): Volume {
  return {
    data: Uint8Array.from(text.replaceAll('.', '0'), Number),
    channels: 1,
    shape: [1, 1, text.length],
    spacing: [3, 4, 12],
    origin: [0, 0, 0],
    direction: identityDirection,
  };
}

const one: EvaluationSettings = { labels: [{ name: 'liver', values: [1] }] };
const scoresOf = (reference: string, prediction: string, settings: Partial<EvaluationSettings> = {}) =>
  scoreCase('a', row(reference), row(prediction), { ...one, ...settings }).labels[0];

describe('scoreCase', () => {
  test('a voxel too many: two right of three found', () => {
    const { scores, overlap, empty, referenceMl } = scoresOf('11..', '111.');
    expect(overlap).toMatchObject({ truePositives: 2, falsePositives: 1, trueNegatives: 1 });
    expect([empty, referenceMl]).toEqual([null, 2 * 0.144]);
    expect(scores).toMatchObject({
      dice: 4 / 5,
      iou: 2 / 3,
      sensitivity: 1,
      precision: 2 / 3,
      specificity: 1 / 2,
      hd: 3,
    });
    expect(scores.assd).toBeCloseTo(3 / 5, 12);
    expect(scores.relativeVolumeDifference).toBeCloseTo(1 / 2, 12);
  });

  test('only the metrics asked for are there', () => {
    expect(scoresOf('11', '1.', { metrics: ['dice', 'precision'] }).scores).toEqual({ dice: 2 / 3, precision: 1 });
  });

  test('the convention of the paper is in voxels, and with its rule for empty masks', () => {
    const { scores } = scoresOf('1..', '..1', { convention: 'unetrpp' });
    expect(scores.hd95).toBe(2);
    expect(scoresOf('1..', '...', { convention: 'unetrpp' }).scores.hd95).toBe(0);
    expect(scoresOf('1..', '...', { convention: 'unetrpp', empty: 'nan' }).scores.hd95).toBeNull();
  });
});

describe('scans of one patient', () => {
  const cases = [
    ['1...', '1...', 'a'],
    ['1...', '1...', 'a'],
    ['11..', '1...', 'b'],
    ['11..', '1...', 'b'],
    ['....', '....', 'c'],
  ].map(([reference, prediction, patient], index) => ({
    ...scoreCase(`scan ${index}`, row(reference), row(prediction), { ...one, metrics: ['dice'] }),
    patient,
  }));
  const settings: EvaluationSettings = { ...one, metrics: ['dice'] };

  test('are drawn together, so that intervals are as wide as the patients are few', () => {
    const { bootstrap, summary } = evaluateCases(cases, settings);
    expect(bootstrap.patients).toBe(3);
    // Of two patients that have the label a quarter of the draws has the first alone, a quarter the second alone.
    expect(summary.labels[0].metrics.dice).toMatchObject({ low: 2 / 3, high: 1, counted: 4, leftOut: 1 });
    const alone = evaluateCases(
      cases.map(({ patient: _, ...each }) => each),
      settings,
      { confidence: 0.8 },
    );
    expect(alone.bootstrap.patients).toBeNull();
    expect(alone.summary.labels[0].metrics.dice!.low).toBeGreaterThan(2 / 3);
    expect(evaluateCases(cases, settings, { confidence: 0.8 }).summary.labels[0].metrics.dice!.low).toBe(2 / 3);
  });

  test('of one patient alone there is no interval', () => {
    const { summary } = evaluateCases(cases.slice(0, 2), settings);
    expect(summary.labels[0].metrics.dice).toMatchObject({ mean: 1, low: null, high: null });
    expect(summary.foreground.dice).toMatchObject({ low: null, high: null });
  });

  test('are cases like others where each patient has one, or some have none', () => {
    expect(evaluateCases([cases[0], cases[2]], settings).bootstrap.patients).toBeNull();
    const { patient: _, ...nobody } = cases[4];
    expect(evaluateCases([...cases.slice(0, 4), nobody], settings).bootstrap.patients).toBeNull();
  });
});

describe('an empty mask', () => {
  /** Dice, HD95, NSD, sensitivity, precision. */
  const of = (empty: EmptyPolicy, reference: string, prediction: string) => {
    const { scores } = scoresOf(reference, prediction, { empty });
    return [scores.dice, scores.hd95, scores.nsd, scores.sensitivity, scores.precision];
  };

  test('penalize: missed and invented have 0 and the diagonal, 13 mm of one voxel; absent is left out', () => {
    expect(of('penalize', '1', '.')).toEqual([0, 13, 0, 0, 0]);
    expect(of('penalize', '.', '1')).toEqual([0, 13, 0, 0, 0]);
    expect(of('penalize', '.', '.')).toEqual([null, null, null, null, null]);
  });

  test('nan: what would divide by zero and every distance are left out', () => {
    expect(of('nan', '1', '.')).toEqual([0, null, 0, 0, null]);
    expect(of('nan', '.', '1')).toEqual([0, null, 0, null, 0]);
    expect(of('nan', '.', '.')).toEqual([null, null, null, null, null]);
  });

  test('paper: a missed organ has HD95 0, and one that neither has Dice 1', () => {
    expect(of('paper', '1', '.')).toEqual([0, 0, 0, 0, null]);
    expect(of('paper', '.', '.')).toEqual([1, 0, 1, null, null]);
  });

  test('left to itself, missing an organ is worse than any mask of it', () => {
    const missed = scoresOf('1....', '.....').scores;
    const worst = scoresOf('1....', '....1').scores;
    expect(missed.hd95!).toBeGreaterThan(worst.hd95!);
    expect(missed.dice).toBe(worst.dice);
  });
});

describe('evaluateCases', () => {
  const settings: EvaluationSettings = {
    labels: [
      { name: 'liver', values: [1] },
      { name: 'tumor', values: [2] },
      { name: 'both', values: [1, 2] },
    ],
    metrics: ['dice'],
    empty: 'nan',
  };
  const cases = [
    scoreCase('a', row('11..'), row('11..'), settings),
    scoreCase('b', row('112.'), row('1122'), settings),
    scoreCase('c', row('1.2.'), row('11..'), settings),
  ];
  const evaluation = evaluateCases(cases, settings);

  test('means over the cases that have a label, counts of the others, and their mean over labels', () => {
    const [liver, tumor, both] = evaluation.summary.labels;
    expect(liver.metrics.dice).toMatchObject({ mean: (1 + 1 + 2 / 3) / 3, counted: 3, leftOut: 0, median: 1 });
    expect(tumor.metrics.dice).toMatchObject({ mean: (2 / 3 + 0) / 2, counted: 2, leftOut: 1 });
    expect([tumor.missed, tumor.invented, tumor.absent]).toEqual([1, 0, 1]);
    const means = [liver, tumor, both].map(({ metrics }) => metrics.dice!.mean!);
    expect(evaluation.summary.foreground.dice!.mean).toBeCloseTo((means[0] + means[1] + means[2]) / 3, 12);
    expect(caseMean(cases[2], 'dice')).toBeCloseTo((2 / 3 + 0 + 2 / 4) / 3, 12);
    expect(caseMean(cases[0], 'dice')).toBe(1);
  });

  test('an interval holds its mean, lies within the scores, and is the same each time', () => {
    const { mean, low, high } = evaluation.summary.labels[0].metrics.dice!;
    expect([low, high]).toEqual([2 / 3, 1]);
    expect(mean! > low! && mean! < high!).toBe(true);
    expect(evaluateCases(cases, settings)).toEqual(evaluation);
  });

  test('one case has no interval', () => {
    const alone = evaluateCases(cases.slice(0, 1), settings).summary;
    expect(alone.labels[0].metrics.dice).toMatchObject({ mean: 1, low: null, high: null, deviation: null });
    expect(alone.labels[1].metrics.dice).toMatchObject({ mean: null, counted: 0, leftOut: 1 });
    expect(alone.foreground.dice).toMatchObject({ mean: 1, low: null, counted: 2 });
  });

  test('the record is plain JSON', () => {
    expect(JSON.parse(JSON.stringify(evaluation))).toEqual(evaluation);
  });

  test('the table has a row for each label of each case, and says whose distances they are', () => {
    const csv = scoresCsv(
      evaluateCases([scoreCase('a, b', row('1.'), row('.1'), { ...one, metrics: ['dice', 'hd95', 'nsd'] })], {
        ...one,
        metrics: ['dice', 'hd95', 'nsd'],
      }),
    );
    expect(csv).toBe(
      'case,label,values,reference_voxels,predicted_voxels,reference_ml,predicted_ml,empty,dice,hd95_mm,nsd_within_1_mm,distances,empty_masks\n' +
        '"a, b",liver,1,1,1,0.144,0.144,,0,3,0,medpy,penalize\n',
    );
  });

  test('summary.json names the rules, and has the bare NaN of nnU-Net', () => {
    const text = summaryJson(evaluation);
    expect(text).toMatch(/"Dice": NaN/);
    const json = JSON.parse(text.replaceAll('NaN', 'null'));
    expect(json.unetrpp).toMatchObject({
      labels: { 1: 'liver', 2: 'tumor', '(1, 2)': 'both' },
      distances: 'medpy',
      unit: 'mm',
      empty_masks: 'nan',
      missed: { 1: 0, 2: 1, '(1, 2)': 0 },
    });
    expect(Object.keys(json.metric_per_case[0])).toEqual(['metrics', 'prediction_file', 'reference_file']);
  });
});

type SummaryRow = Record<string, number | 'nan'>;
interface Golden {
  readonly arrays: Record<string, unknown>;
  readonly nnunet_v2_summary_json: Record<
    string,
    {
      readonly labels_or_regions: readonly string[];
      readonly ignore_label: number | null;
      readonly metric_per_case: Record<string, Record<string, SummaryRow>>;
      readonly mean: Record<string, SummaryRow>;
      readonly foreground_mean: SummaryRow;
    }
  >;
}

describe.skipIf(!hasShared)('reference values: summary.json of nnU-Net v2', () => {
  const kinds = hasShared
    ? sharedJson<Golden>('golden', 'volumes', 'metrics.json').nnunet_v2_summary_json
    : ({} as Golden['nnunet_v2_summary_json']);
  const { tensors } = hasShared
    ? readSafetensors(sharedBytes('golden', 'volumes', 'metrics.safetensors'))
    : { tensors: new Map<string, Tensor>() };
  const volume = (name: string): Volume => {
    const { data, shape } = tensors.get(`multilabel.${name}`) as Tensor<'uint8'>;
    return { ...row('.'), data, shape: shape as unknown as Vector3 };
  };
  const compare = (found: Record<string, number | null>, expected: SummaryRow, what: string) => {
    expect(Object.keys(found).sort(), what).toEqual(Object.keys(expected).sort());
    for (const [key, value] of Object.entries(expected)) {
      if (value === 'nan') expect(found[key], `${what} ${key}`).toBeNull();
      else expect(found[key], `${what} ${key}`).toBeCloseTo(value, 12);
    }
  };

  test.each(Object.entries(kinds))('%s', (_, { labels_or_regions, ignore_label, ...expected }) => {
    const labels = labels_or_regions.map((key): EvaluatedLabel => {
      const values = key.match(/\d+/g)!.map(Number);
      return { name: key, values, region: key.startsWith('(') };
    });
    const settings: EvaluationSettings = { labels, ignoreLabel: ignore_label ?? undefined, metrics: ['dice', 'iou'] };
    const cases = Object.keys(expected.metric_per_case).map((name) =>
      scoreCase(name, volume(`${name}.reference`), volume(`${name}.prediction`), settings),
    );
    const json = JSON.parse(summaryJson(evaluateCases(cases, settings)).replaceAll(': NaN', ': null'));
    expect(Object.keys(json.mean).sort()).toEqual([...labels_or_regions].sort());
    Object.entries(expected.metric_per_case).forEach(([name, rows], index) => {
      for (const key of labels_or_regions)
        compare(json.metric_per_case[index].metrics[key], rows[key], `${name} ${key}`);
    });
    for (const key of labels_or_regions) compare(json.mean[key], expected.mean[key], `mean ${key}`);
    compare(json.foreground_mean, expected.foreground_mean, 'foreground');
  });
});
