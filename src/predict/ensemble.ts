/**
 * An ensemble: several models of one task that answer together. Which models fit each other, and the file that names them;
 * how their answers are averaged is for ensembleSegmenter.ts.
 */
import { z } from 'zod';
import { InputError } from '../errors.ts';
import type { Model, ModelDescription } from './model.ts';

/** An ensemble without its weights. */
export interface EnsembleDescription {
  readonly name: string;
  /** At least one; all of the same labels and channels. */
  readonly members: readonly ModelDescription[];
  readonly labels: ModelDescription['labels'];
  /** Applied to what the models decide together, in place of the lists in their plans. */
  readonly keepLargestComponents: readonly (readonly number[])[];
  readonly notices: readonly string[];
}

export interface Ensemble extends EnsembleDescription {
  readonly members: readonly Model[];
}

export const isEnsemble = <M extends ModelDescription, E extends EnsembleDescription>(model: M | E): model is E =>
  'members' in model;

/** The models that answer together: one, or those of an ensemble. */
export const membersOf = (model: Model | Ensemble): readonly Model[] => (isEnsemble(model) ? model.members : [model]);

/**
 * @param keepLargestComponents default: the models' own list where they have the same one, else none, with a notice
 * @throws InputError when the models are not of one task
 */
export function ensembleOf(
  models: readonly Model[],
  { name, keepLargestComponents }: Partial<Pick<Ensemble, 'name' | 'keepLargestComponents'>> = {},
): Ensemble {
  const [first, ...others] = models;
  if (!first) throw new InputError('An ensemble needs at least one model; name their bundles.');
  for (const other of others) {
    refuseOther('labels', first, other, labelsOf);
    refuseOther('channels', first, other, channelsOf);
    refuseOther('regions', first, other, regionsOf);
  }
  const own = first.plan.keepLargestComponents ?? [];
  const same = others.every(({ plan }) => JSON.stringify(plan.keepLargestComponents ?? []) === JSON.stringify(own));
  return {
    name: name ?? models.map((model) => model.name).join(' + '),
    members: models,
    labels: first.labels,
    keepLargestComponents: keepLargestComponents ?? (same ? own : []),
    notices:
      keepLargestComponents || same
        ? []
        : ['The models keep the largest components of different labels, so together they keep all components.'],
  };
}

function refuseOther(
  what: string,
  first: Model,
  other: Model,
  textOf: (model: Model) => { readonly key: string; readonly shown: string },
): void {
  const [mine, its] = [textOf(first), textOf(other)];
  if (mine.key === its.key) return;
  const call = ({ name }: Model, which: string) => (first.name === other.name ? `the ${which} model ${name}` : name);
  throw new InputError(
    `An ensemble needs models of the same ${what}: ${call(first, 'first')} has ${mine.shown}, ` +
      `${call(other, 'other')} has ${its.shown}; give models of one task.`,
  );
}

const labelsOf = ({ labels }: Model) => {
  const shown = [...labels].map(([value, name]) => `${value} ${name}`).join(', ');
  return { key: shown.toLowerCase(), shown };
};

const channelsOf = ({ plan }: Model) => {
  const shown = plan.channels.map(({ name }) => name).join(', ');
  return { key: shown.toLowerCase(), shown };
};

const regionsOf = ({ plan: { regions, regionsClassOrder } }: Model) => ({
  key: JSON.stringify([regions?.map(({ labels }) => labels), regionsClassOrder]),
  shown: regions ? regions.map(({ name, labels }) => `${name} (${labels.join(', ')})`).join(', ') : 'none',
});

export const ensembleFile = 'ensemble.json';

/** As many as a person would ever wait for. */
const mostBundles = 100;

const ensembleSchema = z.strictObject({
  format: z.literal('unetrpp-ensemble'),
  version: z.literal(1),
  name: z.string().min(1),
  /** Folders of bundles, from the ensemble's own. */
  bundles: z.array(z.string().min(1)).min(1).max(mostBundles),
  keepLargestComponents: z.array(z.array(z.int().nonnegative()).min(1)),
  /** Where it comes from, for a person: scores, and what post-processing changed. */
  about: z.record(z.string(), z.json()).optional(),
});

export type EnsembleFile = z.infer<typeof ensembleSchema>;

/** @throws InputError that names the first entry that is wrong */
export function parseEnsembleFile(text: string, name: string): EnsembleFile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new InputError(`${name} is no JSON text (${(cause as Error).message}); make the ensemble anew.`, { cause });
  }
  const result = ensembleSchema.safeParse(value);
  if (result.success) return result.data;
  const [{ path, message }] = result.error.issues;
  throw new InputError(`${name} describes no ensemble: ${path.join('.') || 'the whole'}: ${message}.`);
}
