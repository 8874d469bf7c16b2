/**
 * What a device's self-test asks: the classes of operators in a lowered program, each as a probe, a tiny program of one
 * operation with drawn operands.
 *
 * Two operations are of one class when the same ONNX nodes with the same attributes remain of them after every length has
 * been cut to a few elements. Lengths keep what kernels choose by: being 1, being even, being a multiple of 4. A probe is
 * larger than its class's key, so that it does not fit one tile or one workgroup of a GPU.
 */
import {
  type Attributes,
  type AttributeValue,
  apply,
  buildProgram,
  input,
  type OnnxEmitter,
  type Operation,
  type Program,
  parameter,
  type Value,
} from '../program/index.ts';
import { countReaders } from '../program/passes/rewrite.ts';
import { elementCount, type Shape, showShape, type Tensor } from '../tensor.ts';

/** One operator class, as a program with one output. Names are unique among the probes of one program. */
export interface Probe {
  /** Equal for operations of one class. */
  readonly key: string;
  /** `softmax`, or `matmul then add`. */
  readonly operator: string;
  /** Of the operands, for messages. */
  readonly shapes: string;
  readonly program: Program;
  readonly weights: ReadonlyMap<string, Tensor>;
  readonly feeds: ReadonlyMap<string, Tensor>;
}

/** An operation with smaller operands; the operator is the same. */
interface Reduced {
  readonly shapes: readonly Shape[];
  readonly attributes: Attributes;
}

/** @param floor lengths up to this one stay; longer ones become this one or one or two more. */
type Rule = (operation: Operation, floor: number) => Reduced;

/** Lengths other than those a rule lets grow. */
const few = 4;

/** Kernels longer than this are cut: gradients of weights have kernels as large as images. */
const longKernel = 8;

/** How far lengths may stay, smallest first: a little more than tiles and workgroups. The last one cuts nothing. */
const floors = [few, 8, 12, 20, 36, 68, 132, 260, 516, 1028, 2052, 4100, Infinity];

/** A probe grows up to these, so that the plain loops take milliseconds. */
const mostElements = 2 ** 16;
const mostMultiplyAdds = 2 ** 22;

/** Beyond the floor a length keeps its remainder by 4 as far as kernels mind: multiple of 4, even, odd. */
function cut(length: number, floor: number): number {
  if (length <= floor) return length;
  return floor + (length % 4 === 0 ? 0 : length % 2 === 0 ? 2 : 1);
}

/** Cuts all axes; the last `growing` ones to the floor, those before to a few. */
function cutShape(shape: Shape, floor: number, growing: number): Shape {
  return shape.map((length, axis) => cut(length, axis < shape.length - growing ? few : floor));
}

/** Operands that are read side by side: the last two axes grow, so that transposes and tiles are crossed both ways. */
const planes: Rule = ({ inputs, attributes }, floor) => ({
  shapes: inputs.map(({ shape }) => cutShape(shape, floor, 2)),
  attributes,
});

/** Statistics along rows: the last axis grows. */
const rows: Rule = ({ inputs, attributes }, floor) => ({
  shapes: inputs.map(({ shape }) => cutShape(shape, floor, 1)),
  attributes,
});

/** Norms of [n, c, spatial..]: space grows, and the vectors beside it have its channels. */
const channels: Rule = ({ inputs: [x, ...vectors], attributes }, floor) => {
  const shape = cutShape(x.shape, floor, Math.min(x.shape.length - 2, 2));
  return { shapes: [shape, ...vectors.map(() => [shape[1]])], attributes };
};

const integers = (value: AttributeValue) => value as readonly number[];

/** No kernel of a reshape minds the lengths: 24 elements, in the same numbers of axes. */
const viewed: Rule = ({ inputs, shape }) => {
  const ending = (rank: number, ends: readonly number[]) => [...new Array<number>(rank - ends.length).fill(1), ...ends];
  const [rank, newRank] = [inputs[0].shape.length, shape.length];
  if (rank === 0 || newRank === 0) return { shapes: [ending(rank, [])], attributes: { shape: ending(newRank, []) } };
  return { shapes: [ending(rank, [24])], attributes: { shape: ending(newRank, newRank === 1 ? [24] : [4, 6]) } };
};

const repeated: Rule = (operation, floor) => {
  const shape = cutShape(operation.shape, floor, 2);
  const [x] = operation.inputs;
  const own = x.shape.map((length, axis) => (length === 1 ? 1 : shape[axis + shape.length - x.shape.length]));
  return { shapes: [own], attributes: { shape } };
};

/** Before, inside and after the cut, each shortened by itself. */
const sliced: Rule = ({ inputs: [x], attributes, shape }, floor) => {
  const [starts, ends, steps] = [[], [], []] as number[][];
  const lengths = x.shape.map((length, axis) => {
    const step = integers(attributes.steps)[axis];
    const first = integers(attributes.starts)[axis];
    const last = first + (shape[axis] - 1) * step;
    const count = cut(shape[axis], axis < x.shape.length - 2 ? few : floor);
    const before = cut(Math.min(first, last), few);
    const reach = (count - 1) * Math.abs(step) + 1;
    starts.push(step > 0 ? before : before + reach - 1);
    ends.push(step > 0 ? before + reach : before - 1);
    steps.push(step);
    return before + reach + cut(length - 1 - Math.max(first, last), few);
  });
  return { shapes: [lengths], attributes: { starts, ends, steps } };
};

const padded: Rule = (operation, floor) => {
  const [before, after] = [operation.attributes.before, operation.attributes.after].map((pads) =>
    integers(pads).map((pad) => cut(pad, few)),
  );
  return { shapes: planes(operation, floor).shapes, attributes: { before, after } };
};

/** Channels grow; each spatial axis keeps kernel and stride and gives four results or a few more. */
const convolved: Rule = ({ inputs: [x, weight, bias], attributes, shape }, floor) => {
  const [outputs, inputs, ...kernel] = weight.shape;
  const { groups } = attributes as { groups: number };
  const taps = kernel.map((length) => cut(length, longKernel));
  const strides = integers(attributes.strides);
  const dilations = integers(attributes.dilations).map((dilation) => cut(dilation, few));
  const reach = taps.map((length, axis) => (length - 1) * dilations[axis] + 1);
  // What a dilation loses, pads that reach over it lose too.
  const [padsBegin, padsEnd] = [attributes.padsBegin, attributes.padsEnd].map((pads) =>
    integers(pads).map((pad, axis) => {
      const dilation = integers(attributes.dilations)[axis];
      const kept = pad < dilation ? cut(pad, few) : pad - dilation + dilations[axis];
      return Math.min(kept, reach[axis] - 1);
    }),
  );
  const spatial = reach.map((length, axis) => {
    const results = cut(shape[axis + 2], few);
    return Math.max((results - 1) * strides[axis] + length - padsBegin[axis] - padsEnd[axis], 1);
  });
  const newGroups = cut(groups, floor);
  const newInputs = cut(inputs, floor);
  const newOutputs = newGroups * cut(outputs / groups, floor);
  const shapes: Shape[] = [
    [cut(x.shape[0], few), newGroups * newInputs, ...spatial],
    [newOutputs, newInputs, ...taps],
  ];
  if (bias) shapes.push([newOutputs]);
  return { shapes, attributes: { strides, dilations, padsBegin, padsEnd, groups: newGroups } };
};

const transposeConvolved: Rule = ({ inputs: [x, weight, bias], attributes }, floor) => {
  const [inputs, outputs, ...kernel] = weight.shape;
  const { groups } = attributes as { groups: number };
  const newGroups = cut(groups, floor);
  const newInputs = newGroups * cut(inputs / groups, floor);
  const newOutputs = cut(outputs, floor);
  const spatial = x.shape.slice(2).map((length) => cut(length, few));
  const shapes: Shape[] = [
    [cut(x.shape[0], few), newInputs, ...spatial],
    [newInputs, newOutputs, ...kernel],
  ];
  if (bias) shapes.push([newGroups * newOutputs]);
  return { shapes, attributes: { ...attributes, groups: newGroups } };
};

/** Channels and the last axis grow, over which it sums; each spatial axis keeps its kernel. */
const convolvedBack: Rule = ({ inputs: [x, dy], attributes }, floor) => {
  const { groups } = attributes as { groups: number };
  const kernel = integers(attributes.kernel).map((length) => cut(length, longKernel));
  const [padsBegin, padsEnd] = [attributes.padsBegin, attributes.padsEnd].map((pads) =>
    integers(pads).map((pad, axis) => Math.min(pad, kernel[axis] - 1)),
  );
  const spatial = dy.shape.slice(2).map((length, axis, { length: axes }) => {
    const results = cut(length, axis === axes - 1 ? floor : few);
    return Math.max(results + kernel[axis] - 1 - padsBegin[axis] - padsEnd[axis], 1);
  });
  const results = spatial.map((length, axis) => length + padsBegin[axis] + padsEnd[axis] - kernel[axis] + 1);
  const newGroups = cut(groups, floor);
  const [inputs, outputs] = [x, dy].map(({ shape }) => newGroups * cut(shape[1] / groups, floor));
  const n = cut(x.shape[0], few);
  const shapes: Shape[] = [
    [n, inputs, ...spatial],
    [n, outputs, ...results],
  ];
  return { shapes, attributes: { kernel, padsBegin, padsEnd, groups: newGroups } };
};

/** The rank lies as far into the shorter vector as it did. */
const ranked: Rule = ({ inputs: [x], attributes }, floor) => {
  const length = cut(x.shape[0], floor);
  return { shapes: [[length]], attributes: { rank: Math.ceil((Number(attributes.rank) * length) / x.shape[0]) } };
};

/** Operators whose attributes or operands do not shrink by themselves; all others take `planes`. */
const rules: Readonly<Record<string, Rule>> = {
  sum: rows,
  mean: rows,
  l2Norm: rows,
  softmax: rows,
  logSoftmax: rows,
  kthLargest: ranked,
  layerNormalization: rows,
  instanceNormalization: channels,
  batchNormalization: channels,
  reshape: viewed,
  broadcast: repeated,
  slice: sliced,
  pad: padded,
  convolution: convolved,
  transposedConvolution: transposeConvolved,
  convolutionTapGradients: convolvedBack,
};

/** Their operands are drawn positive: roots, logarithms, and a variance. */
const positive = new Set(['sqrt', 'logarithm', 'power', 'batchNormalization']);

/** Their operands are drawn from few numbers, so that some are equal. */
const comparing = new Set(['equal']);

/** Runtimes write these and the convolution or product before them as one kernel, so the two are tested together too. */
const fusedBehind = new Set(['add', 'multiply', 'leakyRelu', 'sigmoid']);
const fusing = new Set(['convolution', 'matmul']);

/** The ONNX node types that an operator writes for operands of these shapes. */
function nodesOf({ operator, dtype }: Operation, { shapes, attributes }: Reduced): string {
  const types: string[] = [];
  const typed = shapes.map((shape) => ({ shape, dtype }));
  const emitter: OnnxEmitter = {
    node: (type) => `${types.push(type)}`,
    int64s: () => 'integers',
    float32: () => 'number',
    ones: () => 'ones',
  };
  const names = shapes.map((_, index) => `operand${index}`);
  operator.onnx(emitter, names, { types: typed, shape: operator.shape(typed, attributes), attributes });
  return types.join(' ');
}

function reduce(operation: Operation, floor: number): Reduced {
  if (floor === Infinity)
    return { shapes: operation.inputs.map(({ shape }) => shape), attributes: operation.attributes };
  return (rules[operation.operator.name] ?? planes)(operation, floor);
}

function fits({ operator, dtype }: Operation, { shapes, attributes }: Reduced): boolean {
  const typed = shapes.map((shape) => ({ shape, dtype }));
  const shape = operator.shape(typed, attributes);
  const elements = [...shapes, shape].reduce((so, each) => so + elementCount(each), 0);
  const multiplyAdds = operator.cost?.(typed, shape, attributes).multiplyAdds ?? 0;
  return elements <= mostElements && multiplyAdds <= mostMultiplyAdds;
}

/** The largest cut that is still cheap, among those of which the same ONNX nodes remain as of the operation itself. */
function reduceForProbe(operation: Operation): Reduced {
  const nodes = nodesOf(operation, reduce(operation, Infinity));
  const alike = floors.map((floor) => reduce(operation, floor)).filter((each) => nodesOf(operation, each) === nodes);
  return alike.findLast((each) => fits(operation, each)) ?? alike[0];
}

const isConstant = ({ kind }: Value) => kind === 'parameter' || kind === 'constant';

/** What kernels mind of a length: 1, odd, even, or a multiple of 4. */
function divisibility(length: number): number {
  if (length <= 1) return length;
  return length % 4 === 0 ? 4 : length % 2 === 0 ? 2 : 3;
}

/** Operators whose attributes are lengths, not ways of computing. */
const sized = new Set(['reshape', 'broadcast', 'slice', 'pad', 'kthLargest']);

function keyOf(operation: Operation): string {
  const { name } = operation.operator;
  const { shapes, attributes } = reduce(operation, few);
  const nodes = nodesOf(operation, reduce(operation, Infinity));
  const mild = (_: string, value: unknown) => (typeof value === 'number' ? divisibility(value) : value);
  const lengths = JSON.stringify(shapes, mild);
  const settings = JSON.stringify(attributes, sized.has(name) ? mild : undefined);
  return [name, nodes, lengths, settings, operation.inputs.map(isConstant)].join('|');
}

/**
 * Numbers between 0.25 and 1.25, the same ones for the same seed. A quarter is negative: sums do not cancel. Four neighbors
 * lie in four parts of that range: a short row is never so even that its norm magnifies rounding.
 */
function drawn(count: number, seed: number, operator: string): Float32Array {
  const signed = !positive.has(operator);
  const spread = comparing.has(operator) ? 0 : 2 ** -26;
  const out = new Float32Array(count);
  // Seeds are neighbors; their beginnings must not be.
  let state = Math.imul(seed + 1, 2654435761);
  for (let i = 0; i < count; i++) {
    // The generator of Numerical Recipes; its upper bits are the good ones.
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[i] = ((1 + (i % 4)) / 4 + (state >>> 8) * spread) * (signed && (state & 0xc00000) === 0 ? -1 : 1);
  }
  return out;
}

/** Declares operands as the operation has them: constants as parameters, so that kernels see constant weights. */
function declare(operation: Operation, shapes: readonly Shape[], prefix: string): Value[] {
  return shapes.map((shape, index) =>
    isConstant(operation.inputs[index])
      ? parameter(`${prefix}${index}`, shape, { kind: 'constant', value: 0 })
      : input(`${prefix}${index}`, shape),
  );
}

/** One operation, or one and another that reads only it at operand `at`. */
interface Candidate {
  readonly operation: Operation;
  readonly before?: { readonly operation: Operation; readonly at: number };
}

function candidatesOf(program: Program): Map<string, Candidate> {
  const readers = countReaders(program);
  const candidates = new Map<string, Candidate>();
  const size = ({ operation, before = undefined }: Candidate) =>
    [operation, ...(before?.operation ?? operation).inputs].reduce((so, { shape }) => so + elementCount(shape), 0);
  const take = (key: string, candidate: Candidate) => {
    // The largest of a class stands for it: it crosses the most tiles.
    const known = candidates.get(key);
    if (!known || size(known) < size(candidate)) candidates.set(key, candidate);
  };
  for (const operation of program.operations) {
    const key = keyOf(operation);
    take(key, { operation });
    if (!fusedBehind.has(operation.operator.name)) continue;
    const at = operation.inputs.findIndex(
      (value) => value.kind === 'operation' && fusing.has(value.operator.name) && readers.get(value) === 1,
    );
    if (at < 0) continue;
    const before = operation.inputs[at] as Operation;
    take(`${keyOf(before)} ${at} ${key}`, { operation, before: { operation: before, at } });
  }
  return candidates;
}

/** Applies the operations, the first of them cut as its rule says, the second to what comes out of it. */
function applyCandidate({ operation, before }: Candidate, { shapes, attributes }: Reduced, prefix: string): Operation {
  if (!before) return apply(operation.operator, declare(operation, shapes, prefix), attributes);
  const middle = apply(before.operation.operator, declare(before.operation, shapes, prefix), attributes);
  // Broadcasting aligns axes at the end.
  const beside = operation.inputs.map(({ shape }) =>
    shape.map((length, axis) => (length === 1 ? 1 : (middle.shape.at(axis - shape.length) ?? cut(length, few)))),
  );
  const operands = declare(operation, beside, `${prefix}then_`).with(before.at, middle);
  return apply(operation.operator, operands, operation.attributes);
}

/** A probe of each operator class in a lowered program, and of each pair of classes that may become one kernel. */
export function probesOf(program: Program): Probe[] {
  return [...candidatesOf(program)].map(([key, candidate], index) => {
    const { operation, before } = candidate;
    const first = before?.operation ?? operation;
    const reduced = reduceForProbe(first);
    const prefix = `probe${index}_`;
    const probe = buildProgram('probe', () => ({ [`${prefix}y`]: applyCandidate(candidate, reduced, prefix) }));
    const operands = [...probe.inputs, ...probe.parameters].map(({ name, shape }, at): [string, Tensor] => [
      name,
      { dtype: 'float32', shape, data: drawn(elementCount(shape), 1000 * index + at, operation.operator.name) },
    ]);
    return {
      key,
      operator: before ? `${first.operator.name} then ${operation.operator.name}` : operation.operator.name,
      shapes: reduced.shapes.map(showShape).join(', '),
      program: probe,
      feeds: new Map(operands.slice(0, probe.inputs.length)),
      weights: new Map(operands.slice(probe.inputs.length)),
    };
  });
}
