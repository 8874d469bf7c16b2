/**
 * Reductions over some axes besides the sum (broadcast.ts); the axes stay, with length 1. And one over all elements.
 */
import { elementCount } from '../../tensor.ts';
import { type Operator, operator, type Value } from '../operator.ts';
import { apply, filled } from '../program.ts';
import { divide, equal, maximum, multiply } from './arithmetic.ts';
import { type Axes, broadcastTo, fold, normalizedAxes, reducedShape, sumTo } from './broadcast.ts';

export const meanOperator: Operator = operator<Axes>({
  name: 'mean',
  shape: ([x], { axes }) => reducedShape(x.shape, axes),
  gradient: (dy, { inputs: [x], output }) => {
    const share = elementCount(output.shape) / elementCount(x.shape);
    return [broadcastTo(multiply(dy, filled(share)), x.shape)];
  },
  onnx: (emit, [x], { attributes }) =>
    emit.node('ReduceMean', [x, emit.int64s(attributes.axes)], { keepdims: { int: 1 } }),
  reference: ([x], _, shape) => {
    const count = x.data.length / elementCount(shape);
    return fold(x, shape, 0, (so, value) => so + value).map((value) => value / count);
  },
  cost: undefined,
});

/** Square root of the sum of squares. Where it is 0 its gradient is taken as 0, as PyTorch does. */
export const l2NormOperator: Operator = operator<Axes>({
  name: 'l2Norm',
  shape: ([x], { axes }) => reducedShape(x.shape, axes),
  gradient: (dy, { inputs: [x], output }) => [multiply(x, divide(dy, maximum(output, filled(1e-30))))],
  // ReduceL2 itself is not vectorized on the CPU: half the speed of these three.
  onnx: (emit, [x], { attributes }) => {
    const squares = emit.node('Mul', [x, x]);
    return emit.node('Sqrt', [
      emit.node('ReduceSum', [squares, emit.int64s(attributes.axes)], { keepdims: { int: 1 } }),
    ]);
  },
  reference: ([x], _, shape) => fold(x, shape, 0, (so, value) => so + value * value).map(Math.sqrt),
  cost: undefined,
});

/**
 * [count] -> [1]: the value that `rank - 1` others are not below; rank 1 is the largest. Elements that tie for it share its
 * gradient evenly.
 */
export const kthLargestOperator: Operator = operator<{ rank: number }>({
  name: 'kthLargest',
  shape: ([x], { rank }) => {
    if (x.shape.length !== 1) throw new Error(`it takes a vector, not ${x.shape.length} axes`);
    if (!Number.isInteger(rank) || rank < 1 || rank > x.shape[0]) {
      throw new Error(`rank ${rank} is none of 1 to ${x.shape[0]}`);
    }
    return [1];
  },
  gradient: (dy, { inputs: [x], output }) => {
    const tied = equal(x, output);
    return [multiply(tied, divide(dy, sumTo(tied, [1])))];
  },
  onnx: (emit, [x], { attributes: { rank } }) => {
    const unsorted = { axis: { int: 0 }, largest: { int: 1 }, sorted: { int: 0 } };
    const values = emit.node('TopK', [x, emit.int64s([rank])], unsorted, 1);
    return emit.node('ReduceMin', [values, emit.int64s([0])], { keepdims: { int: 1 } });
  },
  reference: ([x], { rank }) => Float64Array.of(x.data.slice().sort()[x.data.length - rank]),
  cost: undefined,
});

export const kthLargest = (x: Value, rank: number) => apply(kthLargestOperator, [x], { rank });
export const mean = (x: Value, axes: readonly number[]) => apply(meanOperator, [x], { axes: normalizedAxes(x, axes) });
export const l2Norm = (x: Value, axes: readonly number[]) =>
  apply(l2NormOperator, [x], { axes: normalizedAxes(x, axes) });
