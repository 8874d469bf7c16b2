/**
 * The planner: from the fingerprint of a data set to complete settings of a training, each number with its reason. Spacing,
 * transposition and patch begin with nnU-Net's rules (dataset/nnunetPlanning.ts); stem strides, a legal patch and widths are
 * UNETR++'s; which of several sizes a machine has time for is chosen in budget.ts. A person may change all of it.
 *
 * Axes are z, y, x in the plan's orientation before the transposition, and d, h, w after it.
 */
import {
  type CaseFingerprint,
  type Channel,
  type Fingerprint,
  nnunetPlan,
  normalizationOf,
  type Plan,
  parsePlan,
  trainingAugmentation,
} from '../dataset/index.ts';
import { type UnetrppSettings, unetrppPresets } from '../nets/index.ts';
import { elementCount, type Shape, showShape } from '../tensor.ts';
import { percentile, type Vector3 } from '../volume/index.ts';
import type { LossSettings } from './lossSettings.ts';
import { adamW, nesterovSgd } from './optimizers.ts';
import type { TrainSettings } from './settings.ts';

/** Why an entry of the settings is what it is. */
export interface Explanation {
  /** Its place in config.json, such as `network.stem`. */
  readonly key: string;
  readonly value: unknown;
  readonly because: string;
}

/**
 * `published`: widths and recipe of the paper. `compact` and `narrow`: fewer channels and blocks, and a recipe that learns in
 * thousands of steps rather than hundreds of thousands.
 */
export type Size = 'published' | 'compact' | 'narrow';

export interface PlanningInput {
  readonly dataset: TrainSettings['dataset'];
  readonly fold: TrainSettings['fold'];
  /** Names of the channels, and of the labels with the background. */
  readonly channels: readonly string[];
  readonly labels: readonly string[];
  /** Where labels are regions, which may overlap: as the plan has them. */
  readonly regions?: Pick<Plan, 'regions' | 'regionsClassOrder'>;
  /** Voxels that nothing is learned from. */
  readonly ignoreLabel?: number;
  readonly fingerprint: Fingerprint;
  /** Voxels along d, h, w that a person chose. */
  readonly patch?: Shape;
  /** An nnU-Net plan of the data set, whose spacing, transposition, normalization and resampling are taken. */
  readonly nnunet?: Plan;
}

export interface Planned {
  readonly settings: TrainSettings;
  readonly explanation: readonly Explanation[];
  /** Voxels along d, h, w of the median case at the plan's spacing. */
  readonly medianShape: Vector3;
  /** Voxels along d, h, w beyond which a patch sees little more: what the foreground needs. At most the plan's patch. */
  readonly focusedPatch: Shape;
}

/** A patch is no longer than the longest of the published networks' .. */
const longestEdge = 192;
/** .. and has at most so many voxels: the published ones have 0.4 to 2.1 million. */
const mostVoxels = 1_250_000;
/** Voxels of a batch, at most, where a batch has more than two samples; four samples at most, as in the paper. */
const mostBatchVoxels = 2_500_000;
/** Scans up to this size get the compact network. */
const smallScan = 200_000;
/** A stem's stride 4 or 2 wants an axis of so many voxels. */
const leastForStem = { 4: 96, 2: 32 } as const;
/** A stride makes a voxel of the stem at most this many times as long as the finest axis's, whose stride is 4. */
const stemAnisotropy = 2;
/** Labels whose centers lie apart, in the mean over the cases, by this part of the foreground's box stand in a fixed order. */
const fixedOrder = 0.2;
/** A single label is off-center where it is by this part of the scan. */
const offCenter = 0.1;
/** A patch needs to be this many times as long as the foreground of 95 % of the cases. */
const foregroundMargin = 1.5;

const widths: Readonly<Record<Exclude<Size, 'published'>, Partial<UnetrppSettings>>> = {
  compact: {
    featureSize: 16,
    dims: [32, 64, 64, 64],
    projections: [32, 32, 32, 32],
    decoderProjections: [32, 32, 32],
    depths: [2, 2, 2, 2],
    decoderDepths: [2, 2, 2],
    attentionDropout: 0.1,
  },
  narrow: {
    featureSize: 8,
    dims: [16, 32, 64, 64],
    projections: [32, 32, 32, 32],
    decoderProjections: [32, 32, 32],
    depths: [2, 2, 2, 2],
    decoderDepths: [2, 2, 2],
    attentionDropout: 0.1,
  },
};

const quantile = (values: readonly number[], p: number) => percentile(Float64Array.from(values).sort(), p);
const vector = (values: readonly number[]) => values as unknown as Vector3;
const mm = (values: readonly number[]) => values.map((value) => Number(value.toFixed(4))).join(' x ');

/** Number of the pair of sides that a letter names: left-right, front-back, head-foot. */
const sideOf = (letter: string) => ['LR', 'AP', 'SI'].findIndex((pair) => pair.includes(letter));

/** The case with its axes z, y, x as they are after turning to `code`; where the labels lie is turned with them. */
function turnedTo(each: CaseFingerprint, code: string): CaseFingerprint {
  if (each.orientation === code) return each;
  // The letters are of x, y, z, arrays are in the order z, y, x.
  const letters = [...code].reverse();
  const own = [...each.orientation].reverse();
  const from = letters.map((letter) => own.findIndex((other) => sideOf(other) === sideOf(letter)));
  const turned = (values: Vector3) => vector(from.map((axis) => values[axis]));
  const placed = (center: Vector3) =>
    vector(from.map((axis, at) => (own[axis] === letters[at] ? center[axis] : each.shape[axis] - 1 - center[axis])));
  return {
    ...each,
    orientation: code,
    shape: turned(each.shape),
    spacing: turned(each.spacing),
    foregroundShape: each.foregroundShape && turned(each.foregroundShape),
    labelCenters: Object.fromEntries(
      Object.entries(each.labelCenters).map(([label, center]) => [label, placed(center)]),
    ),
  };
}

/** The orientation of most cases, the first in the alphabet of equally many. */
function commonOrientation(cases: readonly CaseFingerprint[]): { code: string; count: number } {
  const counts = new Map<string, number>();
  for (const { orientation } of cases) counts.set(orientation, (counts.get(orientation) ?? 0) + 1);
  const [[code, count]] = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  return { code, count };
}

/**
 * How far apart two labels stand along an axis in the mean over the cases, as a part of the foreground's box: the largest
 * over all pairs. Of a single label, how far it is from the middle of the scan, in the units of `fixedOrder`.
 */
function arrangement(cases: readonly CaseFingerprint[], axis: number): number {
  const labels = [...new Set(cases.flatMap(({ labelCenters }) => Object.keys(labelCenters)))];
  const meanOf = (of: (each: CaseFingerprint) => number | undefined) => {
    const values = cases.flatMap((each) => of(each) ?? []);
    return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
  };
  if (labels.length === 1) {
    const away = meanOf(({ labelCenters, shape }) => {
      const center = labelCenters[labels[0]];
      return center && (center[axis] - (shape[axis] - 1) / 2) / shape[axis];
    });
    return (Math.abs(away) * fixedOrder) / offCenter;
  }
  const apart = labels.flatMap((a, index) =>
    labels.slice(index + 1).map((b) =>
      Math.abs(
        meanOf(({ labelCenters, foregroundShape }) => {
          const [one, other] = [labelCenters[a], labelCenters[b]];
          return one && other && foregroundShape ? (one[axis] - other[axis]) / foregroundShape[axis] : undefined;
        }),
      ),
    ),
  );
  return Math.max(0, ...apart);
}

/** Strides of the stem for an image of these spacings and lengths. */
function stemFor(spacing: readonly number[], lengths: readonly number[]): number[] {
  const finest = Math.min(...spacing);
  return lengths.map((length, axis) => {
    const fits = (stride: 4 | 2) =>
      length >= leastForStem[stride] && stride * spacing[axis] <= stemAnisotropy * 4 * finest;
    return fits(4) ? 4 : fits(2) ? 2 : 1;
  });
}

/** The legal length nearest to the one that is wanted. */
const legal = (length: number, stem: number) => Math.max(1, Math.round(length / (8 * stem))) * 8 * stem;

/**
 * The patch made smaller, step by step along the axis of which it covers most, until it has so many voxels at most.
 * @returns the patch as it is where no axis can give way
 */
export function shrunk(patch: Shape, stem: Shape, medianShape: Shape, voxels: number): number[] {
  const out = [...patch];
  while (elementCount(out) > voxels) {
    const covered = out.map((length, axis) => (length > 16 * stem[axis] ? length / medianShape[axis] : 0));
    const most = Math.max(...covered);
    if (most === 0) break;
    const axis = covered.lastIndexOf(most);
    out[axis] -= 8 * stem[axis];
  }
  return out;
}

function channelPlans(names: readonly string[], { medianRelativeSize, foreground }: Fingerprint): Channel[] {
  return names.map((name, index) => {
    const normalization = normalizationOf(name);
    const useMask = normalization === 'zScore' && medianRelativeSize < 0.75;
    const statistics = foreground[index];
    if (normalization !== 'ct' || !statistics) return { name, normalization, useMask };
    const { mean, std, percentile005, percentile995 } = statistics;
    return {
      name,
      normalization,
      useMask,
      intensities: { mean, std: Math.max(std, 1e-8), percentile005, percentile995 },
    };
  });
}

const normalizationReason: Readonly<Record<Channel['normalization'], string>> = {
  ct: "Hounsfield units mean the same in every scan: clipped to the foreground's percentiles, less its mean, over its deviation",
  zScore: "the values have no unit: each scan's own mean and deviation",
  rescale01: "the name says so: each scan's smallest value is 0 and its largest 1",
  rgb: 'the name says so: divided by 255',
  none: 'the name says so: values as they are',
};

/** What widths, optimizer and schedule are for a size, with the reasons. */
export function sized(settings: TrainSettings, size: Size): TrainSettings {
  const { network, loss } = settings;
  if (size === 'published') {
    const { featureSize, dims, projections, decoderProjections, depths, decoderDepths, attentionDropout } =
      unetrppPresets.synapse;
    const published = { featureSize, dims, projections, decoderProjections, depths, decoderDepths, attentionDropout };
    return {
      ...settings,
      network: { ...network, ...structuredClone(published) } as TrainSettings['network'],
      epochs: 1000,
      batchesPerEpoch: 250,
      optimizer: nesterovSgd,
      schedule: { kind: 'poly', rate: 0.01, exponent: 0.9, warmupSteps: 0, per: 'epoch' },
      loss: { of: lossWithBatch(loss.of, false), lowestHead: 'kept' },
      average: null,
    };
  }
  return {
    ...settings,
    network: { ...network, ...structuredClone(widths[size]) } as TrainSettings['network'],
    epochs: 18,
    batchesPerEpoch: 250,
    optimizer: adamW,
    schedule: { kind: 'poly', rate: 0.003, exponent: 0.9, warmupSteps: 100, per: 'step' },
    loss: { of: lossWithBatch(loss.of, true), lowestHead: 'kept' },
    average: 0.999,
  };
}

/** nnU-Net's loss for classes or regions, ignoring what the one that is given ignores. */
function lossWithBatch(of: LossSettings['of'], batch: boolean): LossSettings['of'] {
  const ignored = 'ignoredLabel' in of && of.ignoredLabel !== undefined && { ignoredLabel: of.ignoredLabel };
  const rest = { ...ignored, ...(batch && { batch }) };
  return of.kind === 'softDiceRegions'
    ? { kind: of.kind, regions: of.regions, ...rest }
    : { kind: 'softDiceCrossEntropy', ...rest };
}

/** The same settings with another patch; the augmentation is that of the patch. */
export function withPatch(settings: TrainSettings, patch: Shape): TrainSettings {
  const { network, plan, augmentation } = settings;
  const own = structuredClone(trainingAugmentation(vector(patch))) as TrainSettings['augmentation'];
  return {
    ...settings,
    network: { ...network, patch: [...patch] },
    plan: { ...plan, patch: [patch[0], patch[1], patch[2]] },
    augmentation: own && augmentation && { ...own, mirror: augmentation.mirror },
  };
}

export function batchFor(patch: Shape, size: Size): number {
  if (size !== 'published') return 2;
  return Math.min(4, Math.max(2, Math.floor(mostBatchVoxels / elementCount(patch))));
}

/**
 * Settings for a data set of which the fingerprint is known, for a machine of which nothing is.
 * @throws InputError when the name of a channel does not say how it is normalized
 */
export function planTraining(input: PlanningInput): Planned {
  const { dataset, fold, channels, labels, regions, ignoreLabel, fingerprint, nnunet } = input;
  const classes = regions?.regions?.length ?? labels.length;
  const { code, count } = commonOrientation(fingerprint.cases);
  const cases = fingerprint.cases.map((each) => turnedTo(each, code));
  const back = (values: readonly number[], order: readonly number[]) =>
    values.map((_, axis) => values[order.indexOf(axis)]);
  const data = {
    spacings: cases.map(({ spacing }) => spacing),
    shapes: cases.map(({ shape }) => shape),
    medianRelativeSize: fingerprint.medianRelativeSize,
    channels,
    classes,
    trainingCases: cases.length,
  };
  const rules = nnunetPlan('plain', data, {
    targetSpacing: nnunet?.spacing ? back(nnunet.spacing, nnunet.transposeForward) : undefined,
  });
  const transposeForward = nnunet?.transposeForward ?? vector(rules.transposeForward);
  const turned = (values: readonly number[]) => vector(transposeForward.map((axis) => values[axis]));
  /** From the order of the rules to that of the plan. */
  const reordered = (values: readonly number[]) => turned(back(values, rules.transposeForward));
  const { '3d_fullres': whole, '2d': flat } = rules.configurations;
  const spacing = turned(rules.targetSpacing);
  const medianShape = reordered(whole?.medianShape ?? [1, ...flat.medianShape]);
  const rulesPatch = nnunet?.patch ?? reordered(whole?.patch ?? [1, ...flat.patch]);
  // nnU-Net pads its patch up to what it can halve; the median case itself is the better wish here.
  const wished = medianShape.map((length, axis) => Math.min(length, rulesPatch[axis]));

  const stem = input.patch
    ? input.patch.map(
        (length, axis) =>
          [4, 2, 1].find((stride) => length % (8 * stride) === 0 && stride <= stemFor(spacing, input.patch!)[axis]) ??
          1,
      )
    : stemFor(spacing, wished);
  const largest = wished.map((length, axis) => Math.min(longestEdge, legal(length, stem[axis])));
  const patch = input.patch ? [...input.patch] : shrunk(largest, stem, medianShape, mostVoxels);
  const focusedPatch = patch.map((length, axis) => {
    const extents = cases.flatMap(({ foregroundShape, spacing: own }) => {
      const of = foregroundShape && turned(foregroundShape)[axis] * turned(own)[axis];
      return of === null ? [] : [of / spacing[axis]];
    });
    if (extents.length === 0) return length;
    const needed = legal(foregroundMargin * quantile(extents, 95), stem[axis]);
    return Math.min(length, Math.max(needed, legal(length / 2, stem[axis])));
  });

  // Axes of the network from those of the scan: letters are of x, y, z, arrays are in the order z, y, x.
  const leftRight = transposeForward.findIndex((axis) => sideOf(code[2 - axis]) === 0);
  const apart = arrangement(cases, transposeForward[leftRight]);
  const mirrored = apart <= fixedOrder;
  const mirror = [0, 0, 0].map((_, axis) => (mirrored && axis === leftRight ? 0.5 : 0)) as [number, number, number];
  const size: Size = elementCount(medianShape) <= smallScan ? 'compact' : 'published';

  const named = nnunet?.channels ?? channelPlans(channels, fingerprint);
  const plan: Plan = parsePlan({
    format: 'unetrpp-plan',
    version: 1,
    configuration: '3d_fullres',
    transposeForward,
    spacing,
    patch,
    channels: named,
    convention: nnunet?.convention ?? 'nnunet-v2',
    resampling: nnunet?.resampling ?? {
      image: 3,
      imageZ: 0,
      probabilities: 1,
      probabilitiesZ: 0,
      anisotropyThreshold: 3,
    },
    orientation: code,
    inference: { step: 0.5, mirrorAxes: mirrored ? [leftRight] : [] },
    ...regions,
  });
  const ignored = ignoreLabel === undefined ? {} : { ignoredLabel: ignoreLabel };
  const bare: TrainSettings = {
    format: 'unetrpp-training',
    version: 1,
    dataset,
    fold,
    seed: 1,
    network: structuredClone({
      ...unetrppPresets.synapse,
      inputChannels: channels.length,
      classes,
      patch,
      stem,
    }) as TrainSettings['network'],
    plan,
    from: null,
    batch: batchFor(patch, size),
    epochs: null,
    batchesPerEpoch: 250,
    timeLimit: null,
    optimizer: nesterovSgd,
    schedule: { kind: 'constant', rate: 0.01, warmupSteps: 0 },
    loss: {
      of: plan.regions
        ? { kind: 'softDiceRegions', regions: plan.regions.map((region) => region.labels), ...ignored }
        : { kind: 'softDiceCrossEntropy', ...ignored },
      lowestHead: 'kept',
    },
    clipNorm: 12,
    average: null,
    dropout: true,
    augmentation: {
      ...(structuredClone(trainingAugmentation(vector(patch))) as NonNullable<TrainSettings['augmentation']>),
      mirror,
    },
    foregroundShare: 0.33,
    validationCases: 8,
  };
  const settings = sized(bare, size);

  const medianSpacing = mm(rules.medianSpacing);
  const finer = spacing[0] < reordered(rules.medianSpacing)[0] - 1e-9;
  const explanation: Explanation[] = [
    {
      key: 'plan.orientation',
      value: code,
      because:
        count === cases.length
          ? 'all cases are stored so; a scan that is not is turned to it'
          : `${count} of ${cases.length} cases are stored so; the others are turned to it`,
    },
    {
      key: 'plan.spacing',
      value: spacing,
      because: nnunet
        ? 'that of the nnU-Net plan that was given'
        : finer
          ? `slices are few and far apart (median ${medianSpacing} mm), so that across them the 10th percentile is taken in place of the median (nnU-Net's rule)`
          : "the median of each axis (nnU-Net's rule)",
    },
    {
      key: 'plan.transposeForward',
      value: transposeForward,
      because: nnunet
        ? 'that of the nnU-Net plan that was given'
        : "the axis of the largest spacing comes first (nnU-Net's rule)",
    },
    ...named.map((channel, index) => ({
      key: `plan.channels.${index}.normalization`,
      value: channel.normalization,
      because: `${channel.name}: ${normalizationReason[channel.normalization]}${channel.useMask ? '; over what is not zero, because cropping takes away a quarter or more' : ''}`,
    })),
    {
      key: 'network.stem',
      value: stem,
      because: `stride 4 (2) where an axis has ${leastForStem[4]} (${leastForStem[2]}) voxels and its voxel behind the stem is at most twice as long as the finest axis's at stride 4`,
    },
    {
      key: 'network.patch',
      value: patch,
      because: input.patch
        ? 'it was given'
        : `the median case is ${showShape(medianShape)} at this spacing and nnU-Net would take ${showShape(rulesPatch)}; at most ${longestEdge} along an axis and ${mostVoxels / 1e6} million voxels, in multiples of ${showShape(stem.map((each) => 8 * each))}`,
    },
    ...lossExplanation(settings.loss),
    ...sizeExplanation(settings, size, medianShape),
    {
      key: 'augmentation.mirror',
      value: mirror,
      because: mirrorReason(mirrored, apart, labels.length),
    },
  ];
  return { settings, explanation, medianShape, focusedPatch };
}

function mirrorReason(mirrored: boolean, apart: number, classes: number): string {
  const single = classes === 2;
  if (mirrored) {
    const why = single
      ? 'the label is on neither side in most cases'
      : `labels have no fixed order along this axis (their centers lie ${percent(apart)} of the foreground apart at most)`;
    return `left and right alone are mirrored: ${why}, and a body's other axes have two different ends`;
  }
  return single
    ? 'nothing is mirrored: the label is on one side, left or right, and a mirror image has it on the other'
    : `nothing is mirrored: along left and right, labels stand ${percent(apart)} of the foreground apart in a fixed order, which a mirror image has wrong`;
}

const percent = (share: number) => `${Math.round(100 * share)} %`;

/** Why the loss is not the usual one; of that nothing is said. */
function lossExplanation({ of }: LossSettings): Explanation[] {
  const ignored = 'ignoredLabel' in of ? of.ignoredLabel : undefined;
  return [
    ...(of.kind === 'softDiceRegions'
      ? [
          {
            key: 'loss.of.kind',
            value: of.kind,
            because: "labels are regions, which overlap: each has a sigmoid of its own (nnU-Net's loss)",
          },
        ]
      : []),
    ...(ignored === undefined
      ? []
      : [
          {
            key: 'loss.of.ignoredLabel',
            value: ignored,
            because: 'the ignore label of dataset.json: its voxels count neither in the loss nor in scores',
          },
        ]),
  ];
}

/** Why the network is so wide and trained so. */
export function sizeExplanation(settings: TrainSettings, size: Size, medianShape: Shape): Explanation[] {
  const { network, batch, optimizer, schedule, average, epochs, batchesPerEpoch } = settings;
  const small = elementCount(medianShape) <= smallScan;
  const because =
    size === 'published'
      ? 'widths of the published networks'
      : small
        ? `scans of ${showShape(medianShape)} voxels are small: fewer channels and blocks learn them in less time`
        : 'fewer channels and blocks than the published networks, for as many steps as the time has';
  const recipe =
    size === 'published'
      ? "the paper's recipe: 1000 epochs of 250 batches; on a CPU give plan --budget"
      : 'learns in thousands of steps what the recipe of the paper needs hundreds of thousands for';
  return [
    { key: 'network.featureSize', value: network.featureSize, because },
    { key: 'network.dims', value: network.dims, because },
    { key: 'network.depths', value: network.depths, because },
    {
      key: 'batch',
      value: batch,
      because:
        batch > 2
          ? `the patch is small beside the published ones: ${batch} make up to ${mostBatchVoxels / 1e6} million voxels`
          : 'two samples, one of them around the foreground, as in the paper',
    },
    { key: 'optimizer', value: optimizer.kind, because: recipe },
    { key: 'schedule', value: `${schedule.kind} from ${schedule.rate}`, because: recipe },
    {
      key: 'average',
      value: average,
      because:
        average === null
          ? 'the last weights, as in the paper'
          : 'the mean of late weights is steadier in a short training',
    },
    { key: 'epochs', value: epochs, because: `of ${batchesPerEpoch} batches; train --time-limit takes as many as fit` },
  ];
}
