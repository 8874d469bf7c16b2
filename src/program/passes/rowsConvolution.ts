/**
 * 3x3x3 convolutions as three two-axis convolutions over the same memory: the "rows" layout.
 *
 * Add one zero row to every depth slice and read the volume as an image of D * (H + 1) rows: [n, c, D * (H + 1), W]. A step
 * in depth is then a step of H + 1 rows, so the 27 taps are three dilated 3x3 convolutions, one for each kernel row, and
 * the spare zero row stands between the slices as padding. ONNX Runtime's CPU provider has a blocked kernel for two axes
 * and none for three.
 *
 * The spare rows of a result hold rubbish. The pass therefore carries values in rows layout from one convolution to the
 * next, through activations and instance norms, and only makes the spare rows zero (in the norm's own multiplication, or by
 * one multiplication with a 0/1 mask) before the next convolution, or cuts them off where another operator reads the value.
 */
import {
  add,
  divide,
  isFilled,
  leakyRelu,
  leakyReluOperator,
  multiply,
  sqrt,
  subtract,
} from '../operators/arithmetic.ts';
import { convolution, convolutionOperator } from '../operators/convolution.ts';
import { pad, reshape, slice } from '../operators/movement.ts';
import { instanceNormalizationOperator } from '../operators/normalization.ts';
import { l2Norm, mean } from '../operators/reduction.ts';
import { constant, filled, type Operation, type Program, type Value } from '../program.ts';
import { holds, rewrite } from './rewrite.ts';

/**
 * Fewer input channels leave the blocked kernel's lanes empty: the three-axis form is faster (one channel: 1.6 times). It
 * gives the rows layout all the same when its input has the spare row.
 */
const fewestChannels = 8;

/** A value in rows layout, [n, c, D * (H + 1), W]. */
interface Rows {
  readonly value: Value;
  /** True when the spare rows are zero. */
  readonly clean: boolean;
}

function applies(operation: Operation): boolean {
  const { operator, inputs, attributes } = operation;
  if (operator !== convolutionOperator || attributes.groups !== 1) return false;
  const kernel = inputs[1].shape.slice(2);
  return (
    kernel.length === 3 &&
    kernel.every((length) => length === 3) &&
    holds(operation, 'strides', 1) &&
    holds(operation, 'dilations', 1) &&
    holds(operation, 'padsBegin', 1) &&
    holds(operation, 'padsEnd', 1)
  );
}

/** 1 on rows of the volume, 0 on spare rows: [1, 1, D * (H + 1), 1]. */
function mask(depth: number, height: number): Value {
  const data = new Float32Array(depth * (height + 1)).fill(1);
  for (let d = 0; d < depth; d++) data[d * (height + 1) + height] = 0;
  return constant({ dtype: 'float32', shape: [1, 1, data.length, 1], data });
}

function withSpareRow(x: Value): Value {
  return pad(x, [0, 0, 0, 0, 0], [0, 0, 0, 1, 0]);
}

function toRows(x: Value): Value {
  const [n, c, depth, height, width] = x.shape;
  return reshape(withSpareRow(x), [n, c, depth * (height + 1), width]);
}

function fromRows(rows: Value, shape: readonly number[]): Operation {
  const [n, , depth, height, width] = shape;
  return slice(reshape(rows, [n, rows.shape[1], depth, height + 1, width]), { 3: [0, height] });
}

function convolveRows(rows: Value, weight: Value, bias: Value | undefined, height: number): Value {
  const [outputs, inputs] = weight.shape;
  const pitch = height + 1;
  let total: Value | undefined;
  for (let row = 0; row < 3; row++) {
    // weight[:, :, :, row, :] has the axes depth tap, width tap.
    const taps = reshape(slice(weight, { 3: [row, row + 1] }), [outputs, inputs, 3, 3]);
    const part = convolution(rows, taps, row === 0 ? bias : undefined, {
      dilations: [pitch, 1],
      padsBegin: [pitch + 1 - row, 1],
      padsEnd: [pitch - 1 + row, 1],
    });
    total = total ? add(total, part) : part;
  }
  return total!;
}

/** Instance norm in rows layout: sums run over W first, so the spare rows are cut off where they are one number each. */
function normalizeRows(rows: Value, operation: Operation, shape: readonly number[]): Rows | undefined {
  const [, scale, bias] = operation.inputs;
  // A shift would make the spare rows non-zero again; the networks here have none, so that form is not worth a rule.
  if (!isFilled(scale, 1) || !isFilled(bias, 0)) return undefined;
  const [n, c, depth, height, width] = shape;
  const valid = (sums: Value) => slice(reshape(sums, [n, c, depth, height + 1]), { 3: [0, height] });
  const over = (sums: Value) => reshape(mean(mean(valid(sums), [3]), [2]), [n, c, 1, 1]);
  const centered = subtract(rows, over(mean(rows, [3])));
  const norms = l2Norm(centered, [3]);
  const variance = multiply(over(multiply(norms, norms)), filled(1 / width));
  const deviation = sqrt(add(variance, filled(operation.attributes.epsilon as number)));
  return { value: multiply(centered, divide(mask(depth, height), deviation)), clean: true };
}

export function rowsConvolution(program: Program): Program {
  const layouts = new Map<Value, Rows>();
  const keep = (rows: Rows, shape: readonly number[]): Value => {
    const value = fromRows(rows.value, shape);
    layouts.set(value, rows);
    return value;
  };
  return rewrite(program, (operation) => {
    const [x] = operation.inputs;
    const known = layouts.get(x);
    if (applies(operation)) {
      const [n, , depth, height, width] = x.shape;
      const [, weight, bias] = operation.inputs;
      if (weight.shape[1] < fewestChannels) {
        const padded = convolution(withSpareRow(x), weight, bias, { pads: [1, 1, 1] });
        const flat = reshape(padded, [n, weight.shape[0], depth * (height + 1), width]);
        return keep({ value: flat, clean: false }, operation.shape);
      }
      const rows = known ? (known.clean ? known.value : multiply(known.value, mask(depth, height))) : toRows(x);
      const result = convolveRows(rows, weight, bias, height);
      return keep({ value: result, clean: false }, operation.shape);
    }
    if (known && operation.operator === leakyReluOperator) {
      const value = leakyRelu(known.value, operation.attributes.slope as number);
      return keep({ value, clean: known.clean }, operation.shape);
    }
    if (known && operation.operator === instanceNormalizationOperator) {
      const rows = normalizeRows(known.value, operation, x.shape);
      if (rows) return keep(rows, operation.shape);
    }
    return operation;
  });
}
