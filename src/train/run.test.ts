import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { drawnRun } from '../../test/drawnRun.ts';
import { InputError } from '../errors.ts';
import { readCheckpoint } from './checkpoint.node.ts';
import { epochsWithin, type RunPieces, type RunProgress, type RunRecord } from './run.ts';

const scratch = mkdtempSync(join(tmpdir(), 'unetrpp-run-'));
afterAll(() => rmSync(scratch, { recursive: true }));

let folders = 0;
const fresh = () => join(scratch, `run-${folders++}`);
const log = (run: string) =>
  readFileSync(join(run, 'log.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as RunRecord);
const weights = async (run: string) => (await readCheckpoint(join(run, 'checkpoint-last.safetensors'))).state;
/** Epochs of a log, without what depends on the clock. */
const timeless = (records: RunRecord[]) =>
  records
    .filter((each) => each.kind === 'epoch')
    .map(({ epoch, step, loss, learningRate, dice }) => ({ epoch, step, loss, learningRate, dice }));

describe('a run', () => {
  test('records every epoch: steps, mean loss, the rate of its last step, Dice of the same two cases', async () => {
    const run = fresh();
    const losses: number[] = [];
    const validated: number[] = [];
    const { position, scores } = await drawnRun(run, {}, (state) => ({
      async step({ image }, _index, rate) {
        state.get('w')!.data[0] -= rate;
        losses.push(image[1]);
        return { loss: image[1], gradientNorm: 1 };
      },
      validation: {
        cases: 3,
        async validate(cases) {
          validated.push(cases);
          return { dice: { thing: 0.5 + 0.1 * validated.length }, mean: 0.5 + 0.1 * validated.length };
        },
      },
    }));
    expect(position).toMatchObject({ step: 20, epoch: 4, best: { epoch: 4 } });
    // Two at each epoch's end, all three at the end of the run.
    expect(validated).toEqual([2, 2, 2, 2, 3]);
    expect(scores?.mean).toBeCloseTo(1);
    // Batches 0 to 4 have the losses 0, 1, 2, 3, 4; batches 5 to 9 have 5, 6, 0, 1, 2.
    expect(timeless(log(run)).slice(0, 2)).toEqual([
      { epoch: 1, step: 5, loss: 2, learningRate: 0.1 * (1 - 4 / 20) ** 0.9, dice: { thing: 0.6 } },
      { epoch: 2, step: 10, loss: 2.8, learningRate: 0.1 * (1 - 9 / 20) ** 0.9, dice: { thing: 0.7 } },
    ]);
  });

  test('tells after every step how far it is', async () => {
    const seen: RunProgress[] = [];
    // Every look at the clock takes a tenth of a second: a step looks three times.
    let clock = 0;
    await drawnRun(fresh(), {}, { now: () => (clock += 100) }, { onProgress: (progress) => seen.push(progress) });
    const steps = seen.filter(({ stage }) => stage === 'training');
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(steps.at(-1)).toMatchObject({ epoch: 4, epochs: 4, steps: 20, memoryBytes: 1e6 });
    expect(steps[10].secondsLeft).toBeGreaterThan(steps[18].secondsLeft!);
  });

  test('keeps the checkpoint of the best epoch', async () => {
    const run = fresh();
    const means = [0.1, 0.7, Number.NaN, 0.6, 0.8];
    const pieces = { validation: { cases: 1, validate: async () => ({ dice: {}, mean: means.shift()! }) } };
    await drawnRun(run, {}, pieces);
    expect((await readCheckpoint(join(run, 'checkpoint-best.safetensors'))).position.best).toEqual({
      epoch: 2,
      score: 0.7,
    });
  });
});

describe('a run that was stopped', () => {
  /** Ends the run when that step begins, as a signal does. */
  async function stopAt(run: string, step: number, pieces: Partial<RunPieces> = {}) {
    const stop = new AbortController();
    const onProgress = (progress: RunProgress) => {
      if (progress.stage === 'training' && progress.step === step) stop.abort(new Error('stopped'));
    };
    await expect(drawnRun(run, {}, pieces, { onProgress, signal: stop.signal })).rejects.toThrow('stopped');
  }

  test('goes on to the same weights and records, bit for bit, whatever the step', async () => {
    const whole = fresh();
    await drawnRun(whole);
    for (const step of [1, 5, 8, 19, 20]) {
      const run = fresh();
      await stopAt(run, step);
      expect((await readCheckpoint(join(run, 'checkpoint-last.safetensors'))).position.step).toBe(step);
      await drawnRun(run);
      expect(await weights(run), `stopped at step ${step}`).toEqual(await weights(whole));
      expect(timeless(log(run))).toEqual(timeless(log(whole)));
    }
  });

  test('in the middle of a validation makes that validation again', async () => {
    const whole = fresh();
    await drawnRun(whole);
    const run = fresh();
    const stop = new AbortController();
    const validate = async (_cases: number, signal?: AbortSignal) => {
      stop.abort(new Error('stopped'));
      signal?.throwIfAborted();
      return { dice: {}, mean: 0 };
    };
    const stopped = drawnRun(run, {}, { validation: { cases: 3, validate } }, { signal: stop.signal });
    await expect(stopped).rejects.toThrow('stopped');
    const { position } = await readCheckpoint(join(run, 'checkpoint-last.safetensors'));
    expect(position).toMatchObject({ step: 5, epoch: 0 });
    await drawnRun(run);
    expect(await weights(run)).toEqual(await weights(whole));
    expect(timeless(log(run))).toEqual(timeless(log(whole)));
  });

  test('makes checkpoints between epochs too when they are due', async () => {
    const run = fresh();
    const pieces = {
      nextBatch: () => Promise.reject(new Error('the power is gone')),
    };
    let clock = 0;
    const steps: number[] = [];
    await drawnRun(
      run,
      {},
      { now: () => (clock += 100) },
      { checkpointSeconds: 0.5, onProgress: ({ step }) => void steps.push(step) },
    );
    expect(steps.length).toBeGreaterThan(20);
    // Two looks at the clock a step at least: the third step is due, and the epoch is not at its end.
    const torn = fresh();
    let left = 4;
    clock = 0;
    await expect(
      drawnRun(
        torn,
        {},
        (state) => ({
          now: () => (clock += 1000),
          nextBatch: async () => {
            if (left-- === 0) return pieces.nextBatch();
            return { image: Float32Array.of(state.size, 1), target: Float32Array.of(1), cases: ['a'] };
          },
        }),
        { checkpointSeconds: 1 },
      ),
    ).rejects.toThrow('the power is gone');
    expect((await readCheckpoint(join(torn, 'checkpoint-last.safetensors'))).position.step).toBe(4);
  });

  test('may go on for more epochs than it was begun with', async () => {
    const run = fresh();
    await drawnRun(run);
    const { position } = await drawnRun(run, { epochs: 6 });
    expect(position).toMatchObject({ step: 30, epoch: 6 });
    const [, , , fourth, fifth] = timeless(log(run));
    // The first four epochs are as they were; from there the schedule is that of 30 steps.
    expect(fourth.learningRate).toBe(0.1 * (1 - 19 / 20) ** 0.9);
    expect(fifth.learningRate).toBe(0.1 * (1 - 24 / 30) ** 0.9);
    await expect(drawnRun(run, { epochs: 5 })).rejects.toThrow(/has done 6 epochs already, more than the 5/);
  });
});

describe('a loss that is no number', () => {
  const at = (step: number, result: { loss: number; gradientNorm: number }) => ({
    step: async (_batch: unknown, index: number) => (index === step ? result : { loss: 1, gradientNorm: 1 }),
  });

  test('stops the run with the step, the cases of its batch, and the checkpoint from before', async () => {
    const run = fresh();
    const stopped = drawnRun(run, {}, at(12, { loss: Number.NaN, gradientNorm: 1 }));
    await expect(stopped).rejects.toThrow(InputError);
    await expect(stopped).rejects.toThrow(
      /^Training stopped at step 13: the loss is NaN, with the cases case 12 and the/,
    );
    await expect(stopped).rejects.toThrow(/The last checkpoint, of step 10, is from before that/);
    expect((await readCheckpoint(join(run, 'checkpoint-last.safetensors'))).position.step).toBe(10);
  });

  test('so does a gradient that is none, at once and without a checkpoint', async () => {
    const stopped = drawnRun(fresh(), {}, at(0, { loss: 2, gradientNorm: Number.POSITIVE_INFINITY }));
    await expect(stopped).rejects.toThrow(/step 1: the norm of the gradient is Infinity.*There is no checkpoint yet/);
  });

  test('is not kept, even when the run is interrupted in that step', async () => {
    const run = fresh();
    const stop = new AbortController();
    const step = async (_batch: unknown, index: number) => {
      if (index === 7) stop.abort();
      return { loss: index === 7 ? Number.NaN : 1, gradientNorm: 1 };
    };
    await expect(drawnRun(run, {}, { step }, { signal: stop.signal })).rejects.toThrow();
    expect((await readCheckpoint(join(run, 'checkpoint-last.safetensors'))).position.step).toBe(5);
  });
});

describe('a time limit', () => {
  test('leaves room for as many epochs as are told', () => {
    // 100 s, 10 of them at the end, 10 spent on 5 steps of 2 s: 80 s and those steps again, epochs of 10 x 2 + 5 s.
    const seconds = { step: 2, validation: 5, end: 10 };
    expect(epochsWithin(100, 10, { epochs: 0, steps: 5 }, seconds, 10)).toBe(3);
    expect(epochsWithin(20, 10, { epochs: 0, steps: 5 }, seconds, 10)).toBe(0);
  });

  /** A clock that only steps and validations move. */
  function clocked(step: (index: number) => number, perCase: number) {
    const clock = { seconds: 0 };
    const pieces = {
      now: () => clock.seconds * 1000,
      async step(_batch: unknown, index: number) {
        clock.seconds += step(index);
        return { loss: 1, gradientNorm: 1 };
      },
      validation: {
        cases: 10,
        async validate(cases: number) {
          clock.seconds += cases * perCase;
          return { dice: { thing: 0.5 }, mean: 0.5 };
        },
      },
    };
    return { clock, pieces };
  }
  const limited = { epochs: null, timeLimit: 1000, batchesPerEpoch: 50, validationCases: 4 };

  const eventsOf = (run: string) => log(run).filter((each) => each.kind === 'event');

  test('decides the number of epochs by the pace of the first steps, and is kept', async () => {
    const run = fresh();
    const { clock, pieces } = clocked(() => 1, 2);
    const { settings } = await drawnRun(run, limited, pieces);
    // 960 s, of which 20 + 2 are spent and 20 belong to the end: epochs of 50 + 8 s.
    expect(settings.epochs).toBe(Math.floor((960 - 22 - 20 + 20) / 58));
    expect(settings.epochs).toBe(16);
    expect(clock.seconds).toBeLessThanOrEqual(1000);
    expect(JSON.parse(readFileSync(join(run, 'config.json'), 'utf8')).epochs).toBe(16);
    expect(eventsOf(run)).toEqual([
      {
        kind: 'event',
        step: 20,
        text: 'A step takes 1000 ms: 16 epochs of 50 batches fit into the time limit of 1000 s.',
      },
    ]);
  });

  test('counts what went before the first step', async () => {
    const { pieces } = clocked(() => 1, 2);
    const { settings } = await drawnRun(fresh(), limited, pieces, { secondsBefore: 300 });
    expect(settings.epochs).toBe(Math.floor((960 - 322 - 20 + 20) / 58));
  });

  test('is corrected once, after an epoch, where the first validation was slow', async () => {
    const run = fresh();
    const { clock, pieces } = clocked(() => 1, 2);
    // The network is compiled for each validation, which takes 10 s: one case 12 s, four 18 s, ten 30 s.
    const { validate } = pieces.validation;
    pieces.validation.validate = async (cases) => {
      clock.seconds += 10;
      return validate(cases);
    };
    const { settings } = await drawnRun(run, limited, pieces);
    const [guess, correction, ...more] = eventsOf(run).map(({ text }) => text);
    // (960 - 32 - 120 + 20) / (50 + 48), and then 1 + (960 - 80 - 45) / (50 + 18).
    expect(guess).toContain(': 8 epochs of 50 batches fit');
    expect(correction).toContain('now: 13 epochs in place of 8 fit');
    expect(more).toEqual([]);
    expect(settings.epochs).toBe(13);
    expect(clock.seconds).toBeLessThanOrEqual(1000);
  });

  test('does not count the warming up, and takes epochs away when the pace falls', async () => {
    const run = fresh();
    const { clock, pieces } = clocked((index) => (index < 3 ? 20 : index < 200 ? 1 : 2), 2);
    const { settings } = await drawnRun(run, limited, pieces);
    const [first, ...others] = eventsOf(run).map(({ text }) => text);
    expect(first).toContain('A step takes 1000 ms: 15 epochs');
    expect(others.length).toBeGreaterThan(0);
    for (const text of others) expect(text).toContain('in place of');
    expect(settings.epochs).toBeLessThan(15);
    expect(clock.seconds).toBeLessThanOrEqual(1000);
  });

  test('is not touched by a few slow steps within an epoch', async () => {
    const run = fresh();
    const { clock, pieces } = clocked((index) => (index >= 290 && index < 300 ? 1.3 : 1), 2);
    expect((await drawnRun(run, limited, pieces)).settings.epochs).toBe(16);
    expect(eventsOf(run)).toHaveLength(1);
    expect(clock.seconds).toBeLessThanOrEqual(1000);
  });

  test('gives epochs back when the pace rises again, in the first half of the run', async () => {
    const slowUntil = async (step: number) => {
      const run = fresh();
      const { clock, pieces } = clocked((index) => (index < step ? 3 : 1), 2);
      const { settings } = await drawnRun(run, limited, pieces);
      expect(clock.seconds).toBeLessThanOrEqual(1000);
      return { epochs: settings.epochs, events: eventsOf(run).length };
    };
    // (960 - 62 - 20 + 60) / 158 = 5 at first; after two epochs 2 + (960 - 218 - 20) / 58.
    expect(await slowUntil(50)).toEqual({ epochs: 14, events: 2 });
    // Three of five epochs are done when the pace has risen for a whole one: nothing changes.
    expect(await slowUntil(100)).toEqual({ epochs: 5, events: 1 });
  });

  test('that is over ends the run with the epochs that it has, which may be opened again', async () => {
    const run = fresh();
    const { pieces } = clocked((index) => (index < 60 ? 1 : 100), 2);
    const { settings, position } = await drawnRun(run, limited, pieces);
    expect(settings.epochs).toBe(2);
    expect(position.epoch).toBe(2);
    expect((await drawnRun(run, { ...limited, epochs: 2 }, pieces)).position.epoch).toBe(2);
  });

  test('that has no room for an epoch says what one takes', async () => {
    const { pieces } = clocked(() => 30, 2);
    await expect(drawnRun(fresh(), limited, pieces)).rejects.toThrow(
      /One epoch of 50 batches takes about 1500 s here, and the end of the run 20 s: they do not fit/,
    );
  });
});
