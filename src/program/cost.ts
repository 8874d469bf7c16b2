/**
 * Multiply-adds of a program, as the field counts them: convolutions output elements x input channels x kernel volume,
 * transposed convolutions input elements x output channels x kernel volume, products m x k x n. Biases, norms, softmax,
 * additions and activations are not counted, and one multiply-add is one (some texts count two).
 */
import { elementCount } from '../tensor.ts';
import type { OperatorCost } from './operator.ts';
import type { Operation, Program } from './program.ts';

export interface OperationCost extends OperatorCost {
  readonly operation: Operation;
}

/** One entry for each operation that is counted, in the program's order. Count programs before lowering. */
export function costs(program: Program): OperationCost[] {
  return program.operations.flatMap((operation) => {
    const cost = operation.operator.cost?.(operation.inputs, operation.shape, operation.attributes);
    return cost ? [{ ...cost, operation }] : [];
  });
}

/** Multiply-adds by key. */
export function costBy(program: Program, key: (cost: OperationCost) => string): Map<string, number> {
  const sums = new Map<string, number>();
  for (const cost of costs(program)) sums.set(key(cost), (sums.get(key(cost)) ?? 0) + cost.multiplyAdds);
  return sums;
}

/** Trainable numbers; a shared parameter counts once. */
export function parameterCount(program: Program): number {
  return program.parameters.filter(({ trainable }) => trainable).reduce((so, { shape }) => so + elementCount(shape), 0);
}
