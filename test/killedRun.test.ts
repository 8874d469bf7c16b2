/**
 * A run is killed at random moments, for real: SIGKILL to a process that trains. The next one goes on from what is there,
 * and in the end weights and log are as if nothing had happened. The network is arithmetic (drawnRun.ts), so that a run
 * is mostly writing of checkpoints.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkpointPath, readCheckpoint } from '../src/train/checkpoint.node.ts';
import type { RunRecord } from '../src/train/run.ts';

const scratch = mkdtempSync(join(tmpdir(), 'unetrpp-killed-'));
const program = join(scratch, 'test/run.mjs');
const text = `
  import { drawnRun } from './drawnRun.ts';
  const [folder] = process.argv.slice(2);
  process.stdout.write('begun\\n');
  await drawnRun(folder, { epochs: 60 }, {}, { checkpointSeconds: 0.002 });
`;

beforeAll(async () => {
  mkdirSync(join(scratch, 'test'));
  symlinkSync(fileURLToPath(new URL('../node_modules', import.meta.url)), join(scratch, 'node_modules'));
  await build({
    stdin: { contents: text, resolveDir: fileURLToPath(new URL('.', import.meta.url)), loader: 'ts' },
    outfile: program,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
  });
});

afterAll(() => rmSync(scratch, { recursive: true }));

interface Ended {
  readonly code: number | null;
  readonly err: string;
  readonly milliseconds: number;
}

/** @param kill after so many milliseconds from when the program is loaded, which are counted too */
function start(folder: string, kill?: number): Promise<Ended> {
  const child = spawn(process.execPath, [program, folder], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [err, begin] = ['', 0];
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    err += chunk;
  });
  child.stdout.once('data', () => {
    begin = performance.now();
    if (kill !== undefined) setTimeout(() => child.kill('SIGKILL'), kill);
  });
  return new Promise((resolve) =>
    child.on('close', (code) => resolve({ code, err, milliseconds: performance.now() - begin })),
  );
}

const timeless = (run: string) =>
  readFileSync(join(run, 'log.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as RunRecord)
    .map(
      (record) => record.kind === 'epoch' && [record.epoch, record.step, record.loss, record.learningRate, record.dice],
    );
const state = async (run: string) => (await readCheckpoint(checkpointPath(run, 'last'))).state;

/** Numbers from 0 to 1, the same for the same seed (Numerical Recipes' linear congruential generator). */
function randomNumbers(seed: number): () => number {
  let value = seed;
  return () => {
    value = (Math.imul(value, 1664525) + 1013904223) >>> 0;
    return value / 2 ** 32;
  };
}

describe.skipIf(process.platform === 'win32')('a run', () => {
  it('that is killed five times at random moments ends like one that was not', async () => {
    const undisturbed = join(scratch, 'undisturbed');
    const whole = await start(undisturbed);
    expect(whole.code, whole.err).toBe(0);

    const run = join(scratch, 'killed');
    const random = randomNumbers(11);
    let killed = 0;
    let gone = 0;
    for (let round = 0; killed < 5 && round < 40; round++) {
      const ended = await start(run, whole.milliseconds * random());
      if (ended.code === 0) {
        // It was done before: the next one begins anew.
        rmSync(run, { recursive: true });
        continue;
      }
      expect(ended.err).toBe('');
      killed++;
      if (existsSync(run) && readdirSync(run).some((name) => name.startsWith('checkpoint-'))) gone++;
    }
    expect(killed).toBe(5);
    expect(gone).toBeGreaterThan(0);
    const last = await start(run);
    expect(last.code, last.err).toBe(0);
    expect(await state(run)).toEqual(await state(undisturbed));
    expect(timeless(run)).toEqual(timeless(undisturbed));
    expect(readdirSync(run).filter((name) => name.includes('.tmp') || name.includes('next'))).toEqual([]);
  });
});
