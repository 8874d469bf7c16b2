/**
 * Weighted sums of overlapping tiles, all classes of them, for no longer than they are needed: the part of blending that
 * would fill the memory. docs/decisions/bounded-memory.md says why it is so.
 */
import { InputError } from '../errors.ts';
import { elementCount } from '../tensor.ts';
import type { Vector3 } from '../volume/volume.ts';

const axes = [0, 1, 2] as const;

/** A box of the image whose blended values are final. */
export interface BlendedPart {
  /** Its first voxel. */
  readonly start: Vector3;
  readonly shape: Vector3;
  /** [classes, ...shape]; the array is used again once the part has been taken. */
  readonly values: Float32Array;
}

interface Cell {
  /** [classes, ...cell] */
  readonly sums: Float32Array;
  readonly weights: Float32Array;
  /** Tiles still to come. */
  left: number;
}

/** Where along one axis tiles begin and end, in the image's voxels: the faces between cells. */
interface Faces {
  readonly at: readonly number[];
  /** For each stretch between two faces, how many tiles cover it. */
  readonly tiles: readonly number[];
}

/**
 * Sums over overlapping tiles. Slices are cut along the faces of all tiles: every tile covers whole cells. A cell exists from
 * the first tile that covers it to the last, then its average is given away and its arrays serve the next one: cells are one
 * slice deep, so that there is always another of the same size.
 */
export class Cells {
  readonly #faces: readonly Faces[];
  readonly #shape: Vector3;
  readonly #patch: Vector3;
  readonly #classes: number;
  readonly #map: Float32Array;
  readonly #take: (part: BlendedPart) => void;
  readonly #cells = new Map<number, Cell>();
  /** Arrays of finished cells, by voxels. Memory that is used again need not wait for the garbage collector. */
  readonly #spare = new Map<number, Cell[]>();

  constructor(
    shape: Vector3,
    patch: Vector3,
    starts: readonly (readonly number[])[],
    classes: number,
    map: Float32Array,
    take: (part: BlendedPart) => void,
  ) {
    this.#shape = shape;
    this.#patch = patch;
    this.#classes = classes;
    this.#map = map;
    this.#take = take;
    this.#faces = axes.map((axis) => facesOf(starts[axis], patch[axis], shape[axis], axis === 0));
  }

  /** Adds the answer [classes, ...patch] to the tile that begins at `start`. */
  add(start: Vector3, answer: Float32Array): void {
    const [zs, ys, xs] = axes.map((axis) => {
      const { at } = this.#faces[axis];
      return [
        at.indexOf(Math.max(0, start[axis])),
        at.indexOf(Math.min(this.#shape[axis], start[axis] + this.#patch[axis])),
      ];
    });
    for (let z = zs[0]; z < zs[1]; z++) {
      for (let y = ys[0]; y < ys[1]; y++) for (let x = xs[0]; x < xs[1]; x++) this.#addTo([z, y, x], start, answer);
    }
  }

  #addTo(index: Vector3, start: Vector3, answer: Float32Array): void {
    const faces = this.#faces;
    const first = axes.map((axis) => faces[axis].at[index[axis]]) as unknown as Vector3;
    const shape = axes.map((axis) => faces[axis].at[index[axis] + 1] - first[axis]) as unknown as Vector3;
    const key = (index[0] * faces[1].at.length + index[1]) * faces[2].at.length + index[2];
    const voxels = elementCount(shape);
    let cell = this.#cells.get(key);
    if (!cell) {
      cell = this.#empty(voxels);
      cell.left = faces.reduce((product, { tiles }, axis) => product * tiles[index[axis]], 1);
      this.#cells.set(key, cell);
    }
    const offset = axes.map((axis) => first[axis] - start[axis]) as unknown as Vector3;
    addBox(cell, shape, answer, this.#map, this.#patch, offset, this.#classes);
    if (--cell.left > 0) return;
    this.#cells.delete(key);
    this.#take({ start: first, shape, values: average(cell, first) });
    const spare = this.#spare.get(voxels);
    if (spare) spare.push(cell);
    else this.#spare.set(voxels, [cell]);
  }

  #empty(voxels: number): Cell {
    const spare = this.#spare.get(voxels)?.pop();
    if (!spare) return { sums: new Float32Array(this.#classes * voxels), weights: new Float32Array(voxels), left: 0 };
    spare.sums.fill(0);
    spare.weights.fill(0);
    return spare;
  }
}

function facesOf(starts: readonly number[], patch: number, size: number, everywhere: boolean): Faces {
  const ranges = starts.map((start) => [Math.max(0, start), Math.min(size, start + patch)]);
  const at = everywhere
    ? Array.from({ length: size + 1 }, (_, i) => i)
    : [...new Set(ranges.flat())].sort((a, b) => a - b);
  const tiles = at.slice(0, -1).map((face) => ranges.filter(([from, to]) => from <= face && face < to).length);
  return { at, tiles };
}

/** Adds weight times value, and weight, of the box of a tile that begins at `offset` in it. */
function addBox(
  { sums, weights }: Cell,
  shape: Vector3,
  answer: Float32Array,
  map: Float32Array,
  patch: Vector3,
  offset: Vector3,
  classes: number,
): void {
  const voxels = elementCount(shape);
  const patchVoxels = elementCount(patch);
  const width = shape[2];
  for (let z = 0, to = 0; z < shape[0]; z++) {
    for (let y = 0; y < shape[1]; y++, to += width) {
      const from = ((z + offset[0]) * patch[1] + y + offset[1]) * patch[2] + offset[2];
      for (let x = 0; x < width; x++) weights[to + x] += map[from + x];
      for (let k = 0; k < classes; k++) {
        const [into, out] = [k * voxels + to, k * patchVoxels + from];
        let x = 0;
        // Four at a time: 1.6 times as fast, and this is where blending spends its time.
        for (; x < width - 3; x += 4) {
          sums[into + x] += map[from + x] * answer[out + x];
          sums[into + x + 1] += map[from + x + 1] * answer[out + x + 1];
          sums[into + x + 2] += map[from + x + 2] * answer[out + x + 2];
          sums[into + x + 3] += map[from + x + 3] * answer[out + x + 3];
        }
        for (; x < width; x++) sums[into + x] += map[from + x] * answer[out + x];
      }
    }
  }
}

/** Sums over weights, in the sums' own array. @throws InputError when one is no number */
function average({ sums, weights }: Cell, start: Vector3): Float32Array {
  const voxels = weights.length;
  // A sum is finite only when all that was added is.
  let check = 0;
  for (let k = 0; k < sums.length; k += voxels) {
    for (let i = 0; i < voxels; i++) {
      sums[k + i] /= weights[i];
      check += sums[k + i] * 0;
    }
  }
  if (check === 0) return sums;
  throw new InputError(
    `the network's answer at voxel ${start.join(', ')} (z, y, x) is no number; the image or the weights must hold values that are none`,
  );
}
