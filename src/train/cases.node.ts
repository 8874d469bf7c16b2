/**
 * Cases of a data set, read from their files, checked and prepared (cases.ts), in memory that threads can share.
 */
import { inDescription } from '../dataset/checking.ts';
import type { DatasetDescription } from '../dataset/description.ts';
import type { CaseFiles } from '../dataset/folder.node.ts';
import type { Plan } from '../dataset/index.ts';
import { readVolumeFile } from '../volume/files.node.ts';
import { stackChannels } from '../volume/index.ts';
import type { TrainingCase } from './batches.ts';
import { checkScan, checkSupported, type LabelledScan, prepareCase } from './cases.ts';

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
export function inSharedMemory({ name, patch, locations }: TrainingCase): TrainingCase {
  return {
    name,
    patch: {
      ...patch,
      image: shared(patch.image, (length) => new Float32Array(new SharedArrayBuffer(4 * length))),
      labels: shared(patch.labels, (length) => new Int16Array(new SharedArrayBuffer(2 * length))),
    },
    locations: new Map(
      [...locations].map(([label, voxels]) => [
        label,
        shared(voxels, (length) => new Int32Array(new SharedArrayBuffer(4 * length))),
      ]),
    ),
  };
}

function shared<T extends Float32Array | Int16Array | Int32Array>(values: T, allocate: (length: number) => T): T {
  if (values.buffer instanceof SharedArrayBuffer) return values;
  const out = allocate(values.length);
  out.set(values);
  return out;
}

export interface LoadOptions {
  /** After each case. */
  readonly onCase?: (done: number, total: number) => void;
  /** Aborting ends the work before the next case, with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * Reads, checks and prepares cases, one after the other.
 * @throws InputError at the first case that is wrong
 */
export async function loadCases(
  files: readonly CaseFiles[],
  description: DatasetDescription,
  plan: Plan,
  { onCase, signal }: LoadOptions = {},
): Promise<{ cases: TrainingCase[]; notices: string[] }> {
  checkSupported(description);
  const cases: TrainingCase[] = [];
  const notices: string[] = [];
  for (const each of files) {
    signal?.throwIfAborted();
    const scan = await readCase(each, description);
    notices.push(...(scan.notices ?? []));
    cases.push(inSharedMemory(prepareCase(each.name, scan, plan)));
    onCase?.(cases.length, files.length);
  }
  return { cases, notices };
}
