import { describe, expect, it } from 'vitest';
import { hasShared, sharedJson } from '../../test/shared.ts';
import { fillExactly, fillInteger } from '../cli/verify/fill.ts';
import type { TrainingSet } from '../cli/verify/training.ts';
import { smallSettings } from '../cli/verify/unetrpp.ts';
import { unetrpp } from '../nets/index.ts';
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
    expect(print(program)).toContain('float32[4,1,3750]');
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

describe.skipIf(!hasShared)('the authors’ three steps of SGD, in float64', () => {
  // The references have 13 digits. In float32 the same steps magnify rounding several hundred times.
  it.each(['acdc', 'synapse'] as const)(
    '%s: losses, norms, parameters and running statistics',
    (variant) => {
      const set = sharedJson<TrainingSet>('golden', 'unetrpp', `small-${variant}.json`);
      const network = unetrpp(smallSettings(set), { batch: set.input.shape[0], training: 'withoutDropout' });
      const program = trainingProgram(network, {
        loss: { of: { kind: 'softDiceCrossEntropy', batch: set.batch_dice }, lowestHead: 'kept' },
        optimizer: nesterovSgd,
        clipNorm: set.optimizer.clip_norm,
        average: false,
      });
      const ranges = new Map(set.parameters.map(({ name, lo, hi }) => [name, [lo, hi]]));
      const state = new Map<string, Tensor>();
      for (const { name, shape } of program.parameters) {
        const [lo, hi] = ranges.get(name) ?? [0, 0];
        state.set(name, float64(shape, fillExactly(name, elementCount(shape), lo, hi)));
      }
      const { input: image, label } = set;
      const feeds = new Map<string, Tensor>([
        ['image', float64(image.shape, fillExactly(image.name, elementCount(image.shape), image.lo, image.hi))],
        ['target', float64(label.shape, fillInteger(label.name, elementCount(label.shape), label.classes))],
        ['learningRate', float64([1], [set.optimizer.lr])],
      ]);
      for (const { loss, grad_norm_before_clip } of set.steps) {
        const results = evaluate(program, new Map([...state, ...feeds]));
        expect(Math.abs(results.get('loss')!.data[0] / loss - 1)).toBeLessThan(1e-9);
        expect(Math.abs(results.get('gradientNorm')!.data[0] / grad_norm_before_clip - 1)).toBeLessThan(1e-9);
        for (const [name, { shape, data }] of results) {
          if (name.startsWith('next.')) state.set(name.slice('next.'.length), float64(shape, data));
        }
      }
      const near = (name: string, got: number, wanted: number, scale: number) =>
        expect(Math.abs(got - wanted) / scale, name).toBeLessThan(1e-9);
      for (const [name, { index_name, samples, l2 }] of Object.entries(set.final_parameters)) {
        const { data } = state.get(name)! as Tensor<'float64'>;
        const at = fillInteger(index_name, samples.length, data.length);
        const largest = Math.max(...samples.map(Math.abs));
        samples.forEach((sample, index) => {
          near(name, data[at[index]], sample, largest);
        });
        near(name, Math.hypot(...data), l2, l2);
      }
      for (const [name, buffer] of Object.entries(set.final_buffers)) {
        if (typeof buffer === 'number') continue;
        const { data } = state.get(name)! as Tensor<'float64'>;
        near(name, Math.hypot(...data), buffer.l2, buffer.l2);
        buffer.first.forEach((value, index) => {
          near(name, data[index], value, buffer.l2);
        });
      }
    },
    120_000,
  );
});
