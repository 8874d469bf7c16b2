/**
 * Which patches of a case a network is trained on: anywhere, or around a voxel of the foreground for a share of each
 * batch, since most of a scan is background. What patches are loaded is decided here, what becomes of them in
 * `augmentation/`.
 *
 * All positions are voxels along z, y, x of the prepared case. Definitions: nnU-Net v1, `DataLoader3D`; v2,
 * `_sample_foreground_locations`.
 */
import { copyOverlap } from '../volume/cropping.ts';
import { emptyLike, type FloatData, roundEven, type Vector3 } from '../volume/volume.ts';
import type { LabelData, Patch } from './augmentation/patch.ts';
import { integer, type RandomStream } from './randomStream.ts';

/**
 * Voxels of each label of the foreground, as flat indices (z * h + y) * w + x; of regions, by their places from 1 on, and
 * a voxel may be in several.
 */
export type ForegroundLocations = ReadonlyMap<number, Int32Array>;

/** At most this many voxels of a label are kept, unless they would be less than 1 % of it. */
const locationLimit = 10_000;
const leastShare = 0.01;

export interface LocationOptions {
  /** Labels of each region; without it each label is one of its own. */
  readonly regions?: readonly (readonly number[])[];
  /** Label of voxels that are in nothing. */
  readonly ignored?: number;
}

/** Some voxels of each label above 0, or region, drawn without replacement, in a random order; labels in ascending order. */
export function foregroundLocations(
  labels: LabelData,
  stream: RandomStream,
  { regions, ignored }: LocationOptions = {},
): Map<number, Int32Array> {
  const counts = new Map<number, number>();
  for (let i = 0; i < labels.length; i++) if (labels[i] > 0) counts.set(labels[i], (counts.get(labels[i]) ?? 0) + 1);
  if (ignored !== undefined) counts.delete(ignored);
  /** Labels of each set, by the number that the set goes by. */
  const sets = regions
    ? regions.map((values, index) => [index + 1, values] as const)
    : [...counts.keys()].sort((a, b) => a - b).map((label) => [label, [label]] as const);
  const found = new Map<number, Int32Array>();
  for (const [key, values] of sets) {
    const n = [...new Set(values)].reduce((sum, value) => sum + (counts.get(value) ?? 0), 0);
    if (n > 0) found.set(key, new Int32Array(n));
  }
  const filled = new Map<number, number>();
  const keysOf = new Map(
    [...counts.keys()].map((label) => [label, sets.flatMap(([key, values]) => (values.includes(label) ? [key] : []))]),
  );
  for (let i = 0; i < labels.length; i++) {
    const keys = keysOf.get(labels[i]);
    if (!keys) continue;
    for (const key of keys) {
      const at = filled.get(key) ?? 0;
      found.get(key)![at] = i;
      filled.set(key, at + 1);
    }
  }
  for (const [key, all] of found) found.set(key, someOf(all, stream));
  return found;
}

/** Some voxels of a label map with an ignored label that do not have it, the background too; as `foregroundLocations`. */
export function annotatedVoxels(labels: LabelData, stream: RandomStream, ignored: number): Int32Array {
  let count = 0;
  for (let i = 0; i < labels.length; i++) if (labels[i] !== ignored) count++;
  const all = new Int32Array(count);
  for (let i = 0, at = 0; i < labels.length; i++) if (labels[i] !== ignored) all[at++] = i;
  return someOf(all, stream);
}

/** As many of these as are kept, drawn without replacement. */
function someOf(all: Int32Array, stream: RandomStream): Int32Array {
  const kept = Math.max(Math.min(locationLimit, all.length), Math.ceil(leastShare * all.length));
  for (let i = 0; i < kept; i++) {
    const other = integer(stream, i, all.length - 1);
    [all[i], all[other]] = [all[other], all[i]];
  }
  return all.slice(0, kept);
}

/** nnU-Net's share of samples around the foreground; of a batch of 2 it makes one. */
const foregroundShare = 0.33;

/** Whether a sample of a batch is drawn around the foreground: the last ones are. */
export function isForegroundSample(sample: number, batch: number, share = foregroundShare): boolean {
  return sample >= roundEven(batch * (1 - share));
}

export interface PatchPlace {
  /** Of the case. */
  readonly shape: Vector3;
  /** Of the patch that is loaded, see `loadedPatchShape`. */
  readonly loaded: Vector3;
  /** Of the patch that the network sees. */
  readonly patch: Vector3;
}

/** Lowest and highest corner of a loaded patch along one axis: so that the network's patch can reach the case's ends. */
function cornerRange({ shape, loaded, patch }: PatchPlace, axis: number): [low: number, high: number] {
  const beyond = Math.max(loaded[axis] - patch[axis], loaded[axis] - shape[axis]);
  const half = Math.ceil(beyond / 2);
  return [0 - half, shape[axis] + half - loaded[axis]];
}

/**
 * First voxel of a patch to load, anywhere in the case; below 0 where the patch begins before the case does.
 * @param annotated where there are such voxels, the patch has one of them in its middle, as in nnU-Net v2
 */
export function drawCorner(stream: RandomStream, place: PatchPlace, annotated?: Int32Array): Vector3 {
  if (annotated && annotated.length > 0) return cornerAround(drawnOf(stream, annotated), place);
  const [z, y, x] = [0, 1, 2].map((axis) => integer(stream, ...cornerRange(place, axis)));
  return [z, y, x];
}

/**
 * First voxel of a patch to load whose middle is a voxel of the foreground: of a label drawn from those that are there,
 * then of its voxels. A patch begins no earlier than one drawn anywhere may, but can reach farther beyond the end. A case
 * without foreground is drawn from as by `drawCorner`.
 */
export function drawForegroundCorner(
  stream: RandomStream,
  place: PatchPlace,
  locations: ForegroundLocations,
  annotated?: Int32Array,
): Vector3 {
  const present = [...locations.values()].filter(({ length }) => length > 0);
  if (present.length === 0) return drawCorner(stream, place, annotated);
  return cornerAround(drawnOf(stream, drawnOf(stream, present)), place);
}

const drawnOf = <T>(stream: RandomStream, values: ArrayLike<T>): T => values[integer(stream, 0, values.length - 1)];

/** @param voxel flat index of what is to be in the middle */
function cornerAround(voxel: number, place: PatchPlace): Vector3 {
  const { shape, loaded } = place;
  const middle = [Math.floor(voxel / (shape[1] * shape[2])), Math.floor(voxel / shape[2]) % shape[1], voxel % shape[2]];
  const [z, y, x] = middle.map((at, axis) => Math.max(cornerRange(place, axis)[0], at - Math.floor(loaded[axis] / 2)));
  return [z, y, x];
}

/** The patch of this shape that begins at the corner. What lies outside the case is 0 in the image and -1 in the labels. */
export function cutPatch<T extends FloatData, L extends LabelData>(
  from: Patch<T, L>,
  corner: Vector3,
  shape: Vector3,
): Patch<T, L> {
  const { channels } = from;
  const count = shape[0] * shape[1] * shape[2];
  const image = emptyLike(from.image, channels * count);
  const labels = emptyLike(from.labels, count).fill(-1) as L;
  const offset: Vector3 = [-corner[0], -corner[1], -corner[2]];
  copyOverlap(from.image, from.shape, image, shape, offset, channels);
  copyOverlap(from.labels, from.shape, labels, shape, offset);
  return { shape, channels, image, labels };
}
