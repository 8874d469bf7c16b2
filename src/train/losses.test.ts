import { describe, expect, it } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../test/shared.ts';
import { fillExactly, fillInteger } from '../cli/verify/fill.ts';
import { nodeEngine } from '../engine/node.ts';
import { buildProgram, check, differentiate, evaluate, input, type Program, type Value } from '../program/index.ts';
import { elementCount, type Shape, type Tensor, toFloat32 } from '../tensor.ts';
import { readSafetensors } from '../weights/index.ts';
import { supervisedLoss } from './deepSupervision.ts';
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
} from './losses.ts';

const float64 = (shape: Shape, data: ArrayLike<number>): Tensor => ({
  dtype: 'float64',
  shape,
  data: Float64Array.from(data),
});

/** Builds a loss over drawn logits and target, and gives its value and the gradient of the logits. */
function lossOf(logits: Tensor, target: Tensor, loss: (logits: Value, target: Value) => Value) {
  const program = buildProgram('loss', () => ({
    loss: loss(input('logits', logits.shape), input('target', target.shape)),
  }));
  const feeds = new Map([
    ['logits', logits],
    ['target', target],
  ]);
  const found = evaluate(differentiate(program, 'loss', ['logits']), feeds);
  // -0 is 0 too.
  const gradient = Array.from(found.get('gradient.logits')!.data, (value) => value + 0);
  return { value: found.get('loss')!.data[0], gradient };
}

describe('by pencil and paper', () => {
  // Two classes, two voxels, logits 0: every probability is 1/2.
  const even = float64([1, 2, 2], [0, 0, 0, 0]);
  const labels = float64([1, 1, 2], [0, 1]);

  it('cross entropy of two even classes is log 2, and pulls the right one up by half a voxel’s share', () => {
    const { value, gradient } = lossOf(even, labels, crossEntropyLoss);
    expect(value).toBeCloseTo(Math.log(2), 12);
    expect(gradient).toEqual([-0.25, 0.25, 0.25, -0.25]);
  });

  it('Dice of two even classes is 1 - 2 * 0.5 / (1 + 1) but for the smoothing', () => {
    const smooth = { smoothNumerator: 0, smoothDenominator: 0 };
    expect(lossOf(even, labels, (x, y) => diceLoss(x, y, smooth)).value).toBeCloseTo(0.5, 12);
    // Intersection over union: 1 - 2 * 0.5 / (2 * (1 + 1 - 0.5)).
    expect(lossOf(even, labels, (x, y) => diceLoss(x, y, { ...smooth, jaccard: true })).value).toBeCloseTo(2 / 3, 12);
    expect(lossOf(even, labels, (x, y) => softDiceLoss(x, y, { smooth: 0 })).value).toBeCloseTo(-0.5, 12);
  });

  it('the focal loss of even odds is a quarter of the cross entropy', () => {
    const { value } = lossOf(even, labels, (x, y) => focalLoss(x, y));
    expect(value).toBeCloseTo(Math.log(2) / 4, 12);
    const unfocused = lossOf(even, labels, (x, y) => focalLoss(x, y, { gamma: 0, activation: 'softmax' }));
    expect(unfocused.value).toBeCloseTo(Math.log(2) / 2, 12);
  });

  it('Tversky weighs what is missed apart from what is too much', () => {
    // Channel 1, both voxels foreground: tp = 1, fn = 1.
    const all = float64([1, 1, 2], [1, 1]);
    const only = { includeBackground: false, smoothNumerator: 0, smoothDenominator: 0 };
    const missed = (falseNegatives: number) =>
      lossOf(even, all, (x, y) => tverskyLoss(x, y, { ...only, falseNegatives })).value;
    expect(missed(1)).toBeCloseTo(1 / 2, 12);
    expect(missed(0)).toBeCloseTo(0, 12);
  });

  it('the hardest half of four voxels is the mean of the two largest', () => {
    const logits = float64([1, 2, 4], [0, 1, 2, 3, 0, 0, 0, 0]);
    const ones = float64([1, 1, 4], [1, 1, 1, 1]);
    const entropy = (x: number) => Math.log(1 + Math.exp(x));
    const { value, gradient } = lossOf(logits, ones, (x, y) => crossEntropyLoss(x, y, { hardestPercent: 50 }));
    expect(value).toBeCloseTo((entropy(3) + entropy(2)) / 2, 12);
    expect(gradient.slice(0, 2)).toEqual([0, 0]);
    expect(gradient[3]).toBeCloseTo(1 / (1 + Math.exp(-3)) / 2, 12);
  });

  it('voxels that tie for the last place share it', () => {
    const { value, gradient } = lossOf(even, labels, (x, y) => crossEntropyLoss(x, y, { hardestPercent: 50 }));
    expect(value).toBeCloseTo(Math.log(2), 12);
    expect(gradient).toEqual([-0.25, 0.25, 0.25, -0.25]);
  });

  it('an ignored voxel has no say, and where all are ignored nothing is left but Dice of nothing', () => {
    const logits = float64([1, 2, 2], [0, 5, 0, -5]);
    const half = float64([1, 1, 2], [0, 2]);
    const { value, gradient } = lossOf(logits, half, (x, y) => crossEntropyLoss(x, y, { ignoredLabel: 2 }));
    expect(value).toBeCloseTo(Math.log(2), 12);
    expect(gradient).toEqual([-0.5, 0, 0.5, 0]);
    const none = float64([1, 1, 2], [2, 2]);
    const left = lossOf(logits, none, (x, y) => softDiceCrossEntropyLoss(x, y, { ignoredLabel: 2 }));
    expect(left.value).toBeCloseTo(-1, 12);
    expect(left.gradient.map(Math.abs)).toEqual([0, 0, 0, 0]);
  });

  it('logits of a thousand give no NaN and no infinity', () => {
    const sure = float64([1, 2, 2], [1000, -1000, -1000, 1000]);
    const rootFocal = (x: Value, y: Value) => focalLoss(x, y, { activation: 'softmax', gamma: 0.5 });
    for (const target of [labels, float64([1, 1, 2], [1, 0])]) {
      for (const loss of [diceCrossEntropyLoss, diceFocalLoss, softDiceCrossEntropyLoss, focalLoss, rootFocal]) {
        const { value, gradient } = lossOf(sure, target, (x, y) => loss(x, y));
        expect([value, ...gradient].every(Number.isFinite)).toBe(true);
      }
    }
  });

  it('says what does not fit', () => {
    const wide = float64([1, 3, 2], [0, 1, 0, 1, 0, 1]);
    expect(() => lossOf(even, wide, diceLoss)).toThrow('shape 1x3x2 does not fit logits of shape 1x2x2');
    expect(() => lossOf(even, labels, (x, y) => crossEntropyLoss(x, y, { classWeights: [1] }))).toThrow(
      '1 class weights for 2 channels',
    );
    expect(() => lossOf(even, even, (x, y) => crossEntropyLoss(x, y, { ignoredLabel: 2 }))).toThrow('holds masks');
    expect(() => lossOf(even, labels, (x, y) => crossEntropyLoss(x, y, { hardestPercent: 0 }))).toThrow('0 per cent');
    expect(() => lossOf(even, labels, (x, y) => focalLoss(x, y, { gamma: -1 }))).toThrow('gamma is -1');
    const one = float64([1, 1, 2], [0, 0]);
    expect(() => lossOf(one, one, (x, y) => diceLoss(x, y, { activation: 'softmax' }))).toThrow('choose sigmoid');
  });
});

/** How a reference case is described: losses.json. */
interface Drawn {
  readonly kind: 'input' | 'label' | 'onehot' | 'multilabel';
  readonly name: string;
  readonly shape: number[];
  readonly lo: number;
  readonly hi: number;
  readonly classes: number;
}
interface ReferenceCase {
  readonly id: string;
  readonly loss: string;
  readonly options: Record<string, unknown>;
  readonly inputs: readonly Drawn[];
  readonly targets: readonly Drawn[];
  readonly value?: number;
  readonly value_sum?: number;
}

function drawn({ kind, name, shape, lo, hi, classes }: Drawn): Tensor {
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

/** The reference's options by our names. An option that is not listed here fails the test. */
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
function programOf(one: ReferenceCase): { program: Program; feeds: Map<string, Tensor> } {
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

const weightAt = ({ options }: ReferenceCase, head: number) =>
  (options.weight_factors as number[] | undefined)?.[head] ?? 1;

describe.skipIf(!hasShared)('the reference implementations’ values and gradients', () => {
  const cases = hasShared ? sharedJson<{ cases: ReferenceCase[] }>('golden', 'losses.json').cases : [];
  const tensors = hasShared ? readSafetensors(sharedBytes('golden', 'losses.safetensors')).tensors : new Map();

  /** Largest difference over the largest value of what is expected. */
  function difference(got: ArrayLike<number>, expected: ArrayLike<number>): number {
    expect(got.length).toBe(expected.length);
    let [worst, scale] = [0, 0];
    for (let i = 0; i < expected.length; i++) {
      worst = Math.max(worst, Number.isNaN(got[i]) ? Infinity : Math.abs(got[i] - expected[i]));
      scale = Math.max(scale, Math.abs(expected[i]));
    }
    return worst / scale;
  }

  type Numbers = ReadonlyMap<string, { readonly data: ArrayLike<number> }>;

  function expectReference(
    one: ReferenceCase,
    found: Numbers,
    valueTolerance: number,
    gradientTolerance: number,
  ): void {
    expect(difference(found.get('loss')!.data, [one.value ?? one.value_sum!])).toBeLessThan(valueTolerance);
    const elements = tensors.get(`${one.id}.value`);
    if (elements) expect(difference(found.get('elements')!.data, elements.data)).toBeLessThan(valueTolerance);
    for (const at of one.inputs.keys()) {
      const expected = tensors.get(`${one.id}.grad${at}`)?.data as Float32Array | undefined;
      const got = found.get(`gradient.logits${at}`)?.data;
      if (weightAt(one, at) === 0) {
        expect(got).toBeUndefined();
        expect(expected?.every((value) => value === 0) ?? true).toBe(true);
      } else expect(difference(got!, expected!), `gradient ${at}`).toBeLessThan(gradientTolerance);
    }
  }

  it('are 78', () => {
    expect(cases).toHaveLength(78);
  });

  // Values are stored in float64; gradients in float32, half a unit of whose last place is 6e-8.
  it.each(cases.map((one) => [one.id, one] as const))('%s', (_, one) => {
    const { program, feeds } = programOf(one);
    check(program);
    expectReference(one, evaluate(program, feeds), 1e-9, 1e-7);
  });

  const throughOnnx = [
    'dice.softlabel',
    'absent.gdice',
    'dicece.softmax.weight',
    'dicece.softmax.smoothing',
    'focal.softmax.alpha',
    'dicefocal.sigmoid',
    'tversky.softmax.ab.nobg.batch',
    'nnunet.dc_ce.ignore',
    'nnunet.dc_bce.ignore',
    'nnunet.dc_topk',
    'nnunet.ds.v2',
  ];
  it.each(throughOnnx)('%s in float32 through ONNX Runtime', async (id) => {
    const one = cases.find((each) => each.id === id)!;
    const { program, feeds } = programOf(one);
    const rounded = new Map([...feeds].filter(([name]) => program.inputs.some((each) => each.name === name)));
    for (const [name, value] of rounded) rounded.set(name, toFloat32(value));
    const executable = await nodeEngine.compile(program, new Map());
    expectReference(one, await executable.run(rounded), 1e-5, 1e-5);
    await executable.dispose();
  });

  it('UNETR++’s own loss: values, and gradients of every logit', () => {
    interface Own {
      readonly logits: Drawn;
      readonly label: { readonly shape: number[]; readonly values: number[] };
      readonly batch_dice: boolean;
      readonly ce: number;
      readonly dice_loss: number;
      readonly total: number;
      readonly grad_logits: number[];
    }
    const own = sharedJson<{ cases: Own[] }>('golden', 'unetrpp', 'loss.json').cases;
    expect(own).toHaveLength(6);
    for (const { logits, label, batch_dice: batch, ce, dice_loss, total, grad_logits } of own) {
      const x = drawn({ ...logits, kind: 'input' });
      const y = float64(label.shape, label.values);
      expect(lossOf(x, y, crossEntropyLoss).value).toBeCloseTo(ce, 10);
      // The floor of the denominator: softDiceLoss's description.
      expect(lossOf(x, y, (a, b) => softDiceLoss(a, b, { batch })).value).toBeCloseTo(dice_loss, 8);
      const { value, gradient } = lossOf(x, y, (a, b) => softDiceCrossEntropyLoss(a, b, { batch }));
      expect(value).toBeCloseTo(total, 8);
      expect(difference(gradient, grad_logits)).toBeLessThan(1e-7);
    }
  });
});
