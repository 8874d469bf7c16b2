/**
 * Broadcasting and its adjoint, summation: each is the other's gradient. The other operators of two operands build on both.
 */
import { elementCount, type Shape, sameShape, showShape, stridesOf } from '../../tensor.ts';
import { type Operator, operator, type Reference, type Value } from '../operator.ts';
import { apply } from '../program.ts';
import { gatherStrided, reshape } from './movement.ts';

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

export type Axes = { axes: readonly number[] };

export function reducedShape(shape: Shape, axes: readonly number[]): Shape {
  for (const axis of axes) {
    if (!Number.isInteger(axis) || axis < 0 || axis >= shape.length) {
      throw new Error(`axis ${axis} is none of the ${shape.length} axes`);
    }
  }
  return shape.map((length, axis) => (axes.includes(axis) ? 1 : length));
}

/** Folds every element into its place of the result: result[reduced index] = step(result[..], x). */
export function fold(
  x: Reference,
  shape: Shape,
  start: number,
  step: (so: number, value: number) => number,
): Float64Array {
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

/** Elements from which a row is worth a product of its own. */
const longRow = 256;

export const sumOperator: Operator = operator<Axes>({
  name: 'sum',
  shape: ([x], { axes }) => reducedShape(x.shape, axes),
  gradient: (dy, { inputs: [x] }) => [broadcastTo(dy, x.shape)],
  onnx: (emit, [x], { types: [{ shape: from }], shape, attributes: { axes } }) => {
    const [first, end] = [axes[0], axes[axes.length - 1] + 1];
    const [before, behind] = [elementCount(from.slice(0, first)), elementCount(from.slice(end))];
    const neighbors = end - first === axes.length;
    // Over axes before long rows the runtime's reduction takes several times as long as a row of ones times a matrix.
    if (!neighbors || behind === 1 || (before > 1 && behind < longRow)) {
      return emit.node('ReduceSum', [x, emit.int64s(axes)], { keepdims: { int: 1 } });
    }
    const count = elementCount(from) / (before * behind);
    const rows = emit.node('Reshape', [x, emit.int64s([before, count, behind])]);
    return emit.node('Reshape', [emit.node('MatMul', [emit.ones([1, count]), rows]), emit.int64s(shape)]);
  },
  reference: ([x], _, shape) => fold(x, shape, 0, (so, value) => so + value),
  cost: undefined,
});

export const broadcastOperator: Operator = operator<{ shape: readonly number[] }>({
  name: 'broadcast',
  shape: ([x], { shape }) => {
    if (!sameShape(broadcastShape(x.shape, shape), shape)) {
      throw new Error(`${showShape(x.shape)} does not broadcast to ${showShape(shape)}`);
    }
    return shape;
  },
  gradient: (dy, { inputs: [x] }) => [sumTo(dy, x.shape)],
  onnx: (emit, [x], { attributes }) => emit.node('Expand', [x, emit.int64s(attributes.shape)]),
  reference: ([x], _, shape) => gatherStrided(x.data, 0, broadcastStrides(x.shape, shape), shape),
  cost: undefined,
});

/** Axes may be negative, counted from the end. */
export function normalizedAxes(x: Value, axes: readonly number[]): number[] {
  return axes.map((axis) => (axis < 0 ? axis + x.shape.length : axis)).sort((a, b) => a - b);
}

export const sum = (x: Value, axes: readonly number[]) => apply(sumOperator, [x], { axes: normalizedAxes(x, axes) });

export const broadcastTo = (x: Value, shape: Shape): Value =>
  sameShape(x.shape, shape) ? x : apply(broadcastOperator, [x], { shape });

/** Sums a value down to a shape that broadcasts to its own: what broadcasting does to gradients. */
export function sumTo(x: Value, shape: Shape): Value {
  if (sameShape(x.shape, shape)) return x;
  const added = x.shape.length - shape.length;
  const axes = x.shape.map((_, axis) => axis).filter((axis) => axis < added || shape[axis - added] !== x.shape[axis]);
  return reshape(sum(x, axes), shape);
}
