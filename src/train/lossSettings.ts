/**
 * Losses by name: what a configuration file says, and the loss that is meant. Their formulas and options are in losses.ts.
 */
import { z } from 'zod';
import type { Value } from '../program/index.ts';
import {
  diceCrossEntropyLoss,
  diceFocalLoss,
  focalLoss,
  generalizedDiceLoss,
  regionMasks,
  softDiceCrossEntropyLoss,
  softDiceRegionLoss,
  tverskyLoss,
} from './losses.ts';

const share = z.number().min(0).optional();
const classWeights = z.array(z.number().min(0)).optional();
const includeBackground = z.boolean().optional();
const batch = z.boolean().optional();

/** Which loss; what is left out has the default of the loss's options. `batch`: samples of the batch are summed first. */
const oneLoss = z.discriminatedUnion('kind', [
  /** nnU-Net's and UNETR++'s: soft Dice without the background, and cross entropy. */
  z.strictObject({
    kind: z.literal('softDiceCrossEntropy'),
    batch,
    includeBackground,
    overlapShare: share,
    otherShare: share,
    labelSmoothing: z.number().min(0).max(1).optional(),
    hardestPercent: z.number().gt(0).max(100).optional(),
    classWeights,
    ignoredLabel: z.int().min(0).optional(),
  }),
  /** nnU-Net's for regions: soft Dice of each region's sigmoid, and binary cross entropy. */
  z.strictObject({
    kind: z.literal('softDiceRegions'),
    /** Labels of each region, in output order: those of the plan. */
    regions: z.array(z.array(z.int().min(1)).min(1)).min(1),
    ignoredLabel: z.int().min(1).optional(),
    batch,
    overlapShare: share,
    otherShare: share,
  }),
  /** MONAI's DiceCELoss. */
  z.strictObject({
    kind: z.literal('diceCrossEntropy'),
    batch,
    includeBackground,
    squared: z.boolean().optional(),
    jaccard: z.boolean().optional(),
    overlapShare: share,
    otherShare: share,
    classWeights,
    labelSmoothing: z.number().min(0).max(1).optional(),
  }),
  /** The DiceCELoss of the article on UNETR++ with MONAI: Dice of all classes over the batch, weights in the entropy alone. */
  z.strictObject({ kind: z.literal('articleDiceCrossEntropy'), classWeights }),
  z.strictObject({ kind: z.literal('diceFocal'), batch, includeBackground, gamma: z.number().min(0).optional() }),
  z.strictObject({
    kind: z.literal('focal'),
    activation: z.enum(['softmax', 'sigmoid']).optional(),
    gamma: z.number().min(0).optional(),
    alpha: z.number().min(0).max(1).optional(),
    includeBackground,
  }),
  z.strictObject({
    kind: z.literal('tversky'),
    batch,
    includeBackground,
    falsePositives: z.number().min(0).optional(),
    falseNegatives: z.number().min(0).optional(),
  }),
  z.strictObject({
    kind: z.literal('generalizedDice'),
    batch,
    includeBackground,
    volumeWeights: z.enum(['square', 'simple', 'uniform']).optional(),
  }),
]);

export const lossSettings = z.strictObject({
  of: oneLoss,
  /** Whether the lowest of several heads counts (UNETR++) or not (nnU-Net). */
  lowestHead: z.enum(['kept', 'dropped']),
});

export type LossSettings = z.infer<typeof lossSettings>;

/** @param target labels [b, 1, spatial..] */
export function lossOf(settings: LossSettings['of'], logits: Value, target: Value): Value {
  switch (settings.kind) {
    case 'softDiceCrossEntropy':
      return softDiceCrossEntropyLoss(logits, target, settings);
    case 'softDiceRegions': {
      const { regions, ignoredLabel } = settings;
      const masks = regionMasks(target, regions, ignoredLabel);
      return softDiceRegionLoss(logits, masks, { ...settings, lastChannelIgnored: ignoredLabel !== undefined });
    }
    case 'diceCrossEntropy':
      return diceCrossEntropyLoss(logits, target, settings);
    case 'articleDiceCrossEntropy':
      return diceCrossEntropyLoss(logits, target, { ...settings, batch: true, classWeightsIn: 'crossEntropy' });
    case 'diceFocal':
      return diceFocalLoss(logits, target, settings);
    case 'focal':
      return focalLoss(logits, target, settings);
    case 'tversky':
      return tverskyLoss(logits, target, settings);
    case 'generalizedDice':
      return generalizedDiceLoss(logits, target, settings);
  }
}
