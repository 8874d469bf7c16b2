/**
 * A picture of where a prediction and its reference differ: three planes through the place where a label differs most, the
 * prediction as color, the reference as outlines.
 */
import { type Box, boundingBox, crop } from '../volume/cropping.ts';
import { type Picture, threePlanes } from '../volume/picture.ts';
import type { Vector3, Volume, VoxelData } from '../volume/volume.ts';

/** Shown around reference and prediction, and how much is shown in any case, where the scan has it. */
const marginMm = 15;
const leastMm = 80;

export interface OverlayOptions {
  /** Pixels. */
  readonly width?: number;
}

/**
 * @param image of which the first channel is shown; @param values of the label that the planes are chosen for
 * @throws InputError when the three do not lie on one grid
 */
export function overlayPicture(
  image: Volume,
  reference: Volume,
  prediction: Volume,
  values: readonly number[],
  { width = 760 }: OverlayOptions = {},
): Picture {
  const at = largestDisagreement(reference, prediction, values);
  const view = viewOf(reference, prediction);
  const within = at.map((index, axis) => index - view.start[axis]) as unknown as Vector3;
  // The other channels are left where they are: a scan of four sequences need not be copied for a picture of one.
  const first = { ...image, channels: 1, data: image.data.subarray(0, reference.data.length) as VoxelData };
  const [shown, labels, outlines] = [first, prediction, reference].map((volume) => crop(volume, view));
  return threePlanes(shown, labels, { at: within, reference: outlines, width, opacity: 0.42 });
}

/**
 * The voxel (z, y, x) whose three slices hold the largest area in which the label differs, among the voxels that differ. Where
 * none does, the same of the voxels that have the label; where none has it, the middle.
 */
export function largestDisagreement(reference: Volume, prediction: Volume, values: readonly number[]): Vector3 {
  const has = membership(values);
  const differs = (voxel: number) => has(reference.data[voxel]) !== has(prediction.data[voxel]);
  const { shape } = reference;
  return (
    fullest(reference, differs) ??
    fullest(reference, (voxel) => has(reference.data[voxel])) ?? [shape[0] >> 1, shape[1] >> 1, shape[2] >> 1]
  );
}

function membership(values: readonly number[]): (value: number) => boolean {
  const [only] = values;
  return values.length === 1 ? (value) => value === only : (value) => values.includes(value);
}

/** Of the chosen voxels, the one whose three slices have most of them, in mm2; undefined of none. */
function fullest({ shape, spacing }: Volume, chosen: (voxel: number) => boolean): Vector3 | undefined {
  const [nz, ny, nx] = shape;
  const [dx, dy, dz] = spacing;
  const areas = shape.map((length) => new Float64Array(length));
  const each = (visit: (z: number, y: number, x: number) => void) => {
    for (let z = 0, voxel = 0; z < nz; z++) {
      for (let y = 0; y < ny; y++) for (let x = 0; x < nx; x++, voxel++) if (chosen(voxel)) visit(z, y, x);
    }
  };
  each((z, y, x) => {
    areas[0][z] += dx * dy;
    areas[1][y] += dx * dz;
    areas[2][x] += dy * dz;
  });
  let best: Vector3 | undefined;
  let most = 0;
  each((z, y, x) => {
    const area = areas[0][z] + areas[1][y] + areas[2][x];
    if (area <= most) return;
    most = area;
    best = [z, y, x];
  });
  return best;
}

/** The box around all labels of both with a margin; all of the volume where there are none. */
function viewOf({ data, shape, spacing }: Volume, prediction: Volume): Box {
  const labelled = new Uint8Array(data.length);
  for (let voxel = 0; voxel < data.length; voxel++) labelled[voxel] = +(data[voxel] > 0 || prediction.data[voxel] > 0);
  const box = boundingBox(labelled, shape);
  if (!box) return { start: [0, 0, 0], end: shape };
  const sides = shape.map((length, axis) => {
    const mm = spacing[2 - axis];
    const [start, end] = [box.start[axis], box.end[axis]];
    const grow = Math.ceil(Math.max(marginMm, (leastMm - (end - start) * mm) / 2) / mm);
    return [Math.max(0, start - grow), Math.min(length, end + grow)];
  });
  return {
    start: sides.map(([start]) => start) as unknown as Vector3,
    end: sides.map(([, end]) => end) as unknown as Vector3,
  };
}
