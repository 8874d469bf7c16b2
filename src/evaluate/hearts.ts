/**
 * How well predicted masks say how hearts pump: ejection fractions, volumes and mass of each heart from its pair of frames, by
 * prediction and by reference, and how the two agree.
 */
import { InputError } from '../errors.ts';
import { functionOf, type HeartFunction, type HeartLabels, type HeartVolumes } from './clinical.ts';
import type { EvaluatedCase, Evaluation } from './evaluation.ts';
import { mean, standardDeviation } from './statistics.ts';

/** What is compared, in the order in which it is shown. */
export const heartMeasures = {
  leftEjectionFraction: {
    title: 'LV ejection fraction',
    unit: '%',
    of: (f) => f.leftVentricle.ejectionFractionPercent,
  },
  rightEjectionFraction: {
    title: 'RV ejection fraction',
    unit: '%',
    of: (f) => f.rightVentricle.ejectionFractionPercent,
  },
  leftEdv: { title: 'LV at ED', unit: 'mL', of: (f) => f.leftVentricle.edvMl },
  leftEsv: { title: 'LV at ES', unit: 'mL', of: (f) => f.leftVentricle.esvMl },
  rightEdv: { title: 'RV at ED', unit: 'mL', of: (f) => f.rightVentricle.edvMl },
  rightEsv: { title: 'RV at ES', unit: 'mL', of: (f) => f.rightVentricle.esvMl },
  myocardialMass: { title: 'Myocardial mass', unit: 'g', of: (f) => f.myocardialMassG },
} as const satisfies Record<string, { title: string; unit: string; of: (heart: HeartFunction) => number }>;
export type HeartMeasure = keyof typeof heartMeasures;
export const heartMeasureNames = Object.keys(heartMeasures) as readonly HeartMeasure[];

/** Values by reference and prediction; null where a ventricle is empty at the end of diastole, which has no fraction. */
type HeartValues = Readonly<Record<HeartMeasure, number | null>>;

export interface EvaluatedHeart {
  readonly patient: string;
  readonly endDiastole: string;
  readonly endSystole: string;
  readonly reference: HeartValues;
  readonly predicted: HeartValues;
}

/** Of prediction - reference, in the unit of the measure. Null where too few hearts have both values. */
export interface Agreement {
  readonly hearts: number;
  readonly meanReference: number | null;
  readonly meanPredicted: number | null;
  readonly bias: number | null;
  readonly meanAbsolute: number | null;
  /** Bias -+ 1.96 standard deviations of the sample: between them lie 95 % of the errors, were these normal. */
  readonly low: number | null;
  readonly high: number | null;
  /** Pearson's. */
  readonly correlation: number | null;
}

/** Plain JSON. */
export interface HeartEvaluation {
  readonly hearts: readonly EvaluatedHeart[];
  readonly agreement: Readonly<Record<HeartMeasure, Agreement>>;
}

/**
 * @param frames of hearts, by the names of their cases
 * @throws InputError when a label of the heart was not scored
 */
export function evaluateHearts(
  { cases, labels }: Pick<Evaluation, 'cases' | 'labels'>,
  frames: readonly { readonly patient: string; readonly endDiastole: string; readonly endSystole: string }[],
  heart: HeartLabels,
): HeartEvaluation {
  const indexOf = (value: number, title: string) => {
    const index = labels.findIndex(({ values }) => values.length === 1 && values[0] === value);
    if (index >= 0) return index;
    throw new InputError(
      `The ${title} (${value}) is not among the labels that are scored; name it with --labels, or say which values the heart has with --heart-labels.`,
    );
  };
  const [left, right, muscle] = [
    indexOf(heart.leftVentricle, 'left ventricle'),
    indexOf(heart.rightVentricle, 'right ventricle'),
    indexOf(heart.myocardium, 'myocardium'),
  ];
  const byName = new Map(cases.map((each) => [each.name, each]));
  const volumes = ({ labels: scores }: EvaluatedCase, of: 'referenceMl' | 'predictedMl'): HeartVolumes => ({
    leftVentricleMl: scores[left][of],
    rightVentricleMl: scores[right][of],
    myocardiumMl: scores[muscle][of],
  });
  const hearts = frames.map(({ patient, endDiastole, endSystole }): EvaluatedHeart => {
    const [ed, es] = [byName.get(endDiastole)!, byName.get(endSystole)!];
    const values = (of: 'referenceMl' | 'predictedMl') => {
      const found = functionOf(volumes(ed, of), volumes(es, of));
      return Object.fromEntries(
        heartMeasureNames.map((name) => [name, orNull(heartMeasures[name].of(found))]),
      ) as HeartValues;
    };
    return {
      patient,
      endDiastole,
      endSystole,
      reference: values('referenceMl'),
      predicted: values('predictedMl'),
    };
  });
  const agreement = Object.fromEntries(heartMeasureNames.map((name) => [name, agreementOf(hearts, name)])) as Record<
    HeartMeasure,
    Agreement
  >;
  return { hearts, agreement };
}

const orNull = (value: number): number | null => (Number.isFinite(value) ? value : null);

/**
 * Bland and Altman, "Statistical methods for assessing agreement between two methods of clinical measurement", Lancet 327,
 * 1986.
 */
function agreementOf(hearts: readonly EvaluatedHeart[], name: HeartMeasure): Agreement {
  const pairs = hearts.flatMap(({ reference, predicted }) => {
    const [truth, found] = [reference[name], predicted[name]];
    return truth === null || found === null ? [] : [[truth, found] as const];
  });
  const [truths, founds] = [pairs.map(([truth]) => truth), pairs.map(([, found]) => found)];
  const errors = pairs.map(([truth, found]) => found - truth);
  const [bias, deviation] = [mean(errors), standardDeviation(errors)];
  return {
    hearts: pairs.length,
    meanReference: orNull(mean(truths)),
    meanPredicted: orNull(mean(founds)),
    bias: orNull(bias),
    meanAbsolute: orNull(mean(errors.map(Math.abs))),
    low: orNull(bias - 1.96 * deviation),
    high: orNull(bias + 1.96 * deviation),
    correlation: orNull(correlation(truths, founds)),
  };
}

/** Pearson's; NaN of fewer than three pairs (two always lie on a line), or where one side does not vary. */
function correlation(first: readonly number[], second: readonly number[]): number {
  if (first.length < 3) return Number.NaN;
  const [a, b] = [mean(first), mean(second)];
  const sum = (of: (i: number) => number) => first.reduce((all, _, i) => all + of(i), 0);
  const together = sum((i) => (first[i] - a) * (second[i] - b));
  return together / Math.sqrt(sum((i) => (first[i] - a) ** 2) * sum((i) => (second[i] - b) ** 2));
}

/** A line of a table of hearts: numbers with one digit, errors with their sign; `-` for what has no value. */
export interface HeartRow {
  readonly title: string;
  readonly unit: string;
  readonly reference: string;
  readonly predicted: string;
  readonly bias: string;
  /** Limits of agreement; undefined of fewer than two hearts. */
  readonly limits: readonly [low: string, high: string] | undefined;
  readonly meanAbsolute: string;
  readonly correlation: string;
  readonly hearts: number;
}

export function heartRows({ agreement }: HeartEvaluation): HeartRow[] {
  const signed = (value: number | null) => `${value !== null && value > 0 ? '+' : ''}${heartNumber(value)}`;
  return heartMeasureNames.map((name) => {
    const { title, unit } = heartMeasures[name];
    const { meanReference, meanPredicted, bias, low, high, meanAbsolute, correlation: r, hearts } = agreement[name];
    return {
      title,
      unit,
      reference: heartNumber(meanReference),
      predicted: heartNumber(meanPredicted),
      bias: signed(bias),
      limits: low === null ? undefined : [signed(low), signed(high)],
      meanAbsolute: heartNumber(meanAbsolute),
      correlation: r === null ? '-' : r.toFixed(3),
      hearts,
    };
  });
}

export const heartNumber = (value: number | null): string => (value === null ? '-' : value.toFixed(1));
