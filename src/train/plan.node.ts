/** From a data set's folder to its plan: cases measured, rules applied. */
import { readFile } from 'node:fs/promises';
import { plannedRegions } from '../dataset/description.ts';
import { fingerprintOf } from '../dataset/fingerprint.node.ts';
import { nnunetSamples } from '../dataset/fingerprint.ts';
import type { Dataset } from '../dataset/folder.node.ts';
import { type Fingerprint, normalizationOf, type Plan, planFromV1Pickle, planFromV2Json } from '../dataset/index.ts';
import { InputError } from '../errors.ts';
import type { Shape } from '../tensor.ts';
import { readBytes } from '../volume/files.node.ts';
import { readPickle } from '../weights/index.ts';
import { readCase } from './cases.node.ts';
import { settingsInPlan } from './planFile.ts';
import { type Planned, planTraining } from './planning.ts';
import type { TrainSettings } from './settings.ts';

export interface PlanRequest {
  readonly fold?: TrainSettings['fold'];
  /** The data set's hash. */
  readonly sha256: string;
  /** Voxels along d, h, w that a person chose. */
  readonly patch?: Shape;
  /** File of an nnU-Net plan, version 1 (`plans.pkl`) or 2 (`plans.json`). */
  readonly nnunet?: string;
  readonly onCase?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Plans from all cases of the data set, as nnU-Net does: a plan holds for every fold.
 * @throws InputError for cases that cannot be trained on, or channels whose names say nothing
 */
export async function planDataset(
  dataset: Dataset,
  { fold = 'all', sha256, patch, nnunet, onCase, signal }: PlanRequest,
): Promise<Planned & { readonly fingerprint: Fingerprint }> {
  const { description, folder } = dataset;
  const given = nnunet === undefined ? undefined : await readNnunetPlan(nnunet, description.channels);
  // Of other channels nothing is normalized by the intensities of the data set, and 10^8 draws take a second.
  const samples =
    !given && description.channels.some((channel) => normalizationOf(channel) === 'ct') ? nnunetSamples : 0;
  const read = async (files: Dataset['cases'][number]) => readCase(files, description);
  const fingerprint = await fingerprintOf(dataset, read, { sha256, samples, onCase, signal });
  const planned = planTraining({
    dataset: { name: description.name, path: folder, sha256 },
    fold,
    channels: description.channels,
    labels: description.labels.map(({ name }) => name),
    regions: plannedRegions(description),
    ignoreLabel: description.ignoreLabel,
    fingerprint,
    patch,
    nnunet: given,
  });
  return { ...planned, fingerprint };
}

/**
 * The settings in a plan's file, or planned where there is none.
 * @throws InputError when the file is no legal plan, or one that was made for another data set
 */
export async function openPlan(
  dataset: Dataset,
  file: string | undefined,
  request: PlanRequest,
): Promise<TrainSettings> {
  if (file === undefined) return (await planDataset(dataset, request)).settings;
  const { description, folder } = dataset;
  return settingsInPlan(
    await readPlanFile(file),
    { name: description.name, path: folder, sha256: request.sha256 },
    request.fold ?? 'all',
    file,
  );
}

/** @throws InputError when it is no plan, or one for other channels */
async function readNnunetPlan(path: string, channels: readonly string[]): Promise<Plan> {
  if (path.endsWith('.json')) return planFromV2Json(await readPlanFile(path), channels, path);
  const bytes = await readBytes(path);
  const { plan } = planFromV1Pickle(readPickle(bytes, { name: path }), { channelNames: channels });
  if (plan.channels.length === channels.length) return plan;
  throw new InputError(
    `${path} is for ${plan.channels.length} channels and there are ${channels.length} (${channels.join(', ')}); give the plan of this data set.`,
  );
}

/** @throws InputError when the file cannot be read, or is no JSON */
export async function readPlanFile(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw new InputError(
      `${path} is no plan (${(cause as Error).message}); correct it, remove it, or make it anew with unetrpp plan.`,
      { cause },
    );
  }
}
