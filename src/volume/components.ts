/**
 * Connected components of a mask, and the filter that keeps the largest one. Works on runs of voxels along x, which are
 * few, and joins those that touch (union-find); only `connectedComponents` makes an array of the volume's size.
 *
 * Definitions: nnU-Net v1 `connected_components.py`, v2 `remove_connected_components.py`.
 */
import type { Vector3, VoxelData } from './volume.ts';

/** Voxels that share a face (6), at least an edge (18), at least a corner (26) are neighbors. */
export type Connectivity = 6 | 18 | 26;

export interface Components {
  /** 0 outside of the mask, else the number of the component, counted from 1 in the order of their first voxels. */
  readonly labels: Int32Array;
  /** Voxels of each component; `sizes[0]` is that of component 1. */
  readonly sizes: readonly number[];
}

/** @param mask z x y x x; what is not 0 is in */
export function connectedComponents(mask: ArrayLike<number>, shape: Vector3, connectivity: Connectivity): Components {
  const runs = findRuns(shape, (voxel) => mask[voxel] !== 0);
  const { component, sizes } = uniteRuns(runs, shape, connectivity);
  const labels = new Int32Array(shape[0] * shape[1] * shape[2]);
  for (let run = 0; run < component.length; run++) labels.fill(component[run] + 1, runs.starts[run], runs.ends[run]);
  return { labels, sizes };
}

export interface LargestComponentOptions {
  /** nnU-Net v1 has 6, v2 has 26. */
  connectivity: Connectivity;
  /** In voxels: components of at least this size are kept too (v1's minimum valid object size). */
  minimumSize?: number;
}

export interface LargestComponent<T extends VoxelData> {
  /** The labels without what was removed (0 there). */
  readonly data: T;
  /** Voxels removed, over all components. */
  readonly removed: number;
  /** Voxels of the largest component; undefined when there is none. */
  readonly keptSize: number | undefined;
  /** Voxels of the largest component that was removed; undefined when none was. */
  readonly largestRemovedSize: number | undefined;
}

/**
 * Takes some labels together as one object and keeps its largest component, or all of the largest when several have
 * that size; the others become 0. Several sets are filtered one after the other, each on what the last one left.
 * @param data labels, z x y x x
 */
export function keepLargestComponent<T extends VoxelData>(
  data: T,
  shape: Vector3,
  labels: readonly number[],
  { connectivity, minimumSize = Infinity }: LargestComponentOptions,
): LargestComponent<T> {
  const wanted = new Set(labels);
  const runs = findRuns(shape, (voxel) => wanted.has(data[voxel]));
  const { component, sizes } = uniteRuns(runs, shape, connectivity);
  const keptSize = largestOf(sizes);
  const removes = (size: number) => size !== keptSize && size < minimumSize;
  const out = data.slice() as T;
  for (let run = 0; run < component.length; run++) {
    if (removes(sizes[component[run]])) out.fill(0, runs.starts[run], runs.ends[run]);
  }
  const removedSizes = sizes.filter(removes);
  return {
    data: out,
    removed: removedSizes.reduce((sum, size) => sum + size, 0),
    keptSize,
    largestRemovedSize: largestOf(removedSizes),
  };
}

function largestOf(sizes: readonly number[]): number | undefined {
  return sizes.length === 0 ? undefined : sizes.reduce((largest, size) => Math.max(largest, size));
}

/** Neighbors along x that are all in the mask, as voxel numbers [start, end), in C order. */
interface Runs {
  readonly starts: Int32Array;
  readonly ends: Int32Array;
  /** Number of the first run of each row (z, y), and at the end the number of runs. */
  readonly rows: Int32Array;
}

function findRuns([nz, ny, nx]: Vector3, isIn: (voxel: number) => boolean): Runs {
  let starts = new Int32Array(1024);
  let ends = new Int32Array(1024);
  const rows = new Int32Array(nz * ny + 1);
  let count = 0;
  for (let row = 0; row < nz * ny; row++) {
    rows[row] = count;
    const end = (row + 1) * nx;
    for (let voxel = row * nx; voxel < end; voxel++) {
      if (!isIn(voxel)) continue;
      if (count === starts.length) {
        starts = grown(starts);
        ends = grown(ends);
      }
      starts[count] = voxel;
      while (voxel < end && isIn(voxel)) voxel++;
      ends[count++] = voxel;
    }
  }
  rows[nz * ny] = count;
  return { starts: starts.subarray(0, count), ends: ends.subarray(0, count), rows };
}

function grown(array: Int32Array): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(2 * array.length);
  larger.set(array);
  return larger;
}

/** For each run the number of its component, from 0 in the order of the first voxels, and the components' sizes. */
function uniteRuns(runs: Runs, shape: Vector3, connectivity: Connectivity): { component: Int32Array; sizes: number[] } {
  const { starts, ends, rows } = runs;
  const [nz, ny, nx] = shape;
  /** The roots are the first runs of their components: a union always points from the later to the earlier one. */
  const parent = Int32Array.from(starts, (_, run) => run);
  const rootOf = (run: number) => {
    while (parent[run] !== run) {
      parent[run] = parent[parent[run]];
      run = parent[run];
    }
    return run;
  };

  /** Joins the runs of a row with those of an earlier row that overlap them, or miss them by at most `reach` voxels. */
  const joinRows = (row: number, earlier: number, reach: number) => {
    const shift = (row - earlier) * nx;
    let a = rows[earlier];
    let b = rows[row];
    while (a < rows[earlier + 1] && b < rows[row + 1]) {
      const [aStart, aEnd] = [starts[a] + shift, ends[a] + shift];
      if (aStart < ends[b] + reach && starts[b] < aEnd + reach) {
        const [p, q] = [rootOf(a), rootOf(b)];
        if (p < q) parent[q] = p;
        else parent[p] = q;
      }
      if (aEnd < ends[b]) a++;
      else b++;
    }
  };

  const [sameSlice, above, diagonal] = { 6: [0, 0, -1], 18: [1, 1, 0], 26: [1, 1, 1] }[connectivity];
  for (let z = 0, row = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++, row++) {
      if (rows[row] === rows[row + 1]) continue;
      if (y > 0) joinRows(row, row - 1, sameSlice);
      if (z === 0) continue;
      joinRows(row, row - ny, above);
      if (diagonal < 0) continue;
      if (y > 0) joinRows(row, row - ny - 1, diagonal);
      if (y < ny - 1) joinRows(row, row - ny + 1, diagonal);
    }
  }

  const component = new Int32Array(parent.length);
  const sizes: number[] = [];
  for (let run = 0; run < parent.length; run++) {
    const root = rootOf(run);
    component[run] = root === run ? sizes.push(0) - 1 : component[root];
    sizes[component[run]] += ends[run] - starts[run];
  }
  return { component, sizes };
}
