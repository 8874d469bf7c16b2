/** The fingerprint of a data set's folder: its cases are read one after the other, and none is kept. */
import type { Volume } from '../volume/volume.ts';
import { type CaseFingerprint, type Fingerprint, ForegroundPool, measureCase } from './fingerprint.ts';
import type { CaseFiles, Dataset } from './folder.node.ts';

export interface FingerprintOptions {
  /** The data set's hash. */
  readonly sha256: string;
  /** Voxels to draw of each channel's foreground, of all cases together; 0: no statistics. nnU-Net's are `nnunetSamples`. */
  readonly samples: number;
  /** After each case. */
  readonly onCase?: (done: number, total: number) => void;
  /** Aborting ends the work before the next case, with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * @param read the checked image and labels of a case
 * @throws what `read` throws
 */
export async function fingerprintOf(
  dataset: Dataset,
  read: (files: CaseFiles) => Promise<{ readonly image: Volume; readonly labels: Volume }>,
  { sha256, samples, onCase, signal }: FingerprintOptions,
): Promise<Fingerprint> {
  const { cases: files, description } = dataset;
  const samplesOfCase = Math.floor(samples / files.length);
  const pool = new ForegroundPool(description.channels.length);
  const cases: CaseFingerprint[] = [];
  for (const each of files) {
    signal?.throwIfAborted();
    const { image, labels } = await read(each);
    const { fingerprint, drawn } = measureCase(each.name, image, labels, samplesOfCase, description.ignoreLabel);
    cases.push(fingerprint);
    pool.add(drawn);
    onCase?.(cases.length, files.length);
  }
  const sizes = cases.map(({ relativeSize }) => relativeSize).sort((a, b) => a - b);
  const middle = (sizes.length - 1) / 2;
  return {
    format: 'unetrpp-fingerprint',
    version: 1,
    dataset: { name: description.name, sha256 },
    cases,
    medianRelativeSize: (sizes[Math.floor(middle)] + sizes[Math.ceil(middle)]) / 2,
    foreground: pool.statistics(),
  };
}
