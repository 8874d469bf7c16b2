/**
 * A small case of every operator, for all engines: in Node through engine-contract.ts, in a real browser through
 * browser.test.ts. The expected values are the operators' own float64 definitions.
 */
import { fill } from '../src/cli/verify/fill.ts';
import {
  type Attributes,
  absolute,
  add,
  apply,
  batchNormalization,
  broadcastTo,
  buildProgram,
  concatenate,
  convolution,
  divide,
  equal,
  evaluate,
  exponential,
  floor,
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
  reshape,
  sigmoid,
  slice,
  softmax,
  softplus,
  sqrt,
  subtract,
  sum,
  transpose,
  transposedConvolution,
  type Value,
} from '../src/program/index.ts';
import { elementCount, type Shape, type Tensor } from '../src/tensor.ts';

export interface OperatorCase {
  readonly operator: string;
  readonly what: string;
  readonly inputs: readonly Shape[];
  readonly apply: (values: Value[]) => Value;
  /** Range of the inputs; default -1 to 1. */
  readonly range?: readonly [number, number];
}

/** Operators that only gradients are made of have no function of their own in the public list. */
function applyNamed(name: string, values: Value[], attributes: Attributes): Value {
  return apply(operators.find((each) => each.name === name)!, values, attributes);
}

/** x [n, c, spatial..] and dy of the convolution's result, for a stride of 1. */
function weightGradientCase(
  what: string,
  {
    n,
    c,
    o,
    space,
    kernel,
    padsBegin,
    padsEnd,
    groups,
  }: Record<'n' | 'c' | 'o' | 'groups', number> &
    Record<'space' | 'kernel' | 'padsBegin' | 'padsEnd', readonly number[]>,
): OperatorCase {
  const results = space.map((length, axis) => length + padsBegin[axis] + padsEnd[axis] - kernel[axis] + 1);
  return {
    operator: 'convolutionTapGradients',
    what,
    inputs: [
      [n, c, ...space],
      [n, o, ...results],
    ],
    // Sums of hundreds of products: so small that results are about 1, which the engines' tolerance is for.
    range: [-0.5, 0.5],
    apply: (values) => applyNamed('convolutionTapGradients', values, { kernel, padsBegin, padsEnd, groups }),
  };
}

export const operatorCases: readonly OperatorCase[] = [
  {
    operator: 'add',
    what: 'broadcast over channels',
    inputs: [
      [2, 3, 4],
      [3, 1],
    ],
    apply: ([a, b]) => add(a, b),
  },
  {
    operator: 'subtract',
    what: 'same shapes',
    inputs: [
      [2, 3],
      [2, 3],
    ],
    apply: ([a, b]) => subtract(a, b),
  },
  { operator: 'multiply', what: 'by a scalar', inputs: [[2, 3], []], apply: ([a, b]) => multiply(a, b) },
  {
    operator: 'divide',
    what: 'both sides repeated',
    inputs: [
      [2, 1, 3],
      [1, 4, 1],
    ],
    apply: ([a, b]) => divide(a, b),
    range: [0.5, 2],
  },
  { operator: 'maximum', what: 'of two', inputs: [[5], [5]], apply: ([a, b]) => maximum(a, b) },
  { operator: 'greater', what: 'than the same', inputs: [[3, 2], [2]], apply: ([a, b]) => greater(a, b) },
  {
    operator: 'equal',
    what: 'neighbors among floats are different',
    inputs: [
      [2, 1, 5],
      [4, 1],
    ],
    apply: ([a, b]) => equal(a, b),
    range: [1, 1 + 2 ** -22],
  },
  { operator: 'exponential', what: 'of a vector', inputs: [[5]], apply: ([x]) => exponential(x) },
  { operator: 'logarithm', what: 'of positive numbers', inputs: [[5]], apply: ([x]) => logarithm(x), range: [0.1, 4] },
  { operator: 'absolute', what: 'of both signs', inputs: [[5]], apply: ([x]) => absolute(x) },
  { operator: 'softplus', what: 'far to both sides', inputs: [[9]], apply: ([x]) => softplus(x), range: [-90, 90] },
  { operator: 'power', what: 'of 1.5', inputs: [[5]], apply: ([x]) => power(x, 1.5), range: [0, 2] },
  { operator: 'broadcast', what: 'to more axes', inputs: [[2, 1]], apply: ([x]) => broadcastTo(x, [3, 2, 4]) },
  { operator: 'sqrt', what: 'of positive numbers', inputs: [[5]], apply: ([a]) => sqrt(a), range: [0, 4] },
  { operator: 'sigmoid', what: 'of a vector', inputs: [[5]], apply: ([a]) => sigmoid(a) },
  { operator: 'floor', what: 'of both signs', inputs: [[9]], apply: ([x]) => floor(x), range: [-3, 3] },
  {
    operator: 'leakyReluSlope',
    what: 'of both signs',
    inputs: [[2, 9]],
    apply: (values) => applyNamed('leakyReluSlope', values, { slope: 0.01 }),
  },
  { operator: 'leakyRelu', what: 'with slope 0.01', inputs: [[2, 5]], apply: ([a]) => leakyRelu(a) },
  ...(
    [
      [true, false],
      [false, true],
      [true, true],
    ] as const
  ).map(
    ([turnA, turnB]): OperatorCase => ({
      operator: 'turnedMatmul',
      what: `batched, ${turnA ? 'the first' : ''}${turnA && turnB ? ' and ' : ''}${turnB ? 'the second' : ''} turned`,
      inputs: [turnA ? [2, 4, 3] : [2, 3, 4], turnB ? [5, 4] : [4, 5]],
      apply: (values) => applyNamed('turnedMatmul', values, { turnA, turnB }),
    }),
  ),
  {
    operator: 'matmul',
    what: 'with a repeated batch axis',
    inputs: [
      [2, 3, 4, 5],
      [3, 5, 2],
    ],
    apply: ([a, b]) => matmul(a, b),
  },
  {
    operator: 'convolution',
    what: '3x3x3 with padding and bias',
    inputs: [[2, 3, 4, 5, 6], [4, 3, 3, 3, 3], [4]],
    apply: ([x, w, b]) => convolution(x, w, b, { pads: [1, 1, 1] }),
  },
  {
    operator: 'convolution',
    what: 'kernel = stride',
    inputs: [
      [1, 2, 4, 8, 8],
      [3, 2, 2, 4, 4],
    ],
    apply: ([x, w]) => convolution(x, w, undefined, { strides: [2, 4, 4] }),
  },
  {
    operator: 'convolution',
    what: 'two axes, dilated, with unequal pads',
    inputs: [
      [1, 2, 9, 5],
      [3, 2, 3, 3],
    ],
    apply: ([x, w]) => convolution(x, w, undefined, { dilations: [3, 1], padsBegin: [4, 1], padsEnd: [2, 1] }),
  },
  {
    operator: 'convolution',
    what: 'one group a channel',
    inputs: [
      [1, 4, 5, 5],
      [4, 1, 3, 3],
    ],
    apply: ([x, w]) => convolution(x, w, undefined, { groups: 4, pads: [1, 1] }),
  },
  weightGradientCase('three axes, a batch of two, padded, eight channels', {
    n: 2,
    c: 8,
    o: 9,
    space: [4, 5, 6],
    kernel: [3, 3, 3],
    padsBegin: [1, 1, 1],
    padsEnd: [1, 1, 1],
    groups: 1,
  }),
  weightGradientCase('three axes, few channels, unequal pads', {
    n: 2,
    c: 3,
    o: 2,
    space: [4, 5, 6],
    kernel: [3, 2, 3],
    padsBegin: [1, 0, 2],
    padsEnd: [0, 1, 1],
    groups: 1,
  }),
  weightGradientCase('three axes, two groups of eight channels', {
    n: 2,
    c: 16,
    o: 18,
    space: [3, 4, 5],
    kernel: [3, 3, 3],
    padsBegin: [1, 1, 1],
    padsEnd: [1, 1, 1],
    groups: 2,
  }),
  weightGradientCase('two axes, two groups of few channels', {
    n: 2,
    c: 6,
    o: 4,
    space: [7, 5],
    kernel: [3, 3],
    padsBegin: [1, 1],
    padsEnd: [1, 1],
    groups: 2,
  }),
  weightGradientCase('two axes, eight channels, no pads', {
    n: 1,
    c: 8,
    o: 8,
    space: [6, 7],
    kernel: [3, 2],
    padsBegin: [0, 0],
    padsEnd: [0, 0],
    groups: 1,
  }),
  {
    operator: 'transposedConvolution',
    what: 'kernel = stride',
    inputs: [
      [1, 3, 2, 3, 2],
      [3, 2, 2, 4, 4],
    ],
    apply: ([x, w]) => transposedConvolution(x, w, undefined, { strides: [2, 4, 4] }),
  },
  {
    operator: 'transposedConvolution',
    what: 'overlapping windows, pads and bias',
    inputs: [[2, 3, 4, 3], [3, 2, 3, 3], [2]],
    apply: ([x, w, b]) => transposedConvolution(x, w, b, { strides: [2, 2], pads: [1, 1] }),
  },
  {
    operator: 'layerNormalization',
    what: 'over the last axis',
    inputs: [[2, 3, 8], [8], [8]],
    apply: ([x, s, b]) => layerNormalization(x, s, b),
  },
  {
    operator: 'instanceNormalization',
    what: 'over three spatial axes',
    inputs: [[2, 3, 4, 5, 6], [3], [3]],
    apply: ([x, s, b]) => instanceNormalization(x, s, b),
  },
  {
    operator: 'instanceNormalization',
    what: 'over a row of two million',
    inputs: [[1, 1, 33, 256, 256], [1], [1]],
    apply: ([x, s, b]) => instanceNormalization(x, s, b),
    range: [0, 2],
  },
  {
    operator: 'batchNormalization',
    what: 'with given statistics',
    inputs: [[2, 3, 4, 5], [3], [3], [3], [3]],
    apply: ([x, s, b, m, v]) => batchNormalization(x, s, b, m, v),
    range: [0.5, 2],
  },
  { operator: 'softmax', what: 'over the last axis', inputs: [[2, 3, 7]], apply: ([x]) => softmax(x, -1) },
  { operator: 'softmax', what: 'over channels', inputs: [[2, 3, 4, 2]], apply: ([x]) => softmax(x, 1) },
  { operator: 'logSoftmax', what: 'over the last axis', inputs: [[2, 3, 7]], apply: ([x]) => logSoftmax(x, -1) },
  {
    operator: 'logSoftmax',
    what: 'over channels far apart',
    inputs: [[2, 3, 4, 2]],
    apply: ([x]) => logSoftmax(x, 1),
    range: [-30, 30],
  },
  { operator: 'sum', what: 'over the first two axes', inputs: [[2, 3, 4]], apply: ([x]) => sum(x, [0, 1]) },
  { operator: 'sum', what: 'over two axes', inputs: [[2, 3, 4]], apply: ([x]) => sum(x, [0, 2]) },
  { operator: 'mean', what: 'over the last axis', inputs: [[2, 3, 4]], apply: ([x]) => mean(x, [-1]) },
  { operator: 'l2Norm', what: 'over the last axis', inputs: [[2, 3, 4]], apply: ([x]) => l2Norm(x, [-1]) },
  { operator: 'kthLargest', what: 'third of twelve', inputs: [[12]], apply: ([x]) => kthLargest(x, 3) },
  { operator: 'reshape', what: 'to a matrix', inputs: [[2, 3, 4]], apply: ([x]) => reshape(x, [6, 4]) },
  {
    operator: 'transpose',
    what: 'of eight axes',
    inputs: [[2, 1, 3, 2, 1, 2, 2, 3]],
    apply: ([x]) => transpose(x, [7, 0, 2, 4, 6, 1, 3, 5]),
  },
  {
    operator: 'slice',
    what: 'with steps forward and back',
    inputs: [[5, 6]],
    apply: ([x]) => slice(x, { 0: [4, -1, -1], 1: [1, 6, 2] }),
  },
  {
    operator: 'concatenate',
    what: 'along channels',
    inputs: [
      [2, 3, 2],
      [2, 1, 2],
    ],
    apply: ([a, b]) => concatenate([a, b], 1),
  },
  { operator: 'pad', what: 'unequally', inputs: [[2, 3]], apply: ([x]) => pad(x, [0, 1], [2, 0]) },
];

function filled(name: string, shape: Shape, [lo, hi]: readonly [number, number]): Tensor<'float32'> {
  return { dtype: 'float32', shape, data: fill(name, elementCount(shape), lo, hi) };
}

export const caseName = ({ operator, what }: OperatorCase) => `${operator}: ${what}`;

/** The case as a program from `x` to `y`. The first operand is an input; the others are parameters, as weights are. */
export function operatorCase(one: OperatorCase) {
  const range = one.range ?? [-1, 1];
  const program = buildProgram('case', () => {
    const values = one.inputs.map((shape, index) =>
      index === 0 ? input('x', shape) : parameter(`p${index}`, shape, { kind: 'constant', value: 0 }),
    );
    return { y: one.apply(values) };
  });
  const feeds = new Map([['x', filled('x', one.inputs[0], range)]]);
  const weights = new Map(program.parameters.map(({ name, shape }) => [name, filled(name, shape, range)]));
  const expected = evaluate(program, new Map([...feeds, ...weights])).get('y')!;
  return { program, feeds, weights, expected };
}

/** Asserting a million times over is slow: the place where two arrays differ most. */
export function worstAt(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    if (!(Math.abs(got[i] - expected[i]) <= Math.abs(got[worst] - expected[worst]))) worst = i;
  }
  return worst;
}
