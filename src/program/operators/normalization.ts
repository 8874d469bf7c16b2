/**
 * Norms with their own affine part: y = (x - mean) / sqrt(variance + epsilon) * scale + bias, variance with divisor n.
 *
 * layer:    statistics over the last axis; scale and bias [c]
 * instance: statistics over the spatial axes of each [n, c]; scale and bias [c]
 * batch:    inference form, with given mean and variance [c]; x [n, c, spatial..]
 */
import { elementCount, showShape } from '../../tensor.ts';
import { type Numbers, operator, type TensorType } from '../operator.ts';
import { apply, type Value } from '../program.ts';

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

export const layerNormalizationOperator = operator<{ epsilon: number }>({
  name: 'layerNormalization',
  shape: ([x, ...vectors]) => {
    checkVectors(x.shape.at(-1)!, vectors);
    return x.shape;
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

export const instanceNormalizationOperator = operator<{ epsilon: number }>({
  name: 'instanceNormalization',
  shape: ([x, ...vectors]) => {
    if (x.shape.length < 3) throw new Error('the input needs the axes [n, c, spatial..]');
    checkVectors(x.shape[1], vectors);
    return x.shape;
  },
  onnx: (emit, inputs, { attributes }) =>
    emit.node('InstanceNormalization', inputs, { epsilon: { float: attributes.epsilon } }),
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

export const batchNormalizationOperator = operator<{ epsilon: number }>({
  name: 'batchNormalization',
  shape: ([x, ...vectors]) => {
    if (x.shape.length < 2) throw new Error('the input needs the axes [n, c, spatial..]');
    checkVectors(x.shape[1], vectors);
    return x.shape;
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
