/**
 * Settings for a data set of which nothing is known but its training cases: a plan by nnU-Net's rules, a UNETR++ whose
 * patch and size fit the scans, and the recipe of the paper. A start that a person changes (`--config`), not the best there is.
 */
import {
  integer,
  normalizationOf,
  type Plan,
  planSchema,
  randomStream,
  trainingAugmentation,
} from '../dataset/index.ts';
import { type UnetrppSettings, unetrppPresets } from '../nets/index.ts';
import { elementCount, type Shape } from '../tensor.ts';
import { cropToNonZero, newShape, type Vector3, type Volume, voxelCount } from '../volume/index.ts';
import { nesterovSgd } from './optimizers.ts';
import type { TrainSettings } from './settings.ts';

/** What is measured of a training case. */
export interface CaseSurvey {
  /** Of the part that is not zero; z, y, x. */
  readonly shape: Vector3;
  /** mm along z, y, x. */
  readonly spacing: Vector3;
  /** Size of the part that is not zero over that of the scan. */
  readonly share: number;
  /** Of each channel: intensities of the foreground, drawn at random. */
  readonly foreground: readonly Float32Array[];
}

/** As in nnU-Net, what is drawn in each case. */
const drawnVoxels = 10_000;

/** @param index of the case, from which its random numbers follow */
export function surveyCase(image: Volume, labels: Volume, index: number): CaseSurvey {
  const { image: cropped } = cropToNonZero(image);
  const voxels = voxelCount(image);
  const inside: number[] = [];
  for (let i = 0; i < voxels; i++) if (labels.data[i] > 0) inside.push(i);
  const stream = randomStream(index);
  const count = inside.length === 0 ? 0 : drawnVoxels;
  const drawn = Array.from({ length: count }, () => inside[integer(stream, 0, inside.length - 1)]);
  return {
    shape: cropped.shape,
    spacing: [image.spacing[2], image.spacing[1], image.spacing[0]],
    share: voxelCount(cropped) / voxels,
    foreground: Array.from({ length: image.channels }, (_, c) =>
      Float32Array.from(drawn, (voxel) => image.data[c * voxels + voxel]),
    ),
  };
}

/** The value below which that part of the sorted values lies, between two of them in proportion. */
function quantile(sorted: Float64Array, part: number): number {
  const at = part * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}

function median(values: readonly number[]): number {
  return quantile(Float64Array.from(values).sort(), 0.5);
}

const medianVector = (vectors: readonly Vector3[]) =>
  [0, 1, 2].map((axis) => median(vectors.map((each) => each[axis]))) as unknown as Vector3;

/** Largest patch: the voxels of the published Synapse network's. */
const mostVoxels = 64 * 128 * 128;
/** Scans up to this size get a narrow network. */
const smallScan = 200_000;

function channelPlan(name: string, surveys: readonly CaseSurvey[], channel: number): Plan['channels'][number] {
  const normalization = normalizationOf(name);
  // nnU-Net: where cropping takes away a quarter or more, the zeros are background and not tissue.
  const useMask = normalization === 'zScore' && median(surveys.map(({ share }) => share)) < 0.75;
  if (normalization !== 'ct') return { name, normalization, useMask };
  const values = Float64Array.from(surveys.flatMap(({ foreground }) => [...foreground[channel]])).sort();
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const std = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  const intensities = {
    mean,
    std: Math.max(std, 1e-8),
    percentile005: quantile(values, 0.005),
    percentile995: quantile(values, 0.995),
  };
  return { name, normalization, useMask, intensities };
}

/** The stem and the patch for scans of this size, each axis a multiple of 8 stems; the longest axis gives way first. */
function patchFor(shape: Vector3, wanted: Shape | undefined): { stem: number[]; patch: number[] } {
  const sizes = wanted ?? shape;
  const stem = sizes.map((length) => (length >= 96 ? 4 : length >= 32 ? 2 : 1));
  if (wanted) {
    // A patch that a person chose decides: the largest stem whose multiple it is.
    return {
      stem: wanted.map((length) => [4, 2, 1].find((each) => length % (8 * each) === 0 && length >= 16 * each) ?? 1),
      patch: [...wanted],
    };
  }
  const patch = sizes.map((length, axis) => Math.ceil(length / (8 * stem[axis])) * 8 * stem[axis]);
  while (elementCount(patch) > mostVoxels) {
    const longest = patch.indexOf(Math.max(...patch));
    patch[longest] -= 8 * stem[longest];
  }
  return { stem, patch };
}

export interface DefaultsInput {
  readonly dataset: TrainSettings['dataset'];
  readonly fold: TrainSettings['fold'];
  /** Names of the channels, and of the labels with the background. */
  readonly channels: readonly string[];
  readonly labels: readonly string[];
  /** Of the training cases. */
  readonly surveys: readonly CaseSurvey[];
  readonly patch?: Shape;
}

/** @returns the settings, and what a user should know of how they came about */
export function defaultSettings(input: DefaultsInput): { settings: TrainSettings; notices: string[] } {
  const { dataset, fold, channels, labels, surveys } = input;
  const spacing = medianVector(surveys.map((each) => each.spacing));
  // nnU-Net puts the axis of the largest spacing first; of equal ones the first.
  const first = spacing.indexOf(Math.max(...spacing));
  const transposeForward = [first, ...[0, 1, 2].filter((axis) => axis !== first)] as unknown as Vector3;
  const turned = (values: Vector3) => transposeForward.map((axis) => values[axis]) as unknown as Vector3;
  const target = turned(spacing);
  const shape = medianVector(surveys.map((each) => newShape(turned(each.shape), turned(each.spacing), target)));
  const { stem, patch } = patchFor(shape, input.patch);

  const plan = planSchema.parse({
    format: 'unetrpp-plan',
    version: 1,
    configuration: '3d_fullres',
    transposeForward,
    spacing: target,
    patch,
    channels: channels.map((name, channel) => channelPlan(name, surveys, channel)),
    convention: 'nnunet-v2',
    resampling: { image: 3, imageZ: 0, probabilities: 1, probabilitiesZ: 0, anisotropyThreshold: 3 },
    orientation: null,
    inference: { step: 0.5, mirrorAxes: [0, 1, 2] },
  });
  const small = elementCount(shape) <= smallScan;
  const network: UnetrppSettings = {
    ...unetrppPresets.synapse,
    inputChannels: channels.length,
    classes: labels.length,
    patch,
    stem,
    ...(small && { featureSize: 8, dims: [16, 32, 64, 128] }),
  };
  const settings: TrainSettings = {
    format: 'unetrpp-training',
    version: 1,
    dataset,
    fold,
    seed: 1,
    network: structuredClone(network) as TrainSettings['network'],
    plan,
    from: null,
    batch: 2,
    epochs: 100,
    batchesPerEpoch: 100,
    timeLimit: null,
    optimizer: nesterovSgd,
    schedule: { kind: 'poly', rate: 0.01, exponent: 0.9, warmupSteps: 0, per: 'epoch' },
    loss: { of: { kind: 'softDiceCrossEntropy' }, lowestHead: 'kept' },
    clipNorm: 12,
    average: null,
    dropout: true,
    augmentation: structuredClone(trainingAugmentation(patch as unknown as Vector3)) as TrainSettings['augmentation'],
    foregroundShare: 0.33,
    validationCases: 8,
  };
  return { settings, notices: [] };
}
