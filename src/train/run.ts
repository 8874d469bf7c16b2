/**
 * The run: epochs of steps, a learning rate for each by the schedule, validation and a checkpoint at the end of an epoch.
 * It decides what happens when, and what is recorded; how a step is made, where batches come from, what validation is and
 * where checkpoints and records go are pieces that the caller brings, so that the same loop runs in Node, in a browser and
 * in a test with arithmetic in place of a network.
 *
 * A run is a function of its settings: whether it was stopped and went on, or not, the weights are the same. All that
 * it must remember besides the trainer's state is a `Position`.
 */
import { z } from 'zod';
import { InputError } from '../errors.ts';
import type { TrainSettings } from './settings.ts';

const count = z.int().nonnegative();
const amount = z.number().nonnegative();

/** Where a run is. */
export const positionSchema = z.strictObject({
  /** Steps that are done. */
  step: count,
  /** Epochs that are done, validated and recorded. */
  epoch: count,
  /** Seconds that the run has taken, without the time in which it stood still. */
  seconds: amount,
  /** Of the epoch that was begun: sum of the losses of its steps, seconds, and seconds of them that it waited for data. */
  begun: z.strictObject({ loss: z.number(), seconds: amount, waited: amount }),
  /** The epoch of the best mean Dice so far. */
  best: z.strictObject({ epoch: count, score: z.number() }).nullable(),
});

export type Position = z.infer<typeof positionSchema>;

export const beginning: Position = {
  step: 0,
  epoch: 0,
  seconds: 0,
  begun: { loss: 0, seconds: 0, waited: 0 },
  best: null,
};

export interface RunBatch {
  readonly image: Float32Array;
  readonly target: Float32Array;
  /** Names of the cases, one a sample. */
  readonly cases: readonly string[];
}

export interface Scores {
  /** Mean over cases, by the name of the label; NaN where no case has it. */
  readonly dice: Readonly<Record<string, number>>;
  /** Mean over labels. */
  readonly mean: number;
}

/** What a run is made of. */
export interface RunPieces {
  /** Makes one step; `index` counts from 0. */
  step(batch: RunBatch, index: number, learningRate: number): Promise<{ loss: number; gradientNorm: number }>;
  /** The next batch, beginning with the one of the position's step. */
  nextBatch(): Promise<RunBatch>;
  learningRate(step: number, steps: number): number;
  /** Predicts so many validation cases, always the same; none where there are none. */
  readonly validation?: { readonly cases: number; validate(cases: number, signal?: AbortSignal): Promise<Scores> };
  /** Keeps the trainer's state and the position; `best` where it is the best so far. */
  save(position: Position, best: boolean): Promise<void>;
  /** Keeps a line of the log. */
  record(record: RunRecord): Promise<void>;
  /** Keeps settings that a time limit has changed. */
  changed(settings: TrainSettings): Promise<void>;
  /** Milliseconds of a clock that does not jump. */
  now(): number;
  /** Bytes that the process takes. */
  memory(): number;
}

export interface EpochRecord {
  /** From 1. */
  readonly epoch: number;
  /** Steps done at its end. */
  readonly step: number;
  /** Of the run so far. */
  readonly seconds: number;
  /** Mean over the steps of the epoch. */
  readonly loss: number;
  /** Of its last step. */
  readonly learningRate: number;
  readonly examplesPerSecond: number;
  /** Part of the time that steps waited for data. */
  readonly waitingShare: number;
  /** Of the validation cases, by label. */
  readonly dice?: Readonly<Record<string, number>>;
  readonly memoryBytes: number;
}

/** What the log holds: epochs, and events between them. */
export type RunRecord = ({ readonly kind: 'epoch' } & EpochRecord) | RunEvent;

export interface RunEvent {
  readonly kind: 'event';
  readonly step: number;
  readonly text: string;
}

/** How far a run is: after every step. */
export interface RunProgress {
  /** Epoch at work, from 1. */
  readonly epoch: number;
  readonly epochs: number | null;
  readonly step: number;
  readonly steps: number | null;
  /** Mean of the steps of this epoch. */
  readonly loss: number;
  readonly learningRate: number;
  readonly examplesPerSecond: number;
  readonly memoryBytes: number;
  /** Until the end; undefined while nobody knows. */
  readonly secondsLeft: number | undefined;
  readonly stage: 'training' | 'validating';
}

export interface RunOptions {
  /** Where the run stands. Default: its beginning. */
  readonly from?: Position;
  /** Seconds that went by before: reading and preparing, which count for the run. Default: 0. */
  readonly secondsBefore?: number;
  readonly onProgress?: (progress: RunProgress) => void;
  readonly onRecord?: (record: RunRecord) => void;
  /** Aborting ends the run after the step at work, with a checkpoint, and with the signal's reason. */
  readonly signal?: AbortSignal;
  /** A checkpoint is due after so many seconds, besides the one at an epoch's end. Default: 300. */
  readonly checkpointSeconds?: number;
}

export interface RunResult {
  readonly position: Position;
  readonly settings: TrainSettings;
  /** Of all validation cases, with the last weights. */
  readonly scores: Scores | undefined;
}

/** Steps before the pace of a run is measured; the first ones warm up the engine and are left out. */
const paceSteps = 20;
const warmUpSteps = 5;
/** Part of a time limit that is not planned for, because paces change. */
const reserve = 0.04;

/**
 * How many epochs end within a time limit.
 * @param spent seconds so far, in which `epochs` epochs and `steps` further steps were done
 */
export function epochsWithin(
  limit: number,
  spent: number,
  done: { readonly epochs: number; readonly steps: number },
  seconds: { readonly step: number; readonly validation: number; readonly end: number },
  batchesPerEpoch: number,
): number {
  const left = limit - spent - seconds.end + done.steps * seconds.step;
  return done.epochs + Math.floor(left / (batchesPerEpoch * seconds.step + seconds.validation));
}

/**
 * Trains to the end of the last epoch.
 * @throws InputError when a loss is no finite number, with the step, its cases and the checkpoint to go back to; or when a
 *   time limit leaves no room for an epoch
 */
export async function train(settings: TrainSettings, pieces: RunPieces, options: RunOptions = {}): Promise<RunResult> {
  const { signal, onProgress, checkpointSeconds = 300 } = options;
  const { batch, batchesPerEpoch } = settings;
  let current = settings;
  let position = options.from ?? beginning;
  position = { ...position, seconds: position.seconds + (options.secondsBefore ?? 0) };
  let saved = position.step;
  let [savedAt, lap] = [pieces.now(), pieces.now()];
  // Seconds of the last steps and of one validation case, once they are known.
  let stepSeconds: number | undefined;
  let caseSeconds = 0;
  /** False while the trainer's state is between two steps, or worthless. */
  let intact = true;
  /** Steps that this process has made, and the seconds of the last ones. */
  let measured = 0;
  const recent: number[] = [];
  /** Of the epoch, as far as this process made it: steps after the warming up, and their seconds. */
  let paced = { steps: 0, seconds: 0 };
  /** Whether the number of epochs is a first guess, from the pace of a few steps and of one validation case. */
  let guessed = false;
  const { cases: allCases, validate } = pieces.validation ?? { cases: 0, validate: undefined };
  const epochCases = Math.min(settings.validationCases, allCases);

  /** Seconds since the last time; they count for the run. */
  const spend = (): number => {
    const now = pieces.now();
    const seconds = (now - lap) / 1000;
    lap = now;
    position = { ...position, seconds: position.seconds + seconds };
    return seconds;
  };
  const save = async (best = false) => {
    spend();
    await pieces.save(position, best);
    [saved, savedAt] = [position.step, pieces.now()];
  };
  const record = async (entry: RunRecord) => {
    await pieces.record(entry);
    options.onRecord?.(entry);
  };
  const event = (text: string) => record({ kind: 'event', step: position.step, text });
  const score = async (cases: number): Promise<Scores | undefined> => {
    if (!validate || cases === 0) return undefined;
    spend();
    const scores = await validate(cases, signal);
    caseSeconds = spend() / cases;
    return scores;
  };
  const rate = (step: number) =>
    pieces.learningRate(step, (current.epochs ?? Number.POSITIVE_INFINITY) * batchesPerEpoch);
  const report = (stage: RunProgress['stage']) => {
    if (!onProgress) return;
    const done = position.step - position.epoch * batchesPerEpoch;
    const { epochs } = current;
    const steps = epochs === null ? null : epochs * batchesPerEpoch;
    const left =
      steps === null || stepSeconds === undefined
        ? undefined
        : Math.max(0, steps - position.step) * stepSeconds +
          caseSeconds * (epochCases * Math.max(0, epochs! - position.epoch) + allCases);
    onProgress({
      epoch: position.epoch + 1,
      epochs,
      step: position.step,
      steps,
      loss: done === 0 ? Number.NaN : position.begun.loss / done,
      learningRate: rate(Math.max(0, position.step - 1)),
      examplesPerSecond: stepSeconds === undefined ? 0 : batch / stepSeconds,
      memoryBytes: pieces.memory(),
      secondsLeft: left,
      stage,
    });
  };

  const oneStep = async () => {
    const before = pieces.now();
    const data = await pieces.nextBatch();
    const waited = (pieces.now() - before) / 1000;
    const learningRate = rate(position.step);
    intact = false;
    const { loss, gradientNorm } = await pieces.step(data, position.step, learningRate);
    const seconds = spend();
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
      throw diverged(position.step, data.cases, loss, gradientNorm, learningRate, saved);
    }
    intact = true;
    const { begun } = position;
    position = {
      ...position,
      step: position.step + 1,
      begun: { loss: begun.loss + loss, seconds: begun.seconds + seconds, waited: begun.waited + waited },
    };
    measured++;
    // While the engine warms up, the last step is the best guess.
    if (measured <= warmUpSteps + 1) recent.length = 0;
    if (recent.length === paceSteps) recent.shift();
    recent.push(seconds);
    if (measured > warmUpSteps) paced = { steps: paced.steps + 1, seconds: paced.seconds + seconds };
    stepSeconds = recent.reduce((sum, each) => sum + each, 0) / recent.length;
    report('training');
  };

  /**
   * The number of epochs that the time limit leaves: guessed when a first pace is known, corrected after an epoch, lowered
   * where the pace has fallen, and raised where it has risen: in the first half only, since later a learning rate that has
   * fallen would rise again.
   */
  const keepToLimit = async (pace = stepSeconds) => {
    const { timeLimit, epochs } = current;
    if (timeLimit === null || pace === undefined) return;
    if (epochs === null && measured < paceSteps && (measured < 2 || position.seconds < timeLimit / 10)) return;
    if (epochs === null) await score(Math.min(1, epochCases || allCases));
    const fitting = (limit: number) =>
      epochsWithin(
        limit,
        position.seconds,
        { epochs: position.epoch, steps: position.step - position.epoch * batchesPerEpoch },
        { step: pace, validation: caseSeconds * epochCases, end: caseSeconds * allCases },
        batchesPerEpoch,
      );
    const fits = fitting(timeLimit * (1 - reserve));
    if (fits < 1 && position.epoch === 0) {
      throw new InputError(
        `One epoch of ${batchesPerEpoch} batches takes about ${Math.ceil(batchesPerEpoch * pace)} s here, and the ` +
          `end of the run ${Math.ceil(caseSeconds * allCases)} s: they do not fit into the time limit of ${timeLimit} s; ` +
          'raise it, or give fewer --batches-per-epoch.',
      );
    }
    // An epoch that was begun is brought to its end.
    const inEpoch = position.step > position.epoch * batchesPerEpoch;
    const wanted = Math.max(fits, position.epoch + (inEpoch ? 1 : 0));
    const rises = epochs !== null && wanted > epochs && 2 * position.epoch <= epochs;
    const stays = epochs !== null && (wanted === epochs || (!guessed && !rises && epochs <= fitting(timeLimit)));
    guessed = epochs === null;
    if (stays) return;
    current = { ...current, epochs: wanted };
    const step = pace < 10 ? `${Math.round(pace * 1000)} ms` : `${pace.toFixed(1)} s`;
    await event(
      epochs === null
        ? `A step takes ${step}: ${current.epochs} epochs of ${batchesPerEpoch} batches fit into the time limit of ${timeLimit} s.`
        : `A step takes ${step} now: ${current.epochs} epochs in place of ${epochs} fit into the time limit of ${timeLimit} s.`,
    );
    await pieces.changed(current);
    await save();
  };

  try {
    while (current.epochs === null || position.epoch < current.epochs) {
      const end = (position.epoch + 1) * batchesPerEpoch;
      while (position.step < end) {
        signal?.throwIfAborted();
        await oneStep();
        if (current.epochs === null) await keepToLimit();
        if (position.step < end && pieces.now() - savedAt >= checkpointSeconds * 1000) await save();
      }
      signal?.throwIfAborted();
      report('validating');
      const scores = await score(epochCases);
      const best = scores !== undefined && Number.isFinite(scores.mean) && scores.mean > (position.best?.score ?? -1);
      const { begun } = position;
      const epoch = position.epoch + 1;
      await record({
        kind: 'epoch',
        epoch,
        step: position.step,
        seconds: position.seconds,
        loss: begun.loss / batchesPerEpoch,
        learningRate: rate(position.step - 1),
        examplesPerSecond: (batchesPerEpoch * batch) / begun.seconds,
        waitingShare: begun.waited / begun.seconds,
        ...(scores && { dice: scores.dice }),
        memoryBytes: pieces.memory(),
      });
      position = {
        ...position,
        epoch,
        begun: beginning.begun,
        best: best ? { epoch, score: scores.mean } : position.best,
      };
      await save(best);
      // Of a whole epoch: a machine that was busy with something else for a minute is no reason to train less.
      await keepToLimit(paced.steps === 0 ? stepSeconds : paced.seconds / paced.steps);
      paced = { steps: 0, seconds: 0 };
    }
    signal?.throwIfAborted();
    report('validating');
    return { scores: await score(allCases), settings: current, position };
  } catch (error) {
    // Interrupted between two steps, or in a validation: nothing of what was done is lost.
    if (signal?.aborted && intact && position.step > saved) await save();
    throw error;
  }
}

function diverged(
  step: number,
  cases: readonly string[],
  loss: number,
  gradientNorm: number,
  learningRate: number,
  saved: number,
): InputError {
  const what = Number.isFinite(loss) ? `norm of the gradient is ${gradientNorm}` : `loss is ${loss}`;
  const back = saved > 0 ? `The last checkpoint, of step ${saved}, is from before that` : 'There is no checkpoint yet';
  return new InputError(
    `Training stopped at step ${step + 1}: the ${what}, with the cases ${[...new Set(cases)].join(', ')} and the learning ` +
      `rate ${learningRate}. ${back}; look at these cases (unetrpp info), or begin a new run with a lower --lr.`,
  );
}
