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

export type Vector3 = readonly [number, number, number];

/** Row-major 3x3 matrix; column a is the world direction (unit length) of voxel axis a (x, y, z). */
export type Matrix3 = readonly [number, number, number, number, number, number, number, number, number];

export interface Geometry {
  /** Voxels along z, y, x. */
  readonly shape: Vector3;
  /** Distance between voxel centres along x, y, z, in mm. */
  readonly spacing: Vector3;
  /** LPS position of the centre of voxel (0, 0, 0), in mm. */
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
