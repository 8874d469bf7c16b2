/**
 * Instance norm (without scale and shift) of a 1x1x1 convolution of ONE channel only rescales that channel:
 *
 *   norm(w_o x)_o = (x - mean(x)) * w_o / sqrt(w_o^2 variance(x) + epsilon)
 *
 * so the statistics of one channel serve for all of them, and the norm's passes over every output channel fall away.
 */
import { elementCount } from '../../tensor.ts';
import { add, divide, isFilled, multiply, sqrt, subtract } from '../operators/arithmetic.ts';
import { convolutionOperator } from '../operators/convolution.ts';
import { reshape } from '../operators/movement.ts';
import { instanceNormalizationOperator } from '../operators/normalization.ts';
import { mean } from '../operators/reduction.ts';
import { filled, type Operation, type Program, type Value } from '../program.ts';
import { holds, rewrite } from './rewrite.ts';

function isPointwiseOfOneChannel(value: Value): value is Operation {
  if (value.kind !== 'operation' || value.operator !== convolutionOperator || value.inputs.length !== 2) return false;
  const [, inputs, ...kernel] = value.inputs[1].shape;
  const isPointwise = kernel.every((length) => length === 1) && holds(value, 'strides', 1);
  return inputs === 1 && isPointwise && holds(value, 'padsBegin', 0) && holds(value, 'padsEnd', 0);
}

export function foldPointwiseNormalization(program: Program): Program {
  return rewrite(program, (operation) => {
    if (operation.operator !== instanceNormalizationOperator) return operation;
    const [normalized, scale, shift] = operation.inputs;
    if (!isPointwiseOfOneChannel(normalized) || !isFilled(scale, 1) || !isFilled(shift, 0)) return operation;
    const [x, weight] = normalized.inputs;
    const [n, , ...spatial] = x.shape;
    // The mean in two steps, over the last axis and over the rest, keeps the float32 sums short.
    const average = (value: Value) => {
      const rows = mean(value, [-1]);
      return reshape(mean(reshape(rows, [n, elementCount(spatial.slice(0, -1))]), [1]), [
        n,
        1,
        ...spatial.map(() => 1),
      ]);
    };
    const centered = subtract(x, average(x));
    const variance = average(multiply(centered, centered));
    const factors = reshape(weight, [1, weight.shape[0], ...spatial.map(() => 1)]);
    const epsilon = filled(operation.attributes.epsilon as number);
    const deviation = sqrt(add(multiply(multiply(factors, factors), variance), epsilon));
    return multiply(centered, divide(factors, deviation));
  });
}
