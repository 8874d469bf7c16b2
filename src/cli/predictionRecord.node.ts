/**
 * `predictions.json` beside masks: which model made them, and how. Masks that are there already are not made again, and must
 * not be taken for another model's.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { InputError } from '../errors.ts';
import { type Ensemble, type Model, membersOf, type SegmenterOptions } from '../predict/index.ts';
import { readJson } from '../volume/files.node.ts';

export const predictionsFile = 'predictions.json';

const schema = z.object({
  format: z.literal('unetrpp-predictions'),
  version: z.literal(1),
  model: z.string(),
  /** Of each bundle the SHA-256 of its weights, and of what it does with a scan: its plan. */
  bundles: z.array(z.object({ weights: z.string(), plan: z.string() })).min(1),
  /** What else decides about a mask; what is left out is as planned. */
  settings: z.object({
    mirror: z.boolean().optional(),
    skipEmpty: z.boolean().optional(),
    step: z.number().optional(),
    patch: z.array(z.number()).optional(),
  }),
});

export type PredictionRecord = z.infer<typeof schema>;

export function predictionRecord(model: Model | Ensemble, options: SegmenterOptions): PredictionRecord {
  const hashOf = (value: unknown) => createHash('sha256').update(JSON.stringify(value)).digest('hex');
  const { mirror, skipEmpty, step, patch } = options;
  // Post-processing of an ensemble is its own; of a bundle it is part of the plan.
  const own = 'members' in model ? { keepLargestComponents: model.keepLargestComponents } : {};
  return {
    format: 'unetrpp-predictions',
    version: 1,
    model: model.name,
    bundles: membersOf(model).map(({ manifest, plan }) => ({
      weights: manifest.weights.sha256,
      plan: hashOf({ ...plan, ...own }),
    })),
    settings: JSON.parse(JSON.stringify({ mirror, skipEmpty, step, patch })) as PredictionRecord['settings'],
  };
}

/**
 * @param path of the record that is there, if any
 * @throws InputError when the masks beside it are another model's, or were made in another way
 */
export async function checkSamePredictions(path: string, record: PredictionRecord): Promise<void> {
  if (!existsSync(path)) return;
  const parsed = schema.safeParse(await readJson(path));
  const remedy = 'name another folder for these, or make all of them again with --overwrite';
  if (!parsed.success) {
    throw new InputError(`${path} does not say which model made the masks beside it; ${remedy}.`);
  }
  const there = parsed.data;
  if (JSON.stringify(there.bundles) !== JSON.stringify(record.bundles)) {
    const model = there.model === record.model ? 'another model of that name' : there.model;
    throw new InputError(`The masks beside ${path} are not by ${record.model} but by ${model}; ${remedy}.`);
  }
  const said = (settings: PredictionRecord['settings']) => JSON.stringify(settings);
  if (said(there.settings) !== said(record.settings)) {
    throw new InputError(
      `The masks beside ${path} were made with other settings (${said(there.settings)}, and here ${said(record.settings)}); ${remedy}.`,
    );
  }
}
