/**
 * Reductions over some axes; the axes stay, with length 1.
 */
import { elementCount, type Shape } from '../../tensor.ts';
import { type Operator, operator, type Reference } from '../operator.ts';
import { apply, type Value } from '../program.ts';
import { broadcastStrides } from './arithmetic.ts';

type Axes = { axes: readonly number[] };

function reducedShape(shape: Shape, axes: readonly number[]): Shape {
  for (const axis of axes) {
    if (!Number.isInteger(axis) || axis < 0 || axis >= shape.length) {
      throw new Error(`axis ${axis} is none of the ${shape.length} axes`);
    }
  }
  return shape.map((length, axis) => (axes.includes(axis) ? 1 : length));
}

/** Folds every element into its place of the result: result[reduced index] = step(result[..], x). */
function fold(x: Reference, shape: Shape, start: number, step: (so: number, value: number) => number): Float64Array {
  const out = new Float64Array(elementCount(shape)).fill(start);
  const strides = broadcastStrides(shape, x.shape);
  const index = new Array<number>(x.shape.length).fill(0);
  let offset = 0;
  for (let flat = 0; flat < x.data.length; flat++) {
    out[offset] = step(out[offset], x.data[flat]);
    for (let axis = x.shape.length - 1; axis >= 0; axis--) {
      offset += strides[axis];
      if (++index[axis] < x.shape[axis]) break;
      offset -= strides[axis] * x.shape[axis];
      index[axis] = 0;
    }
  }
  return out;
}

function reduction(
  name: string,
  onnxType: string,
  start: number,
  step: (so: number, value: number) => number,
  finish: (so: number, count: number) => number,
): Operator {
  return operator<Axes>({
    name,
    shape: ([x], { axes }) => reducedShape(x.shape, axes),
    onnx: (emit, [x], { attributes }) =>
      emit.node(onnxType, [x, emit.int64s(attributes.axes)], { keepdims: { int: 1 } }),
    reference: ([x], _, shape) => {
      const count = x.data.length / elementCount(shape);
      return fold(x, shape, start, step).map((value) => finish(value, count));
    },
    cost: undefined,
  });
}

export const sumOperator = reduction(
  'sum',
  'ReduceSum',
  0,
  (so, x) => so + x,
  (so) => so,
);
export const meanOperator = reduction(
  'mean',
  'ReduceMean',
  0,
  (so, x) => so + x,
  (so, count) => so / count,
);
/** Square root of the sum of squares. */
export const l2NormOperator = reduction('l2Norm', 'ReduceL2', 0, (so, x) => so + x * x, Math.sqrt);

const normalized = (x: Value, axes: readonly number[]) =>
  axes.map((axis) => (axis < 0 ? axis + x.shape.length : axis)).sort((a, b) => a - b);

export const sum = (x: Value, axes: readonly number[]) => apply(sumOperator, [x], { axes: normalized(x, axes) });
export const mean = (x: Value, axes: readonly number[]) => apply(meanOperator, [x], { axes: normalized(x, axes) });
export const l2Norm = (x: Value, axes: readonly number[]) => apply(l2NormOperator, [x], { axes: normalized(x, axes) });
