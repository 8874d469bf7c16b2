/**
 * Labels on another grid of the same patient: each voxel takes the label at its place in the world. For comparing masks
 * that were drawn on different scans or stored in another order; resampling to another voxel size, as networks need it, is
 * in resampling.ts.
 */
import {
  emptyLike,
  type Geometry,
  indexToWorld,
  type Vector3,
  type Volume,
  voxelCount,
  worldToIndex,
} from './volume.ts';

/**
 * Nearest label at every voxel center of `grid`; 0 where that lies outside of the labels.
 * @param labels of one channel
 */
export function labelsOnGrid<V extends Volume>(labels: V, grid: Geometry): V {
  const indexAt = (index: Vector3) => worldToIndex(labels, indexToWorld(grid, index));
  const first = indexAt([0, 0, 0]);
  const stepAlong = (index: Vector3) => indexAt(index).map((at, axis) => at - first[axis]);
  const [sx, sy, sz] = [stepAlong([1, 0, 0]), stepAlong([0, 1, 0]), stepAlong([0, 0, 1])];
  const [lz, ly, lx] = labels.shape;
  const [nz, ny, nx] = grid.shape;
  const data = emptyLike(labels.data, voxelCount(grid));
  // Places that are halves but for rounding go the same way along a whole line.
  const nearest = (at: number) => Math.floor(at + 0.5 + 1e-9);
  for (let k = 0, to = 0; k < nz; k++) {
    for (let j = 0; j < ny; j++) {
      const [x0, y0, z0] = first.map((at, axis) => at + j * sy[axis] + k * sz[axis]);
      for (let i = 0; i < nx; i++, to++) {
        const [x, y, z] = [nearest(x0 + i * sx[0]), nearest(y0 + i * sx[1]), nearest(z0 + i * sx[2])];
        if (x < 0 || y < 0 || z < 0 || x >= lx || y >= ly || z >= lz) continue;
        data[to] = labels.data[(z * ly + y) * lx + x];
      }
    }
  }
  const { shape, spacing, origin, direction } = grid;
  return { ...labels, data, shape, spacing, origin, direction };
}
