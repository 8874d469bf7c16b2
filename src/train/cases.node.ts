/**
 * Cases of a data set, read from their files, checked and prepared (cases.ts), in memory that threads can share.
 */

import { existsSync } from 'node:fs';
import { inDescription } from '../dataset/checking.ts';
import type { DatasetDescription } from '../dataset/description.ts';
import type { CaseFiles } from '../dataset/folder.node.ts';
import type { Plan } from '../dataset/index.ts';
import { elementCount, type Shape } from '../tensor.ts';
import { readVolumeFile } from '../volume/files.node.ts';
import { stackChannels } from '../volume/index.ts';
import type { AnyCase, TrainingCase } from './batches.ts';
import { caseKey, findCase, readStored, storeCase } from './caseCache.node.ts';
import { checkScan, type LabelledScan, prepareCase } from './cases.ts';

/**
 * Image and labels of a case, as they lie in its files.
 * @throws InputError when a file is unreadable, the two lie on different grids, or a label is none of the declared
 * ones
 */
export async function readCase(files: CaseFiles, description: DatasetDescription): Promise<LabelledScan> {
  const { name } = files;
  const read = await Promise.all([...files.images, files.label].map((path) => readVolumeFile(path)));
  const volumes = read.map(({ volume }) => volume);
  const labels = volumes.pop()!;
  const image = stackChannels(
    volumes.map((volume, index) => ({ volume, name: files.images[index] })),
    name,
  );
  checkScan(name, { image, labels }, inDescription(description));
  return { image, labels, notices: read.flatMap(({ notices }) => notices) };
}

/** The same case, its arrays in memory that threads share instead of copying it; what lies there already stays. */
export function inSharedMemory({ name, patch, locations, annotated }: TrainingCase): TrainingCase {
  const indices = (voxels: Int32Array) => shared(voxels, (length) => new Int32Array(new SharedArrayBuffer(4 * length)));
  return {
    name,
    patch: {
      ...patch,
      image: shared(patch.image, (length) => new Float32Array(new SharedArrayBuffer(4 * length))),
      labels: shared(patch.labels, (length) => new Int16Array(new SharedArrayBuffer(2 * length))),
    },
    locations: new Map([...locations].map(([label, voxels]) => [label, indices(voxels)])),
    ...(annotated && { annotated: indices(annotated) }),
  };
}

function shared<T extends Float32Array | Int16Array | Int32Array>(values: T, allocate: (length: number) => T): T {
  if (values.buffer instanceof SharedArrayBuffer) return values;
  const out = allocate(values.length);
  out.set(values);
  return out;
}

/** Bytes of prepared cases that are kept in memory when nothing else is said; further ones stay in files. */
const usualMemory = 1.5e9;

export interface LoadOptions {
  /** After each case. */
  readonly onCase?: (done: number, total: number) => void;
  /** Aborting ends the work before the next case, with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Folders in which prepared cases may be found (caseCache.node.ts). */
  readonly caches?: readonly string[];
  /** Where cases are stored for which memory is not enough; without it all are kept in memory. */
  readonly overflow?: string;
  readonly memoryBytes?: number;
}

/**
 * Prepared cases, one after the other: found in a cache, or read, checked and prepared; in memory while it lasts, the rest
 * as patches that are read from files. Where a case lies makes no difference to what is drawn of it.
 * @throws InputError at the first case that is wrong
 */
export async function loadCases(
  files: readonly CaseFiles[],
  description: DatasetDescription,
  plan: Plan,
  { onCase, signal, caches = [], overflow, memoryBytes = usualMemory }: LoadOptions = {},
): Promise<{ cases: AnyCase[]; notices: string[] }> {
  const present = [...caches, ...(overflow === undefined ? [] : [overflow])].filter((folder) => existsSync(folder));
  const cases: AnyCase[] = [];
  const notices: string[] = [];
  let left = overflow === undefined ? Number.POSITIVE_INFINITY : memoryBytes;
  const fits = (channels: number, shape: Shape) => {
    const bytes = (4 * channels + 2) * elementCount(shape);
    if (bytes > left) return false;
    left -= bytes;
    return true;
  };
  for (const each of files) {
    signal?.throwIfAborted();
    const key = present.length > 0 ? await caseKey(each, description, plan) : undefined;
    const found = key && (await findIn(present, plan, each.name, key));
    if (found) {
      notices.push(...found.notices);
      cases.push(fits(found.channels, found.shape) ? inSharedMemory(await readStored(found)) : found);
    } else {
      const scan = await readCase(each, description);
      const own = scan.notices ?? [];
      notices.push(...own);
      const prepared = prepareCase(each.name, scan, plan, description.ignoreLabel);
      const { channels, shape } = prepared.patch;
      cases.push(
        overflow === undefined || fits(channels, shape)
          ? inSharedMemory(prepared)
          : await storeCase(overflow, plan, key ?? (await caseKey(each, description, plan)), prepared, own),
      );
    }
    onCase?.(cases.length, files.length);
  }
  return { cases, notices };
}

async function findIn(folders: readonly string[], plan: Plan, name: string, key: string) {
  for (const folder of folders) {
    const found = await findCase(folder, plan, name, key);
    if (found) return found;
  }
  return undefined;
}
