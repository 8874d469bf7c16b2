/**
 * Layers that several networks share: a parameter declaration and the operators that use it, under PyTorch's parameter
 * names. Functions over values; nothing here keeps state. Initializers are PyTorch's defaults unless said otherwise.
 */
import {
  add,
  batchNormalization,
  convolution,
  filled,
  type Initializer,
  instanceNormalization,
  matmul,
  mean,
  multiply,
  type Parameter,
  parameter,
  reshape,
  scope,
  subtract,
  tap,
  transposedConvolution,
  type Value,
} from '../program/index.ts';
import type { Shape } from '../tensor.ts';

export const ones: Initializer = { kind: 'constant', value: 1 };
export const zeros: Initializer = { kind: 'constant', value: 0 };

/** PyTorch's default for convolutions and Linears: uniform in +-1/sqrt(fan in). */
export function uniformByFanIn(fanIn: number): Initializer {
  return { kind: 'uniform', bound: 1 / Math.sqrt(fanIn) };
}

const product = (shape: Shape) => shape.reduce((so, length) => so * length, 1);

/** `NAME.weight`: [outputs, inputs, kernel..]. */
export function convolutionWeight(name: string, inputs: number, outputs: number, kernel: Shape): Parameter {
  const shape = [outputs, inputs, ...kernel];
  return scope(name, () => parameter('weight', shape, uniformByFanIn(inputs * product(kernel))));
}

/** Convolution with bias, kernel 1: a head or a channel mixer. x [n, c, spatial..]. */
export function pointwiseConvolution(name: string, x: Value, outputs: number): Value {
  const inputs = x.shape[1];
  const kernel = x.shape.slice(2).map(() => 1);
  return scope(name, () => {
    const weight = parameter('weight', [outputs, inputs, ...kernel], uniformByFanIn(inputs));
    const bias = parameter('bias', [outputs], uniformByFanIn(inputs));
    return convolution(x, weight, bias);
  });
}

/** Transposed convolution with kernel = stride and no bias. `NAME.weight`: [inputs, outputs, stride..]. */
export function upsampling(name: string, x: Value, outputs: number, stride: Shape): Value {
  // PyTorch takes the second axis for "fan in", also where the weight is transposed.
  const weight = scope(name, () =>
    parameter('weight', [x.shape[1], outputs, ...stride], uniformByFanIn(outputs * product(stride))),
  );
  return scope(name, () => transposedConvolution(x, weight, undefined, { strides: stride }));
}

/** Group norm over [n, c, spatial..]; statistics over the channels of a group and space; epsilon 1e-5. */
export function groupNormalization(name: string, x: Value, groups: number): Value {
  return scope(name, () => {
    const [n, channels] = x.shape;
    const scale = parameter('weight', [channels], ones);
    const bias = parameter('bias', [channels], zeros);
    const grouped = reshape(x, [n, groups, product(x.shape.slice(1)) / groups]);
    const standard = instanceNormalization(grouped, filled(1, [groups]), filled(0, [groups]));
    const perChannel = [channels, ...x.shape.slice(2).map(() => 1)];
    return add(multiply(reshape(standard, x.shape), reshape(scale, perChannel)), reshape(bias, perChannel));
  });
}

/** Instance norm without parameters and without running statistics, epsilon 1e-5. */
export function plainInstanceNormalization(x: Value): Value {
  return instanceNormalization(x, filled(1, [x.shape[1]]), filled(0, [x.shape[1]]));
}

/**
 * Batch norm, epsilon 1e-5. Declares weight, bias, running_mean, running_var.
 * @param training statistics of the batch, tapped as `batch_mean` and `batch_variance` [c] (divisor n), with the result as `out`,
 *   for whoever keeps the running ones; else the running statistics
 */
export function declareBatchNormalization(name: string, channels: number, training: boolean): (x: Value) => Value {
  const [weight, bias, runningMean, runningVariance] = scope(name, () => [
    parameter('weight', [channels], ones),
    parameter('bias', [channels], zeros),
    parameter('running_mean', [channels], zeros, { trainable: false }),
    parameter('running_var', [channels], ones, { trainable: false }),
  ]);
  return (x) =>
    scope(name, () => {
      if (!training) return batchNormalization(x, weight, bias, runningMean, runningVariance);
      const statistics = batchStatistics(x);
      tap('batch_mean', statistics.mean);
      tap('batch_variance', statistics.variance);
      return tap('out', batchNormalization(x, weight, bias, statistics.mean, statistics.variance));
    });
}

/** Mean and variance (divisor n) of each channel over batch and space, [c] each. */
function batchStatistics(x: Value): { mean: Value; variance: Value } {
  const others = x.shape.map((_, axis) => axis).filter((axis) => axis !== 1);
  const average = mean(x, others);
  const centered = subtract(x, average);
  const variance = mean(multiply(centered, centered), others);
  return { mean: reshape(average, [x.shape[1]]), variance: reshape(variance, [x.shape[1]]) };
}

/**
 * Linear over the channel axis of channel-major tokens: x [n, c, tokens] -> [n, outputs, tokens].
 * Parameters as PyTorch's Linear: weight [outputs, c], bias [outputs].
 */
export function channelLinear(
  name: string,
  x: Value,
  outputs: number,
  options: { bias: boolean; weights: Initializer; biases: Initializer },
): Value {
  return scope(name, () => {
    const weight = parameter('weight', [outputs, x.shape[1]], options.weights);
    const product = matmul(weight, x);
    if (!options.bias) return product;
    return add(product, reshape(parameter('bias', [outputs], options.biases), [outputs, 1]));
  });
}
