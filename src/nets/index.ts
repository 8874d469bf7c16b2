/** The networks: functions from a settings record to a program. */

export { randomInputs, randomSteps } from './dropout.ts';
export { blockOf } from './unetrpp/blocks.ts';
export { type ChangedPatch, changePatch } from './unetrpp/changePatch.ts';
export { type CostKind, costKind, costStage } from './unetrpp/cost.ts';
export { type BuildOptions, unetrpp } from './unetrpp/network.ts';
export { type UnetrppPreset, unetrppPresets } from './unetrpp/presets.ts';
export {
  describeMismatch,
  type Mismatch,
  type Recognized,
  recognizeUnetrpp,
  type WeightShapes,
} from './unetrpp/recognize.ts';
export { checkSettings, stageGrids, type UnetrppSettings, unetrppSettings } from './unetrpp/settings.ts';
