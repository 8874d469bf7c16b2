import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { operatorCase, operatorCases } from '../../test/operator-cases.ts';
import { unetrpp, unetrppPresets } from '../nets/index.ts';
import {
  add,
  buildProgram,
  convolution,
  differentiate,
  evaluate,
  foldParameters,
  input,
  instanceNormalization,
  leakyRelu,
  lower,
  matmul,
  parameter,
  print,
  reshape,
  slice,
  softmax,
  sum,
  transposedConvolution,
  type Value,
} from '../program/index.ts';
import { elementCount, type Tensor } from '../tensor.ts';
import { type Probe, probesOf } from './probes.ts';

const zeros = { kind: 'constant', value: 0 } as const;

const probesFor = (body: () => Value) => probesOf(buildProgram('net', () => ({ y: body() })));
const shown = ({ operator, shapes }: Probe) => `${operator}: ${shapes}`;

/** The operations of a probe as text, without names. */
const operations = ({ program }: Probe) =>
  print(program)
    .split('\n')
    .filter((line) => line.includes(': float32') && line.includes(' = '))
    .map((line) => line.trim().replaceAll(/probe\d+_/g, ''));

describe('operator classes', () => {
  it('are the same for operations that differ in lengths alone', () => {
    const probes = probesFor(() => {
      const small = softmax(input('a', [1, 4, 512, 64]), -1);
      const large = softmax(input('b', [1, 8, 4096, 64]), -1);
      return add(reshape(small, [4 * 512 * 64]), reshape(slice(large, { 2: [0, 256] }), [8 * 256 * 64]));
    });
    // The larger of the two softmaxes stands for both.
    expect(probes.map(shown)).toEqual([
      'softmax: 1x4x4x64',
      'reshape: 1x1x1x24',
      'slice: 1x4x72x64',
      'add: 4100, 4100',
    ]);
  });

  it('differ where a length is 1, odd, even or a multiple of 4', () => {
    const rows = (length: number) => probesFor(() => softmax(input('x', [2, length]), 1))[0].key;
    expect(rows(1001)).toBe(rows(3));
    expect(rows(1002)).toBe(rows(2));
    expect(rows(1004)).toBe(rows(4));
    expect(new Set([1, 2, 3, 4].map(rows)).size).toBe(4);
  });

  it('differ by attributes, by rank, and by which operands are weights', () => {
    const key = (shape: number[], stride: number, constant: boolean) =>
      probesFor(() => {
        const kernel = shape.map(() => 3);
        const weight = [4, 4, ...kernel];
        const w = constant ? parameter('w', weight, zeros) : input('w', weight);
        return convolution(input('x', [1, 4, ...shape]), w, undefined, { strides: shape.map(() => stride) });
      })[0].key;
    const keys = [key([8, 8], 1, true), key([8, 8], 2, true), key([8, 8, 8], 1, true), key([8, 8], 1, false)];
    expect(new Set(keys).size).toBe(4);
  });
});

describe('a probe', () => {
  it('of a convolution keeps kernel, strides and pads, and gives four voxels an axis', () => {
    const [probe] = probesFor(() =>
      convolution(input('x', [1, 64, 32, 64, 64]), parameter('w', [128, 64, 3, 3, 3], zeros), undefined, {
        strides: [1, 2, 2],
        pads: [1, 1, 1],
      }),
    );
    expect(operations(probe)).toEqual([
      '%0 = convolution(0, 1) {strides=[1,2,2] dilations=[1,1,1] padsBegin=[1,1,1] padsEnd=[1,1,1] groups=1}: float32[1,36,4,4,4]',
    ]);
    expect(shown(probe)).toBe('convolution: 1x36x4x7x7, 36x36x3x3x3');
  });

  it('of a convolution with a long dilation shortens dilation and pads alike', () => {
    const [probe] = probesFor(() =>
      convolution(input('x', [1, 80, 650, 80]), parameter('w', [80, 80, 3, 3], zeros), undefined, {
        dilations: [65, 1],
        padsBegin: [66, 1],
        padsEnd: [64, 1],
      }),
    );
    // 65 becomes 5: a pad of 66 reaches one over it. Of the 650 rows remain 6, for 650 is even, and of the 80 columns 4.
    const { attributes, shape } = probe.program.operations[0];
    expect(attributes).toMatchObject({ dilations: [5, 1], padsBegin: [6, 1], padsEnd: [4, 1] });
    expect(shape.slice(2)).toEqual([6, 4]);
  });

  it('of a convolution’s tap gradients keeps kernel, pads and groups, and grows channels and rows', () => {
    const loss = buildProgram('loss', () => {
      const w = parameter('w', [128, 32, 3, 3, 3], zeros);
      const y = convolution(input('x', [2, 64, 16, 32, 64]), w, undefined, { pads: [1, 1, 1], groups: 2 });
      return { loss: sum(y, [0, 1, 2, 3, 4]) };
    });
    const back = differentiate(loss, 'loss');
    const probe = probesOf(back).find(({ operator }) => operator === 'convolutionTapGradients')!;
    const [{ attributes, shape }] = probe.program.operations;
    expect(attributes).toMatchObject({ kernel: [3, 3, 3], padsBegin: [1, 1, 1], padsEnd: [1, 1, 1], groups: 2 });
    expect(shown(probe)).toBe('convolutionTapGradients: 2x24x4x4x12, 2x24x4x4x12');
    expect(shape).toEqual([2, 27, 12, 12]);
  });

  it('of a slice keeps step and direction, and something before and behind', () => {
    const [probe] = probesFor(() => slice(input('x', [1000, 900]), { 0: [800, 200, -2], 1: [0, 300] }));
    const { attributes, shape, inputs } = probe.program.operations[0];
    expect(attributes).toMatchObject({ steps: [-2, 1] });
    // 300 of 1000 rows become 132, 2 apart, with a few on either side.
    expect(inputs[0].shape).toEqual([6 + 263 + 5, 132 + 4]);
    expect(shape).toEqual([132, 132]);
  });

  it('is written in the ONNX nodes of its operation, however long the rows that choose them', () => {
    const nodes = (length: number) =>
      probesFor(() => {
        const ones = parameter('scale', [4], zeros);
        return instanceNormalization(input('x', [1, 4, length]), ones, ones);
      })[0];
    // From 4097 elements on, sums are split.
    expect(shown(nodes(4096))).toBe('instanceNormalization: 1x4x4096, 4, 4');
    expect(shown(nodes(2 ** 20))).toBe('instanceNormalization: 1x4x4100, 4, 4');
    expect(nodes(4096).key).not.toBe(nodes(2 ** 20).key);
  });

  it('also takes together what runtimes make one kernel of, unless another operation reads between', () => {
    const network = (taken: boolean) => () => {
      const product = matmul(input('x', [64, 32]), parameter('w', [32, 16], zeros));
      const sum = add(product, parameter('b', [16], zeros));
      return taken ? add(leakyRelu(sum), product) : leakyRelu(sum);
    };
    const [, , pair] = probesFor(network(false));
    expect(shown(pair)).toBe('matmul then add: 64x32, 32x16');
    expect(operations(pair)).toEqual(['%0 = matmul(0, 1): float32[64,16]', '%1 = add(%0, then_1): float32[64,16]']);
    expect(probesFor(network(true)).map(({ operator }) => operator)).toEqual(['matmul', 'add', 'leakyRelu', 'add']);
  });

  it('of every operator can be computed, and gives numbers', () => {
    for (const one of operatorCases) {
      const { program } = operatorCase(one);
      const probes = probesOf(program);
      expect(probes.map(({ operator }) => operator)).toEqual([one.operator]);
      for (const { program, weights, feeds } of probes) {
        const [result] = evaluate(program, new Map([...weights, ...feeds])).values();
        expect(result.data.every(Number.isFinite), one.operator).toBe(true);
        expect(
          result.data.some((value) => value !== 0),
          one.operator,
        ).toBe(true);
      }
    }
  });

  it('draws operands that are neither 0 nor large, the same ones every time', () => {
    const draw = () =>
      probesFor(() => softmax(input('x', [1, 1000]), -1))[0].feeds.get('probe0_0')!.data as Float32Array;
    expect(draw()).toEqual(draw());
    expect(draw().every((value) => Math.abs(value) >= 0.25 && Math.abs(value) < 1.25)).toBe(true);
    expect(new Set(draw().map(Math.sign))).toEqual(new Set([-1, 1]));
  });
});

describe('whatever the lengths,', () => {
  const axis = fc.record({
    length: fc.integer({ min: 1, max: 300 }),
    kernel: fc.integer({ min: 1, max: 12 }),
    stride: fc.integer({ min: 1, max: 5 }),
    dilation: fc.integer({ min: 1, max: 70 }),
    padBegin: fc.integer({ min: 0, max: 80 }),
    padEnd: fc.integer({ min: 0, max: 80 }),
  });
  const convolutions = fc.record({
    axes: fc.array(axis, { minLength: 1, maxLength: 3 }),
    groups: fc.constantFrom(1, 2, 6),
    inputs: fc.integer({ min: 1, max: 70 }),
    outputs: fc.integer({ min: 1, max: 70 }),
    transposed: fc.boolean(),
  });

  it('a convolution has a probe with its strides and numbers of axes', () => {
    fc.assert(
      fc.property(convolutions, ({ axes, groups, inputs, outputs, transposed }) => {
        const of = (name: keyof (typeof axes)[number]) => axes.map((each) => each[name]);
        const fitting = axes.every(({ length, kernel, stride, dilation, padBegin, padEnd }) =>
          transposed
            ? (length - 1) * stride + kernel > padBegin + padEnd && padBegin + padEnd < kernel
            : length + padBegin + padEnd > (kernel - 1) * dilation,
        );
        fc.pre(fitting);
        const options = { strides: of('stride'), padsBegin: of('padBegin'), padsEnd: of('padEnd'), groups };
        const x = (channels: number) => input('x', [1, channels, ...of('length')]);
        const w = (first: number, second: number) => parameter('w', [first, second, ...of('kernel')], zeros);
        const [probe] = probesFor(() =>
          transposed
            ? transposedConvolution(x(inputs * groups), w(inputs * groups, outputs), undefined, options)
            : convolution(x(inputs * groups), w(outputs * groups, inputs), undefined, {
                ...options,
                dilations: of('dilation'),
              }),
        );
        const [{ attributes, shape }] = probe.program.operations;
        expect(attributes.strides).toEqual(of('stride'));
        expect(shape).toHaveLength(2 + axes.length);
        expect(shape.every((length) => length > 0)).toBe(true);
      }),
    );
  });

  it('a slice has a probe with its steps', () => {
    const cuts = fc.record({
      before: fc.nat(400),
      count: fc.integer({ min: 1, max: 400 }),
      step: fc.constantFrom(-3, -1, 1, 2),
      after: fc.nat(400),
    });
    fc.assert(
      fc.property(fc.array(cuts, { minLength: 1, maxLength: 4 }), (axes) => {
        const lengths = axes.map(({ before, count, step, after }) => before + (count - 1) * Math.abs(step) + 1 + after);
        const ranges = axes.map(({ before, count, step }, axis): [number, number, number] => {
          if (step > 0) return [before, before + (count - 1) * step + 1, step];
          const start = lengths[axis] - 1 - before;
          return [start, start + (count - 1) * step - 1, step];
        });
        const [probe] = probesFor(() => slice(input('x', lengths), Object.fromEntries(ranges.entries())));
        expect(probe.program.operations[0].attributes.steps).toEqual(axes.map(({ step }) => step));
        expect(probe.program.operations[0].shape.every((length) => length > 0)).toBe(true);
      }),
    );
  });
});

describe('the published networks', () => {
  const networks = Object.entries(unetrppPresets);
  it.each(networks)('%s: fewer than 150 classes on WebGPU, each of less than 150 000 elements', (_, settings) => {
    const program = unetrpp(settings);
    const weights = new Map(
      program.parameters.map(({ name, shape }) => [
        name,
        { dtype: 'float32', shape, data: new Float32Array(elementCount(shape)) } as Tensor,
      ]),
    );
    const probes = probesOf(foldParameters(lower(program, 'webgpu'), weights).program);
    expect(new Set(probes.map(({ key }) => key)).size).toBe(probes.length);
    expect(probes.length).toBeLessThan(150);
    for (const { program } of probes) {
      const values = [...program.inputs, ...program.parameters, ...program.operations];
      expect(values.reduce((so, { shape }) => so + elementCount(shape), 0)).toBeLessThan(150_000);
    }
  });
});
