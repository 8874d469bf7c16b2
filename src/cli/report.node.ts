/**
 * What `unetrpp evaluate` makes of an evaluation besides tables: the page, and pictures of where masks differ. Finds images,
 * probabilities, the run and the model, and reads the cases once more, one at a time.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { fileHash, openDataset } from '../dataset/folder.node.ts';
import { counted, InputError } from '../errors.ts';
import {
  type Calibration,
  type CasePicture,
  calibrationCounts,
  calibrationOf,
  countCase,
  type EvaluatedCase,
  type Evaluation,
  type FactGroup,
  type HeartEvaluation,
  labelsWorstFirst,
  overlayPicture,
  type Report,
  reportMetric,
  reportPage,
  worstFirst,
} from '../evaluate/index.ts';
import { openModel } from '../predict/model.node.ts';
import { epochCharts } from '../train/progressPage.ts';
import type { EpochRecord } from '../train/run.ts';
import { imageStem, readVolumeFile } from '../volume/files.node.ts';
import { encodePng, imageEnding, type Volume } from '../volume/index.ts';
import { labelsOnGrid } from '../volume/onGrid.ts';
import { onOneGrid } from '../volume/volume.ts';
import { statusLine } from './progress.ts';
import { publishedScores } from './publishedScores.ts';
import { readLabelMap, type Scoring, type ScoringOptions } from './scoring.node.ts';
import type { Terminal } from './terminal.ts';

export interface ReportOptions extends ScoringOptions {
  readonly prediction: string;
  readonly images?: string;
  readonly run?: string;
  readonly model?: string;
  readonly pictures: number;
}

/** What is known before the first case is scored: the user should not wait for an error. */
export interface PreparedReport {
  readonly title: string;
  /** File whose first channel is drawn, by case. */
  readonly images: ReadonlyMap<string, string>;
  /** Of what each channel of saved probabilities is, where it is a region. */
  readonly regions: Scoring['regions'];
  readonly training: Report['training'];
  readonly facts: readonly FactGroup[];
}

/** @throws InputError when a folder that was named does not hold what it should */
export async function prepareReport(
  options: ReportOptions,
  { datasetFolder, datasetName, pairs, regions }: Scoring,
): Promise<PreparedReport> {
  const { reference, prediction, fold, split, images, run, model } = options;
  const name = datasetName ?? basename(resolve(reference));
  const bundle = model ?? (run !== undefined && existsSync(join(run, 'bundle')) ? join(run, 'bundle') : undefined);
  const found = images !== undefined ? imagesIn(images) : await datasetImages(datasetFolder);
  if (images !== undefined && pairs[0].every((pair) => !found.has(pair.name))) {
    throw new InputError(
      `${images} has no image of the cases (${pairs[0][0].name} is one of them); give the folder of the scans, named as the label maps are.`,
    );
  }
  const restricted =
    fold !== undefined ? `, validation cases of fold ${fold}` : split !== undefined ? ', cases held back' : '';
  const data: [string, string][] = [
    ['data set', datasetFolder === undefined ? name : `${name} (${datasetFolder})`],
    ['reference', reference],
    ['prediction', prediction],
    ...(fold === undefined ? [] : ([['cases', `validation cases of fold ${fold}`]] as [string, string][])),
    ...(split === undefined ? [] : ([['split', split]] as [string, string][])),
  ];
  return {
    title: `${name}${restricted}`,
    images: found,
    regions,
    training: run === undefined ? undefined : trainingOf(run),
    facts: [
      ...(bundle === undefined ? [] : [await modelFacts(bundle)]),
      { title: 'Data', facts: data },
      { title: 'Software', facts: softwareFacts() },
    ],
  };
}

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

function softwareFacts(): [string, string][] {
  const now = new Date().toISOString();
  return [
    ['unetrpp', version],
    ['Node', process.versions.node],
    ['made', `${now.slice(0, 10)} ${now.slice(11, 16)} UTC`],
  ];
}

async function modelFacts(folder: string): Promise<FactGroup> {
  const { name, manifest } = await openModel(folder);
  const { source, madeBy, data, split, seed, license, attribution } = manifest.provenance;
  const facts: [string, string | undefined][] = [
    ['model', name],
    ['description', manifest.description],
    ['source', source],
    ['made by', madeBy],
    ['trained on', data],
    ['split', split && `fold ${split.fold}: ${split.training} to train, ${split.validation} to validate`],
    ['seed', seed === undefined ? undefined : String(seed)],
    ['license', license],
    ['attribution', attribution],
    ['weights', `${manifest.weights.dtype}, SHA-256 ${manifest.weights.sha256}`],
  ];
  return { title: 'Model', facts: facts.filter((fact): fact is [string, string] => fact[1] !== undefined) };
}

function trainingOf(run: string): NonNullable<Report['training']> {
  const path = join(run, 'log.jsonl');
  if (!existsSync(path))
    throw new InputError(`${run} holds no log.jsonl; give the folder that \`unetrpp train\` wrote.`);
  const records = readFileSync(path, 'utf8').split('\n').flatMap(epochOf);
  const last = records.at(-1);
  if (!last) throw new InputError(`${path} holds no complete epoch, so there are no curves of the run to show.`);
  return {
    about: `${counted(last.epoch, 'epoch')}, ${last.step} steps, from ${path}.`,
    charts: epochCharts(records),
  };
}

/** Of a line of the log; none where it is an event, or torn. */
function epochOf(line: string): EpochRecord[] {
  try {
    const record = JSON.parse(line) as { kind?: unknown } & EpochRecord;
    return record.kind === 'epoch' && Number.isFinite(record.epoch) ? [record] : [];
  } catch {
    return [];
  }
}

async function datasetImages(folder: string | undefined): Promise<Map<string, string>> {
  if (folder === undefined) return new Map();
  try {
    const { cases } = await openDataset(folder);
    return new Map(cases.map(({ name, images }) => [name, images[0]]));
  } catch (error) {
    // Scores need no images, and a folder of references with a dataset.json need not be a whole data set.
    if (error instanceof InputError) return new Map();
    throw error;
  }
}

/** First images of cases, named as nnU-Net does (`CASE_0000`) or as the label maps are. */
function imagesIn(folder: string): Map<string, string> {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    throw new InputError(`There is no folder ${folder}; --images takes the folder of the scans.`);
  }
  const files = readdirSync(folder).filter((name) => imageEnding(name) !== undefined && !name.startsWith('.'));
  const byStem = new Map(files.map((name) => [imageStem(name), join(folder, name)]));
  const numbered = [...byStem].filter(([stem]) => stem.endsWith('_0000'));
  return new Map([...byStem, ...numbered.map(([stem, path]) => [stem.slice(0, -'_0000'.length), path] as const)]);
}

export interface MadeReport {
  readonly html: string;
  /** PNG files by the name of their case. */
  readonly overlays: ReadonlyMap<string, Uint8Array>;
  readonly calibration: Calibration | undefined;
}

/** Reads the cases again: those that are drawn, and those with probabilities. */
export async function makeReport(
  evaluation: Evaluation,
  hearts: HeartEvaluation | undefined,
  prepared: PreparedReport,
  { pictures: most }: ReportOptions,
  terminal: Terminal,
): Promise<MadeReport> {
  const ranked = worstFirst(evaluation, reportMetric(evaluation)).map(({ each }) => each);
  const drawn = new Set(ranked.filter(({ name }) => prepared.images.has(name)).slice(0, most));
  const pictures = new Map<string, CasePicture>();
  const hashes = new Map<string, { reference: string; prediction: string }>();
  const counts = calibrationCounts(evaluation.labels, evaluation.ignoreLabel, prepared.regions);
  const notices: string[] = [];
  const line = statusLine(terminal);
  try {
    for (const [index, each] of ranked.entries()) {
      terminal.signal.throwIfAborted();
      line.show(`report: ${each.name}, ${index + 1} of ${ranked.length}`, index / ranked.length);
      const { referenceFile, predictionFile } = each as Required<EvaluatedCase>;
      hashes.set(each.name, { reference: await fileHash(referenceFile), prediction: await fileHash(predictionFile) });
      const probabilities = probabilitiesBeside(predictionFile);
      if (!drawn.has(each) && probabilities === undefined) continue;
      const reference = await readLabelMap(referenceFile);
      if (drawn.has(each)) {
        const image = prepared.images.get(each.name)!;
        await attempt(each.name, notices, async () => {
          pictures.set(each.name, await draw(evaluation, each, reference, image));
        });
      }
      if (probabilities !== undefined) {
        await attempt(each.name, notices, async () => {
          countCase(counts, reference, (await readVolumeFile(probabilities)).volume);
        });
      }
    }
  } finally {
    line.end();
  }
  const without = ranked.filter(({ name }) => !prepared.images.has(name));
  if (prepared.images.size > 0 && without.length > 0) {
    notices.push(`${counted(without.length, 'case')} without an image, hence without a picture.`);
  }
  const calibration = counts.cases > 0 ? calibrationOf(counts) : undefined;
  const html = reportPage({
    title: prepared.title,
    evaluation,
    pictures,
    published: publishedScores(evaluation),
    hearts,
    training: prepared.training,
    calibration,
    made: prepared.facts,
    hashes,
    notices,
  });
  return { html, overlays: new Map([...pictures].map(([name, { png }]) => [name, png])), calibration };
}

/** What a case lacks for a picture or for calibration is said in the report, and no reason to have none. */
async function attempt(name: string, notices: string[], work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    notices.push(`${name}: ${error.message}`);
  }
}

async function draw(
  evaluation: Evaluation,
  each: EvaluatedCase,
  reference: Volume,
  image: string,
): Promise<CasePicture> {
  const [worst] = labelsWorstFirst(evaluation, each);
  const { name, values } = evaluation.labels[worst];
  const predicted = await readLabelMap(each.predictionFile!);
  const prediction = onOneGrid(reference, predicted) ? predicted : labelsOnGrid(predicted, reference);
  const scored = new Set(evaluation.labels.flatMap((label) => label.values));
  const [shown, outlined] = [prediction, reference].map((volume) => only(scored, volume));
  const picture = overlayPicture((await readVolumeFile(image)).volume, outlined, shown, values);
  return { png: encodePng(picture), width: picture.width, height: picture.height, label: name };
}

/** Labels that are scored; the others become background. */
function only(scored: ReadonlySet<number>, volume: Volume): Volume {
  return { ...volume, data: volume.data.map((value) => (scored.has(value) ? value : 0)) as Volume['data'] };
}

/** As `predict --save-probabilities` writes them. */
function probabilitiesBeside(prediction: string): string | undefined {
  const ending = imageEnding(prediction) ?? '';
  const path = `${prediction.slice(0, prediction.length - ending.length)}_probabilities${ending}`;
  return existsSync(path) ? path : undefined;
}
