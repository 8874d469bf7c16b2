/**
 * Operators that move elements and compute nothing: reshape, transpose, slice, concatenate, pad.
 */
import { elementCount, type Shape, showShape, stridesOf } from '../../tensor.ts';
import { type Numbers, type Operator, operator } from '../operator.ts';
import { apply, type Value } from '../program.ts';

/** Zeros of the same element type. */
function likeOf(data: Numbers, count: number): Numbers {
  return data instanceof Float32Array ? new Float32Array(count) : new Float64Array(count);
}

/** Side of the squares in which the last two axes are walked, so that a transpose stays in the cache. */
const block = 32;

/** Copies a strided walk over `data` (one start, one stride per axis of `shape`) into C order. */
export function gatherStrided(data: Numbers, start: number, strides: readonly number[], shape: Shape): Numbers {
  const out = likeOf(data, elementCount(shape));
  const [rows, columns] = [shape.at(-2) ?? 1, shape.at(-1) ?? 1];
  const [rowStride, columnStride] = [strides.at(-2) ?? 0, strides.at(-1) ?? 0];
  const outer = Math.max(shape.length - 2, 0);
  const index = new Array<number>(outer).fill(0);
  let offset = start;
  for (let plane = 0; plane < out.length; plane += rows * columns) {
    for (let top = 0; top < rows; top += block) {
      for (let left = 0; left < columns; left += block) {
        const [bottom, right] = [Math.min(top + block, rows), Math.min(left + block, columns)];
        for (let row = top; row < bottom; row++) {
          const [from, to] = [offset + row * rowStride, plane + row * columns];
          for (let column = left; column < right; column++) out[to + column] = data[from + column * columnStride];
        }
      }
    }
    for (let axis = outer - 1; axis >= 0; axis--) {
      offset += strides[axis];
      if (++index[axis] < shape[axis]) break;
      offset -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return out;
}

export const reshapeOperator: Operator = operator<{ shape: readonly number[] }>({
  name: 'reshape',
  shape: ([x], { shape }) => {
    if (elementCount(shape) !== elementCount(x.shape)) {
      throw new Error(`${elementCount(x.shape)} elements do not fill ${showShape(shape)}`);
    }
    return shape;
  },
  gradient: (dy, { inputs: [x] }) => [reshape(dy, x.shape)],
  onnx: (emit, [x], { attributes }) => emit.node('Reshape', [x, emit.int64s(attributes.shape)]),
  reference: ([x]) => x.data,
  cost: undefined,
});

export const transposeOperator: Operator = operator<{ permutation: readonly number[] }>({
  name: 'transpose',
  shape: ([x], { permutation }) => {
    if (permutation.length !== x.shape.length || new Set(permutation).size !== permutation.length) {
      throw new Error(`[${permutation}] is no permutation of ${x.shape.length} axes`);
    }
    return permutation.map((axis) => x.shape[axis]);
  },
  gradient: (dy, { attributes: { permutation } }) => [
    transpose(
      dy,
      permutation.map((_, axis) => permutation.indexOf(axis)),
    ),
  ],
  onnx: (emit, inputs, { attributes }) => emit.node('Transpose', inputs, { perm: { ints: attributes.permutation } }),
  reference: ([x], { permutation }, shape) => {
    const strides = stridesOf(x.shape);
    return gatherStrided(
      x.data,
      0,
      permutation.map((axis) => strides[axis]),
      shape,
    );
  },
  cost: undefined,
});

/** Per axis: from `starts` up to (not including) `ends`, in steps; a negative step walks down, an end of -1 past index 0. */
export const sliceOperator: Operator = operator<{
  starts: readonly number[];
  ends: readonly number[];
  steps: readonly number[];
}>({
  name: 'slice',
  shape: ([x], { starts, ends, steps }) =>
    x.shape.map((length, axis) => {
      const [start, end, step] = [starts[axis], ends[axis], steps[axis]];
      const count = Math.ceil((end - start) / step);
      if (!(count >= 1) || start < 0 || start >= length || end > length || end < -1) {
        throw new Error(`axis ${axis} has ${length} elements, not ${start}:${end}:${step}`);
      }
      return count;
    }),
  gradient: (dy, { inputs: [x], attributes }) => [spread(dy, x.shape, attributes.starts, attributes.steps)],
  onnx: (emit, [x], { types, attributes: { starts, ends, steps } }) => {
    const shape = types[0].shape;
    const cut = shape
      .map((_, axis) => axis)
      .filter((axis) => starts[axis] !== 0 || ends[axis] !== shape[axis] || steps[axis] !== 1);
    // ONNX counts a negative end from the back, so "past index 0" is written as a number below every length.
    const onnxEnds = cut.map((axis) => (ends[axis] < 0 ? -(2 ** 31) : ends[axis]));
    return emit.node('Slice', [
      x,
      emit.int64s(cut.map((axis) => starts[axis])),
      emit.int64s(onnxEnds),
      emit.int64s(cut),
      emit.int64s(cut.map((axis) => steps[axis])),
    ]);
  },
  reference: ([x], { starts, steps }, shape) => {
    const strides = stridesOf(x.shape);
    const start = starts.reduce((sum, value, axis) => sum + value * strides[axis], 0);
    return gatherStrided(
      x.data,
      start,
      strides.map((stride, axis) => stride * steps[axis]),
      shape,
    );
  },
  cost: undefined,
});

export const concatenateOperator: Operator = operator<{ axis: number }>({
  name: 'concatenate',
  shape: (inputs, { axis }) => {
    const first = inputs[0].shape;
    for (const { shape } of inputs) {
      if (shape.length !== first.length || shape.some((length, at) => at !== axis && length !== first[at])) {
        throw new Error(`${showShape(first)} and ${showShape(shape)} differ outside of axis ${axis}`);
      }
    }
    return first.map((length, at) => (at === axis ? inputs.reduce((sum, { shape }) => sum + shape[axis], 0) : length));
  },
  gradient: (dy, { inputs, attributes: { axis } }) => {
    let end = 0;
    return inputs.map(({ shape }) => {
      end += shape[axis];
      return slice(dy, { [axis]: [end - shape[axis], end] });
    });
  },
  onnx: (emit, inputs, { attributes }) => emit.node('Concat', inputs, { axis: { int: attributes.axis } }),
  reference: (inputs, { axis }, shape) => {
    const out = likeOf(inputs[0].data, elementCount(shape));
    const inner = elementCount(shape.slice(axis + 1));
    const outer = elementCount(shape.slice(0, axis));
    let before = 0;
    for (const { data, shape: own } of inputs) {
      const run = own[axis] * inner;
      for (let o = 0; o < outer; o++) out.set(data.subarray(o * run, (o + 1) * run), o * shape[axis] * inner + before);
      before += run;
    }
    return out;
  },
  cost: undefined,
});

/** Zeros before and after each axis. */
export const padOperator: Operator = operator<{ before: readonly number[]; after: readonly number[] }>({
  name: 'pad',
  shape: ([x], { before, after }) => {
    if (before.length !== x.shape.length || after.length !== x.shape.length) {
      throw new Error(`pads for ${before.length} axes, the input has ${x.shape.length}`);
    }
    return x.shape.map((length, axis) => length + before[axis] + after[axis]);
  },
  gradient: (dy, { inputs: [x], attributes: { before } }) => [
    slice(dy, Object.fromEntries(before.map((start, axis) => [axis, [start, start + x.shape[axis]]]))),
  ],
  onnx: (emit, [x], { attributes: { before, after } }) => emit.node('Pad', [x, emit.int64s([...before, ...after])]),
  reference: ([x], { before }, shape) => {
    const out = likeOf(x.data, elementCount(shape));
    const strides = stridesOf(shape);
    const index = new Array<number>(shape.length).fill(0);
    let offset = before.reduce((sum, value, axis) => sum + value * strides[axis], 0);
    for (let flat = 0; flat < x.data.length; flat++) {
      out[offset] = x.data[flat];
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        offset += strides[axis];
        if (++index[axis] < x.shape[axis]) break;
        offset -= strides[axis] * x.shape[axis];
        index[axis] = 0;
      }
    }
    return out;
  },
  cost: undefined,
});

/**
 * The adjoint of a slice: puts the elements back at `start + i * step` of each axis, zeros between. Zeros enter as an axis
 * of their own behind the one that is stretched.
 */
function spread(dy: Value, shape: Shape, starts: readonly number[], steps: readonly number[]): Value {
  let x = dy;
  for (let axis = 0; axis < shape.length; axis++) {
    const count = x.shape[axis];
    if (steps[axis] < 0) x = slice(x, { [axis]: [count - 1, -1, -1] });
    const step = Math.abs(steps[axis]);
    const start = steps[axis] < 0 ? starts[axis] - (count - 1) * step : starts[axis];
    if (step > 1) {
      const [outer, inner] = [x.shape.slice(0, axis + 1), x.shape.slice(axis + 1)];
      const none = x.shape.map(() => 0);
      const stretched = pad(
        reshape(x, [...outer, 1, ...inner]),
        [...none, 0],
        [...none.slice(0, axis + 1), step - 1, ...none.slice(axis + 1)],
      );
      // The zeros behind the last element are cut off again: they may reach beyond the axis.
      const whole = reshape(stretched, [...outer.slice(0, -1), count * step, ...inner]);
      x = slice(whole, { [axis]: [0, (count - 1) * step + 1] });
    }
    const after = shape[axis] - start - x.shape[axis];
    if (start === 0 && after === 0) continue;
    x = pad(
      x,
      x.shape.map((_, at) => (at === axis ? start : 0)),
      x.shape.map((_, at) => (at === axis ? after : 0)),
    );
  }
  return x;
}

export const reshape = (x: Value, shape: Shape) => apply(reshapeOperator, [x], { shape });

export const transpose = (x: Value, permutation: readonly number[]) => apply(transposeOperator, [x], { permutation });

/** Swaps the last two axes. */
export function transposeLast(x: Value) {
  const rank = x.shape.length;
  const permutation = x.shape.map((_, axis) => axis);
  permutation[rank - 2] = rank - 1;
  permutation[rank - 1] = rank - 2;
  return transpose(x, permutation);
}

/** Cuts `[start, end)` out of the named axes; the others stay whole. */
export function slice(x: Value, cuts: Readonly<Record<number, readonly [start: number, end: number, step?: number]>>) {
  const starts = x.shape.map((_, axis) => cuts[axis]?.[0] ?? 0);
  const ends = x.shape.map((length, axis) => cuts[axis]?.[1] ?? length);
  const steps = x.shape.map((_, axis) => cuts[axis]?.[2] ?? 1);
  return apply(sliceOperator, [x], { starts, ends, steps });
}

export const concatenate = (inputs: readonly Value[], axis: number) =>
  apply(concatenateOperator, inputs, { axis: axis < 0 ? axis + inputs[0].shape.length : axis });

export const pad = (x: Value, before: readonly number[], after: readonly number[]) =>
  apply(padOperator, [x], { before, after });
