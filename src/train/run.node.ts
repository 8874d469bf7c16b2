/**
 * A run in Node: a data set's folder in, the folder of a run out. Puts the pieces together that the run is made of (run.ts),
 * and checks before the first step all that can be known before it.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { plannedRegions, writtenLabels } from '../dataset/description.ts';
import { type CaseFiles, type Dataset, datasetHash, foldOf, openDataset } from '../dataset/folder.node.ts';
import type { Split } from '../dataset/split.ts';
import type { DeviceName, Engine } from '../engine/engine.ts';
import { InputError, ResourceError } from '../errors.ts';
import { unetrpp } from '../nets/index.ts';
import type { Model } from '../predict/index.ts';
import { openModel } from '../predict/model.node.ts';
import { type Shape, showShape, type Tensor } from '../tensor.ts';
import type { Picture } from '../volume/index.ts';
import { initialize, type Manifest, manifestFile, packBundle, weightsFile } from '../weights/index.ts';
import { prepareOutputFolder, writeTogether, writeWhole } from '../wholeFiles.node.ts';
import { augmentationPreview } from './augmentationPreview.ts';
import type { AnyCase, BatchSettings, TrainingCase } from './batches.ts';
import { planWithin } from './budget.ts';
import { preparedFolder } from './caseCache.node.ts';
import { loadCases, readCase } from './cases.node.ts';
import { checkTrainingSet } from './cases.ts';
import { fineTuningWeights } from './fineTuning.ts';
import { openLoader } from './loader.node.ts';
import { planDataset, readPlanFile } from './plan.node.ts';
import { isPlanFile, planPart, settingsInPlan } from './planFile.ts';
import type { Planned } from './planning.ts';
import { fittingLevel, type MemoryLevel } from './recomputation.ts';
import { type RunProgress, type RunRecord, type Scores, train } from './run.ts';
import { checkSameRun, checkSameSplit, openRunFolder, readConfig } from './runFolder.node.ts';
import { learningRate } from './schedules.ts';
import { completeSettings, firstDifference, mirroredAsTrained, type TrainSettings } from './settings.ts';
import { createTrainer, stepProgram, type TrainerSettings } from './trainer.ts';
import { type CaseScores, summarize, type ValidationCase, validate } from './validate.ts';

export interface RunRequest {
  /** Folder of the data set. */
  readonly dataset: string;
  readonly fold: TrainSettings['fold'];
  /** File of folds, or of a single split, in place of those of the data set. */
  readonly split?: string;
  /** Folder of the run: a new one, or one to go on with. */
  readonly run: string;
  /** Parts of settings, each laid over the one before, with the name by which messages call the lot. */
  readonly parts?: readonly unknown[];
  readonly partsName?: string;
  readonly patch?: Shape;
  /** File of a plan that a new run follows where no part is one and there is no bundle to begin from. */
  readonly planFile?: string;
  /** Folder of a bundle to begin from. */
  readonly from?: string;
  readonly device?: DeviceName;
  readonly threads?: number;
  /** Threads that prepare batches. */
  readonly workers?: number;
  /** Bytes that the training may take. */
  readonly maxMemory?: number;
  /** Bytes of prepared cases that are kept in memory; the others are read from files as they are drawn. Default: 1.5e9. */
  readonly caseMemory?: number;
}

export interface RunListeners {
  /** What was assumed, changed or found damaged: whole sentences. */
  readonly onNotice?: (text: string) => void;
  /** Cases that are measured for a plan, or prepared, before the first step. */
  readonly onCase?: (done: number, total: number, stage: 'measuring' | 'preparing') => void;
  /** Everything is checked; the first step comes. */
  readonly onStart?: (start: RunStart) => void;
  readonly onProgress?: (progress: RunProgress) => void;
  readonly onRecord?: (record: RunRecord) => void;
  readonly signal?: AbortSignal;
}

export interface RunStart {
  readonly settings: TrainSettings;
  readonly trainingCases: number;
  readonly validationCases: number;
  /** Of the checkpoint that the run goes on from; 0 where it begins. */
  readonly step: number;
  /** Peak bytes of the process, estimated. */
  readonly memoryBytes: number;
}

export interface Trained {
  readonly settings: TrainSettings;
  readonly bundle: string;
  readonly epochs: number;
  readonly steps: number;
  readonly seconds: number;
  /** Of all validation cases. */
  readonly scores: Scores | undefined;
  readonly cases: readonly CaseScores[];
}

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/**
 * Begins a run, or goes on with it, and trains to its end.
 * @throws InputError for anything wrong with data set, settings or folder, before the first step where it can be known
 *   then; ResourceError where memory or disk do not do
 */
export async function trainInFolder(
  engine: Engine,
  request: RunRequest,
  listeners: RunListeners = {},
): Promise<Trained> {
  const { onNotice = () => undefined, onCase, signal } = listeners;
  const began = performance.now();
  const { dataset, split, trainingFiles, validationFiles, bundle, settings } = await openRequest(
    request,
    listeners,
    engine,
  );
  const { description } = dataset;

  const trainer: TrainerSettings = settings;
  const { level, bytes: memoryBytes } = fittingLevel(
    ({ recomputation, memoryArena }) =>
      engine.memoryEstimate(stepProgram(settings.network, trainer, recomputation), { ...request, memoryArena }),
    request.maxMemory,
  );
  if (request.maxMemory !== undefined && memoryBytes > request.maxMemory) {
    const megabytes = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;
    throw new ResourceError(
      `A step of this network needs at least ${megabytes(memoryBytes)} of memory, more than the ${megabytes(request.maxMemory)} ` +
        'of --max-memory; give a smaller --batch-size or --patch.',
    );
  }
  if (level.recomputation !== 'none') {
    onNotice(
      'To stay within --max-memory, parts of the forward pass are computed twice; a step takes up to a third longer.',
    );
  }

  const abandonFolder = await prepareOutputFolder(request.run);
  try {
    const loaded = await loadCases(trainingFiles, description, settings.plan, {
      onCase: (done, total) => onCase?.(done, total, 'preparing'),
      signal,
      caches: [join(request.dataset, preparedFolder)],
      overflow: join(request.run, preparedFolder),
      memoryBytes: request.caseMemory,
    });
    for (const notice of aFew(loaded.notices)) onNotice(notice);
    for (const notice of checkTrainingSet(loaded.cases, description, settings.plan.patch)) onNotice(notice);
    if (request.fold !== 'all') {
      for (const files of validationFiles) {
        signal?.throwIfAborted();
        await readCase(files, description);
      }
    }
    return await runChecked(engine, request, listeners, {
      settings,
      dataset,
      split,
      cases: loaded.cases,
      validationFiles,
      bundle,
      level,
      memoryBytes,
      began,
    });
  } finally {
    await abandonFolder();
  }
}

/** Of a data set whose headers are all odd in one way, thousands of sentences say so. */
function aFew(notices: readonly string[]): string[] {
  const all = [...new Set(notices)];
  if (all.length <= mostNotices) return all;
  return [
    ...all.slice(0, mostNotices - 1),
    `${all.length - mostNotices + 1} more such notes on other files; unetrpp check has them all.`,
  ];
}

const mostNotices = 6;

/** All of a request that can be known without reading every scan for training. @throws InputError */
async function openRequest(request: RunRequest, listeners: RunListeners, engine?: Engine) {
  const dataset = await openDataset(request.dataset, request.split);
  const { split, training: trainingFiles, validation: validationFiles } = foldOf(dataset, request.fold);
  const bundle = request.from === undefined ? undefined : await openModel(request.from);
  const settings = await settingsOf(request, dataset, bundle, listeners, engine);
  checkSameSplit(request.run, split);
  checkAgainst(settings, dataset);
  return { dataset, split, trainingFiles, validationFiles, bundle, settings };
}

/**
 * The settings that a run would have, before anything is trained. Without an engine nothing is timed: the network's size is
 * as planned, whatever the time limit.
 * @throws InputError as `trainInFolder`
 */
export async function settingsFor(
  engine: Engine | undefined,
  request: RunRequest,
  listeners: RunListeners = {},
): Promise<TrainSettings> {
  return (await openRequest(request, listeners, engine)).settings;
}

/**
 * A sheet of what augmentation makes of the first training case; nothing is trained and no folder made.
 * @throws InputError as `trainInFolder`, and where the settings have no augmentation
 */
export async function previewAugmentation(
  request: RunRequest,
  { onNotice = () => undefined }: RunListeners = {},
): Promise<Picture> {
  const { dataset, trainingFiles, settings } = await openRequest(request, { onNotice });
  if (!settings.augmentation) {
    throw new InputError('The settings have no augmentation that could be shown; remove "augmentation" from --config.');
  }
  const { cases } = await loadCases(trainingFiles.slice(0, 1), dataset.description, settings.plan);
  // Without a place to overflow to, cases are in memory.
  return augmentationPreview(cases[0] as TrainingCase, batchSettings(settings));
}

/** Those of the folder, where a run was begun there, or the defaults of the data set; with the request's parts over them. */
async function settingsOf(
  request: RunRequest,
  dataset: Dataset,
  bundle: Model | undefined,
  listeners: RunListeners,
  engine: Engine | undefined,
): Promise<TrainSettings> {
  const { onNotice = () => undefined } = listeners;
  const { run, fold, parts = [], partsName = 'the settings' } = request;
  const { description, folder } = dataset;
  const begun = readConfig(run);
  const identity = { name: description.name, path: folder, sha256: await datasetHash(dataset) };
  const from = bundle && { name: bundle.name, sha256: bundle.manifest.weights.sha256 };

  if (begun) {
    if (begun.dataset.sha256 !== identity.sha256) {
      throw new InputError(
        `The data set ${folder} is not the one that the run in ${run} was begun with: files, labels or channels have changed ` +
          'since; restore it, or begin a new run in another folder.',
      );
    }
    const patch = request.patch && { network: { patch: request.patch }, plan: { patch: request.patch } };
    const own = { dataset: { ...identity, name: begun.dataset.name }, fold, ...(from && { from }) };
    // A plan is what a run begins with; it must be of this data set, and says nothing more.
    const others = parts.filter((part) => planPart(part, identity, partsName) === part);
    const settings = goneOn(begun, completeSettings(begun, [...others, patch, own], partsName));
    checkSameRun(run, begun, settings);
    return settings;
  }

  const given = parts.map((part) => planPart(part, identity, partsName));
  const onCase = (done: number, total: number) => listeners.onCase?.(done, total, 'measuring');
  const inGiven = parts.findLast(isPlanFile);
  const byFile = inGiven === undefined && !bundle && request.planFile !== undefined;
  const file = byFile ? await readPlanFile(request.planFile!) : inGiven;
  const seconds = timeLimitIn(parts);
  /** Whether steps may be timed to choose the network's size: not for a few minutes, nor where it is chosen already. */
  const sizeIsOpen =
    engine !== undefined &&
    !bundle &&
    seconds !== undefined &&
    seconds >= leastBudget &&
    !request.patch &&
    !given.some((part) => isRecord(part) && 'network' in part && part !== given[parts.indexOf(inGiven)]);
  const inBudget = async (planned: Planned) =>
    sizeIsOpen
      ? (
          await planWithin(
            engine,
            planned,
            { seconds, memoryBytes: request.maxMemory },
            { ...request, now, onTrial: (text) => onNotice(`Timed: ${text}.`), signal: listeners.signal },
          )
        ).settings
      : planned.settings;
  const plan = (patch?: Shape) =>
    planDataset(dataset, { fold, sha256: identity.sha256, patch, onCase, signal: listeners.signal });

  if (file !== undefined) {
    const name = byFile ? request.planFile! : partsName;
    let settings = settingsInPlan(file, identity, fold, name);
    if (byFile) onNotice(`The plan is that of ${name}.`);
    if (sizeIsOpen && settings.timeLimit === null) {
      const planned = await plan();
      // A plan that nobody has edited was made for no machine, and is made again for this one and the time it has.
      if (firstDifference(planned.settings, settings) === undefined) {
        onNotice('It was made without a budget, and is made again for the time limit.');
        settings = await inBudget(planned);
      }
    }
    const patchPart = request.patch && { network: { patch: request.patch }, plan: { patch: request.patch } };
    const rest = given.filter((_, index) => parts[index] !== inGiven);
    const complete = completeSettings(
      bundle ? likeBundle(settings, bundle) : settings,
      [...rest, patchPart],
      partsName,
    );
    return mirroredAsTrained(complete, [file, ...parts]);
  }
  const planned = await plan(request.patch ?? patchIn(parts) ?? bundle?.settings.patch);
  const settings = await inBudget(planned);
  const complete = completeSettings(bundle ? likeBundle(settings, bundle) : settings, given, partsName);
  return mirroredAsTrained(complete, parts);
}

/** Seconds: in less time than this, choosing a network by timing candidates would take too much of it. */
const leastBudget = 300;
const now = () => performance.now();

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

function timeLimitIn(parts: readonly unknown[]): number | undefined {
  const limits = parts.flatMap((part) =>
    isRecord(part) && typeof part['timeLimit'] === 'number' ? [part['timeLimit']] : [],
  );
  return limits.at(-1);
}

/** A patch that a part names decides about the defaults too. */
function patchIn(parts: readonly unknown[]): number[] | undefined {
  for (const part of parts.toReversed()) {
    const { network, plan } = (part ?? {}) as { network?: { patch?: unknown }; plan?: { patch?: unknown } };
    const patch = network?.patch ?? plan?.patch;
    if (Array.isArray(patch) && patch.length === 3 && patch.every((each) => Number.isInteger(each) && each > 0)) {
      return patch;
    }
  }
  return undefined;
}

/**
 * Epochs that a time limit has decided stay as they are, unless another limit is given; epochs that are given end the
 * limit.
 */
function goneOn(begun: TrainSettings, settings: TrainSettings): TrainSettings {
  if (settings.epochs === null && settings.timeLimit === begun.timeLimit) return { ...settings, epochs: begun.epochs };
  return settings;
}

/**
 * The network of a bundle, for this data set; and its plan but for regions, where the channels are as many. Scans are mirrored along the axes
 * that the bundle's plan mirrors: else left may be told from right.
 */
function likeBundle(settings: TrainSettings, { settings: network, plan, name, manifest }: Model): TrainSettings {
  const { patch, classes, inputChannels } = settings.network;
  const { augmentation } = settings;
  const { mirrorAxes } = plan.inference;
  const { regions: _regions, regionsClassOrder: _order, ...preparing } = plan;
  const { regions, regionsClassOrder } = settings.plan;
  const mirror = ([0, 1, 2] as const).map((axis) => (mirrorAxes.includes(axis) ? 0.5 : 0)) as [number, number, number];
  return {
    ...settings,
    from: { name, sha256: manifest.weights.sha256 },
    network: structuredClone({ ...network, patch, classes, inputChannels }) as TrainSettings['network'],
    plan:
      plan.channels.length === inputChannels
        ? { ...preparing, patch: settings.plan.patch, ...(regions && { regions, regionsClassOrder }) }
        : settings.plan,
    augmentation: augmentation && { ...augmentation, mirror },
  };
}

/** @throws InputError where the settings are for another data set */
function checkAgainst({ network, plan, loss: { of: loss } }: TrainSettings, { description }: Dataset): void {
  const { channels, labels, name, ignoreLabel } = description;
  const correct = 'correct --config, or leave it out there';
  const wrong = (what: string, given: number, which: readonly string[]) =>
    new InputError(
      `The settings say ${given} ${what}, and ${name} has ${which.length} (${which.join(', ')}); ${correct}.`,
    );
  const { regions, regionsClassOrder } = plannedRegions(description);
  const outputs = (regions ?? labels).map((each) => each.name);
  if (network.inputChannels !== channels.length) throw wrong('channels', network.inputChannels, channels);
  if (network.classes !== outputs.length) throw wrong('classes', network.classes, outputs);
  const decided = (of: Pick<TrainSettings['plan'], 'regions' | 'regionsClassOrder'>) =>
    JSON.stringify([of.regions?.map((region) => region.labels), of.regionsClassOrder]);
  if (decided(plan) !== decided({ regions, regionsClassOrder })) {
    throw new InputError(
      regions
        ? `The plan of the settings has not the regions of ${name}, or not in their order (${outputs.join(', ')}); ${correct}.`
        : `The plan of the settings has regions, and ${name} has none; ${correct}.`,
    );
  }
  if (ignoreLabel !== undefined && !('ignoredLabel' in loss && loss.ignoredLabel === ignoreLabel)) {
    throw new InputError(
      `${name} has the ignore label ${ignoreLabel}, and the loss ${loss.kind} of the settings would learn from its voxels; ` +
        `give loss.of the "ignoredLabel" ${ignoreLabel}, which softDiceCrossEntropy and softDiceRegions know, or leave it out.`,
    );
  }
}

interface Checked {
  readonly settings: TrainSettings;
  readonly dataset: Dataset;
  readonly split: Split;
  readonly cases: readonly AnyCase[];
  readonly validationFiles: readonly CaseFiles[];
  readonly bundle: Model | undefined;
  readonly level: MemoryLevel;
  readonly memoryBytes: number;
  /** When the work began, by `performance.now()`. */
  readonly began: number;
}

async function runChecked(
  engine: Engine,
  request: RunRequest,
  listeners: RunListeners,
  { settings, dataset, split, cases, validationFiles, bundle, level, memoryBytes, began }: Checked,
): Promise<Trained> {
  const { onNotice = () => undefined, signal } = listeners;
  const { device, threads } = request;
  const folder = await openRunFolder(request.run, settings, split);
  for (const notice of folder.notices) onNotice(notice);
  const initial = folder.checkpoint?.state ?? firstWeights(settings, bundle, onNotice);
  const trainer = await createTrainer(engine, settings.network, settings, { initial, device, threads, ...level });
  const position = folder.checkpoint?.position;
  const batches = openLoader(cases, batchSettings(settings), { workers: request.workers, from: position?.step });
  const validationCases = validationFiles.map(
    (files): ValidationCase => ({ name: files.name, read: () => readCase(files, dataset.description) }),
  );
  const manifest = manifestOf(settings, dataset);
  const counts = { training: cases.length, validation: validationFiles.length };
  let scored: CaseScores[] = [];
  const validateCases = async (count: number, aborted?: AbortSignal) => {
    const packed = { ...manifest, format: 'unetrpp-model', version: 1, weights: noWeights } as const;
    const model: Model = {
      name: manifest.name,
      manifest: packed,
      settings: settings.network,
      plan: settings.plan,
      labels: new Map(manifest.labels.map(({ value, name }) => [value, name])),
      weights: trainer.weights(),
    };
    scored = await validate(engine, model, validationCases.slice(0, count), {
      device,
      threads,
      ignoreLabel: dataset.description.ignoreLabel,
      signal: aborted,
    });
    return summarize(scored);
  };

  try {
    listeners.onStart?.({
      settings,
      trainingCases: cases.length,
      validationCases: validationFiles.length,
      step: position?.step ?? 0,
      memoryBytes,
    });
    const begins = position ? `The run goes on from step ${position.step}.` : `The run begins: unetrpp ${version}.`;
    await folder.record({ kind: 'event', step: position?.step ?? 0, text: begins });
    const result = await train(
      settings,
      {
        step: (batch, index, rate) => trainer.step(batch, index, rate),
        nextBatch: () => batches.next(),
        learningRate: (step, totalSteps) =>
          learningRate(settings.schedule, { step, totalSteps, stepsPerEpoch: settings.batchesPerEpoch }),
        validation: { cases: validationCases.length, validate: validateCases },
        save: (at, best) => folder.save(trainer.state, at, best),
        record: folder.record,
        changed: folder.changed,
        now: () => performance.now(),
        memory: () => process.memoryUsage.rss(),
      },
      {
        from: position,
        secondsBefore: (performance.now() - began) / 1000,
        onProgress: listeners.onProgress,
        onRecord: listeners.onRecord,
        signal,
      },
    );
    const { scores } = result;
    const trained = {
      ...manifest,
      provenance: { ...manifest.provenance, ...provenanceOf(result.settings, dataset, counts, scores, scored) },
    };
    const path = await writeBundle(request.run, trained, trainer.weights(), scored);
    return {
      settings: result.settings,
      bundle: path,
      epochs: result.position.epoch,
      steps: result.position.step,
      seconds: result.position.seconds,
      scores,
      cases: scored,
    };
  } finally {
    await batches.close();
    await trainer.dispose();
    await folder
      .end()
      .catch(() => onNotice('progress.html could not be written at the end; log.jsonl has its numbers.'));
  }
}

function firstWeights(
  settings: TrainSettings,
  bundle: Model | undefined,
  onNotice: (text: string) => void,
): ReadonlyMap<string, Tensor<'float32'>> {
  if (bundle) {
    const { weights, notices } = fineTuningWeights(bundle, settings.network, settings.seed);
    for (const notice of notices) onNotice(notice);
    return weights;
  }
  if (settings.from) {
    throw new InputError(
      `The run was begun from the bundle ${settings.from.name} and has no checkpoint yet; give --from again.`,
    );
  }
  return initialize(unetrpp(settings.network), settings.seed);
}

function batchSettings({ plan, batch, seed, augmentation, foregroundShare }: TrainSettings): BatchSettings {
  const zeroOutside = plan.channels.some(({ useMask }) => useMask);
  return { patch: plan.patch, batch, seed, augmentation: augmentation ?? undefined, zeroOutside, foregroundShare };
}

type Unpacked = Omit<Manifest, 'format' | 'version' | 'weights'>;

/** What a model that is not written has in place of a description of its weights. */
const noWeights: Manifest['weights'] = { file: weightsFile, dtype: 'float32', bytes: 1, sha256: '0'.repeat(64) };

function manifestOf({ network, plan, fold }: TrainSettings, { description, cases }: Dataset): Unpacked {
  const names = description.labels.slice(1).map(({ name }) => name);
  return {
    name: description.name.toLowerCase(),
    description: `UNETR++ (patch ${showShape(network.patch)}) for ${names.join(', ')}, trained on fold ${fold} of ${description.name} (${cases.length} cases in all).`,
    network: { name: 'unetrpp', settings: network },
    labels: writtenLabels(description),
    plan,
    provenance: { source: `trained on ${description.name}`, madeBy: `unetrpp ${version}` },
  };
}

/** Numbers that JSON has. */
const orNull = (value: number) => (Number.isFinite(value) ? value : null);

function provenanceOf(
  settings: TrainSettings,
  { description, cases }: Dataset,
  split: { readonly training: number; readonly validation: number },
  scores: Scores | undefined,
  scored: readonly CaseScores[],
): Partial<Manifest['provenance']> {
  const { network: _network, plan: _plan, format: _format, dataset: _dataset, ...recipe } = settings;
  return {
    version,
    dataset: { name: description.name, sha256: settings.dataset.sha256, cases: cases.length },
    split: { fold: settings.fold, ...split },
    seed: settings.seed,
    recipe: JSON.parse(JSON.stringify(recipe)),
    ...(scores && {
      scores: {
        cases: scored.length,
        dice: Object.fromEntries(Object.entries(scores.dice).map(([name, value]) => [name, orNull(value)])),
        mean: orNull(scores.mean),
      },
    }),
  };
}

/** @returns its folder */
async function writeBundle(
  run: string,
  manifest: Unpacked,
  weights: ReadonlyMap<string, Tensor<'float32'>>,
  scored: readonly CaseScores[],
): Promise<string> {
  const folder = join(run, 'bundle');
  const packed = await packBundle(manifest, weights, 'float32');
  await prepareOutputFolder(folder);
  await writeWhole(join(run, 'validation.json'), `${JSON.stringify({ cases: scored }, null, 2)}\n`);
  await writeTogether([
    { path: join(folder, weightsFile), content: packed.weights },
    { path: join(folder, manifestFile), content: packed.manifest },
  ]);
  return folder;
}
