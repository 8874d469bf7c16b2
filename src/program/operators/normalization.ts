/**
 * Norms with their own affine part: y = (x - mean) / sqrt(variance + epsilon) * scale + bias, variance with divisor n.
 *
 * layer:    statistics over the last axis; scale and bias [c]
 * instance: statistics over the spatial axes of each [n, c]; scale and bias [c]
 * batch:    inference form, with given mean and variance [c]; x [n, c, spatial..]
 */
import { elementCount, type Shape, showShape } from '../../tensor.ts';
import { type Numbers, type OnnxEmitter, type Operator, operator, type TensorType, type Value } from '../operator.ts';
import { apply, filled } from '../program.ts';
import { add, divide, multiply, sqrt, subtract } from './arithmetic.ts';
import { sum } from './broadcast.ts';
import { reshape } from './movement.ts';
import { mean } from './reduction.ts';

function checkVectors(channels: number, vectors: readonly TensorType[]): void {
  for (const { shape } of vectors) {
    if (shape.length !== 1 || shape[0] !== channels) {
      throw new Error(`${channels} channels, but a scale, bias or statistic of shape ${showShape(shape)}`);
    }
  }
}

/** Normalizes `count` rows of `length` neighbors; scale and bias per element of the row or per row. */
function normalizeRows(
  data: Numbers,
  rows: number,
  length: number,
  epsilon: number,
  scale: (row: number, i: number) => number,
  bias: (row: number, i: number) => number,
): Float64Array {
  const out = new Float64Array(data.length);
  for (let row = 0; row < rows; row++) {
    const start = row * length;
    let sum = 0;
    for (let i = 0; i < length; i++) sum += data[start + i];
    const mean = sum / length;
    let squares = 0;
    for (let i = 0; i < length; i++) squares += (data[start + i] - mean) ** 2;
    const factor = 1 / Math.sqrt(squares / length + epsilon);
    for (let i = 0; i < length; i++) out[start + i] = (data[start + i] - mean) * factor * scale(row, i) + bias(row, i);
  }
  return out;
}

/** A vector [c] as [c, 1, ..] beside x [n, c, spatial..]. */
function perChannel(vector: Value, x: Value): Value {
  return reshape(vector, [x.shape[1], ...x.shape.slice(2).map(() => 1)]);
}

/**
 * Gradients of y = z * scale + bias, z = (x - mean) / deviation, with statistics over `axes`:
 * dx = (g - mean(g) - z * mean(g * z)) / deviation, g = dy * scale; dscale and dbias are sums over `vectorAxes`.
 */
function standardGradient(
  dy: Value,
  x: Value,
  scale: Value,
  axes: readonly number[],
  vectorAxes: readonly number[],
  epsilon: number,
): Value[] {
  const centered = subtract(x, mean(x, axes));
  const deviation = sqrt(add(mean(multiply(centered, centered), axes), filled(epsilon)));
  const z = divide(centered, deviation);
  const g = multiply(dy, scale);
  const projected = multiply(z, mean(multiply(g, z), axes));
  const dx = divide(subtract(subtract(g, mean(g, axes)), projected), deviation);
  const toVector = (value: Value) => {
    const vector = sum(value, vectorAxes);
    return reshape(vector, [elementCount(vector.shape)]);
  };
  return [dx, toVector(multiply(dy, z)), toVector(dy)];
}

export const layerNormalizationOperator: Operator = operator<{ epsilon: number }>({
  name: 'layerNormalization',
  shape: ([x, ...vectors]) => {
    checkVectors(x.shape.at(-1)!, vectors);
    return x.shape;
  },
  gradient: (dy, { inputs: [x, scale], attributes: { epsilon } }) => {
    const last = x.shape.length - 1;
    return standardGradient(
      dy,
      x,
      scale,
      [last],
      x.shape.slice(0, -1).map((_, axis) => axis),
      epsilon,
    );
  },
  onnx: (emit, inputs, { attributes }) =>
    emit.node('LayerNormalization', inputs, { axis: { int: -1 }, epsilon: { float: attributes.epsilon } }),
  reference: ([x, scale, bias], { epsilon }) => {
    const length = x.shape.at(-1)!;
    return normalizeRows(
      x.data,
      x.data.length / length,
      length,
      epsilon,
      (_, i) => scale.data[i],
      (_, i) => bias.data[i],
    );
  },
  cost: undefined,
});

/**
 * Up to this many elements ONNX Runtime's own operator is used: it sums a row in one float32 chain, which is off by 1e-5
 * of the deviation at 2^17 elements and by 5e-5 at 2^21 (measured), and a network's depth multiplies that.
 */
const longRow = 2 ** 12;

/** The divisor of `count` that is nearest to its square root, from below. */
function runLength(count: number): number {
  let length = Math.floor(Math.sqrt(count));
  while (count % length !== 0) length--;
  return length;
}

/**
 * Instance norm with its sums split in two: over short runs, then over the runs' results. A float32 sum over two million
 * voxels in one go is off by 5e-5, which the depth of a network multiplies; split, the error is that of a sum over a
 * thousand. Deviations are squared after the mean is taken off, so nothing cancels.
 */
function emitSplitSums(emit: OnnxEmitter, [x, scale, bias]: readonly string[], shape: Shape, epsilon: number): string {
  const [n, channels, ...spatial] = shape;
  const count = elementCount(spatial);
  const run = runLength(count);
  const keep = { keepdims: { int: 1 } };
  const average = (of: string, axis: number) => emit.node('ReduceMean', [of, emit.int64s([axis])], keep);
  const rows = emit.node('Reshape', [x, emit.int64s([n, channels, count / run, run])]);
  const centered = emit.node('Sub', [rows, average(average(rows, 3), 2)]);
  const norms = emit.node('ReduceL2', [centered, emit.int64s([3])], keep);
  const squares = average(emit.node('Mul', [norms, norms]), 2);
  const variance = emit.node('Div', [squares, emit.float32(run)]);
  const deviation = emit.node('Sqrt', [emit.node('Add', [variance, emit.float32(epsilon)])]);
  const standard = emit.node('Reshape', [emit.node('Div', [centered, deviation]), emit.int64s(shape)]);
  const perChannel = emit.int64s([channels, ...spatial.map(() => 1)]);
  const scaled = emit.node('Mul', [standard, emit.node('Reshape', [scale, perChannel])]);
  return emit.node('Add', [scaled, emit.node('Reshape', [bias, perChannel])]);
}

export const instanceNormalizationOperator: Operator = operator<{ epsilon: number }>({
  name: 'instanceNormalization',
  shape: ([x, ...vectors]) => {
    if (x.shape.length < 3) throw new Error('the input needs the axes [n, c, spatial..]');
    checkVectors(x.shape[1], vectors);
    return x.shape;
  },
  gradient: (dy, { inputs: [x, scale], attributes: { epsilon } }) => {
    const spatial = x.shape.map((_, axis) => axis).slice(2);
    return standardGradient(dy, x, perChannel(scale, x), spatial, [0, ...spatial], epsilon);
  },
  onnx: (emit, inputs, { types, attributes }) =>
    elementCount(types[0].shape.slice(2)) > longRow
      ? emitSplitSums(emit, inputs, types[0].shape, attributes.epsilon)
      : emit.node('InstanceNormalization', inputs, { epsilon: { float: attributes.epsilon } }),
  reference: ([x, scale, bias], { epsilon }) => {
    const [n, channels] = x.shape;
    return normalizeRows(
      x.data,
      n * channels,
      elementCount(x.shape.slice(2)),
      epsilon,
      (row) => scale.data[row % channels],
      (row) => bias.data[row % channels],
    );
  },
  cost: undefined,
});

export const batchNormalizationOperator: Operator = operator<{ epsilon: number }>({
  name: 'batchNormalization',
  shape: ([x, ...vectors]) => {
    if (x.shape.length < 2) throw new Error('the input needs the axes [n, c, spatial..]');
    checkVectors(x.shape[1], vectors);
    return x.shape;
  },
  gradient: (dy, { inputs: [x, ...vectors], attributes: { epsilon } }) => {
    const [scale, , mean, variance] = vectors.map((vector) => perChannel(vector, x));
    const others = x.shape.map((_, axis) => axis).filter((axis) => axis !== 1);
    const toVector = (value: Value) => reshape(sum(value, others), [x.shape[1]]);
    const deviation = sqrt(add(variance, filled(epsilon)));
    const centered = subtract(x, mean);
    const dx = multiply(dy, divide(scale, deviation));
    const dVariance = multiply(multiply(dx, centered), divide(filled(-0.5), multiply(deviation, deviation)));
    return [
      dx,
      toVector(multiply(dy, divide(centered, deviation))),
      toVector(dy),
      toVector(multiply(dx, filled(-1))),
      toVector(dVariance),
    ];
  },
  onnx: (emit, inputs, { attributes }) =>
    emit.node('BatchNormalization', inputs, { epsilon: { float: attributes.epsilon } }),
  reference: ([x, scale, bias, mean, variance], { epsilon }) => {
    const [n, channels] = x.shape;
    const length = elementCount(x.shape.slice(2));
    const out = new Float64Array(x.data.length);
    for (let row = 0; row < n * channels; row++) {
      const c = row % channels;
      const factor = scale.data[c] / Math.sqrt(variance.data[c] + epsilon);
      for (let i = row * length; i < (row + 1) * length; i++)
        out[i] = (x.data[i] - mean.data[c]) * factor + bias.data[c];
    }
    return out;
  },
  cost: undefined,
});

export const layerNormalization = (x: Value, scale: Value, bias: Value, epsilon = 1e-5) =>
  apply(layerNormalizationOperator, [x, scale, bias], { epsilon });

export const instanceNormalization = (x: Value, scale: Value, bias: Value, epsilon = 1e-5) =>
  apply(instanceNormalizationOperator, [x, scale, bias], { epsilon });

export const batchNormalization = (x: Value, scale: Value, bias: Value, mean: Value, variance: Value, epsilon = 1e-5) =>
  apply(batchNormalizationOperator, [x, scale, bias, mean, variance], { epsilon });
