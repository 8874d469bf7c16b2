import { describe, expect, test } from 'vitest';
import { foregroundLocations, randomStream, trainingAugmentation } from '../dataset/index.ts';
import { encodePng, labelColor } from '../volume/index.ts';
import { augmentationPreview } from './augmentationPreview.ts';
import type { BatchSettings, TrainingCase } from './batches.ts';

/** Three slices of 8 x 8, the right half of the middle one bright; in it one voxel of label 2. */
function drawnCase(): TrainingCase {
  const labels = new Int16Array(192);
  labels[64 + 4 * 8 + 4] = 2;
  const image = Float32Array.from({ length: 192 }, (_, i) => +(i >= 64 && i < 128 && i % 8 >= 4));
  return {
    name: 'drawn',
    patch: { shape: [3, 8, 8], channels: 1, image, labels },
    locations: foregroundLocations(labels, randomStream(1)),
  };
}

const settings: BatchSettings = {
  patch: [3, 4, 4],
  batch: 2,
  seed: 3,
  augmentation: trainingAugmentation([3, 4, 4]),
  zeroOutside: false,
};

describe('a sheet of augmented samples', () => {
  const sheet = augmentationPreview(drawnCase(), settings, { samples: 4, columns: 3, zoom: 2 });
  const color = (x: number, y: number) => [...sheet.data.subarray(3 * (y * sheet.width + x)).subarray(0, 3)];

  test('has a place for the plain patch and for each sample, row by row', () => {
    // Pictures of 8 x 8 pixels in three columns and two rows, 6 pixels between them and around.
    expect([sheet.width, sheet.height]).toEqual([3 * 8 + 4 * 6, 2 * 8 + 3 * 6]);
    expect(encodePng(sheet).subarray(1, 4)).toEqual(Uint8Array.of(80, 78, 71));
    // The sixth place is free.
    expect(color(6 + 2 * 14 + 4, 6 + 14 + 4)).toEqual([24, 24, 24]);
  });

  test('begins with the middle slice around the foreground, unchanged, its labels outlined', () => {
    // The patch of 4 x 4 voxels has the foreground at its voxel 2, 2, where the bright half begins.
    expect(color(6, 6)).toEqual([0, 0, 0]);
    expect(color(6 + 3, 6 + 7)).toEqual([0, 0, 0]);
    expect(color(6 + 6, 6)).toEqual([255, 255, 255]);
    expect(color(6 + 4, 6 + 4)).toEqual([...labelColor(2)]);
  });

  test('shows what the seed draws', () => {
    const again = augmentationPreview(drawnCase(), settings, { samples: 4, columns: 3, zoom: 2 });
    expect(again.data).toEqual(sheet.data);
    const other = augmentationPreview(drawnCase(), { ...settings, seed: 4 }, { samples: 4, columns: 3, zoom: 2 });
    expect(other.data).not.toEqual(sheet.data);
  });

  test('is drawn of a case without foreground too, and of none without augmentation', () => {
    const empty = { ...drawnCase(), locations: new Map() };
    expect(augmentationPreview(empty, settings, { samples: 1 }).data.length).toBeGreaterThan(0);
    expect(() => augmentationPreview(empty, { ...settings, augmentation: undefined })).toThrow(RangeError);
  });
});
