/**
 * Changes of intensity, each of one channel with its parameters given: brightness, contrast, gamma, and a lower
 * resolution on the same grid. How strong and how often is `augment.ts`'s to draw.
 *
 * Definitions: batchgenerators, `color_augmentations` and `resample_augmentations` (after release 0.21, whose gamma did
 * not keep the mean that it meant to keep).
 */
import { resize } from '../../volume/resampling.ts';
import { emptyLike, type FloatData, rangeOf, roundEven, type Vector3 } from '../../volume/volume.ts';

/** x * factor */
export function scaleBrightness<T extends FloatData>(channel: T, factor: number): T {
  const out = emptyLike(channel, channel.length);
  for (let i = 0; i < channel.length; i++) out[i] = channel[i] * factor;
  return out;
}

/** (x - mean) * factor + mean, clipped to the range that the channel had if `keepRange`. */
export function scaleContrast<T extends FloatData>(channel: T, factor: number, keepRange: boolean): T {
  const { mean } = moments(channel);
  const [low, high] = keepRange ? rangeOf(channel) : [-Infinity, Infinity];
  const out = emptyLike(channel, channel.length);
  for (let i = 0; i < channel.length; i++) {
    out[i] = Math.min(high, Math.max(low, (channel[i] - mean) * factor + mean));
  }
  return out;
}

export interface GammaOptions {
  /** The curve is applied to the negated image, which bends the bright end instead of the dark one. */
  readonly inverted: boolean;
  /** Mean and standard deviation stay what they were. */
  readonly keepStatistics: boolean;
}

/** Against division by zero, in images of one value. */
const rangeGuard = 1e-7;
const deviationGuard = 1e-8;

/** ((x - low) / range)^gamma * range + low, with the range of the channel. */
export function applyGamma<T extends FloatData>(
  channel: T,
  gamma: number,
  { inverted, keepStatistics }: GammaOptions,
): T {
  const [smallest, largest] = rangeOf(channel);
  const sign = inverted ? -1 : 1;
  const low = inverted ? -largest : smallest;
  const range = largest - smallest + rangeGuard;
  const out = emptyLike(channel, channel.length);
  for (let i = 0; i < channel.length; i++) {
    // x ** gamma, in half the time.
    out[i] = sign * (Math.exp(gamma * Math.log((sign * channel[i] - low) / range)) * range + low);
  }
  if (!keepStatistics) return out;
  // A sign changes neither deviation, and the means alike: the statistics can be those of what is not negated.
  const [before, after] = [moments(channel), moments(out)];
  const factor = before.deviation / (after.deviation + deviationGuard);
  for (let i = 0; i < out.length; i++) out[i] = (out[i] - after.mean) * factor + before.mean;
  return out;
}

export interface LowResolutionOptions {
  /** Interpolation on the way down and up again; nnU-Net's 0 and 3 when left out. */
  readonly down?: 0 | 1 | 3;
  readonly up?: 0 | 1 | 3;
  /** Axis 0 keeps its resolution: its slices are far apart already. */
  readonly inPlane?: boolean;
}

/** One channel (z x y x x) as if taken with voxels 1 / zoom as large, on its own grid again. */
export function lowerResolution<T extends FloatData>(
  channel: T,
  shape: Vector3,
  zoom: number,
  { down = 0, up = 3, inPlane = false }: LowResolutionOptions = {},
): T {
  const [d, h, w] = shape.map((length) => Math.max(1, roundEven(length * zoom)));
  const coarse: Vector3 = [inPlane ? shape[0] : d, h, w];
  return resize(resize(channel, shape, coarse, down), coarse, shape, up);
}

/** Mean and population standard deviation. */
function moments(values: FloatData): { mean: number; deviation: number } {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  const mean = sum / values.length;
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i] - mean) ** 2;
  return { mean, deviation: Math.sqrt(squares / values.length) };
}
