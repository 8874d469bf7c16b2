/**
 * Efficient paired attention (EPA): channel attention and spatial attention that share queries and keys.
 * Shaker et al., UNETR++, IEEE TMI 2024, section III-B; where paper and code differ, the code.
 *
 * Axes: b batch, h heads, d channels of a head (c = h * d, head-major), n tokens, p projected tokens. Everything is
 * channel-major, [b, c, n], so that heads split without moving memory.
 *
 *   channel:  A  = softmax_d( (q / |q|)(k / |k|)^T * t1 )    [b, h, d, d]     X = A v_channel     [b, h, d, n]
 *   spatial:  A' = softmax_p( (q / |q|)^T k_p * t2 )         [b, h, n, p]     Z = A' v_p^T        [b, h, n, d]
 *
 * with k_p, v_p the keys and values whose token axis is projected from n to p, and norms over tokens. The norms are
 * divided out of the small matrices (d x d, d x p) in place of the long ones: the same product, fewer passes.
 */
import {
  add,
  alias,
  concatenate,
  divide,
  filled,
  type Initializer,
  l2Norm,
  matmul,
  maximum,
  multiply,
  parameter,
  reshape,
  scope,
  slice,
  softmax,
  tap,
  transpose,
  transposeLast,
  type Value,
} from '../../program/index.ts';
import { dropoutMask } from '../dropout.ts';
import { channelLinear, ones, uniformByFanIn, zeros } from '../layers.ts';
import type { UnetrppSettings } from './settings.ts';

export interface AttentionSettings extends Pick<UnetrppSettings, 'heads' | 'tokenProjection' | 'fusion' | 'layout'> {
  /** Probability with which an element of the attention falls: 0 but in training. */
  readonly dropout: number;
  /** p */
  readonly projection: number;
  /**
   * The encoder fills its Linears from a normal distribution of deviation 0.02; the decoder, where the authors define the
   * same initialization but never call it, keeps PyTorch's default.
   */
  readonly initialization: 'normal' | 'uniform';
}

const smallNormal: Initializer = { kind: 'truncatedNormal', deviation: 0.02, cut: 2 };

/**
 * @param x [b, c, n], normalized
 * @returns [b, c, n]
 */
export function pairedAttention(x: Value, settings: AttentionSettings): Value {
  const { heads, projection } = settings;
  const [b, c, n] = x.shape;
  const d = c / heads;
  const linear = (fanIn: number) =>
    settings.initialization === 'normal'
      ? { weights: smallNormal, biases: zeros }
      : { weights: uniformByFanIn(fanIn), biases: uniformByFanIn(fanIn) };

  const temperature = parameter('temperature', [heads, 1, 1], ones);
  const temperature2 = parameter('temperature2', [heads, 1, 1], ones);

  // The authors' order: EF is declared before qkvv, E and F after it.
  const { tokenProjection } = settings;
  const ef =
    tokenProjection === 'sharedNoBias'
      ? parameter('EF', [n, projection], { kind: 'uniform', bound: 1 / Math.sqrt(projection) })
      : undefined;
  const qkvv = channelLinear('qkvv', x, 4 * c, { ...linear(c), bias: false });
  const part = (index: number) => reshape(slice(qkvv, { 1: [index * c, (index + 1) * c] }), [b, heads, d, n]);
  const q = tap('q', part(0));
  const k = tap('k', part(1));
  const channelValues = tap('v_CA', part(2));
  const spatialValues = tap('v_SA', part(3));

  const declareProjection = (name: string) =>
    scope(name, () => {
      const weight = parameter('weight', [projection, n], linear(n).weights);
      return { name, weight, turned: transposeLast(weight), bias: parameter('bias', [projection], linear(n).biases) };
    });
  const keyProjection = ef ? undefined : declareProjection('E');
  const valueProjection = tokenProjection === 'separate' ? declareProjection('F') : keyProjection;
  if (tokenProjection === 'shared' && keyProjection) {
    scope('F', () => {
      alias('weight', keyProjection.weight);
      alias('bias', keyProjection.bias);
    });
  }
  const project = (tokens: Value, by: ReturnType<typeof declareProjection> | undefined) => {
    if (!by) return scope('EF', () => matmul(tokens, ef!));
    return scope(by.name, () => add(matmul(tokens, by.turned), by.bias));
  };
  const projectedKeys = tap('k_proj', project(k, keyProjection));
  const projectedValues = tap('v_SA_proj', project(spatialValues, valueProjection));

  const smallest = filled(1e-12);
  const queryNorms = maximum(l2Norm(q, [-1]), smallest);
  const keyNorms = maximum(l2Norm(k, [-1]), smallest);
  tap('q_norm', divide(q, queryNorms));
  tap('k_norm', divide(k, keyNorms));

  const similarity = matmul(q, transposeLast(k));
  const channelLogits = multiply(divide(similarity, multiply(queryNorms, transposeLast(keyNorms))), temperature);
  const channelAttention = tap('attn_CA', softmax(channelLogits, -1));
  /** The product of an attention and its values, [.., rows, columns] x [.., columns, d], with elements of the first dropped. */
  const attend = (name: string, attention: Value, values: Value) => {
    if (settings.dropout === 0) return matmul(attention, values);
    const { kept, scale } = scope(name, () => dropoutMask(attention, settings.dropout));
    return matmul(multiply(attention, kept), multiply(values, scale));
  };
  const channelHeads = tap('x_CA_heads', attend('attn_drop', channelAttention, channelValues));
  const channelBranch = reshape(channelHeads, [b, c, n]);
  tap('x_CA', transposeLast(channelBranch));

  const scaledKeys = multiply(projectedKeys, divide(temperature2, queryNorms));
  const spatialAttention = tap('attn_SA', softmax(matmul(transposeLast(q), scaledKeys), -1));
  const spatialHeads = tap('x_SA_heads', attend('attn_drop_2', spatialAttention, transposeLast(projectedValues)));
  // [b, h, n, d]. The authors permute to [b, d, h, n] and read that as [b, n, c]; published weights depend on it.
  const spatialBranch =
    settings.layout === 'reference'
      ? reshape(transpose(spatialHeads, [0, 3, 1, 2]), [b, n, c])
      : reshape(transpose(spatialHeads, [0, 2, 1, 3]), [b, n, c]);
  tap('x_SA', spatialBranch);
  const spatialChannels = transposeLast(spatialBranch);

  if (settings.fusion === 'add') return add(channelBranch, spatialChannels);
  const spatialHalf = channelLinear('out_proj', spatialChannels, c / 2, { ...linear(c), bias: true });
  const channelHalf = channelLinear('out_proj2', channelBranch, c / 2, { ...linear(c), bias: true });
  tap('proj_SA', transposeLast(spatialHalf));
  tap('proj_CA', transposeLast(channelHalf));
  return concatenate([spatialHalf, channelHalf], 1);
}
