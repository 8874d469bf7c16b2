/**
 * Losses as programs: functions from logits and target to one number, made of operators, so that their gradients follow
 * from differentiate(). In MONAI's form (Dice, generalized Dice, Tversky, focal and their sums with cross entropy) and in
 * nnU-Net's (soft Dice with cross entropy, its hardest voxels, or regions; an ignored label). The two families smooth,
 * weigh and average differently; each keeps the numbers of its own publications.
 *
 * Axes: logits are [b, c, spatial..]. A target is [b, 1, spatial..], labels as float32, or [b, c, spatial..], one mask a
 * channel. Labels are compared with the channel numbers inside the program (Equal, Cast): a step is fed one number a voxel
 * in place of c, in the time of ready masks and a little less than OneHot's, which wants integers (loss and gradient of
 * 14 classes, 64x128x128 voxels, two cores: 239, 238 and 250 ms).
 *
 * Sources: Milletari et al. 2016 (Dice), Sudre et al. 2017 (generalized Dice), Salehi et al. 2017 (Tversky), Lin et al.
 * 2017 (focal), Isensee et al. 2021 (nnU-Net). Targets of lower heads and their weights: deepSupervision.ts.
 */
import { InputError } from '../errors.ts';
import {
  absolute,
  add,
  concatenate,
  divide,
  equal,
  exponential,
  filled,
  kthLargest,
  logSoftmax,
  maximum,
  mean,
  multiply,
  power,
  reshape,
  sigmoid,
  slice,
  softmax,
  softplus,
  subtract,
  sum,
  type Value,
} from '../program/index.ts';
import { exactConstant } from '../program/program.ts';
import { elementCount, showShape } from '../tensor.ts';

/** `none` leaves what would be averaged: [b, c, 1..] of an overlap ([1, c, 1..] over the batch), all elements of a focal loss. */
export type Reduction = 'mean' | 'sum' | 'none';

export type Activation = 'softmax' | 'sigmoid' | 'none';

export interface OverlapOptions {
  /** What makes probabilities of the logits. Default: softmax; sigmoid where there is one channel. */
  readonly activation?: Activation;
  /** Whether channel 0 counts. Ignored where it is the only one. Default: true. */
  readonly includeBackground?: boolean;
  /** Whether samples of the batch are summed before the ratio is taken. Default: false. */
  readonly batch?: boolean;
  readonly reduction?: Reduction;
  /** Added above the bar of the ratio. Default: 1e-5. */
  readonly smoothNumerator?: number;
  /** Added below the bar. Default: 1e-5. */
  readonly smoothDenominator?: number;
  /** The target holds numbers between 0 and 1: overlap is then what |p| + |g| - |p - g| leaves, so that p = g is best. */
  readonly softTarget?: boolean;
}

export interface DiceOptions extends OverlapOptions {
  /** p² and g² below the bar in place of p and g. Default: false. */
  readonly squared?: boolean;
  /** Intersection over union in place of Dice. Default: false. */
  readonly jaccard?: boolean;
  /** Factor of each channel that counts: without the background's where that is excluded. */
  readonly classWeights?: readonly number[];
}

export interface GeneralizedDiceOptions extends OverlapOptions {
  /** What a class weighs by its volume g in the target: 1/g², 1/g or 1. Default: square. */
  readonly volumeWeights?: 'square' | 'simple' | 'uniform';
}

export interface TverskyOptions extends OverlapOptions {
  /** Weight of false positives. Default: 0.5. */
  readonly falsePositives?: number;
  /** Weight of false negatives. Default: 0.5. */
  readonly falseNegatives?: number;
}

export interface CrossEntropyOptions {
  /** One factor a class. With labels, the mean is over the sum of the factors of the voxels' classes. */
  readonly classWeights?: readonly number[];
  /** Share of a target that is spread evenly over all classes. Default: 0. */
  readonly labelSmoothing?: number;
  /** Voxels with this label do not count. Only with labels; where no voxel is left the loss is 0. */
  readonly ignoredLabel?: number;
  /** Mean over this per cent of the voxels alone, those with the largest loss (ignored ones have 0). Default: all voxels. */
  readonly hardestPercent?: number;
  readonly reduction?: 'mean' | 'sum';
}

export interface BinaryCrossEntropyOptions {
  /** Factor of the foreground's term, one a channel. */
  readonly foregroundWeights?: readonly number[];
  readonly reduction?: 'mean' | 'sum';
}

export interface FocalOptions {
  /** Each channel by its own sigmoid, or all by softmax. Default: sigmoid. */
  readonly activation?: 'softmax' | 'sigmoid';
  /** Exponent by which voxels that are right already lose weight, >= 0. Default: 2. */
  readonly gamma?: number;
  /**
   * Sigmoid: weight of the foreground, that of the rest being 1 - alpha. Softmax: weight of channels 1.., that of channel 0
   * being 1 - alpha; without the background it has no effect.
   */
  readonly alpha?: number;
  readonly includeBackground?: boolean;
  /** Factor of each channel that counts. */
  readonly classWeights?: readonly number[];
  /** The sum is over samples and channels of the mean over space. */
  readonly reduction?: Reduction;
}

/** Shares of the two terms of a sum; default: 1 each. */
export interface Shares {
  readonly overlapShare?: number;
  readonly otherShare?: number;
}

export interface DiceCrossEntropyOptions extends DiceOptions, Shares {
  readonly reduction?: 'mean' | 'sum';
  /** One factor a class, the background's too, even where it is excluded from the Dice term. */
  readonly classWeights?: readonly number[];
  /** Which terms the class weights enter. Default: both. */
  readonly classWeightsIn?: 'both' | 'crossEntropy';
  readonly labelSmoothing?: number;
}

export interface DiceFocalOptions extends DiceOptions, Shares, Pick<FocalOptions, 'gamma' | 'alpha'> {
  readonly reduction?: 'mean' | 'sum';
}

export interface SoftDiceOptions {
  readonly activation?: Activation;
  /** Default: false, as for classes; regions count all channels. */
  readonly includeBackground?: boolean;
  readonly batch?: boolean;
  /** Added above and below the bar. Default: 1e-5. */
  readonly smooth?: number;
  /** The intersection counts as at least this much. */
  readonly smallestOverlap?: number;
}

export interface SoftDiceCrossEntropyOptions
  extends Omit<SoftDiceOptions, 'activation'>,
    Omit<CrossEntropyOptions, 'reduction'>,
    Shares {}

export interface RegionLossOptions extends Omit<SoftDiceOptions, 'activation'>, Shares {
  /** The target's last channel, beyond the logits', is 1 where a voxel does not count. Default: false. */
  readonly lastChannelIgnored?: boolean;
}

/**
 * Dice in MONAI's form, for each sample and channel (each channel over the batch):
 * 1 - (2 sum pg + a) / (sum p + sum g + b). With `jaccard` 2 (sum p + sum g - sum pg) stands below the bar, so that the
 * smoothing there has half the effect.
 * @throws InputError when target or weights do not fit the logits' channels
 */
export function diceLoss(logits: Value, target: Value, options: DiceOptions = {}): Value {
  const { smoothNumerator = 1e-5, smoothDenominator = 1e-5, classWeights } = options;
  const { common, predicted, wanted } = overlap(logits, target, options, options.squared ?? false);
  const both = add(predicted, wanted);
  const below = options.jaccard ? scaled(subtract(both, common), 2) : both;
  const loss = ratioLoss(scaled(common, 2), below, smoothNumerator, smoothDenominator);
  return reduced(classWeights ? multiply(loss, perChannel(classWeights, loss)) : loss, options.reduction);
}

/**
 * Generalized Dice in MONAI's form, for each sample: 1 - (2 sum_c w_c sum pg + a) / (sum_c w_c (sum p + sum g) + b). A class
 * that the target lacks weighs as much as the heaviest of the sample.
 * @throws InputError when the target does not fit the logits' channels
 */
export function generalizedDiceLoss(logits: Value, target: Value, options: GeneralizedDiceOptions = {}): Value {
  const { smoothNumerator = 1e-5, smoothDenominator = 1e-5, volumeWeights = 'square' } = options;
  const { common, predicted, wanted } = overlap(logits, target, options, false);
  const weights = volumeWeights === 'uniform' ? filled(1) : inverseVolumes(wanted, volumeWeights);
  const above = sum(multiply(weights, scaled(common, 2)), [1]);
  const below = sum(multiply(weights, add(predicted, wanted)), [1]);
  return reduced(ratioLoss(above, below, smoothNumerator, smoothDenominator), options.reduction);
}

/** 1/g or 1/g² of each class, an absent one taking the largest. [b, c, 1..] -> the same */
function inverseVolumes(volumes: Value, kind: 'square' | 'simple'): Value {
  const absent = equal(volumes, filled(0));
  const divisor = add(volumes, absent);
  const present = divide(oneMinus(absent), kind === 'square' ? multiply(divisor, divisor) : divisor);
  const classes = Array.from({ length: volumes.shape[1] }, (_, c) => slice(present, { 1: [c, c + 1] }));
  return add(present, multiply(absent, classes.reduce(maximum)));
}

/**
 * Tversky in MONAI's form: 1 - (sum pg + a) / (sum pg + alpha sum p(1-g) + beta sum (1-p)g + b). Without Dice's factor 2, so
 * its smoothing weighs twice as much.
 * @throws InputError when the target does not fit the logits' channels
 */
export function tverskyLoss(logits: Value, target: Value, options: TverskyOptions = {}): Value {
  const { smoothNumerator = 1e-5, smoothDenominator = 1e-5, falsePositives = 0.5, falseNegatives = 0.5 } = options;
  const { common, predicted, wanted } = overlap(logits, target, options, false);
  const wrong = add(
    scaled(subtract(predicted, common), falsePositives),
    scaled(subtract(wanted, common), falseNegatives),
  );
  return reduced(ratioLoss(common, add(common, wrong), smoothNumerator, smoothDenominator), options.reduction);
}

/**
 * Cross entropy of softmax, as PyTorch's: - sum_c w_c q_c log p_c of each voxel, q being the target, smoothed.
 * @throws InputError when target or weights do not fit the logits' channels, or a label is to be ignored in masks
 */
export function crossEntropyLoss(logits: Value, target: Value, options: CrossEntropyOptions = {}): Value {
  const { classWeights, labelSmoothing = 0, ignoredLabel, hardestPercent, reduction = 'mean' } = options;
  const classes = logits.shape[1];
  const labels = holdsLabels(target, logits);
  if (ignoredLabel !== undefined && !labels) {
    throw new InputError('A label can be ignored where the target holds labels, not where it holds masks.');
  }
  const masks = channelMasks(target, logits, 0);
  const weights = classWeights && perChannel(classWeights, logits);
  const smoothed =
    labelSmoothing === 0 ? masks : add(scaled(masks, 1 - labelSmoothing), filled(labelSmoothing / classes));
  const weighted = weights ? multiply(smoothed, weights) : smoothed;
  const all = scaled(sum(multiply(weighted, logSoftmax(logits, 1)), [1]), -1);
  const kept = ignoredLabel === undefined ? undefined : keptVoxels(target, ignoredLabel);
  const each = kept ? multiply(all, kept) : all;

  if (hardestPercent !== undefined) return meanOfLargest(each, hardestPercent);
  if (reduction === 'sum') return total(each);
  if (!labels || (!weights && !kept)) return average(each);
  const ones = weights ? sum(multiply(masks, weights), [1]) : filled(1);
  // The floor makes 0 of 0 / 0 and changes no other sum.
  return divide(total(each), maximum(total(kept ? multiply(ones, kept) : ones), filled(1e-30)));
}

/**
 * Mean over the k = n * percent / 100 largest (rounded down, at least 1). With t the k-th largest it is
 * t + sum max(0, x - t) / k: no mask, through which no gradient would go. Those that tie for the last place share it.
 */
function meanOfLargest(x: Value, percent: number): Value {
  if (!(percent > 0 && percent <= 100)) {
    throw new InputError(`The hardest voxels are ${percent} per cent; choose more than 0 and at most 100.`);
  }
  const count = elementCount(x.shape);
  const places = Math.max(1, Math.floor((count * percent) / 100));
  const flat = reshape(x, [count]);
  const last = kthLargest(flat, places);
  const beyond = sum(maximum(filled(0), subtract(flat, last)), [0]);
  return scalar(add(last, scaled(beyond, 1 / places)));
}

/**
 * Cross entropy of each channel's sigmoid.
 * @throws InputError when target or weights do not fit the logits' channels
 */
export function binaryCrossEntropyLoss(logits: Value, target: Value, options: BinaryCrossEntropyOptions = {}): Value {
  const { foregroundWeights, reduction } = options;
  const weights = foregroundWeights && perChannel(foregroundWeights, logits);
  return reduced(binaryCrossEntropy(logits, channelMasks(target, logits, 0), weights), reduction);
}

/** -w g log s(x) - (1 - g) log(1 - s(x)) of each element, by log s(x) = x - softplus(x) and log(1 - s(x)) = -softplus(x). */
function binaryCrossEntropy(x: Value, masks: Value, weights?: Value): Value {
  const certain = softplus(x);
  if (!weights) return subtract(certain, multiply(x, masks));
  const weighted = multiply(masks, weights);
  return subtract(multiply(certain, add(oneMinus(masks), weighted)), multiply(x, weighted));
}

/**
 * Focal loss in MONAI's form: cross entropy of each element times (1 - p)^gamma, p being the probability of what is true.
 * Without the background, softmax runs over the channels that are left.
 * @throws InputError when target or weights do not fit the logits' channels, or gamma is negative
 */
export function focalLoss(logits: Value, target: Value, options: FocalOptions = {}): Value {
  const { activation = 'sigmoid', gamma = 2, alpha, classWeights, reduction = 'mean' } = options;
  if (!(gamma >= 0)) throw new InputError(`The focal loss's gamma is ${gamma}; choose 0 or more.`);
  const first = firstChannel(logits, options.includeBackground);
  const x = withoutFirst(logits, first);
  const masks = channelMasks(target, logits, first);
  const focused =
    activation === 'softmax'
      ? softmaxFocal(x, masks, gamma, first === 0 ? alpha : undefined)
      : sigmoidFocal(x, masks, gamma, alpha);
  const loss = classWeights ? multiply(focused, perChannel(classWeights, focused)) : focused;
  return reduction === 'sum' ? total(mean(loss, spatialAxes(loss))) : reduced(loss, reduction);
}

function sigmoidFocal(x: Value, masks: Value, gamma: number, alpha: number | undefined): Value {
  const plain = binaryCrossEntropy(x, masks);
  // (1 - p)^gamma = exp(gamma log s(-x)) where g is 1, exp(gamma log s(x)) where it is 0.
  const toTruth = multiply(x, subtract(scaled(masks, 2), filled(1)));
  const focused = gamma === 0 ? plain : multiply(plain, exponential(scaled(softplus(toTruth), -gamma)));
  if (alpha === undefined) return focused;
  return multiply(focused, add(scaled(masks, 2 * alpha - 1), filled(1 - alpha)));
}

function softmaxFocal(x: Value, masks: Value, gamma: number, alpha: number | undefined): Value {
  const logs = logSoftmax(x, 1);
  const plain = scaled(multiply(logs, masks), -1);
  // Of a number below 0 (by rounding) a power is no number; of 0 a power below 1 has no slope.
  const missing = maximum(oneMinus(exponential(logs)), filled(1e-30));
  const focused = gamma === 0 ? plain : multiply(plain, power(missing, gamma));
  if (alpha === undefined) return focused;
  const factors = Array.from({ length: x.shape[1] }, (_, channel) => (channel === 0 ? 1 - alpha : alpha));
  return multiply(focused, perChannel(factors, x));
}

/**
 * Dice and cross entropy in MONAI's form; of one channel, the binary one.
 * @throws InputError when target or weights do not fit the logits' channels
 */
export function diceCrossEntropyLoss(logits: Value, target: Value, options: DiceCrossEntropyOptions = {}): Value {
  const { classWeights, classWeightsIn = 'both', labelSmoothing, reduction } = options;
  const ofDice =
    classWeightsIn === 'both' ? classWeights?.slice(firstChannel(logits, options.includeBackground)) : undefined;
  const dice = diceLoss(logits, target, { ...options, classWeights: ofDice });
  const entropy =
    logits.shape[1] === 1
      ? binaryCrossEntropyLoss(logits, target, { foregroundWeights: classWeights, reduction })
      : crossEntropyLoss(logits, target, { classWeights, labelSmoothing, reduction });
  return shared(dice, entropy, options);
}

/**
 * Dice and focal loss in MONAI's form: the focal term is that of sigmoids, whatever the Dice term's activation.
 * @throws InputError when target or weights do not fit the logits' channels
 */
export function diceFocalLoss(logits: Value, target: Value, options: DiceFocalOptions = {}): Value {
  return shared(
    diceLoss(logits, target, options),
    focalLoss(logits, target, { ...options, activation: 'sigmoid' }),
    options,
  );
}

/**
 * Soft Dice in nnU-Net's form: minus the mean of (2 sum pg + s) / max(sum p + sum g + s, 1e-8), so between -1 and 0.
 * UNETR++'s adds 1e-8 below the bar in place of the floor, which changes no digit that float32 holds.
 * @param kept [b, 1, spatial..], 0 where a voxel does not count
 * @throws InputError when the target does not fit the logits' channels
 */
export function softDiceLoss(logits: Value, target: Value, options: SoftDiceOptions = {}, kept?: Value): Value {
  const { smooth = 1e-5, smallestOverlap, includeBackground = false } = options;
  const sums = overlap(logits, target, { ...options, includeBackground }, false, kept);
  const common = smallestOverlap === undefined ? sums.common : maximum(sums.common, filled(smallestOverlap));
  const above = add(scaled(common, 2), filled(smooth));
  // A raised intersection is part of 2 tp + fp + fn too.
  const raised = smallestOverlap === undefined ? filled(0) : scaled(subtract(common, sums.common), 2);
  const below = add(add(add(sums.predicted, sums.wanted), raised), filled(smooth));
  return scaled(average(divide(above, maximum(below, filled(1e-8)))), -1);
}

/**
 * nnU-Net's loss for classes, and UNETR++'s: soft Dice without the background plus cross entropy. An ignored label counts in
 * neither.
 * @param labels [b, 1, spatial..]
 * @throws InputError when labels or weights do not fit the logits' channels
 */
export function softDiceCrossEntropyLoss(
  logits: Value,
  labels: Value,
  options: SoftDiceCrossEntropyOptions = {},
): Value {
  const { ignoredLabel } = options;
  const kept = ignoredLabel === undefined ? undefined : keptVoxels(labels, ignoredLabel);
  return shared(softDiceLoss(logits, labels, options, kept), crossEntropyLoss(logits, labels, options), options);
}

/**
 * nnU-Net's loss for regions, which may overlap: soft Dice of sigmoids, the first channel too, plus binary cross entropy.
 * With an ignored channel the latter is the sum over all channels divided by the number of voxels kept: larger by the number
 * of channels, as nnU-Net has it.
 * @param regions [b, c, spatial..], or c + 1 channels with `lastChannelIgnored`
 * @throws InputError when the regions do not fit the logits' channels
 */
export function softDiceRegionLoss(logits: Value, regions: Value, options: RegionLossOptions = {}): Value {
  const dice = { includeBackground: true, ...options, activation: 'sigmoid' as const };
  if (!options.lastChannelIgnored) {
    return shared(softDiceLoss(logits, regions, dice), binaryCrossEntropyLoss(logits, regions), options);
  }
  const channels = regions.shape[1] - 1;
  const masks = slice(regions, { 1: [0, channels] });
  const kept = oneMinus(slice(regions, { 1: [channels, channels + 1] }));
  const each = binaryCrossEntropy(logits, channelMasks(masks, logits, 0));
  const entropy = divide(total(multiply(each, kept)), maximum(total(kept), filled(1e-8)));
  return shared(softDiceLoss(logits, masks, dice, kept), entropy, options);
}

/**
 * Regions of label maps as masks, for `softDiceRegionLoss`: a voxel is in a region when its label is one of the region's.
 * @param labels [b, 1, spatial..]
 * @param ignoredLabel where one is given, a last channel is 1 where it is
 * @returns [b, regions (+ 1), spatial..]
 */
export function regionMasks(labels: Value, regions: readonly (readonly number[])[], ignoredLabel?: number): Value {
  const values = new Set(regions.flat());
  const masks = new Map([...values].map((value) => [value, equal(labels, filled(value))]));
  const channels = regions.map((region) => [...new Set(region)].map((value) => masks.get(value)!).reduce(add));
  if (ignoredLabel !== undefined) channels.push(equal(labels, filled(ignoredLabel)));
  return channels.length === 1 ? channels[0] : concatenate(channels, 1);
}

/** What a ratio of overlap is made of, each [b, c, 1..], or [1, c, 1..] over the batch. */
interface Overlap {
  /** sum pg */
  readonly common: Value;
  /** sum p, or sum p² */
  readonly predicted: Value;
  /** sum g, or sum g² */
  readonly wanted: Value;
}

function overlap(logits: Value, target: Value, options: OverlapOptions, squared: boolean, kept?: Value): Overlap {
  const first = firstChannel(logits, options.includeBackground);
  const probabilities = withoutFirst(activated(logits, options.activation), first);
  const masks = channelMasks(target, logits, first);
  const p = kept ? multiply(probabilities, kept) : probabilities;
  const g = kept ? multiply(masks, kept) : masks;
  const axes = options.batch ? [0, ...spatialAxes(logits)] : spatialAxes(logits);
  if (options.softTarget && !squared) {
    const [predicted, wanted, between] = [p, g, subtract(p, g)].map((x) => sum(absolute(x), axes));
    return { common: scaled(subtract(add(predicted, wanted), between), 0.5), predicted, wanted };
  }
  const size = (x: Value) => sum(squared ? multiply(x, x) : x, axes);
  return { common: sum(multiply(p, g), axes), predicted: size(p), wanted: size(g) };
}

function ratioLoss(above: Value, below: Value, smoothNumerator: number, smoothDenominator: number): Value {
  return oneMinus(divide(add(above, filled(smoothNumerator)), add(below, filled(smoothDenominator))));
}

function activated(logits: Value, activation: Activation = logits.shape[1] === 1 ? 'sigmoid' : 'softmax'): Value {
  if (activation === 'none') return logits;
  if (activation === 'sigmoid') return sigmoid(logits);
  if (logits.shape[1] > 1) return softmax(logits, 1);
  throw new InputError('Softmax makes 1 of a single channel, whatever its logits; choose sigmoid.');
}

/** The first channel that counts. */
function firstChannel(logits: Value, includeBackground = true): number {
  return includeBackground || logits.shape[1] === 1 ? 0 : 1;
}

function withoutFirst(x: Value, first: number): Value {
  return first === 0 ? x : slice(x, { 1: [first, x.shape[1]] });
}

function holdsLabels(target: Value, logits: Value): boolean {
  return target.shape[1] === 1 && logits.shape[1] > 1;
}

/** The target as one mask a channel, from channel `first` on. */
function channelMasks(target: Value, logits: Value, first: number): Value {
  const [batch, channels, ...space] = logits.shape;
  const fits = target.shape[1] === channels || target.shape[1] === 1;
  const [targetBatch, , ...targetSpace] = target.shape;
  if (!fits || showShape([targetBatch, ...targetSpace]) !== showShape([batch, ...space])) {
    throw new InputError(
      `A target of shape ${showShape(target.shape)} does not fit logits of shape ${showShape(logits.shape)}: give 1 channel of labels or ${channels} of masks, of the same batch and space.`,
    );
  }
  if (!holdsLabels(target, logits)) return withoutFirst(target, first);
  const numbers = Array.from({ length: channels - first }, (_, at) => first + at);
  return equal(target, constantPerChannel(numbers, logits.shape.length));
}

const keptVoxels = (labels: Value, ignoredLabel: number) => oneMinus(equal(labels, filled(ignoredLabel)));

/** One number a channel of x, broadcast over the rest. @throws InputError when their number is another */
function perChannel(numbers: readonly number[], x: Value): Value {
  if (numbers.length !== x.shape[1]) {
    throw new InputError(`There are ${numbers.length} class weights for ${x.shape[1]} channels; give one a channel.`);
  }
  return constantPerChannel(numbers, x.shape.length);
}

function constantPerChannel(numbers: readonly number[], rank: number): Value {
  const shape = Array.from({ length: rank }, (_, axis) => (axis === 1 ? numbers.length : 1));
  return exactConstant(shape, Float64Array.from(numbers));
}

function reduced(loss: Value, reduction: Reduction = 'mean'): Value {
  if (reduction === 'none') return loss;
  return reduction === 'sum' ? total(loss) : average(loss);
}

function shared(overlapTerm: Value, other: Value, { overlapShare = 1, otherShare = 1 }: Shares): Value {
  return add(scaled(overlapTerm, overlapShare), scaled(other, otherShare));
}

const allAxes = ({ shape }: Value) => shape.map((_, axis) => axis);
const spatialAxes = (x: Value) => allAxes(x).slice(2);
const oneMinus = (x: Value) => subtract(filled(1), x);
const scaled = (x: Value, factor: number) => (factor === 1 ? x : multiply(x, filled(factor)));
const scalar = (x: Value) => reshape(x, []);
const total = (x: Value) => scalar(sum(x, allAxes(x)));
const average = (x: Value) => scalar(mean(x, allAxes(x)));
