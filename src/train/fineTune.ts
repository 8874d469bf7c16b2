/**
 * A model goes on learning, on a few labelled scans: for a page, or for a program that has scans in memory. A run with
 * epochs, validation and checkpoints is run.ts's.
 *
 *   const cases = [trainingCase(model, 'knee 1', { image, labels })];
 *   const { weights, manifest } = await fineTune(nodeEngine, model, cases, { steps: 200 });
 *   const files = await packBundle(manifest, weights, 'float16');
 *
 * Network, plan and labels stay those of the model: what is learned is the weights.
 */
import { trainingAugmentation } from '../dataset/index.ts';
import type { CompileOptions, Engine } from '../engine/engine.ts';
import { InputError } from '../errors.ts';
import type { Model } from '../predict/index.ts';
import type { Tensor } from '../tensor.ts';
import type { Vector3, Volume } from '../volume/index.ts';
import type { Manifest } from '../weights/index.ts';
import { type BatchSettings, inThisThread, type TrainingCase } from './batches.ts';
import { checkScan, emptyCaseNotices, type LabelledScan, prepareCase } from './cases.ts';
import type { LossSettings } from './lossSettings.ts';
import { adamW } from './optimizers.ts';
import { learningRate, type ScheduleSettings } from './schedules.ts';
import { checkBatch } from './settings.ts';
import { createTrainer, stepProgram, type TrainerSettings } from './trainer.ts';

export interface FineTuneOptions
  extends Partial<TrainerSettings>,
    Pick<CompileOptions, 'device' | 'threads'>,
    Partial<Pick<BatchSettings, 'augmentation' | 'foregroundShare'>> {
  /** Default: 100. */
  readonly steps?: number;
  /** Of the schedule: the largest learning rate. Default: 1e-4, a tenth of what AdamW begins a training with. */
  readonly rate?: number;
}

export interface FineTuneProgress {
  /** Steps done; 0 when the first one begins. */
  readonly step: number;
  readonly steps: number;
  /** Of the last step; NaN before the first. */
  readonly loss: number;
  readonly learningRate: number;
  /** Until the end; undefined while nobody knows. */
  readonly secondsLeft: number | undefined;
}

export interface FineTuneListeners {
  /** Before the first step and after each. */
  readonly onProgress?: (progress: FineTuneProgress) => void;
  /** Aborting ends the training after the step at work; the result is what was learned until then. */
  readonly signal?: AbortSignal;
}

export interface FineTuned {
  /** For `packBundle`, or for the model itself: `{ ...model, weights }`. */
  readonly weights: ReadonlyMap<string, Tensor<'float32'>>;
  readonly manifest: Omit<Manifest, 'format' | 'version' | 'weights'>;
  /** Loss of each step that was done. */
  readonly losses: readonly number[];
  /** What a user should know of the cases: whole sentences. */
  readonly notices: readonly string[];
}

/** Steps that the learning rate rises for: the optimizer's moments must find their size first. */
const warmupSteps = 5;
/** A pace is the mean of so many steps; the very first one warms up the engine. */
const paceSteps = 10;

/**
 * A labelled scan as a case for fine-tuning a model: checked against it, and prepared by its plan.
 * @param name of the case, for messages
 * @throws InputError when the two lie on different grids, the model takes other channels, or does not know a label
 */
export function trainingCase(model: Model, name: string, scan: LabelledScan): TrainingCase {
  const { regions } = model.plan;
  const values = regions
    ? [...new Set([0, ...regions.flatMap((region) => region.labels)])].sort((a, b) => a - b)
    : [...model.labels.keys()];
  checkScan(name, scan, {
    channels: model.plan.channels.map((channel) => channel.name),
    values,
    by: `the model ${model.name}`,
    advice: 'correct the label map, or take a model that has the label',
  });
  // Regions are made of the labels' values in the loss.
  const labels = regions ? scan.labels : classesOf(scan.labels, values);
  return prepareCase(name, { ...scan, labels }, model.plan);
}

/** A label's place among the network's classes, which its value need not be. */
function classesOf(labels: Volume, values: readonly number[]): Volume {
  if (values.every((value, index) => value === index)) return labels;
  const places = new Map(values.map((value, index) => [value, index]));
  return { ...labels, data: Int16Array.from(labels.data, (value) => places.get(value)!) };
}

/** Bytes that `fineTune` takes at its peak, roughly. */
export function fineTuneMemory(engine: Engine, model: Model, options: FineTuneOptions = {}): number {
  return engine.memoryEstimate(stepProgram(model.settings, trainerSettings(model, options)), options);
}

/**
 * Trains a model on cases, from its own weights. The same model, cases and options give the same weights on the same machine.
 * @param cases from `trainingCase`, with this model
 * @throws InputError when there is no case, no case has any foreground, or the loss is no finite number any more; and the
 *   signal's reason when it is aborted before a step is done
 */
export async function fineTune(
  engine: Engine,
  model: Model,
  cases: readonly TrainingCase[],
  options: FineTuneOptions = {},
  { onProgress, signal }: FineTuneListeners = {},
): Promise<FineTuned> {
  const { steps = 100, rate = 1e-4, device, threads } = options;
  const notices = noticesOf(cases, model);
  const settings = trainerSettings(model, options);
  checkBatch(model.settings, settings.batch, model.name);
  const patch = model.plan.patch as unknown as Vector3;
  const augmentation = 'augmentation' in options ? options.augmentation : augmentationOf(model);
  const batches = inThisThread(cases, {
    patch,
    batch: settings.batch,
    seed: settings.seed,
    augmentation,
    zeroOutside: model.plan.channels.some(({ useMask }) => useMask),
    foregroundShare: options.foregroundShare,
  });
  const schedule: ScheduleSettings = { kind: 'cosine', rate, final: 0.01, warmupSteps: Math.min(warmupSteps, steps) };
  const rateOf = (step: number) => learningRate(schedule, { step, totalSteps: steps, stepsPerEpoch: steps });

  signal?.throwIfAborted();
  const trainer = await createTrainer(engine, model.settings, settings, { initial: model.weights, device, threads });
  const losses: number[] = [];
  const times = [performance.now()];
  const report = () => {
    const step = losses.length;
    const spans = Math.min(paceSteps, step === 1 ? 1 : step - 1);
    const pace = spans > 0 ? (times[step] - times[step - spans]) / spans / 1000 : undefined;
    onProgress?.({
      step,
      steps,
      loss: losses.at(-1) ?? Number.NaN,
      learningRate: rateOf(Math.max(0, step - 1)),
      secondsLeft: pace === undefined ? undefined : pace * (steps - step),
    });
  };

  try {
    await turnOfOthers();
    times[0] = performance.now();
    report();
    while (losses.length < steps && !signal?.aborted) {
      const step = losses.length;
      const batch = await batches.next();
      const { loss, gradientNorm } = await trainer.step(batch, step, rateOf(step));
      if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
        throw new InputError(
          `The loss was ${loss} and the norm of its gradient ${gradientNorm} at step ${step + 1}, with the cases ` +
            `${[...new Set(batch.cases)].join(', ')}; look at these cases, or train with a lower learning rate than ${rate}.`,
        );
      }
      losses.push(loss);
      times.push(performance.now());
      report();
      await turnOfOthers();
    }
    if (losses.length === 0 && steps > 0) signal?.throwIfAborted();
    const weights = new Map(trainer.weights());
    const manifest = manifestOf(model, cases.length, { ...settings, steps: losses.length, rate, plannedSteps: steps });
    return { weights, manifest, losses, notices };
  } finally {
    await trainer.dispose();
    await batches.close();
  }
}

/** Lets the thread hear what came meanwhile, such as a wish to stop: steps leave it no other moment. */
const turnOfOthers = () => new Promise<void>((resolve) => setTimeout(resolve));

const trainerSettings = (model: Model, options: FineTuneOptions): TrainerSettings => ({
  batch: options.batch ?? 2,
  loss: options.loss ?? { of: lossOfModel(model), lowestHead: 'kept' },
  optimizer: options.optimizer ?? adamW,
  clipNorm: options.clipNorm === undefined ? 12 : options.clipNorm,
  average: options.average ?? null,
  dropout: options.dropout ?? true,
  seed: options.seed ?? 1,
});

const lossOfModel = ({ plan: { regions } }: Model): LossSettings['of'] =>
  regions
    ? { kind: 'softDiceRegions', regions: regions.map(({ labels }) => labels) }
    : { kind: 'softDiceCrossEntropy' };

/** The recipe's, but mirrored only along the axes that the model is told to mirror: else left may be told from right. */
function augmentationOf({ plan }: Model): BatchSettings['augmentation'] {
  const patch = plan.patch as unknown as Vector3;
  const mirrored = ([0, 1, 2] as const).map((axis) => (plan.inference.mirrorAxes.includes(axis) ? 0.5 : 0));
  return { ...trainingAugmentation(patch), mirror: mirrored as unknown as Vector3 };
}

/** @throws InputError when nothing could be learned from the cases */
function noticesOf(cases: readonly TrainingCase[], { labels, plan: { regions } }: Model): string[] {
  if (cases.length === 0) throw new InputError('There is no labelled scan to train on; give at least one.');
  if (cases.every(({ locations }) => locations.size === 0)) {
    const which = cases.length === 1 ? `The label map of ${cases[0].name} has` : 'The label maps have';
    throw new InputError(
      `${which} no foreground: every voxel is ${labels.values().next().value}; give a case in which a structure is labelled.`,
    );
  }
  const present = new Set(cases.flatMap(({ locations }) => [...locations.keys()]));
  const learned = regions
    ? regions.map(({ name, labels: values }) => `${name} (${values.join(', ')})`)
    : [...labels].slice(1).map(([value, name]) => `${name} (${value})`);
  const absent = learned.filter((_, index) => !present.has(index + 1));
  const forgotten = absent.map((each) => `No case has ${each}; the model may forget how to find it.`);
  return [...emptyCaseNotices(cases), ...forgotten];
}

type Recipe = TrainerSettings & { readonly steps: number; readonly plannedSteps: number; readonly rate: number };

function manifestOf({ manifest }: Model, training: number, recipe: Recipe): FineTuned['manifest'] {
  const { name, description, network, labels, plan, provenance } = manifest;
  const { data, license, attribution } = provenance;
  const scans = training === 1 ? 'one labelled scan' : `${training} labelled scans`;
  return {
    name: name.endsWith(tuned) ? name : `${name}${tuned}`,
    description: `${description} Fine-tuned on ${scans} (${recipe.steps} steps).`.trim(),
    network,
    labels,
    plan,
    // Scores, split and data set were those of the weights that it began with.
    provenance: {
      source: `fine-tuned from the bundle ${name}`,
      sourceSha256: manifest.weights.sha256,
      madeBy: 'unetrpp fineTune',
      data: data === undefined ? scans : `${data}; then ${scans}`,
      ...(license !== undefined && { license }),
      ...(attribution !== undefined && { attribution }),
      seed: recipe.seed,
      recipe: JSON.parse(JSON.stringify(recipe)),
    },
  };
}

const tuned = ' fine-tuned';
