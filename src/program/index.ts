/** Tensor programs: build, print, check, lower, emit, evaluate. */
export { check } from './check.ts';
export { costBy, costs, type OperationCost, parameterCount } from './cost.ts';
export { differentiate } from './differentiate.ts';
export { emit } from './emit.ts';
export { evaluate } from './evaluate.ts';
export { type MemoryNeed, memoryNeed } from './memory.ts';
export type {
  Attributes,
  AttributeValue,
  OnnxEmitter,
  Operator,
  OperatorCost,
  Reference,
  TensorType,
} from './operator.ts';
export {
  absolute,
  add,
  divide,
  equal,
  exponential,
  floor,
  greater,
  leakyRelu,
  logarithm,
  maximum,
  multiply,
  power,
  sigmoid,
  softplus,
  sqrt,
  subtract,
} from './operators/arithmetic.ts';
export { broadcastTo, sum } from './operators/broadcast.ts';
export { convolution, transposedConvolution } from './operators/convolution.ts';
export { operators } from './operators/index.ts';
export { matmul } from './operators/matmul.ts';
export { concatenate, pad, reshape, slice, transpose, transposeLast } from './operators/movement.ts';
export { batchNormalization, instanceNormalization, layerNormalization } from './operators/normalization.ts';
export { kthLargest, l2Norm, mean } from './operators/reduction.ts';
export { logSoftmax, softmax } from './operators/softmax.ts';
export { type Folded, foldParameters } from './passes/foldParameters.ts';
export { type Lowering, type Lowerings, lower, lowerings, noLowerings, type Target } from './passes/lower.ts';
export { isCheap, recompute } from './passes/recompute.ts';
export { print } from './print.ts';
export {
  alias,
  apply,
  buildProgram,
  type Constant,
  constant,
  filled,
  type Initializer,
  type Input,
  input,
  type Operation,
  type Parameter,
  type Program,
  parameter,
  replaceOutputs,
  ShapeError,
  scope,
  scopedInput,
  tap,
  usedParameters,
  type Value,
  withOutputs,
} from './program.ts';
