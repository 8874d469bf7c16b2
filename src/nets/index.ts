/** The networks: functions from a settings record to a program. */
export { type UnetrppPreset, unetrppPresets } from './unetrpp/presets.ts';
export { type BuildOptions, unetrpp } from './unetrpp/network.ts';
export { checkSettings, stageGrids, type UnetrppSettings, unetrppSettings } from './unetrpp/settings.ts';
