import { describe, expect, it } from 'vitest';
import { buildProgram, evaluate, input, parameter } from '../program/index.ts';
import type { Tensor } from '../tensor.ts';
import { adamW, keptNames, nesterovSgd, type OptimizerSettings, scalars, updateRule } from './optimizers.ts';

const zero = { kind: 'constant', value: 0 } as const;

const numbers = (values: readonly number[]): Tensor => ({
  dtype: 'float64',
  shape: [values.length],
  data: Float64Array.from(values),
});

/** Steps of one parameter of one element (or of a 1x1 matrix), with a gradient a step; its value after each. */
function descend(
  settings: OptimizerSettings,
  start: number,
  gradients: readonly number[],
  rate: number,
  shape: readonly number[] = [1],
): number[] {
  const program = buildProgram('step', () => {
    const update = updateRule(settings)(parameter('p', shape, zero), input('gradient', shape));
    return {
      'next.p': update.parameter,
      ...Object.fromEntries([...update.kept].map(([kept, value]) => [`next.${kept.name}`, value])),
    };
  });
  const one = (value: number): Tensor => ({ dtype: 'float64', shape, data: Float64Array.of(value) });
  const state = new Map<string, Tensor>([['p', one(start)]]);
  for (const name of keptNames(settings, 'p')) state.set(name, one(0));
  return gradients.map((gradient, index) => {
    const fed = [...scalars(settings, index, rate)].map(([name, value]) => [name, numbers([value])] as const);
    const results = evaluate(program, new Map<string, Tensor>([...state, ['gradient', one(gradient)], ...fed]));
    for (const [name, { data }] of results) state.set(name.slice('next.'.length), one(data[0]));
    return results.get('next.p')!.data[0];
  });
}

function expectClose(got: readonly number[], wanted: readonly number[]): void {
  expect(got).toHaveLength(wanted.length);
  got.forEach((value, index) => {
    expect(value, `step ${index + 1}`).toBeCloseTo(wanted[index], 12);
  });
}

describe('stochastic gradient descent', () => {
  const plain = { kind: 'sgd', momentum: 0, nesterov: false, weightDecay: 0, decayed: 'all' } as const;

  it('without momentum takes rate times gradient', () => {
    expectClose(descend(plain, 1, [2, -4], 0.1), [0.8, 1.2]);
  });

  it('with momentum 1/2 goes by 2, then by 1/2 * 2 + 2 = 3', () => {
    expectClose(descend({ ...plain, momentum: 0.5 }, 10, [2, 2], 1), [8, 5]);
  });

  it('in Nesterov’s form looks ahead: 2 + 1/2 * 2 = 3, then 2 + 1/2 * 3 = 3.5', () => {
    expectClose(descend({ ...plain, momentum: 0.5, nesterov: true }, 10, [2, 2], 1), [7, 3.5]);
  });

  it('decays by adding a share of the parameter to the gradient: 10 - (2 + 0.1 * 10), then 7 - (2 + 0.7)', () => {
    expectClose(descend({ ...plain, weightDecay: 0.1 }, 10, [2, 2], 1), [7, 4.3]);
  });

  it('decays vectors, or matrices alone', () => {
    const settings = { ...plain, weightDecay: 0.1, decayed: 'matrices' } as const;
    expectClose(descend(settings, 10, [2], 1), [8]);
    expectClose(descend(settings, 10, [2], 1, [1, 1]), [7]);
  });

  it('of UNETR++ has momentum 0.99, Nesterov’s form and decay 3e-5 of all', () => {
    // g = 1 + 3e-5; p - 0.01 (g + 0.99 g).
    expectClose(descend(nesterovSgd, 1, [1], 0.01), [1 - 0.01 * 1.99 * (1 + 3e-5)]);
  });
});

describe('Adam', () => {
  const plain = { kind: 'adam', beta1: 0.5, beta2: 0.75, epsilon: 0, weightDecay: 0, decayed: 'all' } as const;

  it('takes a whole step first, whatever the size of the gradient', () => {
    expectClose(descend(plain, 1, [1000], 0.1), [0.9]);
    expectClose(descend(plain, 1, [-1e-4], 0.1), [1.1]);
  });

  it('corrects both averages for their beginning at 0', () => {
    // Gradients 2 and 4: m = 1, 2.5, corrected by 1/2 and 3/4: 2, 10/3; v = 1, 4.75, by 1/4 and 7/16: 4, 76/7.
    expectClose(descend(plain, 1, [2, 4], 0.1), [0.9, 0.9 - (0.1 * 10) / 3 / Math.sqrt(76 / 7)]);
  });

  it('adds epsilon to the corrected root: 0.1 * 2 / (2 + 2)', () => {
    expectClose(descend({ ...plain, epsilon: 2 }, 1, [2], 0.1), [0.95]);
  });

  it('adds decay to the gradient; AdamW shrinks the parameter beside it', () => {
    // Adam: the gradient becomes 2 + 0.5 * 4 = 4, and the first step is 0.1 all the same.
    expectClose(descend({ ...plain, weightDecay: 0.5 }, 4, [2], 0.1), [3.9]);
    // AdamW: 4 (1 - 0.1 * 0.5) - 0.1.
    expectClose(descend({ ...plain, kind: 'adamW', weightDecay: 0.5 }, 4, [2], 0.1), [3.7]);
    expectClose(descend(adamW, 4, [2], 0.1), [4 - 0.1 / (1 + 1e-8 / 2)]);
    expectClose(descend(adamW, 4, [2], 0.1, [1, 1]), [4 * (1 - 0.001) - 0.1 / (1 + 1e-8 / 2)]);
  });
});
