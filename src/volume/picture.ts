/**
 * A picture of a volume: axial, coronal and sagittal slices side by side, with the labels drawn over them. For a first
 * look, for reports and for documents; a viewer with a mouse is something else.
 *
 * Shown as radiologists hang films: the patient's right on the viewer's left, anterior up in the axial slice and to the
 * left in the sagittal one, superior up. Which voxel axis that is follows from the direction matrix, never from the
 * stored order. An oblique grid is shown along its own axes, each named after the world axis that it is closest to.
 * All three slices have one scale, in mm.
 */
import { InputError } from '../errors.ts';
import { sameShape, showShape } from '../tensor.ts';
import { orientationOf } from './orientation.ts';
import { type Geometry, onOneGrid, type Vector3, type Volume, voxelCount } from './volume.ts';

/** 8-bit RGB, row by row from the top left. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

export type Color = readonly [red: number, green: number, blue: number];

export interface PictureOptions {
  /** Pixels; the height follows from the volume's extent, and is at most the same. */
  width?: number;
  /** Voxel (z, y, x) that the slices go through. Left out: the center of the largest structure, or of the volume. */
  at?: Vector3;
  channel?: number;
  /** Intensity in the middle between black and white, and the distance from black to white. Left out: the percentiles 0.5 and 99.5. */
  window?: { level: number; width: number };
  /** Of the inside of a structure, 0 to 1; its outline is always opaque. */
  opacity?: number;
  /** Labels to compare with, on the same grid: their outlines are drawn, and of the first labels only the inside. */
  reference?: Volume;
}

const background: Color = [16, 18, 22];
const gapPixels = 12;
/** Labels are drawn on a grid this much finer than the picture, and averaged, so that outlines are smooth. */
const oversampling = 2;
const outlinePixels = 1.5;

/**
 * @param labels on the same grid as the volume
 * @throws InputError when the grids differ or `at` lies outside
 */
export function threePlanes(volume: Volume, labels?: Volume, options: PictureOptions = {}): Picture {
  const { width = 1080, channel = 0, opacity = 0.35, reference } = options;
  if (!(channel >= 0 && channel < volume.channels)) {
    throw new InputError(`there is no channel ${channel}: the volume has ${volume.channels}, counted from 0`);
  }
  for (const each of [labels, reference]) {
    if (each && !sameShape(each.shape, volume.shape)) {
      throw new InputError(
        `the labels have ${showShape(each.shape)} voxels (z, y, x) and the image ${showShape(volume.shape)}; a picture needs both on one grid`,
      );
    }
    if (each && !onOneGrid(volume, each)) {
      throw new InputError('the labels lie elsewhere in the patient than the image; a picture needs both on one grid');
    }
  }
  const at = options.at ??
    (labels && largestStructure(labels)) ?? [volume.shape[0] >> 1, volume.shape[1] >> 1, volume.shape[2] >> 1];
  if (at.some((index, axis) => !(Number.isInteger(index) && index >= 0 && index < volume.shape[axis]))) {
    throw new InputError(`the voxel ${at.join(', ')} (z, y, x) lies outside of the volume, ${showShape(volume.shape)}`);
  }
  const voxels = volume.data.subarray(channel * voxelCount(volume), (channel + 1) * voxelCount(volume));
  const [black, white] = options.window
    ? [options.window.level - options.window.width / 2, options.window.level + options.window.width / 2]
    : percentiles(voxels, 0.5, 99.5);

  const [left, posterior, superior] = worldAxes(volume);
  const inferior = { ...superior, sign: -superior.sign };
  const views = [
    { right: left, down: posterior },
    { right: left, down: inferior },
    { right: posterior, down: inferior },
  ];
  const extentMm = ({ axis }: Axis) => volume.shape[2 - axis] * volume.spacing[axis];
  const widthMm = views.reduce((sum, { right }) => sum + extentMm(right), 0);
  const heightMm = Math.max(...views.map(({ down }) => extentMm(down)));
  const pixelsPerMm = Math.min((width - gapPixels * (views.length + 1)) / widthMm, (width - 2 * gapPixels) / heightMm);
  const pixels = (axis: Axis) => Math.max(1, Math.round(extentMm(axis) * pixelsPerMm));

  const height = Math.max(...views.map(({ down }) => pixels(down))) + 2 * gapPixels;
  const picture = { width, height, data: new Uint8Array(width * height * 3) };
  for (let i = 0; i < picture.data.length; i++) picture.data[i] = background[i % 3];
  // What rounding or a tall volume leaves of the width goes to both sides.
  const used = views.reduce((sum, { right }) => sum + pixels(right), gapPixels * (views.length - 1));
  let x = Math.max(0, (width - used) >> 1);
  for (const { right, down } of views) {
    const size = { width: pixels(right), height: pixels(down) };
    const gray = resize(slice(volume, voxels, at, right, down), size);
    const shown = new Uint8Array(size.width * size.height * 3);
    for (let i = 0; i < gray.length; i++) {
      const share = (gray[i] - black) / (white - black || 1);
      shown.fill(Math.round(255 * Math.min(1, Math.max(0, share))), i * 3, i * 3 + 3);
    }
    const sliceOf = (map: Volume) => slice(map, map.data, at, right, down);
    if (labels) drawLabels(shown, size, sliceOf(labels), { inside: opacity, outlined: reference === undefined });
    if (reference) drawLabels(shown, size, sliceOf(reference), { inside: 0, outlined: true });
    paste(picture, shown, size, x, (height - size.height) >> 1);
    x += size.width + gapPixels;
  }
  return picture;
}

/**
 * The color of a label: the first eight (Okabe and Ito's, which color-blind readers can tell apart, the grays left
 * out) by hand, the others by turning the hue by the golden angle, so that neighbors never look alike.
 */
export function labelColor(label: number): Color {
  const chosen: readonly Color[] = [
    [230, 120, 0],
    [86, 180, 233],
    [0, 190, 120],
    [240, 228, 66],
    [204, 90, 160],
    [40, 110, 230],
    [213, 50, 30],
    [150, 230, 230],
  ];
  if (label >= 1 && label <= chosen.length) return chosen[label - 1];
  const hue = (label * 137.50776405) % 360;
  const lightness = [0.62, 0.5, 0.74][label % 3];
  const chroma = 0.8 * Math.min(lightness, 1 - lightness);
  // HSL to RGB, CSS Color 4, section 7.1.
  const part = (n: number) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (lightness - chroma * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [part(0), part(8), part(4)];
}

/** A voxel axis (0 x, 1 y, 2 z) and whether its index grows (1) or falls (-1) along the world axis that it stands for. */
interface Axis {
  readonly axis: number;
  readonly sign: number;
}

/** For each world axis (left, posterior, superior) the voxel axis closest to it. */
function worldAxes(geometry: Geometry): [Axis, Axis, Axis] {
  const code = orientationOf(geometry);
  const along = (negative: string, positive: string): Axis => {
    const axis = Math.max(code.indexOf(negative), code.indexOf(positive));
    return { axis, sign: code[axis] === positive ? 1 : -1 };
  };
  return [along('R', 'L'), along('A', 'P'), along('I', 'S')];
}

/** Center (z, y, x) of all voxels of the label that has most of them; undefined when all is background. */
function largestStructure(labels: Volume): Vector3 | undefined {
  const [, ny, nx] = labels.shape;
  const voxels = new Map<number, number>();
  for (const label of labels.data) {
    if (label > 0) voxels.set(label, (voxels.get(label) ?? 0) + 1);
  }
  if (voxels.size === 0) return undefined;
  const [largest, count] = [...voxels].reduce((a, b) => (b[1] > a[1] ? b : a));
  const sum = [0, 0, 0];
  for (let i = 0; i < labels.data.length; i++) {
    if (labels.data[i] !== largest) continue;
    sum[0] += Math.floor(i / (nx * ny));
    sum[1] += Math.floor(i / nx) % ny;
    sum[2] += i % nx;
  }
  return [Math.round(sum[0] / count), Math.round(sum[1] / count), Math.round(sum[2] / count)];
}

/** Two percentiles of the finite values, from at most about 200,000 of them, evenly spread. */
function percentiles(values: ArrayLike<number>, low: number, high: number): [number, number] {
  const step = Math.ceil(values.length / 200_000);
  const sample = new Float64Array(Math.ceil(values.length / step));
  let count = 0;
  for (let i = 0; i < values.length; i += step) {
    if (Number.isFinite(values[i])) sample[count++] = values[i];
  }
  if (count === 0) return [0, 1];
  const sorted = sample.subarray(0, count).sort();
  const at = (percent: number) => sorted[Math.round((percent / 100) * (count - 1))];
  return [at(low), at(high)];
}

interface Size {
  readonly width: number;
  readonly height: number;
}

/** Values of one slice in viewing order, rows from the top. */
interface Slice extends Size {
  readonly values: Float32Array;
}

/** The slice through `at` (z, y, x) with the two voxel axes as the viewer's. */
function slice(geometry: Geometry, data: ArrayLike<number>, at: Vector3, right: Axis, down: Axis): Slice {
  const [nz, ny, nx] = geometry.shape;
  const sizes = [nx, ny, nz];
  const strides = [1, nx, nx * ny];
  const along = ({ axis, sign }: Axis, i: number) => (sign > 0 ? i : sizes[axis] - 1 - i) * strides[axis];
  const through = 3 - right.axis - down.axis;
  const base = at[2 - through] * strides[through];
  const width = sizes[right.axis];
  const height = sizes[down.axis];
  const values = new Float32Array(width * height);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const value = data[base + along(down, row) + along(right, column)];
      values[row * width + column] = Number.isFinite(value) ? value : 0;
    }
  }
  return { width, height, values };
}

/** Catmull and Rom's cubic: passes through the samples, smooth between them. Radius 2. */
const cubic = (t: number) =>
  t < 1 ? 1.5 * t ** 3 - 2.5 * t ** 2 + 1 : t < 2 ? -0.5 * t ** 3 + 2.5 * t ** 2 - 4 * t + 2 : 0;
/** Linear between the samples. Radius 1. */
const linear = (t: number) => Math.max(0, 1 - t);

/** Resizes a slice, voxel extents matched; when it shrinks, the kernel grows so that no sample is skipped. */
function resize({ width, height, values }: Slice, to: Size, kernel = cubic, radius = 2): Float32Array {
  const across = taps(width, to.width, kernel, radius);
  const wide = new Float32Array(to.width * height);
  for (let row = 0; row < height; row++) {
    for (let x = 0; x < to.width; x++) {
      let sum = 0;
      for (const { index, weight } of across[x]) sum += weight * values[row * width + index];
      wide[row * to.width + x] = sum;
    }
  }
  const out = new Float32Array(to.width * to.height);
  taps(height, to.height, kernel, radius).forEach((column, y) => {
    for (const { index, weight } of column) {
      for (let x = 0; x < to.width; x++) out[y * to.width + x] += weight * wide[index * to.width + x];
    }
  });
  return out;
}

/** For each of `to` samples, which of `from` samples it is made of; weights sum to 1, the edge is repeated. */
function taps(from: number, to: number, kernel: (t: number) => number, radius: number) {
  const stretch = Math.max(1, from / to);
  return Array.from({ length: to }, (_, i) => {
    const center = ((i + 0.5) * from) / to - 0.5;
    const weights = new Map<number, number>();
    let total = 0;
    for (let k = Math.ceil(center - radius * stretch); k <= center + radius * stretch; k++) {
      const weight = kernel(Math.abs(k - center) / stretch);
      const index = Math.min(from - 1, Math.max(0, k));
      weights.set(index, (weights.get(index) ?? 0) + weight);
      total += weight;
    }
    return [...weights].map(([index, weight]) => ({ index, weight: weight / total }));
  });
}

interface Drawn {
  /** Opacity inside of a structure. */
  readonly inside: number;
  /** Whether it has an opaque outline along its edge. */
  readonly outlined: boolean;
}

/** Draws each structure of a slice over 8-bit RGB. */
function drawLabels(shown: Uint8Array, size: Size, labels: Slice, { inside, outlined }: Drawn): void {
  const fine = { width: size.width * oversampling, height: size.height * oversampling };
  const map = resizeLabels(labels, fine);
  const reach = Math.round(outlinePixels * oversampling);
  const colors = new Map([...new Set(labels.values)].map((label) => [label, labelColor(label)]));
  const isEdge = (x: number, y: number, label: number) => {
    for (let dy = -reach; dy <= reach; dy++) {
      for (let dx = -reach; dx <= reach; dx++) {
        if (dx * dx + dy * dy > reach * reach) continue;
        const [nx, ny] = [x + dx, y + dy];
        if (nx < 0 || ny < 0 || nx >= fine.width || ny >= fine.height) continue;
        if (map[ny * fine.width + nx] !== label) return true;
      }
    }
    return false;
  };
  const share = 1 / oversampling ** 2;
  for (let y = 0; y < size.height; y++) {
    for (let x = 0; x < size.width; x++) {
      const pixel = (y * size.width + x) * 3;
      const under: Color = [shown[pixel], shown[pixel + 1], shown[pixel + 2]];
      const mixed = [0, 0, 0];
      for (let part = 0; part < oversampling ** 2; part++) {
        const [fx, fy] = [x * oversampling + (part % oversampling), y * oversampling + Math.floor(part / oversampling)];
        const label = map[fy * fine.width + fx];
        const color = colors.get(label) ?? background;
        const alpha = label === 0 ? 0 : outlined && isEdge(fx, fy, label) ? 1 : inside;
        for (let c = 0; c < 3; c++) mixed[c] += share * (under[c] + alpha * (color[c] - under[c]));
      }
      for (let c = 0; c < 3; c++) shown[pixel + c] = Math.round(mixed[c]);
    }
  }
}

/** Labels on a finer (or coarser) grid: each one's indicator is interpolated, and the largest wins. */
function resizeLabels(labels: Slice, to: Size): Float32Array {
  const best = new Float32Array(to.width * to.height);
  const map = new Float32Array(to.width * to.height);
  // Background first, so that it keeps exact ties.
  for (const label of [...new Set(labels.values)].sort((a, b) => a - b)) {
    const indicator = resize({ ...labels, values: labels.values.map((each) => +(each === label)) }, to, linear, 1);
    for (let i = 0; i < map.length; i++) {
      if (indicator[i] <= best[i]) continue;
      best[i] = indicator[i];
      map[i] = label;
    }
  }
  return map;
}

function paste(picture: Picture, shown: Uint8Array, size: Size, left: number, top: number): void {
  for (let row = 0; row < size.height; row++) {
    const line = shown.subarray(row * size.width * 3, (row + 1) * size.width * 3);
    picture.data.set(line, ((top + row) * picture.width + left) * 3);
  }
}
