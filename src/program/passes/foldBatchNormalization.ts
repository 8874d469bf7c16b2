/**
 * Batch norm in inference form after a convolution is a scale and a shift of each output channel:
 * weight * s and bias' = b + (bias - mean) * s with s = scale / sqrt(variance + epsilon). One pass over the result less.
 */
import { add, divide, multiply, sqrt, subtract } from '../operators/arithmetic.ts';
import { convolutionOperator } from '../operators/convolution.ts';
import { reshape } from '../operators/movement.ts';
import { batchNormalizationOperator } from '../operators/normalization.ts';
import { filled, type Program } from '../program.ts';
import { countReaders, rewrite } from './rewrite.ts';

export function foldBatchNormalization(program: Program): Program {
  const readers = countReaders(program);
  return rewrite(program, (operation, original) => {
    if (operation.operator !== batchNormalizationOperator) return operation;
    const [x, scale, shift, mean, variance] = operation.inputs;
    if (x.kind !== 'operation' || x.operator !== convolutionOperator) return operation;
    if (readers.get(original.inputs[0]) !== 1) return operation;
    const [input, weight, bias] = x.inputs;
    const factor = divide(scale, sqrt(add(variance, filled(operation.attributes.epsilon as number))));
    const perOutput = [factor.shape[0], ...weight.shape.slice(1).map(() => 1)];
    const scaled = multiply(weight, reshape(factor, perOutput));
    const shifted = add(shift, multiply(subtract(bias ?? filled(0), mean), factor));
    return { ...x, inputs: [input, scaled, shifted] };
  });
}
