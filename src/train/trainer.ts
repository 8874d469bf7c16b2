/**
 * A network in training: its state in memory, and the step that moves it. What is trained on, for how long and what is kept
 * of it is the run's to say (run.ts), or the reader's own loop:
 *
 *   const trainer = await createTrainer(nodeEngine, settings, recipe, { initial: initialize(unetrpp(settings), 1) });
 *   for (let step = 0; step < 1000; step++) console.log(await trainer.step(await batches.next(), step, 0.01));
 *   const weights = trainer.weights();
 */
import { randomStream, uniform } from '../dataset/index.ts';
import type { CompileOptions, Engine } from '../engine/engine.ts';
import { randomInputs, randomSteps, type UnetrppSettings, unetrpp } from '../nets/index.ts';
import type { Program } from '../program/index.ts';
import { elementCount, sameShape, showShape, type Tensor } from '../tensor.ts';
import { fnv1a } from '../weights/initialization.ts';
import type { LossSettings } from './lossSettings.ts';
import { type OptimizerSettings, scalars } from './optimizers.ts';
import { type Recomputation, recomputing } from './recomputation.ts';
import { trainingProgram } from './trainingProgram.ts';

export interface TrainerSettings {
  /** Samples of a step. */
  readonly batch: number;
  readonly loss: LossSettings;
  readonly optimizer: OptimizerSettings;
  /** Largest norm of the gradient over all parameters; null: any. UNETR++ and nnU-Net: 12. */
  readonly clipNorm: number | null;
  /** Decay a step of the moving average of the weights, such as 0.999; null: none. It begins lower: (1 + i) / (10 + i). */
  readonly average: number | null;
  readonly dropout: boolean;
  /** Decides, with the number of a step, what is dropped in it. */
  readonly seed: number;
}

export interface StepResult {
  readonly loss: number;
  /** Before clipping. */
  readonly gradientNorm: number;
}

export interface Trainer {
  /**
   * Every array that a step changes, by name: parameters and running statistics under their own names, `momentum.NAME` (and
   * `variance.NAME` for Adam), `average.NAME`. Steps write over them; a checkpoint is a copy of them.
   */
  readonly state: ReadonlyMap<string, Tensor<'float32'>>;
  /**
   * One step: forward, loss, backward, clipping, update.
   * @param batch image [b, c, ..patch] and target [b, 1, ..patch], labels as float32, in C order
   * @param index of the step, from 0
   */
  step(
    batch: { readonly image: Float32Array; readonly target: Float32Array },
    index: number,
    learningRate: number,
  ): Promise<StepResult>;
  /** What a bundle gets: the averages where there are any, else the parameters, and the running statistics. Not copies. */
  weights(): Map<string, Tensor<'float32'>>;
  dispose(): Promise<void>;
}

export interface TrainerOptions extends Omit<CompileOptions, 'state'> {
  /** What of the forward pass is computed again in the backward pass, for less memory. Default: none. */
  readonly recomputation?: Recomputation;
  /** Weights to begin from, or a whole state to go on from. They are copied. */
  readonly initial: ReadonlyMap<string, Tensor<'float32'>>;
}

/** The program of a step, to look at or to ask for its memory. */
export function stepProgram(
  network: UnetrppSettings,
  settings: TrainerSettings,
  recomputation: Recomputation = 'none',
): Program {
  const training = settings.dropout ? true : 'withoutDropout';
  const program = unetrpp(network, { batch: settings.batch, training });
  return recomputing(trainingProgram(program, { ...settings, average: settings.average !== null }), recomputation);
}

/** @throws Error when a weight of `initial` is missing or has another shape than the network's */
export async function createTrainer(
  engine: Engine,
  network: UnetrppSettings,
  settings: TrainerSettings,
  { initial, recomputation, ...options }: TrainerOptions,
): Promise<Trainer> {
  const program = stepProgram(network, settings, recomputation);
  const state = firstState(program, initial);
  // The runtime's own rewrites would take long over so many nodes, win little, and undo recomputation.
  const executable = await engine.compile(program, new Map(), { optimization: 'none', ...options, state });
  const random = randomInputs(program);

  return {
    state,

    async step(batch, index, learningRate) {
      const feeds = new Map<string, Tensor>();
      const feed = (name: string, data: Float32Array) => {
        const { shape } = program.inputs.find((each) => each.name === name)!;
        feeds.set(name, { dtype: 'float32', shape, data });
      };
      feed('image', batch.image);
      feed('target', batch.target);
      for (const [name, value] of scalars(settings.optimizer, index, learningRate)) feed(name, Float32Array.of(value));
      if (settings.average !== null) feed('averageShare', Float32Array.of(averageShare(settings.average, index)));
      for (const { name, shape } of random) feed(name, drawKeys(elementCount(shape), settings.seed, index, name));
      const results = await executable.run(feeds);
      return { loss: results.get('loss')!.data[0], gradientNorm: results.get('gradientNorm')!.data[0] };
    },

    weights() {
      const names = [...state.keys()].filter((name) => !/^(momentum|variance|average)\./.test(name));
      return new Map(names.map((name) => [name, state.get(`average.${name}`) ?? state.get(name)!]));
    },

    dispose: () => executable.dispose(),
  };
}

const averageShare = (decay: number, index: number) => 1 - Math.min(decay, (1 + index) / (10 + index));

/** What a dropout's mask is made from, for one step: whole numbers below `randomSteps`. */
function drawKeys(count: number, seed: number, index: number, name: string): Float32Array {
  const stream = randomStream(seed, index, fnv1a(name));
  return Float32Array.from({ length: count }, () => Math.floor(uniform(stream, 0, randomSteps)));
}

/** Copies of what `initial` has; an average begins at its parameter, what an optimizer keeps at 0. */
function firstState(program: Program, initial: TrainerOptions['initial']): Map<string, Tensor<'float32'>> {
  const state = new Map<string, Tensor<'float32'>>();
  for (const { name, shape } of program.parameters) {
    const given = initial.get(name) ?? initial.get(name.replace(/^average\./, ''));
    if (!given && !/^(momentum|variance)\./.test(name)) throw new Error(`the parameter ${name} has no first value`);
    if (given && !sameShape(given.shape, shape)) {
      throw new Error(`the first value of ${name} is ${showShape(given.shape)}, not ${showShape(shape)}`);
    }
    state.set(name, {
      dtype: 'float32',
      shape,
      data: given ? given.data.slice() : new Float32Array(elementCount(shape)),
    });
  }
  return state;
}
