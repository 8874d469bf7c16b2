/** The networks: functions from a settings record to a program. */

export { type CostKind, costKind, costStage } from './unetrpp/cost.ts';
export { type BuildOptions, unetrpp } from './unetrpp/network.ts';
export { type UnetrppPreset, unetrppPresets } from './unetrpp/presets.ts';
export { checkSettings, stageGrids, type UnetrppSettings, unetrppSettings } from './unetrpp/settings.ts';
