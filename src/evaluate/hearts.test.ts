import { expect, test } from 'vitest';
import { acdcLabels } from './clinical.ts';
import type { EvaluatedCase } from './evaluation.ts';
import { evaluateHearts } from './hearts.ts';

const labels = ['RV', 'MYO', 'LV'].map((name, index) => ({ name, values: [index + 1] }));
const overlap = {
  ...{ truePositives: 1, falsePositives: 0, falseNegatives: 0, trueNegatives: 0 },
  ...{ reference: 1, predicted: 1 },
};

/** mL of RV, MYO and LV, by reference and prediction. */
const frame = (name: string, reference: readonly number[], predicted: readonly number[]): EvaluatedCase => ({
  name,
  labels: labels.map((_, index) => ({
    overlap,
    referenceMl: reference[index],
    predictedMl: predicted[index],
    empty: null,
    scores: {},
  })),
});

const cases = [
  frame('a_frame01', [100, 120, 200], [100, 100, 200]),
  frame('a_frame09', [40, 130, 100], [50, 130, 120]),
  frame('b_frame01', [100, 100, 100], [100, 120, 100]),
  frame('b_frame10', [40, 130, 30], [30, 130, 20]),
  frame('c_frame01', [100, 100, 100], [0, 100, 100]),
  frame('c_frame11', [40, 130, 60], [0, 130, 60]),
];
const frames = ['a', 'b', 'c'].map((patient, index) => ({
  patient,
  endDiastole: cases[2 * index].name,
  endSystole: cases[2 * index + 1].name,
}));

test('hearts by prediction and by reference, and how far they are apart', () => {
  const { hearts, agreement } = evaluateHearts({ cases, labels }, frames, acdcLabels);
  expect(hearts[0]).toMatchObject({
    patient: 'a',
    reference: { leftEjectionFraction: 50, rightEjectionFraction: 60, leftEdv: 200, leftEsv: 100 },
    predicted: { leftEjectionFraction: 40, rightEjectionFraction: 50, leftEdv: 200, leftEsv: 120 },
  });
  // Errors of -10, +10 and 0 points: a deviation of 10.
  const { low, high, ...rest } = agreement.leftEjectionFraction;
  expect(rest).toMatchObject({ hearts: 3, meanReference: 160 / 3, meanPredicted: 160 / 3, bias: 0 });
  expect(rest.meanAbsolute).toBeCloseTo(20 / 3, 12);
  expect([low, high]).toEqual([expect.closeTo(-19.6, 12), expect.closeTo(19.6, 12)]);
  // Of 50, 70, 40 and 40, 80, 40: sums of products 2000 / 3, 1400 / 3 and 3200 / 3.
  expect(rest.correlation).toBeCloseTo(2000 / 3 / Math.sqrt((1400 / 3) * (3200 / 3)), 12);
  expect(agreement.myocardialMass.bias).toBeCloseTo(0, 12);
  expect(agreement.myocardialMass.meanAbsolute).toBeCloseTo((2 * 20 * 1.05) / 3, 12);
});

test('a ventricle that is not predicted has no ejection fraction, and a volume of 0', () => {
  const { hearts, agreement } = evaluateHearts({ cases, labels }, frames, acdcLabels);
  expect(hearts[2].predicted).toMatchObject({ rightEjectionFraction: null, rightEdv: 0 });
  // Of two hearts there is no correlation.
  expect(agreement.rightEjectionFraction).toMatchObject({ hearts: 2, correlation: null });
  expect(agreement.rightEdv).toMatchObject({ hearts: 3, correlation: null });
});

test('a label that was not scored is named', () => {
  expect(() => evaluateHearts({ cases, labels }, frames, { ...acdcLabels, leftVentricle: 4 })).toThrow(
    'The left ventricle (4) is not among the labels that are scored',
  );
});
