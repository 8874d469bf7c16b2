import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hasShared, sharedJson } from '../../test/shared.ts';
import {
  type Alternative,
  bootstrap,
  bootstrapMean,
  bootstrapMeanDifference,
  holm,
  mean,
  median,
  rankBiserial,
  seededUniform,
  signedRankTest,
  standardDeviation,
} from './statistics.ts';

const zeros = (length: number) => new Array<number>(length).fill(0);

describe('summaries', () => {
  test('mean, deviation of the sample and median of 1, 2, 3, 6', () => {
    const scores = [6, 1, 3, 2];
    expect([mean(scores), standardDeviation(scores), median(scores)]).toEqual([3, Math.sqrt(14 / 3), 2.5]);
    expect(scores).toEqual([6, 1, 3, 2]);
  });

  test('of nothing, and the deviation of one score, are NaN', () => {
    expect([mean([]), median([]), standardDeviation([]), standardDeviation([1])]).toEqual(zeros(4).fill(Number.NaN));
  });

  test('a score of NaN is not hidden', () => {
    expect([mean([1, Number.NaN]), median([1, Number.NaN, 3])]).toEqual([Number.NaN, Number.NaN]);
  });
});

describe('signedRankTest', () => {
  test('three rises: of 8 choices of signs one is as high', () => {
    const rises = [0.1, 0.2, 0.3];
    expect(signedRankTest(zeros(3), rises)).toEqual({
      pairs: 3,
      positive: 6,
      negative: 0,
      p: 2 / 8,
      distribution: 'exact',
    });
    expect(signedRankTest(zeros(3), rises, { alternative: 'greater' }).p).toBe(1 / 8);
    expect(signedRankTest(zeros(3), rises, { alternative: 'less' }).p).toBe(1);
  });

  test('five pairs never reach 0.05, six do', () => {
    expect(signedRankTest(zeros(5), [1, 2, 3, 4, 5]).p).toBe(0.0625);
    expect(signedRankTest(zeros(6), [1, 2, 3, 4, 5, 6]).p).toBe(0.03125);
  });

  test('ties share their mean rank, and their exact distribution is of the ranks as they are', () => {
    // Ranks 1.5, 1.5 and 3; sums of the positive ones: 0, 1.5 twice, 3 twice, 4.5 twice, 6.
    const result = signedRankTest(zeros(3), [1, -1, 2], { alternative: 'greater', distribution: 'exact' });
    expect(result).toMatchObject({ positive: 4.5, negative: 1.5, p: 3 / 8 });
  });

  test('differences that tie on paper tie here, whatever binary fractions make of them', () => {
    expect(0.3 - 0.2).not.toBe(0.2 - 0.1);
    const { positive, negative, distribution } = signedRankTest([0.2, 0.2, 0.5], [0.3, 0.1, 0.1]);
    expect({ positive, negative, distribution }).toEqual({ positive: 1.5, negative: 4.5, distribution: 'normal' });
  });

  test('zeros are dropped, and nothing but zeros says nothing', () => {
    expect(signedRankTest([1, 2, 3, 0.3], [2, 2, 5, 0.1 + 0.2])).toMatchObject({ pairs: 2, p: 0.5 });
    expect(signedRankTest([1, 2], [1, 2])).toMatchObject({ pairs: 0, positive: 0, p: 1 });
  });

  test('lists of two lengths, NaN, and an exact distribution of 51 pairs are refused', () => {
    expect(() => signedRankTest([1], [1, 2])).toThrow('1 scores cannot be paired with 2');
    expect(() => signedRankTest([1, 2], [1, Number.NaN])).toThrow('the score NaN of pair 2');
    const many = Array.from({ length: 51 }, (_, i) => i + 1);
    expect(() => signedRankTest(zeros(51), many, { distribution: 'exact' })).toThrow('at most 50');
    expect(signedRankTest(zeros(50), many.slice(1))).toMatchObject({ distribution: 'exact', p: 2 / 2 ** 50 });
    expect(signedRankTest(zeros(51), many).distribution).toBe('normal');
  });

  test('exchanging the samples exchanges the sums and the one-sided answers', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 9 }))), (pairs) => {
        const [a, b] = [pairs.map(([each]) => each), pairs.map(([, each]) => each)];
        const [forth, back] = [
          signedRankTest(a, b, { alternative: 'greater' }),
          signedRankTest(b, a, { alternative: 'less' }),
        ];
        expect([back.positive, back.negative]).toEqual([forth.negative, forth.positive]);
        expect(back.p).toBeCloseTo(forth.p, 12);
        expect(signedRankTest(a, b).p).toBeCloseTo(signedRankTest(b, a).p, 12);
      }),
      { numRuns: 60 },
    );
  });
});

describe('rankBiserial', () => {
  test('is 1 when every pair rises, -1 when every pair falls, and has no value of pairs that are equal', () => {
    expect(rankBiserial(signedRankTest([0, 0], [1, 2]))).toBe(1);
    expect(rankBiserial(signedRankTest([1, 2], [0, 0]))).toBe(-1);
    // Ranks 1 down, 2 up: (2 - 1) / 3.
    expect(rankBiserial(signedRankTest([0, 0], [-1, 2]))).toBe(1 / 3);
    expect(rankBiserial(signedRankTest([1], [1]))).toBeNaN();
  });
});

describe('bootstrap', () => {
  test('draws groups whole', () => {
    const drawn: number[][] = [];
    const draws = [0.9, 0, 0, 0.9];
    const statistic = (cases: Int32Array) => drawn.push([...cases]);
    bootstrap(3, statistic, () => draws.shift()!, { resamples: 2, groups: [[0, 2], [1]] });
    expect(drawn).toEqual([
      [1, 0, 2],
      [0, 2, 1],
    ]);
  });

  test('resamples of two cases: the drawn means, and percentiles between them', () => {
    // Draws (0 0), (0 1), (1 0), (1 1) of the cases 10 and 20: means 10, 15, 15, 20.
    const draws = [0, 0, 0, 0.5, 0.5, 0, 0.5, 0.9];
    const interval = bootstrapMean([10, 20], () => draws.shift()!, { resamples: 4, confidence: 0.5 });
    expect(interval).toEqual({ estimate: 15, low: 13.75, high: 16.25 });
    expect(draws).toEqual([]);
  });

  test('a difference that is the same in every pair has no width', () => {
    expect(bootstrapMeanDifference([1, 2, 3], [3, 4, 5], () => 0.4)).toEqual({ estimate: 2, low: 2, high: 2 });
  });

  test('of any statistic: draws for which it has no value are left out', () => {
    // Draws 0, 1, 0, 1 of two cases, one a time; case 0 has no value.
    const draws = [0, 0, 0.5, 0.5, 0, 0, 0.5, 0.9];
    const statistic = (drawn: Int32Array) => (drawn[0] === 0 ? Number.NaN : 7);
    expect(bootstrap(2, statistic, () => draws.shift()!, { resamples: 4 })).toEqual({ low: 7, high: 7 });
    expect(
      bootstrap(
        1,
        () => Number.NaN,
        () => 0,
        { resamples: 3 },
      ),
    ).toEqual({ low: Number.NaN, high: Number.NaN });
  });

  test('a seed gives the same numbers each time, and another seed others', () => {
    const numbers = (seed: number) => Array.from({ length: 1000 }, seededUniform(seed));
    expect(numbers(7)).toEqual(numbers(7));
    expect(numbers(7)[0]).not.toBe(numbers(8)[0]);
    expect(numbers(7).every((each) => each >= 0 && each < 1)).toBe(true);
    expect(mean(numbers(7))).toBeGreaterThan(0.45);
    expect(mean(numbers(7))).toBeLessThan(0.55);
  });

  test('no scores are refused', () => {
    expect(() => bootstrapMean([], () => 0)).toThrow('no scores have no mean');
  });
});

describe('holm', () => {
  test('the smallest of three counts three times, the next twice, and none falls below one before it', () => {
    const adjusted = holm([0.04, 0.01, 0.03]);
    [0.06, 0.03, 0.06].forEach((expected, i) => {
      expect(adjusted[i]).toBeCloseTo(expected, 12);
    });
    expect(holm([0.5, 0.9])).toEqual([1, 1]);
    expect(holm([])).toEqual([]);
  });
});

interface Wilcoxon {
  readonly name: string;
  readonly x: readonly number[];
  readonly y: readonly number[];
  readonly tests: readonly {
    readonly zero_method: string;
    readonly method: 'exact' | 'asymptotic';
    readonly alternative: Alternative;
    readonly correction: boolean;
    readonly p: number | 'nan';
    readonly w_plus?: number;
    readonly w_minus?: number;
  }[];
  readonly auto_default: { readonly p: number };
  readonly effect?: {
    readonly mean_difference: number;
    readonly sd_difference: number;
    readonly median_difference: number;
    readonly rank_biserial_matched: number;
  };
}
interface Estimate {
  readonly estimate: number;
  readonly lo: number;
  readonly hi: number;
}
interface Golden {
  readonly wilcoxon: readonly Wilcoxon[];
  readonly multiple_testing: { readonly p: readonly number[]; readonly holm: readonly number[] };
  readonly bootstrap: {
    readonly x: readonly number[];
    readonly y: readonly number[];
    readonly B: number;
    readonly mean: Estimate;
    readonly mean_difference: Estimate;
  };
}

describe.skipIf(!hasShared)('reference values of SciPy', () => {
  const golden = hasShared ? sharedJson<Golden>('golden', 'volumes', 'statistics_clinical.json') : undefined;
  const close = (actual: number, expected: number, what: string) =>
    expect(Math.abs(actual - expected), what).toBeLessThanOrEqual(1e-11 * Math.abs(expected));
  const tied = (name: string) => name.includes('coarse') || name === 'n5_one_zero';

  test.each((golden?.wilcoxon ?? []).map((each) => [each.name, each] as const))(
    'signed ranks of %s',
    (name, sample) => {
      let compared = 0;
      for (const expected of sample.tests) {
        const { method, alternative, p } = expected;
        if (expected.zero_method !== 'wilcox' || p === 'nan') continue;
        // SciPy's exact distribution is of ranks without ties, and its normal one has the correction on request.
        if (method === 'exact' && (tied(name) || sample.x.length > 50)) continue;
        if (method === 'asymptotic' && !expected.correction) continue;
        const distribution = method === 'exact' ? 'exact' : 'normal';
        const result = signedRankTest(sample.x, sample.y, { alternative, distribution });
        close(result.p, p, `${method} ${alternative}`);
        if (expected.w_plus !== undefined && expected.w_minus !== undefined) {
          expect([result.positive, result.negative]).toEqual([expected.w_plus, expected.w_minus]);
        }
        compared++;
      }
      expect(compared).toBeGreaterThanOrEqual(3);
    },
  );

  test('few pairs with ties, counted one by one', () => {
    for (const { x, y, auto_default } of golden!.wilcoxon.filter(({ name }) => /^n10_coarse|^n5_one/.test(name))) {
      close(signedRankTest(x, y, { distribution: 'exact' }).p, auto_default.p, 'exact with ties');
    }
  });

  test('mean, deviation and median of differences', () => {
    for (const { name, x, y, effect } of golden!.wilcoxon) {
      if (!effect || name === 'n4_all_zero') continue;
      const differences = y.map((value, i) => value - x[i]);
      expect(mean(differences), name).toBeCloseTo(effect.mean_difference, 12);
      expect(standardDeviation(differences), name).toBeCloseTo(effect.sd_difference, 12);
      expect(median(differences), name).toBeCloseTo(effect.median_difference, 12);
      expect(rankBiserial(signedRankTest(x, y)), name).toBeCloseTo(effect.rank_biserial_matched, 12);
    }
  });

  test('Holm’s correction', () => {
    const { p, holm: expected } = golden!.multiple_testing;
    holm(p).forEach((each, i) => {
      close(each, expected[i], `p ${p[i]}`);
    });
  });

  test('bootstrap intervals of a mean and of a mean difference, to the last digits', () => {
    const { x, y, B: resamples, ...expected } = golden!.bootstrap;
    const compare = ({ estimate, low, high }: ReturnType<typeof bootstrapMean>, reference: Estimate) => {
      expect(estimate).toBeCloseTo(reference.estimate, 12);
      expect(low).toBeCloseTo(reference.lo, 12);
      expect(high).toBeCloseTo(reference.hi, 12);
    };
    compare(bootstrapMean(x, filled('boot.index'), { resamples }), expected.mean);
    compare(bootstrapMeanDifference(x, y, filled('boot.index'), { resamples }), expected.mean_difference);
  });
});

/** The uniform numbers that the reference values were made with: MurmurHash3's finalizer over FNV-1a of a name. */
function filled(name: string): () => number {
  let seed = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) seed = Math.imul(seed ^ byte, 0x01000193);
  let i = 0;
  return () => {
    let bits = (seed + Math.imul(i++, 0x9e3779b9)) >>> 0;
    bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
    bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
    return ((bits ^ (bits >>> 16)) >>> 0) / 2 ** 32;
  };
}
