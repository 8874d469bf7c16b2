/** Mirroring of images and labels along with them. */
import { emptyLike, type FloatData, type Vector3 } from '../../volume/volume.ts';
import type { LabelData, Patch } from './patch.ts';

/** The patch with the order of voxels reversed along the axes (0, 1, 2: z, y, x) that are named true. */
export function mirror<T extends FloatData, L extends LabelData>(
  patch: Patch<T, L>,
  axes: readonly [boolean, boolean, boolean],
): Patch<T, L> {
  if (!axes.includes(true)) return patch;
  const { shape, channels } = patch;
  return {
    ...patch,
    image: mirrorChannels(patch.image, channels, shape, axes),
    labels: mirrorChannels(patch.labels, 1, shape, axes),
  };
}

function mirrorChannels<A extends FloatData | LabelData>(
  data: A,
  channels: number,
  [nz, ny, nx]: Vector3,
  [flipZ, flipY, flipX]: readonly [boolean, boolean, boolean],
): A {
  const out = emptyLike(data, data.length);
  let to = 0;
  for (let c = 0; c < channels; c++) {
    for (let z = 0; z < nz; z++) {
      const slice = c * nz + (flipZ ? nz - 1 - z : z);
      for (let y = 0; y < ny; y++, to += nx) {
        const from = (slice * ny + (flipY ? ny - 1 - y : y)) * nx;
        out.set(data.subarray(from, from + nx), to);
        if (flipX) out.subarray(to, to + nx).reverse();
      }
    }
  }
  return out;
}
