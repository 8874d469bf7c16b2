/**
 * 3x3x3 convolutions by Winograd's minimal filtering along depth: half the multiplications, and only two-axis convolutions
 * are left, for which ONNX Runtime's CPU provider has a blocked kernel (it has none for three axes).
 *
 * Values are carried depth first, [n D, c, H, W]: every slice is an image. Four neighboring slices of the result are made
 * from six slices of the input (one on either side), each six mixed to six others, convolved over H and W with a kernel of
 * its own, and mixed back:
 *
 *   y = A [ (G w) * (B d) ]        d: 6 slices, w: 3 depth taps, * : 3x3 convolution over H and W, y: 4 slices
 *
 * B and A act on depth alone: mixing is a product with a matrix of six rows or columns, and the six convolutions are one
 * convolution of six groups. Four slices at a time stay in the processor's cache from one step to the next.
 *
 * The layout stays through activations, instance norms, sums and 1x1x1 convolutions, until another operator reads the value.
 * Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016; the matrices are Cook and Toom's at the
 * points 0, 1, -1, 1/2, -2 and infinity, which keep rounding errors at 1.6 times those of the direct form (float32).
 */
import {
  add,
  addOperator,
  divide,
  isFilled,
  leakyRelu,
  leakyReluOperator,
  multiply,
  multiplyOperator,
  sqrt,
  subtract,
} from '../operators/arithmetic.ts';
import { convolution, convolutionOperator } from '../operators/convolution.ts';
import { matmul } from '../operators/matmul.ts';
import { concatenate, pad, reshape, slice, transpose, transposeOperator } from '../operators/movement.ts';
import { instanceNormalizationOperator } from '../operators/normalization.ts';
import { mean } from '../operators/reduction.ts';
import { exactConstant, filled, type Operation, type Program, type Value } from '../program.ts';
import { holds, rewrite } from './rewrite.ts';

/** Slices of the result that are made at a time, slices of the input that they need, depth taps. */
const outputs = 4;
const inputs = 6;
const taps = 3;

/** Fewer channels leave the blocked kernel's lanes empty: then depth taps become channels instead, without mixing. */
const fewestChannels = 8;
/** With fewer slices than are made at a time there is little to win. */
const fewestSlices = 4;
const points = [0, 1, -1, 0.5, -2];

/** Coefficients, lowest first, of the product of (x - p). */
function polynomial(roots: readonly number[]): number[] {
  let so = [1];
  for (const root of roots) so = [...so, 0].map((_, i) => (so[i - 1] ?? 0) - root * (so[i] ?? 0));
  return so;
}

const others = (j: number) => points.filter((_, l) => l !== j);
/** [inputs][inputs] */
const mixInput = [...points.map((_, j) => [...polynomial(others(j)), 0]), polynomial(points)];
/** [inputs][taps] */
const mixTaps = [
  ...points.map((p, j) => {
    const divisor = others(j).reduce((product, other) => product * (p - other), 1);
    return Array.from({ length: taps }, (_, k) => p ** k / divisor);
  }),
  [0, 0, 1],
];
/** [outputs][inputs] */
const mixOutput = Array.from({ length: outputs }, (_, i) => [...points.map((p) => p ** i), i === outputs - 1 ? 1 : 0]);
/** The mixed slice that goes into every slice of the result once: where a bias is added. */
const onePoint = points.indexOf(1);

/** B for six slices of which `length` are there, from the `first` on; those outside of the volume count as zeros. */
function inputMatrix(first: number, length: number): Value {
  const rows = mixInput.flatMap((row) => row.slice(first, first + length));
  return exactConstant([inputs, length], Float64Array.from(rows));
}

/** A for the first `results` of four slices. */
function outputMatrix(results: number): Value {
  return exactConstant([results, inputs], Float64Array.from(mixOutput.slice(0, results).flat()));
}

function applies(operation: Operation): boolean {
  const { operator, inputs: [x, weight] = [], attributes } = operation;
  if (operator !== convolutionOperator || attributes.groups !== 1) return false;
  const kernel = weight.shape.slice(2);
  return (
    kernel.length === 3 &&
    kernel.every((length) => length === 3) &&
    x.shape[2] >= fewestSlices &&
    holds(operation, 'strides', 1) &&
    holds(operation, 'dilations', 1) &&
    holds(operation, 'padsBegin', 1) &&
    holds(operation, 'padsEnd', 1)
  );
}

const isPointwise = (operation: Operation) =>
  operation.operator === convolutionOperator &&
  operation.attributes.groups === 1 &&
  operation.inputs[1].shape.length === 5 &&
  operation.inputs[1].shape.slice(2).every((length) => length === 1) &&
  holds(operation, 'strides', 1) &&
  holds(operation, 'padsBegin', 0) &&
  holds(operation, 'padsEnd', 0);

const depthFirst = [0, 2, 1, 3, 4];

/** [n, c, D, H, W] -> [n D, c, H, W]; free where the value was turned the other way just before. */
function turn(x: Value): Value {
  const [n, c, depth, height, width] = x.shape;
  const before = turnedFrom(x);
  return reshape(before ?? transpose(x, depthFirst), [n * depth, c, height, width]);
}

function turnedFrom(x: Value): Value | undefined {
  if (x.kind !== 'operation' || x.operator !== transposeOperator) return undefined;
  const permutation = x.attributes.permutation as readonly number[];
  return permutation.every((axis, i) => axis === depthFirst[i]) ? x.inputs[0] : undefined;
}

/** [n D, c, H, W] -> [n, c, D, H, W] */
function turnBack(slices: Value, [n, c, depth, height, width]: readonly number[]): Operation {
  return transpose(reshape(slices, [n, depth, c, height, width]), depthFirst);
}

/** Kernel of the six convolutions: [6 o, c, 3, 3]. */
function mixedWeight(weight: Value): Value {
  const [o, c] = weight.shape;
  const byTap = reshape(transpose(weight, [2, 0, 1, 3, 4]), [taps, o * c * 9]);
  const mix = exactConstant([inputs, taps], Float64Array.from(mixTaps.flat()));
  return reshape(matmul(mix, byTap), [inputs * o, c, 3, 3]);
}

/** The bias of the six convolutions: [6 o]. */
function mixedBias(bias: Value): Value {
  const [o] = bias.shape;
  return pad(bias, [onePoint * o], [(inputs - 1 - onePoint) * o]);
}

/** @param slices [n D, c, H, W] */
function convolve(slices: Value, depth: number, weight: Value, bias: Value | undefined): Value {
  const [all, c, height, width] = slices.shape;
  const n = all / depth;
  const [o] = weight.shape;
  if (c < fewestChannels) return convolveTapsAsChannels(slices, depth, weight, bias);
  const kernel = mixedWeight(weight);
  const shift = bias && mixedBias(bias);
  const rows = reshape(slices, [n, depth, c * height * width]);
  const parts: Value[] = [];
  for (let from = 0; from < depth; from += outputs) {
    const [first, end] = [Math.max(0, from - 1), Math.min(depth, from - 1 + inputs)];
    const held = slice(rows, { 1: [first, end] });
    const mixed = matmul(inputMatrix(first - (from - 1), end - first), held);
    const images = reshape(mixed, [n, inputs * c, height, width]);
    const convolved = convolution(images, kernel, shift, { pads: [1, 1], groups: inputs });
    const back = outputMatrix(Math.min(outputs, depth - from));
    parts.push(matmul(back, reshape(convolved, [n, inputs, o * height * width])));
  }
  return reshape(concatenate(parts, 1), [n * depth, o, height, width]);
}

/** Few channels: every slice with its two neighbors as three times as many. */
function convolveTapsAsChannels(slices: Value, depth: number, weight: Value, bias: Value | undefined): Value {
  const [all, c, height, width] = slices.shape;
  const [o] = weight.shape;
  const padded = pad(reshape(slices, [all / depth, depth, c, height, width]), [0, 1, 0, 0, 0], [0, 1, 0, 0, 0]);
  const neighbors = [0, 1, 2].map((tap) => reshape(slice(padded, { 1: [tap, tap + depth] }), [all, c, height, width]));
  // weight[o, c, tap, ..] -> [o, tap c, ..], in the order of the neighbors.
  const kernel = reshape(transpose(weight, [0, 2, 1, 3, 4]), [o, taps * c, 3, 3]);
  return convolution(concatenate(neighbors, 1), kernel, bias, { pads: [1, 1] });
}

/**
 * Instance norm of slices [n D, c, H, W]. Sums run over one axis after the other: in one float32 chain over a volume they
 * would be off by 5e-5. Deviations are squared after the mean is taken off, so nothing cancels.
 */
function normalize(slices: Value, operation: Operation): Value | undefined {
  const [, scale, bias] = operation.inputs;
  // The networks that come here have neither; a rule for them would be code that nothing runs.
  if (!isFilled(scale, 1) || !isFilled(bias, 0)) return undefined;
  const [n, c, depth, height, width] = operation.shape;
  const volume = reshape(slices, [n, depth, c, height, width]);
  const over = (values: Value) => mean(mean(mean(values, [4]), [3]), [1]);
  const centered = subtract(volume, over(volume));
  const deviation = sqrt(add(over(multiply(centered, centered)), filled(operation.attributes.epsilon as number)));
  return reshape(multiply(centered, divide(filled(1), deviation)), slices.shape);
}

export function depthWinograd(program: Program): Program {
  /** Depth-first forms of values [n, c, D, H, W] that are carried so. */
  const carried = new Map<Value, Value>();
  const carry = (slices: Value, shape: readonly number[]): Value => {
    const value = turnBack(slices, shape);
    carried.set(value, slices);
    return value;
  };
  const toSlices = (x: Value): Value => {
    const slices = carried.get(x) ?? turn(x);
    carried.set(x, slices);
    return slices;
  };
  /** The depth-first form of an operand where it costs nothing: it is carried, was just turned, or has no channels or no space. */
  const forFree = (x: Value): Value | undefined => {
    const known = carried.get(x);
    if (known) return known;
    if (x.shape.length !== 5) return undefined;
    const [n, c, depth, height, width] = x.shape;
    if (turnedFrom(x)) return turn(x);
    if (c === 1) return reshape(x, [n * depth, 1, height, width]);
    return n === 1 && depth * height * width === 1 ? reshape(x, [1, c, 1, 1]) : undefined;
  };

  return rewrite(program, (operation) => {
    const { operator, inputs: operands, shape, attributes } = operation;
    const [x, weight, bias] = operands;
    if (applies(operation)) return carry(convolve(toSlices(x), shape[2], weight, bias), shape);
    if (shape.length !== 5) return operation;
    if (operator === addOperator || operator === multiplyOperator) {
      const [a, b] = operands.map(forFree);
      if (!a || !b) return operation;
      const slices = operator === addOperator ? add(a, b) : multiply(a, b);
      if (operands.some((operand) => carried.has(operand))) return carry(slices, shape);
      // Nobody may want it so; then this form falls away.
      if (slices.shape[0] === shape[0] * shape[2]) carried.set(operation, slices);
      return operation;
    }
    const slices = carried.get(x);
    if (!slices) return operation;
    if (operator === leakyReluOperator) return carry(leakyRelu(slices, attributes.slope as number), shape);
    if (isPointwise(operation)) {
      const kernel = reshape(weight, [...weight.shape.slice(0, 2), 1, 1]);
      return carry(convolution(slices, kernel, bias), shape);
    }
    if (operator === instanceNormalizationOperator) {
      const normalized = normalize(slices, operation);
      if (normalized) return carry(normalized, shape);
    }
    return operation;
  });
}
