/**
 * Optimizers as programs: from a parameter, its gradient and what is kept beside it to the next of each. The numbers are
 * PyTorch's, whose names the settings have.
 *
 * SGD: Sutskever et al. 2013 (Nesterov's form as in PyTorch); Adam: Kingma and Ba 2015; AdamW: Loshchilov and Hutter 2019.
 */
import { z } from 'zod';
import {
  add,
  divide,
  filled,
  input,
  multiply,
  type Parameter,
  parameter,
  sqrt,
  subtract,
  type Value,
} from '../program/index.ts';

const below1 = z.number().min(0).lt(1);

/** `all`: every parameter decays, as in nnU-Net and UNETR++; `matrices`: those of more than one axis: no norms, no biases. */
const decayed = z.enum(['all', 'matrices']);

const adamSettings = {
  beta1: below1,
  beta2: below1,
  epsilon: z.number().positive(),
  weightDecay: z.number().min(0),
  decayed,
};

export const optimizerSettings = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('sgd'),
    momentum: below1,
    nesterov: z.boolean(),
    weightDecay: z.number().min(0),
    decayed,
  }),
  /** Weight decay is added to the gradient. */
  z.strictObject({ kind: z.literal('adam'), ...adamSettings }),
  /** Weight decay shrinks the parameter by itself. */
  z.strictObject({ kind: z.literal('adamW'), ...adamSettings }),
]);

export type OptimizerSettings = z.infer<typeof optimizerSettings>;

/** nnU-Net's and UNETR++'s. */
export const nesterovSgd: OptimizerSettings = {
  kind: 'sgd',
  momentum: 0.99,
  nesterov: true,
  weightDecay: 3e-5,
  decayed: 'all',
};

/** PyTorch's defaults, but that norms and biases do not decay. */
export const adamW: OptimizerSettings = {
  kind: 'adamW',
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0.01,
  decayed: 'matrices',
};

/** The next value of a parameter, and of each state that is kept beside it. */
export interface Update {
  readonly parameter: Value;
  readonly kept: ReadonlyMap<Parameter, Value>;
}

/** Names of what an optimizer keeps beside a parameter: arrays of its shape, at first zero. */
export function keptNames(settings: OptimizerSettings, name: string): string[] {
  return settings.kind === 'sgd' ? [`momentum.${name}`] : [`momentum.${name}`, `variance.${name}`];
}

/**
 * The rule of an optimizer; called inside a program, in which it declares its inputs, single numbers that `scalars` gives
 * for each step, and what it keeps.
 */
export function updateRule(settings: OptimizerSettings): (p: Parameter, gradient: Value) => Update {
  const rate = input('learningRate', [1]);
  const decayOf = (p: Parameter) => (settings.decayed === 'all' || p.shape.length > 1 ? settings.weightDecay : 0);
  const keep = (p: Parameter) =>
    keptNames(settings, p.name).map((name) =>
      parameter(name, p.shape, { kind: 'constant', value: 0 }, { trainable: false }),
    );

  if (settings.kind === 'sgd') {
    return (p, gradient) => {
      const [momentum] = keep(p);
      const g = withDecay(gradient, p, decayOf(p));
      const next = add(scaled(momentum, settings.momentum), g);
      const direction = settings.nesterov ? add(g, scaled(next, settings.momentum)) : next;
      return { parameter: subtract(p, multiply(direction, rate)), kept: new Map([[momentum, next]]) };
    };
  }
  const { kind, beta1, beta2, epsilon } = settings;
  const correction1 = input('momentCorrection', [1]);
  const correction2 = input('varianceCorrection', [1]);
  const corrected = multiply(rate, correction1);
  return (p, gradient) => {
    const [momentum, variance] = keep(p);
    const decay = decayOf(p);
    const g = kind === 'adam' ? withDecay(gradient, p, decay) : gradient;
    const nextMomentum = add(scaled(momentum, beta1), scaled(g, 1 - beta1));
    const nextVariance = add(scaled(variance, beta2), scaled(multiply(g, g), 1 - beta2));
    const deviation = add(multiply(sqrt(nextVariance), correction2), filled(epsilon));
    const stepped = multiply(divide(nextMomentum, deviation), corrected);
    const shrunk = kind === 'adamW' && decay > 0 ? multiply(p, subtract(filled(1), multiply(rate, filled(decay)))) : p;
    const kept = new Map([
      [momentum, nextMomentum],
      [variance, nextVariance],
    ]);
    return { parameter: subtract(shrunk, stepped), kept };
  };
}

/** The single numbers that a step is fed. @param index of the step, from 0 */
export function scalars(settings: OptimizerSettings, index: number, learningRate: number): Map<string, number> {
  const all = new Map([['learningRate', learningRate]]);
  if (settings.kind !== 'sgd') {
    all.set('momentCorrection', 1 / (1 - settings.beta1 ** (index + 1)));
    all.set('varianceCorrection', 1 / Math.sqrt(1 - settings.beta2 ** (index + 1)));
  }
  return all;
}

const scaled = (x: Value, factor: number) => multiply(x, filled(factor));

const withDecay = (gradient: Value, p: Value, decay: number) =>
  decay === 0 ? gradient : add(gradient, scaled(p, decay));
