/**
 * Element by element: two operands with NumPy's broadcasting, or one.
 */
import { type Shape, showShape, stridesOf } from '../../tensor.ts';
import { type Operator, operator, type Reference, type TensorType } from '../operator.ts';
import { apply, type Value } from '../program.ts';

/** NumPy's rule: axes aligned at the end, lengths equal or one of them 1. */
export function broadcastShape(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  const shape = new Array<number>(rank);
  for (let axis = 0; axis < rank; axis++) {
    const m = a[axis - rank + a.length] ?? 1;
    const n = b[axis - rank + b.length] ?? 1;
    if (m !== n && m !== 1 && n !== 1) {
      throw new Error(`${showShape(a)} and ${showShape(b)} do not broadcast: axis ${axis} has ${m} and ${n}`);
    }
    shape[axis] = m === 1 ? n : m;
  }
  return shape;
}

/** Strides with which `shape` is read over the broadcast result: 0 along repeated axes. */
export function broadcastStrides(shape: Shape, result: Shape): number[] {
  const own = stridesOf(shape);
  return result.map((_, axis) => {
    const at = axis - result.length + shape.length;
    return at < 0 || shape[at] === 1 ? 0 : own[at];
  });
}

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

function binary(name: string, onnxType: string, f: (x: number, y: number) => number): Operator {
  return operator({
    name,
    shape: ([a, b]: readonly TensorType[]) => broadcastShape(a.shape, b.shape),
    onnx: (emit, inputs) => emit.node(onnxType, inputs),
    reference: (inputs, _, shape) => binaryLoop(inputs, shape, f),
    cost: undefined,
  });
}

function unary(name: string, onnxType: string, f: (x: number) => number): Operator {
  return operator({
    name,
    shape: ([x]: readonly TensorType[]) => x.shape,
    onnx: (emit, inputs) => emit.node(onnxType, inputs),
    reference: ([x]) => new Float64Array(x.data).map(f),
    cost: undefined,
  });
}

export const addOperator = binary('add', 'Add', (x, y) => x + y);
export const subtractOperator = binary('subtract', 'Sub', (x, y) => x - y);
export const multiplyOperator = binary('multiply', 'Mul', (x, y) => x * y);
export const divideOperator = binary('divide', 'Div', (x, y) => x / y);
export const maximumOperator = binary('maximum', 'Max', Math.max);
export const sqrtOperator = unary('sqrt', 'Sqrt', Math.sqrt);
export const sigmoidOperator = unary('sigmoid', 'Sigmoid', (x) => 1 / (1 + Math.exp(-x)));

/** y = x for x >= 0, slope * x below. */
export const leakyReluOperator = operator<{ slope: number }>({
  name: 'leakyRelu',
  shape: ([x]) => x.shape,
  onnx: (emit, inputs, { attributes }) => emit.node('LeakyRelu', inputs, { alpha: { float: attributes.slope } }),
  reference: ([x], { slope }) => new Float64Array(x.data).map((v) => (v >= 0 ? v : slope * v)),
  cost: undefined,
});

export const add = (a: Value, b: Value) => apply(addOperator, [a, b]);
export const subtract = (a: Value, b: Value) => apply(subtractOperator, [a, b]);
export const multiply = (a: Value, b: Value) => apply(multiplyOperator, [a, b]);
export const divide = (a: Value, b: Value) => apply(divideOperator, [a, b]);
export const maximum = (a: Value, b: Value) => apply(maximumOperator, [a, b]);
export const sqrt = (x: Value) => apply(sqrtOperator, [x]);
export const sigmoid = (x: Value) => apply(sigmoidOperator, [x]);
export const leakyRelu = (x: Value, slope = 0.01) => apply(leakyReluOperator, [x], { slope });
