/**
 * Sliding-window inference: an image, cut into overlapping tiles of the network's patch, back to one value per class and
 * voxel. Where tiles lie, how much each voxel of a tile counts, mirroring, and the blending of it all, part by part.
 *
 * Two conventions exist, and they give different segmentations: nnU-Net v1 (and the published UNETR++) averages
 * probabilities, nnU-Net v2 averages logits. Positions, padding and mirroring are the same in both.
 *
 * Blocks are [c, d, h, w] in C order; axes are counted without c (0 = d). What the network is, how an image gets its
 * spacing and how the result finds its way back to the scan's grid are for others.
 */
import { InputError } from '../errors.ts';
import { elementCount, float16ToNumber, numberToFloat16, showShape } from '../tensor.ts';
import { copyOverlap } from '../volume/index.ts';
import { roundEven, type Vector3 } from '../volume/volume.ts';
import { type BlendedPart, Cells } from './cells.ts';

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

/** The voxels from `start` on that a tile covers, [c, ...patch]; zeros where it reaches beyond the image. */
function cutTile(image: Float32Array, shape: Vector3, start: Vector3, patch: Vector3, tile: Float32Array): void {
  if (axes.some((axis) => start[axis] < 0 || start[axis] + patch[axis] > shape[axis])) tile.fill(0);
  const channels = image.length / elementCount(shape);
  copyOverlap(image, shape, tile, patch, [-start[0], -start[1], -start[2]], channels);
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
  const map = new Float32Array(elementCount(patch));
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
  const channels = block.length / elementCount(shape);
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
 * @param candidates classes that are compared, ascending, at least one
 * @param valuesOf the values of one class; asked class by class, so that only two of them need be there at a time
 */
export function largestClass(
  candidates: readonly number[],
  valuesOf: (index: number) => Float32Array,
): Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer> {
  const [first, ...others] = candidates;
  // A copy, for what comes may be a view of the sums.
  const best = valuesOf(first).slice();
  const labels = candidates[others.length] < 256 ? new Uint8Array(best.length) : new Uint16Array(best.length);
  if (first > 0) labels.fill(first);
  for (const k of others) {
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
  /** [c, ...shape] */
  readonly image: Float32Array;
  readonly shape: Vector3;
  readonly patch: Vector3;
  /** Fraction of the patch between two tiles, at most. */
  readonly step: number;
  /** Axes (0 d, 1 h, 2 w) along which tiles are also shown mirrored; the results are averaged. */
  readonly mirrorAxes: readonly number[];
  /** Channels of the network's output. */
  readonly classes: number;
  /** How much each voxel of a tile counts: a form of the importance map, or all the same. */
  readonly weights: 'v1' | 'v2' | 'flat';
  /** Tiles in one run of the network. Default 1. */
  readonly batch?: number;
  /** Tiles that need no network: which, and the answer to them, one number for each class. */
  readonly skip?: { readonly isEmpty: (tile: Float32Array) => boolean; readonly answer: readonly number[] };
}

export interface BlendingCallbacks {
  /** Called before the first tile, after every run of the network, and for tiles that were skipped. */
  readonly onTile?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Runs the network over every tile and blends the results. The parts cover the image; each is given away as soon as no
 * later tile reaches it, so that never more than about half a patch of slices is held for all classes.
 * @param forward tiles [batch, c, ...patch] to what is averaged, over mirrored passes and over tiles: probabilities as nnU-Net
 *   v1 does or logits as v2 does, [batch, classes, ...patch]. The tiles' array is used again after the promise settles.
 * @param take gets the parts in the order in which they are finished: their depths in ascending order
 * @throws the signal's reason once it is aborted
 */
export async function blendTiles(
  blending: Blending,
  forward: (tiles: Float32Array) => Promise<Float32Array>,
  take: (part: BlendedPart) => void,
  { onTile, signal }: BlendingCallbacks = {},
): Promise<void> {
  for await (const { done, total } of blendingSteps(blending, forward, take, signal)) onTile?.(done, total);
}

/**
 * The same step by step, for who blends the answers of several networks side by side: nothing happens until the next step is
 * asked for. Yields before the first tile, after every run of the network, and for tiles that were skipped.
 */
export async function* blendingSteps(
  blending: Blending,
  forward: (tiles: Float32Array) => Promise<Float32Array>,
  take: (part: BlendedPart) => void,
  signal?: AbortSignal,
): AsyncGenerator<{ readonly done: number; readonly total: number }, void> {
  const { image, shape, patch, step, classes, batch = 1, skip } = blending;
  const { before, after } = paddingFor(shape, patch);
  const [zs, ys, xs] = axes.map((axis) =>
    tileStarts(before[axis] + shape[axis] + after[axis], patch[axis], step).map((start) => start - before[axis]),
  );
  const starts = zs.flatMap((z) => ys.flatMap((y) => xs.map((x): Vector3 => [z, y, x])));
  const tileLength = (image.length / elementCount(shape)) * elementCount(patch);
  const answerLength = classes * elementCount(patch);
  // One tile is its own average; a map would only add rounding errors.
  const flat = blending.weights === 'flat' || starts.length === 1;
  const map = flat
    ? new Float32Array(elementCount(patch)).fill(1)
    : importanceMap(patch, blending.weights as 'v1' | 'v2');
  const cells = new Cells(shape, patch, [zs, ys, xs], classes, map, take);

  const tiles = new Float32Array(batch * tileLength);
  let waiting: Vector3[] = [];
  let done = 0;
  const total = starts.length;
  const flush = async () => {
    const answers = await averageOverMirrors(blending, tiles, batch * answerLength, forward, signal);
    waiting.forEach((start, index) => {
      cells.add(start, answers.subarray(index * answerLength, (index + 1) * answerLength));
    });
    done += waiting.length;
    waiting = [];
    return { done, total };
  };
  yield { done, total };
  const emptyAnswer = skip && constantAnswer(skip.answer, elementCount(patch));
  for (const start of starts) {
    const tile = tiles.subarray(waiting.length * tileLength, (waiting.length + 1) * tileLength);
    cutTile(image, shape, start, patch, tile);
    if (emptyAnswer && skip.isEmpty(tile)) {
      // Sums must be added in the order of tiles, or batches would change the last bits.
      if (waiting.length > 0) yield await flush();
      signal?.throwIfAborted();
      cells.add(start, emptyAnswer);
      yield { done: ++done, total };
      continue;
    }
    waiting.push(start);
    if (waiting.length === batch) yield await flush();
  }
  if (waiting.length > 0) yield await flush();
}

function constantAnswer(values: readonly number[], voxels: number): Float32Array {
  const answer = new Float32Array(values.length * voxels);
  values.forEach((value, k) => {
    answer.fill(value, k * voxels, (k + 1) * voxels);
  });
  return answer;
}

/** The network's answer to tiles [batch, c, ...patch], averaged over their mirror images: [batch, classes, ...patch]. */
async function averageOverMirrors(
  { patch, mirrorAxes, classes }: Blending,
  tiles: Float32Array,
  length: number,
  forward: (tiles: Float32Array) => Promise<Float32Array>,
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const sets = mirrorSets(mirrorAxes);
  const run = async (shown: Float32Array) => {
    signal?.throwIfAborted();
    const answer = await forward(shown);
    if (answer.length === length) return answer;
    throw new RangeError(
      `the network gave ${answer.length} values for a tile, not ${classes} classes times ${showShape(patch)}`,
    );
  };
  if (sets.length === 1) return run(tiles);
  const mirrored = new Float32Array(tiles.length);
  const sum = new Float32Array(length);
  const back = new Float32Array(length);
  for (const set of sets) {
    flip(await run(flip(tiles, patch, set, mirrored)), patch, set, back);
    for (let i = 0; i < length; i++) sum[i] += back[i] / sets.length;
  }
  return sum;
}
