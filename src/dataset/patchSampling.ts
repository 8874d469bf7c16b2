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

/** Voxels of each label of the foreground, as flat indices (z * h + y) * w + x. */
export type ForegroundLocations = ReadonlyMap<number, Int32Array>;

/** At most this many voxels of a label are kept, unless they would be less than 1 % of it. */
const locationLimit = 10_000;
const leastShare = 0.01;

/** Some voxels of each label above 0, drawn without replacement, in a random order; labels in ascending order. */
export function foregroundLocations(labels: LabelData, stream: RandomStream): Map<number, Int32Array> {
  const counts = new Map<number, number>();
  for (let i = 0; i < labels.length; i++) if (labels[i] > 0) counts.set(labels[i], (counts.get(labels[i]) ?? 0) + 1);
  const found = new Map([...counts].sort(([a], [b]) => a - b).map(([label, n]) => [label, new Int32Array(n)]));
  const filled = new Map<number, number>();
  for (let i = 0; i < labels.length; i++) {
    const all = found.get(labels[i]);
    if (!all) continue;
    const at = filled.get(labels[i]) ?? 0;
    all[at] = i;
    filled.set(labels[i], at + 1);
  }
  for (const [label, all] of found) {
    const kept = Math.max(Math.min(locationLimit, all.length), Math.ceil(leastShare * all.length));
    for (let i = 0; i < kept; i++) {
      const other = integer(stream, i, all.length - 1);
      [all[i], all[other]] = [all[other], all[i]];
    }
    found.set(label, all.slice(0, kept));
  }
  return found;
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

/** First voxel of a patch to load, anywhere in the case; below 0 where the patch begins before the case does. */
export function drawCorner(stream: RandomStream, place: PatchPlace): Vector3 {
  const [z, y, x] = [0, 1, 2].map((axis) => integer(stream, ...cornerRange(place, axis)));
  return [z, y, x];
}

/**
 * First voxel of a patch to load whose middle is a voxel of the foreground: of a label drawn from those that are there,
 * then of its voxels. A patch begins no earlier than one drawn anywhere may, but can reach farther beyond the end. A case
 * without foreground is drawn from anywhere.
 */
export function drawForegroundCorner(stream: RandomStream, place: PatchPlace, locations: ForegroundLocations): Vector3 {
  const present = [...locations.values()].filter(({ length }) => length > 0);
  if (present.length === 0) return drawCorner(stream, place);
  const voxels = present[integer(stream, 0, present.length - 1)];
  const voxel = voxels[integer(stream, 0, voxels.length - 1)];
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
