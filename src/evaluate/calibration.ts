/**
 * Whether probabilities mean what they say: of all voxels to which a network gives 0.7 of being liver, seven in ten should be
 * liver. Reliability diagrams and the expected calibration error; a case at a time goes into counts, which are small.
 *
 * Counted is the box around reference and prediction with a margin: beyond it lies certainty, and much of it, which would
 * make any network look calibrated.
 */
import { InputError } from '../errors.ts';
import { sameShape, showShape } from '../tensor.ts';
import { type Volume, voxelCount } from '../volume/volume.ts';
import type { EvaluatedLabel } from './evaluation.ts';

/** Equal parts of 0 to 1. */
const bins = 10;
/** Around the box of reference and prediction. */
const marginMm = 10;

/** Sums over the voxels of each bin. */
interface Sums {
  readonly voxels: Float64Array;
  readonly probability: Float64Array;
  readonly hits: Float64Array;
}

export interface CalibrationCounts {
  readonly labels: readonly EvaluatedLabel[];
  readonly ignoreLabel: number | undefined;
  /** Of each channel the values that it is the probability of, where channels are regions; else channel c is of c alone. */
  readonly regions: readonly (readonly number[])[] | undefined;
  readonly byLabel: readonly Sums[];
  /** Of the class that is chosen: its probability, and whether it is the reference's; empty of regions. */
  readonly chosen: Sums;
  cases: number;
}

export interface CalibrationBin {
  readonly voxels: number;
  /** Mean over its voxels, and which part of them has the label; null of none. */
  readonly probability: number | null;
  readonly frequency: number | null;
}

export interface Reliability {
  readonly voxels: number;
  /** Expected calibration error: the distance of probability and frequency, a bin counting by its voxels; null of none. */
  readonly expectedError: number | null;
  /** Average calibration error: the same with every bin counting once, if it has voxels. */
  readonly averageError: number | null;
  readonly bins: readonly CalibrationBin[];
}

/** Plain JSON. */
export interface Calibration {
  readonly cases: number;
  readonly marginMm: number;
  /** Each label against all else. */
  readonly labels: readonly ({ readonly name: string } & Reliability)[];
  /** Of the class with the largest probability, background included; null of regions, none of which excludes another. */
  readonly chosen: Reliability | null;
}

const emptySums = (): Sums => ({
  voxels: new Float64Array(bins),
  probability: new Float64Array(bins),
  hits: new Float64Array(bins),
});

/**
 * @param ignoreLabel voxels of the reference with this value count nowhere
 * @param regions the values of each channel, where channels are regions
 */
export function calibrationCounts(
  labels: readonly EvaluatedLabel[],
  ignoreLabel?: number,
  regions?: readonly (readonly number[])[],
): CalibrationCounts {
  return { labels, ignoreLabel, regions, byLabel: labels.map(emptySums), chosen: emptySums(), cases: 0 };
}

/**
 * Adds a case.
 * @param probabilities on the reference's grid; channel c is the probability of the value c, all of them together 1; or of a
 *   region, each by itself
 * @throws InputError when grids differ, a label has no channel, or a number is no probability
 */
export function countCase(counts: CalibrationCounts, reference: Volume, probabilities: Volume): void {
  const { labels, ignoreLabel, regions, byLabel, chosen } = counts;
  if (!sameShape(reference.shape, probabilities.shape)) {
    throw new InputError(
      `the probabilities have ${showShape(probabilities.shape)} voxels (z, y, x) and the reference ${showShape(reference.shape)}`,
    );
  }
  const { channels, data } = probabilities;
  if (regions && channels !== regions.length) {
    throw new InputError(`the probabilities have ${channels} channels, and there are ${regions.length} regions`);
  }
  const channelsOf = labels.map(({ name, values }): readonly number[] => {
    const own = regions
      ? [
          regions.findIndex(
            (region) => region.length === values.length && values.every((each) => region.includes(each)),
          ),
        ]
      : values;
    if (own.every((channel) => channel >= 0 && channel < channels)) return own;
    const there = regions ? `${channels} regions` : `${channels} channels, for the values 0 to ${channels - 1}`;
    throw new InputError(`the probabilities have ${there}, and none for ${name} (${values.join(', ')})`);
  });
  const count = voxelCount(reference);
  const best = regions ? anyRegion(probabilities) : largestChannel(probabilities);
  forBox(reference, best, (voxel) => {
    const value = reference.data[voxel];
    if (value === ignoreLabel) return;
    if (!regions) add(chosen, data[best[voxel] * count + voxel], value === best[voxel]);
    labels.forEach(({ values }, index) => {
      let probability = 0;
      for (const each of channelsOf[index]) probability += data[each * count + voxel];
      add(byLabel[index], probability, values.includes(value));
    });
  });
  counts.cases++;
}

/** Rounding may leave a little above 1. @throws InputError */
function checkProbability(value: number, voxel: number): void {
  if (!(value >= 0 && value <= 1.001)) throw new InputError(`${value} at voxel ${voxel} is no probability`);
}

/** 1 where some region is more probable than not. */
function anyRegion({ data, shape }: Volume): Uint16Array {
  const count = shape[0] * shape[1] * shape[2];
  const any = new Uint16Array(count);
  for (let i = 0; i < data.length; i++) {
    checkProbability(data[i], i % count);
    if (data[i] > 0.5) any[i % count] = 1;
  }
  return any;
}

function largestChannel({ data, shape, channels }: Volume): Uint16Array {
  const count = shape[0] * shape[1] * shape[2];
  const best = new Uint16Array(count);
  for (let channel = 0; channel < channels; channel++) {
    for (let voxel = 0; voxel < count; voxel++) {
      const value = data[channel * count + voxel];
      checkProbability(value, voxel);
      if (value > data[best[voxel] * count + voxel]) best[voxel] = channel;
    }
  }
  return best;
}

/** Every voxel of the box around what is not background in either, grown by the margin; none where all is background. */
function forBox({ data, shape, spacing }: Volume, best: Uint16Array, visit: (voxel: number) => void): void {
  const [nz, ny, nx] = shape;
  const low = [nz, ny, nx];
  const high = [-1, -1, -1];
  for (let z = 0, voxel = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++, voxel++) {
        if (data[voxel] === 0 && best[voxel] === 0) continue;
        for (const [axis, index] of [z, y, x].entries()) {
          if (index < low[axis]) low[axis] = index;
          if (index > high[axis]) high[axis] = index;
        }
      }
    }
  }
  if (high[0] < 0) return;
  const margin = [2, 1, 0].map((axis) => Math.ceil(marginMm / spacing[axis]));
  const from = low.map((index, axis) => Math.max(0, index - margin[axis]));
  const to = high.map((index, axis) => Math.min(shape[axis] - 1, index + margin[axis]));
  for (let z = from[0]; z <= to[0]; z++) {
    for (let y = from[1]; y <= to[1]; y++) {
      for (let x = from[2]; x <= to[2]; x++) visit((z * ny + y) * nx + x);
    }
  }
}

function add({ voxels, probability, hits }: Sums, value: number, hit: boolean): void {
  const bin = Math.min(bins - 1, Math.floor(value * bins));
  voxels[bin]++;
  probability[bin] += value;
  if (hit) hits[bin]++;
}

/**
 * What the counts say. The expected error is that of Naeini et al., "Obtaining well calibrated probabilities using Bayesian
 * binning", AAAI 2015: sum over bins of n_b / n |frequency_b - probability_b|.
 */
export function calibrationOf({ labels, regions, byLabel, chosen, cases }: CalibrationCounts): Calibration {
  return {
    cases,
    marginMm,
    labels: labels.map(({ name }, index) => ({ name, ...reliability(byLabel[index]) })),
    chosen: regions ? null : reliability(chosen),
  };
}

function reliability({ voxels, probability, hits }: Sums): Reliability {
  const all = voxels.reduce((sum, each) => sum + each, 0);
  const each = Array.from(voxels, (count, bin): CalibrationBin => {
    if (count === 0) return { voxels: 0, probability: null, frequency: null };
    return { voxels: count, probability: probability[bin] / count, frequency: hits[bin] / count };
  });
  if (all === 0) return { voxels: all, expectedError: null, averageError: null, bins: each };
  const errors = Array.from(voxels, (count, bin) => (count === 0 ? 0 : Math.abs(hits[bin] - probability[bin]) / count));
  return {
    voxels: all,
    expectedError: errors.reduce((sum, error, bin) => sum + error * voxels[bin], 0) / all,
    averageError: errors.reduce((sum, error) => sum + error, 0) / voxels.filter((count) => count > 0).length,
    bins: each,
  };
}
