/**
 * Tiles that hold nothing but air, for which the network need not be asked.
 *
 * Air is the floor of a scan's intensities: zeros around a cut-out organ, the noise around a head, what a CT's clipping
 * makes of -1000 HU. A tile is air when no voxel of any channel rises above that floor by more than a fiftieth of the
 * scan's range. Soft tissue, fat and lung are far above it; so is a structure of one voxel.
 */
import { elementCount, type Shape } from '../tensor.ts';

const floorPercent = 0.5;
const ceilingPercent = 99.5;
const tolerance = 0.02;
/** Percentiles are taken of this many voxels, evenly spread. */
const samples = 100_000;

/**
 * @param image prepared for the network, [c, ...shape]
 * @returns whether a tile [c, ...patch] holds only air; zeros of padding count as air where they are no higher
 */
export function airDetector(image: Float32Array, shape: Shape): (tile: Float32Array) => boolean {
  const voxels = elementCount(shape);
  const channels = image.length / voxels;
  const limits = Array.from({ length: channels }, (_, c) => airLimit(image.subarray(c * voxels, (c + 1) * voxels)));
  return (tile) => {
    const length = tile.length / channels;
    return limits.every((limit, c) => {
      for (let i = c * length; i < (c + 1) * length; i++) if (!(tile[i] <= limit)) return false;
      return true;
    });
  };
}

function airLimit(channel: Float32Array): number {
  const stride = Math.max(1, Math.floor(channel.length / samples));
  const values = new Float32Array(Math.ceil(channel.length / stride));
  for (let i = 0; i < values.length; i++) values[i] = channel[i * stride];
  values.sort();
  const at = (percent: number) => values[Math.round((percent / 100) * (values.length - 1))];
  return at(floorPercent) + tolerance * (at(ceilingPercent) - at(floorPercent));
}
