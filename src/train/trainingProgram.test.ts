import { describe, expect, it } from 'vitest';
import { declareBatchNormalization } from '../nets/layers.ts';
import {
  buildProgram,
  check,
  evaluate,
  filled,
  input,
  multiply,
  type Program,
  parameter,
  print,
  scope,
  subtract,
} from '../program/index.ts';
import { elementCount, type Shape, type Tensor } from '../tensor.ts';
import { nesterovSgd, type OptimizerSettings } from './optimizers.ts';
import { trainingProgram } from './trainingProgram.ts';

const zero = { kind: 'constant', value: 0 } as const;
const float64 = (shape: Shape, data: ArrayLike<number>): Tensor => ({
  dtype: 'float64',
  shape,
  data: Float64Array.from(data),
});

const descent: OptimizerSettings = { kind: 'sgd', momentum: 0, nesterov: false, weightDecay: 0, decayed: 'all' };
const crossEntropy = {
  of: { kind: 'softDiceCrossEntropy', overlapShare: 0 },
  lowestHead: 'kept',
} as const;

/** Two classes, one voxel, the logits [w, -w] of an image of ones: cross entropy log(1 + e^(-2 w)) of class 0. */
const twoLogits = () =>
  buildProgram('two', () => {
    const image = input('image', [1, 2, 1, 1, 1]);
    return { out1: multiply(image, parameter('w', [1], zero)) };
  });

function stepOf(program: Program, fed: Readonly<Record<string, readonly number[]>>) {
  check(program);
  const feeds = new Map<string, Tensor>();
  for (const { name, shape } of [...program.inputs, ...program.parameters]) {
    feeds.set(name, float64(shape, fed[name] ?? new Array(elementCount(shape)).fill(0)));
  }
  const results = evaluate(program, feeds);
  return (name: string) => results.get(name)!.data[0];
}

describe('a step', () => {
  const fed = { image: [1, -1], target: [0], learningRate: [0.5], w: [0] };
  const settings = { loss: crossEntropy, optimizer: descent, clipNorm: null, average: false };

  it('goes down the slope of the loss: log 2, whose slope at even odds is -1', () => {
    const found = stepOf(trainingProgram(twoLogits(), settings), fed);
    expect(found('loss')).toBeCloseTo(Math.log(2), 12);
    expect(found('gradientNorm')).toBeCloseTo(1, 12);
    expect(found('next.w')).toBeCloseTo(0.5, 12);
  });

  it('clips a gradient that is longer than the limit to it, and says how long it was', () => {
    const found = stepOf(trainingProgram(twoLogits(), { ...settings, clipNorm: 0.25 }), fed);
    expect(found('gradientNorm')).toBeCloseTo(1, 12);
    // PyTorch's rule: 0.25 / (1 + 1e-6).
    expect(found('next.w')).toBeCloseTo(0.125 / (1 + 1e-6), 12);
  });

  it('leaves a shorter gradient as it is', () => {
    const found = stepOf(trainingProgram(twoLogits(), { ...settings, clipNorm: 12 }), fed);
    expect(found('next.w')).toBeCloseTo(0.5, 12);
  });

  it('moves an average by its share: 0.1 of the way from 2 to 0.5', () => {
    const program = trainingProgram(twoLogits(), { ...settings, average: true });
    const found = stepOf(program, { ...fed, 'average.w': [2], averageShare: [0.1] });
    expect(found('next.average.w')).toBeCloseTo(2 - 0.1 * 1.5, 12);
  });

  it('keeps what the optimizer keeps', () => {
    const momentum = { ...descent, momentum: 0.5 } as const;
    const found = stepOf(trainingProgram(twoLogits(), { ...settings, optimizer: momentum }), {
      ...fed,
      'momentum.w': [4],
    });
    expect(found('next.momentum.w')).toBeCloseTo(0.5 * 4 - 1, 12);
    expect(found('next.w')).toBeCloseTo(-0.5 * 1, 12);
  });

  it('takes the norm over all parameters, in short runs however many they are', () => {
    const count = 3 * 5000;
    const wide = buildProgram('wide', () => {
      const image = input('image', [1, 2, 1, 1, count]);
      return { out1: multiply(image, parameter('w', [count], zero)) };
    });
    const program = trainingProgram(wide, settings);
    const found = stepOf(program, {
      image: new Array(2 * count).fill(0).map((_, index) => (index < count ? 1 : -1)),
      learningRate: [1],
    });
    // Each of n voxels has the slope -1 / n; the root of n squares is 1 / sqrt(n).
    expect(found('gradientNorm')).toBeCloseTo(1 / Math.sqrt(count), 12);
    // 15 000 = 4 * 3750.
    expect(print(program)).toContain('float32[4,3750]');
  });
});

describe('running statistics', () => {
  it('move a tenth of the way to the mean and to the variance with divisor n - 1', () => {
    const network = buildProgram('norm', () => {
      const image = input('image', [1, 2, 1, 1, 2]);
      return { out1: scope('bn', () => declareBatchNormalization('norm', 2, true)(image)) };
    });
    const program = trainingProgram(network, {
      loss: crossEntropy,
      optimizer: descent,
      clipNorm: null,
      average: false,
    });
    // Channel 0 is 1 and 3: mean 2, variance (1 + 1) / (2 - 1) = 2.
    const found = stepOf(program, {
      image: [1, 3, 0, 0],
      'bn.norm.weight': [1, 1],
      'bn.norm.running_mean': [1, 1],
      'bn.norm.running_var': [1, 1],
    });
    expect(found('next.bn.norm.running_mean')).toBeCloseTo(0.9 * 1 + 0.1 * 2, 12);
    expect(found('next.bn.norm.running_var')).toBeCloseTo(0.9 * 1 + 0.1 * 2, 12);
  });

  it('are not learned, and learned parameters are not moved twice', () => {
    const network = buildProgram('norm', () => {
      const image = input('image', [1, 2, 1, 1, 2]);
      const shifted = subtract(image, filled(1));
      return { out1: declareBatchNormalization('norm', 2, true)(shifted) };
    });
    const { outputs } = trainingProgram(network, {
      loss: crossEntropy,
      optimizer: nesterovSgd,
      clipNorm: 12,
      average: true,
    });
    expect([...outputs.keys()].sort()).toEqual(
      [
        'gradientNorm',
        'loss',
        'next.average.norm.bias',
        'next.average.norm.running_mean',
        'next.average.norm.running_var',
        'next.average.norm.weight',
        'next.momentum.norm.bias',
        'next.momentum.norm.weight',
        'next.norm.bias',
        'next.norm.running_mean',
        'next.norm.running_var',
        'next.norm.weight',
      ].sort(),
    );
  });
});
