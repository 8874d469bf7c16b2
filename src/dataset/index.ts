/** Data sets, the plan by which their cases are prepared, and what becomes of them on their way into training. */
export {
  type Augmentation,
  type AugmentationSettings,
  type AugmentOptions,
  augment,
  drawAugmentation,
  loadedPatchShape,
  trainingAugmentation,
} from './augmentation/augment.ts';
export {
  applyGamma,
  type GammaOptions,
  type LowResolutionOptions,
  lowerResolution,
  scaleBrightness,
  scaleContrast,
} from './augmentation/intensity.ts';
export { mirror } from './augmentation/mirror.ts';
export { addNoise, blur } from './augmentation/noise.ts';
export type { LabelData, Patch } from './augmentation/patch.ts';
export {
  centerCrop,
  initialPatchShape,
  type SpatialOptions,
  type SpatialTransform,
  transformPatch,
} from './augmentation/spatial.ts';
export { type ChannelNormalization, normalizationOf } from './channels.ts';
export { type DatasetDescription, type DatasetLabel, declaredValues, parseDataset } from './description.ts';
export { type CaseFingerprint, type Fingerprint, measureCase } from './fingerprint.ts';
export { type NnunetPlan, type NnunetPlanner, nnunetPlan, type PlannedData } from './nnunetPlanning.ts';
export { planFromV2Json } from './nnunetV2Plan.ts';
export {
  annotatedVoxels,
  cutPatch,
  drawCorner,
  drawForegroundCorner,
  type ForegroundLocations,
  foregroundLocations,
  isForegroundSample,
  type PatchPlace,
} from './patchSampling.ts';
export { type HeartFrames, heartFrames, type Patients, parsePatients, patientsByName } from './patients.ts';
export { type Phantom, type PhantomOptions, phantom } from './phantom.ts';
export { phantomOrgans } from './phantomAnatomy.ts';
export { type Channel, type Plan, parsePlan, planFromV1Pickle, planSchema, type V1Surroundings } from './plan.ts';
export { integer, nextBits, type RandomStream, randomStream, standardNormal, uniform } from './randomStream.ts';
export { type PublishedScore, type Recipe, type RecipeName, recipes, type Scored } from './recipes.ts';
export { type Fold, nnunetSplit, parseSplits, patientSplit, type Split, splitOf } from './split.ts';
