/**
 * From a scan to what the network sees: cropped to its non-zero box, transposed, resampled and normalized as the plan
 * says, in the order of its convention (nnU-Net v1 resamples first, v2 normalizes first). For training, its labels on the
 * same way.
 */
import type { LabelData, Plan } from '../dataset/index.ts';
import { elementCount, sameShape } from '../tensor.ts';
import {
  type Box,
  cropToNonZero,
  newShape,
  normalize,
  resampleChannel,
  resampleLabelChannel,
  type Vector3,
  type Volume,
  type VoxelData,
} from '../volume/index.ts';

export interface Prepared {
  /** [c, d, h, w]: axes as the network has them, float32. */
  readonly image: Float32Array;
  /** [d, h, w]: the labels that were given, if any; -1 for background outside of the scan's filled non-zero mask. */
  readonly labels?: LabelData;
  readonly shape: Vector3;
  /** Where the cropped part lies in the scan; z, y, x. */
  readonly box: Box;
  /** Size of the cropped part along d, h, w, before resampling. */
  readonly croppedShape: Vector3;
  /** mm between voxels along d, h, w: of the scan, and after resampling. */
  readonly spacing: Vector3;
  readonly newSpacing: Vector3;
  readonly notices: readonly string[];
}

/** Axis a of the result is axis `permutation[a]` of the data, [c, ...shape]; the same array for the identity. */
export function transposeAxes<T extends VoxelData>(data: T, shape: Vector3, permutation: readonly number[]): T {
  if (permutation.every((axis, index) => axis === index)) return data;
  const strides = [shape[1] * shape[2], shape[2], 1];
  const [d, h, w] = permuted(shape, permutation);
  const [sd, sh, sw] = permutation.map((axis) => strides[axis]);
  const voxels = elementCount(shape);
  const out = new (data.constructor as new (length: number) => T)(data.length);
  let at = 0;
  for (let start = 0; start < data.length; start += voxels) {
    for (let i = 0; i < d; i++) {
      for (let j = 0; j < h; j++) {
        const row = start + i * sd + j * sh;
        for (let k = 0; k < w; k++) out[at++] = data[row + k * sw];
      }
    }
  }
  return out;
}

export function permuted(values: Vector3, permutation: readonly number[]): Vector3 {
  const [a, b, c] = permutation.map((axis) => values[axis]);
  return [a, b, c];
}

/** The permutation that undoes one. */
export function inversePermutation(permutation: readonly number[]): number[] {
  return permutation.map((_, axis) => permutation.indexOf(axis));
}

/**
 * @param reference labels on the scan's grid, whole numbers from 0 on, to be prepared with it
 * @throws InputError when the labels have another shape
 */
export function prepare(volume: Volume, plan: Plan, reference?: Volume): Prepared {
  const { box, image, labels } = cropToNonZero(volume, reference);
  const spacing = permuted([volume.spacing[2], volume.spacing[1], volume.spacing[0]], plan.transposeForward);
  const croppedShape = permuted(image.shape, plan.transposeForward);
  const newSpacing: Vector3 = plan.spacing ?? spacing;
  const shape = newShape(croppedShape, spacing, newSpacing);
  const regrid = { shape: croppedShape, spacing, newShape: shape, newSpacing };
  const { anisotropyThreshold } = plan.resampling;
  const orders = { order: plan.resampling.image, orderZ: plan.resampling.imageZ, anisotropyThreshold };

  const transposed = transposeAxes(image.data, image.shape, plan.transposeForward);
  const v1 = plan.convention === 'nnunet-v1';
  const needsMask = plan.channels.some(({ useMask }) => useMask);
  const labelsBefore =
    needsMask || reference ? transposeAxes(labels.data, labels.shape, plan.transposeForward) : undefined;
  // v1 normalizes on the new grid, where the mask is needed too; it is resampled as a segmentation, outside as label -1.
  const labelsAfter =
    labelsBefore && (v1 || reference)
      ? resampleLabelChannel(labelsBefore, regrid, { order: 1, orderZ: 0, anisotropyThreshold })
      : undefined;
  const labelsThen = needsMask ? (v1 ? labelsAfter : labelsBefore) : undefined;
  const inside = labelsThen && Uint8Array.from(labelsThen, (label) => (label >= 0 ? 1 : 0));

  const voxels = elementCount(croppedShape);
  const prepareChannel = (channel: Plan['channels'][number], index: number): Float32Array => {
    const data = new Float32Array(transposed.subarray(index * voxels, (index + 1) * voxels));
    const options = {
      convention: plan.convention,
      intensities: channel.intensities,
      inside: channel.useMask ? inside : undefined,
    };
    return v1
      ? normalize(resampleChannel(data, regrid, orders), channel.normalization, options)
      : resampleChannel(normalize(data, channel.normalization, options), regrid, orders);
  };

  const resampled = !sameShape(shape, croppedShape);
  const mm = (values: Vector3) => values.map((value) => Number(value.toFixed(3))).join(' x ');
  const notices = resampled
    ? [`Resampled from ${mm(spacing)} mm to ${mm(newSpacing)} mm for the network, and back for the mask.`]
    : [];
  const out = joined(plan.channels, elementCount(shape), prepareChannel);
  const own = reference && { labels: labelsAfter };
  return { image: out, ...own, shape, box, croppedShape, spacing, newSpacing, notices };
}

/** The arrays of all channels, one after the other; of a single one, no copy. */
function joined<C>(channels: readonly C[], length: number, valuesOf: (channel: C, index: number) => Float32Array) {
  if (channels.length === 1) return valuesOf(channels[0], 0);
  const out = new Float32Array(channels.length * length);
  channels.forEach((channel, index) => {
    out.set(valuesOf(channel, index), index * length);
  });
  return out;
}
