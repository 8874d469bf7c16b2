/**
 * Recomputation: results of the forward pass that the backward pass needs are not kept but computed again, when it gets
 * there. Less memory, more time. Chen et al., "Training deep nets with sublinear memory cost", 2016.
 *
 * Forward is what the loss is made of, backward all else. A result that is dropped has a second operation for it, of which
 * the backward pass reads; what that reads is either kept or a second operation too. Engines that compute operations when
 * they are needed, in order of depth, do so late by themselves; a runtime that merges equal operations must be kept from it.
 */
import { bytesPerElement, elementCount } from '../../tensor.ts';
import { type Operation, operationsBehind, type Program, type Value } from '../program.ts';
import { rewrite } from './rewrite.ts';

/** Results up to this size are always kept: statistics, sums, small matrices. */
const smallResult = 1 << 16;

/** Operators whose result costs about as much to compute as to read; a product is one if it sums over a few terms alone. */
const cheapOperators = new Set([
  'absolute',
  'add',
  'batchNormalization',
  'broadcast',
  'concatenate',
  'divide',
  'equal',
  'exponential',
  'floor',
  'greater',
  'instanceNormalization',
  'layerNormalization',
  'leakyRelu',
  'logSoftmax',
  'logarithm',
  'maximum',
  'multiply',
  'pad',
  'reshape',
  'sigmoid',
  'slice',
  'softmax',
  'sqrt',
  'subtract',
  'transpose',
]);
const fewTerms = 4;

export function isCheap({ operator, inputs }: Operation): boolean {
  if (cheapOperators.has(operator.name)) return true;
  return operator.name === 'matmul' && inputs[0].shape.at(-1)! <= fewTerms;
}

/**
 * @param loss name of the output that ends the forward pass
 * @param isDropped which results of the forward pass are computed again where the backward pass needs them
 */
export function recompute(program: Program, loss: string, isDropped: (operation: Operation) => boolean): Program {
  const forward = new Set<Value>(operationsBehind([program.outputs.get(loss)!]));
  const seconds = new Map<Value, Value>();
  const second = (value: Value): Value => {
    if (value.kind !== 'operation' || !forward.has(value)) return value;
    const known = seconds.get(value);
    if (known) return known;
    const bytes = elementCount(value.shape) * bytesPerElement[value.dtype];
    const kept = bytes <= smallResult || !isDropped(value);
    const made = kept ? value : { ...value, inputs: value.inputs.map(second) };
    seconds.set(value, made);
    return made;
  };
  return rewrite(program, (operation, original) => {
    if (forward.has(original)) return operation;
    return { ...operation, inputs: operation.inputs.map(second) };
  });
}
