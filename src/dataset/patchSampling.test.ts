import { describe, expect, test } from 'vitest';
import type { Patch } from './augmentation/patch.ts';
import {
  cutPatch,
  drawCorner,
  drawForegroundCorner,
  foregroundLocations,
  isForegroundSample,
  type PatchPlace,
} from './patchSampling.ts';
import { randomStream } from './randomStream.ts';

describe('foregroundLocations', () => {
  test('lists the voxels of every label above 0, once each', () => {
    const found = foregroundLocations(Int16Array.of(0, 2, 1, -1, 2, 0, 1), randomStream(1));
    expect([...found.keys()]).toEqual([1, 2]);
    expect([...found.values()].map((voxels) => [...voxels].sort())).toEqual([
      [2, 6],
      [1, 4],
    ]);
  });

  test('keeps 10000 voxels of a large label, and 1 % of a huge one', () => {
    for (const [size, kept] of [
      [20_000, 10_000],
      [1_200_050, 12_001],
    ]) {
      const voxels = foregroundLocations(new Int8Array(size).fill(1), randomStream(1)).get(1)!;
      expect(voxels.length).toBe(kept);
      expect(new Set(voxels).size).toBe(kept);
      // Drawn from all of it: the mean of so many is within 2 % of the middle.
      const mean = voxels.reduce((sum, voxel) => sum + voxel, 0) / kept;
      expect(Math.abs(mean / (size / 2) - 1)).toBeLessThan(0.02);
    }
  });
});

test('a third of the batch is drawn around the foreground, one of two', () => {
  const forced = (batch: number) => Array.from({ length: batch }, (_, sample) => isForegroundSample(sample, batch));
  expect(forced(2)).toEqual([false, true]);
  expect(forced(3)).toEqual([false, false, true]);
  expect(forced(6)).toEqual([false, false, false, false, true, true]);
  // round(0.67) is 1: a batch of one has none.
  expect(forced(1)).toEqual([false]);
});

/** The corners that 500 draws give along x. */
function cornersAlongX(place: PatchPlace): number[] {
  const stream = randomStream(2);
  const drawn = new Set(Array.from({ length: 500 }, () => drawCorner(stream, place)[2]));
  return [...drawn].sort((a, b) => a - b);
}

describe('drawCorner', () => {
  test('a patch that is loaded as it is stays inside the case', () => {
    expect(cornersAlongX({ shape: [1, 1, 7], loaded: [1, 1, 4], patch: [1, 1, 4] })).toEqual([0, 1, 2, 3]);
  });

  test('a larger one reaches beyond it by half of what it has more, on both sides', () => {
    // 6 voxels are loaded for 4: the middle 4 of them lie at corner + 1.
    expect(cornersAlongX({ shape: [1, 1, 7], loaded: [1, 1, 6], patch: [1, 1, 4] })).toEqual([-1, 0, 1, 2]);
  });

  test('a case smaller than the patch lies in its middle', () => {
    expect(cornersAlongX({ shape: [1, 1, 4], loaded: [1, 1, 8], patch: [1, 1, 8] })).toEqual([-2]);
    expect(cornersAlongX({ shape: [1, 1, 4], loaded: [1, 1, 7], patch: [1, 1, 7] })).toEqual([-2, -1]);
  });
});

describe('drawForegroundCorner', () => {
  const place: PatchPlace = { shape: [1, 5, 7], loaded: [1, 4, 4], patch: [1, 4, 4] };

  test('puts the voxel in the middle; past the end of the case, but not before its beginning', () => {
    const at = (y: number, x: number) =>
      drawForegroundCorner(randomStream(3), place, new Map([[1, Int32Array.of(y * 7 + x)]]));
    expect(at(2, 3)).toEqual([0, 0, 1]);
    expect(at(4, 6)).toEqual([0, 2, 4]);
    expect(at(0, 0)).toEqual([0, 0, 0]);
  });

  test('labels are drawn equally often, however many voxels they have', () => {
    const stream = randomStream(4);
    const locations = new Map([
      [1, Int32Array.of(2 * 7 + 2)],
      [2, Int32Array.from({ length: 1000 }, () => 2 * 7 + 6)],
    ]);
    const drawn = Array.from({ length: 1000 }, () => drawForegroundCorner(stream, place, locations)[2]);
    expect(Math.abs(drawn.filter((x) => x === 0).length - 500)).toBeLessThan(80);
  });

  test('without foreground a patch is drawn from anywhere', () => {
    const corner = drawForegroundCorner(randomStream(5), place, new Map([[1, new Int32Array(0)]]));
    expect(corner).toEqual(drawCorner(randomStream(5), place));
  });

  test('where a label is ignored, it is drawn around a voxel that is not', () => {
    const annotated = Int32Array.of(2 * 7 + 3);
    expect(drawCorner(randomStream(3), place, annotated)).toEqual([0, 0, 1]);
    expect(drawForegroundCorner(randomStream(3), place, new Map(), annotated)).toEqual([0, 0, 1]);
    // Of a case that is ignored as a whole, anywhere.
    expect(drawCorner(randomStream(3), place, new Int32Array(0))).toEqual(drawCorner(randomStream(3), place));
  });
});

test('a patch over the ends of a case is 0 in the image and -1 in the labels there', () => {
  const whole: Patch = {
    shape: [1, 2, 3],
    channels: 2,
    image: Float32Array.of(1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60),
    labels: Int16Array.of(1, 0, 2, 0, 1, 2),
  };
  const found = cutPatch(whole, [0, -1, 1], [1, 2, 3]);
  expect([...found.image]).toEqual([0, 0, 0, 2, 3, 0, 0, 0, 0, 20, 30, 0]);
  expect([...found.labels]).toEqual([-1, -1, -1, 0, 2, -1]);
  expect([...cutPatch(whole, [0, 0, 3], [1, 1, 2]).labels]).toEqual([-1, -1]);
  expect(cutPatch(whole, [0, 0, 0], [1, 2, 3])).toEqual(whole);
});
