/**
 * How well two label maps of one grid agree, label by label or region by region: counts of voxels, and the scores that
 * are made of them. Means over cases are for evaluation.ts, distances between surfaces for surface.ts.
 *
 * Definitions: nnU-Net v2, `evaluate_predictions.py`; Dice, "Measures of the amount of ecologic association between
 * species", Ecology 26, 1945.
 */
import { InputError } from '../errors.ts';
import { sameShape, showShape } from '../tensor.ts';
import { type Geometry, onOneGrid, type Volume, voxelVolumeMl } from '../volume/volume.ts';

/** Voxels of one label or region. */
export interface Overlap {
  /** In both. */
  readonly truePositives: number;
  /** In the prediction alone. */
  readonly falsePositives: number;
  /** In the reference alone. */
  readonly falseNegatives: number;
  /** In neither. */
  readonly trueNegatives: number;
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
  const values = [...labels];
  const counted = regionOverlaps(
    reference,
    prediction,
    values.map((value) => [value]),
    ignored,
  );
  return new Map(values.map((value, index) => [value, counted[index]]));
}

/**
 * The same of regions, which may overlap: a voxel is in one when its value is one of the region's.
 * @throws InputError when the two do not lie on one grid
 */
export function regionOverlaps(
  reference: Volume,
  prediction: Volume,
  regions: readonly (readonly number[])[],
  ignored?: number,
): Overlap[] {
  requireOneGrid(reference, prediction);
  const values = [...new Set(regions.flat())];
  /** How often each pair of values occurs; what is in no region counts as one more value, the last. */
  const size = values.length + 1;
  const pairs = new Float64Array(size * size);
  const places = new Map(values.map((value, place) => [value, place]));
  const placeOf = (value: number) => places.get(value) ?? values.length;
  const [ours, theirs] = [reference.data, prediction.data];
  for (let start = 0; start < ours.length; ) {
    // Runs of equal pairs: most of a label map.
    const [our, their] = [ours[start], theirs[start]];
    let end = start + 1;
    while (end < ours.length && ours[end] === our && theirs[end] === their) end++;
    if (our !== ignored) pairs[placeOf(our) * size + placeOf(their)] += end - start;
    start = end;
  }
  const all = pairs.reduce((sum, count) => sum + count, 0);
  return regions.map((region) => {
    const members = new Set(region.map(placeOf));
    let [truePositives, falsePositives, falseNegatives] = [0, 0, 0];
    for (let our = 0; our < size; our++) {
      for (let their = 0; their < size; their++) {
        const count = pairs[our * size + their];
        if (members.has(our) && members.has(their)) truePositives += count;
        else if (members.has(their)) falsePositives += count;
        else if (members.has(our)) falseNegatives += count;
      }
    }
    return {
      truePositives,
      falsePositives,
      falseNegatives,
      trueNegatives: all - truePositives - falsePositives - falseNegatives,
      reference: truePositives + falseNegatives,
      predicted: truePositives + falsePositives,
    };
  });
}

function requireOneGrid(reference: Volume, prediction: Volume): void {
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

/** TP / (TP + FP + FN), Jaccard's index; NaN where neither has the label. */
export function iou({ truePositives, falsePositives, falseNegatives }: Overlap): number {
  return truePositives / (truePositives + falsePositives + falseNegatives);
}

/** TP / (TP + FN), also called recall; NaN where the reference does not have the label. */
export function sensitivity({ truePositives, reference }: Overlap): number {
  return truePositives / reference;
}

/** TP / (TP + FP), the positive predictive value; NaN where the prediction does not have the label. */
export function precision({ truePositives, predicted }: Overlap): number {
  return truePositives / predicted;
}

/** TN / (TN + FP); NaN where the reference is the label everywhere. Close to 1 whenever a label is small. */
export function specificity({ trueNegatives, falsePositives }: Overlap): number {
  return trueNegatives / (trueNegatives + falsePositives);
}

export interface VolumeDifference {
  readonly referenceMl: number;
  readonly predictedMl: number;
  /** Prediction - reference, in mL. */
  readonly differenceMl: number;
  /** The difference as a share of the reference; NaN where the reference does not have the label. */
  readonly relative: number;
}

export function volumeDifference({ reference, predicted }: Overlap, grid: Geometry): VolumeDifference {
  const each = voxelVolumeMl(grid);
  const relative = reference === 0 ? Number.NaN : (predicted - reference) / reference;
  return {
    referenceMl: reference * each,
    predictedMl: predicted * each,
    differenceMl: (predicted - reference) * each,
    relative,
  };
}
