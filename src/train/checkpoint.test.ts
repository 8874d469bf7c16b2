import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { drawnSettings, drawnState } from '../../test/drawnRun.ts';
import { InputError } from '../errors.ts';
import { writeSafetensors } from '../weights/index.ts';
import { checkpointPath, lastCheckpoint, readCheckpoint, saveCheckpoint } from './checkpoint.node.ts';
import { beginning } from './run.ts';

let run: string;
beforeEach(() => {
  run = mkdtempSync(join(tmpdir(), 'unetrpp-checkpoint-'));
});
afterEach(() => rmSync(run, { recursive: true }));

const position = { ...beginning, step: 7, seconds: 1 / 3, best: { epoch: 1, score: 0.1 } };
const state = drawnState();
const save = (step: number, best = false) =>
  saveCheckpoint(run, { state, position: { ...position, step } }, drawnSettings, { best });
const last = () => lastCheckpoint(run, drawnSettings);
const path = (which: 'last' | 'previous' | 'next' | 'best') => checkpointPath(run, which);

/** Changes one byte of the last tensor. */
function damage(file: string): void {
  const bytes = readFileSync(file);
  bytes[bytes.length - 2] ^= 1;
  writeFileSync(file, bytes);
}

describe('a checkpoint', () => {
  test('comes back as it was kept, numbers to the last bit', async () => {
    await save(7);
    const { checkpoint, notices } = await last();
    expect(checkpoint).toEqual({ state, position });
    expect(notices).toEqual([]);
    expect(await readCheckpoint(path('last'))).toMatchObject({ settings: drawnSettings });
  });

  test('is there once: none in a new folder', async () => {
    expect(await last()).toEqual({ checkpoint: undefined, notices: [] });
  });

  test('leaves the one before it as the previous one', async () => {
    await save(1);
    expect(existsSync(path('previous'))).toBe(false);
    await save(2, true);
    await save(3);
    const steps = async (which: 'last' | 'previous' | 'best') => (await readCheckpoint(path(which))).position.step;
    expect([await steps('last'), await steps('previous'), await steps('best')]).toEqual([3, 2, 2]);
  });

  test('that is cut short or changed gives way to the previous one, and that is said', async () => {
    await save(1);
    await save(2);
    damage(path('last'));
    const changed = await last();
    expect(changed.checkpoint?.position.step).toBe(1);
    expect(changed.notices).toEqual([
      expect.stringMatching(
        /checkpoint-last.* is damaged: its tensors are not those .*the checkpoint before it, step 1\.$/,
      ),
    ]);
    truncateSync(path('last'), 100);
    expect((await last()).checkpoint?.position.step).toBe(1);
    rmSync(path('last'));
    expect((await last()).checkpoint?.position.step).toBe(1);
  });

  test('is found wherever a process ended between its two new names', async () => {
    await save(1);
    await save(2);
    copyFileSync(path('last'), path('next'));
    rmSync(path('last'));
    expect((await last()).checkpoint?.position.step).toBe(2);
    await save(3);
    expect(existsSync(path('next'))).toBe(false);
    expect((await last()).checkpoint?.position.step).toBe(3);
  });

  test('is refused when all are damaged', async () => {
    await save(1);
    damage(path('last'));
    await expect(last()).rejects.toThrow(/No checkpoint in .* can be read; remove the folder, or name another/);
  });

  test('of other settings is refused with the first that differs', async () => {
    await save(1);
    const other = { ...drawnSettings, schedule: { ...drawnSettings.schedule, rate: 0.2 } } as typeof drawnSettings;
    const refused = lastCheckpoint(run, other);
    await expect(refused).rejects.toThrow(InputError);
    await expect(refused).rejects.toThrow(/schedule\.rate is 0\.1 there and 0\.2 here/);
  });

  test('of the same settings for more epochs is gone on with', async () => {
    await save(1);
    expect((await lastCheckpoint(run, { ...drawnSettings, epochs: 9 })).checkpoint?.position.step).toBe(1);
  });

  test('is no other safetensors file, and of no other version', async () => {
    const file = path('best');
    writeFileSync(file, writeSafetensors(state, { format: 'unetrpp' }));
    await expect(readCheckpoint(file)).rejects.toThrow(/is no checkpoint of a training run/);
    writeFileSync(file, writeSafetensors(state, { format: 'unetrpp-checkpoint', version: '2' }));
    await expect(readCheckpoint(file)).rejects.toThrow(/of version 2, and this program reads version 1/);
  });
});
