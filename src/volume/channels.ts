/**
 * One volume of several: scans of the same grid (FLAIR, T1, ...) as the channels of one.
 */
import { InputError } from '../errors.ts';
import { sameShape, showShape } from '../tensor.ts';
import { type Affine, affineOf, type Geometry, type Vector3, type Volume, voxelCount } from './volume.ts';

/** Half a tenth of a millimeter at the far corner: what rounding in headers explains, and registration errors do not. */
const toleranceMm = 0.05;

/**
 * @param parts volumes in channel order, each with its name for messages
 * @throws InputError naming the first one that lies on another grid, and by how much
 */
export function stackChannels(parts: readonly { volume: Volume; name: string }[], caseName: string): Volume {
  const [first] = parts;
  if (parts.length === 1) return first.volume;
  for (const { volume, name } of parts.slice(1)) {
    if (!sameShape(volume.shape, first.volume.shape)) {
      throw new InputError(
        `${caseName}: ${name} has ${showShape(volume.shape)} voxels (z, y, x) and ${first.name} ${showShape(first.volume.shape)}; ` +
          'resample them onto one grid first.',
      );
    }
    const away = farthestCorner(first.volume, volume);
    if (away > toleranceMm) {
      throw new InputError(
        `${caseName}: ${name} and ${first.name} lie up to ${away.toFixed(2)} mm apart in the patient; ` +
          'register and resample them onto one grid first.',
      );
    }
  }
  const channels = parts.reduce((sum, { volume }) => sum + volume.channels, 0);
  const data = new Float32Array(channels * voxelCount(first.volume));
  let offset = 0;
  for (const { volume } of parts) {
    data.set(volume.data, offset);
    offset += volume.data.length;
  }
  return { ...first.volume, channels, data };
}

/** The largest distance in mm, over the eight corners, between the same voxel of two grids of one shape. */
export function farthestCorner(a: Geometry, b: Geometry): number {
  return cornersApart(affineOf(a), affineOf(b), a.shape);
}

/** As `farthestCorner`, for a grid of this shape (z, y, x) under two affines. */
export function cornersApart(m: Affine, n: Affine, [depth, height, width]: Vector3): number {
  let farthest = 0;
  for (const i of [0, width - 1]) {
    for (const j of [0, height - 1]) {
      for (const k of [0, depth - 1]) {
        const gaps = [0, 4, 8].map(
          (row) =>
            (m[row] - n[row]) * i +
            (m[row + 1] - n[row + 1]) * j +
            (m[row + 2] - n[row + 2]) * k +
            m[row + 3] -
            n[row + 3],
        );
        farthest = Math.max(farthest, Math.hypot(...gaps));
      }
    }
  }
  return farthest;
}
