/**
 * A run whose network is arithmetic: two weights with momenta that follow the batches, which follow the step. Every step
 * depends on all before it, so a run that lost, repeated or reordered one ends elsewhere.
 */
import { mkdirSync } from 'node:fs';
import type { Split } from '../src/dataset/index.ts';
import type { Tensor } from '../src/tensor.ts';
import type { State } from '../src/train/checkpoint.node.ts';
import { type RunOptions, type RunPieces, type RunResult, train } from '../src/train/run.ts';
import { openRunFolder, type RunFolder } from '../src/train/runFolder.node.ts';
import { checkTrainSettings, type TrainSettings } from '../src/train/settings.ts';
import { tinyPlan, tinySettings } from './bundle.ts';

export const drawnSplit: Split = { train: ['a', 'b'], validation: ['c'] };

export const drawnSettings: TrainSettings = checkTrainSettings(
  {
    format: 'unetrpp-training',
    version: 1,
    dataset: { name: 'drawn', path: 'nowhere', sha256: '0'.repeat(64) },
    fold: 0,
    seed: 1,
    network: tinySettings,
    plan: tinyPlan(1),
    from: null,
    batch: 2,
    epochs: 4,
    batchesPerEpoch: 5,
    timeLimit: null,
    optimizer: { kind: 'sgd', momentum: 0.9, nesterov: true, weightDecay: 0, decayed: 'all' },
    schedule: { kind: 'poly', rate: 0.1, exponent: 0.9, warmupSteps: 0, per: 'step' },
    loss: { of: { kind: 'softDiceCrossEntropy' }, lowestHead: 'kept' },
    clipNorm: 12,
    average: null,
    dropout: true,
    augmentation: null,
    foregroundShare: 0.33,
    validationCases: 2,
  },
  'drawn settings',
);

const tensor = (...values: number[]): Tensor<'float32'> => ({
  dtype: 'float32',
  shape: [values.length],
  data: Float32Array.from(values),
});

export function drawnState(kept?: State): Map<string, Tensor<'float32'>> {
  const fresh = { w: tensor(1, -1), 'momentum.w': tensor(0, 0) };
  return new Map(Object.entries(fresh).map(([name, each]) => [name, tensor(...(kept?.get(name) ?? each).data)]));
}

/** The pieces of a run with this state. @param changes to some of them */
function drawnPieces(folder: RunFolder, state: State, changes: Partial<RunPieces> = {}): RunPieces {
  let next = folder.checkpoint?.position.step ?? 0;
  return {
    async nextBatch() {
      const index = next++;
      return {
        image: Float32Array.of(Math.sin(index), index % 7),
        target: Float32Array.of(1),
        cases: [`case ${index}`],
      };
    },
    async step({ image }, index, rate) {
      const [w, m] = [state.get('w')!.data, state.get('momentum.w')!.data];
      let loss = 0;
      w.forEach((_, i) => {
        const gradient = w[i] - image[i] + Math.cos(index + i);
        m[i] = 0.9 * m[i] + gradient;
        w[i] -= rate * m[i];
        loss += gradient ** 2;
      });
      return { loss, gradientNorm: Math.sqrt(loss) };
    },
    learningRate: (step, steps) => 0.1 * (1 - step / steps) ** 0.9,
    validation: {
      cases: 3,
      async validate(cases) {
        const mean = 1 / (1 + Math.abs(state.get('w')!.data[0])) / cases;
        return { dice: { thing: mean }, mean };
      },
    },
    save: (position, best) => folder.save(state, position, best),
    record: folder.record,
    changed: folder.changed,
    now: () => performance.now(),
    memory: () => 1e6,
    ...changes,
  };
}

/** Opens the folder and trains to the end, or until something ends it. */
export async function drawnRun(
  path: string,
  changes: Partial<TrainSettings> = {},
  pieces: Partial<RunPieces> | ((state: State) => Partial<RunPieces>) = {},
  options: RunOptions = {},
): Promise<RunResult & { readonly state: State; readonly notices: readonly string[] }> {
  mkdirSync(path, { recursive: true });
  const folder = await openRunFolder(path, { ...drawnSettings, ...changes }, drawnSplit);
  const state = drawnState(folder.checkpoint?.state);
  const changed = typeof pieces === 'function' ? pieces(state) : pieces;
  const from = folder.checkpoint?.position;
  const result = await train(folder.settings, drawnPieces(folder, state, changed), { from, ...options });
  return { ...result, state, notices: folder.notices };
}
