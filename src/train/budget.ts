/**
 * Which of several sizes of a planned network this machine has time and memory for: candidates from large to small, a few
 * real steps of those that may fit, and the first of which enough steps fit. What is enough comes from trainings of this
 * project on two cores (docs/decisions/planning.md).
 */
import type { DeviceName, Engine } from '../engine/engine.ts';
import { ResourceError } from '../errors.ts';
import { unetrpp } from '../nets/index.ts';
import { costBy } from '../program/index.ts';
import { elementCount, type Shape, showShape } from '../tensor.ts';
import { initialize } from '../weights/index.ts';
import {
  batchFor,
  type Explanation,
  type Planned,
  type Size,
  shrunk,
  sized,
  sizeExplanation,
  withPatch,
} from './planning.ts';
import { fittingLevel, type MemoryLevel, memoryLevels } from './recomputation.ts';
import type { TrainSettings } from './settings.ts';
import { createTrainer, stepProgram } from './trainer.ts';

export interface Budget {
  /** Seconds that the training may take; undefined: no limit. */
  readonly seconds?: number;
  /** Bytes that a step may take; undefined: no limit. */
  readonly memoryBytes?: number;
}

/** What a plan promises of a training on the machine that it was made on. */
export interface Expected {
  readonly secondsPerStep: number;
  readonly examplesPerSecond: number;
  /** Of a training that takes the whole budget. */
  readonly steps: number | null;
  /** Peak of the process without the cases in memory, estimated. */
  readonly peakMemoryBytes: number;
}

export interface BudgetOptions {
  readonly device?: DeviceName;
  readonly threads?: number;
  /** Milliseconds of a clock that does not jump. */
  readonly now: () => number;
  readonly onTrial?: (text: string) => void;
  readonly signal?: AbortSignal;
}

/** Steps without which a network of a size is not worth beginning. */
const leastSteps: Readonly<Record<Size, number>> = { published: 20_000, compact: 1500, narrow: 750 };
/** Part of a budget that goes into steps; the rest into reading cases, validation and the end of the run. */
const shareOfSteps = 0.85;
/** Larger networks do more multiply-adds a second, at most by this factor: what fails even so is not tried. */
const efficiency = 3;
const [warmUpSteps, timedSteps] = [1, 3];
const batchesPerEpoch = 250;
/** Scans that an epoch's end predicts: they cost as much as many steps. */
const validationCases = 4;

interface Candidate {
  readonly size: Size;
  readonly settings: TrainSettings;
}

interface Trial extends Candidate {
  readonly secondsPerStep: number;
  readonly level: MemoryLevel;
  readonly bytes: number;
}

/** From large to small, without repetitions. */
function candidatesOf({ settings, focusedPatch, medianShape }: Planned): Candidate[] {
  const { patch, stem, featureSize, dims } = settings.network;
  const smaller = (share: number) => shrunk(focusedPatch, stem, medianShape, share * elementCount(focusedPatch));
  const planned: Size = dims[3] === 16 * featureSize ? 'published' : 'compact';
  const all: [Size, Shape][] = [
    ...(planned === 'published'
      ? ([
          ['published', patch],
          ['published', focusedPatch],
        ] as [Size, Shape][])
      : []),
    ['compact', focusedPatch],
    ['narrow', focusedPatch],
    ['narrow', smaller(0.5)],
    ['narrow', smaller(0.25)],
  ];
  const seen = new Set<string>();
  return all.flatMap(([size, candidate]) => {
    const name = `${size} ${showShape(candidate)}`;
    if (seen.has(name)) return [];
    seen.add(name);
    const own = sized(withPatch(settings, candidate), size);
    return [{ size, settings: { ...own, batch: batchFor(candidate, size) } }];
  });
}

/**
 * The plan, for a budget: patch, widths and schedule of the first candidate that fits, and what to expect of it.
 * @throws ResourceError when no candidate's step fits into the memory
 */
export async function planWithin(
  engine: Engine,
  planned: Planned,
  { seconds, memoryBytes }: Budget,
  options: BudgetOptions,
): Promise<{ settings: TrainSettings; explanation: Explanation[]; expected: Expected }> {
  const fitting = candidatesOf(planned).flatMap((each) => {
    const { level, bytes } = memoryOf(engine, each.settings, options.device, memoryBytes);
    return memoryBytes === undefined || bytes <= memoryBytes ? [{ ...each, level, bytes }] : [];
  });
  if (fitting.length === 0) {
    throw new ResourceError(
      `A step of the smallest network that could be planned needs more than ${Math.round(memoryBytes! / 1e6)} MB; give a larger --ram.`,
    );
  }
  const time = async (each: (typeof fitting)[number]): Promise<Trial> => {
    options.signal?.throwIfAborted();
    const secondsPerStep = await timeSteps(engine, each.settings, each.level, options);
    const { network, batch } = each.settings;
    options.onTrial?.(
      `${each.size}, patch ${showShape(network.patch)}, batch ${batch}: ${secondsPerStep.toFixed(2)} s a step`,
    );
    return { ...each, secondsPerStep };
  };
  const stepsIn = (secondsPerStep: number) =>
    seconds === undefined ? Number.POSITIVE_INFINITY : Math.floor((seconds * shareOfSteps) / secondsPerStep);

  const last = fitting.length - 1;
  let chosen: Trial | undefined;
  if (seconds === undefined || last === 0) chosen = await time(fitting[0]);
  else {
    // The smallest one is quick to time, and tells how fast this machine is.
    const smallest = await time(fitting[last]);
    const perSecond = multiplyAdds(smallest.settings) / smallest.secondsPerStep;
    for (const each of fitting.slice(0, last)) {
      const atBest = multiplyAdds(each.settings) / (perSecond * efficiency);
      if (stepsIn(atBest) < leastSteps[each.size]) continue;
      const trial = await time(each);
      if (stepsIn(trial.secondsPerStep) < leastSteps[each.size]) continue;
      chosen = trial;
      break;
    }
    chosen ??= smallest;
  }

  const { size, secondsPerStep, level, bytes } = chosen;
  const steps = seconds === undefined ? null : stepsIn(secondsPerStep);
  const settings = seconds === undefined ? chosen.settings : inTime(chosen.settings, seconds, steps!);
  const expected: Expected = {
    secondsPerStep,
    examplesPerSecond: settings.batch / secondsPerStep,
    steps,
    peakMemoryBytes: bytes,
  };
  return { settings, explanation: explained(planned, settings, size, expected, level), expected };
}

/** The plan's reasons, with those of what the budget has decided in their places. */
function explained(
  { explanation, medianShape, focusedPatch, settings: whole }: Planned,
  settings: TrainSettings,
  size: Size,
  { steps, secondsPerStep }: Expected,
  { recomputation }: MemoryLevel,
): Explanation[] {
  const [patch, before] = [showShape(settings.network.patch), showShape(whole.network.patch)];
  const ofSize = sizeExplanation(settings, size, medianShape).filter(({ key }) => steps === null || key !== 'epochs');
  const first = ofSize[0].key;
  const decided = new Set(sizeExplanation(settings, size, medianShape).map(({ key }) => key));
  const reasons = explanation.flatMap((each): Explanation[] => {
    if (each.key === 'network.patch' && patch !== before) {
      const because = `${before} made smaller for the budget; the foreground of most cases needs ${showShape(focusedPatch)}`;
      return [{ ...each, value: settings.network.patch, because }];
    }
    if (each.key === first) return ofSize;
    return decided.has(each.key) ? [] : [each];
  });
  if (steps !== null) {
    const rest = Math.round(100 * (1 - shareOfSteps));
    const because = `the budget in seconds: about ${steps} steps of ${secondsPerStep.toFixed(2)} s on this machine, and ${rest} % for reading cases and validation`;
    reasons.push({ key: 'timeLimit', value: settings.timeLimit, because });
  }
  if (recomputation !== 'none') {
    const because = 'a step fits into --ram only if parts of it are computed twice: give train --max-memory as much';
    reasons.push({ key: 'memory', value: recomputation, because });
  }
  return reasons;
}

const multiplyAdds = ({ network, batch }: TrainSettings) =>
  batch * (costBy(unetrpp(network), () => 'all').get('all') ?? 0);

function memoryOf(engine: Engine, settings: TrainSettings, device: DeviceName | undefined, limit: number | undefined) {
  return fittingLevel(
    ({ recomputation, memoryArena }) =>
      engine.memoryEstimate(stepProgram(settings.network, settings, recomputation), { device, memoryArena }),
    limit,
  );
}

/** As many epochs as the time leaves, and no more warming up than a twentieth of it. */
function inTime(settings: TrainSettings, seconds: number, steps: number): TrainSettings {
  const { schedule } = settings;
  return {
    ...settings,
    epochs: null,
    timeLimit: seconds,
    batchesPerEpoch: Math.max(1, Math.min(batchesPerEpoch, Math.floor(steps / 10))),
    schedule:
      schedule.kind === 'poly'
        ? { ...schedule, warmupSteps: Math.min(schedule.warmupSteps, Math.floor(steps / 20)) }
        : schedule,
    validationCases,
  };
}

/** The median of a few steps after the first; what is in a batch makes no difference. */
async function timeSteps(
  engine: Engine,
  settings: TrainSettings,
  level: MemoryLevel = memoryLevels[0],
  { device, threads, now, signal }: BudgetOptions,
): Promise<number> {
  const { network, batch, seed } = settings;
  const initial = initialize(unetrpp(network), seed);
  const trainer = await createTrainer(engine, network, settings, { initial, device, threads, ...level });
  try {
    const voxels = batch * elementCount(network.patch);
    const image = Float32Array.from({ length: voxels * network.inputChannels }, (_, i) => Math.cos(i));
    const target = Float32Array.from({ length: voxels }, (_, i) => i % network.classes);
    const seconds: number[] = [];
    for (let step = 0; step < warmUpSteps + timedSteps; step++) {
      signal?.throwIfAborted();
      const start = now();
      await trainer.step({ image, target }, step, 1e-4);
      if (step >= warmUpSteps) seconds.push((now() - start) / 1000);
    }
    return seconds.sort((a, b) => a - b)[timedSteps >> 1];
  } finally {
    await trainer.dispose();
  }
}
