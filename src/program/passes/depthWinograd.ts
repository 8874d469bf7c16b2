/**
 * 3x3x3 convolutions by Winograd's minimal filtering along depth: half the multiplications, and only two-axis convolutions
 * are left, for which ONNX Runtime's CPU provider has a blocked kernel (it has none for three axes).
 *
 * Values are carried depth first, [n, D, c, H, W]: every slice is an image. Four neighboring slices of the result are made
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
import { elementCount } from '../../tensor.ts';
import type { Operator } from '../operator.ts';
import {
  add,
  addOperator,
  divide,
  divideOperator,
  isFilled,
  leakyReluOperator,
  leakyReluSlopeOperator,
  multiply,
  multiplyOperator,
  sqrt,
  subtract,
  subtractOperator,
} from '../operators/arithmetic.ts';
import { sum, sumOperator } from '../operators/broadcast.ts';
import {
  convolution,
  convolutionOperator,
  convolutionTapGradients,
  convolutionTapGradientsOperator,
} from '../operators/convolution.ts';
import { matmul } from '../operators/matmul.ts';
import { concatenate, pad, reshape, slice, transpose, transposeOperator } from '../operators/movement.ts';
import { instanceNormalizationOperator } from '../operators/normalization.ts';
import { meanOperator } from '../operators/reduction.ts';
import { apply, exactConstant, filled, type Operation, type Program, type Value } from '../program.ts';
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

/** The transpose of A. */
function outputMatrixTurned(results: number): Value {
  const rows = Array.from({ length: inputs }, (_, i) => mixOutput.slice(0, results).map((row) => row[i]));
  return exactConstant([inputs, results], Float64Array.from(rows.flat()));
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

function weightGradientApplies(operation: Operation): boolean {
  const { operator, inputs: [x] = [], attributes } = operation;
  return (
    operator === convolutionTapGradientsOperator &&
    x.shape.length === 5 &&
    x.shape[1] >= fewestChannels &&
    x.shape[2] >= fewestSlices &&
    attributes.groups === 1 &&
    holds(operation, 'kernel', 3) &&
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

/** From [n, c, D, H, W] to [n, D, c, H, W], and back. */
const swapped = [0, 2, 1, 3, 4];

/** Free where the value was turned the other way just before. */
function turn(x: Value): Value {
  return turnedFrom(x) ?? transpose(x, swapped);
}

function turnedFrom(x: Value): Value | undefined {
  if (x.kind !== 'operation' || x.operator !== transposeOperator) return undefined;
  const permutation = x.attributes.permutation as readonly number[];
  return permutation.every((axis, i) => axis === swapped[i]) && permutation.length === 5 ? x.inputs[0] : undefined;
}

/** [n, D, c, H, W] -> [n D, c, H, W] */
function images(slices: Value): Value {
  const [n, depth, ...image] = slices.shape;
  return reshape(slices, [n * depth, ...image]);
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

/** @param slices [n, D, c, H, W] */
function convolve(slices: Value, weight: Value, bias: Value | undefined): Value {
  const [n, depth, c, height, width] = slices.shape;
  const [o] = weight.shape;
  if (c < fewestChannels) return convolveTapsAsChannels(slices, weight, bias);
  const kernel = mixedWeight(weight);
  const shift = bias && mixedBias(bias);
  const rows = reshape(slices, [n, depth, c * height * width]);
  const parts = fours(depth).map(({ first, last, needed: [from, to] }) => {
    const mixed = matmul(inputMatrix(from - (first - 1), to - from), slice(rows, { 1: [from, to] }));
    const sixes = reshape(mixed, [n, inputs * c, height, width]);
    const convolved = convolution(sixes, kernel, shift, { pads: [1, 1], groups: inputs });
    return matmul(outputMatrix(last - first), reshape(convolved, [n, inputs, o * height * width]));
  });
  return reshape(concatenate(parts, 1), [n, depth, o, height, width]);
}

/** The slices of the result, four at a time, and those of the input that they need. */
function fours(depth: number): { first: number; last: number; needed: readonly [number, number] }[] {
  return Array.from({ length: Math.ceil(depth / outputs) }, (_, i) => {
    const first = i * outputs;
    const needed = [Math.max(0, first - 1), Math.min(depth, first - 1 + inputs)] as const;
    return { first, last: Math.min(depth, first + outputs), needed };
  });
}

/**
 * The gradient for the weight, by the adjoint of the same algorithm: dw = G^T [ sum over fours of (A^T dy) x (B d) ], x being
 * the weight gradient of a 3x3 convolution over H and W, six of them at a time.
 * @param slices [n, D, c, H, W]
 * @param gradients [n, D, o, H, W]
 * @returns [1, 27, o, c]
 */
function weightGradient(slices: Value, gradients: Value): Value {
  const [n, depth, c, height, width] = slices.shape;
  const o = gradients.shape[2];
  const rows = reshape(slices, [n, depth, c * height * width]);
  const gradientRows = reshape(gradients, [n, depth, o * height * width]);
  const parts = fours(depth).map(({ first, last, needed: [from, to] }) => {
    const mixed = matmul(inputMatrix(from - (first - 1), to - from), slice(rows, { 1: [from, to] }));
    const mixedGradients = matmul(outputMatrixTurned(last - first), slice(gradientRows, { 1: [first, last] }));
    return convolutionTapGradients(
      reshape(mixed, [n, inputs * c, height, width]),
      reshape(mixedGradients, [n, inputs * o, height, width]),
      { kernel: [3, 3], padsBegin: [1, 1], padsEnd: [1, 1], groups: inputs },
    );
  });
  const mixTapsTurned = Array.from({ length: taps }, (_, k) => mixTaps.map((row) => row[k]));
  const mix = exactConstant([taps, inputs], Float64Array.from(mixTapsTurned.flat()));
  return reshape(matmul(mix, reshape(parts.reduce(add), [inputs, 9 * o * c])), [1, taps * 9, o, c]);
}

/** Few channels: every slice with its two neighbors as three times as many. */
function convolveTapsAsChannels(slices: Value, weight: Value, bias: Value | undefined): Value {
  const [n, depth, c, height, width] = slices.shape;
  const [o] = weight.shape;
  const padded = pad(slices, [0, 1, 0, 0, 0], [0, 1, 0, 0, 0]);
  const neighbors = [0, 1, 2].map((tap) => images(slice(padded, { 1: [tap, tap + depth] })));
  // weight[o, c, tap, ..] -> [o, tap c, ..], in the order of the neighbors.
  const kernel = reshape(transpose(weight, [0, 2, 1, 3, 4]), [o, taps * c, 3, 3]);
  const convolved = convolution(concatenate(neighbors, 1), kernel, bias, { pads: [1, 1] });
  return reshape(convolved, [n, depth, o, height, width]);
}

/**
 * Sums over the space of each sample and channel, and over the batch too, of slices [n, D, c, H, W] -> [n or 1, 1, c, 1, 1].
 * One axis after the other: in one float32 chain over a volume a sum would be off by 5e-5.
 */
function sumOverSpace(slices: Value, overBatch: boolean): Value {
  const [n, depth, c, height, width] = slices.shape;
  const ofImages = sum(reshape(slices, [n, depth, c, height * width]), [3]);
  return reshape(sum(ofImages, overBatch ? [0, 1] : [1]), [overBatch ? 1 : n, 1, c, 1, 1]);
}

/** Whether sums over these axes of [n, c, D, H, W] can be taken of slices: all of space, with or without the batch. */
const areSpace = (axes: readonly number[]) => axes.join() === '2,3,4' || axes.join() === '0,2,3,4';

/** Instance norm of slices [n, D, c, H, W]. Deviations are squared after the mean is taken off, so nothing cancels. */
function normalize(slices: Value, operation: Operation): Value | undefined {
  const [, scale, bias] = operation.inputs;
  // The networks that come here have neither; a rule for them would be code that nothing runs.
  if (!isFilled(scale, 1) || !isFilled(bias, 0)) return undefined;
  const [, depth, , height, width] = slices.shape;
  const share = filled(1 / (depth * height * width));
  const over = (values: Value) => multiply(sumOverSpace(values, false), share);
  const centered = subtract(slices, over(slices));
  const variance = over(multiply(centered, centered));
  const deviation = sqrt(add(variance, filled(operation.attributes.epsilon as number)));
  return multiply(centered, divide(filled(1), deviation));
}

/** Operators whose result at a voxel follows from their operands there: they mean the same in any layout. */
const voxelwise: ReadonlySet<Operator> = new Set([
  addOperator,
  subtractOperator,
  multiplyOperator,
  divideOperator,
  leakyReluOperator,
  leakyReluSlopeOperator,
]);

export function depthWinograd(program: Program): Program {
  /** Depth-first forms of values [n, c, D, H, W] that are carried so. */
  const carried = new Map<Value, Value>();
  const carry = (slices: Value): Value => {
    const value = transpose(slices, swapped);
    carried.set(value, slices);
    return value;
  };
  const toSlices = (x: Value): Value => {
    const slices = carried.get(x) ?? turn(x);
    carried.set(x, slices);
    return slices;
  };
  /** The depth-first form of an operand where it costs nothing: it is carried, was just turned, or has no channels or no depth. */
  const forFree = (x: Value): Value | undefined => {
    const known = carried.get(x) ?? turnedFrom(x);
    if (known) return known;
    if (elementCount(x.shape) === 1) return reshape(x, [1, 1, 1, 1, 1]);
    const [n, c, depth, height, width] = [...new Array<number>(5 - x.shape.length).fill(1), ...x.shape];
    return c === 1 || depth === 1 ? reshape(x, [n, depth, c, height, width]) : undefined;
  };

  return rewrite(program, (operation) => {
    const { operator, inputs: operands, shape, attributes } = operation;
    const [x, weight, bias] = operands;
    if (applies(operation)) return carry(convolve(toSlices(x), weight, bias));
    if (weightGradientApplies(operation)) return weightGradient(toSlices(x), toSlices(weight));
    if (shape.length !== 5) return operation;
    if (voxelwise.has(operator)) {
      const free = operands.map(forFree).filter((operand) => operand !== undefined);
      if (free.length < operands.length || shape[1] === 1 || shape[2] === 1) return operation;
      const slices = apply(operator, free, attributes);
      if (operands.some((operand) => carried.has(operand))) return carry(slices);
      // Nobody may want it so; then this form falls away.
      carried.set(operation, slices);
      return operation;
    }
    const slices = carried.get(x);
    if (!slices) return operation;
    const axes = attributes.axes as readonly number[];
    if ((operator === sumOperator || operator === meanOperator) && areSpace(axes)) {
      const total = reshape(sumOverSpace(slices, axes.length === 4), shape);
      return operator === sumOperator ? total : multiply(total, filled(elementCount(shape) / elementCount(x.shape)));
    }
    if (isPointwise(operation)) {
      const kernel = reshape(weight, [...weight.shape.slice(0, 2), 1, 1]);
      const convolved = convolution(images(slices), kernel, bias);
      return carry(reshape(convolved, [...slices.shape.slice(0, 2), ...convolved.shape.slice(1)]));
    }
    if (operator === instanceNormalizationOperator) {
      const normalized = normalize(slices, operation);
      if (normalized) return carry(normalized);
    }
    return operation;
  });
}
