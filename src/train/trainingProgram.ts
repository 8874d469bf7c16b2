/**
 * A network, its loss and its optimizer as one program: a run of it is one step of training.
 *
 *   network -> loss -> gradients -> clipped -> next parameters
 *      +-> running statistics of batch norms      +-> averages
 *
 * Everything that a step changes is a parameter of the program (`NAME`, `momentum.NAME`, `average.NAME`), and its next value
 * an output `next.NAME`. All updates depend on the norm of all gradients, so none is written before every parameter has been
 * read: they may be written in place.
 */
import { updateOf } from '../engine/engine.ts';
import {
  add,
  differentiate,
  divide,
  filled,
  input,
  maximum,
  multiply,
  type Parameter,
  type Program,
  parameter,
  replaceOutputs,
  reshape,
  sqrt,
  subtract,
  sum,
  type Value,
} from '../program/index.ts';
import { elementCount } from '../tensor.ts';
import { supervisedLoss, supervisedTarget, supervisionWeights } from './deepSupervision.ts';
import { type LossSettings, lossOf } from './lossSettings.ts';
import { type OptimizerSettings, updateRule } from './optimizers.ts';

export interface StepSettings {
  readonly loss: LossSettings;
  readonly optimizer: OptimizerSettings;
  /** Gradients whose norm over all parameters is larger are scaled down to it; null: never. */
  readonly clipNorm: number | null;
  /** Whether a moving average of the weights is kept; input `averageShare` [1] is the share of a step in it. */
  readonly average: boolean;
}

/** PyTorch's: the share of a new batch in the running statistics. */
const statisticsShare = 0.1;

/**
 * @param network in training mode: image -> heads, largest first
 * @returns inputs of the network, `target` [b, 1, spatial..] and the optimizer's numbers; outputs `loss` and `gradientNorm`
 *   (before clipping), [1] each, and `next.NAME` of all that a step changes
 */
export function trainingProgram(network: Program, settings: StepSettings): Program {
  const step = differentiate(lossProgram(network, settings.loss), 'loss');
  return replaceOutputs(step, (outputs) => {
    const learned = network.parameters.filter(({ name }) => outputs[`gradient.${name}`]);
    const gradients = new Map(learned.map((each) => [each, outputs[`gradient.${each.name}`]]));
    const norm = sqrt([...gradients.values()].map(sumOfSquares).reduce(add));
    const factor = clipFactor(norm, settings.clipNorm);
    const update = updateRule(settings.optimizer);
    const next: Record<string, Value> = { loss: reshape(outputs.loss, [1]), gradientNorm: norm };
    for (const [each, gradient] of gradients) {
      const updated = update(each, multiply(gradient, factor));
      next[updateOf(each.name)] = updated.parameter;
      for (const [kept, value] of updated.kept) next[updateOf(kept.name)] = value;
    }
    Object.assign(next, runningStatistics(network));
    if (settings.average) Object.assign(next, averages(network.parameters, next));
    return next;
  });
}

/** The network's program with `loss` as its only output. */
export function lossProgram(network: Program, { of, lowestHead }: LossSettings): Program {
  const heads = [...network.outputs.values()];
  const weights = supervisionWeights(heads.length, lowestHead);
  return replaceOutputs(network, () => {
    const [image] = heads;
    const target = input('target', [image.shape[0], 1, ...image.shape.slice(2)]);
    const lossOfHead = (head: number) => lossOf(of, heads[head], supervisedTarget(target, heads[head].shape.slice(2)));
    return { loss: supervisedLoss(weights, lossOfHead) };
  });
}

/** In short runs: one float32 chain over millions of squares would lose digits. */
function sumOfSquares(x: Value): Value {
  const count = elementCount(x.shape);
  const run = runLength(count);
  const rows = reshape(x, [count / run, run]);
  return reshape(sum(sum(multiply(rows, rows), [1]), [0]), [1]);
}

/** A divisor of `count` that is at most 4096. */
function runLength(count: number): number {
  let length = Math.min(count, 4096);
  while (count % length !== 0) length--;
  return length;
}

/** min(1, limit / (norm + 1e-6)), as PyTorch's clip_grad_norm_. */
function clipFactor(norm: Value, limit: number | null): Value {
  // Without a limit too the updates are made to wait for the norm, see above; 1e30 is no limit.
  const bound = filled(limit ?? 1e30);
  return divide(bound, maximum(add(norm, filled(1e-6)), bound));
}

/** Moved a tenth towards the batch's statistics, the variance with divisor n - 1 (PyTorch's BatchNorm). */
export function runningStatistics(network: Program): Record<string, Value> {
  const next: Record<string, Value> = {};
  const moved = (name: string, towards: Value) => {
    const running = network.parameters.find((each) => each.name === name)!;
    next[updateOf(name)] = add(
      multiply(running, filled(1 - statisticsShare)),
      multiply(towards, filled(statisticsShare)),
    );
  };
  for (const [name, { mean, variance, count }] of batchNorms(network)) {
    moved(`${name}.running_mean`, mean);
    moved(`${name}.running_var`, multiply(variance, filled(count / (count - 1))));
  }
  return next;
}

interface BatchNorm {
  readonly mean: Value;
  readonly variance: Value;
  /** Values of one channel in a batch. */
  readonly count: number;
}

function batchNorms(network: Program): Map<string, BatchNorm> {
  const found = new Map<string, BatchNorm>();
  for (const [tap, mean] of network.taps) {
    if (!tap.endsWith('.batch_mean')) continue;
    const name = tap.slice(0, -'.batch_mean'.length);
    const variance = network.taps.get(`${name}.batch_variance`)!;
    const normalized = network.taps.get(`${name}.out`)!;
    const count = elementCount(normalized.shape) / mean.shape[0];
    found.set(name, { mean, variance, count });
  }
  return found;
}

function averages(parameters: readonly Parameter[], next: Readonly<Record<string, Value>>): Record<string, Value> {
  const share = input('averageShare', [1]);
  const averaged: Record<string, Value> = {};
  for (const each of parameters) {
    const updated = next[updateOf(each.name)];
    if (!updated) continue;
    const average = parameter(`average.${each.name}`, each.shape, each.initializer, { trainable: false });
    averaged[updateOf(average.name)] = add(average, multiply(subtract(updated, average), share));
  }
  return averaged;
}
