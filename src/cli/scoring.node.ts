/**
 * Predictions scored against references, from the user's files: which files are pairs, which labels count, and the scores
 * of case after case, of which two label maps at a time are in memory. Shared by the commands that compare masks.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { plannedRegions } from '../dataset/description.ts';
import { openDataset } from '../dataset/folder.node.ts';
import {
  type DatasetDescription,
  declaredValues,
  type Fold,
  type Patients,
  parseDataset,
  parsePatients,
  parseSplits,
  patientsByName,
  splitOf,
} from '../dataset/index.ts';
import { counted, InputError, some } from '../errors.ts';
import {
  type EmptyPolicy,
  type EvaluatedCase,
  type EvaluatedLabel,
  type Evaluation,
  type EvaluationSettings,
  emptyPolicies,
  evaluateCases,
  type MetricName,
  metricNames,
  type SurfaceConvention,
  scoreCase,
  surfaceConventions,
} from '../evaluate/index.ts';
import { imageStem, readJson, readVolumeFile } from '../volume/files.node.ts';
import { imageEnding, type Volume } from '../volume/index.ts';
import { labelsOnGrid } from '../volume/onGrid.ts';
import { onOneGrid, toSmallestIntegers } from '../volume/volume.ts';
import { parseFold } from './options.ts';
import { statusLine } from './progress.ts';
import type { Terminal } from './terminal.ts';

export interface ScoringOptions {
  readonly reference: string;
  readonly dataset?: string;
  readonly labels?: readonly string[];
  readonly fold?: Fold;
  readonly split?: string;
  readonly resample?: boolean;
  readonly byCase?: boolean;
  readonly empty?: EmptyPolicy;
  readonly convention?: SurfaceConvention;
  readonly tolerance?: number;
  readonly voxels?: boolean;
}

/** The options that decide what is scored and how, the same for every command. */
export function scoringOptions(command: Command): Command {
  return command
    .requiredOption('-r, --reference <path>', 'folder of reference label maps, or one file')
    .option('-d, --dataset <folder>', 'data set whose dataset.json names the labels (default: the one beside REF)')
    .option('-l, --labels <label...>', 'labels or regions: a value, a name of dataset.json, or NAME=VALUES (WT=1,2,3)')
    .option('--fold <number>', 'only the validation cases of this fold', parseFold)
    .option(
      '--split <file>',
      'folds to take in place of the data set’s, as in splits_final.json, or one {"train": [...], "test": [...]}',
    )
    .addOption(
      new Option('--empty <rule>', 'what an empty mask scores: see below (default: penalize)').choices(emptyPolicies),
    )
    .addOption(
      new Option('--convention <name>', 'whose definition of surface distances (default: medpy)').choices(
        surfaceConventions,
      ),
    )
    .option('--tolerance <distance>', 'of the surface Dice (NSD), in the unit of distances (default: 1)', parseDistance)
    .option('--voxels', 'distances in voxels instead of mm')
    .option('--by-case', 'intervals and tests that take every scan by itself, even where a patient has several')
    .option('--resample', 'bring predictions on other grids onto the reference’s (nearest label)')
    .addHelpText(
      'after',
      `
Empty masks:
  penalize  a missed or invented label: Dice 0, and the image's diagonal as its distance
  nan       as nnU-Net v2: Dice 0, distances left out of means
  paper     as the scripts of UNETR++: HD95 0 for a missed label, Dice 1 where neither has it
  A label that neither has is left out by the first two. With --convention unetrpp, paper and voxels are the default.`,
    );
}

/** From 0 up. */
function parseDistance(text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!(value >= 0 && Number.isFinite(value))) throw new InvalidArgumentError('It must be a number from 0 up.');
  return value;
}

export function parseMetrics(text: string): MetricName[] {
  const names = text.split(',').map((name) => name.trim());
  const unknown = names.find((name) => !metricNames.includes(name as MetricName));
  if (unknown !== undefined)
    throw new InvalidArgumentError(`There is no metric ${unknown}; there are ${metricNames.join(', ')}.`);
  return names as MetricName[];
}

interface CasePair {
  readonly name: string;
  readonly reference: string;
  readonly prediction: string;
}

/** What is scored: labels, and the cases of each set of predictions. */
export interface Scoring {
  readonly settings: EvaluationSettings;
  /** Values that the data set declares; undefined where none says. */
  readonly declared: ReadonlySet<number> | undefined;
  /** For each set of predictions, the same cases in the same order. */
  readonly pairs: readonly (readonly CasePair[])[];
  readonly resample: boolean;
  /** Whose scans the cases are; undefined where nobody says. */
  readonly patients: Patients | undefined;
  /** The values of each region, in the order of a network's outputs; undefined where labels are no regions. */
  readonly regions: readonly (readonly number[])[] | undefined;
  /** Where dataset.json lies, and what it is called; undefined where there is none. */
  readonly datasetFolder: string | undefined;
  readonly datasetName: string | undefined;
}

/**
 * Finds the cases and labels, and reads no image unless the labels are not named anywhere.
 * @param predictions one or several sets of them: folders, or files
 * @throws InputError when a case has no prediction or no reference, or a label or fold is none
 */
export async function prepareScoring(
  options: ScoringOptions,
  predictions: readonly string[],
  names: readonly MetricName[] | undefined,
  terminal: Terminal,
): Promise<Scoring> {
  const { convention, tolerance, voxels, empty, reference } = options;
  const datasetFolder = options.dataset ?? datasetBeside(reference);
  const description = datasetFolder === undefined ? undefined : await describeDataset(datasetFolder);
  const pairs = await casePairs(options, datasetFolder, predictions);
  const labels = options.labels
    ? options.labels.map((text) => parseLabel(text, description))
    : description
      ? description.labels.filter(({ values }) => values.some((value) => value !== 0))
      : await labelsFound(pairs, terminal);
  refuseTwice(labels);
  const settings: EvaluationSettings = {
    labels: labels.map(({ name, values }) => ({ name, values })),
    ignoreLabel: description?.ignoreLabel,
    metrics: names,
    convention,
    unit: voxels ? 'voxel' : undefined,
    tolerance,
    empty,
  };
  const declared = description && new Set(declaredValues(description));
  const { resample = false, byCase = false } = options;
  const patients = byCase
    ? undefined
    : await patientsOf(
        pairs[0].map(({ name }) => name),
        datasetFolder,
      );
  const regions = description && plannedRegions(description).regions?.map((region) => region.labels);
  const datasetName = description?.name;
  return { settings, declared, pairs, resample, patients, regions, datasetFolder, datasetName };
}

/** The folder of the data set that a label map, or a folder of them, lies in. */
export function datasetBeside(path: string): string | undefined {
  const folder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ? path : dirname(path);
  return [folder, dirname(resolve(folder))].find((each) => existsSync(join(each, 'dataset.json')));
}

/** By the data set's list of patients, or by the names of the cases. @throws InputError when a case is not in the list */
async function patientsOf(cases: readonly string[], datasetFolder: string | undefined): Promise<Patients | undefined> {
  const list = datasetFolder === undefined ? undefined : join(datasetFolder, 'patients.json');
  if (list === undefined || !existsSync(list)) return patientsByName(cases);
  return parsePatients(await readJson(list), cases, list);
}

/** @throws InputError when the folder holds no dataset.json, or one that is wrong */
export async function describeDataset(folder: string): Promise<DatasetDescription> {
  const path = join(folder, 'dataset.json');
  if (!existsSync(path)) throw new InputError(`${folder} holds no dataset.json; give the folder of a data set.`);
  return parseDataset(await readJson(path), basename(resolve(folder)));
}

/** `6`, `liver` (a name of dataset.json), `liver=6`, `WT=1,2,3`. */
function parseLabel(text: string, description: DatasetDescription | undefined): EvaluatedLabel {
  const [, name, list] = /^(?:(.+)=)?(\d{1,5}(?:,\d{1,5})*)$/.exec(text) ?? [];
  const declared = description?.labels ?? [];
  if (list === undefined) {
    const named = declared.find((label) => label.name === text);
    if (named) return named;
    const there = declared.length > 0 ? ` dataset.json names ${declared.map((label) => label.name).join(', ')};` : '';
    throw new InputError(
      `There is no label ${JSON.stringify(text)};${there} give a value, or a name with its values, such as WT=1,2,3.`,
    );
  }
  const values = list.split(',').map(Number);
  if (values.includes(0)) throw new InputError(`The label ${text} holds 0, the background, which is not scored.`);
  const known = declared.find(
    (label) => label.values.length === values.length && values.every((v, i) => v === label.values[i]),
  );
  return { name: name ?? known?.name ?? (values.length === 1 ? `label ${list}` : list), values };
}

function refuseTwice(labels: readonly EvaluatedLabel[]): void {
  const [names, values] = [new Set<string>(), new Set<string>()];
  for (const label of labels) {
    const key = label.values.join(',');
    if (names.has(label.name) || values.has(key)) {
      throw new InputError(`The label ${label.name} (${key}) would be scored twice; name each label once.`);
    }
    names.add(label.name);
    values.add(key);
  }
}

async function casePairs(
  options: ScoringOptions,
  datasetFolder: string | undefined,
  predictions: readonly string[],
): Promise<CasePair[][]> {
  const { reference } = options;
  const references = labelFiles(reference, 'reference');
  const isFolder = statSync(reference).isDirectory();
  const wanted = await wantedCases(options, datasetFolder, [...references.keys()]);
  const absent = wanted.filter((name) => !references.has(name));
  if (absent.length > 0) {
    throw new InputError(`${reference} has no label map for ${some(absent)}; add them, or give the folder that has.`);
  }
  return predictions.map((path) => {
    const found = labelFiles(path, 'prediction');
    if (statSync(path).isDirectory() !== isFolder) {
      throw new InputError(
        `${path} is ${isFolder ? 'a file and' : 'a folder and'} ${reference} is not; give two files or two folders.`,
      );
    }
    if (!isFolder) {
      const [[name, file]] = references;
      return [{ name, reference: file, prediction: [...found.values()][0] }];
    }
    const missing = wanted.filter((name) => !found.has(name));
    if (missing.length > 0) {
      const restrict =
        options.fold === undefined && options.split === undefined
          ? ', or name the fold or the split that they are of (--fold, --split)'
          : '';
      throw new InputError(
        `${path} has no prediction for ${missing.length} of ${wanted.length} cases (${some(missing)}); predict them${restrict}.`,
      );
    }
    const extra = [...found.keys()].filter((name) => !references.has(name));
    if (extra.length > 0) {
      throw new InputError(
        `${path} has ${counted(extra.length, 'prediction')} without a reference in ${reference} (${some(extra)}); remove them, or add their references.`,
      );
    }
    return wanted.map((name) => ({ name, reference: references.get(name)!, prediction: found.get(name)! }));
  });
}

async function wantedCases(
  { fold, split }: ScoringOptions,
  datasetFolder: string | undefined,
  names: readonly string[],
): Promise<readonly string[]> {
  if (fold === undefined && split === undefined) return names;
  const dataset = datasetFolder === undefined ? undefined : await openDataset(datasetFolder, split);
  const cases = dataset?.cases.map(({ name }) => name) ?? names;
  const splits = dataset || split === undefined ? dataset?.splits : parseSplits(await readJson(split), cases, split);
  if (fold === undefined && splits!.length > 1) {
    throw new InputError(`${split} holds several folds; say which one with --fold.`);
  }
  return [...splitOf(cases, splits, fold ?? 0, dataset?.patients).validation].sort();
}

/** Label maps by the name of their case: of a folder all images in it, without the probabilities that `predict` writes. */
function labelFiles(path: string, called: string): Map<string, string> {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) throw new InputError(`There is no ${called} ${path}; check the path.`);
  if (!stats.isDirectory()) return new Map([[imageStem(path), path]]);
  const files = new Map<string, string>();
  const names = readdirSync(path)
    .filter((name) => imageEnding(name) !== undefined && !/\.(img|dcm)$/i.test(name) && !name.startsWith('.'))
    .sort();
  const stems = new Set(names.map(imageStem));
  for (const name of names) {
    const stem = imageStem(name);
    if (stem.endsWith('_probabilities') && stems.has(stem.slice(0, -'_probabilities'.length))) continue;
    const other = files.get(stem);
    if (other) {
      throw new InputError(`${basename(other)} and ${name} in ${path} are of one case, ${stem}; remove one of them.`);
    }
    files.set(stem, join(path, name));
  }
  if (files.size === 0) throw new InputError(`${path} holds no label maps; give the folder that does.`);
  return files;
}

/** Every value but the background of any file. */
async function labelsFound(pairs: readonly (readonly CasePair[])[], terminal: Terminal): Promise<EvaluatedLabel[]> {
  const values = new Set<number>();
  for (const path of new Set(pairs.flat().flatMap(({ reference, prediction }) => [reference, prediction]))) {
    terminal.signal.throwIfAborted();
    for (const value of valuesIn(await readLabelMap(path)).keys()) values.add(value);
  }
  values.delete(0);
  if (values.size === 0)
    throw new InputError('No label map holds anything but background, so there is no label to score.');
  return [...values].sort((a, b) => a - b).map((value) => ({ name: `label ${value}`, values: [value] }));
}

/** @throws InputError when it cannot be read or is no label map */
export async function readLabelMap(path: string): Promise<Volume> {
  const { volume } = await readVolumeFile(path);
  if (volume.channels !== 1) {
    throw new InputError(`${path} has ${volume.channels} channels, and a label map has one; give the label map.`);
  }
  try {
    return { ...volume, data: toSmallestIntegers(volume.data) };
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new InputError(`${path} is no label map: ${cause.message}.`, { cause });
  }
}

function valuesIn({ data }: Volume): Map<number, number> {
  const counts = new Map<number, number>();
  for (let start = 0; start < data.length; ) {
    let end = start + 1;
    while (end < data.length && data[end] === data[start]) end++;
    counts.set(data[start], (counts.get(data[start]) ?? 0) + end - start);
    start = end;
  }
  return counts;
}

function refuseUndeclared(volume: Volume, path: string, declared: ReadonlySet<number>): void {
  const strange = [...valuesIn(volume)].find(([value]) => !declared.has(value));
  if (!strange) return;
  const [value, voxels] = strange;
  throw new InputError(
    `${path} holds the value ${value} in ${counted(voxels, 'voxel')}, which dataset.json does not declare (${[...declared].join(', ')}); correct the file, or the labels there.`,
  );
}

async function scorePair({ name, reference, prediction }: CasePair, scoring: Scoring): Promise<EvaluatedCase> {
  const { settings, declared, resample, patients } = scoring;
  const expected = await readLabelMap(reference);
  let found = await readLabelMap(prediction);
  if (declared) {
    refuseUndeclared(expected, reference, declared);
    refuseUndeclared(found, prediction, declared);
  }
  const same = found.shape.every((length, axis) => length === expected.shape[axis]) && onOneGrid(expected, found);
  if (!same && resample) found = labelsOnGrid(found, expected);
  try {
    const scores = scoreCase(name, expected, found, settings);
    return { ...scores, patient: patients?.get(name), referenceFile: reference, predictionFile: prediction };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(
      `${name}: ${error.message}, so predict on the reference’s grid, or let --resample bring it there.`,
      {
        cause: error,
      },
    );
  }
}

/** Scores a set of predictions, one case after the other. */
export async function scoreSet(scoring: Scoring, set: number, terminal: Terminal): Promise<Evaluation> {
  const pairs = scoring.pairs[set];
  const line = statusLine(terminal);
  const cases: EvaluatedCase[] = [];
  try {
    for (const pair of pairs) {
      terminal.signal.throwIfAborted();
      line.show(`${pair.name}, ${cases.length + 1} of ${pairs.length}`, cases.length / pairs.length);
      cases.push(await scorePair(pair, scoring));
    }
  } finally {
    line.end();
  }
  return evaluateCases(cases, scoring.settings);
}
