/**
 * What a UNETR++ is made of: one settings record for the four published networks and any other, and the rule of legal
 * patches. The published four differ in more than sizes (specification of the authors' code; TMI 2024): see presets.ts.
 */
import { z } from 'zod';
import { InputError } from '../../errors.ts';
import { type Shape, showShape } from '../../tensor.ts';

// Settings come from files too: without bounds, one number would build a network without end.
/** A count of voxels along an axis, of channels, or of tokens; the largest of the published networks is 256. */
const size = z.int().positive().max(65_536);
/** The published networks have 3 blocks a stage. */
const blocks = z.int().positive().max(100);
const fraction = z.number().min(0).max(1);

export const unetrppSettings = z.strictObject({
  inputChannels: size,
  /** Classes of the output, background included. */
  classes: size,
  /** Size of the input along its spatial axes, d, h, w (or h, w). */
  patch: z.array(size).min(2).max(3),
  /** Kernel and stride of the stem along the same axes. */
  stem: z.array(size).min(2).max(3),
  /** Channels of the full-resolution branch. */
  featureSize: size,
  /** Channels of encoder stages 1 to 4. */
  dims: z.array(size).length(4),
  heads: size,
  /** Length p to which the token axis is projected, encoder stages 1 to 4. */
  projections: z.array(size).length(4),
  /** The same in decoder stages 5, 4, 3. */
  decoderProjections: z.array(size).length(3),
  /** Transformer blocks in encoder stages 1 to 4. */
  depths: z.array(blocks).length(4),
  /** Transformer blocks in decoder stages 5, 4, 3. */
  decoderDepths: z.array(blocks).length(3),
  /** How keys and values of the spatial branch are projected: one Linear, two, or one matrix without bias. */
  tokenProjection: z.enum(['shared', 'separate', 'sharedNoBias']),
  /** Residual convolution blocks after the attention of each transformer block. */
  residualBlocks: z.union([z.literal(1), z.literal(2)]),
  /** Two half-width Linears put side by side, or the plain sum of the two branches. */
  fusion: z.enum(['concatenate', 'add']),
  /** Probability; training only. */
  attentionDropout: fraction,
  /** Probability that a channel is dropped before the last convolution of a block; training only. */
  channelDropout: fraction,
  /** Heads on the stage-1 and stage-2 grids besides the one at full resolution. */
  deepSupervision: z.boolean(),
  /**
   * `reference`: the spatial branch's output is re-read as the authors' code does, which mixes tokens and channels (their
   * weights depend on it). `clean`: tokens and channels keep their places.
   */
  layout: z.enum(['reference', 'clean']),
});

export type UnetrppSettings = Readonly<z.infer<typeof unetrppSettings>>;

/** Grids of stages 1 to 4: patch / (stem * 1, 2, 4, 8). */
export function stageGrids(settings: Pick<UnetrppSettings, 'patch' | 'stem'>): Shape[] {
  return [1, 2, 4, 8].map((factor) => settings.patch.map((length, axis) => length / (settings.stem[axis] * factor)));
}

/**
 * @throws InputError when an axis of the patch is no multiple of 8 * stem, naming the nearest legal patches; or when
 *   channels and heads do not divide
 */
export function checkSettings(settings: UnetrppSettings): void {
  const { patch, stem, dims, heads, fusion } = settings;
  if (patch.length !== stem.length) {
    throw new InputError(
      `The patch ${showShape(patch)} and the stem ${showShape(stem)} differ in their number of axes.`,
    );
  }
  const multiples = stem.map((stride) => 8 * stride);
  if (patch.some((length, axis) => length % multiples[axis] !== 0)) {
    const below = patch.map((n, axis) => Math.max(1, Math.floor(n / multiples[axis])) * multiples[axis]);
    const above = patch.map((n, axis) => Math.ceil(n / multiples[axis]) * multiples[axis]);
    throw new InputError(
      `The patch ${showShape(patch)} does not fit the network: each axis must be a multiple of ${showShape(multiples)} ` +
        `(8 times the stem ${showShape(stem)}). The nearest legal patches are ${showShape(below)} and ${showShape(above)}.`,
    );
  }
  const uneven = dims.find((channels) => channels % heads !== 0);
  if (uneven !== undefined) {
    throw new InputError(
      `${uneven} channels cannot be divided among ${heads} heads; choose dims that are multiples of heads.`,
    );
  }
  const odd = dims.find((channels) => channels % 2 !== 0);
  if (fusion === 'concatenate' && odd !== undefined) {
    throw new InputError(`${odd} channels cannot be halved for the two branches; choose even dims, or fusion 'add'.`);
  }
}
