/** Learning rates over a training: one number for each step. */
import { z } from 'zod';

const warmupSteps = z.int().min(0);

export const scheduleSettings = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('constant'), rate: z.number().positive(), warmupSteps }),
  /** (1 - t)^exponent, t being the part that is done: nnU-Net's and UNETR++'s, with exponent 0.9. */
  z.strictObject({
    kind: z.literal('poly'),
    rate: z.number().positive(),
    exponent: z.number().positive(),
    warmupSteps,
    /** Constant within an epoch, as the authors have it, or falling from step to step. */
    per: z.enum(['epoch', 'step']),
  }),
  /** Half a cosine, from `rate` to `rate * final` (Loshchilov and Hutter, SGDR, 2017; without restarts). */
  z.strictObject({
    kind: z.literal('cosine'),
    rate: z.number().positive(),
    final: z.number().min(0).max(1),
    warmupSteps,
  }),
  /** Cosine up to `rate` in the first `rise` of the steps, and down (Smith and Topin 2019; PyTorch's numbers 25 and 1e4). */
  z.strictObject({ kind: z.literal('oneCycle'), rate: z.number().positive(), rise: z.number().gt(0).lt(1) }),
]);

export type ScheduleSettings = z.infer<typeof scheduleSettings>;

export interface SchedulePlace {
  /** Of the step that is to be made, from 0. */
  readonly step: number;
  readonly totalSteps: number;
  readonly stepsPerEpoch: number;
}

/** The learning rate of a step. */
export function learningRate(schedule: ScheduleSettings, { step, totalSteps, stepsPerEpoch }: SchedulePlace): number {
  const { rate } = schedule;
  if (schedule.kind === 'oneCycle') return oneCycle(rate, schedule.rise, step, totalSteps);
  // A linear rise that ends on the schedule itself.
  const warm = step < schedule.warmupSteps ? (step + 1) / (schedule.warmupSteps + 1) : 1;
  switch (schedule.kind) {
    case 'constant':
      return warm * rate;
    case 'poly': {
      const counted = schedule.per === 'epoch' ? Math.floor(step / stepsPerEpoch) * stepsPerEpoch : step;
      return warm * rate * Math.max(0, 1 - counted / totalSteps) ** schedule.exponent;
    }
    case 'cosine': {
      const done = Math.min(1, step / totalSteps);
      return warm * rate * (schedule.final + (1 - schedule.final) * halfCosine(done));
    }
  }
}

/** From 1 to 0. */
const halfCosine = (done: number) => (1 + Math.cos(Math.PI * done)) / 2;

/** PyTorch's OneCycleLR: from rate / 25 up to rate, then down to rate / 25e4, which the last step has. */
function oneCycle(rate: number, rise: number, step: number, totalSteps: number): number {
  const [first, last] = [rate / 25, rate / 25e4];
  const top = rise * totalSteps - 1;
  const between = (from: number, to: number, done: number) => to + (from - to) * halfCosine(done);
  if (step <= top) return between(first, rate, top === 0 ? 1 : step / top);
  return between(rate, last, Math.min(1, (step - top) / Math.max(1, totalSteps - 1 - top)));
}
