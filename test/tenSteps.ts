/**
 * Ten steps of training on two drawn scans, on any engine: drawn batches with augmentation, dropout, AdamW, clipping and an
 * averaged copy of the weights. The same numbers are due in Node and in a browser.
 */
import { foregroundLocations, randomStream, standardNormal, trainingAugmentation } from '../src/dataset/index.ts';
import type { CompileOptions, Engine } from '../src/engine/engine.ts';
import { type UnetrppSettings, unetrpp, unetrppPresets } from '../src/nets/index.ts';
import { drawBatch, type TrainingCase } from '../src/train/batches.ts';
import { adamW } from '../src/train/optimizers.ts';
import { createTrainer } from '../src/train/trainer.ts';
import type { Vector3 } from '../src/volume/index.ts';
import { initialize } from '../src/weights/index.ts';

const patch: Vector3 = [8, 16, 16];

const network: UnetrppSettings = {
  ...unetrppPresets.synapse,
  classes: 3,
  patch: [...patch],
  stem: [1, 2, 2],
  featureSize: 4,
  dims: [4, 8, 8, 8],
  heads: 2,
  projections: [16, 16, 8, 1],
  decoderProjections: [16, 16, 16],
  depths: [1, 1, 1, 1],
  decoderDepths: [1, 1, 1],
  attentionDropout: 0.15,
  channelDropout: 0.1,
};

/** Noise, in it a bright box with a brighter one inside. */
function drawnCase(name: string, seed: number): TrainingCase {
  const shape: Vector3 = [10, 20, 18];
  const count = shape[0] * shape[1] * shape[2];
  const labels = new Int16Array(count);
  const image = standardNormal(randomStream(seed), count);
  for (let at = 0; at < count; at++) {
    const [z, y, x] = [Math.floor(at / 360), Math.floor(at / 18) % 20, at % 18];
    const inside = (edge: number) =>
      z >= edge && z < 10 - edge && y >= edge + seed && y < 14 + seed - edge && x >= 2 * edge && x < 18 - 2 * edge;
    labels[at] = inside(4) ? 2 : inside(2) ? 1 : 0;
    image[at] = 0.5 * image[at] + labels[at];
  }
  return {
    name,
    patch: { shape, channels: 1, image, labels },
    locations: foregroundLocations(labels, randomStream(seed)),
  };
}

export interface TenSteps {
  readonly losses: number[];
  readonly gradientNorms: number[];
  /** Of the averaged weights that a bundle would get. */
  readonly sumOfSquares: number;
}

export async function tenSteps(
  engine: Engine,
  options: Pick<CompileOptions, 'device' | 'threads'>,
  dropout = true,
): Promise<TenSteps> {
  const settings = {
    batch: 2,
    loss: { of: { kind: 'softDiceCrossEntropy' }, lowestHead: 'kept' },
    optimizer: adamW,
    clipNorm: 12,
    average: 0.99,
    dropout,
    seed: 3,
  } as const;
  const cases = [drawnCase('one', 1), drawnCase('two', 2)];
  const batches = { patch, batch: 2, seed: 3, augmentation: trainingAugmentation(patch), zeroOutside: false };
  const initial = initialize(unetrpp(network), 3);
  const trainer = await createTrainer(engine, network, settings, { initial, ...options });
  const results = [];
  for (let step = 0; step < 10; step++) results.push(await trainer.step(drawBatch(cases, batches, step), step, 1e-3));
  let sumOfSquares = 0;
  for (const { data } of trainer.weights().values()) for (const value of data) sumOfSquares += value * value;
  await trainer.dispose();
  return {
    losses: results.map(({ loss }) => loss),
    gradientNorms: results.map(({ gradientNorm }) => gradientNorm),
    sumOfSquares,
  };
}
