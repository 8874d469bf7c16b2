/**
 * How much of a step's forward pass is kept for its backward pass, and how much is computed again: levels from fast to
 * small, and the choice of one for a memory.
 */
import { blockOf, randomInputs } from '../nets/index.ts';
import { isCheap, type Operation, type Program, recompute, type Value } from '../program/index.ts';
import { operationsBehind } from '../program/program.ts';
import { sameShape } from '../tensor.ts';

/**
 * `none`: everything that is needed is kept, but for masks of dropout and what they have masked: they are a sixth of the
 * memory in the Synapse network, and little work. `blocks`: of each block of the network its inputs alone are kept.
 */
export type Recomputation = 'none' | 'blocks';

/** A way to run a step: what is computed again, and whether the runtime keeps freed memory for the next operator. */
export interface MemoryLevel {
  readonly recomputation: Recomputation;
  readonly memoryArena: boolean;
}

/**
 * From fast to small. Keeping everything without the arena would be a fourth; it takes longer than computing blocks again
 * with it, and more memory (docs/performance.md).
 */
export const memoryLevels: readonly MemoryLevel[] = [
  { recomputation: 'none', memoryArena: true },
  { recomputation: 'blocks', memoryArena: true },
  { recomputation: 'blocks', memoryArena: false },
];

/**
 * The fastest level whose estimate is within a limit; the smallest, if none is.
 * @param estimate peak bytes of a level
 */
export function fittingLevel(
  estimate: (level: MemoryLevel) => number,
  limit = Number.POSITIVE_INFINITY,
): { level: MemoryLevel; bytes: number } {
  let found = { level: memoryLevels[0], bytes: Number.POSITIVE_INFINITY };
  for (const level of memoryLevels) {
    const bytes = estimate(level);
    if (bytes < found.bytes) found = { level, bytes };
    if (bytes <= limit) break;
  }
  return found;
}

/** Which operations make masks of dropout, from random numbers alone, or are products of a mask of their own size. */
function masking(program: Program): (operation: Operation) => boolean {
  const random = new Set<Value>(randomInputs(program));
  const masks = new Set<Value>();
  const isRandom = (value: Value) => random.has(value) || masks.has(value);
  for (const operation of program.operations) {
    const { inputs } = operation;
    if (inputs.some(isRandom) && inputs.every((value) => value.kind === 'constant' || isRandom(value))) {
      masks.add(operation);
    }
  }
  return (operation) =>
    masks.has(operation) ||
    (operation.operator.name === 'multiply' &&
      operation.inputs.some((value) => masks.has(value) && sameShape(value.shape, operation.shape)));
}

/** @param program a step of training, with an output `loss` */
export function recomputing(program: Program, level: Recomputation): Program {
  if (level === 'none') return recompute(program, 'loss', masking(program));
  const handedOn = new Set<Value>();
  for (const operation of operationsBehind([program.outputs.get('loss')!])) {
    const block = blockOf(operation.scope);
    for (const value of operation.inputs) {
      if (value.kind === 'operation' && blockOf(value.scope) !== block) handedOn.add(value);
    }
  }
  const isDropped = (operation: Operation) =>
    !handedOn.has(operation) && (isCheap(operation) || blockOf(operation.scope) !== undefined);
  return recompute(program, 'loss', isDropped);
}
