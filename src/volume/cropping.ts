/**
 * Boxes of a grid: the box around what is not zero, cutting it out, pasting it back, padding to a wanted size. Every
 * result keeps its place in the patient: with the first voxel the origin moves.
 *
 * Definitions: nnU-Net, `crop_to_nonzero` (v1 and v2 agree) and `pad_nd_image`.
 */
import { InputError } from '../errors.ts';
import { sameShape, showShape } from '../tensor.ts';
import {
  emptyLike,
  type Geometry,
  indexToWorld,
  type Vector3,
  type Volume,
  type VoxelData,
  voxelCount,
} from './volume.ts';

/** Half-open, in array order (z, y, x): the voxels from `start` up to but not including `end`. */
export interface Box {
  readonly start: Vector3;
  readonly end: Vector3;
}

/** 1 where any channel is not 0; z x y x x. */
export function nonZeroMask(volume: Volume): Uint8Array {
  const count = voxelCount(volume);
  const mask = new Uint8Array(count);
  for (let channel = 0, at = 0; channel < volume.channels; channel++) {
    for (let i = 0; i < count; i++, at++) if (volume.data[at] !== 0) mask[i] = 1;
  }
  return mask;
}

/**
 * The mask with its holes filled: zeros that no path of zeros from face to face joins to the outside become 1. A hole
 * that meets the outside only at an edge or a corner is closed.
 */
export function fillHoles(mask: Uint8Array, shape: Vector3): Uint8Array {
  const [nz, ny, nx] = shape;
  const outside = new Uint8Array(mask.length);
  const stack: number[] = [];
  const enter = (voxel: number) => {
    if (mask[voxel] === 0 && outside[voxel] === 0) stack.push(voxel);
  };
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      const row = (z * ny + y) * nx;
      const onFace = z === 0 || z === nz - 1 || y === 0 || y === ny - 1;
      for (let x = 0; x < nx; x += onFace ? 1 : Math.max(1, nx - 1)) {
        enter(row + x);
        spread();
      }
    }
  }
  return outside.map((reached) => 1 - reached);

  /** Marks whole runs of a row, and goes on in the four neighboring rows, with one entry for each run there. */
  function spread(): void {
    for (let voxel = stack.pop(); voxel !== undefined; voxel = stack.pop()) {
      if (outside[voxel]) continue;
      const row = voxel - (voxel % nx);
      let first = voxel;
      while (first > row && mask[first - 1] === 0) first--;
      let end = voxel + 1;
      while (end < row + nx && mask[end] === 0) end++;
      outside.fill(1, first, end);
      const y = (row / nx) % ny;
      const z = Math.floor(row / (nx * ny));
      if (y > 0) enterRuns(first - nx, end - nx);
      if (y < ny - 1) enterRuns(first + nx, end + nx);
      if (z > 0) enterRuns(first - nx * ny, end - nx * ny);
      if (z < nz - 1) enterRuns(first + nx * ny, end + nx * ny);
    }
  }

  function enterRuns(first: number, end: number): void {
    for (let voxel = first; voxel < end; voxel++) {
      if (mask[voxel] === 0 && (voxel === first || mask[voxel - 1] !== 0)) enter(voxel);
    }
  }
}

/** The smallest box around all that is not 0; undefined when everything is. */
export function boundingBox(mask: ArrayLike<number>, shape: Vector3): Box | undefined {
  const [nz, ny, nx] = shape;
  const start = [nz, ny, nx];
  const end = [0, 0, 0];
  for (let z = 0, row = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++, row += nx) {
      let first = 0;
      while (first < nx && mask[row + first] === 0) first++;
      if (first === nx) continue;
      let last = nx - 1;
      while (mask[row + last] === 0) last--;
      start[0] = Math.min(start[0], z);
      start[1] = Math.min(start[1], y);
      start[2] = Math.min(start[2], first);
      end[0] = z + 1;
      end[1] = Math.max(end[1], y + 1);
      end[2] = Math.max(end[2], last + 1);
    }
  }
  return end[0] === 0 ? undefined : { start: start as unknown as Vector3, end: end as unknown as Vector3 };
}

/**
 * The part of a volume in a box.
 * @throws RangeError when the box is empty or reaches outside
 */
export function crop<V extends Volume>(volume: V, box: Box): V {
  const { start, end } = box;
  const shape: Vector3 = [end[0] - start[0], end[1] - start[1], end[2] - start[2]];
  if (shape.some((length, axis) => !(length > 0 && start[axis] >= 0 && end[axis] <= volume.shape[axis]))) {
    throw new RangeError(`there is no box from ${start} to ${end} in ${showShape(volume.shape)} voxels`);
  }
  return moved(volume, shape, [-start[0], -start[1], -start[2]], 0);
}

/**
 * A cropped volume back in the grid that it was cut from, zeros around it.
 * @throws RangeError when the volume does not fill the box, or the box reaches outside of the grid
 */
export function paste<V extends Volume>(part: V, box: Box, grid: Geometry): V {
  const { start, end } = box;
  if (
    part.shape.some(
      (length, axis) => length !== end[axis] - start[axis] || start[axis] < 0 || end[axis] > grid.shape[axis],
    )
  ) {
    throw new RangeError(
      `${showShape(part.shape)} voxels do not go into the box from ${start} to ${end} of ${showShape(grid.shape)}`,
    );
  }
  const { shape, spacing, origin, direction } = grid;
  return { ...moved(part, shape, start, 0), spacing, origin, direction };
}

/**
 * The volume padded to at least a size on each axis: half of what is missing before (rounded down), the rest behind.
 * @param fill value of the new voxels
 * @returns also the box of the old voxels, so that `crop(volume, box)` undoes it
 */
export function padTo<V extends Volume>(volume: V, size: Vector3, fill = 0): { volume: V; box: Box } {
  const shape = volume.shape.map((length, axis) => Math.max(length, size[axis])) as unknown as Vector3;
  const start = shape.map((length, axis) => (length - volume.shape[axis]) >> 1) as unknown as Vector3;
  const end = start.map((before, axis) => before + volume.shape[axis]) as unknown as Vector3;
  return { volume: sameShape(shape, volume.shape) ? volume : moved(volume, shape, start, fill), box: { start, end } };
}

export interface NonZeroCrop {
  /** Where the part lies in the volume. */
  readonly box: Box;
  readonly image: Volume;
  /** Labels of the part, -1 for background outside of the filled non-zero mask; 0 and -1 alone when none were given. */
  readonly labels: Volume<Int8Array | Int16Array | Int32Array>;
}

/**
 * Cuts image and labels to the box around all voxels that are not 0 in every channel, holes included. An image of zeros
 * alone keeps its size. Labels below -1 become 0.
 * @throws InputError when the labels have another shape
 */
export function cropToNonZero(image: Volume, labels?: Volume): NonZeroCrop {
  if (labels && !sameShape(labels.shape, image.shape)) {
    throw new InputError(
      `the labels have ${showShape(labels.shape)} voxels (z, y, x) and the image ${showShape(image.shape)}; give labels on the image's grid.`,
    );
  }
  const { shape, spacing, origin, direction } = image;
  const inside = fillHoles(nonZeroMask(image), shape);
  const box = boundingBox(inside, shape) ?? { start: [0, 0, 0], end: shape };
  const mask = crop({ shape, spacing, origin, direction, channels: 1, data: inside }, box);
  const found = labels && crop(labels, box);
  const marked = found ? signedLike(found.data) : new Int8Array(mask.data.length);
  for (let i = 0; i < marked.length; i++) {
    const label = Math.max(marked[i], -1) === marked[i] ? marked[i] : 0;
    marked[i] = label === 0 && mask.data[i] === 0 ? -1 : label;
  }
  return { box, image: crop(image, box), labels: { ...mask, data: marked } };
}

/** The same whole numbers in a type that also has -1. */
function signedLike(labels: VoxelData): Int16Array | Int32Array {
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] > 0x7fff || labels[i] < -0x8000) return Int32Array.from(labels);
  }
  return Int16Array.from(labels);
}

/**
 * Copies into `out` those voxels of `data` that lie in it when voxel (0, 0, 0) of `data` has the index `offset` there.
 * @param shape of a channel of `data`; channels are outermost in both
 */
export function copyOverlap<T extends VoxelData>(
  data: T,
  shape: Vector3,
  out: T,
  outShape: Vector3,
  offset: Vector3,
  channels = 1,
): void {
  const [z0, y0, x0] = offset.map((at) => Math.max(0, -at));
  const [z1, y1, x1] = shape.map((length, axis) => Math.min(length, outShape[axis] - offset[axis]));
  if (x1 <= x0) return;
  for (let c = 0; c < channels; c++) {
    for (let z = z0; z < z1; z++) {
      for (let y = y0; y < y1; y++) {
        const from = ((c * shape[0] + z) * shape[1] + y) * shape[2];
        const to = ((c * outShape[0] + z + offset[0]) * outShape[1] + y + offset[1]) * outShape[2] + offset[2];
        out.set(data.subarray(from + x0, from + x1), to + x0);
      }
    }
  }
}

/** A grid of `shape` on which the old voxel (0, 0, 0) has the index `offset` (z, y, x); what no longer fits is lost. */
function moved<V extends Volume>(volume: V, shape: Vector3, offset: Vector3, fill: number): V {
  const data = emptyLike(volume.data, volume.channels * shape[0] * shape[1] * shape[2]);
  if (fill !== 0) data.fill(fill);
  copyOverlap(volume.data, volume.shape, data, shape, offset, volume.channels);
  return { ...volume, shape, origin: indexToWorld(volume, [0 - offset[2], 0 - offset[1], 0 - offset[0]]), data };
}
