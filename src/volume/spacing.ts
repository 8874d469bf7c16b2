/**
 * MONAI's Spacing transform: another voxel size where the first voxel center stays in place, unlike `resampling.ts`,
 * where the extent does. Interpolation is linear or nearest, beyond the border the border's value counts.
 *
 * Definitions: MONAI, `zoom_affine`, `compute_shape_offset` and `SpatialResample` with `align_corners` false.
 */
import {
  affineOf,
  emptyLike,
  type FloatData,
  type Geometry,
  indexToWorld,
  inverse,
  type Matrix3,
  roundEven,
  type Vector3,
  type Volume,
  type VoxelData,
  voxelCount,
} from './volume.ts';

/** A voxel size this close to the wanted one stays, in mm. */
const sameSpacing = 1e-3;

/** Intensities on a voxel size (mm, along x, y, z), linearly interpolated. Integers become float32. */
export function respace(volume: Volume, spacing: Vector3): Volume<FloatData> {
  const grid = respacedGrid(volume, spacing);
  const { data } = volume;
  const values = data instanceof Float32Array || data instanceof Float64Array ? data : Float32Array.from(data);
  return { ...volume, ...grid, data: sample({ ...volume, data: values }, grid, readLinear) };
}

/** The same for labels: the nearest voxel's value. */
export function respaceLabels<V extends Volume>(labels: V, spacing: Vector3): V {
  const grid = respacedGrid(labels, spacing);
  return { ...labels, ...grid, data: sample(labels, grid, readNearest) };
}

/** The directions without shear, with the wanted spacing, around the same voxel centers. */
function respacedGrid(old: Geometry, wanted: Vector3): Geometry {
  const spacing = wanted.map((size, axis) =>
    Math.abs(size - old.spacing[axis]) < sameSpacing ? old.spacing[axis] : size,
  ) as unknown as Vector3;
  const frame: Geometry = { shape: old.shape, spacing, origin: [0, 0, 0], direction: orthonormal(old.direction) };

  const [nz, ny, nx] = old.shape;
  const corners = [0, 1, 2, 3, 4, 5, 6, 7].map((bits) =>
    indexToWorld(old, [bits & 4 ? nx - 1 : 0, bits & 2 ? ny - 1 : 0, bits & 1 ? nz - 1 : 0]),
  );
  const back = inverse(scaledDirection(frame));
  const inFrame = corners.map((corner) => times(back, corner));
  const lowest = [0, 1, 2].map((axis) => Math.min(...inFrame.map((corner) => corner[axis])));
  const [x, y, z] = lowest.map((low, axis) => roundEven(Math.max(...inFrame.map((corner) => corner[axis])) - low + 1));
  const shape: Vector3 = [z, y, x];

  // The corner that is the lowest on all new axes keeps its place; where shear leaves none, the middles of the grids meet.
  const first = inFrame.findIndex((corner) => corner.every((value, axis) => value - lowest[axis] <= 1e-8));
  if (first >= 0) return { ...frame, shape, origin: corners[first] };
  const middle = times(scaledDirection(old), [nx / 2, ny / 2, nz / 2]);
  const newMiddle = times(scaledDirection(frame), [x / 2, y / 2, z / 2]);
  const origin = old.origin.map((value, axis) => value + middle[axis] - newMiddle[axis]) as unknown as Vector3;
  return { ...frame, shape, origin };
}

/** Columns made orthonormal one after the other (Gram-Schmidt: the rotation of a QR split with positive diagonal). */
function orthonormal(m: Matrix3): Matrix3 {
  const columns: number[][] = [];
  for (const axis of [0, 1, 2]) {
    let column = [m[axis], m[3 + axis], m[6 + axis]];
    for (const done of columns) {
      const along = done.reduce((sum, value, i) => sum + value * column[i], 0);
      column = column.map((value, i) => value - along * done[i]);
    }
    const length = Math.sqrt(column.reduce((sum, value) => sum + value * value, 0));
    columns.push(column.map((value) => value / length));
  }
  return [0, 1, 2].flatMap((row) => columns.map((column) => column[row])) as unknown as Matrix3;
}

/** Direction times spacing: index steps -> mm. */
function scaledDirection(geometry: Geometry): Matrix3 {
  const a = affineOf(geometry);
  return [a[0], a[1], a[2], a[4], a[5], a[6], a[8], a[9], a[10]];
}

function times(m: Matrix3, [x, y, z]: Vector3): Vector3 {
  return [m[0] * x + m[1] * y + m[2] * z, m[3] * x + m[4] * y + m[5] * z, m[6] * x + m[7] * y + m[8] * z];
}

/** Value at a position (x, y, z) inside of the grid, in voxels; `from` is the channel's first voxel. */
type Read<T extends VoxelData> = (data: T, from: number, shape: Vector3, x: number, y: number, z: number) => number;

/** Reads every voxel center of the new grid in the old volume, positions clamped to its border. */
function sample<T extends VoxelData>(volume: Volume<T>, grid: Geometry, read: Read<T>): T {
  const { shape, channels, data } = volume;
  const back = inverse(scaledDirection(volume));
  const step = scaledDirection(grid);
  const m = [0, 1, 2].flatMap((row) =>
    [0, 1, 2].map((column) => [0, 1, 2].reduce((sum, i) => sum + back[3 * row + i] * step[3 * i + column], 0)),
  );
  const [x0, y0, z0] = times(back, grid.origin.map((value, axis) => value - volume.origin[axis]) as unknown as Vector3);
  const [nz, ny, nx] = grid.shape;
  const count = voxelCount(volume);
  const out = emptyLike(data, channels * nx * ny * nz);
  for (let channel = 0, to = 0; channel < channels; channel++) {
    for (let k = 0; k < nz; k++) {
      for (let j = 0; j < ny; j++) {
        for (let i = 0; i < nx; i++, to++) {
          const x = Math.min(Math.max(m[0] * i + m[1] * j + m[2] * k + x0, 0), shape[2] - 1);
          const y = Math.min(Math.max(m[3] * i + m[4] * j + m[5] * k + y0, 0), shape[1] - 1);
          const z = Math.min(Math.max(m[6] * i + m[7] * j + m[8] * k + z0, 0), shape[0] - 1);
          out[to] = read(data, channel * count, shape, x, y, z);
        }
      }
    }
  }
  return out;
}

function readNearest(data: VoxelData, from: number, shape: Vector3, x: number, y: number, z: number): number {
  return data[from + (roundEven(z) * shape[1] + roundEven(y)) * shape[2] + roundEven(x)];
}

function readLinear(data: FloatData, from: number, shape: Vector3, x: number, y: number, z: number): number {
  const [i, j, k] = [Math.floor(x), Math.floor(y), Math.floor(z)];
  const [u, v, w] = [x - i, y - j, z - k];
  const right = i + 1 < shape[2] ? 1 : 0;
  const down = j + 1 < shape[1] ? shape[2] : 0;
  const behind = k + 1 < shape[0] ? shape[1] * shape[2] : 0;
  const at = from + (k * shape[1] + j) * shape[2] + i;
  const row = (start: number) => data[start] * (1 - u) + data[start + right] * u;
  const slice = (start: number) => row(start) * (1 - v) + row(start + down) * v;
  return slice(at) * (1 - w) + slice(at + behind) * w;
}
