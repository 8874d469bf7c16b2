/**
 * Products of which an operand has its last two axes changed about: the product reads it that way, and the copy falls away.
 * ONNX Runtime does the same at its higher levels of optimization, which take long over the thousands of nodes of a step of
 * training.
 */
import { matmulOperator, turnedMatmulOperator } from '../operators/matmul.ts';
import { transposeOperator } from '../operators/movement.ts';
import { apply, type Program, type Value } from '../program.ts';
import { rewrite } from './rewrite.ts';

/** What was turned, if the value is nothing but that. */
function turnedFrom(value: Value): Value | undefined {
  if (value.kind !== 'operation' || value.operator !== transposeOperator) return undefined;
  const permutation = value.attributes.permutation as readonly number[];
  const rank = permutation.length;
  const swapsLast = permutation.every(
    (axis, at) => axis === (at === rank - 1 ? rank - 2 : at === rank - 2 ? rank - 1 : at),
  );
  return swapsLast ? value.inputs[0] : undefined;
}

export function fuseTurnedProducts(program: Program): Program {
  return rewrite(program, (operation) => {
    if (operation.operator !== matmulOperator) return operation;
    const [a, b] = operation.inputs;
    const [fromA, fromB] = [turnedFrom(a), turnedFrom(b)];
    if (!fromA && !fromB) return operation;
    return apply(turnedMatmulOperator, [fromA ?? a, fromB ?? b], { turnA: !!fromA, turnB: !!fromB });
  });
}
