/**
 * All that decides what a run gives, as one record: the `config.json` of its folder. The same settings and data give the
 * same weights on the same machine. What a run may do without another result (device, threads, workers) is not in here.
 *
 * A person gives a part of it, as a file or as options; `completeSettings` lays it over the defaults of the data set.
 */
import { z } from 'zod';
import { type AugmentationSettings, planSchema } from '../dataset/index.ts';
import { InputError } from '../errors.ts';
import { checkSettings, stageGrids, unetrppSettings } from '../nets/index.ts';
import { elementCount, sameShape, showShape } from '../tensor.ts';
import { lossSettings } from './lossSettings.ts';
import { optimizerSettings } from './optimizers.ts';
import { scheduleSettings } from './schedules.ts';

const count = z.int().positive();
const probability = z.number().min(0).max(1);
const range = z.tuple([z.number(), z.number()]).refine(([low, high]) => low <= high, 'must be [low, high]');
const perAxis = <T extends z.ZodType>(each: T) => z.tuple([each, each, each]);

/** As `AugmentationSettings`. */
const augmentationSchema = z.strictObject({
  inPlane: z.boolean(),
  rotation: z.strictObject({ probability, degrees: perAxis(z.number().min(0).max(180)) }),
  scaling: z.strictObject({ probability, range }),
  loadedScale: z.number().positive().max(4),
  noise: z.strictObject({ probability, deviation: range }),
  blur: z.strictObject({ probability, channelProbability: probability, sigma: range }),
  brightness: z.strictObject({ probability, factor: range }),
  contrast: z.strictObject({ probability, factor: range }),
  lowResolution: z.strictObject({ probability, channelProbability: probability, zoom: range }),
  gammaInverted: z.strictObject({ probability, gamma: range }),
  gamma: z.strictObject({ probability, gamma: range }),
  mirror: perAxis(probability),
}) satisfies z.ZodType<AugmentationSettings>;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

export const trainSettings = z
  .strictObject({
    format: z.literal('unetrpp-training'),
    version: z.literal(1),
    dataset: z.strictObject({ name: z.string().min(1), path: z.string(), sha256 }),
    /** Number of the split, or `all`: every case is trained on, and validated on. */
    fold: z.union([z.int().nonnegative(), z.literal('all')]),
    /** Counts for the weights at the beginning, patches, augmentation and dropout. */
    seed: z.int().nonnegative(),
    network: unetrppSettings,
    plan: planSchema,
    /** The bundle whose weights the run began with; null: fresh ones. */
    from: z.strictObject({ name: z.string(), sha256 }).nullable(),
    /** Patches in a step. */
    batch: count.max(1024),
    /** null: as many as the time limit leaves. */
    epochs: count.max(1_000_000).nullable(),
    batchesPerEpoch: count.max(1_000_000),
    /** Seconds that the run may take; null: no limit. */
    timeLimit: z.number().positive().nullable(),
    optimizer: optimizerSettings,
    schedule: scheduleSettings,
    loss: lossSettings,
    /** Largest norm of a gradient, to which longer ones are cut; null: as they are. */
    clipNorm: z.number().positive().nullable(),
    /** Decay of the moving average of weights, which the bundle then gets; null: the last weights. */
    average: z.number().min(0).lt(1).nullable(),
    /** Dropout, as the network's settings say. */
    dropout: z.boolean(),
    /** null: none. */
    augmentation: augmentationSchema.nullable(),
    /** Share of a batch's samples that lie around the foreground. */
    foregroundShare: probability,
    /** Validation cases that are predicted at the end of an epoch, always the same; all of them at the end of the run. */
    validationCases: z.int().nonnegative(),
  })
  .refine(({ epochs, timeLimit }) => epochs !== null || timeLimit !== null, {
    path: ['epochs'],
    error: 'must be a number where there is no timeLimit',
  });

export type TrainSettings = z.infer<typeof trainSettings>;

/**
 * Lays parts over complete settings, later ones over earlier ones: records key by key, anything else whole. A record of
 * another `kind` (an optimizer, a schedule, a loss) replaces the one below, since their keys differ.
 * @param name what to call the settings in messages
 * @throws InputError that names the first entry that is unknown or wrong
 */
export function completeSettings(defaults: TrainSettings, parts: readonly unknown[], name: string): TrainSettings {
  const merged = parts.reduce<unknown>((below, part) => overlaid(below, part), defaults);
  return checkTrainSettings(merged, name);
}

/**
 * The plan's mirrored prediction averages over the axes that training mirrors, unless a part names others: of a mirror image
 * as it never saw one, a network knows nothing.
 */
export function mirroredAsTrained(settings: TrainSettings, parts: readonly unknown[]): TrainSettings {
  const { plan, augmentation } = settings;
  const named = parts.some((part) => {
    const { plan: given } = (part ?? {}) as { plan?: { inference?: { mirrorAxes?: unknown } } };
    return given?.inference?.mirrorAxes !== undefined;
  });
  if (named) return settings;
  const mirrorAxes = ([0, 1, 2] as const).filter((axis) => augmentation !== null && augmentation.mirror[axis] > 0);
  return { ...settings, plan: { ...plan, inference: { ...plan.inference, mirrorAxes } } };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function overlaid(below: unknown, above: unknown): unknown {
  if (above === undefined) return below;
  if (!isRecord(below) || !isRecord(above)) return above;
  if ('kind' in above && above['kind'] !== below['kind']) return above;
  const keys = new Set([...Object.keys(below), ...Object.keys(above)]);
  return Object.fromEntries([...keys].map((key) => [key, overlaid(below[key], above[key])]));
}

/** @throws InputError that names the first entry that is unknown or wrong, or two that do not fit each other */
export function checkTrainSettings(value: unknown, name: string): TrainSettings {
  const parsed = trainSettings.safeParse(value);
  if (!parsed.success) {
    const [{ path, message }] = parsed.error.issues;
    throw new InputError(`${name}: ${path.join('.') || 'the whole'}: ${message}; see docs/decisions/run-folder.md.`);
  }
  const { network, plan } = parsed.data;
  checkSettings(network);
  if (!sameShape(network.patch, plan.patch)) {
    throw new InputError(
      `${name}: network.patch is ${showShape(network.patch)} and plan.patch is ${showShape(plan.patch)}; give both the same.`,
    );
  }
  if (plan.channels.length !== network.inputChannels) {
    throw new InputError(
      `${name}: the plan has ${plan.channels.length} channels and the network takes ${network.inputChannels}; give both the same.`,
    );
  }
  checkRegions(parsed.data, name);
  checkBatch(network, parsed.data.batch, name);
  return parsed.data;
}

/**
 * Batch norms keep a variance with divisor n - 1: of a single value there is none.
 * @param name what to call the settings in messages
 * @throws InputError where the network's last grid has one voxel in the whole batch
 */
export function checkBatch(network: TrainSettings['network'], batch: number, name: string): void {
  if (batch * elementCount(stageGrids(network).at(-1)!) > 1) return;
  throw new InputError(
    `${name}: with the patch ${showShape(network.patch)} the network's last grid is a single voxel, which has no variance in a batch of 1; ` +
      'give batch 2, or a larger patch.',
  );
}

/** @throws InputError where network, plan and loss are not for the same regions, or not all for regions */
function checkRegions({ network, plan: { regions }, loss: { of: loss } }: TrainSettings, name: string): void {
  if (regions && regions.length !== network.classes) {
    throw new InputError(
      `${name}: the plan has ${regions.length} regions and the network ${network.classes} classes; give it one class for each region.`,
    );
  }
  const ofPlan = JSON.stringify(regions?.map(({ labels }) => labels));
  const ofLoss = loss.kind === 'softDiceRegions' ? JSON.stringify(loss.regions) : undefined;
  if (ofPlan === ofLoss) return;
  throw new InputError(
    regions
      ? `${name}: the plan has regions, and the loss ${loss.kind} is not of these; give loss.of the kind softDiceRegions with "regions" ${ofPlan}.`
      : `${name}: the loss softDiceRegions is for regions, and the plan has none; take softDiceCrossEntropy.`,
  );
}

/** What may differ between the parts of one run: how long it goes on, and where the data lie. */
const mayDiffer: readonly string[] = ['epochs', 'timeLimit', 'dataset.path', 'validationCases'];

/**
 * The first setting in which two records differ, as a text (`batch is 2 there and 4 here`); undefined where they give
 * the same run.
 * @param there of the run that was begun; may be of any form
 */
export function firstDifference(there: unknown, here: unknown, path = ''): string | undefined {
  if (mayDiffer.includes(path)) return undefined;
  if (isRecord(there) && isRecord(here)) {
    for (const key of new Set([...Object.keys(here), ...Object.keys(there)])) {
      const found = firstDifference(there[key], here[key], path === '' ? key : `${path}.${key}`);
      if (found) return found;
    }
    return undefined;
  }
  const [before, now] = [JSON.stringify(there), JSON.stringify(here)];
  if (before === now) return undefined;
  return `${path || 'the whole'} is ${before ?? 'not given'} there and ${now ?? 'not given'} here`;
}
