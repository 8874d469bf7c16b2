import { describe, expect, test } from 'vitest';
import { comparePredictions } from './comparison.ts';
import { type EvaluatedCase, type Evaluation, evaluateCases, type MetricName } from './evaluation.ts';

/** Scores of each case, one for each label. */
function evaluation(
  scores: readonly (readonly (number | null)[])[],
  metric: MetricName = 'dice',
  patients?: readonly string[],
): Evaluation {
  const overlap = {
    truePositives: 1,
    falsePositives: 0,
    falseNegatives: 0,
    trueNegatives: 0,
    reference: 1,
    predicted: 1,
  };
  const cases = scores.map(
    (each, index): EvaluatedCase => ({
      name: `case${index}`,
      ...(patients && { patient: patients[index] }),
      labels: each.map((value) => ({
        overlap,
        referenceMl: 1,
        predictedMl: 1,
        empty: null,
        scores: { [metric]: value },
      })),
    }),
  );
  const labels = scores[0].map((_, index) => ({ name: `organ ${index + 1}`, values: [index + 1] }));
  return evaluateCases(cases, { labels, metrics: [metric] });
}

const eight = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
/** Rises of 0.01, 0.02 and so on. */
const higher = eight.map((value, index) => value + (index + 1) / 100);

describe('comparePredictions', () => {
  test('eight cases that all rise: the smallest p there is, effect 1, and a sentence that says which is better', () => {
    const a = evaluation(eight.map((value) => [value]));
    const b = evaluation(higher.map((value) => [value]));
    const { overall, labels, conclusion } = comparePredictions(a, b, 'dice', { a: 'old', b: 'new' });
    expect(overall).toMatchObject({ pairs: 8, p: 2 / 2 ** 8, effect: 1, distribution: 'exact' });
    expect(overall.difference).toBeCloseTo(0.045, 12);
    expect(labels[0]).toMatchObject({ name: 'organ 1', adjustedP: 2 / 2 ** 8 });
    expect(conclusion).toMatch(
      /^new is better than old in Dice by 0\.0450 on average \(8 cases, 95 % interval of new - old from 0\.02\d\d to 0\.06\d\d, p = 0\.0078, Wilcoxon signed-rank, two-sided\)\.$/,
    );
    expect(comparePredictions(b, a, 'dice').conclusion).toMatch(/^B is worse than A in Dice by 0\.0450/);
  });

  test('two scans of a patient are one pair: their mean', () => {
    const patients = ['a', 'a', 'b', 'b', 'c', 'c', 'd', 'd'];
    const of = (values: readonly number[]) =>
      evaluation(
        values.map((value) => [value]),
        'dice',
        patients,
      );
    const { paired, overall, labels, conclusion } = comparePredictions(of(eight), of(higher), 'dice');
    expect(paired).toBe('patient');
    expect(overall).toMatchObject({ pairs: 4, p: 2 / 2 ** 4, effect: 1 });
    expect(labels[0]).toMatchObject({ pairs: 4, adjustedP: 2 / 2 ** 4 });
    expect(overall.difference).toBeCloseTo(0.045, 12);
    expect(conclusion).toMatch(/^Nothing can be concluded .* with 4 patients no difference, however large,/);
    // A scan that has no value in one of them leaves the other scan to speak for the patient.
    const gap = evaluation(
      higher.map((value, index) => [index === 1 ? null : value]),
      'dice',
      patients,
    );
    expect(comparePredictions(of(eight), gap, 'dice').overall.meanB).toBeCloseTo(
      (higher[0] + (higher[2] + higher[3]) / 2 + (higher[4] + higher[5]) / 2 + (higher[6] + higher[7]) / 2) / 4,
      12,
    );
  });

  test('of distances, less is better', () => {
    const of = (values: readonly number[]) =>
      evaluation(
        values.map((value) => [value]),
        'hd95',
      );
    expect(comparePredictions(of(eight), of(higher), 'hd95').conclusion).toMatch(
      /^B is worse than A in HD95 by 0\.0[45] on/,
    );
  });

  test('ties do not end exactness: equal rises of six cases have p = 2 / 64', () => {
    const of = (value: number) => evaluation(Array.from({ length: 6 }, () => [value]));
    expect(comparePredictions(of(0.5), of(0.6), 'dice').overall).toMatchObject({ p: 2 / 64, distribution: 'exact' });
  });

  test('five cases can show nothing, and the sentence says so', () => {
    const a = evaluation(eight.slice(0, 5).map((value) => [value]));
    const b = evaluation(higher.slice(0, 5).map((value) => [value]));
    expect(comparePredictions(a, b, 'dice').conclusion).toMatch(
      /^Nothing can be concluded about the Dice of A and B: with 5 cases no difference, however large, has a p below 0\.0625/,
    );
  });

  test('the same scores do not differ', () => {
    const a = evaluation(eight.map((value) => [value, value]));
    const { overall, conclusion } = comparePredictions(a, a, 'dice');
    expect(overall).toMatchObject({ difference: 0, p: 1, effect: null });
    expect(conclusion).toMatch(
      /^On these cases A and B do not differ in Dice by more than chance may explain .*no single label differs\.$/,
    );
  });

  test('Holm over labels: each of two that rise counts twice, and one that does not is not named', () => {
    const a = evaluation(eight.map((value) => [value, value, 0.5]));
    const b = evaluation(higher.map((value) => [value, value, 0.5]));
    const { labels, conclusion } = comparePredictions(a, b, 'dice');
    expect(labels.map(({ adjustedP }) => adjustedP)).toEqual([3 / 128, 3 / 128, 1]);
    expect(conclusion).toMatch(/after Holm’s correction these differ: organ 1, organ 2\.$/);
  });

  test('twelve small rises and one great fall: ranks and mean point apart, and neither is called better', () => {
    const flat = evaluation(Array.from({ length: 13 }, () => [0.85]));
    const rises = Array.from({ length: 12 }, (_, index) => [0.85 + (index + 1) / 100]);
    const { overall, conclusion } = comparePredictions(flat, evaluation([...rises, [0]]), 'dice');
    expect([overall.difference! < 0, overall.effect! > 0, overall.p! < 0.05]).toEqual([true, true, true]);
    expect(conclusion).toMatch(/^A and B differ in Dice, but neither is better throughout/);
  });

  test('a score that one of them lacks makes no pair, alone or in the mean of its case', () => {
    const a = evaluation([
      [0.5, null],
      [0.5, 0.1],
    ]);
    const b = evaluation([
      [0.6, 0.9],
      [0.6, 0.2],
    ]);
    const { labels, overall } = comparePredictions(a, b, 'dice');
    expect(labels.map(({ pairs }) => pairs)).toEqual([2, 1]);
    expect(overall.difference).toBeCloseTo(0.1, 12);
    const none = evaluation([[null], [null]]);
    expect(comparePredictions(none, none, 'dice')).toMatchObject({
      overall: { pairs: 0, p: null },
      conclusion: 'No case has a Dice in both A and B, so nothing can be said.',
    });
  });

  test('other cases, other labels and a metric that was not measured are refused', () => {
    const a = evaluation([[0.5], [0.6]]);
    expect(() => comparePredictions(a, evaluation([[0.5]]), 'dice')).toThrow('not evaluated on the same cases');
    expect(() =>
      comparePredictions(
        a,
        evaluation([
          [0.5, 1],
          [0.6, 1],
        ]),
        'dice',
      ),
    ).toThrow('the same labels');
    expect(() => comparePredictions(a, a, 'hd95')).toThrow('HD95 was not measured of both');
  });
});
