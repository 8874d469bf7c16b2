/**
 * Whether one set of predictions is better than another on the same cases: differences case by case, Wilcoxon's signed-rank
 * test, an effect size and a bootstrap interval, for each label (with Holm's correction) and for the cases as a whole, and
 * one sentence that says what may be concluded.
 */
import { InputError } from '../errors.ts';
import { caseMean, casesByPatient, type Evaluation, type MetricName, metrics } from './evaluation.ts';
import {
  bootstrap,
  holm,
  mean,
  rankBiserial,
  type SignedRankTest,
  seededUniform,
  signedRankTest,
} from './statistics.ts';

export interface PairedDifference {
  /** Pairs that both have a value: of cases, or of patients' means. */
  readonly pairs: number;
  /** Null where there is no pair. */
  readonly meanA: number | null;
  readonly meanB: number | null;
  /** Mean of B - A, and its bootstrap interval (null of fewer than two pairs). */
  readonly difference: number | null;
  readonly low: number | null;
  readonly high: number | null;
  /** Two-sided, of differences that are not zero: exact up to 50 of them, ties included. Null where there is no pair. */
  readonly p: number | null;
  readonly distribution: SignedRankTest['distribution'] | null;
  /** Matched-pairs rank-biserial correlation, B above A positive; null where no pair differs. */
  readonly effect: number | null;
}

/** Plain JSON. */
export interface Comparison {
  readonly metric: MetricName;
  readonly cases: readonly string[];
  /** What is paired: `patient`, the mean over a patient's cases, where patients are known and one has several. */
  readonly paired: 'case' | 'patient';
  /** Of each case's mean over the labels for which both have a value. */
  readonly overall: PairedDifference;
  readonly labels: readonly (PairedDifference & {
    readonly name: string;
    /** p by Holm over the labels that have one. */
    readonly adjustedP: number | null;
  })[];
  readonly conclusion: string;
}

export interface ComparisonNames {
  readonly a: string;
  readonly b: string;
}

/** Above it a difference counts as chance. */
const level = 0.05;

/** Pairs up to which every choice of signs is counted, ties or not. */
const exactPairs = 50;

/**
 * Scans of one patient are no independent cases: where patients are known, their means over their cases are compared.
 * @param a and b of the same cases, in the same order, with the same labels and settings
 * @throws InputError when they are not of the same cases, or the metric was not measured
 */
export function comparePredictions(
  a: Evaluation,
  b: Evaluation,
  metric: MetricName,
  names: ComparisonNames = { a: 'A', b: 'B' },
): Comparison {
  const cases = a.cases.map(({ name }) => name);
  const labels = a.labels.map(({ name }) => name);
  if (cases.join('\n') !== b.cases.map(({ name }) => name).join('\n')) {
    throw new InputError(`${names.a} and ${names.b} were not evaluated on the same cases; evaluate both on the same.`);
  }
  if (labels.join('\n') !== b.labels.map(({ name }) => name).join('\n')) {
    throw new InputError(`${names.a} and ${names.b} were not evaluated on the same labels; evaluate both on the same.`);
  }
  if (!a.metrics.includes(metric) || !b.metrics.includes(metric)) {
    throw new InputError(`${metrics[metric].title} was not measured of both; evaluate them with it.`);
  }
  const options = a.bootstrap;
  const patients = casesByPatient(a.cases);
  const paired = labels.map((_, label) =>
    differencesOf(
      a.cases.map((each) => each.labels[label].scores[metric] ?? null),
      b.cases.map((each) => each.labels[label].scores[metric] ?? null),
      patients,
      options,
    ),
  );
  const tested = paired.flatMap(({ p }, index) => (p === null ? [] : [{ p, index }]));
  const adjusted = new Map(holm(tested.map(({ p }) => p)).map((p, k) => [tested[k].index, p]));
  const overall = overallDifference(a, b, metric, patients, options);
  const by = patients ? 'patient' : 'case';
  const rows = paired.map((each, index) => ({
    name: labels[index],
    ...each,
    adjustedP: adjusted.get(index) ?? null,
  }));
  return {
    metric,
    cases,
    paired: by,
    overall,
    labels: rows,
    conclusion: conclusionOf(metric, overall, rows, names, by, options.confidence),
  };
}

type Patients = ReturnType<typeof casesByPatient>;

function overallDifference(
  a: Evaluation,
  b: Evaluation,
  metric: MetricName,
  patients: Patients,
  options: Evaluation['bootstrap'],
) {
  const means = a.cases.map((one, index) => {
    const other = b.cases[index];
    // Only labels that both have a value for: else a label that one of them leaves out would make the difference.
    const both = one.labels.map(
      ({ scores }, label) => (scores[metric] ?? null) !== null && (other.labels[label].scores[metric] ?? null) !== null,
    );
    const meanOf = (each: typeof one) =>
      caseMean({ ...each, labels: each.labels.filter((_, label) => both[label]) }, metric);
    return [meanOf(one), meanOf(other)] as const;
  });
  return differencesOf(
    means.map(([first]) => first),
    means.map(([, second]) => second),
    patients,
    options,
  );
}

function differencesOf(
  first: readonly (number | null)[],
  second: readonly (number | null)[],
  patients: Patients,
  { seed, resamples, confidence }: Evaluation['bootstrap'],
): PairedDifference {
  const pairs = (patients ?? first.map((_, index) => [index])).flatMap((group) => {
    const both = group.flatMap((index) => {
      const [one, other] = [first[index], second[index]];
      return one === null || other === null ? [] : [[one, other] as const];
    });
    return both.length === 0 ? [] : [[mean(both.map(([one]) => one)), mean(both.map(([, other]) => other))] as const];
  });
  if (pairs.length === 0) {
    const nothing = { meanA: null, meanB: null, difference: null, low: null, high: null };
    return { pairs: 0, ...nothing, p: null, distribution: null, effect: null };
  }
  const [x, y] = [pairs.map(([one]) => one), pairs.map(([, other]) => other)];
  const differences = pairs.map(([one, other]) => other - one);
  const plain = signedRankTest(x, y);
  const test = plain.pairs <= exactPairs ? signedRankTest(x, y, { distribution: 'exact' }) : plain;
  const effect = rankBiserial(test);
  const meanOf = (drawn: Int32Array) => {
    let sum = 0;
    for (const index of drawn) sum += differences[index];
    return sum / drawn.length;
  };
  const interval =
    pairs.length < 2
      ? { low: null, high: null }
      : bootstrap(pairs.length, meanOf, seededUniform(seed), { resamples, confidence });
  return {
    pairs: pairs.length,
    meanA: mean(x),
    meanB: mean(y),
    difference: mean(differences),
    ...interval,
    p: test.p,
    distribution: test.distribution,
    effect: Number.isNaN(effect) ? null : effect,
  };
}

function conclusionOf(
  metric: MetricName,
  overall: PairedDifference,
  labels: Comparison['labels'],
  { a, b }: ComparisonNames,
  by: Comparison['paired'],
  confidence: number,
): string {
  const { title, better, unit } = metrics[metric];
  const { pairs, difference, low, high, p, effect } = overall;
  if (difference === null || p === null)
    return `No ${by} has a ${title} in both ${a} and ${b}, so nothing can be said.`;
  const digits = unit === 'share' ? 4 : 2;
  const shown = (value: number) => value.toFixed(digits);
  const cases = `${pairs} ${by}${pairs === 1 ? '' : 's'}`;
  const interval =
    low === null || high === null
      ? ''
      : `, ${Number((100 * confidence).toFixed(2))} % interval of ${b} - ${a} from ${shown(low)} to ${shown(high)}`;
  const facts = `(${cases}${interval}, ${showP(p)}, Wilcoxon signed-rank, two-sided)`;
  const least = 2 / 2 ** pairs;
  if (least > level) {
    return `Nothing can be concluded about the ${title} of ${a} and ${b}: with ${cases} no difference, however large, has a p below ${least} ${facts}.`;
  }
  const differing = labels.filter(({ adjustedP }) => adjustedP !== null && adjustedP < level).map(({ name }) => name);
  const holds =
    labels.length < 2
      ? ''
      : differing.length === 0
        ? '; after Holm’s correction no single label differs'
        : `; after Holm’s correction ${differing.length === labels.length ? 'every label differs' : `these differ: ${differing.join(', ')}`}`;
  if (p >= level || difference === 0) {
    return `On these ${by}s ${a} and ${b} do not differ in ${title} by more than chance may explain ${facts}${holds}.`;
  }
  if (difference * (effect ?? 0) < 0) {
    return `${a} and ${b} differ in ${title}, but neither is better throughout: most ${by}s go one way and the mean, by a few large differences, the other ${facts}${holds}.`;
  }
  const verdict =
    better === 'zero'
      ? `${b} has a ${difference > 0 ? 'higher' : 'lower'} ${title} than ${a}`
      : `${b} is ${difference > 0 === (better === 'higher') ? 'better' : 'worse'} than ${a} in ${title}`;
  return `${verdict} by ${shown(Math.abs(difference))} on average ${facts}${holds}.`;
}

/** `p = 0.0312`, `p < 0.0001`. */
export function showP(p: number): string {
  return p < 1e-4 ? 'p < 0.0001' : `p = ${Number(p.toPrecision(2))}`;
}
