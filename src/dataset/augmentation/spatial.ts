/**
 * Rotation and scaling of a patch: every voxel of a smaller output patch is read from the larger one that was loaded,
 * images through cubic B-splines, labels through linear weights and a vote. Elastic deformation is off in all training
 * that this package reproduces, so that it is not here.
 *
 * Array axes are 0, 1, 2 (z, y, x). Definitions: batchgenerators, `augment_spatial`.
 */
import { type Box, boundingBox, copyOverlap } from '../../volume/cropping.ts';
import { winner } from '../../volume/resampling.ts';
import { splineCoefficients } from '../../volume/spline.ts';
import { emptyLike, type FloatData, type Matrix3, type Vector3 } from '../../volume/volume.ts';
import type { LabelData, Patch } from './patch.ts';

export interface SpatialTransform {
  /** Radians about the array axes 0, 1, 2. With `inPlane`, only the first counts: about axis 0. */
  readonly angles: Vector3;
  /** Input voxels per output voxel along each axis: above 1 zooms out. */
  readonly scale: Vector3;
  /** "Dummy 2-D": every slice of axis 0 by itself, which then keeps its length. */
  readonly inPlane?: boolean;
  /** Input coordinates that the center of the output reads; the input's own center when left out. */
  readonly center?: Vector3;
}

export interface SpatialOptions {
  /** 0 nearest, 1 linear, 3 cubic. */
  readonly imageOrder: 0 | 1 | 3;
  readonly labelOrder: 0 | 1;
}

const trainingOrders: SpatialOptions = { imageOrder: 3, labelOrder: 1 };

/** Label of what lies outside, and value of the image there. */
const outside = { label: -1, image: 0 };

/**
 * The transformed patch of another shape. A point outside the voxel centers of the input gets 0 in the image, without
 * blending. Labels of order 1: the largest label that has half of the linear weights around the point, 0 where none has
 * and outside; of order 0, -1 outside.
 * @throws RangeError when slices are taken by themselves and their number is to change
 */
export function transformPatch<T extends FloatData, L extends LabelData>(
  patch: Patch<T, L>,
  shape: Vector3,
  transform: SpatialTransform,
  { imageOrder, labelOrder }: SpatialOptions = trainingOrders,
): Patch<T, L> {
  const inPlane = transform.inPlane ?? false;
  if (inPlane && patch.shape[0] !== shape[0]) {
    throw new RangeError(`${patch.shape[0]} slices that are turned by themselves cannot become ${shape[0]}`);
  }
  const view = viewOf(patch.shape, shape, transform);
  const count = patch.shape[0] * patch.shape[1] * patch.shape[2];
  const image = emptyLike(patch.image, patch.channels * shape[0] * shape[1] * shape[2]);
  for (let channel = 0; channel < patch.channels; channel++) {
    const values = patch.image.subarray(channel * count, (channel + 1) * count) as T;
    const to = (channel * image.length) / patch.channels;
    if (imageOrder === 0) readNearest(values, patch.shape, view, outside.image, image, to);
    else if (imageOrder === 1) readLinear(values, patch.shape, view, image, to);
    else readCubic(values, patch.shape, view, inPlane, image, to);
  }
  const labels = emptyLike(patch.labels, shape[0] * shape[1] * shape[2]);
  if (labelOrder === 0) readNearest(patch.labels, patch.shape, view, outside.label, labels, 0);
  else readLabels(patch.labels, patch.shape, view, labels);
  return { shape, channels: patch.channels, image, labels };
}

/** The middle of a patch, without interpolation. An odd remainder is left at the upper end. */
export function centerCrop<T extends FloatData, L extends LabelData>(patch: Patch<T, L>, shape: Vector3): Patch<T, L> {
  const corner = shape.map((length, axis) => Math.floor((patch.shape[axis] - length) / 2));
  if (corner.some((offset) => offset < 0)) {
    throw new RangeError(`no ${shape.join('x')} voxels lie in a patch of ${patch.shape.join('x')}`);
  }
  const [z, y, x] = corner.map((at) => -at);
  const cut = <A extends T | L>(data: A, channels: number): A => {
    const out = emptyLike(data, channels * shape[0] * shape[1] * shape[2]);
    copyOverlap(data, patch.shape, out, shape, [z, y, x], channels);
    return out;
  };
  return { shape, channels: patch.channels, image: cut(patch.image, patch.channels), labels: cut(patch.labels, 1) };
}

/** Rx Ry Rz, row-major on array axes 0, 1, 2, of angles in radians. */
export function rotationMatrix([x, y, z]: Vector3): Matrix3 {
  const [cx, sx, cy, sy, cz, sz] = [x, y, z].flatMap((angle) => [Math.cos(angle), Math.sin(angle)]);
  return [
    cy * cz,
    -cy * sz,
    sy,
    cx * sz + sx * sy * cz,
    cx * cz - sx * sy * sz,
    -sx * cy,
    sx * sz - cx * sy * cz,
    sx * cz + cx * sy * sz,
    cx * cy,
  ];
}

/**
 * Voxels to load so that an output patch finds all that it reads, at rotations up to `angles` (radians, none counts for
 * more than a quarter turn) and the smallest scale. Two axes turned at once can still reach beyond it, as in nnU-Net.
 * With `inPlane`, axis 0 keeps its length and only the first angle counts.
 */
export function initialPatchShape(shape: Vector3, angles: Vector3, smallestScale: number, inPlane = false): Vector3 {
  const turned = (inPlane ? [0] : [0, 1, 2]).map((axis) => {
    const single: [number, number, number] = [0, 0, 0];
    single[axis] = Math.min(Math.abs(angles[axis]), Math.PI / 2);
    const m = rotationMatrix(single);
    return [0, 1, 2].map((a) => Math.abs(m[a] * shape[0] + m[3 + a] * shape[1] + m[6 + a] * shape[2]));
  });
  const [d, h, w] = shape.map((length, axis) =>
    Math.floor(Math.max(length, ...turned.map((corner) => corner[axis])) / smallestScale),
  );
  return [inPlane ? shape[0] : d, h, w];
}

// --- where output voxels read ---

/** Input coordinates = matrix * (output index - middle of the output) + center. */
interface View {
  readonly shape: Vector3;
  readonly matrix: Matrix3;
  readonly center: Vector3;
}

/** matrix = diag(scale) (Rx Ry Rz)^T */
function viewOf(input: Vector3, shape: Vector3, { angles, scale, inPlane, center }: SpatialTransform): View {
  const r = rotationMatrix(inPlane ? [angles[0], 0, 0] : angles);
  const [s, t, u] = inPlane ? [1, scale[1], scale[2]] : scale;
  const middle: Vector3 = [input[0] / 2 - 0.5, input[1] / 2 - 0.5, input[2] / 2 - 0.5];
  return {
    shape,
    matrix: [s * r[0], s * r[3], s * r[6], t * r[1], t * r[4], t * r[7], u * r[2], u * r[5], u * r[8]],
    center: center ?? middle,
  };
}

/** Coordinates of one row of output voxels, one axis after the other: all z, all y, all x. */
function rowCoordinates({ shape, matrix: m, center }: View, z: number, y: number, into: Float64Array): void {
  const [qz, qy, middle] = [z - (shape[0] - 1) / 2, y - (shape[1] - 1) / 2, (shape[2] - 1) / 2];
  const length = shape[2];
  for (let axis = 0; axis < 3; axis++) {
    const base = m[3 * axis] * qz + m[3 * axis + 1] * qy;
    const step = m[3 * axis + 2];
    for (let x = 0; x < length; x++) into[axis * length + x] = base + step * (x - middle) + center[axis];
  }
}

// --- reading; each fills the output from `to` on, row by row ---
// Values are named one by one in the loops over voxels: taking arrays apart there costs about a fifth more time.

function readNearest<A extends FloatData | LabelData>(
  data: A,
  [nz, ny, nx]: Vector3,
  view: View,
  border: number,
  out: A,
  to: number,
): void {
  const length = view.shape[2];
  const at = new Float64Array(3 * length);
  for (let z = 0; z < view.shape[0]; z++) {
    for (let y = 0; y < view.shape[1]; y++) {
      rowCoordinates(view, z, y, at);
      for (let i = 0; i < length; i++) {
        const pz = at[i];
        const py = at[length + i];
        const px = at[2 * length + i];
        const inside = pz >= 0 && pz <= nz - 1 && py >= 0 && py <= ny - 1 && px >= 0 && px <= nx - 1;
        const from = (Math.floor(pz + 0.5) * ny + Math.floor(py + 0.5)) * nx + Math.floor(px + 0.5);
        out[to++] = inside ? data[from] : border;
      }
    }
  }
}

function readLinear(data: FloatData, [nz, ny, nx]: Vector3, view: View, out: FloatData, to: number): void {
  const length = view.shape[2];
  const at = new Float64Array(3 * length);
  for (let z = 0; z < view.shape[0]; z++) {
    for (let y = 0; y < view.shape[1]; y++) {
      rowCoordinates(view, z, y, at);
      for (let i = 0; i < length; i++, to++) {
        const pz = at[i];
        const py = at[length + i];
        const px = at[2 * length + i];
        if (!(pz >= 0 && pz <= nz - 1 && py >= 0 && py <= ny - 1 && px >= 0 && px <= nx - 1)) {
          out[to] = outside.image;
          continue;
        }
        const lz = Math.floor(pz);
        const ly = Math.floor(py);
        const lx = Math.floor(px);
        const tz = pz - lz;
        const ty = py - ly;
        const tx = px - lx;
        // On the last voxel the next one has no weight, and is not there.
        const from = (lz * ny + ly) * nx + lx;
        const dz = lz < nz - 1 ? ny * nx : 0;
        const dy = ly < ny - 1 ? nx : 0;
        const dx = lx < nx - 1 ? 1 : 0;
        const a = data[from] * (1 - tx) + data[from + dx] * tx;
        const b = data[from + dy] * (1 - tx) + data[from + dy + dx] * tx;
        const c = data[from + dz] * (1 - tx) + data[from + dz + dx] * tx;
        const d = data[from + dz + dy] * (1 - tx) + data[from + dz + dy + dx] * tx;
        out[to] = (a * (1 - ty) + b * ty) * (1 - tz) + (c * (1 - ty) + d * ty) * tz;
      }
    }
  }
}

const half = (weight: number) => weight >= 0.5;

function readLabels(labels: LabelData, [nz, ny, nx]: Vector3, view: View, out: LabelData): void {
  const length = view.shape[2];
  const at = new Float64Array(3 * length);
  const near = new Float64Array(8);
  const weights = new Float64Array(8);
  let to = 0;
  for (let z = 0; z < view.shape[0]; z++) {
    for (let y = 0; y < view.shape[1]; y++) {
      rowCoordinates(view, z, y, at);
      for (let i = 0; i < length; i++, to++) {
        const pz = at[i];
        const py = at[length + i];
        const px = at[2 * length + i];
        // The output is 0 already.
        if (!(pz >= 0 && pz <= nz - 1 && py >= 0 && py <= ny - 1 && px >= 0 && px <= nx - 1)) continue;
        const lz = Math.floor(pz);
        const ly = Math.floor(py);
        const lx = Math.floor(px);
        const from = (lz * ny + ly) * nx + lx;
        const dz = lz < nz - 1 ? ny * nx : 0;
        const dy = ly < ny - 1 ? nx : 0;
        const dx = lx < nx - 1 ? 1 : 0;
        let alike = true;
        for (let k = 0; k < 8; k++) {
          near[k] = labels[from + (k & 4 ? dz : 0) + (k & 2 ? dy : 0) + (k & 1 ? dx : 0)];
          alike = alike && near[k] === near[0];
        }
        if (alike) {
          out[to] = near[0];
          continue;
        }
        const tz = pz - lz;
        const ty = py - ly;
        const tx = px - lx;
        for (let k = 0; k < 8; k++) {
          weights[k] = (k & 4 ? tz : 1 - tz) * (k & 2 ? ty : 1 - ty) * (k & 1 ? tx : 1 - tx);
        }
        out[to] = winner(near, weights, half);
      }
    }
  }
}

/** Array offsets of the voxels -1 .. n + 1 along an axis, mirrored about the end voxels; entry 0 is that of voxel -1. */
function mirroredOffsets(n: number, stride: number): Int32Array {
  const period = Math.max(1, 2 * (n - 1));
  return Int32Array.from({ length: n + 3 }, (_, k) => {
    const index = (k - 1 + period) % period;
    return stride * (n === 1 ? 0 : Math.min(index, period - index));
  });
}

/** Weights of the four coefficients around a point, t behind the second of them. */
function cubicWeights(t: number, into: Float64Array): void {
  const u = 1 - t;
  into[0] = (u * u * u) / 6;
  into[1] = (4 - 6 * t * t + 3 * t * t * t) / 6;
  into[2] = (4 - 6 * u * u + 3 * u * u * u) / 6;
  into[3] = (t * t * t) / 6;
}

/**
 * How far a sample counts among the coefficients around it: the spline's filter falls by 0.27 a voxel, to 2e-7 at this
 * distance. What only lies farther from all that is read, or from all that is not 0, is left out.
 */
const filterReach = 12;

/** The voxels that the view reads through cubic splines, of those that are not 0; undefined when there are none. */
function countingBox(data: FloatData, shape: Vector3, { shape: size, matrix: m, center }: View): Box | undefined {
  const filled = boundingBox(data, shape);
  if (!filled) return undefined;
  const box = { start: [0, 0, 0], end: [0, 0, 0] };
  for (const axis of [0, 1, 2]) {
    const reach = [0, 1, 2].reduce((sum, each) => sum + (Math.abs(m[3 * axis + each]) * (size[each] - 1)) / 2, 0);
    // A point is read from the voxel before the one that it lies behind, and up to two voxels on.
    const [low, high] = [Math.floor(center[axis] - reach) - 1, Math.floor(center[axis] + reach) + 3];
    box.start[axis] = Math.max(0, filled.start[axis] - filterReach - 2, low - filterReach);
    box.end[axis] = Math.min(shape[axis], filled.end[axis] + filterReach + 2, high + filterReach);
    if (box.start[axis] >= box.end[axis]) return undefined;
  }
  return box as unknown as Box;
}

function readCubic(data: FloatData, whole: Vector3, seen: View, inPlane: boolean, out: FloatData, to: number): void {
  const box = countingBox(data, whole, seen);
  // The output is 0 already.
  if (!box) return;
  const { start, end } = box;
  const shape: Vector3 = [end[0] - start[0], end[1] - start[1], end[2] - start[2]];
  const [nz, ny, nx] = shape;
  const part = emptyLike(data, nz * ny * nx);
  copyOverlap(data, whole, part, shape, [-start[0], -start[1], -start[2]]);
  const [cz, cy, cx] = seen.center;
  const view: View = { ...seen, center: [cz - start[0], cy - start[1], cx - start[2]] };
  const coefficients = splineCoefficients(part, shape, inPlane ? [1, 2] : [0, 1, 2]);
  const [zs, ys, xs] = [mirroredOffsets(nz, ny * nx), mirroredOffsets(ny, nx), mirroredOffsets(nx, 1)];
  const length = view.shape[2];
  const at = new Float64Array(3 * length);
  const [wz, wy, wx] = [new Float64Array(4), new Float64Array(4), new Float64Array(4)];
  const [firstSlice, endSlice] = inPlane ? [1, 2] : [0, 4];
  for (let z = 0; z < view.shape[0]; z++) {
    for (let y = 0; y < view.shape[1]; y++) {
      rowCoordinates(view, z, y, at);
      for (let i = 0; i < length; i++, to++) {
        const pz = at[i];
        const py = at[length + i];
        const px = at[2 * length + i];
        if (!(pz >= 0 && pz <= nz - 1 && py >= 0 && py <= ny - 1 && px >= 0 && px <= nx - 1)) {
          out[to] = outside.image;
          continue;
        }
        const lz = Math.floor(pz);
        const ly = Math.floor(py);
        const lx = Math.floor(px);
        cubicWeights(py - ly, wy);
        cubicWeights(px - lx, wx);
        const x0 = xs[lx];
        const x1 = xs[lx + 1];
        const x2 = xs[lx + 2];
        const x3 = xs[lx + 3];
        const w0 = wx[0];
        const w1 = wx[1];
        const w2 = wx[2];
        const w3 = wx[3];
        // A slice by itself has no neighbors, and the point lies on it.
        if (inPlane) wz[1] = 1;
        else cubicWeights(pz - lz, wz);
        let sum = 0;
        for (let a = firstSlice; a < endSlice; a++) {
          let slice = 0;
          for (let b = 0; b < 4; b++) {
            const row = zs[lz + a] + ys[ly + b];
            slice +=
              wy[b] *
              (w0 * coefficients[row + x0] +
                w1 * coefficients[row + x1] +
                w2 * coefficients[row + x2] +
                w3 * coefficients[row + x3]);
          }
          sum += wz[a] * slice;
        }
        out[to] = sum;
      }
    }
  }
}
