/**
 * Statistics of scores over cases: summaries, the paired test and the intervals that articles print. Plain numbers in
 * and out; random numbers come in as a function.
 */
import { InputError } from '../errors.ts';
import { mixBits } from '../mixBits.ts';
import { percentile } from '../volume/intensities.ts';

/** NaN of no values. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Of the sample (divided by n - 1); NaN of fewer than two values. */
export function standardDeviation(values: readonly number[]): number {
  if (values.length < 2) return Number.NaN;
  const center = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - center) ** 2, 0) / (values.length - 1));
}

/** NaN of no values, or where one is NaN. */
export function median(values: readonly number[]): number {
  if (values.length === 0 || values.some(Number.isNaN)) return Number.NaN;
  return percentile(Float64Array.from(values).sort(), 50);
}

/** What is held against "no difference": any other, or second above first, or second below. */
export type Alternative = 'two-sided' | 'greater' | 'less';

export interface SignedRankOptions {
  alternative?: Alternative;
  /**
   * Of the rank sum: `exact` counts all 2^n choices of signs (of the ranks as they are, ties included), `normal`
   * approximates, corrected for ties and continuity. Left out: exact up to 50 differences without ties, else normal.
   */
  distribution?: 'exact' | 'normal';
}

export interface SignedRankTest {
  /** Differences that are not zero. */
  readonly pairs: number;
  /** Sum of the ranks of the positive differences (second above first), and of the negative. */
  readonly positive: number;
  readonly negative: number;
  readonly p: number;
  readonly distribution: 'exact' | 'normal';
}

/** The largest number of pairs for which every count is exact in float64; also where SciPy changes over. */
const exactLimit = 50;

/**
 * Wilcoxon's signed-rank test of paired scores. Differences of zero are dropped, as Wilcoxon does; ties have their mean
 * rank. Differences count as zero, or as tied, within the rounding of float64: scores of few decimals tie on paper, and
 * should here. Where every difference is zero p is 1.
 *
 * Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1, 1945; for ties and continuity Hollander,
 * Wolfe and Chicken, "Nonparametric Statistical Methods", 3rd ed., section 3.1.
 * @throws InputError when the samples differ in length, hold what is not finite, or are too many for the exact distribution
 */
export function signedRankTest(
  first: readonly number[],
  second: readonly number[],
  options: SignedRankOptions = {},
): SignedRankTest {
  const { alternative = 'two-sided' } = options;
  const all = pairedDifferences(first, second);
  const rounding = 4 * Number.EPSILON * [...first, ...second].reduce((most, each) => Math.max(most, Math.abs(each)), 0);
  const differences = all
    .filter((difference) => Math.abs(difference) > rounding)
    .sort((a, b) => Math.abs(a) - Math.abs(b));
  const pairs = differences.length;
  if (options.distribution === 'exact' && pairs > exactLimit) {
    throw new InputError(
      `the exact distribution of the signed-rank sum is for at most ${exactLimit} differences that are not zero, and these are ${pairs}; choose the normal one`,
    );
  }
  const groups = tieGroups(differences.map(Math.abs), rounding);
  const ranks = groups.flatMap(({ rank, size }) => Array<number>(size).fill(rank));
  const positive = ranks.reduce((sum, rank, i) => sum + (differences[i] > 0 ? rank : 0), 0);
  const negative = (pairs * (pairs + 1)) / 2 - positive;
  const tied = groups.some(({ size }) => size > 1);
  const distribution = options.distribution ?? (pairs <= exactLimit && !tied ? 'exact' : 'normal');
  const ties = groups.reduce((sum, { size }) => sum + size ** 3 - size, 0);
  const p =
    pairs === 0
      ? 1
      : distribution === 'exact'
        ? exactTail(ranks, positive, alternative)
        : normalTail(pairs, ties, positive, alternative);
  return { pairs, positive, negative, p, distribution };
}

/**
 * Effect size of the test, the matched-pairs rank-biserial correlation: (W+ - W-) / (W+ + W-), from -1 (second below first
 * in every pair) to 1 (above in every pair); NaN where every difference is zero.
 *
 * Kerby, "The simple difference formula", Comprehensive Psychology 3, 2014.
 */
export function rankBiserial({ positive, negative }: Pick<SignedRankTest, 'positive' | 'negative'>): number {
  return (positive - negative) / (positive + negative);
}

/** second - first. @throws InputError as the public functions say */
function pairedDifferences(first: readonly number[], second: readonly number[]): number[] {
  if (first.length !== second.length) {
    throw new InputError(
      `${first.length} scores cannot be paired with ${second.length}; both lists must be of the same cases, in the same order`,
    );
  }
  for (const [i, value] of [...first.entries(), ...second.entries()]) {
    if (!Number.isFinite(value)) {
      throw new InputError(
        `the score ${value} of pair ${i + 1} is no number to compare; leave that case out of both lists`,
      );
    }
  }
  return second.map((value, i) => value - first[i]);
}

/** Runs of equal values among sorted ones, with the mean of their ranks (from 1). */
function tieGroups(sorted: readonly number[], rounding: number): { rank: number; size: number }[] {
  const groups: { rank: number; size: number }[] = [];
  for (let start = 0; start < sorted.length; ) {
    let end = start + 1;
    while (end < sorted.length && sorted[end] - sorted[end - 1] <= rounding) end++;
    groups.push({ rank: (start + 1 + end) / 2, size: end - start });
    start = end;
  }
  return groups;
}

/** Counts how many choices of signs give each rank sum, one rank after the other. */
function exactTail(ranks: readonly number[], positive: number, alternative: Alternative): number {
  // Doubled, the mean ranks of ties are whole numbers.
  const doubled = ranks.map((rank) => Math.round(2 * rank));
  const total = doubled.reduce((sum, rank) => sum + rank, 0);
  const ways = new Float64Array(total + 1);
  ways[0] = 1;
  for (const rank of doubled) for (let sum = total; sum >= rank; sum--) ways[sum] += ways[sum - rank];
  const observed = Math.round(2 * positive);
  const all = 2 ** ranks.length;
  const share = (from: number, to: number) => ways.subarray(from, to).reduce((sum, count) => sum + count, 0) / all;
  const [below, above] = [share(0, observed + 1), share(observed, total + 1)];
  return { less: below, greater: above, 'two-sided': Math.min(1, 2 * Math.min(below, above)) }[alternative];
}

/** @param ties sum over groups of ties of t^3 - t */
function normalTail(n: number, ties: number, positive: number, alternative: Alternative): number {
  const distance = positive - (n * (n + 1)) / 4;
  const deviation = Math.sqrt((n * (n + 1) * (2 * n + 1) - ties / 2) / 24);
  switch (alternative) {
    case 'greater':
      return upperTail((distance - 0.5) / deviation);
    case 'less':
      return upperTail(-(distance + 0.5) / deviation);
    case 'two-sided':
      return distance === 0 ? 1 : Math.min(1, 2 * upperTail((Math.abs(distance) - 0.5) / deviation));
  }
}

/**
 * Probability that a standard normal number is above z: near 0 the series, beyond the continued fraction of Abramowitz
 * and Stegun, "Handbook of Mathematical Functions", 26.2.11 and 26.2.14. Relative error below 1e-13.
 */
function upperTail(z: number): number {
  if (z < 0) return 1 - upperTail(-z);
  const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
  if (z < 2.5) {
    let [term, sum] = [z, z];
    for (let n = 3; term > sum * 1e-17; n += 2) {
      term *= (z * z) / n;
      sum += term;
    }
    return 0.5 - density * sum;
  }
  let fraction = z;
  for (let n = 200; n >= 1; n--) fraction = z + n / fraction;
  return density / fraction;
}

/** Uniform numbers in [0, 1), one a call. */
export type UniformSource = () => number;

/** The same numbers for the same seed, on every machine: a counter, scrambled. */
export function seededUniform(seed: number): UniformSource {
  let count = 0;
  return () => mixBits(seed + Math.imul(count++, 0x9e3779b9)) / 2 ** 32;
}

export interface BootstrapOptions {
  resamples?: number;
  /** Numbers of cases that are drawn together, because they are alike: scans of one patient. Left out: each by itself. */
  groups?: readonly (readonly number[])[];
  /** Share of the resampled means inside of the interval. */
  confidence?: number;
}

export interface Interval {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Percentile interval of a mean: the cases are drawn anew, with replacement, and the mean taken each time; percentiles
 * between two of these means are interpolated linearly.
 *
 * Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7, 1979; Efron and Tibshirani, "An
 * Introduction to the Bootstrap", 1993, section 13.3.
 * @throws InputError when there are no values
 */
export function bootstrapMean(
  values: readonly number[],
  random: UniformSource,
  options: BootstrapOptions = {},
): Interval {
  if (values.length === 0) throw new InputError('no scores have no mean; name at least one case');
  const meanOf = (drawn: Int32Array) => {
    let sum = 0;
    for (const index of drawn) sum += values[index];
    return sum / drawn.length;
  };
  return { estimate: mean(values), ...bootstrap(values.length, meanOf, random, options) };
}

/**
 * Percentile interval of any statistic of some cases.
 * Of groups as many are drawn as there are, each whole (Davison and Hinkley, "Bootstrap Methods and their Application",
 * 1997, section 3.8).
 * @param statistic of the cases drawn, by their numbers from 0; the array is used again. Draws for which it is NaN (a label
 *   that none of the cases has) are left out; of no others both ends are NaN
 */
export function bootstrap(
  cases: number,
  statistic: (drawn: Int32Array) => number,
  random: UniformSource,
  { resamples = 10_000, confidence = 0.95, groups }: BootstrapOptions = {},
): { low: number; high: number } {
  const drawn = new Int32Array(groups ? groups.length * Math.max(0, ...groups.map(({ length }) => length)) : cases);
  const draw = (): Int32Array => {
    if (!groups) {
      for (let k = 0; k < cases; k++) drawn[k] = Math.floor(random() * cases);
      return drawn;
    }
    let size = 0;
    for (let k = 0; k < groups.length; k++) {
      for (const index of groups[Math.floor(random() * groups.length)]) drawn[size++] = index;
    }
    return drawn.subarray(0, size);
  };
  const statistics = new Float64Array(resamples);
  let count = 0;
  for (let i = 0; i < resamples; i++) {
    const value = statistic(draw());
    if (!Number.isNaN(value)) statistics[count++] = value;
  }
  if (count === 0) return { low: Number.NaN, high: Number.NaN };
  const sorted = statistics.subarray(0, count).sort();
  const outside = 50 * (1 - confidence);
  return { low: percentile(sorted, outside), high: percentile(sorted, 100 - outside) };
}

/**
 * The same of the mean of second - first: pairs stay together.
 * @throws InputError when the samples differ in length, hold what is not finite, or are empty
 */
export function bootstrapMeanDifference(
  first: readonly number[],
  second: readonly number[],
  random: UniformSource,
  options: BootstrapOptions = {},
): Interval {
  return bootstrapMean(pairedDifferences(first, second), random, options);
}

/**
 * p values of several tests, adjusted so that the chance of even one false alarm among them stays below the level that
 * each is compared with; in the order given.
 *
 * Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
 */
export function holm(pValues: readonly number[]): number[] {
  const ascending = pValues.map((_, i) => i).sort((a, b) => pValues[a] - pValues[b]);
  const adjusted = new Array<number>(pValues.length);
  let most = 0;
  ascending.forEach((i, k) => {
    most = Math.max(most, Math.min(1, (pValues.length - k) * pValues[i]));
    adjusted[i] = most;
  });
  return adjusted;
}
