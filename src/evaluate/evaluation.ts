/**
 * Scores of a set of cases: each label and region of each case by each metric, and what is said of them together: means
 * with bootstrap intervals, and how many empty masks they hide. The record `Evaluation` is plain JSON, and everything that
 * is shown (tables, summary.json, a report) is made of it.
 *
 * How single masks are compared is for overlap.ts and surface.ts; which files are compared is for the command. What an
 * empty mask scores is decided here (docs/decisions/empty-masks-and-conventions.md).
 */
import type { Geometry, Volume } from '../volume/volume.ts';
import {
  dice,
  iou,
  type Overlap,
  precision,
  regionOverlaps,
  sensitivity,
  specificity,
  volumeDifference,
} from './overlap.ts';
import { bootstrap, mean, median, seededUniform, standardDeviation } from './statistics.ts';
import {
  type DistanceUnit,
  maskPair,
  type SurfaceConvention,
  type SurfaceScores,
  surfaceScores,
  valueBoxes,
} from './surface.ts';

interface Metric {
  readonly title: string;
  readonly unit: 'share' | 'mL' | 'distance';
  /** `zero`: it has a sign, and neither end is good. */
  readonly better: 'higher' | 'lower' | 'zero';
}

/** Every metric, by its name in records, in the order in which they are shown. */
export const metrics = {
  dice: { title: 'Dice', unit: 'share', better: 'higher' },
  hd95: { title: 'HD95', unit: 'distance', better: 'lower' },
  assd: { title: 'ASSD', unit: 'distance', better: 'lower' },
  nsd: { title: 'NSD', unit: 'share', better: 'higher' },
  iou: { title: 'IoU', unit: 'share', better: 'higher' },
  sensitivity: { title: 'Sensitivity', unit: 'share', better: 'higher' },
  precision: { title: 'Precision', unit: 'share', better: 'higher' },
  specificity: { title: 'Specificity', unit: 'share', better: 'higher' },
  hd: { title: 'HD', unit: 'distance', better: 'lower' },
  volumeDifferenceMl: { title: 'Volume difference', unit: 'mL', better: 'zero' },
  relativeVolumeDifference: { title: 'Relative volume difference', unit: 'share', better: 'zero' },
} as const satisfies Record<string, Metric>;
export type MetricName = keyof typeof metrics;
export const metricNames = Object.keys(metrics) as readonly MetricName[];

/** Metrics that a line of a table has room for: all where they are few, else those that most articles have. */
export function mainMetrics({ metrics: names }: { readonly metrics: readonly MetricName[] }): readonly MetricName[] {
  if (names.length <= 4) return names;
  return (['dice', 'hd95', 'assd', 'nsd'] as const).filter((each) => names.includes(each));
}

/**
 * What a label scores where a mask is empty.
 *
 * `penalize`: a label that is missed (in the reference alone) or invented (in the prediction alone) has 0 in Dice, IoU, NSD,
 * sensitivity and precision, and the image's diagonal as every distance. A label that neither has is left out.
 * `nan`: as nnU-Net v2: Dice, IoU and NSD are 0 where one has it; distances, and what would divide by 0, are left out.
 * `paper`: as the scripts of UNETR++: Dice is 1 where neither has it and 0 where one has it; every distance is 0 in both
 * cases, which is the best score for a missed organ. IoU and NSD, which the scripts do not have, go as Dice does.
 */
export const emptyPolicies = ['penalize', 'nan', 'paper'] as const;
export type EmptyPolicy = (typeof emptyPolicies)[number];

/** `missed`: in the reference alone; `invented`: in the prediction alone; `absent`: in neither. */
export type Emptiness = 'missed' | 'invented' | 'absent';

export interface EvaluatedLabel {
  readonly name: string;
  /** Of a label, or of all labels that make a region. */
  readonly values: readonly number[];
  /** Whether nnU-Net knows it as a region; left out, where there are several values. */
  readonly region?: boolean;
}

export interface EvaluationSettings {
  readonly labels: readonly EvaluatedLabel[];
  /** Voxels of the reference with this value count nowhere. */
  readonly ignoreLabel?: number;
  /** All of them when left out; without distances no surface is measured. */
  readonly metrics?: readonly MetricName[];
  /** medpy when left out. */
  readonly convention?: SurfaceConvention;
  /** mm when left out; of `unetrpp` always voxel. */
  readonly unit?: DistanceUnit;
  /** Of NSD, in the unit; 1 when left out. */
  readonly tolerance?: number;
  /** Left out: `paper` with the convention `unetrpp`, else `penalize`. */
  readonly empty?: EmptyPolicy;
}

type Chosen = Required<Omit<EvaluationSettings, 'ignoreLabel'>> & Pick<EvaluationSettings, 'ignoreLabel'>;

/** Null where the score has no value: it is left out of means. */
export type Scores = Readonly<Partial<Record<MetricName, number | null>>>;

export interface LabelScores {
  readonly overlap: Overlap;
  readonly referenceMl: number;
  readonly predictedMl: number;
  /** Null where both have it. */
  readonly empty: Emptiness | null;
  readonly scores: Scores;
}

export interface EvaluatedCase {
  readonly name: string;
  /** Whose scan it is, where that is known. */
  readonly patient?: string;
  /** In the order of the labels. */
  readonly labels: readonly LabelScores[];
  readonly referenceFile?: string;
  readonly predictionFile?: string;
}

export interface MetricSummary {
  /** Null where no case has a value. */
  readonly mean: number | null;
  /** Ends of the bootstrap interval of the mean; null of fewer than two values. */
  readonly low: number | null;
  readonly high: number | null;
  readonly median: number | null;
  /** Of the sample. */
  readonly deviation: number | null;
  /** Cases that have a value; of the foreground, labels. */
  readonly counted: number;
  readonly leftOut: number;
}

type Summaries = Readonly<Partial<Record<MetricName, MetricSummary>>>;

export interface LabelSummary extends EvaluatedLabel, Readonly<Record<Emptiness, number>> {
  readonly metrics: Summaries;
}

/** Plain JSON: null stands for what has no value. */
export interface Evaluation extends Chosen {
  readonly cases: readonly EvaluatedCase[];
  readonly summary: {
    readonly labels: readonly LabelSummary[];
    /** The mean over labels of their means over cases, of those that have one; its interval draws cases. */
    readonly foreground: Summaries;
  };
  readonly bootstrap: {
    readonly resamples: number;
    readonly confidence: number;
    readonly seed: number;
    /** So many patients are drawn, each with all scans, in place of cases; null where no patient has several. */
    readonly patients: number | null;
  };
}

function chosen(settings: EvaluationSettings): Chosen {
  const { convention = 'medpy', tolerance = 1 } = settings;
  const { labels, ignoreLabel, metrics: names = metricNames } = settings;
  const unit = convention === 'unetrpp' ? 'voxel' : (settings.unit ?? 'mm');
  const empty = settings.empty ?? (convention === 'unetrpp' ? 'paper' : 'penalize');
  return { labels, ignoreLabel, metrics: names, convention, unit, tolerance, empty };
}

/**
 * All scores of a case.
 * @throws InputError when the two do not lie on one grid
 */
export function scoreCase(
  name: string,
  reference: Volume,
  prediction: Volume,
  settings: EvaluationSettings,
): EvaluatedCase {
  const { labels, ignoreLabel: ignored, metrics: names, convention, unit, tolerance, empty } = chosen(settings);
  const regions = labels.map(({ values }) => values);
  const overlaps = regionOverlaps(reference, prediction, regions, ignored);
  const measured = names.some((each) => metrics[each].unit === 'distance' || each === 'nsd');
  const boxes = measured ? valueBoxes(reference, prediction, ignored) : undefined;
  return {
    name,
    labels: overlaps.map((overlap, index): LabelScores => {
      const emptiness = emptinessOf(overlap);
      const both = boxes && emptiness === null;
      const pair = both ? maskPair(reference, prediction, regions[index], { ignored, boxes }) : undefined;
      const surfaces = pair && surfaceScores(pair, { convention, unit, tolerance });
      const { referenceMl, predictedMl, differenceMl, relative } = volumeDifference(overlap, reference);
      const all: Record<MetricName, number> = {
        ...overlapScores(overlap, emptiness, empty),
        specificity: specificity(overlap),
        volumeDifferenceMl: differenceMl,
        relativeVolumeDifference: relative,
        ...(surfaces ?? emptySurfaces(emptiness, empty, diagonalOf(reference, unit))),
      };
      const scores = Object.fromEntries(names.map((each) => [each, orNull(all[each])]));
      return { overlap, referenceMl, predictedMl, empty: emptiness, scores };
    }),
  };
}

const orNull = (value: number): number | null => (Number.isNaN(value) ? null : value);

function emptinessOf({ reference, predicted }: Overlap): Emptiness | null {
  if (reference > 0) return predicted > 0 ? null : 'missed';
  return predicted > 0 ? 'invented' : 'absent';
}

function overlapScores(overlap: Overlap, emptiness: Emptiness | null, policy: EmptyPolicy) {
  if (policy === 'penalize' && (emptiness === 'missed' || emptiness === 'invented')) {
    return { dice: 0, iou: 0, sensitivity: 0, precision: 0 };
  }
  const rewarded = policy === 'paper' && emptiness === 'absent';
  return {
    dice: dice(overlap, rewarded ? 'one' : 'nan'),
    iou: rewarded ? 1 : iou(overlap),
    sensitivity: sensitivity(overlap),
    precision: precision(overlap),
  };
}

/** @param diagonal the worst distance */
function emptySurfaces(
  emptiness: Emptiness | null,
  policy: EmptyPolicy,
  diagonal: number,
): Pick<SurfaceScores, 'hd' | 'hd95' | 'assd' | 'nsd'> {
  const all = (distance: number, nsd: number) => ({ hd: distance, hd95: distance, assd: distance, nsd });
  if (emptiness === null) return all(Number.NaN, Number.NaN);
  if (emptiness === 'absent') return policy === 'paper' ? all(0, 1) : all(Number.NaN, Number.NaN);
  return all({ penalize: diagonal, nan: Number.NaN, paper: 0 }[policy], 0);
}

/** From the first voxel's outer corner to the last one's: no distance in any convention is larger. */
function diagonalOf({ shape, spacing }: Geometry, unit: DistanceUnit): number {
  const [z, y, x] = shape;
  return unit === 'voxel' ? Math.hypot(z, y, x) : Math.hypot(x * spacing[0], y * spacing[1], z * spacing[2]);
}

export interface SummaryOptions {
  readonly resamples?: number;
  /** Share of the resampled means inside of an interval. */
  readonly confidence?: number;
  readonly seed?: number;
}

/** @param cases of these settings */
export function evaluateCases(
  cases: readonly EvaluatedCase[],
  settings: EvaluationSettings,
  { resamples = 10_000, confidence = 0.95, seed = 1 }: SummaryOptions = {},
): Evaluation {
  const all = chosen(settings);
  const patients = casesByPatient(cases);
  const options = { resamples, confidence };
  const byMetric = <T>(summary: (name: MetricName) => T) =>
    Object.fromEntries(all.metrics.map((name) => [name, summary(name)])) as Partial<Record<MetricName, T>>;
  const scoresOf = (label: number, name: MetricName) => cases.map((each) => each.labels[label].scores[name] ?? null);

  const labels = all.labels.map((label, index): LabelSummary => {
    const count = (emptiness: Emptiness) => cases.filter((each) => each.labels[index].empty === emptiness).length;
    return {
      ...label,
      missed: count('missed'),
      invented: count('invented'),
      absent: count('absent'),
      metrics: byMetric((name) => {
        const scores = scoresOf(index, name);
        const values = defined(scores);
        // Only cases that have a value are drawn.
        const groups = patients?.map((of) => of.filter((each) => scores[each] !== null)).filter((of) => of.length > 0);
        const meanOf = (drawn: Int32Array) => meanAt(drawn, groups ? scores : values);
        const interval = () =>
          (groups ?? values).length < 2
            ? undefined
            : bootstrap(values.length, meanOf, seededUniform(seed), { ...options, groups });
        return summarize(values, cases.length, interval);
      }),
    };
  });
  const foreground = byMetric((name) => {
    const means = defined(labels.map((label) => label.metrics[name]!.mean));
    const scores = all.labels.map((_, index) => scoresOf(index, name));
    const meanOfLabels = (drawn: Int32Array) => {
      let [sum, count] = [0, 0];
      for (const each of scores) {
        const one = meanAt(drawn, each);
        if (Number.isNaN(one)) continue;
        sum += one;
        count++;
      }
      return sum / count;
    };
    const interval = () =>
      (patients ?? cases).length < 2
        ? undefined
        : bootstrap(cases.length, meanOfLabels, seededUniform(seed), { ...options, groups: patients });
    return summarize(means, labels.length, interval);
  });
  return {
    ...all,
    cases,
    summary: { labels, foreground },
    bootstrap: { resamples, confidence, seed, patients: patients?.length ?? null },
  };
}

/**
 * The numbers of the cases of each patient; undefined where no patient has two, or some case is nobody's. Two scans of one
 * patient are alike, and say less of the next patient than scans of two: counted as two, they make intervals too narrow and
 * p too small.
 */
export function casesByPatient(cases: readonly EvaluatedCase[]): readonly (readonly number[])[] | undefined {
  const groups = new Map<string, number[]>();
  for (const [index, { patient }] of cases.entries()) {
    if (patient === undefined) return undefined;
    const group = groups.get(patient);
    if (group) group.push(index);
    else groups.set(patient, [index]);
  }
  return groups.size < cases.length ? [...groups.values()] : undefined;
}

const defined = (values: readonly (number | null)[]) => values.filter((value) => value !== null);

/** Mean of the values drawn that there are; NaN of none. */
function meanAt(drawn: Int32Array, values: readonly (number | null)[]): number {
  let [sum, count] = [0, 0];
  for (const index of drawn) {
    const value = values[index];
    if (value === null) continue;
    sum += value;
    count++;
  }
  return sum / count;
}

function summarize(
  values: readonly number[],
  all: number,
  interval: () => { low: number; high: number } | undefined,
): MetricSummary {
  const { low, high } = (values.length > 0 && interval()) || { low: Number.NaN, high: Number.NaN };
  return {
    mean: orNull(mean(values)),
    low: orNull(low),
    high: orNull(high),
    median: orNull(median(values)),
    deviation: orNull(standardDeviation(values)),
    counted: values.length,
    leftOut: all - values.length,
  };
}

/** Mean of a case over its labels that have a value; null of none. */
export function caseMean({ labels }: EvaluatedCase, name: MetricName): number | null {
  return orNull(mean(defined(labels.map(({ scores }) => scores[name] ?? null))));
}

/** Cases with their means over labels, the worst by this metric first; those without a value come last. */
export function worstFirst({ cases }: Pick<Evaluation, 'cases'>, name: MetricName) {
  const badness = (value: number | null) => {
    if (value === null) return Number.NEGATIVE_INFINITY;
    return metrics[name].better === 'higher' ? -value : metrics[name].better === 'lower' ? value : Math.abs(value);
  };
  return cases
    .map((each) => ({ each, value: caseMean(each, name) }))
    .sort((a, b) => compareNumbers(badness(b.value), badness(a.value)));
}

/** Of infinities too, whose difference is none. */
const compareNumbers = (a: number, b: number) => (a < b ? -1 : a > b ? 1 : 0);
