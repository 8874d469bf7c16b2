/**
 * Orientation codes, and the voxels of a volume in another order of axes: permuted and reversed, never interpolated.
 *
 * A code such as 'RAS' names, for the voxel axes x, y, z in turn, the side of the patient that the index grows toward:
 * R or L (right, left), A or P (anterior, posterior), S or I (superior, inferior). An oblique grid has the code of the
 * closest axes; reordering it keeps it oblique.
 */
import { InputError } from '../errors.ts';
import { sameShape } from '../tensor.ts';
import { emptyLike, type Geometry, indexToWorld, type Matrix3, type Vector3, type Volume } from './volume.ts';

/** Sides by world axis (x, y, z of LPS): the one that the coordinate grows toward, then the other. */
const sides = ['LR', 'PA', 'SI'];

/** Where a voxel axis runs: along which world axis (0 to 2, in LPS), and to which end (1 or -1). */
interface Run {
  readonly world: number;
  readonly sign: number;
}

/** The orientation code of a grid, for example 'LPS' for the identity direction. */
export function orientationOf({ direction }: Pick<Geometry, 'direction'>): string {
  return runsOf(direction)
    .map(({ world, sign }) => sides[world][sign > 0 ? 0 : 1])
    .join('');
}

/**
 * The same voxels at the same places of the patient, stored so that the orientation is `code`. What else the volume
 * carries (the names of labels) stays. A volume that is so already is returned as it is.
 * @throws InputError when `code` is none of the 48 codes
 */
export function reorient<V extends Volume>(volume: V, code: string): V {
  const wanted = parseCode(code);
  const present = runsOf(volume.direction);
  const axes = wanted.map(({ world }) => present.findIndex((run) => run.world === world));
  const reversed = wanted.map(({ sign }, axis) => sign !== present[axes[axis]].sign);
  if (axes.every((old, axis) => old === axis && !reversed[axis])) return volume;

  const sizes = [volume.shape[2], volume.shape[1], volume.shape[0]];
  const strides = [1, sizes[0], sizes[0] * sizes[1]];
  const [nx, ny, nz] = axes.map((old) => sizes[old]);
  const [sx, sy, sz] = axes.map((old, axis) => (reversed[axis] ? -strides[old] : strides[old]));
  /** Old index of the new voxel (0, 0, 0). */
  const corner = [0, 0, 0];
  axes.forEach((old, axis) => {
    if (reversed[axis]) corner[old] = sizes[old] - 1;
  });

  const count = nx * ny * nz;
  const data = emptyLike(volume.data, volume.data.length);
  const first = corner[0] * strides[0] + corner[1] * strides[1] + corner[2] * strides[2];
  for (let channel = 0, to = 0; channel < volume.channels; channel++) {
    for (let z = 0; z < nz; z++) {
      for (let y = 0; y < ny; y++) {
        let from = channel * count + first + z * sz + y * sy;
        for (let x = 0; x < nx; x++, to++, from += sx) data[to] = volume.data[from];
      }
    }
  }
  const d = volume.direction;
  const direction = [0, 1, 2].flatMap((world) =>
    // A difference, so that no zero becomes negative.
    axes.map((old, axis) => (reversed[axis] ? 0 - d[3 * world + old] : d[3 * world + old])),
  );
  return {
    ...volume,
    shape: [nz, ny, nx],
    spacing: axes.map((old) => volume.spacing[old]) as unknown as Vector3,
    origin: indexToWorld(volume, corner as unknown as Vector3),
    direction: direction as unknown as Matrix3,
    data,
  };
}

/**
 * The way back from `reorient`: the volume in the order of `original`, with its very numbers for the geometry (`reorient`
 * alone would give the origin to the last bit or two).
 * @throws RangeError when the volume does not lie on the original's grid
 */
export function reorientLike<V extends Volume>(volume: V, original: Geometry): V {
  const back = reorient(volume, orientationOf(original));
  const { shape, spacing, origin, direction } = original;
  const close = (a: readonly number[], b: readonly number[], tolerance: number) =>
    a.every((value, index) => Math.abs(value - b[index]) <= tolerance);
  if (
    !sameShape(back.shape, shape) ||
    !close(back.spacing, spacing, 1e-6) ||
    !close(back.origin, origin, 1e-6) ||
    !close(back.direction, direction, 1e-9)
  ) {
    throw new RangeError('the volume does not lie on the grid that it is to be stored like');
  }
  return { ...back, shape, spacing, origin, direction };
}

/** For each voxel axis the closest world axis, each one once; the voxel axis that lies closest to any chooses first. */
function runsOf(direction: Matrix3): Run[] {
  const entry = (world: number, axis: number) => direction[3 * world + axis];
  const closeness = (axis: number) => Math.max(...[0, 1, 2].map((world) => Math.abs(entry(world, axis))));
  const runs: Run[] = new Array(3);
  const free = new Set([0, 1, 2]);
  for (const axis of [0, 1, 2].sort((a, b) => closeness(b) - closeness(a))) {
    const world = [...free].reduce((best, other) =>
      Math.abs(entry(other, axis)) > Math.abs(entry(best, axis)) ? other : best,
    );
    free.delete(world);
    runs[axis] = { world, sign: entry(world, axis) < 0 ? -1 : 1 };
  }
  return runs;
}

function parseCode(code: string): Run[] {
  const runs = [...code].map((letter) => {
    const world = sides.findIndex((pair) => pair.includes(letter));
    return { world, sign: sides[world]?.[0] === letter ? 1 : -1 };
  });
  if (runs.length !== 3 || new Set(runs.map(({ world }) => world)).size !== 3 || runs.some(({ world }) => world < 0)) {
    throw new InputError(
      `${JSON.stringify(code)} is no orientation; give three letters for the axes x, y, z: one of R and L, one of A and P, one of S and I, such as RAS.`,
    );
  }
  return runs;
}
