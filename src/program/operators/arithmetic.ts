/**
 * Element by element: two operands with NumPy's broadcasting, or one.
 */
import type { Shape } from '../../tensor.ts';
import { type Operator, operator, type Reference, type TensorType, type Value } from '../operator.ts';
import { apply, filled } from '../program.ts';
import { broadcastShape, broadcastStrides, sumTo } from './broadcast.ts';

/** Walks a result in C order and calls `visit(flat, offsetA, offsetB)`; the innermost axis is a plain loop. */
function binaryLoop([a, b]: readonly Reference[], shape: Shape, f: (x: number, y: number) => number): Float64Array {
  const count = shape.reduce((product, length) => product * length, 1);
  const out = new Float64Array(count);
  if (count === 0) return out;
  const stridesA = broadcastStrides(a.shape, shape);
  const stridesB = broadcastStrides(b.shape, shape);
  const last = shape.length - 1;
  const inner = last < 0 ? 1 : shape[last];
  const stepA = last < 0 ? 0 : stridesA[last];
  const stepB = last < 0 ? 0 : stridesB[last];
  const index = new Array<number>(Math.max(last, 0)).fill(0);
  let offsetA = 0;
  let offsetB = 0;
  for (let flat = 0; flat < count; ) {
    for (let i = 0; i < inner; i++) out[flat++] = f(a.data[offsetA + i * stepA], b.data[offsetB + i * stepB]);
    for (let axis = last - 1; axis >= 0; axis--) {
      offsetA += stridesA[axis];
      offsetB += stridesB[axis];
      if (++index[axis] < shape[axis]) break;
      offsetA -= stridesA[axis] * shape[axis];
      offsetB -= stridesB[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return out;
}

/** What a result's gradient means for both operands, before it is summed down to their shapes. */
type BinaryGradient = (dy: Value, a: Value, b: Value, y: Value) => readonly [Value, Value];

function binary(
  name: string,
  onnxType: string,
  f: (x: number, y: number) => number,
  gradient: BinaryGradient,
): Operator {
  return operator({
    name,
    shape: ([a, b]: readonly TensorType[]) => broadcastShape(a.shape, b.shape),
    gradient: (dy, { inputs: [a, b], output }) => {
      const [da, db] = gradient(dy, a, b, output);
      return [sumTo(da, a.shape), sumTo(db, b.shape)];
    },
    onnx: (emit, inputs) => emit.node(onnxType, inputs),
    reference: (inputs, _, shape) => binaryLoop(inputs, shape, f),
    cost: undefined,
  });
}

function unary(
  name: string,
  onnxType: string,
  f: (x: number) => number,
  gradient: (dy: Value, y: Value, x: Value) => Value,
): Operator {
  return operator({
    name,
    shape: ([x]: readonly TensorType[]) => x.shape,
    gradient: (dy, { inputs: [x], output }) => [gradient(dy, output, x)],
    onnx: (emit, inputs) => emit.node(onnxType, inputs),
    reference: ([x]) => new Float64Array(x.data).map(f),
    cost: undefined,
  });
}

export const addOperator = binary(
  'add',
  'Add',
  (x, y) => x + y,
  (dy) => [dy, dy],
);

export const subtractOperator = binary(
  'subtract',
  'Sub',
  (x, y) => x - y,
  (dy) => [dy, multiply(dy, filled(-1))],
);

export const multiplyOperator = binary(
  'multiply',
  'Mul',
  (x, y) => x * y,
  (dy, a, b) => [multiply(dy, b), multiply(dy, a)],
);

export const divideOperator = binary(
  'divide',
  'Div',
  (x, y) => x / y,
  (dy, _, b, y) => {
    const da = divide(dy, b);
    return [da, multiply(multiply(da, y), filled(-1))];
  },
);

/** Where both are equal, the gradient goes to the first: as PyTorch's clamp gives it to the clamped value. */
export const maximumOperator = binary('maximum', 'Max', Math.max, (dy, a, b) => {
  const second = greater(b, a);
  return [multiply(dy, subtract(filled(1), second)), multiply(dy, second)];
});

/** The largest whole number that is not above x. Flat almost everywhere: it has no gradient that would say anything. */
export const floorOperator: Operator = operator({
  name: 'floor',
  shape: ([x]: readonly TensorType[]) => x.shape,
  gradient: { none: 'it is flat almost everywhere' },
  onnx: (emit, inputs) => emit.node('Floor', inputs),
  reference: ([x]) => new Float64Array(x.data).map(Math.floor),
  cost: undefined,
});

export const sqrtOperator = unary('sqrt', 'Sqrt', Math.sqrt, (dy, y) => divide(dy, multiply(y, filled(2))));

export const sigmoidOperator = unary(
  'sigmoid',
  'Sigmoid',
  (x) => 1 / (1 + Math.exp(-x)),
  (dy, y) => multiply(dy, multiply(y, subtract(filled(1), y))),
);

export const exponentialOperator = unary('exponential', 'Exp', Math.exp, (dy, y) => multiply(dy, y));

export const logarithmOperator = unary('logarithm', 'Log', Math.log, (dy, _, x) => divide(dy, x));

/** At 0 the gradient is 0, as in PyTorch. */
export const absoluteOperator = unary('absolute', 'Abs', Math.abs, (dy, _, x) =>
  multiply(dy, subtract(greater(x, filled(0)), greater(filled(0), x))),
);

/** log(1 + exp(x)), which neither overflows nor loses the exponential beside a large x. */
export const softplusOperator = unary(
  'softplus',
  'Softplus',
  (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
  (dy, _, x) => multiply(dy, sigmoid(x)),
);

/** x to a fixed exponent, x >= 0. At x = 0 an exponent below 1 has no finite gradient. */
export const powerOperator: Operator = operator<{ exponent: number }>({
  name: 'power',
  shape: ([x]) => x.shape,
  gradient: (dy, { inputs: [x], attributes: { exponent } }) => [
    multiply(dy, multiply(power(x, exponent - 1), filled(exponent))),
  ],
  onnx: (emit, [x], { attributes }) => emit.node('Pow', [x, emit.float32(attributes.exponent)]),
  reference: ([x], { exponent }) => new Float64Array(x.data).map((v) => v ** exponent),
  cost: undefined,
});

function comparison(name: string, onnxType: string, holds: (x: number, y: number) => boolean): Operator {
  return operator<Record<string, never>>({
    name,
    shape: ([a, b]) => broadcastShape(a.shape, b.shape),
    gradient: { none: 'it is constant but for jumps' },
    onnx: (emit, inputs) => emit.node('Cast', [emit.node(onnxType, inputs)], { to: { int: 1 } }),
    reference: (inputs, _, shape) => binaryLoop(inputs, shape, (x, y) => (holds(x, y) ? 1 : 0)),
    cost: undefined,
  });
}

/** 1 where the first operand is greater, else 0. */
export const greaterOperator = comparison('greater', 'Greater', (x, y) => x > y);

/** 1 where both operands are the same number, else 0. */
export const equalOperator = comparison('equal', 'Equal', (x, y) => x === y);

/** y = x for x >= 0, slope * x below. At 0 the gradient is the slope, as in PyTorch. */
export const leakyReluOperator: Operator = operator<{ slope: number }>({
  name: 'leakyRelu',
  shape: ([x]) => x.shape,
  gradient: (dy, { output, attributes: { slope } }) => [multiply(dy, leakyReluSlope(output, slope))],
  onnx: (emit, inputs, { attributes }) => emit.node('LeakyRelu', inputs, { alpha: { float: attributes.slope } }),
  reference: ([x], { slope }) => new Float64Array(x.data).map((v) => (v >= 0 ? v : slope * v)),
  cost: undefined,
});

/** 1 where x is above 0, else the slope: the derivative of leakyRelu, of its argument and of its result alike. */
export const leakyReluSlopeOperator: Operator = operator<{ slope: number }>({
  name: 'leakyReluSlope',
  shape: ([x]) => x.shape,
  gradient: { none: 'it is constant but for a jump' },
  // Two passes; a comparison, a cast, a product and a sum are four.
  onnx: (emit, [x], { attributes: { slope } }) =>
    emit.node('Clip', [emit.node('Mul', [x, emit.float32(1e38)]), emit.float32(slope), emit.float32(1)]),
  reference: ([x], { slope }) => new Float64Array(x.data).map((v) => (v > 0 ? 1 : slope)),
  cost: undefined,
});

export const add = (a: Value, b: Value) => apply(addOperator, [a, b]);
export const subtract = (a: Value, b: Value) => apply(subtractOperator, [a, b]);
export const multiply = (a: Value, b: Value) => apply(multiplyOperator, [a, b]);
export const divide = (a: Value, b: Value) => apply(divideOperator, [a, b]);
export const maximum = (a: Value, b: Value) => apply(maximumOperator, [a, b]);
export const greater = (a: Value, b: Value) => apply(greaterOperator, [a, b]);
export const equal = (a: Value, b: Value) => apply(equalOperator, [a, b]);
export const floor = (x: Value) => apply(floorOperator, [x]);
export const sqrt = (x: Value) => apply(sqrtOperator, [x]);
export const sigmoid = (x: Value) => apply(sigmoidOperator, [x]);
export const exponential = (x: Value) => apply(exponentialOperator, [x]);
export const logarithm = (x: Value) => apply(logarithmOperator, [x]);
export const absolute = (x: Value) => apply(absoluteOperator, [x]);
export const softplus = (x: Value) => apply(softplusOperator, [x]);
export const power = (x: Value, exponent: number) => apply(powerOperator, [x], { exponent });
const leakyReluSlope = (x: Value, slope: number) => apply(leakyReluSlopeOperator, [x], { slope });
export const leakyRelu = (x: Value, slope = 0.01) => apply(leakyReluOperator, [x], { slope });

/** True where a constant holds one number throughout. */
export function isFilled(value: Value, number: number): boolean {
  return value.kind === 'constant' && (value.value.data as Float64Array).every((element) => element === number);
}
