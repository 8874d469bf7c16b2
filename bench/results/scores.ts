/**
 * What Dice scores of cases say: mean, spread, interval and worst case of each label, and the paired comparison with the
 * scores of another model on the same cases. Numbers in and out; tables are made by tables.ts.
 */
import { randomStream, uniform } from '../../src/dataset/index.ts';
import {
  bootstrapMean,
  bootstrapMeanDifference,
  holm,
  type Interval,
  mean,
  median,
  type SignedRankTest,
  signedRankTest,
  standardDeviation,
} from '../../src/evaluate/index.ts';

/** Dice of a case, by label. */
export interface CaseDice {
  readonly name: string;
  readonly dice: Readonly<Record<string, number>>;
}

export interface Summary {
  readonly mean: number;
  /** Of the sample of cases. */
  readonly standardDeviation: number;
  readonly median: number;
  /** Of the mean, 95 %, by 10,000 resamples of the cases. */
  readonly interval: readonly [low: number, high: number];
  readonly worst: { readonly name: string; readonly dice: number };
}

export interface Comparison {
  /** Mean over cases of the model's score less the other's. */
  readonly difference: number;
  /** Of that mean, 95 %, by 10,000 resamples of the pairs. */
  readonly interval: readonly [low: number, high: number];
  /** Cases in which the model's score is the higher one, and the lower one. */
  readonly higher: number;
  readonly lower: number;
  /** Wilcoxon's signed-rank test, two-sided. */
  readonly test: SignedRankTest;
  /** Of labels: p after Holm's correction for their number. Of the mean over labels, which is one test: p itself. */
  readonly p: number;
}

/** What the row of the mean over labels is called. */
export const meanRow = 'mean';

/** Intervals are the same each time. */
const seed = 2024;
const draws = () => {
  const stream = randomStream(seed);
  return () => uniform(stream);
};
const bounds = ({ low, high }: Interval) => [low, high] as const;

/** Scores of each label over the cases, and of the mean over labels. */
function columns(cases: readonly CaseDice[], labels: readonly string[]): Map<string, number[]> {
  return new Map([
    ...labels.map((label) => [label, cases.map(({ dice }) => dice[label])] as const),
    [meanRow, cases.map((each) => meanDice(each, labels))] as const,
  ]);
}

export const meanDice = ({ dice }: CaseDice, labels: readonly string[]) => mean(labels.map((label) => dice[label]));

export function summarize(cases: readonly CaseDice[], labels: readonly string[]): Record<string, Summary> {
  const rows = [...columns(cases, labels)].map(([row, scores]): [string, Summary] => {
    const worst = scores.indexOf(Math.min(...scores));
    return [
      row,
      {
        mean: mean(scores),
        standardDeviation: standardDeviation(scores),
        median: median(scores),
        interval: bounds(bootstrapMean(scores, draws())),
        worst: { name: cases[worst].name, dice: scores[worst] },
      },
    ];
  });
  return Object.fromEntries(rows);
}

/** @param other the same cases in the same order */
export function compare(
  cases: readonly CaseDice[],
  other: readonly CaseDice[],
  labels: readonly string[],
): Record<string, Comparison> {
  const [ours, theirs] = [columns(cases, labels), columns(other, labels)];
  const tests = new Map([...ours].map(([row, scores]) => [row, signedRankTest(theirs.get(row)!, scores)]));
  const corrected = holm(labels.map((label) => tests.get(label)!.p));
  const rows = [...ours].map(([row, scores]): [string, Comparison] => {
    const others = theirs.get(row)!;
    const difference = bootstrapMeanDifference(others, scores, draws());
    const test = tests.get(row)!;
    return [
      row,
      {
        difference: difference.estimate,
        interval: bounds(difference),
        higher: scores.filter((score, i) => score > others[i]).length,
        lower: scores.filter((score, i) => score < others[i]).length,
        test,
        p: row === meanRow ? test.p : corrected[labels.indexOf(row)],
      },
    ];
  });
  return Object.fromEntries(rows);
}

/** The best, the median (the lower of two) and the worst case by the mean over labels. */
export function landmarks(cases: readonly CaseDice[], labels: readonly string[]): Record<Landmark, CaseDice> {
  const ascending = [...cases].sort((a, b) => meanDice(a, labels) - meanDice(b, labels));
  return { best: ascending.at(-1)!, median: ascending[(ascending.length - 1) >> 1], worst: ascending[0] };
}

export type Landmark = 'best' | 'median' | 'worst';
