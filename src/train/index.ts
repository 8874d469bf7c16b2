/** Training: losses, optimizers, schedules, the step, the run; fine-tuning of a model. */
export { augmentationPreview } from './augmentationPreview.ts';
export {
  type Batch,
  type BatchSettings,
  type BatchSource,
  drawBatch,
  inThisThread,
  type TrainingCase,
} from './batches.ts';
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
export { type LossSettings, lossOf, lossSettings } from './lossSettings.ts';
export { adamW, nesterovSgd, type OptimizerSettings, optimizerSettings } from './optimizers.ts';
export { type MemoryLevel, memoryLevels, type Recomputation } from './recomputation.ts';
export {
  type EpochRecord,
  type RunBatch,
  type RunEvent,
  type RunOptions,
  type RunPieces,
  type RunProgress,
  type RunRecord,
  type RunResult,
  train,
} from './run.ts';
export { learningRate, type SchedulePlace, type ScheduleSettings, scheduleSettings } from './schedules.ts';
export { completeSettings, type TrainSettings, trainSettings } from './settings.ts';
export {
  createTrainer,
  type StepResult,
  stepProgram,
  type Trainer,
  type TrainerOptions,
  type TrainerSettings,
} from './trainer.ts';
export { type StepSettings, trainingProgram } from './trainingProgram.ts';
export { type CaseScores, summarize, type ValidationCase, validate } from './validate.ts';
