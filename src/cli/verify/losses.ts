/**
 * Replays reference values of losses: values, and gradients of every logit, under the names that the reference
 * implementations give losses and options. Operands are made from their names (fill.ts).
 */
import type { CompileOptions, Engine } from '../../engine/engine.ts';
import { buildProgram, differentiate, input, type Program, type Value } from '../../program/index.ts';
import { elementCount, type Shape, type Tensor, toFloat32 } from '../../tensor.ts';
import { supervisedLoss } from '../../train/deepSupervision.ts';
import {
  crossEntropyLoss,
  diceCrossEntropyLoss,
  diceFocalLoss,
  diceLoss,
  focalLoss,
  generalizedDiceLoss,
  softDiceCrossEntropyLoss,
  softDiceLoss,
  softDiceRegionLoss,
  tverskyLoss,
} from '../../train/losses.ts';
import { compare, type Deviation, gradientDeviation, largestMagnitude, lossLimit, numbersOf } from './deviation.ts';
import { fillExactly, fillInteger } from './fill.ts';
import { runOnce } from './unetrpp.ts';

const float64 = (shape: Shape, data: ArrayLike<number>): Tensor => ({
  dtype: 'float64',
  shape,
  data: Float64Array.from(data),
});

/** An operand, by the rule that makes it. */
export interface Drawn {
  readonly kind: 'input' | 'label' | 'onehot' | 'multilabel';
  readonly name: string;
  readonly shape: number[];
  readonly lo: number;
  readonly hi: number;
  readonly classes: number;
}

export interface ReferenceCase {
  readonly id: string;
  readonly loss: string;
  readonly options: Record<string, unknown>;
  readonly inputs: readonly Drawn[];
  readonly targets: readonly Drawn[];
  readonly value?: number;
  readonly value_sum?: number;
}

/** Labels, masks or logits, before rounding. */
export function drawn({ kind, name, shape, lo, hi, classes }: Drawn): Tensor {
  const count = elementCount(shape);
  if (kind === 'input') return float64(shape, fillExactly(name, count, lo, hi));
  const labels = fillInteger(name, count, classes);
  if (kind !== 'onehot') return float64(shape, labels);
  const [batch, , ...space] = shape;
  const voxels = elementCount(space);
  const masks = new Float64Array(count * classes);
  labels.forEach((label, at) => {
    masks[(Math.floor(at / voxels) * classes + label) * voxels + (at % voxels)] = 1;
  });
  return float64([batch, classes, ...space], masks);
}

/** The reference's options by our names. An option that is not listed here is an error. */
const renamed: Record<string, string> = {
  include_background: 'includeBackground',
  do_bg: 'includeBackground',
  batch: 'batch',
  batch_dice: 'batch',
  squared_pred: 'squared',
  jaccard: 'jaccard',
  smooth: 'smooth',
  smooth_nr: 'smoothNumerator',
  smooth_dr: 'smoothDenominator',
  soft_label: 'softTarget',
  weight: 'classWeights',
  w_type: 'volumeWeights',
  label_smoothing: 'labelSmoothing',
  gamma: 'gamma',
  alpha: 'alpha',
  beta: 'falseNegatives',
  clip_tp: 'smallestOverlap',
  ignore_label: 'ignoredLabel',
  ignore_index: 'ignoredLabel',
  k: 'hardestPercent',
  use_ignore_label: 'lastChannelIgnored',
  lambda_dice: 'overlapShare',
  weight_dice: 'overlapShare',
  lambda_ce: 'otherShare',
  lambda_focal: 'otherShare',
  weight_ce: 'otherShare',
  reduction: 'reduction',
};

/** Activations by flags; ours is by name. Labels are told from masks by their shape. */
const flags = new Set(['softmax', 'sigmoid', 'use_softmax', 'to_onehot_y', 'apply_nonlin', 'weight_factors']);

function optionsOf({ loss, options }: ReferenceCase): Record<string, unknown> {
  const { soft_dice, ce, bce: _, ...own } = options as Record<string, object>;
  const flat: Record<string, unknown> = { ...own, ...soft_dice, ...ce };
  const ours: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(flat)) {
    if (flags.has(name)) continue;
    const to = loss === 'monai.TverskyLoss' && name === 'alpha' ? 'falsePositives' : renamed[name];
    if (to === undefined) throw new Error(`the option ${name} has no name here`);
    ours[to] = value;
  }
  if (loss === 'monai.FocalLoss') ours.activation = flat.use_softmax ? 'softmax' : 'sigmoid';
  else if (loss.startsWith('monai')) ours.activation = flat.softmax ? 'softmax' : flat.sigmoid ? 'sigmoid' : 'none';
  return ours;
}

type Loss = (logits: Value, target: Value, options: Record<string, unknown>) => Value;

const losses: Record<string, Loss> = {
  'monai.DiceLoss': diceLoss,
  'monai.GeneralizedDiceLoss': generalizedDiceLoss,
  'monai.TverskyLoss': tverskyLoss,
  'monai.FocalLoss': focalLoss,
  'monai.DiceCELoss': diceCrossEntropyLoss,
  'monai.DiceFocalLoss': diceFocalLoss,
  'nnunet.MemoryEfficientSoftDiceLoss': softDiceLoss,
  'nnunet.SoftDiceLoss': softDiceLoss,
  'nnunet.DC_and_CE_loss': softDiceCrossEntropyLoss,
  'nnunet.DC_and_topk_loss': softDiceCrossEntropyLoss,
  'nnunet.DC_and_BCE_loss': softDiceRegionLoss,
  'nnunet.RobustCrossEntropyLoss': crossEntropyLoss,
  'nnunet.TopKLoss': crossEntropyLoss,
  'article.DiceCELoss': (logits, target, { smooth, ...options }) =>
    diceCrossEntropyLoss(logits, target, {
      ...options,
      batch: true,
      smoothNumerator: smooth as number,
      smoothDenominator: smooth as number,
      classWeightsIn: 'crossEntropy',
    }),
};

/** The case as a program with the loss, its elements where it has several, and the gradients of the logits. */
export function lossCaseProgram(one: ReferenceCase): { program: Program; feeds: Map<string, Tensor> } {
  const feeds = new Map<string, Tensor>();
  for (const [at, each] of one.inputs.entries()) feeds.set(`logits${at}`, drawn(each));
  for (const [at, each] of one.targets.entries()) feeds.set(`target${at}`, drawn(each));
  const options = optionsOf(one);
  const inner = /\((.*)\)/.exec(one.loss)?.[1];
  const name = inner ? `nnunet.${inner}` : one.loss;
  const program = buildProgram('loss', (): Record<string, Value> => {
    const fed = new Map([...feeds].map(([each, { shape }]) => [each, input(each, shape)]));
    const lossAt = (head: number) => losses[name](fed.get(`logits${head}`)!, fed.get(`target${head}`)!, options);
    const weights = one.options.weight_factors as number[] | undefined;
    const loss = weights ? supervisedLoss(weights, lossAt) : lossAt(0);
    if (options.reduction !== 'none') return { loss };
    return {
      elements: loss,
      loss: losses[name](fed.get('logits0')!, fed.get('target0')!, { ...options, reduction: 'sum' }),
    };
  });
  // A head of weight 0 does not reach the loss.
  const names = one.inputs.map((_, at) => `logits${at}`).filter((_, at) => weightAt(one, at) !== 0);
  return { program: differentiate(program, 'loss', names), feeds };
}

/** Of a head in the sum of several: 1 where there is one. */
export const weightAt = ({ options }: ReferenceCase, head: number) =>
  (options.weight_factors as number[] | undefined)?.[head] ?? 1;

/** @param stored `ID.gradN` of the logits N, and `ID.value` of a loss with several elements */
export async function verifyLosses(
  cases: readonly ReferenceCase[],
  stored: ReadonlyMap<string, Tensor>,
  engine: Engine,
  options: CompileOptions,
): Promise<Deviation[]> {
  const rows: Deviation[] = [];
  for (const one of cases) {
    const { program, feeds } = lossCaseProgram(one);
    const fed = new Map(program.inputs.map(({ name }) => [name, toFloat32(feeds.get(name)!)]));
    const results = await runOnce(engine, program, new Map(), options, fed);
    const set = `losses ${one.loss}`;
    const value = (tensor: string, got: ArrayLike<number>, wanted: ArrayLike<number>) =>
      rows.push({ set, tensor, family: 'values', limit: lossLimit, ...compare(got, wanted) });
    value(one.id, results.get('loss')!.data, [one.value ?? one.value_sum!]);
    const elements = stored.get(`${one.id}.value`);
    if (elements) value(`${one.id} (elements)`, results.get('elements')!.data, numbersOf(elements));
    const gradients = one.inputs.flatMap((_, head) => {
      const wanted = stored.get(`${one.id}.grad${head}`);
      return wanted && weightAt(one, head) !== 0 ? [{ head, wanted: numbersOf(wanted) }] : [];
    });
    const largest = largestMagnitude(gradients.map(({ wanted }) => wanted));
    for (const { head, wanted } of gradients) {
      const got = results.get(`gradient.logits${head}`)!.data;
      const deviation = gradientDeviation(got, wanted, largest);
      rows.push({ set, tensor: `gradient of ${one.id} for logits ${head}`, family: 'gradients', ...deviation });
    }
  }
  return rows;
}
