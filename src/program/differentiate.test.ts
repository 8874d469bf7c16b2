import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../test/shared.ts';
import { fill, fillExactly } from '../cli/verify/fill.ts';
import { pairedAttention } from '../nets/unetrpp/attention.ts';
import { elementCount, type Shape, type Tensor } from '../tensor.ts';
import { readSafetensors } from '../weights/index.ts';
import { check } from './check.ts';
import {
  absolute,
  add,
  batchNormalization,
  broadcastTo,
  buildProgram,
  concatenate,
  convolution,
  differentiate,
  divide,
  evaluate,
  exponential,
  greater,
  input,
  instanceNormalization,
  kthLargest,
  l2Norm,
  layerNormalization,
  leakyRelu,
  logarithm,
  logSoftmax,
  matmul,
  maximum,
  mean,
  multiply,
  operators,
  pad,
  parameter,
  power,
  print,
  reshape,
  sigmoid,
  slice,
  softmax,
  softplus,
  sqrt,
  subtract,
  sum,
  tap,
  transpose,
  transposedConvolution,
  transposeLast,
  type Value,
} from './index.ts';

const zero = { kind: 'constant', value: 0 } as const;

/** A random case of one operator: shapes of the inputs, their range, and how the operator is applied. */
interface Case {
  readonly shapes: readonly Shape[];
  readonly range?: readonly [number, number];
  readonly apply: (values: Value[]) => Value;
}

const length = (max = 4) => fc.integer({ min: 1, max });
const shape = (min: number, max: number) => fc.array(length(), { minLength: min, maxLength: max });

/** Two shapes that broadcast against each other: some axes of either are 1, one may lack leading axes. */
const pair = fc
  .tuple(shape(1, 3), fc.array(fc.constantFrom('both', 'a', 'b'), { minLength: 3, maxLength: 3 }), fc.nat(1))
  .map(([full, ones, drop]): [Shape, Shape] => [
    full.map((n, axis) => (ones[axis] === 'a' ? 1 : n)),
    full.map((n, axis) => (ones[axis] === 'b' ? 1 : n)).slice(full.length > 1 ? drop : 0),
  ]);
const binary = (f: (a: Value, b: Value) => Value, range?: readonly [number, number]) =>
  pair.map((shapes): Case => ({ shapes, range, apply: ([a, b]) => f(a, b) }));
const unary = (f: (x: Value) => Value, range?: readonly [number, number]) =>
  shape(1, 3).map((one): Case => ({ shapes: [one], range, apply: ([x]) => f(x) }));

const someAxes = (rank: number) => fc.subarray([...Array(rank).keys()], { minLength: 1 });
const reduction = (f: (x: Value, axes: number[]) => Value) =>
  shape(1, 3).chain((one) => someAxes(one.length).map((axes): Case => ({ shapes: [one], apply: ([x]) => f(x, axes) })));

const kernelCase = fc.record({
  batch: length(2),
  groups: length(2),
  inputs: length(2),
  outputs: length(2),
  bias: fc.boolean(),
  spatial: fc.array(
    fc.record({
      size: fc.integer({ min: 3, max: 6 }),
      kernel: length(3),
      stride: length(2),
      padBegin: fc.nat(1),
      padEnd: fc.nat(1),
    }),
    { minLength: 1, maxLength: 2 },
  ),
});
const each = <K extends string>(list: readonly Record<K, number>[], key: K) => list.map((entry) => entry[key]);

const cases: Record<string, fc.Arbitrary<Case>> = {
  add: binary(add),
  subtract: binary(subtract),
  multiply: binary(multiply),
  divide: binary(divide, [0.5, 2]),
  maximum: binary(maximum),
  sqrt: unary(sqrt, [0.5, 2]),
  sigmoid: unary(sigmoid),
  exponential: unary(exponential),
  logarithm: unary(logarithm, [0.5, 2]),
  absolute: unary(absolute),
  softplus: unary(softplus, [-3, 3]),
  power: fc
    .tuple(shape(1, 3), fc.constantFrom(0.5, 1, 2, 3.5))
    .map(([one, exponent]): Case => ({ shapes: [one], range: [0.5, 2], apply: ([x]) => power(x, exponent) })),
  leakyRelu: unary((x) => leakyRelu(x, 0.1)),
  matmul: fc.tuple(length(), length(), length(), length(2)).map(
    ([m, k, n, b]): Case => ({
      shapes: [
        [b, m, k],
        [k, n],
      ],
      apply: ([a, c]) => matmul(a, c),
    }),
  ),
  convolution: fc.tuple(kernelCase, fc.boolean()).map(([c, dilated]): Case => {
    // The rule covers strides or dilations, not both.
    const dilations = c.spatial.map(({ kernel, stride, size }) =>
      dilated && stride === 1 && kernel === 2 && size > 3 ? 2 : 1,
    );
    const kernel = c.spatial.map(({ kernel: k, size, padBegin, padEnd }) => Math.min(k, size + padBegin + padEnd));
    return {
      shapes: [
        [c.batch, c.groups * c.inputs, ...each(c.spatial, 'size')],
        [c.groups * c.outputs, c.inputs, ...kernel],
        ...(c.bias ? [[c.groups * c.outputs]] : []),
      ],
      apply: ([x, w, b]) =>
        convolution(x, w, b, {
          strides: dilations.some((d) => d > 1) ? dilations.map(() => 1) : each(c.spatial, 'stride'),
          dilations,
          padsBegin: each(c.spatial, 'padBegin'),
          padsEnd: each(c.spatial, 'padEnd'),
          groups: c.groups,
        }),
    };
  }),
  transposedConvolution: kernelCase.map((c): Case => {
    const kernel = c.spatial.map(({ kernel: k, padBegin, padEnd }) => Math.max(k, padBegin + padEnd + 1));
    return {
      shapes: [
        [c.batch, c.groups * c.inputs, ...each(c.spatial, 'size')],
        [c.groups * c.inputs, c.outputs, ...kernel],
        ...(c.bias ? [[c.groups * c.outputs]] : []),
      ],
      apply: ([x, w, b]) =>
        transposedConvolution(x, w, b, {
          strides: each(c.spatial, 'stride'),
          padsBegin: each(c.spatial, 'padBegin'),
          padsEnd: each(c.spatial, 'padEnd'),
          groups: c.groups,
        }),
    };
  }),
  layerNormalization: fc
    .tuple(shape(1, 2), fc.integer({ min: 2, max: 4 }))
    .map(
      ([outer, c]): Case => ({ shapes: [[...outer, c], [c], [c]], apply: ([x, s, b]) => layerNormalization(x, s, b) }),
    ),
  instanceNormalization: fc.tuple(length(2), length(), fc.integer({ min: 2, max: 4 }), length()).map(
    ([n, c, h, w]): Case => ({
      shapes: [[n, c, h, w], [c], [c]],
      apply: ([x, s, b]) => instanceNormalization(x, s, b),
    }),
  ),
  batchNormalization: fc.tuple(length(2), length(), length(), length()).map(
    ([n, c, h, w]): Case => ({
      shapes: [[n, c, h, w], [c], [c], [c], [c]],
      range: [0.5, 2],
      apply: ([x, s, b, m, v]) => batchNormalization(x, s, b, m, v),
    }),
  ),
  softmax: shape(1, 3).chain((one) =>
    fc.nat(one.length - 1).map((axis): Case => ({ shapes: [one], apply: ([x]) => softmax(x, axis) })),
  ),
  logSoftmax: shape(1, 3).chain((one) =>
    fc.nat(one.length - 1).map((axis): Case => ({ shapes: [one], apply: ([x]) => logSoftmax(x, axis) })),
  ),
  sum: reduction(sum),
  mean: reduction(mean),
  l2Norm: reduction(l2Norm),
  kthLargest: length(9).chain((count) =>
    fc.nat(count - 1).map((above): Case => ({ shapes: [[count]], apply: ([x]) => kthLargest(x, above + 1) })),
  ),
  broadcast: fc
    .tuple(length(), length(), length(3))
    .map(([a, b, repeats]): Case => ({ shapes: [[a, 1, b]], apply: ([x]) => broadcastTo(x, [2, a, repeats, b]) })),
  reshape: shape(1, 3).map((one): Case => ({ shapes: [one], apply: ([x]) => reshape(x, [elementCount(one), 1]) })),
  transpose: shape(1, 3).chain((one) =>
    fc
      .shuffledSubarray([...one.keys()], { minLength: one.length })
      .map((order): Case => ({ shapes: [one], apply: ([x]) => transpose(x, order) })),
  ),
  slice: fc
    .tuple(fc.integer({ min: 1, max: 7 }), length(3), fc.nat(6), fc.boolean())
    .map(([n, step, from, back]): Case => {
      const start = Math.min(from, n - 1);
      return {
        shapes: [[2, n, 2]],
        apply: ([x]) => slice(x, { 1: back ? [start, -1, -step] : [start, n, step] }),
      };
    }),
  concatenate: fc.tuple(length(), length(), length()).map(
    ([a, b, c]): Case => ({
      shapes: [
        [c, a],
        [c, b],
      ],
      apply: ([x, y]) => concatenate([x, y, x], 1),
    }),
  ),
  pad: fc
    .tuple(shape(2, 2), fc.nat(2), fc.nat(2))
    .map(([one, before, after]): Case => ({ shapes: [one], apply: ([x]) => pad(x, [before, 0], [0, after]) })),
};

/** sum(y * cotangent) of a case as a program, with every operand a parameter. */
function lossOf(one: Case) {
  return buildProgram('loss', () => {
    const values = one.shapes.map((dims, index) => parameter(`p${index}`, dims, zero));
    const y = one.apply(values);
    const cotangent = parameter('cotangent', y.shape, zero, { trainable: false });
    const weighted = multiply(y, cotangent);
    return {
      loss: sum(
        weighted,
        y.shape.map((_, axis) => axis),
      ),
    };
  });
}

function expectFiniteDifferences(one: Case): void {
  const program = lossOf(one);
  const gradients = differentiate(program, 'loss');
  check(gradients);
  const feeds = new Map<string, Tensor>(
    program.parameters.map(({ name, shape: dims }) => {
      const [lo, hi] = name === 'cotangent' ? [-1, 1] : (one.range ?? [-1, 1]);
      const data = Float64Array.from(fill(`${name}:${dims}`, elementCount(dims), lo, hi));
      return [name, { dtype: 'float64', shape: dims, data }];
    }),
  );
  const found = evaluate(gradients, feeds);
  const h = 1e-6;
  for (const { name, trainable } of program.parameters) {
    if (!trainable) continue;
    const gradient = found.get(`gradient.${name}`)!;
    const { data, shape: dims } = feeds.get(name)! as Tensor<'float64'>;
    expect(gradient.shape).toEqual(dims);
    for (let i = 0; i < data.length; i += Math.max(1, Math.floor(data.length / 7))) {
      const at = (value: number) => {
        const moved = data.slice();
        moved[i] = value;
        const fed = new Map(feeds).set(name, { dtype: 'float64', shape: dims, data: moved });
        return evaluate(program, fed).get('loss')!.data[0];
      };
      const slope = (at(data[i] + h) - at(data[i] - h)) / (2 * h);
      expect(Math.abs(gradient.data[i] - slope), `${name}[${i}]`).toBeLessThan(1e-6 * Math.max(1, Math.abs(slope)));
    }
  }
}

describe('the gradient of each operator is the slope that finite differences give', () => {
  it('has a case for every operator that has a gradient', () => {
    const withGradient = operators.filter(({ gradient }) => !('none' in gradient)).map(({ name }) => name);
    expect(new Set(Object.keys(cases))).toEqual(new Set(withGradient));
  });

  for (const [name, arbitrary] of Object.entries(cases)) {
    it(name, () => {
      fc.assert(fc.property(arbitrary, expectFiniteDifferences), { numRuns: 40 });
    });
  }
});

/**
 * Kernels that lie beside each other, or almost: their gradients are products of matrices only where nothing is padded and
 * there is one group. `rest`: voxels at the end that no kernel reaches.
 */
const tilingCase = fc.record({
  batch: length(2),
  groups: fc.constantFrom(1, 1, 2),
  inputs: length(3),
  outputs: length(3),
  bias: fc.boolean(),
  spatial: fc.array(
    fc.record({
      kernel: length(3),
      count: length(3),
      rest: fc.nat(2),
      padBegin: fc.constantFrom(0, 0, 0, 1),
      padEnd: fc.constantFrom(0, 0, 0, 1),
    }),
    { minLength: 1, maxLength: 3 },
  ),
});

describe('the gradient of a convolution whose kernel is as long as its stride is the slope too', () => {
  it('of the convolution, with voxels left over', () => {
    const tilings = tilingCase.map((c): Case => {
      const kernel = each(c.spatial, 'kernel');
      const sizes = c.spatial.map(({ kernel: k, count, rest }) => k * count + Math.min(rest, k - 1));
      return {
        shapes: [
          [c.batch, c.groups * c.inputs, ...sizes],
          [c.groups * c.outputs, c.inputs, ...kernel],
          ...(c.bias ? [[c.groups * c.outputs]] : []),
        ],
        apply: ([x, w, b]) =>
          convolution(x, w, b, {
            strides: kernel,
            padsBegin: each(c.spatial, 'padBegin'),
            padsEnd: each(c.spatial, 'padEnd'),
            groups: c.groups,
          }),
      };
    });
    fc.assert(fc.property(tilings, expectFiniteDifferences), { numRuns: 60 });
  });

  it('of the transposed convolution', () => {
    const tilings = tilingCase.map((c): Case => {
      const kernel = each(c.spatial, 'kernel');
      // What is cut off must leave something of each axis.
      const pads = (key: 'padBegin' | 'padEnd') =>
        c.spatial.map((axis) => (axis.kernel * axis.count > axis.padBegin + axis.padEnd ? axis[key] : 0));
      return {
        shapes: [
          [c.batch, c.groups * c.inputs, ...each(c.spatial, 'count')],
          [c.groups * c.inputs, c.outputs, ...kernel],
          ...(c.bias ? [[c.groups * c.outputs]] : []),
        ],
        apply: ([x, w, b]) =>
          transposedConvolution(x, w, b, {
            strides: kernel,
            padsBegin: pads('padBegin'),
            padsEnd: pads('padEnd'),
            groups: c.groups,
          }),
      };
    });
    fc.assert(fc.property(tilings, expectFiniteDifferences), { numRuns: 60 });
  });

  it('and where nothing is padded, in one group, is written as products', () => {
    const operatorsOf = (padding: number, groups: number) => {
      const program = lossOf({
        shapes: [
          [2, 2, 5, 4],
          [4, 2 / groups, 2, 2],
        ],
        apply: ([x, w]) => convolution(x, w, undefined, { strides: [2, 2], pads: [padding, padding], groups }),
      });
      return differentiate(program, 'loss').operations.map(({ operator }) => operator.name);
    };
    const convolutions = (names: string[]) => names.filter((name) => /onvolution/.test(name));
    expect(convolutions(operatorsOf(0, 1))).toEqual(['convolution']);
    expect(convolutions(operatorsOf(1, 1)).length).toBeGreaterThan(1);
    expect(convolutions(operatorsOf(0, 2)).length).toBeGreaterThan(1);
  });
});

describe('the gradient of a convolution over three axes is the slope', () => {
  it('with pads and groups, at stride 1, where it has an operator of its own', () => {
    const threeAxes = fc
      .record({
        batch: length(2),
        groups: length(2),
        inputs: length(3),
        outputs: length(3),
        spatial: fc.array(
          fc.record({
            size: fc.integer({ min: 2, max: 4 }),
            kernel: length(3),
            padBegin: fc.nat(2),
            padEnd: fc.nat(2),
          }),
          { minLength: 3, maxLength: 3 },
        ),
      })
      .filter(({ spatial }) =>
        spatial.every(({ size, kernel, padBegin, padEnd }) => size + padBegin + padEnd >= kernel),
      )
      .map(
        (c): Case => ({
          shapes: [
            [c.batch, c.groups * c.inputs, ...each(c.spatial, 'size')],
            [c.groups * c.outputs, c.inputs, ...each(c.spatial, 'kernel')],
          ],
          apply: ([x, w]) =>
            convolution(x, w, undefined, {
              padsBegin: each(c.spatial, 'padBegin'),
              padsEnd: each(c.spatial, 'padEnd'),
              groups: c.groups,
            }),
        }),
      );
    fc.assert(fc.property(threeAxes, expectFiniteDifferences), { numRuns: 40 });
  });
});

describe('differentiate', () => {
  const square = () =>
    buildProgram('square', () => {
      const x = input('x', [1]);
      const w = parameter('w', [1], zero);
      return { y: multiply(multiply(x, w), w) };
    });

  it('adds up what a value gets from all who read it, and reads as text', () => {
    expect(print(differentiate(square(), 'y'))).toBe(
      [
        'program square',
        '  input x: float32[1]',
        '  parameter w: float32[1]',
        '  %0 = multiply(x, w): float32[1]',
        '  %1 = multiply(%0, w): float32[1]',
        '  %2 = multiply(1, %0): float32[1]',
        '  %3 = multiply(1, w): float32[1]',
        '  %4 = multiply(%3, x): float32[1]',
        '  %5 = add(%2, %4): float32[1]',
        '  return y = %1',
        '  return gradient.w = %5',
        '',
      ].join('\n'),
    );
  });

  it('gives gradients of inputs when they are asked for', () => {
    expect([...differentiate(square(), 'y', ['x']).outputs.keys()]).toEqual(['y', 'gradient.x']);
  });

  it('gives gradients of taps, which are values on the way', () => {
    const program = buildProgram('tapped', () => {
      const x = input('x', [1]);
      const between = tap('between', multiply(x, x));
      tap('beside', add(x, x));
      return { y: multiply(between, between) };
    });
    const feeds = new Map<string, Tensor>([['x', { dtype: 'float64', shape: [1], data: Float64Array.of(3) }]]);
    const found = evaluate(differentiate(program, 'y', ['between', 'x']), feeds);
    // y = b^2 = x^4.
    expect(found.get('gradient.between')!.data[0]).toBe(18);
    expect(found.get('gradient.x')!.data[0]).toBe(108);
    expect(() => differentiate(program, 'y', ['beside'])).toThrow("output 'y' does not depend on 'beside'");
  });

  it('says what it cannot do', () => {
    expect(() => differentiate(square(), 'z')).toThrow("no output 'z'");
    expect(() => differentiate(square(), 'y', ['v'])).toThrow("no input, parameter or tap 'v'");
    const jump = buildProgram('jump', () => ({ y: greater(input('x', [1]), parameter('w', [1], zero)) }));
    expect(() => differentiate(jump, 'y')).toThrow('greater in jump has no gradient: it is constant but for jumps');
    const wide = buildProgram('wide', () => ({ y: add(input('x', [2]), parameter('w', [2], zero)) }));
    expect(() => differentiate(wide, 'y')).toThrow('only a single number has a gradient');
  });
});

describe.skipIf(!hasShared)('the attention block’s gradients are the authors’', () => {
  interface Set {
    readonly B: number;
    readonly N: number;
    readonly C: number;
    readonly heads: number;
    readonly p: number;
    readonly parameters: readonly { name: string; shape: number[]; kind: string; lo: number; hi: number }[];
  }
  const kinds = {
    shared: { tokenProjection: 'shared', fusion: 'concatenate' },
    separate: { tokenProjection: 'separate', fusion: 'concatenate' },
    brats: { tokenProjection: 'sharedNoBias', fusion: 'add' },
  } as const;

  for (const kind of ['shared', 'separate', 'brats'] as const) {
    it(`${kind}: input and every parameter, in float64`, () => {
      const set = sharedJson<Record<string, Set>>('golden', 'unetrpp', 'epa.json')[kind];
      const { tensors } = readSafetensors(sharedBytes('golden', 'unetrpp', `epa-${kind}.safetensors`));
      const dims = [set.B, set.N, set.C];
      const program = buildProgram('attention', () => {
        const tokens = input('tokens', dims);
        const out = transposeLast(
          pairedAttention(transposeLast(tokens), {
            heads: set.heads,
            projection: set.p,
            layout: 'reference',
            dropout: 0,
            initialization: 'normal',
            ...kinds[kind],
          }),
        );
        return { loss: sum(multiply(out, input('cotangent', dims)), [0, 1, 2]) };
      });
      const names = ['tokens', ...program.parameters.map(({ name }) => name)];
      const feeds = new Map<string, Tensor>();
      const put = (name: string, from: string, size: Shape, lo: number, hi: number) =>
        feeds.set(name, { dtype: 'float64', shape: size, data: fillExactly(from, elementCount(size), lo, hi) });
      put('tokens', 'epa.input', dims, -1, 1);
      put('cotangent', 'epa.cotangent', dims, -1, 1);
      for (const { name, shape: size, kind: sort, lo, hi } of set.parameters) {
        if (sort === 'parameter') put(name.replace(`epa.${kind}.`, ''), name, size, lo, hi);
      }
      const found = evaluate(differentiate(program, 'loss', names), feeds);
      for (const name of names) {
        const wanted = tensors.get(`grad.${name === 'tokens' ? 'input' : name}`)!.data as Float64Array;
        const got = found.get(`gradient.${name}`)!.data;
        const largest = wanted.reduce((so, value) => Math.max(so, Math.abs(value)), 0);
        for (let i = 0; i < wanted.length; i++) {
          expect(Math.abs(got[i] - wanted[i]), `${name}[${i}]`).toBeLessThan(1e-9 * largest);
        }
      }
    });
  }
});
