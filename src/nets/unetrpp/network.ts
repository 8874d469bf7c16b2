/**
 * UNETR++ (Shaker et al., IEEE TMI 2024) as a program, under the authors' parameter names.
 *
 *   image -> stem -> stage 1 -> down -> stage 2 -> down -> stage 3 -> down -> stage 4
 *     |                 |               |               |                |
 *     |                 |               |               +-----(+) <- up -+     decoder5
 *     |                 |               +--------------(+) <- up              decoder4 -> out3
 *     |                 +------------------------------(+) <- up              decoder3 -> out2
 *     +-> encoder1 (full resolution) -----------------(+) <- up              decoder2 -> out1
 *
 * Tensors are [n, c, d, h, w] (or [n, c, h, w]: nothing here knows the number of spatial axes).
 */
import {
  add,
  buildProgram,
  convolution,
  input,
  layerNormalization,
  leakyRelu,
  multiply,
  type Program,
  parameter,
  reshape,
  scope,
  tap,
  transpose,
  transposeLast,
  type Value,
} from '../../program/index.ts';
import type { Shape } from '../../tensor.ts';
import { channelDropoutMask } from '../dropout.ts';
import {
  convolutionWeight,
  declareBatchNormalization,
  groupNormalization,
  ones,
  plainInstanceNormalization,
  pointwiseConvolution,
  upsampling,
  zeros,
} from '../layers.ts';
import { type AttentionSettings, pairedAttention } from './attention.ts';
import { checkSettings, type UnetrppSettings } from './settings.ts';

export interface BuildOptions {
  /** Patches in one run. Default 1. */
  readonly batch?: number;
  /** `first`: only the full-resolution logits `out1`, as prediction wants. Default `all`. */
  readonly outputs?: 'first' | 'all';
  /**
   * Batch norm by the batch's own statistics, and dropout, with an input `random.SCOPE` for each (dropout.ts). `withoutDropout`
   * leaves that out. Default: neither, as prediction wants.
   */
  readonly training?: boolean | 'withoutDropout';
}

/**
 * Input `image` [batch, inputChannels, ..patch]; outputs `out1` [batch, classes, ..patch] and, with deep supervision,
 * `out2` and `out3` on the grids of stages 1 and 2. Logits.
 * @throws InputError for an illegal patch or channels that do not divide
 */
export function unetrpp(settings: UnetrppSettings, options: BuildOptions = {}): Program {
  checkSettings(settings);
  return buildProgram('unetrpp', () => network(settings, options), positionInStateDict);
}

// The authors' module order; inside a module parameters are declared in order already, except that the encoder lists its
// down-sampling layers before its stages.
const modules = [
  'unetr_pp_encoder.downsample',
  'unetr_pp_encoder.stages',
  'encoder1',
  'decoder5',
  'decoder4',
  'decoder3',
  'decoder2',
  'out1',
  'out2',
  'out3',
];

function positionInStateDict(parameterName: string): number {
  return modules.findIndex((name) => parameterName.startsWith(name));
}

function network(settings: UnetrppSettings, options: BuildOptions): Record<string, Value> {
  const { dims, stem, patch, featureSize, classes } = settings;
  const image = input('image', [options.batch ?? 1, settings.inputChannels, ...patch]);
  const two = patch.map(() => 2);

  const { training = false } = options;
  const mode: Mode = {
    batchStatistics: training !== false,
    dropout: training === true ? settings.attentionDropout : 0,
    channelDropout: training === true ? settings.channelDropout : 0,
  };

  const skips = scope('unetr_pp_encoder', () => {
    const stages: Value[] = [];
    let x: Value = image;
    for (let stage = 0; stage < 4; stage++) {
      const stride = stage === 0 ? stem : two;
      x = scope(`downsample_layers.${stage}`, () => tap('out', downsampling(x, dims[stage], stride)));
      const blocks: BlockSettings = {
        ...settings,
        ...mode,
        projection: settings.projections[stage],
        initialization: 'normal',
      };
      x = scope(`stages.${stage}`, () => tap('out', transformerBlocks(x, settings.depths[stage], blocks)));
      stages.push(x);
    }
    return stages;
  });

  const fullResolution = scope('encoder1', () => tap('out', residualBlock(image, featureSize, 'instance')));

  let x: Value = skips[3];
  const decoded: Value[] = [];
  for (let step = 0; step < 3; step++) {
    const skip = skips[2 - step];
    const blocks: BlockSettings = {
      ...settings,
      ...mode,
      projection: settings.decoderProjections[step],
      initialization: 'uniform',
    };
    x = scope(`decoder${5 - step}`, () => {
      const raised = tap('transp_conv.out', upsampling('transp_conv.conv', x, dims[2 - step], two));
      const depth = settings.decoderDepths[step];
      return tap(
        'out',
        scope('decoder_block.0', () => transformerBlocks(add(raised, skip), depth, blocks)),
      );
    });
    decoded.push(x);
  }
  const [decoder4, decoder3] = [decoded[1], decoded[2]];

  const decoder2 = scope('decoder2', () => {
    const raised = tap('transp_conv.out', upsampling('transp_conv.conv', decoder3, featureSize, stem));
    const merged = add(raised, fullResolution);
    return tap(
      'out',
      scope('decoder_block.0', () => residualBlock(merged, featureSize, 'instance')),
    );
  });

  const head = (name: string, from: Value) => scope(name, () => pointwiseConvolution('conv.conv', from, classes));
  const out1 = head('out1', decoder2);
  if (!settings.deepSupervision) return { out1 };
  const [out2, out3] = [head('out2', decoder3), head('out3', decoder4)];
  return options.outputs === 'first' ? { out1 } : { out1, out2, out3 };
}

/** Convolution with kernel = stride and no bias, then group norm. */
function downsampling(x: Value, outputs: number, stride: Shape): Value {
  const weight = scope('0', () => convolutionWeight('conv', x.shape[1], outputs, stride));
  // The number of groups is the number of INPUT channels, so the stem of a one-channel image normalizes over all channels.
  // Where that does not divide the outputs (the authors' code stops there), the largest number that divides both.
  return groupNormalization(
    '1',
    scope('0.conv', () => convolution(x, weight, undefined, { strides: stride })),
    commonDivisor(x.shape[1], outputs),
  );
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}

interface Mode {
  readonly batchStatistics: boolean;
  /** Probabilities. */
  readonly dropout: number;
  readonly channelDropout: number;
}

interface BlockSettings extends AttentionSettings, Mode {
  readonly residualBlocks: 1 | 2;
}

function transformerBlocks(x: Value, depth: number, settings: BlockSettings): Value {
  let out = x;
  for (let block = 0; block < depth; block++) {
    out = scope(String(block), () => tap('out', transformerBlock(out, settings)));
  }
  return out;
}

/**
 * t = flatten(x) + position;  t = t + gamma * EPA(LayerNorm(t));  u = unflatten(t);  out = u + conv8(conv51(u)).
 * Every block adds its own position table, and there is no MLP: the convolutions take its place.
 */
function transformerBlock(x: Value, settings: BlockSettings): Value {
  const [b, c, ...grid] = x.shape;
  const n = grid.reduce((product, length) => product * length, 1);
  const gamma = parameter('gamma', [c], { kind: 'constant', value: 1e-6 });
  const position = parameter('pos_embed', [1, n, c], zeros);
  const tokens = add(reshape(x, [b, c, n]), transpose(position, [0, 2, 1]));
  const normalized = scope('norm', () => {
    const scale = parameter('weight', [c], ones);
    const bias = parameter('bias', [c], zeros);
    return tap('out', layerNormalization(transposeLast(tokens), scale, bias));
  });
  const attended = scope('epa_block', () => {
    const out = pairedAttention(transposeLast(normalized), settings);
    tap('out', transposeLast(out));
    return out;
  });
  const u = reshape(add(tokens, multiply(attended, reshape(gamma, [c, 1]))), x.shape);
  const norm = settings.batchStatistics ? 'batchInTraining' : 'batch';
  let y = scope('conv51', () => tap('out', residualBlock(u, c, norm)));
  if (settings.residualBlocks === 2) y = scope('conv52', () => tap('out', residualBlock(y, c, norm)));
  if (settings.channelDropout > 0) {
    const mask = scope('conv8.0', () => channelDropoutMask(y, settings.channelDropout));
    y = multiply(y, multiply(mask.kept, mask.scale));
  }
  return add(u, pointwiseConvolution('conv8.1', y, c));
}

/**
 * out = leakyRelu(norm2(conv2(leakyRelu(norm1(conv1 x)))) + r), r = x, or norm3(conv3 x) where the channels change.
 * 3x3x3 kernels without bias. Instance norms have no parameters, batch norms running statistics.
 */
function residualBlock(x: Value, outputs: number, norm: 'instance' | 'batch' | 'batchInTraining'): Value {
  const inputs = x.shape[1];
  const three = x.shape.slice(2).map(() => 3);
  const one = x.shape.slice(2).map(() => 1);
  const weight1 = convolutionWeight('conv1.conv', inputs, outputs, three);
  const weight2 = convolutionWeight('conv2.conv', outputs, outputs, three);
  const weight3 = inputs === outputs ? undefined : convolutionWeight('conv3.conv', inputs, outputs, one);
  const declareNorm = (name: string) =>
    norm === 'instance'
      ? (y: Value) => scope(name, () => plainInstanceNormalization(y))
      : declareBatchNormalization(name, outputs, norm === 'batchInTraining');
  const [norm1, norm2] = [declareNorm('norm1'), declareNorm('norm2')];

  const y1 = scope('conv1', () => convolution(x, weight1, undefined, { pads: one }));
  const activated = leakyRelu(norm1(y1));
  const y2 = scope('conv2', () => convolution(activated, weight2, undefined, { pads: one }));
  const shortcut = weight3 ? declareNorm('norm3')(scope('conv3', () => convolution(x, weight3, undefined))) : x;
  return leakyRelu(add(norm2(y2), shortcut));
}
