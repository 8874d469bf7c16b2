/**
 * The four published networks. The authors' code has one copy of the network for each data set, and the copies have
 * drifted: here the differences stand side by side.
 */
import type { UnetrppSettings } from './settings.ts';

const common = {
  featureSize: 16,
  dims: [32, 64, 128, 256],
  heads: 4,
  projections: [64, 64, 64, 32],
  decoderProjections: [64, 64, 64],
  depths: [3, 3, 3, 3],
  decoderDepths: [3, 3, 3],
  channelDropout: 0.1,
  deepSupervision: true,
  layout: 'reference',
} as const;

const anisotropic = {
  ...common,
  inputChannels: 1,
  stem: [1, 4, 4],
  tokenProjection: 'separate',
  residualBlocks: 2,
  fusion: 'concatenate',
  attentionDropout: 0.1,
} as const;

function preset(
  settings: {
    readonly [K in keyof UnetrppSettings]: UnetrppSettings[K] extends number[] ? readonly number[] : UnetrppSettings[K];
  },
): UnetrppSettings {
  return settings as UnetrppSettings;
}

export const unetrppPresets = {
  synapse: preset({
    ...common,
    inputChannels: 1,
    classes: 14,
    patch: [64, 128, 128],
    stem: [2, 4, 4],
    tokenProjection: 'shared',
    residualBlocks: 1,
    fusion: 'concatenate',
    attentionDropout: 0.15,
  }),
  acdc: preset({ ...anisotropic, classes: 4, patch: [16, 160, 160] }),
  lung: preset({ ...anisotropic, classes: 2, patch: [32, 192, 192] }),
  brats: preset({
    ...common,
    inputChannels: 4,
    classes: 4,
    patch: [128, 128, 128],
    stem: [4, 4, 4],
    tokenProjection: 'sharedNoBias',
    residualBlocks: 1,
    fusion: 'add',
    attentionDropout: 0.1,
  }),
} as const;

export type UnetrppPreset = keyof typeof unetrppPresets;
