/**
 * A volume: voxels with their place in the patient, in one value.
 *
 * Array order is z, y, x (x fastest), channels outermost. World coordinates are DICOM/ITK LPS (left, posterior, superior)
 * in millimetres. `spacing`, `origin` and `direction` are in world order x, y, z, as ITK and DICOM give them:
 *
 *     world = origin + direction * diag(spacing) * (i, j, k),      i = x index, j = y index, k = z index
 *
 * Everything else about geometry (orientation codes, resampling, cropping) is built on this formula.
 */

export type VoxelData =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array;

export type FloatData = Float32Array | Float64Array;

export type Vector3 = readonly [number, number, number];

/** Row-major 3x3 matrix; column a is the world direction (unit length) of voxel axis a (x, y, z). */
export type Matrix3 = readonly [number, number, number, number, number, number, number, number, number];

export interface Geometry {
  /** Voxels along z, y, x. */
  readonly shape: Vector3;
  /** Distance between voxel centers along x, y, z, in mm. */
  readonly spacing: Vector3;
  /** LPS position of the center of voxel (0, 0, 0), in mm. */
  readonly origin: Vector3;
  readonly direction: Matrix3;
}

export interface Volume<T extends VoxelData = VoxelData> extends Geometry {
  readonly channels: number;
  /** Intensities after any stored scale and intercept; length channels * z * y * x. */
  readonly data: T;
}

/** A volume of integers, one channel, with the names of its labels (index = value; 0 is the background). */
export interface LabelMap<T extends VoxelData = VoxelData> extends Volume<T> {
  readonly labels: ReadonlyMap<number, string>;
}

export const identityDirection: Matrix3 = [1, 0, 0, 0, 1, 0, 0, 0, 1];

/** Number of voxels of one channel. */
export function voxelCount(geometry: Geometry): number {
  return geometry.shape[0] * geometry.shape[1] * geometry.shape[2];
}

/** Volume of one voxel in mL. */
export function voxelVolumeMl(geometry: Geometry): number {
  return (geometry.spacing[0] * geometry.spacing[1] * geometry.spacing[2]) / 1000;
}

/** Row-major 3x4 matrix A: world = A * (i, j, k, 1), with i, j, k the x, y, z index. */
export type Affine = readonly [
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
];

/** Index (i, j, k) along x, y, z, fractions allowed -> LPS position in mm. */
export function indexToWorld(geometry: Geometry, [i, j, k]: Vector3): Vector3 {
  const { spacing, origin, direction: d } = geometry;
  const [x, y, z] = [i * spacing[0], j * spacing[1], k * spacing[2]];
  return [
    origin[0] + d[0] * x + d[1] * y + d[2] * z,
    origin[1] + d[3] * x + d[4] * y + d[5] * z,
    origin[2] + d[6] * x + d[7] * y + d[8] * z,
  ];
}

/** LPS position in mm -> index (i, j, k) along x, y, z, not rounded. */
export function worldToIndex(geometry: Geometry, world: Vector3): Vector3 {
  const { spacing, origin } = geometry;
  const m = inverse(geometry.direction);
  const [x, y, z] = [world[0] - origin[0], world[1] - origin[1], world[2] - origin[2]];
  return [
    (m[0] * x + m[1] * y + m[2] * z) / spacing[0],
    (m[3] * x + m[4] * y + m[5] * z) / spacing[1],
    (m[6] * x + m[7] * y + m[8] * z) / spacing[2],
  ];
}

/** Whether two grids of one shape lie at the same place: the first and the last voxel within half a voxel of the other's. */
export function onOneGrid(a: Geometry, b: Geometry): boolean {
  const last: Vector3 = [a.shape[2] - 1, a.shape[1] - 1, a.shape[0] - 1];
  return ([[0, 0, 0], last] as const).every((index) => {
    const [p, q] = [indexToWorld(a, index), indexToWorld(b, index)];
    return Math.hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]) < Math.min(...a.spacing) / 2;
  });
}

/** The affine of a geometry, in LPS. */
export function affineOf({ spacing: s, origin: o, direction: d }: Geometry): Affine {
  return [
    d[0] * s[0],
    d[1] * s[1],
    d[2] * s[2],
    o[0],
    d[3] * s[0],
    d[4] * s[1],
    d[5] * s[2],
    o[1],
    d[6] * s[0],
    d[7] * s[1],
    d[8] * s[2],
    o[2],
  ];
}

/** An affine to LPS as one to RAS (NIfTI), and the other way round: x and y change their sign. Makes no negative zeros. */
export function swapLpsRas(a: Affine): Affine {
  return a.map((value, index) => (index < 8 ? 0 - value : value + 0)) as unknown as Affine;
}

/**
 * The geometry of an affine to LPS: column lengths become spacing, columns become directions. Ask `affineFault` first
 * when the affine comes from a file. Exact for axes along the world's; otherwise `affineOf` gives the affine back to
 * float64 rounding, which float32 numbers survive bit for bit.
 */
export function geometryFromAffine(a: Affine, shape: Vector3): Geometry {
  const [x, y, z] = [0, 1, 2].map((axis) => columnLength(a, axis));
  return {
    shape,
    spacing: [x, y, z],
    origin: [a[3], a[7], a[11]],
    direction: [a[0] / x, a[1] / y, a[2] / z, a[4] / x, a[5] / y, a[6] / z, a[8] / x, a[9] / y, a[10] / z],
  };
}

/**
 * An affine whose third column is zero, as of a 2-D image, with one of 1 mm at right angles to the slice (right-handed);
 * any other as it is.
 */
export function withThirdAxis(a: Affine): Affine {
  if (a[2] !== 0 || a[6] !== 0 || a[10] !== 0) return a;
  const [x, y, z] = [a[4] * a[9] - a[8] * a[5], a[8] * a[1] - a[0] * a[9], a[0] * a[5] - a[4] * a[1]];
  const length = Math.hypot(x, y, z) || 1;
  // Adding 0 makes no zero negative.
  return [a[0], a[1], x / length + 0, a[3], a[4], a[5], y / length + 0, a[7], a[8], a[9], z / length + 0, a[11]];
}

/** Cosine of the angle between two voxel axes from which on a grid counts as sheared: half a voxel over 500 voxels. */
const shearTolerance = 1e-3;

/**
 * Why no geometry can hold this affine, as the rest of a sentence that begins with "its affine"; nothing when it can.
 * A gantry-tilted grid, whose axes are not at right angles, is a fault: spacing and rotation cannot say it.
 */
export function affineFault(a: Affine): string | undefined {
  if (!a.every(Number.isFinite)) return 'holds numbers that are not finite';
  const lengths = [0, 1, 2].map((axis) => columnLength(a, axis));
  for (const axis of [0, 1, 2]) {
    // Below 1e-6 mm or above 10 km nothing was measured: such lengths are zero, or noise.
    if (!(lengths[axis] >= 1e-6 && lengths[axis] <= 1e7)) {
      return `gives the ${'xyz'[axis]} axis a voxel size of ${lengths[axis]} mm`;
    }
  }
  for (const [p, q] of [
    [0, 1],
    [0, 2],
    [1, 2],
  ]) {
    const cosine = (a[p] * a[q] + a[4 + p] * a[4 + q] + a[8 + p] * a[8 + q]) / (lengths[p] * lengths[q]);
    if (Math.abs(cosine) > shearTolerance) {
      const degrees = (Math.acos(Math.min(1, Math.max(-1, cosine))) * 180) / Math.PI;
      return `puts the ${'xyz'[p]} and ${'xyz'[q]} axes ${degrees.toFixed(2)} degrees apart instead of 90 (as from a tilted gantry)`;
    }
  }
  return undefined;
}

function columnLength(a: Affine, axis: number): number {
  return Math.sqrt(a[axis] * a[axis] + a[4 + axis] * a[4 + axis] + a[8 + axis] * a[8 + axis]);
}

export function determinant(m: Matrix3): number {
  return m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) + m[2] * (m[3] * m[7] - m[4] * m[6]);
}

/** Inverse of a matrix that is not singular, by cofactors. */
export function inverse(m: Matrix3): Matrix3 {
  const scale = 1 / determinant(m);
  return [
    (m[4] * m[8] - m[5] * m[7]) * scale,
    (m[2] * m[7] - m[1] * m[8]) * scale,
    (m[1] * m[5] - m[2] * m[4]) * scale,
    (m[5] * m[6] - m[3] * m[8]) * scale,
    (m[0] * m[8] - m[2] * m[6]) * scale,
    (m[2] * m[3] - m[0] * m[5]) * scale,
    (m[3] * m[7] - m[4] * m[6]) * scale,
    (m[1] * m[6] - m[0] * m[7]) * scale,
    (m[0] * m[4] - m[1] * m[3]) * scale,
  ];
}

/**
 * The values in the smallest integer type that holds them all, of uint8, int8, uint16, int16, uint32, int32; for label
 * maps on their way into a file. Gives the same array when it has that type already.
 * @throws RangeError when a value is no integer, or none of the types holds them all
 */
export function toSmallestIntegers(data: VoxelData): VoxelData {
  let low = 0;
  let high = 0;
  for (let i = 0; i < data.length; i++) {
    const value = data[i];
    if (!Number.isInteger(value)) throw new RangeError(`${value} at voxel ${i} is no integer, so it is no label`);
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const types = [
    { type: Uint8Array, low: 0, high: 0xff },
    { type: Int8Array, low: -0x80, high: 0x7f },
    { type: Uint16Array, low: 0, high: 0xffff },
    { type: Int16Array, low: -0x8000, high: 0x7fff },
    { type: Uint32Array, low: 0, high: 0xffffffff },
    { type: Int32Array, low: -0x80000000, high: 0x7fffffff },
  ];
  const fitting = types.find((candidate) => candidate.low <= low && high <= candidate.high);
  if (!fitting) throw new RangeError(`no integer type of at most 32 bits holds labels from ${low} to ${high}`);
  return data instanceof fitting.type ? data : new fitting.type(data);
}

/** An array of zeros of the same type. */
export function emptyLike<T extends VoxelData>(data: T, length: number): T {
  return new (data.constructor as new (length: number) => T)(length);
}

/** Smallest and largest value; infinite when there are none. */
export function rangeOf(data: VoxelData): [low: number, high: number] {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < data.length; i++) {
    if (data[i] < low) low = data[i];
    if (data[i] > high) high = data[i];
  }
  return [low, high];
}

/** The nearest whole number, halves to the even one. */
export function roundEven(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
