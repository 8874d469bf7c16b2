/**
 * Reductions over some axes besides the sum (broadcast.ts); the axes stay, with length 1.
 */
import { elementCount } from '../../tensor.ts';
import { type Operator, operator, type Value } from '../operator.ts';
import { apply, filled } from '../program.ts';
import { divide, maximum, multiply } from './arithmetic.ts';
import { type Axes, broadcastTo, fold, normalizedAxes, reducedShape } from './broadcast.ts';

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

export const mean = (x: Value, axes: readonly number[]) => apply(meanOperator, [x], { axes: normalizedAxes(x, axes) });
export const l2Norm = (x: Value, axes: readonly number[]) =>
  apply(l2NormOperator, [x], { axes: normalizedAxes(x, axes) });
