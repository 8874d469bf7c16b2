/**
 * Resampling to another voxel size as nnU-Net does it: voxel extents are matched (not the centers of the end voxels),
 * edges are repeated, images go through cubic B-splines that are clipped to the range of the input, label maps through
 * linear weights and a vote, and a strongly anisotropic axis is treated apart from the other two ("separate z").
 *
 * Interpolation separates: each axis is one pass of a one-dimensional operator, in float64, over blocks of neighboring
 * columns. Between passes values have the precision of the data. A pass needs one array beside its input, so that at
 * most the input, the output and one array between them exist at once.
 *
 * Shapes and spacings of plain arrays are in array order (z, y, x); those of volumes are as in `volume.ts`.
 * Definitions: nnU-Net v2, `resample_data_or_seg`; SciPy, `ndimage.spline_filter`; Unser, Aldroubi and Eden, "B-spline
 * signal processing: part II", 1993.
 */
import { sameShape } from '../tensor.ts';
import { filterRows } from './spline.ts';
import {
  emptyLike,
  type FloatData,
  type Geometry,
  indexToWorld,
  type LabelMap,
  rangeOf,
  roundEven,
  type Vector3,
  type Volume,
  type VoxelData,
  voxelCount,
} from './volume.ts';

/** From one grid to another with the same extent; all in array order (z, y, x). */
export interface Regrid {
  readonly shape: Vector3;
  readonly spacing: Vector3;
  readonly newShape: Vector3;
  readonly newSpacing: Vector3;
}

export interface ResamplingOptions<Order extends 0 | 1 | 3 = 0 | 1 | 3> {
  /** 0 nearest, 1 linear, 3 cubic; in the plane when an axis is treated apart. */
  order: Order;
  /** Along an axis that is treated apart. */
  orderZ: Order;
  /** Whether the coarsest axis is treated apart, by the present grid; left out, where a grid is anisotropic. */
  separateZ?: boolean;
  /** Largest spacing over smallest, above which a grid counts as anisotropic; nnU-Net's 3 when left out. */
  anisotropyThreshold?: number;
}

/** nnU-Net's settings: images, segmentations, and probabilities or logits on their way back to the scan's grid. */
export const imageResampling: ResamplingOptions = { order: 3, orderZ: 0 };
export const labelResampling: ResamplingOptions<0 | 1> = { order: 1, orderZ: 0 };
export const probabilityResampling: ResamplingOptions = { order: 1, orderZ: 0 };

/** Voxels per axis after resampling; halves go to the even number. At least 1, where nnU-Net would give an empty axis. */
export function newShape(shape: Vector3, spacing: Vector3, newSpacing: Vector3): Vector3 {
  const [z, y, x] = shape.map((length, axis) => Math.max(1, roundEven((spacing[axis] / newSpacing[axis]) * length)));
  return [z, y, x];
}

/**
 * The axis that is treated apart, or none: the coarsest one of the present grid if that is anisotropic, else of the new
 * grid. Two equally coarse axes are not treated apart.
 */
export function separateAxis(
  spacing: Vector3,
  newSpacing: Vector3,
  { separateZ, anisotropyThreshold = 3 }: Pick<ResamplingOptions, 'separateZ' | 'anisotropyThreshold'> = {},
): number | undefined {
  if (separateZ === false) return undefined;
  const anisotropic = (s: Vector3) => Math.max(...s) / Math.min(...s) > anisotropyThreshold;
  const grid = separateZ || anisotropic(spacing) ? spacing : anisotropic(newSpacing) ? newSpacing : undefined;
  const coarsest = [0, 1, 2].filter((axis) => grid?.[axis] === Math.max(...(grid ?? [])));
  return coarsest.length === 1 ? coarsest[0] : undefined;
}

/**
 * A volume of intensities on a new voxel size (mm, along x, y, z). Integers become float32. The spacing of the result
 * is what fits a whole number of voxels into the same extent, so it can differ a little from the wanted one.
 */
export function resample(volume: Volume, spacing: Vector3, options = imageResampling): Volume<FloatData> {
  const { data } = volume;
  const regrid = regridOf(volume, spacing);
  const values = data instanceof Float32Array || data instanceof Float64Array ? data : Float32Array.from(data);
  return {
    ...regridded(volume, regrid),
    data: perChannel(volume, values, (part) => resampleChannel(part, regrid, options)),
  };
}

/** A label map on a new voxel size (mm, along x, y, z), see `resample`. */
export function resampleLabels<V extends Volume | LabelMap>(labels: V, spacing: Vector3, options = labelResampling): V {
  const regrid = regridOf(labels, spacing);
  return {
    ...regridded(labels, regrid),
    data: perChannel(labels, labels.data, (part) => resampleLabelChannel(part, regrid, options)),
  };
}

/** One channel of intensities, z x y x x. Gives the same array when the shape stays. */
export function resampleChannel<T extends FloatData>(data: T, regrid: Regrid, options: ResamplingOptions): T {
  const { shape, newShape } = regrid;
  const all = { from: 0, to: newShape[0] };
  const { from, to } = slicesRead(regrid, options, all);
  const area = shape[1] * shape[2];
  const read = to - from === shape[0] ? data : (data.subarray(from * area, to * area) as T);
  return resampleSlices(read, regrid, options, all);
}

/** Neighboring slices of the first axis: from `from` up to but not including `to`. */
export interface Slices {
  readonly from: number;
  readonly to: number;
}

/**
 * The slices of the input that these slices of the output read: all of them for splines, which reach everywhere, else the
 * few that lie around.
 */
export function slicesRead(regrid: Regrid, options: ResamplingOptions, { from, to }: Slices): Slices {
  const [n, m] = [regrid.shape[0], regrid.newShape[0]];
  const apart = separateAxis(regrid.spacing, regrid.newSpacing, options);
  if (sameShape(regrid.shape, regrid.newShape)) return { from, to };
  // What is clipped, is clipped to the range of the whole input.
  if (options.order > 1 || (apart === 0 && options.orderZ > 1)) return { from: 0, to: n };
  if (n === m) return { from, to };
  const points = samplePoints(n, m);
  const [low, high] = [points[from], points[to - 1]].map((x) => Math.min(Math.max(x, 0), n - 1));
  // Order 0 reads the nearer one of the two that order 1 reads.
  return { from: Math.floor(low), to: Math.min(Math.floor(high) + 2, n) };
}

/**
 * Some slices of what `resampleChannel` gives, bit for bit, from those slices of the input that they read.
 * @param data the slices of one channel that `slicesRead` names, z x y x x
 */
export function resampleSlices<T extends FloatData>(
  data: T,
  regrid: Regrid,
  options: ResamplingOptions,
  slices: Slices,
): T {
  const { shape, newShape } = regrid;
  if (sameShape(shape, newShape)) return data;
  const read = slicesRead(regrid, options, slices);
  const held: Vector3 = [read.to - read.from, shape[1], shape[2]];
  const sections = [0, 1, 2].map(
    (axis): Section =>
      axis === 0
        ? { n: shape[0], m: newShape[0], first: read.from, ...slices }
        : { n: shape[axis], m: newShape[axis], first: 0, from: 0, to: newShape[axis] },
  );
  const apart = separateAxis(regrid.spacing, regrid.newSpacing, options);
  if (apart === undefined) return resizeSections(data, held, sections, options.order);

  const others = [0, 1, 2].filter((axis) => axis !== apart);
  const [between, inPlane] = alongEachAxis(data, held, sections, options.order, others);
  // Every slice is a picture of its own: clipped to its own range.
  if (options.order > 1 && between !== data) clipSlices(between, inPlane, data, held, apart);
  return isWhole(sections[apart]) ? between : resizeAxis(between, inPlane, apart, sections[apart], options.orderZ);
}

/**
 * One channel of labels, z x y x x. Order 1: each voxel gets the label that has at least half of the linear weights
 * around it, the larger label in a tie, and 0 where none has half. Gives the same array when the shape stays.
 */
export function resampleLabelChannel<T extends VoxelData>(
  data: T,
  regrid: Regrid,
  options: ResamplingOptions<0 | 1>,
): T {
  const { shape, newShape } = regrid;
  if (sameShape(shape, newShape)) return data;
  const inPlaneVote = options.order === 0 ? nearestLabels : voteLinear;
  const apart = separateAxis(regrid.spacing, regrid.newSpacing, options);
  if (apart === undefined) return inPlaneVote(data, shape, newShape);

  const inPlane = shape.map((length, axis) => (axis === apart ? length : newShape[axis])) as unknown as Vector3;
  const slices = sameShape(shape, inPlane) ? data : inPlaneVote(data, shape, inPlane);
  if (inPlane[apart] === newShape[apart]) return slices;
  return options.orderZ === 0
    ? nearestLabels(slices, inPlane, newShape)
    : // Between two slices the nearer one's label, and 0 exactly half way between different ones.
      voteLinear(slices, inPlane, newShape, (weight) => weight > 0.5);
}

/**
 * One channel, z x y x x, with other axis lengths: all axes alike, clipped to the range of the input (which only order 3
 * can leave).
 */
export function resize<T extends FloatData>(data: T, shape: Vector3, newShape: Vector3, order: 0 | 1 | 3): T {
  if (sameShape(shape, newShape)) return data;
  return resizeSections(data, shape, wholeSections(shape, newShape), order);
}

function resizeSections<T extends FloatData>(
  data: T,
  held: Vector3,
  sections: readonly Section[],
  order: 0 | 1 | 3,
): T {
  if (order === 0) return nearest(data, held, sections);
  const [out] = alongEachAxis(data, held, sections, order, [0, 1, 2]);
  if (order === 3) {
    const [low, high] = rangeOf(data);
    for (let i = 0; i < out.length; i++) out[i] = Math.min(high, Math.max(low, out[i]));
  }
  return out;
}

// --- volumes ---

function regridOf(volume: Geometry, spacing: Vector3): Regrid {
  const present: Vector3 = [volume.spacing[2], volume.spacing[1], volume.spacing[0]];
  const wanted: Vector3 = [spacing[2], spacing[1], spacing[0]];
  return {
    shape: volume.shape,
    spacing: present,
    newShape: newShape(volume.shape, present, wanted),
    newSpacing: wanted,
  };
}

/** The same extent with other voxels: the first voxel's center moves by half the difference of the sizes. */
function regridded<V extends Volume>(volume: V, { shape, newShape }: Regrid): V {
  const zoom = [2, 1, 0].map((axis) => shape[axis] / newShape[axis]);
  const [i, j, k] = zoom.map((ratio) => 0.5 * ratio - 0.5);
  const [x, y, z] = zoom.map((ratio, axis) => volume.spacing[axis] * ratio);
  return { ...volume, shape: newShape, spacing: [x, y, z], origin: indexToWorld(volume, [i, j, k]) };
}

function perChannel<T extends VoxelData>(volume: Volume, data: T, change: (channel: T) => T): T {
  if (volume.channels === 1) return change(data);
  const count = voxelCount(volume);
  let out: T | undefined;
  for (let channel = 0; channel < volume.channels; channel++) {
    const changed = change(data.subarray(channel * count, (channel + 1) * count) as T);
    out ??= emptyLike(data, volume.channels * changed.length);
    out.set(changed, channel * changed.length);
  }
  return out ?? data;
}

// --- sample points ---

/** One axis, or a stretch of it: length n to length m. */
interface Section {
  readonly n: number;
  readonly m: number;
  /** Input index of the first row that is there. */
  readonly first: number;
  /** Output indices that are wanted. */
  readonly from: number;
  readonly to: number;
}

function wholeSections(shape: Vector3, newShape: Vector3): Section[] {
  return shape.map((n, axis) => ({ n, m: newShape[axis], first: 0, from: 0, to: newShape[axis] }));
}

/** The axis stays as it is: the rows that are there are those wanted. */
const isWhole = ({ n, m }: Section) => n === m;

/** Where output index k of an axis reads: voxel extents are matched. The order of operations decides ties of order 0. */
function samplePoints(n: number, m: number): Float64Array {
  const zoom = n / m;
  return Float64Array.from({ length: m }, (_, k) => (k + 0.5) * zoom - 0.5);
}

function pointsOf({ n, m, from, to }: Section): Float64Array {
  return samplePoints(n, m).subarray(from, to);
}

/** Rows among those that are there. */
function nearestIndices(section: Section): Int32Array {
  const { n, first } = section;
  return Int32Array.from(pointsOf(section), (x) => Math.floor(Math.min(Math.max(x, 0), n - 1) + 0.5) - first);
}

/** For each output index the two (order 1) or four (order 3) rows that it reads, and their weights. */
interface Taps {
  readonly rows: Int32Array;
  readonly weights: Float64Array;
}

function linearTaps(section: Section): Taps {
  const { n, first } = section;
  const points = pointsOf(section);
  const rows = new Int32Array(2 * points.length);
  const weights = new Float64Array(2 * points.length);
  points.forEach((point, k) => {
    const x = Math.min(Math.max(point, 0), n - 1);
    const low = Math.floor(x);
    rows.set([low - first, Math.min(low + 1, n - 1) - first], 2 * k);
    weights.set([1 - (x - low), x - low], 2 * k);
  });
  return { rows, weights };
}

/** Copies of the edge voxel on either side before the spline's filter. */
const splinePadding = 12;

/** Rows of the padded axis. Sample points are not clamped: near the border they lie in the padding. */
function cubicTaps(section: Section): Taps {
  const points = pointsOf(section);
  const rows = new Int32Array(4 * points.length);
  const weights = new Float64Array(4 * points.length);
  points.forEach((point, k) => {
    const y = point - section.first + splinePadding;
    const low = Math.floor(y);
    const t = y - low;
    const u = 1 - t;
    rows.set([low - 1, low, low + 1, low + 2], 4 * k);
    weights.set([u ** 3 / 6, (4 - 6 * t * t + 3 * t ** 3) / 6, (4 - 6 * u * u + 3 * u ** 3) / 6, t ** 3 / 6], 4 * k);
  });
  return { rows, weights };
}

// --- passes ---

/**
 * Those of the axes that change, one after the other: first those that shrink, so that what lies between is small.
 * @returns the data, and their shape
 */
function alongEachAxis<T extends FloatData>(
  data: T,
  held: Vector3,
  sections: readonly Section[],
  order: 0 | 1 | 3,
  which: readonly number[],
): [T, Vector3] {
  const ratio = (axis: number) => sections[axis].m / sections[axis].n;
  let out = data;
  let now = held;
  for (const axis of which.filter((axis) => !isWhole(sections[axis])).sort((a, b) => ratio(a) - ratio(b))) {
    out = resizeAxis(out, now, axis, sections[axis], order);
    now = withLength(now, axis, sections[axis].to - sections[axis].from);
  }
  return [out, now];
}

function withLength(shape: Vector3, axis: number, length: number): Vector3 {
  return shape.map((old, other) => (other === axis ? length : old)) as unknown as Vector3;
}

/** One axis, or a stretch of it; the other two stay. */
function resizeAxis<T extends FloatData>(data: T, shape: Vector3, axis: number, section: Section, order: 0 | 1 | 3): T {
  const n = shape[axis];
  const m = section.to - section.from;
  if (order === 0) {
    const sections = wholeSections(shape, shape).map((other, index) => (index === axis ? section : other));
    return nearest(data, shape, sections);
  }
  const outer = axis === 0 ? 1 : axis === 1 ? shape[0] : 1;
  const columns = (shape[0] * shape[1] * shape[2]) / (outer * n);
  const out = emptyLike(data, (data.length / n) * m);
  if (order === 1) {
    const taps = linearTaps(section);
    if (axis === 2) blendNeighbors(data, n, taps, out, m);
    else blendRows(data, n, columns, outer, taps, out, m);
    return out;
  }
  // Columns lie next to each other but for the x axis, where each is a row of the array.
  const contiguous = axis !== 2;
  const [step, columnStep, newStep, newColumnStep] = contiguous ? [columns, 1, columns, 1] : [1, n, 1, m];

  const taps = cubicTaps(section);
  const length = n + 2 * splinePadding;
  // A block of columns should stay in the processor's cache, and be wide enough for the loops over it to pay.
  const width = Math.min(columns, Math.max(8, Math.min(64, Math.floor(16384 / length))));
  const block = new Float64Array(length * width);

  for (let o = 0; o < outer; o++) {
    for (let first = 0; first < columns; first += width) {
      const count = Math.min(width, columns - first);
      const from = o * columns * n + first * columnStep;
      for (let i = 0; i < n; i++) {
        const row = (splinePadding + i) * count;
        for (let c = 0, at = from + i * step; c < count; c++, at += columnStep) block[row + c] = data[at];
      }
      padRows(block, length, count);
      filterRows(block, length, count, 'halfSample');
      const to = o * columns * m + first * newColumnStep;
      readRows(block, count, taps, m, out, to, newStep, newColumnStep);
    }
  }
  return out;
}

/** Order 1 along an axis whose rows are `columns` neighbors in memory: each new row lies between two old ones. */
function blendRows(
  data: FloatData,
  n: number,
  columns: number,
  outer: number,
  { rows, weights }: Taps,
  out: FloatData,
  m: number,
): void {
  for (let o = 0, to = 0; o < outer; o++) {
    for (let k = 0; k < m; k++) {
      const [a, b] = [(o * n + rows[2 * k]) * columns, (o * n + rows[2 * k + 1]) * columns];
      const [u, v] = [weights[2 * k], weights[2 * k + 1]];
      for (let c = 0; c < columns; c++) out[to++] = u * data[a + c] + v * data[b + c];
    }
  }
}

/** Order 1 along x. */
function blendNeighbors(data: FloatData, n: number, { rows, weights }: Taps, out: FloatData, m: number): void {
  for (let row = 0, to = 0; row < data.length; row += n) {
    for (let k = 0; k < m; k++) {
      out[to++] = weights[2 * k] * data[row + rows[2 * k]] + weights[2 * k + 1] * data[row + rows[2 * k + 1]];
    }
  }
}

/** Repeats the first and the last row of the data in the padding. */
function padRows(block: Float64Array, length: number, count: number): void {
  const last = length - splinePadding - 1;
  for (let i = 0; i < splinePadding; i++) {
    block.copyWithin(i * count, splinePadding * count, (splinePadding + 1) * count);
    block.copyWithin((last + 1 + i) * count, last * count, (last + 1) * count);
  }
}

/** Weighted sums of four rows into the output: row k, column c goes to `to + k * step + c * columnStep`. */
function readRows(
  block: Float64Array,
  count: number,
  { rows, weights }: Taps,
  m: number,
  out: FloatData,
  to: number,
  step: number,
  columnStep: number,
): void {
  for (let k = 0; k < m; k++) {
    const tap = 4 * k;
    const [a, b, c, d] = [rows[tap] * count, rows[tap + 1] * count, rows[tap + 2] * count, rows[tap + 3] * count];
    const [u, v, w, x] = [weights[tap], weights[tap + 1], weights[tap + 2], weights[tap + 3]];
    for (let column = 0, at = to + k * step; column < count; column++, at += columnStep) {
      out[at] = u * block[a + column] + v * block[b + column] + w * block[c + column] + x * block[d + column];
    }
  }
}

/** Order 0 on all axes at once. */
function nearest<T extends VoxelData>(data: T, shape: Vector3, sections: readonly Section[]): T {
  const [zs, ys, xs] = sections.map(nearestIndices);
  const out = emptyLike(data, zs.length * ys.length * xs.length);
  let to = 0;
  for (const z of zs) {
    for (const y of ys) {
      const row = (z * shape[1] + y) * shape[2];
      for (let k = 0; k < xs.length; k++) out[to++] = data[row + xs[k]];
    }
  }
  return out;
}

function nearestLabels<T extends VoxelData>(data: T, shape: Vector3, newShape: Vector3): T {
  return nearest(data, shape, wholeSections(shape, newShape));
}

/**
 * Labels by the linear weights of the (up to eight) voxels around each sample point: the largest label whose weights
 * add up to enough, 0 where none does. One look at the neighbors says what resizing every label's own mask would.
 */
function voteLinear<T extends VoxelData>(
  data: T,
  shape: Vector3,
  newShape: Vector3,
  enough = (weight: number) => weight >= 0.5,
): T {
  const [zs, ys, xs] = wholeSections(shape, newShape).map(linearTaps);
  const out = emptyLike(data, newShape[0] * newShape[1] * newShape[2]);
  const near = new Float64Array(8);
  const weights = new Float64Array(8);
  let to = 0;
  for (let z = 0; z < newShape[0]; z++) {
    for (let y = 0; y < newShape[1]; y++) {
      const row = (zTap: number, yTap: number) => (zs.rows[2 * z + zTap] * shape[1] + ys.rows[2 * y + yTap]) * shape[2];
      const [r0, r1, r2, r3] = [row(0, 0), row(0, 1), row(1, 0), row(1, 1)];
      for (let x = 0; x < newShape[2]; x++) {
        const low = xs.rows[2 * x];
        const high = xs.rows[2 * x + 1];
        const label = data[r0 + low];
        near[0] = label;
        near[1] = data[r0 + high];
        near[2] = data[r1 + low];
        near[3] = data[r1 + high];
        near[4] = data[r2 + low];
        near[5] = data[r2 + high];
        near[6] = data[r3 + low];
        near[7] = data[r3 + high];
        let alike = true;
        for (let i = 1; i < 8; i++) alike = alike && near[i] === label;
        if (alike) {
          out[to++] = label;
          continue;
        }
        for (let i = 0; i < 8; i++) {
          weights[i] = zs.weights[2 * z + (i >> 2)] * ys.weights[2 * y + ((i >> 1) & 1)] * xs.weights[2 * x + (i & 1)];
        }
        out[to++] = winner(near, weights, enough);
      }
    }
  }
  return out;
}

/** The largest of the labels whose weights add up to enough, 0 where none does. Arrays of the same length. */
export function winner(labels: Float64Array, weights: Float64Array, enough: (weight: number) => boolean): number {
  let best: number | undefined;
  for (let i = 0; i < labels.length; i++) {
    if (best !== undefined && labels[i] <= best) continue;
    let sum = 0;
    for (let j = 0; j < labels.length; j++) if (labels[j] === labels[i]) sum += weights[j];
    if (enough(sum)) best = labels[i];
  }
  return best ?? 0;
}

// --- clipping ---

/** Clips each slice across an axis to the range of the same slice of the input. */
function clipSlices(out: FloatData, newShape: Vector3, data: FloatData, shape: Vector3, axis: number): void {
  const low = new Float64Array(shape[axis]).fill(Infinity);
  const high = new Float64Array(shape[axis]).fill(-Infinity);
  forEachSliceRun(data, shape, axis, (slice, from, end) => {
    for (let i = from; i < end; i++) {
      if (data[i] < low[slice]) low[slice] = data[i];
      if (data[i] > high[slice]) high[slice] = data[i];
    }
  });
  forEachSliceRun(out, newShape, axis, (slice, from, end) => {
    for (let i = from; i < end; i++) out[i] = Math.min(high[slice], Math.max(low[slice], out[i]));
  });
}

/** Visits the data as runs of neighbors that lie in one slice across the axis. */
function forEachSliceRun(
  data: FloatData,
  shape: Vector3,
  axis: number,
  visit: (slice: number, from: number, end: number) => void,
): void {
  const run = axis === 0 ? shape[1] * shape[2] : axis === 1 ? shape[2] : 1;
  for (let from = 0, slice = 0; from < data.length; from += run) {
    visit(slice, from, from + run);
    slice = slice + 1 === shape[axis] ? 0 : slice + 1;
  }
}
