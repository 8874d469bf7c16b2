/**
 * Augmentation of one training sample: what is drawn, and what is then done in which order. Drawing gives a record of
 * numbers; the same record gives the same sample. The changes themselves are in the files beside this one.
 *
 * Order, probabilities and ranges are those of the authors' trainers: nnU-Net v1's "moreDA" augmentation with a wider
 * range of scales and without elastic deformation.
 */
import type { FloatData, Vector3 } from '../../volume/volume.ts';
import { nextBits, type RandomStream, randomStream, standardNormal, uniform } from '../randomStream.ts';
import { applyGamma, lowerResolution, scaleBrightness, scaleContrast } from './intensity.ts';
import { mirror } from './mirror.ts';
import { addNoise, blur } from './noise.ts';
import type { LabelData, Patch } from './patch.ts';
import { centerCrop, initialPatchShape, type SpatialTransform, transformPatch } from './spatial.ts';

type Range = readonly [low: number, high: number];

/** Probabilities are per sample; `channelProbability` is that of each channel of a sample that was chosen. */
export interface AugmentationSettings {
  /** "Dummy 2-D": slices of axis 0 are turned and scaled by themselves, about axis 0 only. */
  readonly inPlane: boolean;
  /** Largest angle about each axis, in degrees; with `inPlane` only the first counts. */
  readonly rotation: { readonly probability: number; readonly degrees: Vector3 };
  /** Above 1 zooms out. One factor for all axes. */
  readonly scaling: { readonly probability: number; readonly range: Range };
  /** Smallest of the scales that the size of the loaded patch reckons with. */
  readonly loadedScale: number;
  readonly noise: { readonly probability: number; readonly deviation: Range };
  /** In voxels. */
  readonly blur: { readonly probability: number; readonly channelProbability: number; readonly sigma: Range };
  readonly brightness: { readonly probability: number; readonly factor: Range };
  readonly contrast: { readonly probability: number; readonly factor: Range };
  readonly lowResolution: { readonly probability: number; readonly channelProbability: number; readonly zoom: Range };
  readonly gammaInverted: { readonly probability: number; readonly gamma: Range };
  readonly gamma: { readonly probability: number; readonly gamma: Range };
  /** Probability of each axis. */
  readonly mirror: Vector3;
}

/** A patch more than this many times as long as its axis 0 is treated slice by slice. */
const anisotropy = 3;

/** The settings of the authors' trainers for a network's patch (d, h, w). */
export function trainingAugmentation(patch: Vector3): AugmentationSettings {
  const inPlane = Math.max(...patch) / patch[0] > anisotropy;
  return {
    inPlane,
    rotation: { probability: 0.2, degrees: inPlane ? [180, 0, 0] : [30, 30, 30] },
    scaling: { probability: 0.2, range: [0.7, 1.4] },
    // The trainers widen the range of scales after the size of the loaded patch is set; strong zoom-out reads beyond it.
    loadedScale: 0.85,
    // Called a variance by nnU-Net and used as a standard deviation.
    noise: { probability: 0.1, deviation: [0, 0.1] },
    blur: { probability: 0.2, channelProbability: 0.5, sigma: [0.5, 1] },
    brightness: { probability: 0.15, factor: [0.75, 1.25] },
    contrast: { probability: 0.15, factor: [0.75, 1.25] },
    lowResolution: { probability: 0.25, channelProbability: 0.5, zoom: [0.5, 1] },
    gammaInverted: { probability: 0.1, gamma: [0.7, 1.5] },
    gamma: { probability: 0.3, gamma: [0.7, 1.5] },
    mirror: [0.5, 0.5, 0.5],
  };
}

/** Shape of the patch to cut from a case, so that augmentation can turn it and give one of shape `patch`. */
export function loadedPatchShape(patch: Vector3, { rotation, loadedScale, inPlane }: AugmentationSettings): Vector3 {
  const [a, b, c] = rotation.degrees.map(radians);
  return initialPatchShape(patch, [a, b, c], loadedScale, inPlane);
}

/** A number for each channel, or nothing where the channel stays. */
type PerChannel = readonly (number | undefined)[];

/** What is done to one sample, in this order. What is left out is not done. */
export interface Augmentation {
  readonly spatial?: SpatialTransform;
  /** One field for all channels is drawn from the seed. */
  readonly noise?: { readonly deviation: number; readonly seed: number };
  readonly blur?: PerChannel;
  readonly brightness?: PerChannel;
  readonly contrast?: PerChannel;
  readonly lowResolution?: PerChannel;
  readonly gammaInverted?: PerChannel;
  readonly gamma?: PerChannel;
  readonly mirror: readonly [boolean, boolean, boolean];
  /** Slices of axis 0 keep their resolution. */
  readonly inPlane: boolean;
}

export function drawAugmentation(stream: RandomStream, settings: AugmentationSettings, channels: number): Augmentation {
  const happens = (probability: number) => uniform(stream) < probability;
  const each = (draw: () => number | undefined) => Array.from({ length: channels }, draw);
  const between = ([low, high]: Range) => uniform(stream, low, high);
  /** Below and above 1 equally often. */
  const aroundOne = ([low, high]: Range) =>
    happens(0.5) && low < 1 ? uniform(stream, low, 1) : uniform(stream, Math.max(low, 1), high);
  const { inPlane, rotation, scaling, noise, blur: blurring, brightness, contrast, lowResolution } = settings;
  const { gammaInverted, gamma } = settings;

  const turns = happens(rotation.probability);
  const scales = happens(scaling.probability);
  return {
    spatial: turns || scales ? drawSpatial(stream, settings, turns, scales ? aroundOne(scaling.range) : 1) : undefined,
    noise: happens(noise.probability) ? { deviation: between(noise.deviation), seed: nextBits(stream) } : undefined,
    blur: happens(blurring.probability)
      ? each(() => (happens(blurring.channelProbability) ? between(blurring.sigma) : undefined))
      : undefined,
    brightness: happens(brightness.probability) ? each(() => between(brightness.factor)) : undefined,
    contrast: happens(contrast.probability) ? each(() => aroundOne(contrast.factor)) : undefined,
    lowResolution: happens(lowResolution.probability)
      ? each(() => (happens(lowResolution.channelProbability) ? between(lowResolution.zoom) : undefined))
      : undefined,
    gammaInverted: happens(gammaInverted.probability) ? each(() => aroundOne(gammaInverted.gamma)) : undefined,
    gamma: happens(gamma.probability) ? each(() => aroundOne(gamma.gamma)) : undefined,
    mirror: [happens(settings.mirror[0]), happens(settings.mirror[1]), happens(settings.mirror[2])],
    inPlane,
  };
}

function drawSpatial(
  stream: RandomStream,
  { inPlane, rotation }: AugmentationSettings,
  turns: boolean,
  scale: number,
): SpatialTransform {
  const angle = (largest: number) => (turns ? uniform(stream, -radians(largest), radians(largest)) : 0);
  const [a, b, c] = rotation.degrees;
  return { angles: [angle(a), angle(b), angle(c)], scale: [scale, scale, scale], inPlane };
}

function radians(degrees: number): number {
  return (degrees * Math.PI) / 180;
}

export interface AugmentOptions {
  /** The image is 0 outside the case's mask, because its normalization used the mask. */
  readonly zeroOutside: boolean;
}

/**
 * The sample of shape `shape` that the network sees, from a larger patch. Labels below 0 become 0 at the end.
 * @throws RangeError when the patch is smaller than `shape`
 */
export function augment<T extends FloatData, L extends LabelData>(
  patch: Patch<T, L>,
  shape: Vector3,
  augmentation: Augmentation,
  { zeroOutside }: AugmentOptions,
): Patch<T, L> {
  const placed = augmentation.spatial ? transformPatch(patch, shape, augmentation.spatial) : centerCrop(patch, shape);
  const { noise } = augmentation;
  const image = noise
    ? addNoise(placed.image, noise.deviation, standardNormal(randomStream(noise.seed), placed.image.length))
    : placed.image;
  const { channels } = placed;
  const count = image.length / channels;
  for (let channel = 0; channel < channels; channel++) {
    const values = image.subarray(channel * count, (channel + 1) * count) as T;
    const changed = changeChannel(values, shape, augmentation, channel);
    if (changed !== values) image.set(changed, channel * count);
  }
  const out = mirror({ ...placed, image }, augmentation.mirror);
  closeOutside(out, zeroOutside);
  return out;
}

function changeChannel<T extends FloatData>(values: T, shape: Vector3, augmentation: Augmentation, channel: number): T {
  const [sigma, zoom] = [augmentation.blur?.[channel], augmentation.lowResolution?.[channel]];
  const [brightness, contrast] = [augmentation.brightness?.[channel], augmentation.contrast?.[channel]];
  const [gammaInverted, gamma] = [augmentation.gammaInverted?.[channel], augmentation.gamma?.[channel]];
  const { inPlane } = augmentation;
  let out = values;
  if (sigma !== undefined) out = blur(out, shape, sigma);
  if (brightness !== undefined) out = scaleBrightness(out, brightness);
  if (contrast !== undefined) out = scaleContrast(out, contrast, true);
  if (zoom !== undefined) out = lowerResolution(out, shape, zoom, { inPlane });
  if (gammaInverted !== undefined) out = applyGamma(out, gammaInverted, { inverted: true, keepStatistics: true });
  if (gamma !== undefined) out = applyGamma(out, gamma, { inverted: false, keepStatistics: true });
  return out;
}

/** In place: where a label says "outside" (below 0), the label becomes background and the image, if wanted, 0. */
function closeOutside({ image, labels, channels }: Patch<FloatData, LabelData>, zeroOutside: boolean): void {
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] >= 0) continue;
    labels[i] = 0;
    if (zeroOutside) for (let c = 0; c < channels; c++) image[c * labels.length + i] = 0;
  }
}
