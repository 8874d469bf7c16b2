/**
 * The best of several configurations, as nnU-Net finds it: by the mean Dice of the foreground over the cases of their
 * cross-validations, each configuration by itself and every pair as an ensemble; the first of the best wins. Post-processing
 * is chosen afterwards, on the winner's masks.
 *
 *     OUT/best-configuration.json   every candidate with its numbers, and the winner
 *     OUT/ensemble.json             the winner as a folder that predicts: the folds of one run, or of two
 *     OUT/pairs/A___B/              masks of the pairs, each case by the folds that have not seen it, and their scores
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { datasetHash, openDataset } from '../dataset/folder.node.ts';
import { parsePlan } from '../dataset/index.ts';
import type { Engine } from '../engine/engine.ts';
import { InputError } from '../errors.ts';
import { type EnsembleFile, ensembleFile, ensembleOf } from '../predict/ensemble.ts';
import { openModel } from '../predict/model.node.ts';
import { connectivityOf } from '../predict/restore.ts';
import { prepareOutputFolder, writeTogether, writeWhole } from '../wholeFiles.node.ts';
import { type CrossValidationRecord, readCrossValidation } from './crossValidation.node.ts';
import {
  foregroundDice,
  type HeldOut,
  maskOf,
  type OutOfFold,
  predictionUnits,
  readManifest,
  scoreOutOfFold,
} from './outOfFold.node.ts';
import type { RunRequest } from './run.node.ts';
import { recordedUnit } from './units.node.ts';
import type { Unit } from './units.ts';

export interface BestRequest extends Pick<RunRequest, 'device' | 'threads'> {
  /** Folders of finished cross-validations. */
  readonly runs: readonly string[];
  readonly output: string;
  /** Folder of the data set. Default: where it lay when the first run ended. */
  readonly dataset?: string;
  /** Whether pairs are considered. Default true. */
  readonly ensembles?: boolean;
}

interface Candidate {
  readonly name: string;
  /** One, or the two of an ensemble. */
  readonly runs: readonly string[];
  /** Mean Dice over labels, before post-processing: what decides. null: no label is in any case. */
  readonly meanDice: number | null;
  readonly dice: Readonly<Record<string, number | null>>;
}

/** `best-configuration.json`. */
interface BestConfiguration {
  readonly format: 'unetrpp-best-configuration';
  readonly version: 1;
  readonly dataset: CrossValidationRecord['dataset'];
  readonly labels: CrossValidationRecord['labels'];
  readonly cases: number;
  /** Runs in the order given, then pairs. */
  readonly candidates: readonly Candidate[];
  readonly best: Candidate;
  /** Chosen on the masks of the best, with mean Dice before and after. */
  readonly postprocessing: {
    readonly keepLargestComponents: readonly (readonly number[])[];
    readonly before: number | null;
    readonly after: number | null;
  };
}

export interface BestSearch {
  readonly units: readonly Unit[];
  /** When all units are done. */
  decision(): Promise<BestConfiguration>;
  dispose(): Promise<void>;
}

interface Run {
  readonly folder: string;
  readonly name: string;
  readonly record: CrossValidationRecord;
}

/** What a candidate is decided by. */
interface Scored {
  readonly candidate: Candidate;
  readonly components: CrossValidationRecord['components'];
}

/**
 * @throws InputError when a run is not finished, or the runs are not of the same cases, folds and labels
 */
export async function bestConfiguration(
  engine: Engine,
  request: BestRequest,
  { onScored }: { readonly onScored?: (done: number, total: number) => void } = {},
): Promise<BestSearch> {
  const { output, ensembles = true } = request;
  const runs = openRuns(request.runs);
  const [first] = runs;
  const { dataset: recorded, folds, labels } = first.record;
  const pairs = ensembles ? runs.flatMap((a, index) => runs.slice(index + 1).map((b) => [a, b] as const)) : [];
  const folder = request.dataset ?? recorded.path;
  const dataset = pairs.length > 0 ? await openDataset(folder) : undefined;
  if (dataset && (await datasetHash(dataset)) !== recorded.sha256) {
    throw new InputError(
      `The data set ${folder} is not the one that ${first.folder} was trained on: files, labels or channels have changed since; give it with --dataset.`,
    );
  }
  for (const [a, b] of pairs) {
    const one = ({ folder: run, record }: Run) => openModel(join(run, record.folds[0].bundle));
    ensembleOf([await one(a), await one(b)]);
  }
  const filesOf = new Map(dataset?.cases.map((files) => [files.name, files]));
  const pairFolder = ([a, b]: readonly Run[]) => join(output, 'pairs', `${a.name}___${b.name}`);

  const heldOf = (pair: readonly Run[]): HeldOut[] =>
    folds.map(({ fold, cases }, index) => ({
      fold,
      bundles: pair.map(({ folder: run, record }) => join(run, record.folds[index].bundle)),
      cases: cases.map((name) => filesOf.get(name)!),
      masks: join(pairFolder(pair), `fold_${fold}`),
      records: join(pairFolder(pair), 'units', `fold_${fold}`),
    }));
  const scoresFile = (pair: readonly Run[]) => join(pairFolder(pair), 'components.json');
  const disposals: (() => Promise<void>)[] = [];
  const units = pairs.flatMap((pair): Unit[] => {
    const held = heldOf(pair);
    const predicting = predictionUnits(engine, held, request);
    disposals.push(predicting.dispose);
    const name = pair.map((each) => each.name).join(' + ');
    const masks = held.flatMap((of) => of.cases.map((files) => maskOf(of, files)));
    const references = held.flatMap(({ cases }) => cases.map(({ label }) => label));
    return [
      ...predicting.units.map((unit) => ({ ...unit, name: `${name}: ${unit.name}` })),
      recordedUnit({
        name: `${name}: scores`,
        inputs: [...masks, ...references],
        settings: () => recorded.sha256,
        outputs: [scoresFile(pair)],
        record: join(pairFolder(pair), 'units', 'scores.json'),
        async run(signal) {
          const plans = held.flatMap(({ bundles }) => bundles.map((each) => parsePlan(readManifest(each).plan)));
          const work = { connectivity: connectivityOf(plans), metrics: ['dice'] as const, onCase: onScored, signal };
          const { components }: OutOfFold = await scoreOutOfFold(dataset!.description, held, work);
          await writeWhole(scoresFile(pair), `${JSON.stringify(components, null, 2)}\n`);
        },
      }),
    ];
  });

  const candidate = (of: readonly Run[], components: CrossValidationRecord['components']): Scored => ({
    candidate: {
      name: of.map(({ name }) => name).join(' + '),
      runs: of.map(({ folder: run }) => run),
      meanDice: foregroundDice(components.before),
      dice: Object.fromEntries(labels.map(({ name }, index) => [name, components.before[index]])),
    },
    components,
  });

  const abandon = await prepareOutputFolder(output);
  if (pairs.length > 0) await mkdir(join(output, 'pairs'), { recursive: true });
  return {
    units,
    async decision() {
      const scored = runs.map((run) => candidate([run], run.record.components));
      for (const pair of pairs) {
        scored.push(candidate(pair, JSON.parse(await readFile(scoresFile(pair), 'utf8'))));
      }
      const best = scored.reduce((winner, each) => (isBetter(each, winner) ? each : winner));
      const { components } = best;
      const decision: BestConfiguration = {
        format: 'unetrpp-best-configuration',
        version: 1,
        dataset: recorded,
        labels,
        cases: folds.reduce((sum, { cases }) => sum + cases.length, 0),
        candidates: scored.map((each) => each.candidate),
        best: best.candidate,
        postprocessing: {
          keepLargestComponents: components.keep,
          before: foregroundDice(components.before),
          after: foregroundDice(components.after),
        },
      };
      const ensemble: EnsembleFile = {
        format: 'unetrpp-ensemble',
        version: 1,
        name: best.candidate.name,
        bundles: runs
          .filter(({ folder: run }) => best.candidate.runs.includes(run))
          .flatMap(({ folder: run, record }) => record.folds.map(({ bundle }) => join(run, bundle)))
          .map((bundle) => relative(resolve(output), resolve(bundle))),
        keepLargestComponents: components.keep.map((each) => [...each]),
        about: { source: `best of ${scored.length} configurations on ${recorded.name}`, dice: best.candidate.meanDice },
      };
      await writeTogether([
        { path: join(output, ensembleFile), content: `${JSON.stringify(ensemble, null, 2)}\n` },
        { path: join(output, 'best-configuration.json'), content: `${JSON.stringify(decision, null, 2)}\n` },
      ]);
      return decision;
    },
    async dispose() {
      for (const each of disposals) await each();
      await abandon();
    },
  };
}

/** Strictly: of equals the first one stays. What has no value is never better. */
function isBetter({ candidate: one }: Scored, { candidate: other }: Scored): boolean {
  return one.meanDice !== null && (other.meanDice === null || one.meanDice > other.meanDice);
}

/** @throws InputError when one is not finished, they differ in what they were validated on, or one is named twice */
function openRuns(folders: readonly string[]): Run[] {
  const runs = folders.map((folder) => ({ folder, name: nameOf(folder), record: readCrossValidation(folder) }));
  const [first, ...others] = runs;
  for (const [index, { folder, name, record }] of others.entries()) {
    const same = (of: (record: CrossValidationRecord) => unknown) =>
      JSON.stringify(of(record)) === JSON.stringify(of(first.record));
    const differ = (what: string) =>
      new InputError(
        `${folder} and ${first.folder} ${what}, so their scores cannot be compared; train one of them anew.`,
      );
    if (!same(({ dataset }) => dataset.sha256)) throw differ('were trained on other data sets');
    if (!same(({ labels }) => labels)) throw differ('have other labels');
    if (!same(({ folds }) => folds.map(({ fold, cases }) => [fold, cases]))) throw differ('have other folds');
    if (runs.slice(0, index + 1).some((other) => resolve(other.folder) === resolve(folder))) {
      throw new InputError(`${folder} is named twice; name each run once.`);
    }
    const namesake = runs.slice(0, index + 1).find((other) => other.name === name);
    if (namesake) {
      throw new InputError(
        `${folder} and ${namesake.folder} have the same name, ${name}, by which the pairs are called; rename one of them.`,
      );
    }
  }
  for (const { folder, record } of runs) {
    const absent = record.folds.find(({ bundle }) => !existsSync(join(folder, bundle)));
    if (absent) {
      throw new InputError(
        `${folder} lacks the bundle of fold ${absent.fold}; run unetrpp train -f all-folds -o ${folder} again.`,
      );
    }
  }
  return runs;
}

const nameOf = (folder: string) => basename(resolve(folder)) || basename(dirname(resolve(folder)));
