/** From a data set's folder to its plan: cases measured, rules applied. */
import { fingerprintOf } from '../dataset/fingerprint.node.ts';
import { nnunetSamples } from '../dataset/fingerprint.ts';
import type { Dataset } from '../dataset/folder.node.ts';
import { type Fingerprint, normalizationOf } from '../dataset/index.ts';
import type { Shape } from '../tensor.ts';
import { readCase } from './cases.node.ts';
import { checkSupported } from './cases.ts';
import { type Planned, planTraining } from './planning.ts';
import type { TrainSettings } from './settings.ts';

export interface PlanRequest {
  readonly fold: TrainSettings['fold'];
  /** The data set's hash. */
  readonly sha256: string;
  /** Voxels along d, h, w that a person chose. */
  readonly patch?: Shape;
  readonly onCase?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Plans from all cases of the data set, as nnU-Net does: a plan holds for every fold.
 * @throws InputError for cases that cannot be trained on, or channels whose names say nothing
 */
export async function planDataset(
  dataset: Dataset,
  { fold, sha256, patch, onCase, signal }: PlanRequest,
): Promise<Planned & { readonly fingerprint: Fingerprint }> {
  const { description, folder } = dataset;
  checkSupported(description);
  // Of other channels nothing is normalized by the intensities of the data set, and 10^8 draws take a second.
  const samples = description.channels.some((channel) => normalizationOf(channel) === 'ct') ? nnunetSamples : 0;
  const read = async (files: Dataset['cases'][number]) => readCase(files, description);
  const fingerprint = await fingerprintOf(dataset, read, { sha256, samples, onCase, signal });
  const planned = planTraining({
    dataset: { name: description.name, path: folder, sha256 },
    fold,
    channels: description.channels,
    labels: description.labels.map(({ name }) => name),
    fingerprint,
    patch,
  });
  return { ...planned, fingerprint };
}
