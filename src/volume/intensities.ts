/**
 * Intensities: nnU-Net's normalization schemes in the form of either version, the two MONAI transforms that UNETR++'s
 * article names, and the statistics of a foreground. Arrays in, arrays of the same type out; sums in float64.
 *
 * Definitions: nnU-Net v1 `preprocessing.py` and v2 `default_normalization_schemes.py`, MONAI `NormalizeIntensity` and
 * `ScaleIntensityRange`. The standard deviation is the population's (divided by n) everywhere.
 */
import { InputError } from '../errors.ts';
import { emptyLike, type FloatData, rangeOf, type VoxelData } from './volume.ts';

/**
 * `ct`: clipped to the percentiles of the training foreground, then its mean and deviation. `ct2` (v1 only): clipped
 * the same, then mean and deviation of the case's own voxels strictly between the bounds. `zScore`: the case's own mean
 * and deviation. `rescale01`, `rgb` (v2 only): by the case's minimum and maximum; divided by 255.
 */
export type Normalization = 'ct' | 'ct2' | 'zScore' | 'rescale01' | 'rgb' | 'none';

/** Of the training set's foreground, in the image's own unit (HU for CT). */
export interface ForegroundIntensities {
  readonly mean: number;
  readonly std: number;
  readonly percentile005: number;
  readonly percentile995: number;
}

export interface NormalizationOptions {
  /** The versions guard divisions in different ways and treat what lies outside of the mask differently. */
  convention: 'nnunet-v1' | 'nnunet-v2';
  /** Needed by `ct` and `ct2`. */
  intensities?: ForegroundIntensities;
  /**
   * 1 inside, 0 outside: the z-score comes from the inside and changes only that. The outside becomes 0 in v1 (with
   * every CT scheme too) and is left untouched in v2 (where no other scheme takes a mask).
   */
  inside?: Uint8Array;
}

const epsilon = 1e-8;

/**
 * One channel, normalized.
 * @throws RangeError when the scheme lacks what it needs, or the convention has no such scheme or no mask for it
 */
export function normalize<T extends FloatData>(data: T, scheme: Normalization, options: NormalizationOptions): T {
  const { convention, inside } = options;
  const v1 = convention === 'nnunet-v1';
  if (inside && inside.length !== data.length) {
    throw new RangeError(`a mask of ${inside.length} voxels is none of ${data.length}`);
  }
  if (inside && !(scheme === 'zScore' || (v1 && (scheme === 'ct' || scheme === 'ct2')))) {
    throw new RangeError(`${convention} takes no mask for the scheme ${scheme}`);
  }
  switch (scheme) {
    case 'ct': {
      const { mean, std, percentile005: low, percentile995: high } = foregroundOf(options, scheme);
      return outsideZero(standardized(data, mean, v1 ? std : Math.max(std, epsilon), low, high), inside);
    }
    case 'ct2': {
      if (!v1) throw new RangeError('nnunet-v2 has no scheme ct2');
      const { percentile005: low, percentile995: high } = foregroundOf(options, scheme);
      const { mean, std } = momentsOf(data, (value) => value > low && value < high);
      return outsideZero(standardized(data, mean, std, low, high), inside);
    }
    case 'zScore': {
      const { mean, std } = momentsOf(data, inside && ((_, voxel) => inside[voxel] !== 0));
      const divisor = v1 ? std + epsilon : Math.max(std, epsilon);
      if (!inside) return standardized(data, mean, divisor);
      const out = data.slice() as T;
      for (let i = 0; i < out.length; i++) {
        if (inside[i]) out[i] = (out[i] - mean) / divisor;
        else if (v1) out[i] = 0;
      }
      return out;
    }
    case 'rescale01': {
      if (v1) throw new RangeError('nnunet-v1 has no scheme rescale01');
      const [low, high] = rangeOf(data);
      return standardized(data, low, Math.max(high - low, epsilon));
    }
    case 'rgb':
      if (v1) throw new RangeError('nnunet-v1 has no scheme rgb');
      return standardized(data, 0, 255);
    case 'none':
      return data;
  }
}

export interface NormalizeIntensityOptions {
  /** Statistics from, and changes to, values other than 0 alone. */
  nonzero?: boolean;
  /** Every channel by itself; otherwise all of them together. */
  channelWise?: boolean;
  /** Instead of the mean; one for each channel with `channelWise`. */
  subtrahend?: number | readonly number[];
  /** Instead of the standard deviation; one for each channel with `channelWise`. */
  divisor?: number | readonly number[];
}

/**
 * MONAI's NormalizeIntensity: (x - mean) / std. A divisor of 0 counts as 1; a channel of zeros with `nonzero` stays.
 * @param channels how many the data hold, outermost
 * @throws InputError when there is not one number for each part that is normalized by itself
 */
export function normalizeIntensity<T extends FloatData>(
  data: T,
  channels: number,
  options: NormalizeIntensityOptions = {},
): T {
  const { nonzero = false, channelWise = false, subtrahend, divisor } = options;
  const parts = channelWise ? channels : 1;
  const given = (name: string, value: number | readonly number[] | undefined) => {
    const values = value === undefined ? undefined : typeof value === 'number' ? new Array(parts).fill(value) : value;
    if (values && values.length !== parts) {
      throw new InputError(
        `${name} has ${values.length} numbers; give ${parts}, one for each part that is normalized.`,
      );
    }
    return values;
  };
  const subtrahends = given('subtrahend', subtrahend);
  const divisors = given('divisor', divisor);
  const out = data.slice() as T;
  const length = data.length / parts;
  for (let part = 0; part < parts; part++) {
    const values = out.subarray(part * length, (part + 1) * length);
    const counted = nonzero ? (value: number) => value !== 0 : undefined;
    const { mean, std, count } = momentsOf(values, counted);
    if (count === 0) continue;
    const a = subtrahends?.[part] ?? mean;
    const b = (divisors?.[part] ?? std) || 1;
    for (let i = 0; i < values.length; i++) if (!nonzero || values[i] !== 0) values[i] = (values[i] - a) / b;
  }
  return out;
}

/** Both or neither of `bMin` and `bMax`; with `clip` both. */
export interface IntensityRange {
  aMin: number;
  aMax: number;
  bMin?: number;
  bMax?: number;
  clip?: boolean;
}

/**
 * MONAI's ScaleIntensityRange: [aMin, aMax] to [bMin, bMax], or to [0, 1] when these are left out; then, with `clip`,
 * clipped to [bMin, bMax].
 * @throws InputError when the range is empty or half given
 */
export function scaleIntensityRange<T extends FloatData>(data: T, range: IntensityRange): T {
  const { aMin, aMax, bMin, bMax, clip = false } = range;
  if (aMin === aMax) throw new InputError(`The intensity range from ${aMin} to ${aMax} is empty; give two numbers.`);
  if ((bMin === undefined) !== (bMax === undefined) || (clip && bMin === undefined)) {
    throw new InputError('The new intensity range needs both ends, bMin and bMax, to be scaled or clipped to.');
  }
  const low = bMin ?? 0;
  const high = bMax ?? 1;
  const out = emptyLike(data, data.length);
  for (let i = 0; i < data.length; i++) {
    const value = ((data[i] - aMin) / (aMax - aMin)) * (high - low) + low;
    out[i] = clip ? Math.min(high, Math.max(low, value)) : value;
  }
  return out;
}

/** What a fingerprint says of a foreground. */
export interface IntensityStatistics extends ForegroundIntensities {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/**
 * Mean, population deviation, extremes and the percentiles 0.5, 50 and 99.5.
 * @throws RangeError when there are no values
 */
export function intensityStatistics(values: ArrayLike<number>): IntensityStatistics {
  if (values.length === 0) throw new RangeError('no values have no statistics');
  const sorted = Float64Array.from(values).sort();
  const { mean, std } = momentsOf(Float64Array.from(values));
  return {
    mean,
    std,
    median: percentile(sorted, 50),
    min: sorted[0],
    max: sorted[sorted.length - 1],
    percentile005: percentile(sorted, 0.5),
    percentile995: percentile(sorted, 99.5),
  };
}

/** Of sorted values, by linear interpolation at rank p/100 (n - 1). */
export function percentile(sorted: ArrayLike<number>, p: number): number {
  const rank = (p / 100) * (sorted.length - 1);
  const low = Math.floor(rank);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (rank - low) * (sorted[high] - sorted[low]);
}

function foregroundOf({ intensities }: NormalizationOptions, scheme: string): ForegroundIntensities {
  if (!intensities) throw new RangeError(`the scheme ${scheme} needs the intensities of the training foreground`);
  return intensities;
}

/** Mean and deviation of the values that count (all of them unless said), in two sweeps; 0 when there are none. */
function momentsOf(
  data: VoxelData,
  counted?: (value: number, voxel: number) => boolean,
): { mean: number; std: number; count: number } {
  let count = 0;
  let sum = 0;
  for (let i = 0; i < data.length; i++) {
    if (counted && !counted(data[i], i)) continue;
    count++;
    sum += data[i];
  }
  if (count === 0) return { mean: 0, std: 0, count };
  const mean = sum / count;
  let squares = 0;
  for (let i = 0; i < data.length; i++) {
    if (counted && !counted(data[i], i)) continue;
    squares += (data[i] - mean) * (data[i] - mean);
  }
  return { mean, std: Math.sqrt(squares / count), count };
}

/** (x - mean) / divisor, of x clipped to [low, high]. */
function standardized<T extends FloatData>(
  data: T,
  mean: number,
  divisor: number,
  low = -Infinity,
  high = Infinity,
): T {
  const out = emptyLike(data, data.length);
  for (let i = 0; i < data.length; i++) out[i] = (Math.min(high, Math.max(low, data[i])) - mean) / divisor;
  return out;
}

/** 0 outside of the mask, in place. */
function outsideZero<T extends FloatData>(data: T, inside: Uint8Array | undefined): T {
  if (inside) for (let i = 0; i < data.length; i++) if (!inside[i]) data[i] = 0;
  return data;
}
