/**
 * Reads a data set case by case for checking.ts, with one case in memory at a time.
 */
import { createHash } from 'node:crypto';
import { relative } from 'node:path';
import { InputError } from '../errors.ts';
import { readVolumeFile } from '../volume/files.node.ts';
import { formsApartMm } from '../volume/formats/nifti.ts';
import { storedTypeOf } from '../volume/index.ts';
import {
  type CaseSummary,
  type CheckedFile,
  checkCase,
  checkTogether,
  type Problem,
  sortProblems,
  summaryOf,
  tellsOfNonFinite,
} from './checking.ts';
import { type CaseFiles, type Dataset, surveyDataset } from './folder.node.ts';

export interface CheckOptions {
  /** After each case. */
  readonly onCase?: (done: number, total: number) => void;
  /** Aborting ends the work before the next case, with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface CheckedDataset {
  readonly dataset: Dataset;
  /** Errors first. */
  readonly problems: readonly Problem[];
}

/**
 * Everything that is wrong with a data set.
 * @throws InputError when the folder is no data set at all
 */
export async function checkDataset(folder: string, { onCase, signal }: CheckOptions = {}): Promise<CheckedDataset> {
  const { dataset, faults } = await surveyDataset(folder);
  const problems: Problem[] = faults.map((fault) => ({
    severity: 'error',
    group: /^(splits_final|patients)\.json$/.test(fault.file) ? 'patients and splits' : 'files',
    ...fault,
  }));
  const summaries: CaseSummary[] = [];
  const digests = new Map<string, string>();
  for (const [index, files] of dataset.cases.entries()) {
    signal?.throwIfAborted();
    const found = await readForCheck(folder, files);
    if ('problems' in found) problems.push(...found.problems);
    else {
      const { images, label } = found;
      problems.push(...checkCase(files.name, images, label, dataset.description));
      summaries.push(summaryOf(files.name, images, label));
      digests.set(files.name, digestOf(images));
    }
    onCase?.(index + 1, dataset.cases.length);
  }
  problems.push(...checkTogether(dataset, summaries, digests));
  return { dataset, problems: sortProblems(problems) };
}

/** Image and label map, or why they cannot be read. */
async function readForCheck(
  folder: string,
  files: CaseFiles,
): Promise<{ images: CheckedFile[]; label: CheckedFile } | { problems: Problem[] }> {
  const read: CheckedFile[] = [];
  const problems: Problem[] = [];
  for (const path of [...files.images, files.label]) {
    const file = relative(folder, path);
    try {
      const { volume, notices, header } = await readVolumeFile(path);
      read.push({
        file,
        volume,
        storedType: header?.storedType ?? storedTypeOf(volume.data),
        notices,
        formsApartMm: header && formsApartMm(header, volume.shape),
        nonFinite: notices.some(tellsOfNonFinite),
      });
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      const [text, remedy = 'copy or export it again'] = error.message.replace(/\.$/, '').split(/; (?=[^;]*$)/);
      problems.push({ severity: 'error', group: 'files', file, text, remedy });
    }
  }
  if (problems.length > 0) return { problems };
  return { images: read.slice(0, -1), label: read[read.length - 1] };
}

/** The same for the same voxels, however they are stored and compressed. */
function digestOf(images: readonly CheckedFile[]): string {
  const hash = createHash('sha256');
  for (const { volume } of images) {
    hash.update(JSON.stringify([volume.channels, ...volume.shape]));
    const values = volume.data instanceof Float32Array ? volume.data : Float32Array.from(volume.data);
    hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  return hash.digest('hex');
}
