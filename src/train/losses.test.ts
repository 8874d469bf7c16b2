import { describe, expect, it } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../test/shared.ts';
import { type Drawn, drawn, lossCaseProgram, type ReferenceCase, weightAt } from '../cli/verify/losses.ts';
import { buildProgram, check, differentiate, evaluate, input, type Value } from '../program/index.ts';
import type { Shape, Tensor } from '../tensor.ts';
import { readSafetensors } from '../weights/index.ts';
import {
  crossEntropyLoss,
  diceCrossEntropyLoss,
  diceFocalLoss,
  diceLoss,
  focalLoss,
  regionMasks,
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

  it('regions are masks of the labels, and what is ignored pulls nowhere', () => {
    // Four voxels: of the outer region, of both, of none, ignored. Logits 0: every probability is 1/2.
    const zeros = float64([1, 2, 4], new Array(8).fill(0));
    const loss = (target: readonly number[], ignored: number) =>
      lossOf(zeros, float64([1, 1, 4], target), (x, y) =>
        softDiceRegionLoss(x, regionMasks(y, [[1, 2], [2]], ignored), { smooth: 0, lastChannelIgnored: true }),
      );
    const { value, gradient } = loss([1, 2, 0, 3], 3);
    // Dice 2 * 1 / (1.5 + 2) and 2 * 0.5 / (1.5 + 1); entropy log 2 of each channel.
    expect(value).toBeCloseTo(-(2 / 3.5 + 1 / 2.5) / 2 + 2 * Math.log(2), 12);
    expect([gradient[3], gradient[7]]).toEqual([0, 0]);
    expect(gradient.filter((each) => each === 0)).toHaveLength(2);
    expect(loss([1, 2, 0, 9], 9)).toEqual({ value, gradient });
  });

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
    const { program, feeds } = lossCaseProgram(one);
    check(program);
    expectReference(one, evaluate(program, feeds), 1e-9, 1e-7);
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
