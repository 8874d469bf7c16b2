import { describe, expect, test } from 'vitest';
import { randomStream } from '../randomStream.ts';
import { type Augmentation, augment, drawAugmentation, loadedPatchShape, trainingAugmentation } from './augment.ts';
import { applyGamma, lowerResolution, scaleBrightness, scaleContrast } from './intensity.ts';
import { blur } from './noise.ts';
import type { Patch } from './patch.ts';

/** Two channels of one slice; the last voxel is outside the case. */
const patch: Patch<Float64Array> = {
  shape: [1, 1, 6],
  channels: 2,
  image: Float64Array.of(0, 1, 2, 3, 4, 5, 10, 30, 20, 60, 40, 50),
  labels: Int16Array.of(0, 1, 1, 2, 2, -1),
};
const nothing: Augmentation = { mirror: [false, false, false], inPlane: false };
const keep = { zeroOutside: false };

describe('augment', () => {
  test('with nothing drawn gives the middle of the patch, and background outside', () => {
    const found = augment(patch, [1, 1, 6], nothing, keep);
    expect([...found.image]).toEqual([...patch.image]);
    expect([...found.labels]).toEqual([0, 1, 1, 2, 2, 0]);
    expect([...augment(patch, [1, 1, 2], nothing, keep).image]).toEqual([2, 3, 20, 60]);
  });

  test('can set the image to 0 outside', () => {
    const found = augment(patch, [1, 1, 6], nothing, { zeroOutside: true });
    expect([...found.image]).toEqual([0, 1, 2, 3, 4, 0, 10, 30, 20, 60, 40, 0]);
  });

  test('mirrors before it asks what is outside', () => {
    const found = augment(patch, [1, 1, 6], { ...nothing, mirror: [false, false, true] }, { zeroOutside: true });
    expect([...found.image]).toEqual([0, 4, 3, 2, 1, 0, 0, 40, 60, 20, 30, 10]);
    expect([...found.labels]).toEqual([0, 2, 2, 1, 1, 0]);
  });

  test('changes a channel in the order of nnU-Net, and leaves the other one', () => {
    const one = <V>(value: V) => [undefined, value];
    const augmentation: Augmentation = {
      ...nothing,
      blur: one(0.7),
      brightness: one(1.2),
      contrast: one(0.8),
      lowResolution: one(0.5),
      gammaInverted: one(1.4),
      gamma: one(0.75),
    };
    const found = augment(patch, [1, 1, 6], augmentation, keep);
    let expected: Float64Array = patch.image.slice(6);
    expected = scaleContrast(scaleBrightness(blur(expected, [1, 1, 6], 0.7), 1.2), 0.8, true);
    expected = lowerResolution(expected, [1, 1, 6], 0.5);
    expected = applyGamma(expected, 1.4, { inverted: true, keepStatistics: true });
    expected = applyGamma(expected, 0.75, { inverted: false, keepStatistics: true });
    expect([...found.image]).toEqual([0, 1, 2, 3, 4, 5, ...expected]);
  });

  test('the seed of the noise decides it', () => {
    const noisy = (seed: number) =>
      augment(patch, [1, 1, 6], { ...nothing, noise: { deviation: 1, seed } }, keep).image;
    expect(noisy(1)).toEqual(noisy(1));
    expect(noisy(1)).not.toEqual(noisy(2));
    expect(noisy(1)).not.toEqual(patch.image);
  });

  test('leaves the patch that went in as it was', () => {
    const before = structuredClone(patch);
    const stream = randomStream(4);
    for (let i = 0; i < 30; i++) {
      const settings = { ...trainingAugmentation([1, 1, 6]), inPlane: true };
      augment(patch, [1, 1, 6], drawAugmentation(stream, settings, 2), { zeroOutside: true });
    }
    expect(patch).toEqual(before);
  });
});

describe('drawing', () => {
  const settings = trainingAugmentation([64, 128, 128]);
  const stream = randomStream(5);
  const drawn = Array.from({ length: 4000 }, () => drawAugmentation(stream, settings, 2));
  const share = (of: (each: Augmentation) => boolean) => drawn.filter(of).length / drawn.length;

  test('one stream draws one augmentation', () => {
    expect(drawAugmentation(randomStream(5), settings, 2)).toEqual(drawn[0]);
  });

  test('each happens as often as it should', () => {
    // Deviations of these shares are at most 0.008.
    const expected: [keyof Augmentation, number][] = [
      ['spatial', 0.36],
      ['noise', 0.1],
      ['blur', 0.2],
      ['brightness', 0.15],
      ['contrast', 0.15],
      ['lowResolution', 0.25],
      ['gammaInverted', 0.1],
      ['gamma', 0.3],
    ];
    for (const [name, probability] of expected) {
      expect(Math.abs(share((each) => each[name] !== undefined) - probability), name).toBeLessThan(0.035);
    }
    for (const axis of [0, 1, 2]) expect(Math.abs(share(({ mirror }) => mirror[axis]) - 0.5)).toBeLessThan(0.04);
  });

  test('stays in its range, below and above 1 equally often', () => {
    const gammas = drawn.flatMap(({ gamma }) => gamma ?? []).map(Number);
    expect(Math.min(...gammas)).toBeGreaterThanOrEqual(0.7);
    expect(Math.max(...gammas)).toBeLessThan(1.5);
    expect(Math.abs(gammas.filter((gamma) => gamma < 1).length / gammas.length - 0.5)).toBeLessThan(0.05);
    for (const { spatial } of drawn) {
      for (const angle of spatial?.angles ?? []) expect(Math.abs(angle)).toBeLessThanOrEqual(Math.PI / 6);
      for (const scale of spatial?.scale ?? []) expect(scale >= 0.7 && scale <= 1.4).toBe(true);
    }
  });
});

test('a flat patch is turned in its plane, and loaded with its own number of slices', () => {
  const settings = trainingAugmentation([16, 160, 160]);
  expect(settings.inPlane).toBe(true);
  expect(loadedPatchShape([16, 160, 160], settings)).toEqual([16, 188, 188]);
  expect(trainingAugmentation([40, 120, 120]).inPlane).toBe(false);
  expect(loadedPatchShape([64, 128, 128], trainingAugmentation([64, 128, 128]))).toEqual([140, 205, 168]);
});
