/**
 * Sliding-window inference: a padded image, cut into overlapping tiles of the network's patch, back to one value per
 * class and voxel. Where tiles lie, how much each voxel of a tile counts, mirroring, and the blending of it all.
 *
 * Two conventions exist, and they give different segmentations: nnU-Net v1 (and the published UNETR++) averages
 * probabilities, nnU-Net v2 averages logits. Positions, padding and mirroring are the same in both.
 *
 * Blocks are [c, d, h, w] in C order; axes are counted without c (0 = d). What the network is, how an image gets its
 * spacing and how the result finds its way back to the scan's grid are for others.
 */
import { InputError } from '../errors.ts';
import { float16ToNumber, numberToFloat16, showShape } from '../tensor.ts';
import type { Vector3 } from '../volume/volume.ts';

const axes = [0, 1, 2] as const;

/**
 * First voxels of the tiles along one axis: as few as keep two neighbors at most `step` patches apart, evenly spread
 * from edge to edge, rounded to whole voxels (ties to the even one).
 * @param step fraction of the patch, above 0 and at most 1
 */
export function tileStarts(size: number, patch: number, step: number): number[] {
  if (!(step > 0 && step <= 1)) {
    throw new InputError(`the tile step is ${step}; it is a fraction of the patch, above 0 and at most 1`);
  }
  if (size < patch) throw new RangeError(`${size} voxels must be padded before a patch of ${patch} fits`);
  const count = Math.ceil((size - patch) / (patch * step)) + 1;
  if (count === 1) return [0];
  const actual = (size - patch) / (count - 1);
  return Array.from({ length: count }, (_, i) => roundEven(actual * i));
}

function roundEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below;
}

/** Voxels of zeros around an image. */
export interface Padding {
  readonly before: Vector3;
  readonly after: Vector3;
}

/** What an image lacks for one patch: half of it before, half after, the odd voxel after. */
export function paddingFor(shape: Vector3, patch: Vector3): Padding {
  const missing = axes.map((axis) => Math.max(0, patch[axis] - shape[axis]));
  const [before, after] = [missing.map((n) => n >> 1), missing.map((n) => n - (n >> 1))];
  return { before: before as unknown as Vector3, after: after as unknown as Vector3 };
}

/** The shape with its padding. */
export function paddedShape(shape: Vector3, { before, after }: Padding): Vector3 {
  return axes.map((axis) => before[axis] + shape[axis] + after[axis]) as unknown as Vector3;
}

/** Puts a block [c, ...shape] into zeros; the same array where there is nothing to pad. */
export function pad(block: Float32Array, shape: Vector3, padding: Padding): Float32Array {
  const padded = paddedShape(shape, padding);
  const channels = block.length / volumeOf(shape);
  if (volumeOf(padded) === volumeOf(shape)) return block;
  const out = new Float32Array(channels * volumeOf(padded));
  copyBlock(block, shape, [0, 0, 0], out, padded, padding.before, shape, channels);
  return out;
}

/** Takes the padding off a block [c, ...padded shape] again. @param shape without the padding */
export function unpad(block: Float32Array, shape: Vector3, padding: Padding): Float32Array {
  const padded = paddedShape(shape, padding);
  const channels = block.length / volumeOf(padded);
  if (volumeOf(padded) === volumeOf(shape)) return block;
  const out = new Float32Array(channels * volumeOf(shape));
  copyBlock(block, padded, padding.before, out, shape, [0, 0, 0], shape, channels);
  return out;
}

function volumeOf([d, h, w]: Vector3): number {
  return d * h * w;
}

/** Copies a box of `size` voxels from one block to another, row by row. */
function copyBlock(
  from: Float32Array,
  fromShape: Vector3,
  fromStart: Vector3,
  to: Float32Array,
  toShape: Vector3,
  toStart: Vector3,
  size: Vector3,
  channels: number,
): void {
  const row = (shape: Vector3, start: Vector3, c: number, z: number, y: number) =>
    ((c * shape[0] + start[0] + z) * shape[1] + start[1] + y) * shape[2] + start[2];
  for (let c = 0; c < channels; c++) {
    for (let z = 0; z < size[0]; z++) {
      for (let y = 0; y < size[1]; y++) {
        const source = row(fromShape, fromStart, c, z, y);
        to.set(from.subarray(source, source + size[2]), row(toShape, toStart, c, z, y));
      }
    }
  }
}

/**
 * How much each voxel of a tile counts: a Gaussian around voxel floor(patch / 2) with sigma = patch / 8 on each axis,
 * largest value 1. (So it is not symmetric for an even patch.) Form `v2` is ten times that, rounded to 16-bit floats,
 * as nnU-Net v2 has it. Zeros, which rounding makes, become the smallest value above zero, so that no voxel counts
 * for nothing.
 */
export function importanceMap(patch: Vector3, form: 'v1' | 'v2'): Float32Array {
  const [depth, height, width] = patch.map((size) =>
    Float64Array.from({ length: size }, (_, i) => Math.exp(-0.5 * ((i - (size >> 1)) / (size / 8)) ** 2)),
  );
  const map = new Float32Array(volumeOf(patch));
  let index = 0;
  let smallest = Infinity;
  for (const d of depth) {
    for (const h of height) {
      for (const w of width) {
        map[index] = form === 'v1' ? d * h * w : float16ToNumber(numberToFloat16(10 * (d * h * w)));
        if (map[index] > 0) smallest = Math.min(smallest, map[index]);
        index++;
      }
    }
  }
  for (let i = 0; i < map.length; i++) if (map[i] === 0) map[i] = smallest;
  return map;
}

/** All sets of axes to flip, the empty one first: for [0, 1, 2] they are -, 2, 1, 12, 0, 02, 01, 012. */
export function mirrorSets(mirrorAxes: readonly number[]): number[][] {
  return [[], [2], [1], [1, 2], [0], [0, 2], [0, 1], [0, 1, 2]].filter((set) =>
    set.every((axis) => mirrorAxes.includes(axis)),
  );
}

/** Reverses the order of the voxels along each of the axes, into another block [c, ...shape]. */
export function flip(block: Float32Array, shape: Vector3, flipped: readonly number[], out: Float32Array): Float32Array {
  const [d, h, w] = shape;
  const channels = block.length / volumeOf(shape);
  const [z, y, x] = axes.map((axis) => flipped.includes(axis));
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < d; i++) {
      for (let j = 0; j < h; j++) {
        const row = ((c * d + (z ? d - 1 - i : i)) * h + (y ? h - 1 - j : j)) * w;
        const to = out.subarray(((c * d + i) * h + j) * w, ((c * d + i) * h + j + 1) * w);
        to.set(block.subarray(row, row + w));
        if (x) to.reverse();
      }
    }
  }
  return out;
}

/** What a network's last numbers are turned into: one label for each voxel, or regions that may overlap. */
export type Head = 'softmax' | 'sigmoid';

/** Logits to probabilities, in place. Softmax runs over the classes of each voxel; sigmoid over each number. */
export function toProbabilities(logits: Float32Array, classes: number, head: Head): Float32Array {
  if (head === 'sigmoid') {
    for (let i = 0; i < logits.length; i++) logits[i] = 1 / (1 + Math.exp(-logits[i]));
    return logits;
  }
  // A stretch of voxels at a time, class by class: neighbors in memory, and small enough for the cache.
  const voxels = logits.length / classes;
  const stretch = Math.min(1024, voxels);
  const [largest, sum] = [new Float64Array(stretch), new Float64Array(stretch)];
  for (let start = 0; start < voxels; start += stretch) {
    const count = Math.min(stretch, voxels - start);
    largest.fill(-Infinity);
    sum.fill(0);
    for (let k = start; k < logits.length; k += voxels) {
      for (let i = 0; i < count; i++) if (logits[k + i] > largest[i]) largest[i] = logits[k + i];
    }
    for (let k = start; k < logits.length; k += voxels) {
      // Less the largest, so that no exponential overflows. A NaN stays one, for whoever looks for it.
      for (let i = 0; i < count; i++) {
        const value = Math.exp(logits[k + i] - largest[i]);
        logits[k + i] = value;
        sum[i] += value;
      }
    }
    for (let k = start; k < logits.length; k += voxels) {
      for (let i = 0; i < count; i++) logits[k + i] /= sum[i];
    }
  }
  return logits;
}

/**
 * The class with the largest value at each voxel; the first one where several are largest.
 * @param valuesOf the values of one class; asked class by class, so that only two of them need be there at a time
 */
export function largestClass(
  classes: number,
  valuesOf: (index: number) => Float32Array,
): Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer> {
  // A copy, for what comes may be a view of the sums.
  const best = valuesOf(0).slice();
  const labels = classes <= 256 ? new Uint8Array(best.length) : new Uint16Array(best.length);
  for (let k = 1; k < classes; k++) {
    const values = valuesOf(k);
    for (let i = 0; i < best.length; i++) {
      if (!(values[i] > best[i])) continue;
      best[i] = values[i];
      labels[i] = k;
    }
  }
  return labels;
}

export interface Blending {
  /** [c, ...shape], already padded to at least one patch. */
  readonly image: Float32Array;
  readonly shape: Vector3;
  readonly patch: Vector3;
  /** Fraction of the patch between two tiles, at most. */
  readonly step: number;
  /** Axes (0 d, 1 h, 2 w) along which tiles are also shown mirrored; the results are averaged. */
  readonly mirrorAxes: readonly number[];
  /** Channels of the network's output. */
  readonly classes: number;
  readonly head: Head;
  /** What is averaged, over mirrored passes and over tiles: `probabilities` as nnU-Net v1 does, `logits` as v2. */
  readonly average: 'probabilities' | 'logits';
  /** How much each voxel of a tile counts: a form of the importance map, or all the same. */
  readonly weights: 'v1' | 'v2' | 'flat';
}

/**
 * Runs the network over every tile and blends the results.
 * @param forward a tile [c, ...patch] to logits [classes, ...patch]. The tile's array is used again after the promise settles.
 * @returns [classes, ...shape], probabilities or logits as `average` says
 * @throws the signal's reason once it is aborted
 */
export async function blendTiles(
  blending: Blending,
  forward: (tile: Float32Array) => Promise<Float32Array>,
  { onTile, signal }: { onTile?: (done: number, total: number) => void; signal?: AbortSignal } = {},
): Promise<Float32Array> {
  const { image, shape, patch, step, classes, weights } = blending;
  const voxels = volumeOf(shape);
  const channels = image.length / voxels;
  const [zs, ys, xs] = axes.map((axis) => tileStarts(shape[axis], patch[axis], step));
  const starts = zs.flatMap((z) => ys.flatMap((y) => xs.map((x): Vector3 => [z, y, x])));
  const tile = new Float32Array(channels * volumeOf(patch));
  const answer = async (start: Vector3) => {
    copyBlock(image, shape, start, tile, patch, [0, 0, 0], patch, channels);
    const values = await averageOverMirrors(blending, tile, forward, signal);
    if (allFinite(values)) return values;
    throw new InputError(
      `the network's answer at voxel ${start.join(', ')} (z, y, x) is no number; the image or the weights must hold values that are none`,
    );
  };

  // One tile is its own average; a map would only add rounding errors.
  if (starts.length === 1) {
    const values = await answer(starts[0]);
    onTile?.(1, 1);
    return values;
  }
  const sums = new Float32Array(classes * voxels);
  const weightSums = new Float32Array(voxels);
  const map = weights === 'flat' ? new Float32Array(volumeOf(patch)).fill(1) : importanceMap(patch, weights);
  for (const [index, start] of starts.entries()) {
    addTile(sums, weightSums, shape, await answer(start), map, patch, start);
    onTile?.(index + 1, starts.length);
  }
  for (let k = 0; k < classes; k++) {
    for (let i = 0; i < voxels; i++) sums[k * voxels + i] /= weightSums[i];
  }
  return sums;
}

/** A sum is finite only when all that was added is; `every` would call a function for each of 15 million values. */
function allFinite(values: Float32Array): boolean {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * 0;
  return sum === 0;
}

/** The network's answer to one tile [c, ...patch], averaged over its mirror images: [classes, ...patch]. */
async function averageOverMirrors(
  { patch, mirrorAxes, classes, head, average }: Blending,
  tile: Float32Array,
  forward: (tile: Float32Array) => Promise<Float32Array>,
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const sets = mirrorSets(mirrorAxes);
  const mirrored = new Float32Array(tile.length);
  const length = classes * volumeOf(patch);
  const run = async (set: readonly number[]) => {
    signal?.throwIfAborted();
    const answer = await forward(flip(tile, patch, set, mirrored));
    if (answer.length === length) return answer;
    throw new RangeError(
      `the network gave ${answer.length} values for a tile, not ${classes} classes times ${showShape(patch)}`,
    );
  };
  const finish = (logits: Float32Array) =>
    average === 'probabilities' ? toProbabilities(logits, classes, head) : logits;

  // Copied, for the network writes its next answer into the same array.
  if (sets.length === 1) return finish((await run(sets[0])).slice());
  const sum = new Float32Array(length);
  const back = new Float32Array(length);
  for (const set of sets) {
    finish(flip(await run(set), patch, set, back));
    for (let i = 0; i < length; i++) sum[i] += back[i] / sets.length;
  }
  return sum;
}

/** Adds weight times value, and weight, at the tile's place. */
function addTile(
  sums: Float32Array,
  weightSums: Float32Array,
  shape: Vector3,
  values: Float32Array,
  map: Float32Array,
  patch: Vector3,
  start: Vector3,
): void {
  const voxels = volumeOf(shape);
  const patchVoxels = volumeOf(patch);
  const classes = values.length / patchVoxels;
  for (let z = 0; z < patch[0]; z++) {
    for (let y = 0; y < patch[1]; y++) {
      const from = (z * patch[1] + y) * patch[2];
      const to = ((start[0] + z) * shape[1] + start[1] + y) * shape[2] + start[2];
      for (let x = 0; x < patch[2]; x++) weightSums[to + x] += map[from + x];
      for (let k = 0; k < classes; k++) {
        for (let x = 0; x < patch[2]; x++) {
          sums[k * voxels + to + x] += map[from + x] * values[k * patchVoxels + from + x];
        }
      }
    }
  }
}
