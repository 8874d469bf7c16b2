/**
 * An evaluation as the files that others read: nnU-Net's `summary.json`, and a table with a row for each label of each
 * case. Text only; the record itself is JSON as it is.
 */
import type { EvaluatedLabel, Evaluation, LabelScores, MetricName } from './evaluation.ts';
import { metrics } from './evaluation.ts';

/** What a metric is called in summary.json. Those of nnU-Net first. */
const summaryNames: Readonly<Record<MetricName, string>> = {
  dice: 'Dice',
  iou: 'IoU',
  sensitivity: 'Sensitivity',
  precision: 'Precision',
  specificity: 'Specificity',
  hd: 'HD',
  hd95: 'HD95',
  assd: 'ASSD',
  nsd: 'NSD',
  volumeDifferenceMl: 'VolumeDifferenceMl',
  relativeVolumeDifference: 'RelativeVolumeDifference',
};

/** `1`; of a region a tuple as Python prints it, `(1, 2)` or `(2,)`. */
function summaryKey({ values, region = values.length > 1 }: EvaluatedLabel): string {
  return region ? `(${values.join(', ')}${values.length === 1 ? ',' : ''})` : String(values[0]);
}

function summaryRow({ overlap, scores }: LabelScores): Record<string, number> {
  const named = Object.entries(scores).map(([name, value]) => [summaryNames[name as MetricName], value ?? Number.NaN]);
  return {
    ...Object.fromEntries(named),
    TP: overlap.truePositives,
    FP: overlap.falsePositives,
    FN: overlap.falseNegatives,
    TN: overlap.trueNegatives,
    n_pred: overlap.predicted,
    n_ref: overlap.reference,
  };
}

/**
 * `summary.json` in the form of nnU-Net v2, with more metrics, and under `unetrpp` what they depend on. As there, `mean`
 * leaves out what has no value, `foreground_mean` does not (one label without a mean leaves it without one), and what has
 * no value is the bare word NaN, which Python's reader takes and JSON does not know.
 */
export function summaryJson(evaluation: Evaluation): string {
  const { cases, labels, convention, unit, tolerance, empty, summary } = evaluation;
  const rows = cases.map((each) => each.labels.map(summaryRow));
  const keys = labels.map(summaryKey);
  const keyed = <T>(values: readonly T[]) => Object.fromEntries(keys.map((key, index) => [key, values[index]]));
  const means = labels.map((_, index) =>
    meanRow(
      rows.map((row) => row[index]),
      (value) => !Number.isNaN(value),
    ),
  );
  const document = {
    foreground_mean: meanRow(means, () => true),
    mean: keyed(means),
    metric_per_case: cases.map(({ name, predictionFile, referenceFile }, index) => ({
      metrics: keyed(rows[index]),
      prediction_file: predictionFile ?? name,
      reference_file: referenceFile ?? name,
    })),
    unetrpp: {
      labels: keyed(labels.map(({ name }) => name)),
      distances: convention,
      unit,
      nsd_tolerance: tolerance,
      empty_masks: empty,
      missed: keyed(summary.labels.map(({ missed }) => missed)),
      invented: keyed(summary.labels.map(({ invented }) => invented)),
      absent: keyed(summary.labels.map(({ absent }) => absent)),
    },
  };
  const notANumber = '\u0000NaN';
  const text = JSON.stringify(document, (_, value) => (Number.isNaN(value) ? notANumber : value), 4);
  return `${text.replaceAll(JSON.stringify(notANumber), 'NaN')}\n`;
}

function meanRow(rows: readonly Record<string, number>[], counts: (value: number) => boolean): Record<string, number> {
  return Object.fromEntries(
    Object.keys(rows[0] ?? {}).map((key) => {
      const values = rows.map((row) => row[key]).filter(counts);
      return [key, values.reduce((sum, value) => sum + value, 0) / values.length];
    }),
  );
}

/** A row for each label of each case; an empty cell where a score has no value. RFC 4180, with line feeds. */
export function scoresCsv({ cases, labels, metrics: names, convention, unit, tolerance, empty }: Evaluation): string {
  const inUnit = (name: MetricName) => {
    if (name === 'nsd') return `nsd_within_${tolerance}_${unit}`;
    return metrics[name].unit === 'distance' ? `${name}_${unit}` : name;
  };
  const header = [
    ...['case', 'label', 'values', 'reference_voxels', 'predicted_voxels', 'reference_ml', 'predicted_ml', 'empty'],
    ...names.map(inUnit),
    ...['distances', 'empty_masks'],
  ];
  const rows = cases.flatMap((each) =>
    each.labels.map(({ overlap, referenceMl, predictedMl, empty: emptiness, scores }, index) => [
      ...[each.name, labels[index].name, labels[index].values.join(' ')],
      ...[overlap.reference, overlap.predicted, referenceMl, predictedMl, emptiness ?? ''],
      ...names.map((name) => scores[name] ?? ''),
      ...[convention, empty],
    ]),
  );
  return [header, ...rows].map((row) => `${row.map(cell).join(',')}\n`).join('');
}

function cell(value: string | number): string {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
