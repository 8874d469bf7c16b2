import { describe, expect, it } from 'vitest';
import { fill, fillInteger } from '../../cli/verify/fill.ts';
import { randomSteps } from '../../nets/dropout.ts';
import { unetrpp, unetrppPresets } from '../../nets/index.ts';
import { elementCount, type Tensor } from '../../tensor.ts';
import { nesterovSgd } from '../../train/optimizers.ts';
import { trainingProgram } from '../../train/trainingProgram.ts';
import { check } from '../check.ts';
import {
  add,
  buildProgram,
  convolution,
  costs,
  evaluate,
  filled,
  input,
  instanceNormalization,
  leakyRelu,
  lower,
  lowerings,
  noLowerings,
  type Program,
  parameter,
  print,
  transposedConvolution,
} from '../index.ts';

const zeros = { kind: 'constant', value: 0 } as const;

function feedsOf(program: Program): Map<string, Tensor> {
  return new Map(
    [...program.inputs, ...program.parameters].map(({ name, shape }) => {
      const [lo, hi] = name.endsWith('running_var') ? [0.5, 2] : [-0.5, 0.5];
      return [name, { dtype: 'float32', shape, data: fill(name, elementCount(shape), lo, hi) }];
    }),
  );
}

function expectSameMeaning(a: Program, b: Program, feeds = feedsOf(a)): void {
  const [expected, got] = [evaluate(a, feeds), evaluate(b, feeds)];
  for (const [name, { data: wanted }] of expected) {
    const data = new Float64Array(wanted);
    const other = got.get(name)!.data;
    const norm = Math.sqrt(data.reduce((so, value) => so + value ** 2, 0));
    const difference = Math.sqrt(data.reduce((so: number, value, i) => so + (value - other[i]) ** 2, 0));
    expect(difference / norm, name).toBeLessThan(1e-12);
  }
}

const network = (residualBlocks: 1 | 2, stem: number[]) =>
  unetrpp({
    ...unetrppPresets.synapse,
    classes: 2,
    stem,
    patch: stem.map((stride) => 8 * stride),
    featureSize: 8,
    dims: [8, 8, 8, 8],
    heads: 2,
    projections: [3, 3, 3, 2],
    decoderProjections: [3, 3, 3],
    depths: [1, 1, 1, 1],
    decoderDepths: [1, 1, 1],
    residualBlocks,
  });

describe('each lowering means the same with and without it', () => {
  for (const name of lowerings) {
    it(`${name}, in a whole network, in float64`, () => {
      const program = network(2, [1, 2, 2]);
      const lowered = lower(program, 'cpu', { ...noLowerings, [name]: true });
      check(lowered);
      expectSameMeaning(program, lowered);
    });
  }

  it('all of them together, on each device', () => {
    const program = network(1, [2, 2, 2]);
    for (const device of ['cpu', 'cuda', 'webgpu', 'wasm'] as const) {
      const lowered = lower(program, device);
      check(lowered);
      expectSameMeaning(program, lowered);
    }
  });
});

describe('a whole step of training', () => {
  // At the lowest stage 2x2x2 voxels are left: enough for a batch norm of two samples to be well conditioned.
  const program = trainingProgram(
    unetrpp(
      {
        ...unetrppPresets.synapse,
        classes: 3,
        stem: [1, 2, 2],
        patch: [16, 32, 32],
        featureSize: 8,
        dims: [8, 8, 8, 8],
        heads: 2,
        projections: [3, 3, 3, 2],
        decoderProjections: [3, 3, 3],
        depths: [1, 1, 1, 1],
        decoderDepths: [1, 1, 1],
      },
      { batch: 2, training: true },
    ),
    {
      loss: { of: { kind: 'softDiceCrossEntropy', batch: true }, lowestHead: 'kept' },
      optimizer: nesterovSgd,
      clipNorm: 12,
      average: true,
    },
  );
  const feeds = feedsOf(program);
  for (const { name, shape } of program.inputs) {
    const count = elementCount(shape);
    const integers = (below: number): Tensor => ({
      dtype: 'float32',
      shape,
      data: Float32Array.from(fillInteger(name, count, below)),
    });
    if (name.startsWith('random.')) feeds.set(name, integers(randomSteps));
    if (name === 'target') feeds.set(name, integers(3));
  }

  it('of two samples, with dropout and averages, means the same lowered for the CPU', () => {
    const lowered = lower(program, 'cpu');
    check(lowered);
    expect(print(lowered)).not.toBe(print(program));
    expectSameMeaning(program, lowered, feeds);
  }, 120_000);
});

describe('winograd along depth', () => {
  const pads = [1, 1, 1];
  const convolve = (n: number, c: number, depth: number, bias: boolean) =>
    buildProgram('convolve', () => {
      const x = input('x', [n, c, depth, 3, 4]);
      const weight = parameter('w', [8, c, 3, 3, 3], zeros);
      return { y: convolution(x, weight, bias ? parameter('b', [8], zeros) : undefined, { pads }) };
    });

  it('is right for depths that are no multiple of four, for batches, with and without a bias, for few channels', () => {
    for (const depth of [4, 5, 6, 7, 8, 13]) {
      for (const [n, c, bias] of [
        [1, 8, true],
        [2, 8, false],
        [2, 1, true],
      ] as const) {
        const program = convolve(n, c, depth, bias);
        const lowered = lower(program, 'cpu', { ...noLowerings, depthWinograd: true });
        check(lowered);
        expect(print(lowered)).not.toBe(print(program));
        expectSameMeaning(program, lowered);
      }
    }
  });

  it('keeps a block of convolution, instance norm, activation and sum depth first: two transposes of the volume in all', () => {
    const block = buildProgram('block', () => {
      const x = input('x', [1, 8, 6, 4, 5]);
      const [w1, w2] = [parameter('w1', [8, 8, 3, 3, 3], zeros), parameter('w2', [8, 8, 3, 3, 3], zeros)];
      const normalized = instanceNormalization(convolution(x, w1, undefined, { pads }), filled(1, [8]), filled(0, [8]));
      return { y: leakyRelu(add(convolution(leakyRelu(normalized), w2, undefined, { pads }), x)) };
    });
    const lowered = lower(block, 'cpu', { ...noLowerings, depthWinograd: true });
    expectSameMeaning(block, lowered);
    const text = print(lowered);
    expect(text.match(/= transpose\(.*: float32\[1,(8,6|6,8),4,5\]/g)).toHaveLength(2);
    // Six slices, two groups of them, two convolutions.
    expect(text.match(/groups=6/g)).toHaveLength(4);
  });

  it('multiplies half as much', () => {
    const program = convolve(1, 8, 16, false);
    const multiplyAdds = (of: typeof program) =>
      costs(of)
        .filter(({ kind }) => kind === 'convolution')
        .reduce((sum, one) => sum + one.multiplyAdds, 0);
    const lowered = lower(program, 'cpu', { ...noLowerings, depthWinograd: true });
    expect(multiplyAdds(lowered)).toBe(multiplyAdds(program) / 2);
  });
});

describe('instance norm of a pointwise convolution of one channel', () => {
  it('becomes one multiplication over all output channels', () => {
    const program = buildProgram('shortcut', () => {
      const x = input('x', [2, 1, 3, 4, 5]);
      const pointwise = convolution(x, parameter('w', [6, 1, 1, 1, 1], zeros), undefined);
      return { y: instanceNormalization(pointwise, filled(1, [6]), filled(0, [6])) };
    });
    const lowered = lower(program, 'wasm');
    expectSameMeaning(program, lowered);
    expect(print(lowered).match(/: float32\[2,6,3,4,5\]/g)).toHaveLength(1);
  });
});

describe('a flat transposed convolution', () => {
  it('has two spatial axes and stacks the depth of the kernel in channels', () => {
    const program = buildProgram('up', () => {
      const x = input('x', [2, 3, 2, 3, 4]);
      return { y: transposedConvolution(x, parameter('w', [3, 2, 2, 4, 4], zeros), undefined, { strides: [2, 4, 4] }) };
    });
    const lowered = lower(program, 'webgpu');
    expectSameMeaning(program, lowered);
    expect(print(lowered)).toContain('transposedConvolution(%1, %3) {strides=[4,4]');
  });
});
