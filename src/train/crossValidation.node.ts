/**
 * Cross-validation: a run for each fold, the masks of all cases by the fold that has not seen them, their scores, the
 * post-processing chosen on them, and the ensemble of all folds.
 *
 *     RUN/plan.json              what all folds follow
 *     RUN/fold_0/ ...            a run each, as of `unetrpp train -f 0`; its validation/ has the masks
 *     RUN/summary/               scores of all cases: summary.json, scores.csv, evaluation.json, cross-validation.json
 *     RUN/ensemble.json          makes the folder one that predicts, where a bundle is wanted
 *     RUN/units/                 what was made of what
 *
 * Each step is a unit of work (units.ts): done once, and again only when what it was made of has changed.
 */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type CaseFiles, type Dataset, datasetHash, foldOf, openDataset } from '../dataset/folder.node.ts';
import { parsePlan } from '../dataset/index.ts';
import type { Engine } from '../engine/engine.ts';
import { InputError } from '../errors.ts';
import { scoresCsv, summaryJson } from '../evaluate/index.ts';
import type { ComponentDecision } from '../evaluate/postprocessing.ts';
import { type EnsembleFile, ensembleFile } from '../predict/ensemble.ts';
import { connectivityOf } from '../predict/restore.ts';
import { type Manifest, manifestFile, manifestText, weightsFile } from '../weights/index.ts';
import { prepareOutputFolder, writeTogether, writeWhole } from '../wholeFiles.node.ts';
import {
  foregroundDice,
  type HeldOut,
  maskOf,
  type OutOfFold,
  predictionUnits,
  readManifest,
  scoreOutOfFold,
} from './outOfFold.node.ts';
import { readPlanFile } from './plan.node.ts';
import { isPlanFile, planFile } from './planFile.ts';
import { type RunListeners, type RunRequest, settingsFor, type Trained, trainInFolder } from './run.node.ts';
import { recordedUnit } from './units.node.ts';
import type { Unit } from './units.ts';

export type CrossValidationRequest = Omit<RunRequest, 'fold'>;

export interface CrossValidationListeners extends Omit<RunListeners, 'signal'> {
  /** A fold has been trained. */
  readonly onTrained?: (fold: number, trained: Trained) => void;
  /** Cases that are scored. */
  readonly onScored?: (done: number, total: number) => void;
}

/** Folds of five where the data set does not bring its own. */
const foldCount = 5;

export const summaryFiles = (run: string) => {
  const path = (name: string) => join(run, 'summary', name);
  return {
    evaluation: path('evaluation.json'),
    scores: path('scores.csv'),
    summary: path('summary.json'),
    record: path('cross-validation.json'),
  };
};

const dice = z.array(z.number().nullable());
const set = z.array(z.int().nonnegative());

const recordSchema = z.object({
  format: z.literal('unetrpp-cross-validation'),
  version: z.literal(1),
  dataset: z.object({ name: z.string(), path: z.string(), sha256: z.string() }),
  labels: z.array(z.object({ value: z.int(), name: z.string() })),
  /** Bundles are named from the folder of the run. */
  folds: z.array(z.object({ fold: z.int(), bundle: z.string(), cases: z.array(z.string()) })).min(1),
  /** Mean Dice over labels, without post-processing and with the one that was chosen. */
  dice: z.object({ before: z.number().nullable(), after: z.number().nullable() }),
  components: z.object({
    keep: z.array(set),
    steps: z.array(
      z.object({
        labels: set,
        before: z.number().nullable(),
        after: z.number().nullable(),
        accepted: z.boolean(),
      }),
    ),
    before: dice,
    after: dice,
  }),
});

/** `summary/cross-validation.json`. */
export type CrossValidationRecord = z.infer<typeof recordSchema>;

/** @throws InputError when the folder holds no finished cross-validation */
export function readCrossValidation(run: string): CrossValidationRecord {
  const { record } = summaryFiles(run);
  if (!existsSync(record)) {
    throw new InputError(
      `${run} holds no finished cross-validation: there is no ${record}; run unetrpp train -f all-folds -o ${run} to its end.`,
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(record, 'utf8'));
  } catch (cause) {
    throw new InputError(`${record} is no JSON text; remove it and run unetrpp train -f all-folds again.`, { cause });
  }
  const parsed = recordSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [{ path, message }] = parsed.error.issues;
  throw new InputError(`${record}: ${path.join('.')}: ${message}; remove it and run unetrpp train -f all-folds again.`);
}

/** What a cross-validation is made of: units in an order in which they can be run, for `runUnits` or a queue. */
export interface CrossValidation {
  readonly units: readonly Unit[];
  readonly folds: readonly number[];
  /** Lets go of the network that is open, and of the folder where nothing was written. */
  dispose(): Promise<void>;
}

/**
 * @throws InputError when the data set is none, or the folder holds a run of a single fold
 */
export async function crossValidation(
  engine: Engine,
  request: CrossValidationRequest,
  listeners: CrossValidationListeners = {},
): Promise<CrossValidation> {
  const { run, from, parts = [], patch } = request;
  if (existsSync(join(run, 'config.json'))) {
    throw new InputError(`${run} holds the run of a single fold; give another folder for all folds.`);
  }
  const dataset = await openDataset(request.dataset, request.split);
  const sha256 = await datasetHash(dataset);
  const count = dataset.splits?.length ?? foldCount;
  const folds = [...Array(count).keys()].map((fold) => ({ fold, ...foldOf(dataset, fold) }));
  const heldBack = new Set(folds.flatMap(({ validation }) => namesOf(validation)));
  const { length: all } = dataset.cases;
  if (heldBack.size < all) {
    listeners.onNotice?.(
      `${all - heldBack.size} of ${all} cases are in no fold's validation, so nothing is said about them.`,
    );
  }
  const identity = { dataset: sha256, parts, patch };
  const unitRecord = (...path: string[]) => join(run, 'units', ...path);
  const plan = join(run, 'plan.json');
  // A plan that was given has gone into this one.
  const others = parts.filter((part) => !isPlanFile(part));

  /** How to follow it: of a run that begins with a bundle, a plan is a part of the settings. */
  const following = async (file: string): Promise<Pick<RunRequest, 'parts' | 'planFile'>> =>
    from === undefined ? { parts: others, planFile: file } : { parts: [await readPlanFile(file), ...others] };

  const planning = recordedUnit({
    name: 'plan',
    inputs: [...filesOf(dataset.cases), ...(from ? [join(from, weightsFile)] : [])],
    uncounted: filesOf(dataset.cases),
    settings: () => identity,
    outputs: [plan],
    record: unitRecord('plan.json'),
    async run(signal) {
      // Folds that were begun have the network of the plan that is there; it is changed only as is asked for.
      const known = existsSync(plan);
      const own = { ...request, fold: 'all' as const, ...(known && (await following(plan))) };
      const settings = await settingsFor(known ? undefined : engine, own, { ...listeners, signal });
      await writeWhole(plan, planFile(settings, [], undefined));
    },
  });

  const training = folds.map(({ fold, training, validation }) => {
    const folder = join(run, `fold_${fold}`);
    const files = filesOf([...training, ...validation]);
    return recordedUnit({
      name: `train fold ${fold}`,
      inputs: [plan, ...files, ...(from ? [join(from, weightsFile)] : [])],
      uncounted: files,
      settings: () => ({ ...identity, fold, cases: [namesOf(training), namesOf(validation)] }),
      outputs: [join(folder, 'bundle', weightsFile), join(folder, 'bundle', manifestFile)],
      record: unitRecord(`fold_${fold}.json`),
      async run(signal) {
        const own = { ...request, fold, run: folder, ...(await following(plan)) };
        const trained = await trainInFolder(engine, own, { ...listeners, signal });
        listeners.onTrained?.(fold, trained);
      },
    });
  });

  const held = folds.map(
    ({ fold, validation }): HeldOut => ({
      fold,
      bundles: [join(run, `fold_${fold}`, 'bundle')],
      cases: validation,
      masks: join(run, `fold_${fold}`, 'validation'),
      records: unitRecord(`fold_${fold}`),
    }),
  );
  const predicting = predictionUnits(engine, held, request);
  const { evaluation, scores, summary, record } = summaryFiles(run);

  const manifests = held.map(({ bundles }) => join(bundles[0], manifestFile));
  const masks = held.flatMap((of) => of.cases.map((files) => maskOf(of, files)));
  const labels = held.flatMap(({ cases }) => cases.map(({ label }) => label));
  const summing = recordedUnit({
    name: 'summary',
    inputs: [...manifests, ...masks, ...labels],
    uncounted: manifests,
    settings: () => ({ dataset: sha256, folds: held.map(({ cases }) => cases.map(({ name }) => name)) }),
    outputs: [evaluation, scores, summary, record, join(run, ensembleFile)],
    record: unitRecord('summary.json'),
    async run(signal) {
      const scored = await scoreOutOfFold(dataset.description, held, {
        connectivity: connectivityOf(held.map(({ bundles }) => parsePlan(readManifest(bundles[0]).plan))),
        patients: dataset.patients,
        onCase: listeners.onScored,
        signal,
      });
      await writeSummary(run, dataset, sha256, held, scored);
    },
  });

  const storing = held.map(
    ({ fold, bundles: [bundle] }): Unit => ({
      name: `post-processing of fold ${fold}`,
      inputs: [record],
      outputs: [],
      isDone: async () => postprocessed(readManifest(bundle), readCrossValidation(run)) === undefined,
      async run() {
        const changed = postprocessed(readManifest(bundle), readCrossValidation(run));
        if (changed) await writeWhole(join(bundle, manifestFile), manifestText(changed));
      },
    }),
  );

  const abandon = await prepareOutputFolder(run);
  return {
    units: [planning, ...training, ...predicting.units, summing, ...storing],
    folds: folds.map(({ fold }) => fold),
    async dispose() {
      await predicting.dispose();
      await abandon();
    },
  };
}

const namesOf = (cases: readonly CaseFiles[]) => cases.map(({ name }) => name);

const filesOf = (cases: readonly CaseFiles[]) => cases.flatMap(({ images, label }) => [...images, label]);

async function writeSummary(
  run: string,
  { description, folder }: Dataset,
  sha256: string,
  held: readonly HeldOut[],
  { components, evaluation }: OutOfFold,
): Promise<void> {
  const files = summaryFiles(run);
  const bundleOf = (fold: number) => `fold_${fold}/bundle`;
  const record: CrossValidationRecord = {
    format: 'unetrpp-cross-validation',
    version: 1,
    dataset: { name: description.name, path: folder, sha256 },
    labels: description.labels.slice(1).map(({ name, values: [value] }, index) => ({
      value: description.regionsClassOrder?.[index] ?? value,
      name,
    })),
    folds: held.map(({ fold, cases }) => ({ fold, bundle: bundleOf(fold), cases: cases.map(({ name }) => name) })),
    dice: { before: foregroundDice(components.before), after: foregroundDice(components.after) },
    components: plain(components),
  };
  const ensemble: EnsembleFile = {
    format: 'unetrpp-ensemble',
    version: 1,
    name: `${description.name.toLowerCase()}, ${held.length} folds`,
    bundles: held.map(({ fold }) => bundleOf(fold)),
    keepLargestComponents: components.keep.map((each) => [...each]),
    about: { source: `cross-validation on ${description.name}`, dice: record.dice },
  };
  await mkdir(join(run, 'summary'), { recursive: true });
  await prepareOutputFolder(join(run, 'summary'));
  await writeTogether([
    { path: files.scores, content: scoresCsv(evaluation) },
    { path: files.evaluation, content: `${JSON.stringify(evaluation, null, 1)}\n` },
    { path: files.summary, content: summaryJson(evaluation) },
    { path: files.record, content: jsonText(record) },
    { path: join(run, ensembleFile), content: jsonText(ensemble) },
  ]);
}

const jsonText = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;

/** Of its own arrays. */
const plain = (components: ComponentDecision) => structuredClone(components) as CrossValidationRecord['components'];

/** The manifest with what was decided; undefined where it has that already. */
function postprocessed(manifest: Manifest, { labels, components, folds }: CrossValidationRecord): Manifest | undefined {
  const named = (values: readonly (number | null)[]) =>
    Object.fromEntries(labels.map(({ name }, index) => [name, values[index]]));
  const { keepLargestComponents: _, ...plan } = manifest.plan;
  const changed: Manifest = {
    ...manifest,
    plan: components.keep.length > 0 ? { ...plan, keepLargestComponents: components.keep } : plan,
    provenance: {
      ...manifest.provenance,
      postprocessing: {
        cases: folds.reduce((sum, { cases }) => sum + cases.length, 0),
        before: named(components.before),
        after: named(components.after),
      },
    },
  };
  return manifestText(changed) === manifestText(manifest) ? undefined : changed;
}
