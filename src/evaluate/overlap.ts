/**
 * How well two label maps of one grid agree, label by label: counts of voxels, and Dice from them. How cases and labels
 * are averaged is for the caller; distances between surfaces are something else.
 *
 * Definitions: nnU-Net v2, `evaluate_predictions.py`; Dice, "Measures of the amount of ecologic association between
 * species", Ecology 26, 1945.
 */
import { InputError } from '../errors.ts';
import { sameShape, showShape } from '../tensor.ts';
import { onOneGrid, type Volume } from '../volume/volume.ts';

/** Voxels of one label. */
export interface Overlap {
  /** In both. */
  readonly truePositives: number;
  /** In the prediction alone. */
  readonly falsePositives: number;
  /** In the reference alone. */
  readonly falseNegatives: number;
  /** In the reference. */
  readonly reference: number;
  /** In the prediction. */
  readonly predicted: number;
}

/**
 * Counts of the labels asked for, in that order, also of those that neither has.
 * @param ignored value of the reference that says "not judged": such voxels count nowhere
 * @throws InputError when the two do not lie on one grid
 */
export function overlaps(
  reference: Volume,
  prediction: Volume,
  labels: Iterable<number>,
  ignored?: number,
): Map<number, Overlap> {
  if (!sameShape(reference.shape, prediction.shape)) {
    throw new InputError(
      `the prediction has ${showShape(prediction.shape)} voxels (z, y, x) and the reference ${showShape(reference.shape)}; they can be compared on one grid only`,
    );
  }
  if (!onOneGrid(reference, prediction)) {
    throw new InputError(
      'the prediction lies elsewhere in the patient than the reference; they can be compared on one grid only',
    );
  }
  const counts = new Map([...labels].map((label) => [label, { both: 0, reference: 0, predicted: 0 }]));
  const [ours, theirs] = [reference.data, prediction.data];
  for (let i = 0; i < ours.length; i++) {
    if (ours[i] === ignored) continue;
    const expected = counts.get(ours[i]);
    const found = counts.get(theirs[i]);
    if (expected) expected.reference++;
    if (found) found.predicted++;
    if (found && found === expected) found.both++;
  }
  return new Map(
    [...counts].map(([label, { both, reference, predicted }]) => [
      label,
      {
        truePositives: both,
        falsePositives: predicted - both,
        falseNegatives: reference - both,
        reference,
        predicted,
      },
    ]),
  );
}

/**
 * What Dice is where neither has the label. `nan`, left out of means: nnU-Net v2. `one`, as a right answer: the UNETR++
 * authors' scripts. `zero`, as a wrong one: nnU-Net v1 without NaN. A table must say which it used.
 */
export type BothEmpty = 'nan' | 'one' | 'zero';

/** 2 TP / (2 TP + FP + FN): 0 where only one of the two has the label. */
export function dice({ truePositives, reference, predicted }: Overlap, bothEmpty: BothEmpty): number {
  if (reference + predicted === 0) return { nan: Number.NaN, one: 1, zero: 0 }[bothEmpty];
  return (2 * truePositives) / (reference + predicted);
}
