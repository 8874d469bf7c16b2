/**
 * A picture that shows where a prediction and its reference differ: three planes in three rows, one below the other:
 * the reference, the prediction, and the voxels in which they differ.
 */
import { type Picture, threePlanes, type Vector3, type Volume } from '../../src/volume/index.ts';

/** Labels of the third row, for their colors. */
const differences = {
  /** The reference has a structure, the prediction none: yellow. */
  missed: 4,
  /** The prediction has a structure, the reference none: red. */
  added: 7,
  /** Both have one, and not the same: pale cyan. */
  confused: 8,
} as const;

/** @throws InputError when the three do not lie on one grid */
export function comparisonPicture(image: Volume, reference: Volume, prediction: Volume): Picture {
  const at = centerOf(reference);
  const width = 760;
  return stacked([
    threePlanes(image, reference, { at, width }),
    threePlanes(image, prediction, { at, width }),
    threePlanes(image, differing(reference, prediction), { at, width, opacity: 0.7 }),
  ]);
}

function differing(reference: Volume, prediction: Volume): Volume<Uint8Array> {
  const data = Uint8Array.from(reference.data, (expected, i) => {
    const found = prediction.data[i];
    if (found === expected) return 0;
    if (found === 0) return differences.missed;
    return expected === 0 ? differences.added : differences.confused;
  });
  return { ...prediction, data };
}

/** Center of all structures (z, y, x), in whole voxels; of the grid where there are none. */
function centerOf({ data, shape }: Volume): Vector3 {
  const [nz, ny, nx] = shape;
  const sum = [0, 0, 0];
  let count = 0;
  for (let i = 0; i < data.length; i++) {
    if (data[i] === 0) continue;
    sum[0] += Math.floor(i / (nx * ny));
    sum[1] += Math.floor(i / nx) % ny;
    sum[2] += i % nx;
    count++;
  }
  if (count === 0) return [nz >> 1, ny >> 1, nx >> 1];
  return sum.map((each) => Math.round(each / count)) as unknown as Vector3;
}

/** Pictures of one width, from the top down. */
function stacked(pictures: readonly Picture[]): Picture {
  const data = new Uint8Array(pictures.reduce((length, picture) => length + picture.data.length, 0));
  let offset = 0;
  for (const picture of pictures) {
    data.set(picture.data, offset);
    offset += picture.data.length;
  }
  return { width: pictures[0].width, height: pictures.reduce((sum, { height }) => sum + height, 0), data };
}
