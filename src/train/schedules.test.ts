import { describe, expect, it } from 'vitest';
import { learningRate, type ScheduleSettings } from './schedules.ts';

const rates = (schedule: ScheduleSettings, totalSteps: number, stepsPerEpoch: number) =>
  Array.from({ length: totalSteps }, (_, step) => learningRate(schedule, { step, totalSteps, stepsPerEpoch }));

const expectClose = (got: readonly number[], wanted: readonly number[]) => {
  expect(got).toHaveLength(wanted.length);
  got.forEach((rate, step) => {
    expect(rate, `step ${step}`).toBeCloseTo(wanted[step], 12);
  });
};

describe('learning rates', () => {
  it('stay', () => {
    expect(rates({ kind: 'constant', rate: 0.5, warmupSteps: 0 }, 3, 1)).toEqual([0.5, 0.5, 0.5]);
  });

  it('rise in even parts before the schedule begins, and end on it', () => {
    expectClose(rates({ kind: 'constant', rate: 1, warmupSteps: 3 }, 5, 1), [0.25, 0.5, 0.75, 1, 1]);
  });

  it('of poly fall from step to step, or from epoch to epoch', () => {
    const poly = { kind: 'poly', rate: 8, exponent: 2, warmupSteps: 0 } as const;
    expectClose(rates({ ...poly, per: 'step' }, 4, 2), [8, 8 * 0.75 ** 2, 8 * 0.5 ** 2, 8 * 0.25 ** 2]);
    expectClose(rates({ ...poly, per: 'epoch' }, 4, 2), [8, 8, 2, 2]);
  });

  it('of UNETR++ are the published ones: 0.01 (1 - epoch / 1000)^0.9', () => {
    const schedule = { kind: 'poly', rate: 0.01, exponent: 0.9, warmupSteps: 0, per: 'epoch' } as const;
    const at = (epoch: number) =>
      learningRate(schedule, { step: epoch * 250 + 249, totalSteps: 250_000, stepsPerEpoch: 250 });
    expect(at(0)).toBe(0.01);
    expect(at(500)).toBeCloseTo(0.01 * 0.5 ** 0.9, 15);
    expect(at(999)).toBeCloseTo(0.01 * 0.001 ** 0.9, 15);
  });

  it('of poly do not turn negative or complex behind the end', () => {
    const schedule = { kind: 'poly', rate: 1, exponent: 0.9, warmupSteps: 0, per: 'step' } as const;
    expect(learningRate(schedule, { step: 12, totalSteps: 10, stepsPerEpoch: 5 })).toBe(0);
  });

  it('of cosine are half of it: 1, (1 + √½) / 2, 1/2, (1 - √½) / 2, down to the last', () => {
    const root = Math.SQRT1_2;
    const schedule = { kind: 'cosine', rate: 2, final: 0, warmupSteps: 0 } as const;
    expectClose(rates(schedule, 4, 1), [2, 1 + root, 1, 1 - root]);
    expectClose(rates({ ...schedule, final: 0.5 }, 2, 1), [2, 1.5]);
    expect(learningRate({ ...schedule, final: 0.5 }, { step: 9, totalSteps: 4, stepsPerEpoch: 1 })).toBe(1);
  });

  it('of one cycle begin at a 25th, are at the top after the rise, and end at a 250 000th', () => {
    const all = rates({ kind: 'oneCycle', rate: 1, rise: 0.5 }, 10, 1);
    // The top is at 0.5 * 10 - 1 = 4.
    expect(all[0]).toBeCloseTo(1 / 25, 12);
    expect(all[2]).toBeCloseTo((1 + 1 / 25) / 2, 12);
    expect(all[4]).toBeCloseTo(1, 12);
    expect(all[9]).toBeCloseTo(1 / 25e4, 12);
    expect(Math.max(...all)).toBe(all[4]);
  });
});
