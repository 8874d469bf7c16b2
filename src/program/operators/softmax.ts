/**
 * Softmax over one axis: exp(x - max) / sum exp(x - max); and its logarithm, which stays finite where softmax rounds to 0.
 */
import { elementCount, type Shape } from '../../tensor.ts';
import { type OnnxEmitter, type Operator, operator, type Reference, type Value } from '../operator.ts';
import { apply } from '../program.ts';
import { exponential, multiply, subtract } from './arithmetic.ts';
import { sum } from './broadcast.ts';

function checkAxis(shape: Shape, axis: number): void {
  if (!Number.isInteger(axis) || axis < 0 || axis >= shape.length) {
    throw new Error(`axis ${axis} is none of the ${shape.length} axes`);
  }
}

/** x less its largest value along the axis. */
function emitShifted(emit: OnnxEmitter, x: string, axes: string): string {
  return emit.node('Sub', [x, emit.node('ReduceMax', [x, axes], { keepdims: { int: 1 } })]);
}

function emitSum(emit: OnnxEmitter, x: string, axes: string): string {
  return emit.node('ReduceSum', [x, axes], { keepdims: { int: 1 } });
}

/** Walks the lines along an axis; `visit` gets a line's values shifted by their largest, and writes the results. */
function alongAxis(
  { shape, data }: Reference,
  axis: number,
  visit: (shifted: Float64Array) => Float64Array,
): Float64Array {
  const length = shape[axis];
  const inner = elementCount(shape.slice(axis + 1));
  const outer = elementCount(shape.slice(0, axis));
  const out = new Float64Array(data.length);
  const line = new Float64Array(length);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      const start = o * length * inner + i;
      let largest = -Infinity;
      for (let k = 0; k < length; k++) largest = Math.max(largest, data[start + k * inner]);
      for (let k = 0; k < length; k++) line[k] = data[start + k * inner] - largest;
      const results = visit(line);
      for (let k = 0; k < length; k++) out[start + k * inner] = results[k];
    }
  }
  return out;
}

const sumOfExponentials = (line: Float64Array) => line.reduce((so, value) => so + Math.exp(value), 0);

export const softmaxOperator: Operator = operator<{ axis: number }>({
  name: 'softmax',
  shape: ([x], { axis }) => {
    checkAxis(x.shape, axis);
    return x.shape;
  },
  // dx = y * (dy - sum over the axis of dy * y)
  gradient: (dy, { output, attributes: { axis } }) => [
    multiply(output, subtract(dy, sum(multiply(dy, output), [axis]))),
  ],
  onnx: (emit, [x], { types: [{ shape }], attributes: { axis } }) => {
    if (axis === shape.length - 1) return emit.node('Softmax', [x], { axis: { int: axis } });
    // Over another axis than the last the runtime turns the tensor there and back: 5 times the time of these five passes
    // (14 classes of 64x128x128 voxels, CPU).
    const axes = emit.int64s([axis]);
    const exponentials = emit.node('Exp', [emitShifted(emit, x, axes)]);
    return emit.node('Div', [exponentials, emitSum(emit, exponentials, axes)]);
  },
  reference: ([x], { axis }) =>
    alongAxis(x, axis, (line) => {
      const total = sumOfExponentials(line);
      return line.map((value) => Math.exp(value) / total);
    }),
  cost: undefined,
});

export const logSoftmaxOperator: Operator = operator<{ axis: number }>({
  name: 'logSoftmax',
  shape: ([x], { axis }) => {
    checkAxis(x.shape, axis);
    return x.shape;
  },
  // dx = dy - exp(y) * sum over the axis of dy
  gradient: (dy, { output, attributes: { axis } }) => [subtract(dy, multiply(exponential(output), sum(dy, [axis])))],
  // Not ONNX's LogSoftmax: the runtime has none for WebGPU.
  onnx: (emit, [x], { attributes: { axis } }) => {
    const axes = emit.int64s([axis]);
    const shifted = emitShifted(emit, x, axes);
    return emit.node('Sub', [shifted, emit.node('Log', [emitSum(emit, emit.node('Exp', [shifted]), axes)])]);
  },
  reference: ([x], { axis }) =>
    alongAxis(x, axis, (line) => {
      const total = Math.log(sumOfExponentials(line));
      return line.map((value) => value - total);
    }),
  cost: undefined,
});

const fromStart = (x: Value, axis: number) => (axis < 0 ? axis + x.shape.length : axis);

/** @param axis may be negative, counted from the end. */
export const softmax = (x: Value, axis: number) => apply(softmaxOperator, [x], { axis: fromStart(x, axis) });

/** @param axis may be negative, counted from the end. */
export const logSoftmax = (x: Value, axis: number) => apply(logSoftmaxOperator, [x], { axis: fromStart(x, axis) });
