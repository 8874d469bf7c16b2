/**
 * A tiny UNETR++ as a bundle folder, and a scan to go with it, for tests of commands. Weights come from the fill rule.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fill } from '../src/cli/verify/fill.ts';
import type { Plan } from '../src/dataset/index.ts';
import { type UnetrppSettings, unetrpp, unetrppPresets } from '../src/nets/index.ts';
import type { Model } from '../src/predict/index.ts';
import { elementCount, type Tensor } from '../src/tensor.ts';
import { identityDirection, type Volume, writeNifti } from '../src/volume/index.ts';
import { packBundle } from '../src/weights/index.ts';
import { drawCheckpoint } from './drawnCheckpoint.ts';

export const tinySettings: UnetrppSettings = {
  ...unetrppPresets.synapse,
  classes: 3,
  patch: [8, 8, 8],
  stem: [1, 1, 1],
  featureSize: 2,
  dims: [4, 4, 4, 4],
  heads: 2,
  projections: [4, 4, 4, 1],
  decoderProjections: [4, 4, 4],
  depths: [1, 1, 1, 1],
  decoderDepths: [1, 1, 1],
};

/** A head that says each of the classes somewhere: features are nearly all positive, so random signs would not. */
function head(classes: number): Record<string, Tensor<'float32'>> {
  const weight = Float32Array.from([1, -1, -1, 1, 0, 0].slice(0, 2 * classes));
  const bias = Float32Array.from([0, 0, 0.3].slice(0, classes));
  return {
    'out1.conv.conv.weight': { dtype: 'float32', shape: [classes, 2, 1, 1, 1], data: weight },
    'out1.conv.conv.bias': { dtype: 'float32', shape: [classes], data: bias },
  };
}

/**
 * @param settings of a network with a full-resolution branch of two channels
 * @param salt another one gives other weights
 */
export function tinyWeights(settings: UnetrppSettings = tinySettings, salt = ''): Map<string, Tensor<'float32'>> {
  const weights = unetrpp(settings).parameters.map(({ name, shape }): [string, Tensor<'float32'>] => {
    const [lo, hi] = name.endsWith('running_var') ? [0.5, 1.5] : [-0.6, 0.6];
    return [name, { dtype: 'float32', shape, data: fill(name + salt, elementCount(shape), lo, hi) }];
  });
  return new Map([...weights, ...Object.entries(head(settings.classes))]);
}

export const tinyPlan = (channels: number) => ({
  format: 'unetrpp-plan',
  version: 1,
  configuration: '3d_fullres',
  transposeForward: [0, 1, 2],
  spacing: null,
  patch: tinySettings.patch,
  channels: Array.from({ length: channels }, (_, index) => ({
    name: index === 0 ? 'MR' : `MR ${index + 1}`,
    normalization: 'zScore',
    useMask: false,
  })),
  convention: 'nnunet-v1',
  resampling: { image: 3, imageZ: 0, probabilities: 1, probabilitiesZ: 0, anisotropyThreshold: 3 },
  orientation: null,
  inference: { step: 0.5, mirrorAxes: [0, 1, 2] },
});

/** The same as a model in memory, with names of labels for so many classes. */
export function tinyModel(planChanges: Partial<Plan> = {}, classes = 3, salt = ''): Model {
  const patch = planChanges.patch ?? tinySettings.patch;
  const own = { ...tinySettings, classes, patch };
  const labels = [...Array(classes).keys()].map((value) => ({
    value,
    name: value === 0 ? 'background' : `part ${value}`,
  }));
  return {
    name: 'tiny',
    manifest: {
      format: 'unetrpp-model',
      version: 1,
      name: 'tiny',
      description: 'for tests',
      network: { name: 'unetrpp', settings: { ...own } },
      labels,
      plan: {},
      weights: { file: 'weights.safetensors', dtype: 'float32', bytes: 1, sha256: '0'.repeat(64) },
      provenance: { source: 'fill rule', madeBy: 'test' },
    },
    settings: own,
    plan: { ...(tinyPlan(1) as unknown as Plan), ...planChanges },
    labels: new Map(labels.map(({ value, name }) => [value, name])),
    weights: tinyWeights(own, salt),
  };
}

/**
 * The two files of the bundle.
 * @param channels that the network takes
 */
export function packTinyBundle(channels = 1, salt = ''): Promise<{ manifest: Uint8Array; weights: Uint8Array }> {
  const settings = { ...tinySettings, inputChannels: channels };
  const manifest = {
    name: 'tiny',
    description: 'A network of no use, for tests.',
    network: { name: 'unetrpp', settings: { ...settings } },
    labels: [
      { value: 0, name: 'background' },
      { value: 1, name: 'stripes' },
      { value: 2, name: 'dots' },
    ],
    plan: tinyPlan(channels),
    provenance: { source: 'the fill rule', madeBy: 'a test' },
  };
  return packBundle(manifest, tinyWeights(settings, salt), 'float32');
}

/**
 * @param channels that the network takes
 * @param salt another one gives other weights
 */
export async function writeTinyBundle(folder: string, channels = 1, salt = ''): Promise<string> {
  const packed = await packTinyBundle(channels, salt);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'weights.safetensors'), packed.weights);
  writeFileSync(join(folder, 'model.json'), packed.manifest);
  return folder;
}

/** The weights as a checkpoint. @param settings of a network with a full-resolution branch of two channels */
export function tinyCheckpoint(settings: UnetrppSettings = tinySettings): Uint8Array {
  return drawCheckpoint(tinyWeights(settings));
}

export const tinyScan: Volume<Float32Array> = {
  shape: [10, 9, 12],
  spacing: [1.5, 1, 2],
  origin: [-4, 7, 3],
  direction: identityDirection,
  channels: 1,
  data: fill('scan', 10 * 9 * 12, 1, 100),
};

export function writeScan(path: string, changes: Partial<Volume> = {}): string {
  writeFileSync(path, writeNifti({ ...tinyScan, ...changes }, { gzip: path.endsWith('.gz') }));
  return path;
}
