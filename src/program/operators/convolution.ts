/**
 * Convolutions over any number of spatial axes. x: [n, c, spatial..]; weight: [o, c / groups, kernel..].
 *
 *   y[n, o, p] = bias[o] + sum over c, t of weight[o, c, t] * x[n, c, p * stride + t * dilation - padBegin]
 *
 * The transposed convolution is the adjoint of the same map: weight [c, o / groups, kernel..] (PyTorch's layout), output
 * length (n - 1) * stride + kernel - padBegin - padEnd.
 */
import { elementCount, type Shape, sameShape, showShape, stridesOf } from '../../tensor.ts';
import { type OnnxEmitter, type Operator, operator, type Reference, type TensorType, type Value } from '../operator.ts';
import { apply } from '../program.ts';
import { sum } from './broadcast.ts';
import { matmul } from './matmul.ts';
import { concatenate, pad, reshape, slice, transpose, transposeLast } from './movement.ts';

interface ConvolutionAttributes extends Record<string, number | readonly number[]> {
  strides: readonly number[];
  dilations: readonly number[];
  padsBegin: readonly number[];
  padsEnd: readonly number[];
  groups: number;
}

interface TransposedConvolutionAttributes extends Record<string, number | readonly number[]> {
  strides: readonly number[];
  padsBegin: readonly number[];
  padsEnd: readonly number[];
  groups: number;
}

function checkRanks([x, weight, bias]: readonly TensorType[], outputs: number, spatialAttributes: number): void {
  if (x.shape.length < 3) throw new Error('the input needs the axes [n, c, spatial..]');
  if (weight.shape.length !== x.shape.length) {
    throw new Error(`the weight has ${weight.shape.length} axes and the input ${x.shape.length}`);
  }
  if (spatialAttributes !== x.shape.length - 2) {
    throw new Error(`strides and pads are for ${spatialAttributes} spatial axes, the input has ${x.shape.length - 2}`);
  }
  if (bias && (bias.shape.length !== 1 || bias.shape[0] !== outputs)) {
    throw new Error(`the bias is ${showShape(bias.shape)}, not ${outputs}`);
  }
}

function convolutionShape(inputs: readonly TensorType[], a: ConvolutionAttributes): Shape {
  const [x, weight] = inputs;
  checkRanks(inputs, weight.shape[0], a.strides.length);
  if (weight.shape[1] * a.groups !== x.shape[1] || weight.shape[0] % a.groups !== 0) {
    throw new Error(
      `the input has ${x.shape[1]} channels, the weight ${showShape(weight.shape)} in ${a.groups} groups takes ${weight.shape[1] * a.groups}`,
    );
  }
  const spatial = x.shape.slice(2).map((length, axis) => {
    const reach = (weight.shape[axis + 2] - 1) * a.dilations[axis] + 1;
    const out = Math.floor((length + a.padsBegin[axis] + a.padsEnd[axis] - reach) / a.strides[axis]) + 1;
    if (out < 1) throw new Error(`the kernel reaches over ${reach} voxels, spatial axis ${axis} has only ${length}`);
    return out;
  });
  return [x.shape[0], weight.shape[0], ...spatial];
}

/** Calls `visit(flat index, coordinates)` for every point of a grid, in C order. */
function eachPoint(shape: Shape, visit: (flat: number, at: readonly number[]) => void): void {
  const at = new Array<number>(shape.length).fill(0);
  const count = elementCount(shape);
  for (let flat = 0; flat < count; flat++) {
    visit(flat, at);
    for (let axis = shape.length - 1; axis >= 0 && ++at[axis] === shape[axis]; axis--) at[axis] = 0;
  }
}

/**
 * The pairs (input voxel, output voxel, tap) that a strided, dilated, padded kernel connects: for each tap a list of
 * flat offsets. Convolution gathers along them, its adjoint scatters along them.
 */
function connections(
  inputGrid: Shape,
  outputGrid: Shape,
  kernel: Shape,
  a: { strides: readonly number[]; dilations: readonly number[]; padsBegin: readonly number[] },
): { from: Int32Array; to: Int32Array }[] {
  const inputStrides = stridesOf(inputGrid);
  const taps: { from: Int32Array; to: Int32Array }[] = [];
  eachPoint(kernel, (_, tap) => {
    const from: number[] = [];
    const to: number[] = [];
    eachPoint(outputGrid, (flat, at) => {
      let offset = 0;
      for (let axis = 0; axis < at.length; axis++) {
        const position = at[axis] * a.strides[axis] + tap[axis] * a.dilations[axis] - a.padsBegin[axis];
        if (position < 0 || position >= inputGrid[axis]) return;
        offset += position * inputStrides[axis];
      }
      from.push(offset);
      to.push(flat);
    });
    taps.push({ from: Int32Array.from(from), to: Int32Array.from(to) });
  });
  return taps;
}

function addBias(out: Float64Array, shape: Shape, bias: Reference | undefined): Float64Array {
  if (!bias) return out;
  const voxels = elementCount(shape.slice(2));
  for (let block = 0; block < shape[0] * shape[1]; block++) {
    const value = bias.data[block % shape[1]];
    for (let i = block * voxels; i < (block + 1) * voxels; i++) out[i] += value;
  }
  return out;
}

function biasGradient(dy: Value): Value {
  return reshape(
    sum(
      dy,
      dy.shape.map((_, axis) => axis).filter((axis) => axis !== 1),
    ),
    [dy.shape[1]],
  );
}

/** A kernel that is laid beside itself without gap or overlap, and without padding: every voxel is read once. */
function isTiling(kernel: Shape, a: { strides: Shape; padsBegin: Shape; padsEnd: Shape; groups: number }): boolean {
  return (
    a.groups === 1 &&
    kernel.every((length, axis) => length === a.strides[axis]) &&
    [...a.padsBegin, ...a.padsEnd].every((pad) => pad === 0)
  );
}

/** [n, c, spatial..] -> [n, c * kernel, cells]: the voxels of each cell, in the order of a weight [.., c, kernel..]. */
function cells(x: Value, kernel: Shape): Value {
  const [n, c] = x.shape;
  const grid = kernel.map((length, axis) => Math.floor(x.shape[axis + 2] / length));
  const whole = slice(
    x,
    Object.fromEntries(kernel.map((length, axis) => [axis + 2, [0, grid[axis] * length] as const])),
  );
  if (elementCount(kernel) === 1) return flatten(whole);
  // The last axis first, then the others: what moves then are whole rows. All at once takes the runtime twice as long.
  const last = kernel.length - 1;
  const rows = reshape(whole, [elementCount(whole.shape) / whole.shape[last + 2], grid[last], kernel[last]]);
  const split = [
    n,
    c,
    ...grid.slice(0, last).flatMap((length, axis) => [length, kernel[axis]]),
    kernel[last],
    grid[last],
  ];
  const [outer, inner] = [kernel.map((_, axis) => 2 + 2 * axis), kernel.map((_, axis) => 3 + 2 * axis)];
  [outer[last], inner[last]] = [inner[last], outer[last]];
  const moved = transpose(reshape(transpose(rows, [0, 2, 1]), split), [0, 1, ...inner, ...outer]);
  return reshape(moved, [n, c * elementCount(kernel), elementCount(grid)]);
}

/** The inverse of `cells`; voxels that belong to no cell, at the ends of axes, become 0. */
function fromCells(flat: Value, kernel: Shape, shape: Shape): Value {
  const [n, c, ...space] = shape;
  const grid = kernel.map((length, axis) => Math.floor(space[axis] / length));
  if (elementCount(kernel) === 1) return padEnds(reshape(flat, [n, c, ...grid]), shape);
  const split = reshape(flat, [n, c, ...kernel, ...grid]);
  const last = kernel.length - 1;
  const order = kernel.flatMap((_, axis) => {
    const [outer, inner] = [2 + kernel.length + axis, 2 + axis];
    return axis === last ? [inner, outer] : [outer, inner];
  });
  const lengths = grid.map((length, axis) => length * kernel[axis]);
  const rows = reshape(transpose(split, [0, 1, ...order]), [
    n * c * elementCount(lengths.slice(0, last)),
    kernel[last],
    grid[last],
  ]);
  return padEnds(reshape(transpose(rows, [0, 2, 1]), [n, c, ...lengths]), shape);
}

/** Zeros at the ends of axes, up to `shape`. */
function padEnds(x: Value, shape: Shape): Value {
  if (sameShape(x.shape, shape)) return x;
  return pad(
    x,
    shape.map(() => 0),
    shape.map((length, axis) => length - x.shape[axis]),
  );
}

const flatten = (x: Value) => reshape(x, [x.shape[0], x.shape[1], elementCount(x.shape.slice(2))]);

/**
 * Stride 1: a convolution of dy with the kernel turned around and its channel axes swapped. Kernel = stride: a product.
 * Otherwise the transposed convolution, padded by the voxels that the last stride left over.
 */
function inputGradient(dy: Value, x: Value, weight: Value, a: ConvolutionAttributes): Value {
  const kernel = weight.shape.slice(2);
  if (a.strides.every((stride) => stride === 1)) {
    const reach = kernel.map((length, axis) => (length - 1) * a.dilations[axis]);
    const turned = slice(weight, Object.fromEntries(kernel.map((length, axis) => [axis + 2, [length - 1, -1, -1]])));
    const [outputs, inputs] = [weight.shape[0] / a.groups, weight.shape[1]];
    const grouped = reshape(turned, [a.groups, outputs, inputs, ...kernel]);
    const swapped = transpose(grouped, [0, 2, 1, ...kernel.map((_, axis) => axis + 3)]);
    return convolution(dy, reshape(swapped, [a.groups * inputs, outputs, ...kernel]), undefined, {
      dilations: a.dilations,
      padsBegin: reach.map((length, axis) => length - a.padsBegin[axis]),
      padsEnd: reach.map((length, axis) => length - a.padsEnd[axis]),
      groups: a.groups,
    });
  }
  if (a.dilations.some((dilation) => dilation !== 1)) {
    throw new Error('a convolution that is strided and dilated has no gradient rule; no network here needs one');
  }
  if (isTiling(kernel, a)) {
    const columns = reshape(weight, [weight.shape[0], elementCount(weight.shape.slice(1))]);
    return fromCells(matmul(transposeLast(columns), flatten(dy)), kernel, x.shape);
  }
  const spread = transposedConvolution(dy, weight, undefined, { ...a, padsEnd: a.padsEnd.map(() => 0) });
  // Voxels before padding are cut off at the end, or, where the last stride did not reach, were never read.
  const lengths = x.shape.map((length, axis) => Math.min(length, spread.shape[axis]));
  return padEnds(slice(spread, Object.fromEntries(lengths.map((length, axis) => [axis, [0, length]]))), x.shape);
}

/** dW[o, c, t] = sum over n, p of dy[n, o, p] * x[n, c, p * stride + t * dilation - padBegin]. */
function weightGradient(x: Value, dy: Value, shape: Shape, a: ConvolutionAttributes): Value {
  const kernel = shape.slice(2);
  if (isTiling(kernel, a)) {
    return reshape(sum(matmul(flatten(dy), transposeLast(cells(x, kernel))), [0]), shape);
  }
  const { groups, padsBegin, padsEnd } = a;
  const [outputs, inputs] = [shape[0] / groups, shape[1]];
  // Depth-wise kernels, of one channel a group, would be products of single rows.
  if ([...a.strides, ...a.dilations].every((step) => step === 1) && outputs * inputs > 1) {
    return convolutionWeightGradient(x, dy, { kernel, padsBegin, padsEnd, groups });
  }
  const parts: Value[] = [];
  for (let group = 0; group < groups; group++) {
    const xs = groups === 1 ? x : slice(x, { 1: [group * inputs, (group + 1) * inputs] });
    const dys = groups === 1 ? dy : slice(dy, { 1: [group * outputs, (group + 1) * outputs] });
    parts.push(weightGradientByConvolution(xs, dys, [outputs, inputs, ...kernel], a));
  }
  return parts.length === 1 ? parts[0] : concatenate(parts, 0);
}

interface WeightGradientAttributes extends Record<string, number | readonly number[]> {
  kernel: readonly number[];
  padsBegin: readonly number[];
  padsEnd: readonly number[];
  groups: number;
}

/**
 * The gradient of a convolution of stride 1 for its weight, by taps: x [n, c, spatial..], dy [n, o, spatial..] ->
 * [groups, taps, o / groups, c / groups], taps being all places of the kernel in C order.
 */
export const convolutionTapGradientsOperator: Operator = operator<WeightGradientAttributes>({
  name: 'convolutionTapGradients',
  shape: ([x, dy], { kernel, padsBegin, padsEnd, groups }) => {
    const expected = x.shape
      .slice(2)
      .map((length, axis) => length + padsBegin[axis] + padsEnd[axis] - kernel[axis] + 1);
    if (x.shape[0] !== dy.shape[0] || !sameShape(dy.shape.slice(2), expected)) {
      throw new Error(
        `the gradient is ${showShape(dy.shape)}, the convolution's result [n, o, ${expected.join(', ')}]`,
      );
    }
    return [groups, elementCount(kernel), dy.shape[1] / groups, x.shape[1] / groups];
  },
  gradient: { none: 'second derivatives of convolutions are not needed by any training here' },
  onnx: (emit, inputs, { types, shape, attributes }) => emitTapProducts(emit, inputs, types, shape, attributes),
  reference: ([x, dy], a, shape) => {
    const [n, c, ...space] = x.shape;
    const [, o, ...results] = dy.shape;
    const [voxels, resultVoxels] = [elementCount(space), elementCount(results)];
    const [perGroup, outputsPerGroup] = [c / a.groups, o / a.groups];
    const ones = results.map(() => 1);
    const taps = connections(space, results, a.kernel, { strides: ones, dilations: ones, padsBegin: a.padsBegin });
    const out = new Float64Array(elementCount(shape));
    for (let item = 0; item < n; item++) {
      for (let output = 0; output < o; output++) {
        const target = (item * o + output) * resultVoxels;
        const group = Math.floor(output / outputsPerGroup);
        for (let channel = 0; channel < perGroup; channel++) {
          const source = (item * c + group * perGroup + channel) * voxels;
          taps.forEach(({ from, to }, t) => {
            let so = 0;
            for (let i = 0; i < from.length; i++) so += x.data[source + from[i]] * dy.data[target + to[i]];
            const row = (group * taps.length + t) * outputsPerGroup + (output % outputsPerGroup);
            out[row * perGroup + channel] += so;
          });
        }
      }
    }
    return out;
  },
  cost: ([x], shape) => ({
    kind: 'convolution',
    multiplyAdds: elementCount(shape) * x.shape[0] * elementCount(x.shape.slice(2)),
  }),
});

export const convolutionTapGradients = (x: Value, dy: Value, attributes: WeightGradientAttributes) =>
  apply(convolutionTapGradientsOperator, [x, dy], attributes);

/** The same in the weight's order: [o, c / groups, kernel..]. */
function convolutionWeightGradient(x: Value, dy: Value, attributes: WeightGradientAttributes): Value {
  const byTap = convolutionTapGradients(x, dy, attributes);
  const [groups, taps, o, c] = byTap.shape;
  return reshape(transpose(reshape(byTap, [groups, taps, o * c]), [0, 2, 1]), [groups * o, c, ...attributes.kernel]);
}

/** Fewer channels leave a product's rows too short; then the taps become channels too. */
const fewestChannels = 8;

/**
 * For each tap a product of x with dy moved by the tap. Both are laid flat on one grid, in which the zeros at the end of a
 * row also stand before the next: to move dy is then to begin a cut elsewhere. Groups are a part of the batch until the end.
 * With few channels it is x that is moved, and its taps are rows of one product.
 */
function emitTapProducts(
  emit: OnnxEmitter,
  [x, dy]: readonly string[],
  types: readonly TensorType[],
  shape: Shape,
  { kernel, padsBegin, padsEnd, groups }: WeightGradientAttributes,
): string {
  const [n, , ...space] = types[0].shape;
  const results = types[1].shape.slice(2);
  const [, taps, o, c] = shape;
  const lengths = space.map((length, axis) =>
    Math.max(length + Math.max(padsBegin[axis], padsEnd[axis]), results[axis]),
  );
  const inner = lengths.slice(1);
  const plane = elementCount(inner);
  const strides = [plane, ...stridesOf(inner)];
  const batch = n * groups;
  const reshaped = (of: string, to: Shape) => emit.node('Reshape', [of, emit.int64s(to)]);
  const turned = (of: string) => emit.node('Transpose', [of], { perm: { ints: [0, 2, 1] } });
  const together = (parts: readonly string[], axis: number) => emit.node('Concat', parts, { axis: { int: axis } });
  /** [batch, channels, flat], with planes of zeros before and after. */
  const flat = (of: string, channels: number, grid: Shape, before: number, after: number) => {
    const ends = inner.map((end, axis) => end - grid[axis + 1]);
    const pads = emit.int64s([0, 0, before, ...inner.map(() => 0), 0, 0, after, ...ends]);
    return reshaped(emit.node('Pad', [of, pads]), [batch, channels, (before + grid[0] + after) * plane]);
  };
  /** For each tap the part that meets it, as long as the other operand. `reach`: planes that a tap may begin earlier, or end later. */
  const moved = (of: string, channels: number, grid: Shape, reach: readonly [number, number], towards: 1 | -1) => {
    // A plane more on either side: a tap also moves within planes.
    const [before, after] = reach.map((planes) => Math.max(planes, 0) + 1);
    const padded = flat(of, channels, grid, before, after);
    const length = plane * (towards === 1 ? results : space)[0];
    const parts: string[] = [];
    eachPoint(kernel, (_, tap) => {
      const offset = tap.reduce((so, t, axis) => so + (t - padsBegin[axis]) * strides[axis], 0);
      const at = before * plane + towards * offset;
      parts.push(emit.node('Slice', [padded, emit.int64s([at]), emit.int64s([at + length]), emit.int64s([2])]));
    });
    return parts;
  };
  // What does not move is turned once: so the runtime's kernels read a right-hand side fastest.
  let products: string;
  if (c < fewestChannels) {
    const rows = together(moved(x, c, space, [padsBegin[0], padsEnd[0]], 1), 1);
    const product = emit.node('MatMul', [rows, turned(flat(dy, o, results, 0, 0))]);
    products = turned(reshaped(product, [batch * taps, c, o]));
  } else {
    const columns = turned(flat(x, c, space, 0, 0));
    const reach = [kernel[0] - 1 - padsBegin[0], kernel[0] - 1 - padsEnd[0]] as const;
    const parts = moved(dy, o, results, reach, -1).map((of) => emit.node('MatMul', [of, columns]));
    products = together(parts, 1);
  }
  const perSample = reshaped(products, [n, groups * taps * o * c]);
  return reshaped(n === 1 ? perSample : emit.node('MatMul', [emit.ones([1, n]), perSample]), shape);
}

/** One group: a convolution of x with dy as the kernel, batch and channels changed about, stride and dilation too. */
function weightGradientByConvolution(x: Value, dy: Value, shape: Shape, a: ConvolutionAttributes): Value {
  const spatial = shape.slice(2).map((_, axis) => axis + 2);
  const swap = [1, 0, ...spatial];
  const whole = convolution(transpose(x, swap), transpose(dy, swap), undefined, {
    strides: a.dilations,
    dilations: a.strides,
    padsBegin: a.padsBegin,
    padsEnd: a.padsEnd,
  });
  // Where the last stride did not reach the end, taps beyond the kernel come out too.
  const cuts = Object.fromEntries(spatial.map((axis) => [axis, [0, shape[axis]] as const]));
  return transpose(slice(whole, cuts), swap);
}

const kernelShapeOf = (weight: TensorType) => weight.shape.slice(2);

export const convolutionOperator: Operator = operator<ConvolutionAttributes>({
  name: 'convolution',
  shape: convolutionShape,
  gradient: (dy, { inputs: [x, weight, bias], attributes }) => [
    inputGradient(dy, x, weight, attributes),
    weightGradient(x, dy, weight.shape, attributes),
    ...(bias ? [biasGradient(dy)] : []),
  ],
  onnx: (emit, inputs, { types, attributes: a }) =>
    emit.node('Conv', inputs, {
      kernel_shape: { ints: kernelShapeOf(types[1]) },
      strides: { ints: a.strides },
      dilations: { ints: a.dilations },
      pads: { ints: [...a.padsBegin, ...a.padsEnd] },
      group: { int: a.groups },
    }),
  reference: ([x, weight, bias], a, shape) => {
    const [n, channels, ...inputGrid] = x.shape;
    const [, outputs, ...outputGrid] = shape;
    const perGroup = channels / a.groups;
    const outputsPerGroup = outputs / a.groups;
    const inputVoxels = elementCount(inputGrid);
    const outputVoxels = elementCount(outputGrid);
    const taps = connections(inputGrid, outputGrid, weight.shape.slice(2), a);
    const out = new Float64Array(elementCount(shape));
    for (let item = 0; item < n; item++) {
      for (let o = 0; o < outputs; o++) {
        const target = (item * outputs + o) * outputVoxels;
        const firstChannel = Math.floor(o / outputsPerGroup) * perGroup;
        for (let c = 0; c < perGroup; c++) {
          const source = (item * channels + firstChannel + c) * inputVoxels;
          for (let t = 0; t < taps.length; t++) {
            const factor = weight.data[(o * perGroup + c) * taps.length + t];
            const { from, to } = taps[t];
            for (let i = 0; i < from.length; i++) out[target + to[i]] += factor * x.data[source + from[i]];
          }
        }
      }
    }
    return addBias(out, shape, bias);
  },
  cost: ([, weight], shape) => ({
    kind: 'convolution',
    multiplyAdds: elementCount(shape) * elementCount(weight.shape.slice(1)),
  }),
});

export const transposedConvolutionOperator: Operator = operator<TransposedConvolutionAttributes>({
  name: 'transposedConvolution',
  shape: (inputs, a) => {
    const [x, weight] = inputs;
    const outputs = weight.shape[1] * a.groups;
    checkRanks(inputs, outputs, a.strides.length);
    if (weight.shape[0] !== x.shape[1] || weight.shape[0] % a.groups !== 0) {
      throw new Error(
        `the input has ${x.shape[1]} channels, the weight ${showShape(weight.shape)} takes ${weight.shape[0]}`,
      );
    }
    const spatial = x.shape
      .slice(2)
      .map((length, i) => (length - 1) * a.strides[i] + weight.shape[i + 2] - a.padsBegin[i] - a.padsEnd[i]);
    return [x.shape[0], outputs, ...spatial];
  },
  // The adjoint of an adjoint: a convolution with the same weight; and for the weight, input and result change places.
  gradient: (dy, { inputs: [x, weight, bias], attributes }) => [
    convolution(dy, weight, undefined, attributes),
    weightGradient(dy, x, weight.shape, { ...attributes, dilations: attributes.strides.map(() => 1) }),
    ...(bias ? [biasGradient(dy)] : []),
  ],
  onnx: (emit, inputs, { types, attributes: a }) =>
    emit.node('ConvTranspose', inputs, {
      kernel_shape: { ints: kernelShapeOf(types[1]) },
      strides: { ints: a.strides },
      pads: { ints: [...a.padsBegin, ...a.padsEnd] },
      group: { int: a.groups },
    }),
  reference: ([x, weight, bias], a, shape) => {
    const [n, channels, ...inputGrid] = x.shape;
    const [, outputs, ...outputGrid] = shape;
    const perGroup = channels / a.groups;
    const outputsPerGroup = outputs / a.groups;
    const inputVoxels = elementCount(inputGrid);
    const outputVoxels = elementCount(outputGrid);
    // The adjoint walks the same pairs from the other end: here the small grid is what a convolution would produce.
    const dilations = a.strides.map(() => 1);
    const taps = connections(outputGrid, inputGrid, weight.shape.slice(2), { ...a, dilations });
    const out = new Float64Array(elementCount(shape));
    for (let item = 0; item < n; item++) {
      for (let c = 0; c < channels; c++) {
        const source = (item * channels + c) * inputVoxels;
        const firstOutput = Math.floor(c / perGroup) * outputsPerGroup;
        for (let o = 0; o < outputsPerGroup; o++) {
          const target = (item * outputs + firstOutput + o) * outputVoxels;
          for (let t = 0; t < taps.length; t++) {
            const factor = weight.data[(c * outputsPerGroup + o) * taps.length + t];
            const { from, to } = taps[t];
            for (let i = 0; i < from.length; i++) out[target + from[i]] += factor * x.data[source + to[i]];
          }
        }
      }
    }
    return addBias(out, shape, bias);
  },
  cost: ([x, weight]) => ({
    kind: 'transposedConvolution',
    multiplyAdds: elementCount(x.shape) * elementCount(weight.shape.slice(1)),
  }),
});

export interface ConvolutionOptions {
  strides?: readonly number[];
  dilations?: readonly number[];
  /** The same number before and after each axis, or both lists. */
  pads?: readonly number[];
  padsBegin?: readonly number[];
  padsEnd?: readonly number[];
  groups?: number;
}

function perAxis(x: Value, given: readonly number[] | undefined, otherwise: number): readonly number[] {
  return given ?? new Array<number>(Math.max(x.shape.length - 2, 0)).fill(otherwise);
}

export function convolution(x: Value, weight: Value, bias: Value | undefined, options: ConvolutionOptions = {}) {
  const attributes: ConvolutionAttributes = {
    strides: perAxis(x, options.strides, 1),
    dilations: perAxis(x, options.dilations, 1),
    padsBegin: perAxis(x, options.padsBegin ?? options.pads, 0),
    padsEnd: perAxis(x, options.padsEnd ?? options.pads, 0),
    groups: options.groups ?? 1,
  };
  return apply(convolutionOperator, bias ? [x, weight, bias] : [x, weight], attributes);
}

export function transposedConvolution(
  x: Value,
  weight: Value,
  bias: Value | undefined,
  options: Omit<ConvolutionOptions, 'dilations'> = {},
) {
  const attributes: TransposedConvolutionAttributes = {
    strides: perAxis(x, options.strides, 1),
    padsBegin: perAxis(x, options.padsBegin ?? options.pads, 0),
    padsEnd: perAxis(x, options.padsEnd ?? options.pads, 0),
    groups: options.groups ?? 1,
  };
  return apply(transposedConvolutionOperator, bias ? [x, weight, bias] : [x, weight], attributes);
}
