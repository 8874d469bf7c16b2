/**
 * Products of which an operand has its last two axes changed about: the product reads it that way, and the copy falls away.
 * ONNX Runtime does the same at its higher levels of optimization, which take long over the thousands of nodes of a step of
 * training.
 */
import { matmulOperator, turnedMatmulOperator } from '../operators/matmul.ts';
import { transpose, transposeOperator } from '../operators/movement.ts';
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

/** Columns so long that turning them costs more than turning the result. */
const longColumns = 1024;

function turnLast(x: Value): Value {
  const axes = x.shape.map((_, axis) => axis);
  return transpose(x, [...axes.slice(0, -2), axes.length - 1, axes.length - 2]);
}

export function fuseTurnedProducts(program: Program): Program {
  return rewrite(program, (operation) => {
    if (operation.operator !== matmulOperator) return operation;
    const [a, b] = operation.inputs;
    const [fromA, fromB] = [turnedFrom(a), turnedFrom(b)];
    if (!fromA && !fromB) return operation;
    // A^T B of a wide A and a narrow B: as (B^T A)^T the narrow one is turned, and of the result what is small.
    const [rows, length] = a.shape.slice(-2);
    if (fromA && !fromB && length >= longColumns && b.shape[b.shape.length - 1] < rows) {
      return turnLast(apply(turnedMatmulOperator, [b, fromA], { turnA: true, turnB: false }));
    }
    return apply(turnedMatmulOperator, [fromA ?? a, fromB ?? b], { turnA: !!fromA, turnB: !!fromB });
  });
}
