/**
 * Softmax over one axis: exp(x - max) / sum exp(x - max).
 */
import { elementCount, type Shape } from '../../tensor.ts';
import { type Operator, operator, type Value } from '../operator.ts';
import { apply } from '../program.ts';
import { multiply, subtract } from './arithmetic.ts';
import { sum } from './broadcast.ts';

function checkAxis(shape: Shape, axis: number): void {
  if (!Number.isInteger(axis) || axis < 0 || axis >= shape.length) {
    throw new Error(`axis ${axis} is none of the ${shape.length} axes`);
  }
}

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
    const keep = { keepdims: { int: 1 } };
    const shifted = emit.node('Sub', [x, emit.node('ReduceMax', [x, axes], keep)]);
    const exponentials = emit.node('Exp', [shifted]);
    return emit.node('Div', [exponentials, emit.node('ReduceSum', [exponentials, axes], keep)]);
  },
  reference: ([x], { axis }) => {
    const length = x.shape[axis];
    const inner = elementCount(x.shape.slice(axis + 1));
    const outer = elementCount(x.shape.slice(0, axis));
    const out = new Float64Array(x.data.length);
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) {
        const start = o * length * inner + i;
        let largest = -Infinity;
        for (let k = 0; k < length; k++) largest = Math.max(largest, x.data[start + k * inner]);
        let sum = 0;
        for (let k = 0; k < length; k++) sum += out[start + k * inner] = Math.exp(x.data[start + k * inner] - largest);
        for (let k = 0; k < length; k++) out[start + k * inner] /= sum;
      }
    }
    return out;
  },
  cost: undefined,
});

/** @param axis may be negative, counted from the end. */
export const softmax = (x: Value, axis: number) =>
  apply(softmaxOperator, [x], { axis: axis < 0 ? axis + x.shape.length : axis });
