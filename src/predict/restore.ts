/**
 * From the network's numbers back to the scan: resampled to the cropped grid, decided voxel by voxel, filtered, pasted.
 *
 * nnU-Net v1 resamples probabilities and v2 logits; which they are, the values that come in say. Outside of the crop box
 * all is background.
 */
import type { Plan } from '../dataset/index.ts';
import { elementCount } from '../tensor.ts';
import { keepLargestComponent, paste, resampleChannel, type Vector3, type Volume } from '../volume/index.ts';
import { inversePermutation, type Prepared, transposeAxes } from './prepare.ts';
import { largestClass, toProbabilities } from './tiles.ts';

/** One class [d, h, w] on the cropped grid. */
function restoreClass(values: Float32Array, index: number, prepared: Prepared, plan: Plan): Float32Array {
  const voxels = elementCount(prepared.shape);
  const { spacing, newSpacing } = prepared;
  const { probabilities, probabilitiesZ, anisotropyThreshold } = plan.resampling;
  // On the way back v1 asks the scan's own spacing first whether slices are resampled by themselves, v2 the network's.
  const [first, second] = plan.convention === 'nnunet-v1' ? [spacing, newSpacing] : [newSpacing, spacing];
  return resampleChannel(
    values.subarray(index * voxels, (index + 1) * voxels),
    { shape: prepared.shape, newShape: prepared.croppedShape, spacing: first, newSpacing: second },
    { order: probabilities, orderZ: probabilitiesZ, anisotropyThreshold },
  );
}

/**
 * One label a voxel, on the scan's grid: the class with the largest value (the first of equals), or the label of the last
 * region whose probability is above one half.
 * @param values [classes, ...prepared.shape]: probabilities in v1, logits in v2
 */
export function decide(
  values: Float32Array,
  prepared: Prepared,
  scan: Volume,
  plan: Plan,
  classes: number,
): Volume<Uint8Array | Uint16Array> {
  const valuesOf = (index: number) => restoreClass(values, index, prepared, plan);
  const labels = plan.regionsClassOrder ? decideRegions(plan, valuesOf) : largestClass(classes, valuesOf);
  const part = { ...partOf(prepared, scan), channels: 1, data: backToStoredAxes(labels, prepared, plan) };
  const connectivity = plan.convention === 'nnunet-v1' ? 6 : 26;
  for (const set of plan.keepLargestComponents ?? []) {
    part.data = keepLargestComponent(part.data, part.shape, set, { connectivity }).data;
  }
  return paste(part, prepared.box, scan);
}

/** The label of the last region, in output order, whose probability is above one half. */
function decideRegions(plan: Plan, valuesOf: (index: number) => Float32Array): Uint8Array | Uint16Array {
  const order = plan.regionsClassOrder ?? [];
  // A logit of 0 is a probability of one half.
  const threshold = plan.convention === 'nnunet-v1' ? 0.5 : 0;
  let labels: Uint8Array | Uint16Array | undefined;
  order.forEach((label, index) => {
    const region = valuesOf(index);
    labels ??= Math.max(...order) < 256 ? new Uint8Array(region.length) : new Uint16Array(region.length);
    for (let i = 0; i < region.length; i++) if (region[i] > threshold) labels[i] = label;
  });
  return labels ?? new Uint8Array(0);
}

/** Probabilities of every output on the scan's grid; outside of the crop box background is certain. */
export function restoreProbabilities(
  values: Float32Array,
  prepared: Prepared,
  scan: Volume,
  plan: Plan,
  classes: number,
): Volume<Float32Array> {
  const count = elementCount(prepared.croppedShape);
  const restored = new Float32Array(classes * count);
  for (let k = 0; k < classes; k++) restored.set(restoreClass(values, k, prepared, plan), k * count);
  if (plan.convention === 'nnunet-v2') toProbabilities(restored, classes, plan.regions ? 'sigmoid' : 'softmax');
  const data = backToStoredAxes(restored, prepared, plan);
  const pasted = paste({ ...partOf(prepared, scan), channels: classes, data }, prepared.box, scan);
  if (!plan.regions) fillOutside(pasted, prepared);
  return pasted;
}

function backToStoredAxes<T extends Uint8Array | Uint16Array | Float32Array>(
  data: T,
  prepared: Prepared,
  plan: Plan,
): T {
  return transposeAxes(data, prepared.croppedShape, inversePermutation(plan.transposeForward));
}

/** Geometry of the cropped part; `paste` replaces it by the scan's. */
function partOf({ box: { start, end } }: Prepared, { spacing, origin, direction }: Volume) {
  const shape = end.map((length, axis) => length - start[axis]) as unknown as Vector3;
  return { shape, spacing, origin, direction };
}

/** Sets the background's probability to 1 outside of the box. */
function fillOutside({ data, shape }: Volume<Float32Array>, { box: { start, end } }: Prepared): void {
  const [depth, height, width] = shape;
  for (let z = 0, row = 0; z < depth; z++) {
    for (let y = 0; y < height; y++, row += width) {
      const inRow = z >= start[0] && z < end[0] && y >= start[1] && y < end[1];
      data.fill(1, row, row + (inRow ? start[2] : width));
      if (inRow) data.fill(1, row + end[2], row + width);
    }
  }
}
