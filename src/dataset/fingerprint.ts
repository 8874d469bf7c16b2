/**
 * The fingerprint of a data set: what nnU-Net v2 measures before it plans. Of each case the size and spacing of the part that
 * is not zero, and its orientation; of all cases together the statistics of the foreground's intensities. Here one case is
 * measured, and the measurements are joined; reading is for fingerprint.node.ts, what follows from it for the planners.
 *
 * Source: nnU-Net 2, `fingerprint_extractor`, with its seed and its way to draw voxels.
 */
import { cropToNonZero } from '../volume/cropping.ts';
import type { IntensityStatistics } from '../volume/intensities.ts';
import { orientationOf } from '../volume/orientation.ts';
import { type Vector3, type Volume, voxelCount } from '../volume/volume.ts';
import { legacyInteger, mersenneTwister } from './mersenneTwister.ts';

export interface CaseFingerprint {
  readonly name: string;
  /** Voxels along z, y, x of the part that is not zero. */
  readonly shape: Vector3;
  /** mm along z, y, x. */
  readonly spacing: Vector3;
  /** Voxels of that part over those of the scan. */
  readonly relativeSize: number;
  /** Axis code, such as LPS, of the axes x, y, z. */
  readonly orientation: string;
  /** Voxels along z, y, x of the box around all labels above 0; null where there are none. */
  readonly foregroundShape: Vector3 | null;
  /** Mean place of each label above 0, in voxels of the cropped part along z, y, x. */
  readonly labelCenters: Readonly<Record<string, Vector3>>;
}

export interface Fingerprint {
  readonly format: 'unetrpp-fingerprint';
  readonly version: 1;
  readonly dataset: { readonly name: string; readonly sha256: string };
  readonly cases: readonly CaseFingerprint[];
  readonly medianRelativeSize: number;
  /** Of each channel, over the foreground of all cases; null where no case has any. */
  readonly foreground: readonly (IntensityStatistics | null)[];
}

/** Values of a channel and how often each was drawn. */
export type DrawnValues = ReadonlyMap<number, number>;

export interface MeasuredCase {
  readonly fingerprint: CaseFingerprint;
  /** Of each channel. */
  readonly drawn: readonly DrawnValues[];
}

/** Voxels that are drawn of a channel, of all cases together. */
export const nnunetSamples = 1e8;
const seed = 1234;

/**
 * Measures a case.
 * @param samples voxels to draw in it: nnU-Net divides `nnunetSamples` by the number of cases
 * @param ignored label of voxels that nothing is learned from; they are no foreground here, while nnU-Net counts them
 * @throws InputError when the labels have another shape than the image
 */
export function measureCase(
  name: string,
  image: Volume,
  labels: Volume,
  samples: number,
  ignored?: number,
): MeasuredCase {
  const { image: cropped, labels: map } = cropToNonZero(image, labels);
  const voxels = voxelCount(cropped);
  const inside = foregroundOf(map.data, ignored);
  return {
    fingerprint: {
      name,
      shape: cropped.shape,
      spacing: [image.spacing[2], image.spacing[1], image.spacing[0]],
      relativeSize: voxels / voxelCount(image),
      orientation: orientationOf(image),
      ...placesOf(inside, map.data, cropped.shape),
    },
    drawn: drawForeground(inside, cropped.data, voxels, samples),
  };
}

/** Flat indices of labels above 0, in C order, without the ignored one. */
function foregroundOf(labels: ArrayLike<number>, ignored: number | undefined): Uint32Array {
  let count = 0;
  for (let i = 0; i < labels.length; i++) if (labels[i] > 0 && labels[i] !== ignored) count++;
  const out = new Uint32Array(count);
  for (let i = 0, at = 0; i < labels.length; i++) if (labels[i] > 0 && labels[i] !== ignored) out[at++] = i;
  return out;
}

function placesOf(
  foreground: Uint32Array,
  labels: ArrayLike<number>,
  [, height, width]: Vector3,
): Pick<CaseFingerprint, 'foregroundShape' | 'labelCenters'> {
  const [low, high] = [
    [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
    [-1, -1, -1],
  ];
  const sums = new Map<number, number[]>();
  for (const voxel of foreground) {
    const x = voxel % width;
    const row = (voxel - x) / width;
    const y = row % height;
    const at = [(row - y) / height, y, x];
    const sum = sums.get(labels[voxel]) ?? [0, 0, 0, 0];
    sums.set(labels[voxel], sum);
    sum[3]++;
    for (let axis = 0; axis < 3; axis++) {
      if (at[axis] < low[axis]) low[axis] = at[axis];
      if (at[axis] > high[axis]) high[axis] = at[axis];
      sum[axis] += at[axis];
    }
  }
  return {
    foregroundShape:
      foreground.length === 0 ? null : [high[0] - low[0] + 1, high[1] - low[1] + 1, high[2] - low[2] + 1],
    labelCenters: Object.fromEntries(
      [...sums].map(([label, [z, y, x, count]]) => [label, [z / count, y / count, x / count] as const]),
    ),
  };
}

/**
 * Draws voxels of the foreground with replacement, as `RandomState(1234).choice` of each channel's foreground in turn: one
 * generator for all channels of a case.
 * @param data [channels, voxels]
 */
export function drawForeground(
  foreground: Uint32Array,
  data: ArrayLike<number>,
  voxels: number,
  samples: number,
): DrawnValues[] {
  const channels = data.length / voxels;
  const next = mersenneTwister(seed);
  return Array.from({ length: channels }, (_, channel) => {
    const drawn = new Map<number, number>();
    if (foreground.length === 0 || samples === 0) return drawn;
    const counts = new Uint32Array(foreground.length);
    for (let i = 0; i < samples; i++) counts[legacyInteger(next, foreground.length - 1)]++;
    for (let i = 0; i < counts.length; i++) {
      if (counts[i] > 0) add(drawn, data[channel * voxels + foreground[i]], counts[i]);
    }
    return drawn;
  });
}

const add = (drawn: Map<number, number>, value: number, count: number) =>
  drawn.set(value, (drawn.get(value) ?? 0) + count);

/**
 * As many different values are remembered of a channel at most; more (images that are no whole numbers) are rounded to 16
 * binary digits, 1 part in 65,536, so that memory has a bound.
 */
const mostValues = 2 ** 20;

const scratch = new Float32Array(1);
const scratchBits = new Int32Array(scratch.buffer);

function coarse(value: number): number {
  scratch[0] = value;
  scratchBits[0] = (scratchBits[0] + 0x80) & ~0xff;
  return scratch[0];
}

/** Joins what is drawn in case after case. */
export class ForegroundPool {
  readonly #channels: { values: Map<number, number>; rounded: boolean }[];

  constructor(channels: number) {
    this.#channels = Array.from({ length: channels }, () => ({ values: new Map(), rounded: false }));
  }

  add(drawn: readonly DrawnValues[]): void {
    for (const [index, channel] of this.#channels.entries()) {
      for (const [value, count] of drawn[index]) {
        add(channel.values, channel.rounded ? coarse(value) : value, count);
        if (channel.values.size <= mostValues || channel.rounded) continue;
        const all = channel.values;
        channel.values = new Map();
        channel.rounded = true;
        for (const [each, times] of all) add(channel.values, coarse(each), times);
      }
    }
  }

  statistics(): (IntensityStatistics | null)[] {
    return this.#channels.map(({ values }) => statisticsOf(values));
  }
}

/** As `intensityStatistics` of the list in which each value stands as often as it was drawn; null for an empty one. */
export function statisticsOf(drawn: DrawnValues): IntensityStatistics | null {
  if (drawn.size === 0) return null;
  const values = Float64Array.from(drawn.keys()).sort();
  /** Values up to and with each one. */
  const upTo = new Float64Array(values.length);
  let [count, sum] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    const times = drawn.get(values[i])!;
    count += times;
    sum += times * values[i];
    upTo[i] = count;
  }
  const mean = sum / count;
  let squares = 0;
  for (const [value, times] of drawn) squares += times * (value - mean) ** 2;
  const at = (rank: number) => {
    let [low, high] = [0, values.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (upTo[middle] > rank) high = middle;
      else low = middle + 1;
    }
    return values[low];
  };
  const percentileOf = (p: number) => {
    const rank = (p / 100) * (count - 1);
    const low = Math.floor(rank);
    return at(low) + (rank - low) * (at(Math.min(low + 1, count - 1)) - at(low));
  };
  return {
    mean,
    std: Math.sqrt(squares / count),
    median: percentileOf(50),
    min: values[0],
    max: values[values.length - 1],
    percentile005: percentileOf(0.5),
    percentile995: percentileOf(99.5),
  };
}
