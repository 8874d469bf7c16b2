import { describe, expect, test } from 'vitest';
import { foregroundLocations, randomStream, trainingAugmentation } from '../dataset/index.ts';
import type { Vector3 } from '../volume/index.ts';
import { type BatchSettings, drawBatch, drawSample, inThisThread, type TrainingCase } from './batches.ts';

/** Every voxel holds its own index in the image; one voxel is foreground. */
function numbered(name: string, shape: Vector3, foreground: number, channels = 1): TrainingCase {
  const count = shape[0] * shape[1] * shape[2];
  const labels = new Int16Array(count);
  labels[foreground] = 2;
  return {
    name,
    patch: { shape, channels, image: Float32Array.from({ length: channels * count }, (_, i) => i + 1), labels },
    locations: foregroundLocations(labels, randomStream(1)),
  };
}

const cases = [numbered('a', [6, 7, 8], 100), numbered('b', [5, 9, 6], 77)];
const plain: BatchSettings = { patch: [3, 4, 4], batch: 2, seed: 5, augmentation: undefined, zeroOutside: false };
const many = Array.from({ length: 200 }, (_, index) => index);

describe('a batch', () => {
  test('has a patch and its labels for each sample', () => {
    const batch = drawBatch(cases, plain, 0);
    expect(batch.image).toHaveLength(2 * 48);
    expect(batch.target).toHaveLength(2 * 48);
    expect(batch.cases).toHaveLength(2);
    expect(batch.target).toBeInstanceOf(Float32Array);
  });

  test('follows from the seed and its number', () => {
    expect(drawBatch(cases, plain, 7)).toEqual(drawBatch(cases, plain, 7));
    expect(drawBatch(cases, plain, 8)).not.toEqual(drawBatch(cases, plain, 7));
    expect(drawBatch(cases, { ...plain, seed: 6 }, 7)).not.toEqual(drawBatch(cases, plain, 7));
  });

  test('keeps its samples when it grows', () => {
    const settings = { ...plain, foregroundShare: 0 };
    const small = drawBatch(cases, settings, 3);
    const large = drawBatch(cases, { ...settings, batch: 4 }, 3);
    expect(large.image.subarray(0, small.image.length)).toEqual(small.image);
  });

  test('holds piece by piece what lies in the case', () => {
    for (const index of many) {
      const { patch, name } = drawSample(cases, plain, index, 0);
      const { shape } = cases.find((each) => each.name === name)!.patch;
      // The patch fits, so that all of it is of the case: one up along x is one more.
      const [first] = patch.image;
      expect(patch.image[1]).toBe(first + 1);
      expect(patch.image[4]).toBe(first + shape[2]);
      expect(patch.image[16]).toBe(first + shape[1] * shape[2]);
    }
  });

  test('comes from every case alike', () => {
    const drawn = many.flatMap((index) => drawBatch(cases, plain, index).cases);
    const ofFirst = drawn.filter((name) => name === 'a').length;
    expect(ofFirst).toBeGreaterThan(160);
    expect(ofFirst).toBeLessThan(240);
  });

  test('of two has foreground in the second one', () => {
    for (const index of many) expect(drawSample(cases, plain, index, 1).patch.labels).toContain(2);
    expect(many.some((index) => !drawSample(cases, plain, index, 0).patch.labels.includes(2))).toBe(true);
  });

  test('has background and zeros beyond the case', () => {
    const { patch } = drawSample(cases.slice(0, 1), { ...plain, patch: [6, 7, 10] }, 0, 0);
    // Two columns too few: nnU-Net's range of corners lets one lie on each side.
    expect([...patch.image.subarray(0, 10)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 0]);
    expect(Math.min(...patch.labels)).toBe(0);
  });

  test('is 0 outside of the mask where the plan uses it', () => {
    const masked = numbered('m', [3, 4, 4], 0);
    masked.patch.labels[47] = -1;
    const [kept, zeroed] = [false, true].map(
      (zeroOutside) => drawSample([masked], { ...plain, zeroOutside }, 0, 0).patch,
    );
    expect(kept.image[47]).toBe(48);
    expect(zeroed.image[47]).toBe(0);
    expect(zeroed.labels[47]).toBe(0);
  });

  test('of several channels has them one after the other', () => {
    const { image } = drawBatch([numbered('c', [3, 4, 4], 0, 2)], plain, 0);
    expect([...image.subarray(0, 96)]).toEqual(Array.from({ length: 96 }, (_, i) => i + 1));
  });

  test('is augmented when it is to be', () => {
    const settings = { ...plain, augmentation: trainingAugmentation(plain.patch) };
    const differing = many.filter((index) => {
      const values = drawSample(cases.slice(0, 1), settings, index, 0).patch.image;
      // What only shows a piece of the case, unmirrored, grows by one along x or stays 0.
      return !values.every((value, i) => i % 4 === 0 || value === 0 || value === values[i - 1] + 1);
    });
    expect(differing.length).toBeGreaterThan(100);
    expect(drawBatch(cases, settings, 4)).toEqual(drawBatch(cases, settings, 4));
  });

  test('needs a case', () => {
    expect(() => drawBatch([], plain, 0)).toThrow(RangeError);
  });
});

describe('batches drawn in the same thread', () => {
  test('come in order, from where they are to begin', async () => {
    const source = inThisThread(cases, plain, 3);
    expect(await source.next()).toEqual(drawBatch(cases, plain, 3));
    expect(await source.next()).toEqual(drawBatch(cases, plain, 4));
    expect(source.waited).toBeGreaterThan(0);
    await source.close();
  });
});
