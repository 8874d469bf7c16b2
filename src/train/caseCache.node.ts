/**
 * Prepared cases as files: one folder a case in Zarr v3 (docs/decisions/preprocessed-cache.md), of which a patch can be read
 * without the rest.
 *
 *     FOLDER/PLAN/CASE.zarr/   attributes: key, notices;   image [c, d, h, w], labels [d, h, w],
 *                              locations/LABEL [n], annotated [n] where a label is ignored
 *
 * PLAN is a hash of what the plan says of preparing, so that plans do not overwrite each other's cases. The key is a hash of
 * the contents of the case's files and of the plan: a case whose files have changed is not found, and prepared again. A
 * folder appears whole or not at all.
 */
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FileSystemStore } from '@zarrita/storage';
import * as zarr from 'zarrita';
import { type CaseFiles, fileHash } from '../dataset/folder.node.ts';
import {
  type DatasetDescription,
  declaredValues,
  type ForegroundLocations,
  type Patch,
  type Plan,
} from '../dataset/index.ts';
import { stridesOf } from '../tensor.ts';
import { copyOverlap, type Vector3 } from '../volume/index.ts';
import { writeFolderWhole } from '../wholeFiles.node.ts';
import type { StoredCase, TrainingCase } from './batches.ts';

/** Counts up when cases are prepared or stored in another way. */
const formatVersion = 1;
/**
 * Voxels of a chunk along an axis; of scans with few slices, along the other two axes. Larger chunks read more around a patch,
 * smaller ones are more files.
 */
const [chunk, flatChunk, fewSlices] = [64, 128, 16];
const zstd = [
  { name: 'bytes', configuration: { endian: 'little' } },
  { name: 'zstd', configuration: { level: 3, checksum: true } },
];

/** Name of the folder of prepared cases, in that of a data set or of a run. */
export const preparedFolder = 'preprocessed';

/** What a plan says of preparing; its patch and how it predicts make no difference. */
function preparingPart({ orientation, transposeForward, spacing, channels, convention, resampling }: Plan): string {
  return JSON.stringify({ formatVersion, orientation, transposeForward, spacing, channels, convention, resampling });
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

/** The folder of a plan's prepared cases. */
export const planFolder = (folder: string, plan: Plan): string =>
  join(folder, sha256(preparingPart(plan)).slice(0, 12));

const caseFolder = (folder: string, plan: Plan, name: string) => join(planFolder(folder, plan), `${name}.zarr`);

/** Hash of all that a prepared case follows from, and of the labels that it was checked for. */
export async function caseKey(
  { name, images, label }: CaseFiles,
  description: DatasetDescription,
  plan: Plan,
): Promise<string> {
  const files = await Promise.all([...images, label].map(fileHash));
  const { ignoreLabel } = description;
  // Where voxels lie that patches are drawn around.
  const sampling = plan.regions || ignoreLabel !== undefined ? [{ regions: plan.regions, ignoreLabel }] : [];
  return sha256(JSON.stringify([preparingPart(plan), declaredValues(description), name, files, ...sampling]));
}

export interface CachedCase extends StoredCase {
  readonly notices: readonly string[];
}

interface Attributes {
  readonly key?: unknown;
  readonly notices?: unknown;
  readonly labels?: unknown;
  readonly annotated?: unknown;
}

const at = (folder: string) => zarr.root(new FileSystemStore(folder));

/** The case as it was stored; undefined where there is none, or another. */
export async function findCase(folder: string, plan: Plan, name: string, key: string): Promise<CachedCase | undefined> {
  const path = caseFolder(folder, plan, name);
  try {
    const root = at(path);
    const { attrs } = await zarr.open.v3(root, { kind: 'group' });
    const { key: stored, notices, labels, annotated: sparse } = attrs as Attributes;
    if (stored !== key || !Array.isArray(notices) || !Array.isArray(labels)) return undefined;
    const [channels, d, h, w] = (await zarr.open.v3(root.resolve('image'), { kind: 'array' })).shape;
    const indices = async (place: string) => {
      const array = await zarr.open.v3(root.resolve(place), { kind: 'array' });
      if (!array.is('int32')) throw new Error(`${place} holds another type`);
      return (await zarr.get(array)).data as Int32Array;
    };
    const locations = new Map<number, Int32Array>();
    for (const label of labels as number[]) locations.set(label, await indices(`locations/${label}`));
    const annotated = sparse === true ? { annotated: await indices('annotated') } : {};
    return { name, folder: path, shape: [d, h, w], channels, locations, ...annotated, notices: notices as string[] };
  } catch {
    // Not there, or damaged: it is prepared again.
    return undefined;
  }
}

/** @throws as `writeFolderWhole` */
export async function storeCase(
  folder: string,
  plan: Plan,
  key: string,
  { name, patch, locations, annotated }: TrainingCase,
  notices: readonly string[],
): Promise<CachedCase> {
  const path = caseFolder(folder, plan, name);
  const { shape, channels, image, labels } = patch;
  await mkdir(planFolder(folder, plan), { recursive: true });
  await writeFolderWhole(path, async (temporary) => {
    const root = at(temporary);
    const sparse = annotated && { annotated: true };
    const attributes = { key, notices: [...notices], labels: [...locations.keys()], ...sparse };
    await zarr.create(root, { attributes });
    await zarr.create(root.resolve('locations'), { attributes: {} });
    const write = async (
      place: string,
      dtype: 'float32' | 'int16' | 'int32',
      size: number[],
      chunkShape: number[],
      data: Float32Array | Int16Array | Int32Array,
    ) => {
      // A chunk that is lost reads as the fill value: with NaN, training stops and names the case.
      const fillValue = dtype === 'float32' ? Number.NaN : 0;
      const array = await zarr.create(root.resolve(place), { dtype, shape: size, chunkShape, codecs: zstd, fillValue });
      await zarr.set(array, null, { data: inOwnMemory(data), shape: size, stride: stridesOf(size) } as never);
    };
    const chunks = shape.map((length) => Math.min(length, shape[0] <= fewSlices ? flatChunk : chunk));
    await write('image', 'float32', [channels, ...shape], [1, ...chunks], image as Float32Array);
    await write('labels', 'int16', [...shape], chunks, Int16Array.from(labels));
    for (const [label, voxels] of locations) {
      await write(`locations/${label}`, 'int32', [voxels.length], [voxels.length], voxels);
    }
    if (annotated) await write('annotated', 'int32', [annotated.length], [annotated.length], annotated);
  });
  return { name, folder: path, shape, channels, locations, ...(annotated && { annotated }), notices };
}

/** Zarr's codecs take no memory that threads share. */
function inOwnMemory<T extends Float32Array | Int16Array | Int32Array>(data: T): T {
  return data.buffer instanceof SharedArrayBuffer ? (data.slice() as T) : data;
}

/**
 * The patch of a stored case that begins at the corner, as `cutPatch` of the case in memory: outside of it 0, in the labels
 * -1. Opened arrays are remembered.
 */
export function patchReader(): (stored: StoredCase, corner: Vector3, shape: Vector3) => Promise<Patch> {
  const opened = new Map<string, ReturnType<typeof openArrays>>();
  return async (stored, corner, shape) => {
    const arrays = opened.get(stored.folder) ?? openArrays(stored.folder);
    opened.set(stored.folder, arrays);
    const [images, maps] = await arrays;
    const low = corner.map((from) => Math.max(0, from));
    const high = corner.map((from, axis) => Math.min(stored.shape[axis], from + shape[axis]));
    const voxels = shape[0] * shape[1] * shape[2];
    const image = new Float32Array(stored.channels * voxels);
    const labels = new Int16Array(voxels).fill(-1);
    if (low.every((from, axis) => from < high[axis])) {
      const slices = low.map((from, axis) => zarr.slice(from, high[axis]));
      const part = (await zarr.get(images, [null, ...slices])).data as Float32Array;
      const map = (await zarr.get(maps, slices)).data as Int16Array;
      const inner = low.map((from, axis) => high[axis] - from) as unknown as Vector3;
      const offset = low.map((from, axis) => from - corner[axis]) as unknown as Vector3;
      copyOverlap(part, inner, image, shape, offset, stored.channels);
      copyOverlap(map, inner, labels, shape, offset);
    }
    return { shape, channels: stored.channels, image, labels };
  };
}

async function openArrays(folder: string) {
  const root = at(folder);
  const [image, labels] = await Promise.all(
    ['image', 'labels'].map((name) => zarr.open.v3(root.resolve(name), { kind: 'array' })),
  );
  if (!image.is('float32') || !labels.is('int16')) throw new Error(`${folder} holds arrays of other types`);
  return [image, labels] as const;
}

/** A stored case, whole. */
export async function readStored(stored: CachedCase): Promise<TrainingCase> {
  const patch = await patchReader()(stored, [0, 0, 0], stored.shape);
  const { name, locations, annotated } = stored;
  return { name, patch, locations: locations as ForegroundLocations, ...(annotated && { annotated }) };
}
