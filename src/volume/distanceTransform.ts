/**
 * The exact Euclidean distance transform: from each voxel to the nearest target, in mm when spacing is. Linear in the
 * number of voxels, and made slice by slice, so that who needs distances at few voxels (surfaces) holds one slice of them
 * and two bytes a voxel; `distanceTransform` puts the slices together.
 *
 * Along z the nearest target is counted; along y, then x, squared distances are the lower envelope of parabolas.
 * Felzenszwalb and Huttenlocher, "Distance transforms of sampled functions", Theory of Computing 8, 2012. Everything is in
 * float64. Shapes and spacings are in array order (z, y, x).
 */
import type { Vector3 } from './volume.ts';

/**
 * Distance from each voxel's center to that of the nearest target, 0 on targets, infinite when there is none.
 * @param targets z x y x x; what is not 0 is one
 * @param spacing between centers along z, y, x
 */
export function distanceTransform(targets: Uint8Array, shape: Vector3, spacing: Vector3): Float64Array {
  const [nz, ny, nx] = shape;
  const distances = new Float64Array(nz * ny * nx);
  const slices = squaredDistances(targets, -1, shape, spacing);
  for (let z = 0; z < nz; z++) {
    const slice = slices(z);
    for (let i = 0, at = z * slice.length; i < slice.length; i++) distances[at + i] = Math.sqrt(slice[i]);
  }
  return distances;
}

/**
 * Squared distances, one slice at a time.
 * @param targets z x y x x; a voxel that has one of the bits `bits` is one
 * @returns the slice z (y x x) of squared distances. The array is used again for the next one; rows that `wanted` refuses
 *   hold something else
 */
export function squaredDistances(
  targets: Uint8Array,
  bits: number,
  [nz, ny, nx]: Vector3,
  [sz, sy, sx]: Vector3,
): (z: number, wanted?: (y: number) => boolean) => Float64Array {
  const area = ny * nx;
  /** Slices to the nearest target of the same column; `none` where it has none. */
  const steps = nz < 0xffff ? new Uint16Array(nz * area) : new Uint32Array(nz * area);
  const none = nz < 0xffff ? 0xffff : 0xffffffff;
  for (let z = 0, voxel = 0; z < nz; z++) {
    for (let i = 0; i < area; i++, voxel++) {
      const above = z > 0 ? steps[voxel - area] : none;
      steps[voxel] = targets[voxel] & bits ? 0 : above === none ? none : above + 1;
    }
  }
  for (let voxel = (nz - 1) * area - 1; voxel >= 0; voxel--) {
    const below = steps[voxel + area];
    if (below < steps[voxel]) steps[voxel] = below + 1;
  }

  /** x of the lines along y that have a target in some slice; the others stay infinite. */
  const reached: number[] = [];
  for (let x = 0; x < nx; x++) {
    let y = 0;
    while (y < ny && steps[y * nx + x] === none) y++;
    if (y < ny) reached.push(x);
  }
  const alongY = new Float64Array(area).fill(Infinity);
  const slice = new Float64Array(area);
  const longest = Math.max(ny, nx);
  const line = new Float64Array(longest);
  const out = new Float64Array(longest);
  const envelope = envelopeOf(longest);
  return (z, wanted) => {
    const from = z * area;
    for (const x of reached) {
      for (let y = 0; y < ny; y++) {
        const count = steps[from + y * nx + x];
        line[y] = count === none ? Infinity : count * sz * (count * sz);
      }
      envelope(line, ny, sy, out);
      for (let y = 0; y < ny; y++) alongY[y * nx + x] = out[y];
    }
    for (let y = 0; y < ny; y++) {
      if (wanted && !wanted(y)) continue;
      envelope(alongY.subarray(y * nx, (y + 1) * nx), nx, sx, slice.subarray(y * nx, (y + 1) * nx));
    }
    return slice;
  };
}

/**
 * One line: out[i] = min over j of line[j] + (spacing (i - j))^2. The parabolas that are lowest somewhere are kept in a
 * stack, each with the position from which on it is lower than the one before.
 */
function envelopeOf(longest: number) {
  const apex = new Int32Array(longest);
  const start = new Float64Array(longest);
  return (line: Float64Array, length: number, spacing: number, out: Float64Array): void => {
    const square = spacing * spacing;
    let count = 0;
    for (let j = 0; j < length; j++) {
      const height = line[j];
      if (height === Infinity) continue;
      let from = -Infinity;
      while (count > 0) {
        const i = apex[count - 1];
        from = (height - line[i]) / (2 * square * (j - i)) + (i + j) / 2;
        if (from > start[count - 1]) break;
        count--;
        from = -Infinity;
      }
      apex[count] = j;
      start[count++] = from;
    }
    if (count === 0) {
      out.fill(Infinity, 0, length);
      return;
    }
    for (let i = 0, k = 0; i < length; i++) {
      while (k + 1 < count && start[k + 1] < i) k++;
      const across = spacing * (i - apex[k]);
      out[i] = line[apex[k]] + across * across;
    }
  };
}
