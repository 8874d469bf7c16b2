/** Training: what a network is to make small. */
export type { TrainingCase } from './batches.ts';
export type { LabelledScan } from './cases.ts';
export { supervisedLoss, supervisedTarget, supervisionWeights } from './deepSupervision.ts';
export {
  type FineTuned,
  type FineTuneListeners,
  type FineTuneOptions,
  type FineTuneProgress,
  fineTune,
  fineTuneMemory,
  trainingCase,
} from './fineTune.ts';
export {
  type Activation,
  type BinaryCrossEntropyOptions,
  binaryCrossEntropyLoss,
  type CrossEntropyOptions,
  crossEntropyLoss,
  type DiceCrossEntropyOptions,
  type DiceFocalOptions,
  type DiceOptions,
  diceCrossEntropyLoss,
  diceFocalLoss,
  diceLoss,
  type FocalOptions,
  focalLoss,
  type GeneralizedDiceOptions,
  generalizedDiceLoss,
  type OverlapOptions,
  type Reduction,
  type RegionLossOptions,
  type Shares,
  type SoftDiceCrossEntropyOptions,
  type SoftDiceOptions,
  softDiceCrossEntropyLoss,
  softDiceLoss,
  softDiceRegionLoss,
  type TverskyOptions,
  tverskyLoss,
} from './losses.ts';
