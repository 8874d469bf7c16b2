/**
 * Areas of the pieces of surface between eight voxels that are partly inside of a mask: the triangles of marching cubes, as
 * the surface-distance package counts them. Where the pieces are and how far from each other is for surface.ts.
 *
 * A cell is the cube between the centers of 2 x 2 x 2 voxels. Its code is the sum over (dz, dy, dx) in {0, 1}^3 of
 * mask[z + dz, y + dy, x + dx] * 2^(7 - (4 dz + 2 dy + dx)). Lorensen and Cline, "Marching cubes", SIGGRAPH 1987;
 * Nikolov et al., "Clinically applicable segmentation of head and neck anatomy", J. Med. Internet Res. 23, 2021.
 */
import type { Vector3 } from '../volume/volume.ts';

/** Sizes, in eighths of a voxel's face, of the components (z, y, x) that a triangle's normal may have. */
const normals: Readonly<Record<string, Vector3>> = {
  a: [1, 1, 1],
  b: [2, 2, 0],
  c: [2, 0, 2],
  d: [0, 2, 2],
  e: [2, 2, 2],
  f: [4, 0, 0],
  g: [0, 4, 0],
  h: [0, 0, 4],
  i: [3, 3, 3],
};

/** Triangles of the codes 0 to 127. A mask and what it leaves have one surface, so that code 255 - c has those of c. */
const triangles = `
  - a a bb a cc aa aef a aa cc aef bb aef aef ff a dd aa gae aa hae aaa aaee aa dda acc daci abb dabi
  aaef aef a aa dd gae aa acc dda daci aa aaa hae aaee abb aaef dabi aef bb gae gae gg abb acbi gaae
  gae abb gaae acbi gae bbbb abb abb bb a aa aa abb dd hae dda dabi aa aaa acc aaef gae aaee daci aef
  cc hae acc acbi hae hh haae hae acc haae cccc acc acbi hae acc cc aa aaa dda gaae dda haae dddd dda
  aaa aaaa haae aaa gaae aaa dda aa aef aaee daci gae dabi hae dda dd aaef aaa acc aa abb aa aa a`
  .trim()
  .split(/\s+/);

/** Area by code, for voxels of a size (z, y, x): mm^2 when that is in mm. Codes 0 and 255 are no surface and have none. */
export function elementAreas([sz, sy, sx]: Vector3): Float64Array {
  return Float64Array.from({ length: 256 }, (_, code) => {
    const letters = triangles[Math.min(code, 255 - code)];
    return [...letters].reduce((area, letter) => {
      const [nz, ny, nx] = normals[letter] ?? [0, 0, 0];
      return area + Math.sqrt((nz * sy * sx) ** 2 + (ny * sz * sx) ** 2 + (nx * sz * sy) ** 2) / 8;
    }, 0);
  });
}
