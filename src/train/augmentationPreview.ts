/**
 * A sheet of what augmentation makes of one case, to be looked at before a long run: the same patch unchanged, then as
 * often as wanted augmented, each by its middle slice with the labels over it. What is drawn is what training draws.
 */
import {
  type Augmentation,
  augment,
  cutPatch,
  drawAugmentation,
  loadedPatchShape,
  randomStream,
} from '../dataset/index.ts';
import { labelColor, type Picture, type Vector3 } from '../volume/index.ts';
import type { BatchSettings, TrainingCase } from './batches.ts';

export interface PreviewOptions {
  /** Augmented samples. */
  readonly samples?: number;
  /** Of the sheet. */
  readonly columns?: number;
  /** Pixels for a voxel. */
  readonly zoom?: number;
  /** Which channel is shown. */
  readonly channel?: number;
}

const gapPixels = 6;
const sheetGray = 24;
/** Of the colors over the labels; their outlines are opaque. */
const opacity = 0.3;

/**
 * @param settings those of the training run; its seed decides the augmentations
 * @throws RangeError when the settings have no augmentation
 */
export function augmentationPreview(
  { patch: whole, locations }: TrainingCase,
  { patch: shape, augmentation: settings, seed, zeroOutside }: BatchSettings,
  { samples = 15, columns = 4, zoom = 3, channel = 0 }: PreviewOptions = {},
): Picture {
  if (!settings) throw new RangeError('there is no augmentation to be shown');
  const loaded = loadedPatchShape(shape, settings);
  const middle = middleOf(whole.shape, [...locations.values()]);
  const [z, y, x] = middle.map((at, axis) => at - Math.floor(loaded[axis] / 2));
  const cut = cutPatch(whole, [z, y, x], loaded);
  const drawn = Array.from({ length: samples }, (_, sample) =>
    drawAugmentation(randomStream(seed, sample), settings, whole.channels),
  );
  const plain: Augmentation = { mirror: [false, false, false], inPlane: settings.inPlane };

  const [, height, width] = shape;
  const tile = { width: width * zoom, height: height * zoom };
  const rows = Math.ceil((samples + 1) / columns);
  const picture = {
    width: columns * (tile.width + gapPixels) + gapPixels,
    height: rows * (tile.height + gapPixels) + gapPixels,
  };
  const data = new Uint8Array(3 * picture.width * picture.height).fill(sheetGray);
  let window: readonly [black: number, white: number] | undefined;
  [plain, ...drawn].forEach((augmentation, index) => {
    const { image, labels } = augment(cut, shape, augmentation, { zeroOutside });
    const voxels = shape[0] * height * width;
    const at = (shape[0] >> 1) * height * width;
    const values = image.subarray(channel * voxels, (channel + 1) * voxels);
    // Grays of the plain patch throughout, so that changes of brightness and contrast can be seen.
    window ??= percentiles(values);
    const left = gapPixels + (index % columns) * (tile.width + gapPixels);
    const top = gapPixels + Math.floor(index / columns) * (tile.height + gapPixels);
    const slice = { width, height, values: values.subarray(at, at + height * width), labels: labels.subarray(at) };
    drawSlice(data, picture.width, left, top, slice, zoom, window);
  });
  return { ...picture, data };
}

/** Center of the remembered voxels of the foreground, or of the case. */
function middleOf(shape: Vector3, locations: readonly Int32Array[]): number[] {
  const sum = [0, 0, 0];
  let count = 0;
  for (const voxels of locations) {
    for (const voxel of voxels) {
      sum[0] += Math.floor(voxel / (shape[1] * shape[2]));
      sum[1] += Math.floor(voxel / shape[2]) % shape[1];
      sum[2] += voxel % shape[2];
    }
    count += voxels.length;
  }
  return count === 0 ? shape.map((length) => length >> 1) : sum.map((total) => Math.round(total / count));
}

/** The values between which 99 of 100 lie. */
function percentiles(values: Float32Array): readonly [number, number] {
  const sorted = Float32Array.from(values).sort();
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))];
  return [at(0.005), at(0.995)];
}

interface LabelledSlice {
  readonly width: number;
  readonly height: number;
  readonly values: Float32Array;
  readonly labels: Int16Array;
}

/** Voxels as squares: what augmentation did to each should be seen. */
function drawSlice(
  data: Uint8Array,
  sheetWidth: number,
  left: number,
  top: number,
  { width, height, values, labels }: LabelledSlice,
  zoom: number,
  [black, white]: readonly [number, number],
): void {
  const labelAt = (x: number, y: number) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : labels[y * width + x]);
  for (let row = 0; row < height * zoom; row++) {
    for (let column = 0; column < width * zoom; column++) {
      const [x, y] = [Math.floor(column / zoom), Math.floor(row / zoom)];
      const share = (values[y * width + x] - black) / (white - black || 1);
      const gray = 255 * Math.min(1, Math.max(0, share));
      const label = labelAt(x, y);
      const [insideX, insideY] = [column % zoom, row % zoom];
      const edge =
        (insideX === 0 && labelAt(x - 1, y) !== label) ||
        (insideX === zoom - 1 && labelAt(x + 1, y) !== label) ||
        (insideY === 0 && labelAt(x, y - 1) !== label) ||
        (insideY === zoom - 1 && labelAt(x, y + 1) !== label);
      const alpha = label === 0 ? 0 : edge ? 1 : opacity;
      const color = labelColor(label);
      const pixel = 3 * ((top + row) * sheetWidth + left + column);
      for (let c = 0; c < 3; c++) data[pixel + c] = Math.round(gray + alpha * (color[c] - gray));
    }
  }
}
