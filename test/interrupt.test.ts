/**
 * The program is interrupted at random moments, for real: SIGINT, SIGTERM and SIGKILL to a process that segments a folder
 * of scans. Whatever lies under its final name is whole; the next run goes on from there, clears away what a killed one
 * left, and in the end every byte is as if nothing had happened.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fill } from '../src/cli/verify/fill.ts';
import { readNifti } from '../src/volume/index.ts';
import { writeScan, writeTinyBundle } from './bundle.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'unetrpp-interrupt-'));
const program = join(scratch, 'dist/cli/main.js');
const [bundle, scans, masks] = ['bundle', 'scans', 'masks'].map((name) => join(scratch, name));
const side = 18;
const cases = ['a', 'b', 'c', 'd'];

beforeAll(async () => {
  // The program as it is built, from the sources as they are, in a folder like that of the package.
  await build({
    entryPoints: [join(root, 'src/cli/main.ts')],
    outdir: join(scratch, 'dist/cli'),
    bundle: true,
    splitting: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
  });
  cpSync(join(root, 'package.json'), join(scratch, 'package.json'));
  symlinkSync(join(root, 'node_modules'), join(scratch, 'node_modules'));
  await writeTinyBundle(bundle);
  mkdirSync(scans);
  for (const name of cases) {
    const data = fill(`scan ${name}`, side ** 3, 1, 100);
    writeScan(join(scans, `${name}.nii.gz`), { shape: [side, side, side], data });
  }
});

afterAll(() => rmSync(scratch, { recursive: true }));

interface Ended {
  readonly code: number | null;
  readonly killedBy: NodeJS.Signals | null;
  readonly err: string;
  readonly id: number;
  readonly milliseconds: number;
}

/** @param started is given the process and may end it */
function predict(folder: string, started: (child: ChildProcess) => void = () => undefined): Promise<Ended> {
  const words = ['predict', '-m', bundle, '-i', scans, '-o', folder, '--threads', '1', '--save-probabilities'];
  const begin = performance.now();
  const child = spawn(process.execPath, [program, ...words], { stdio: ['ignore', 'ignore', 'pipe'] });
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  started(child);
  return new Promise((resolve) =>
    child.on('close', (code, killedBy) =>
      resolve({ code, killedBy, err, id: child.pid!, milliseconds: performance.now() - begin }),
    ),
  );
}

const namesIn = (folder: string) => (existsSync(folder) ? readdirSync(folder).sort() : []);
const isTemporary = (name: string) => name.startsWith('.') && name.endsWith('.tmp');
const finalNames = (folder: string) => namesIn(folder).filter((name) => !isTemporary(name));

/** Numbers from 0 to 1, the same for the same seed (Numerical Recipes' linear congruential generator). */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

describe.skipIf(process.platform === 'win32')('a folder of scans', () => {
  const undisturbed = join(scratch, 'undisturbed');
  let duration = 0;
  const wanted = new Map<string, Buffer>();

  beforeAll(async () => {
    const { code, err, milliseconds } = await predict(undisturbed);
    expect(code, err).toBe(0);
    duration = milliseconds;
    for (const name of namesIn(undisturbed)) wanted.set(name, readFileSync(join(undisturbed, name)));
  });

  /** Every file under its final name can be read, and is byte for byte what an undisturbed run writes. */
  function expectWholeFiles(moment: string): void {
    for (const name of finalNames(masks)) {
      const bytes = readFileSync(join(masks, name));
      if (name.endsWith('.nii.gz')) {
        expect(readNifti(new Uint8Array(bytes), { name }).volume.shape, moment).toEqual([side, side, side]);
      }
      expect(bytes.equals(wanted.get(name)!), `${name} ${moment}`).toBe(true);
    }
  }

  async function expectCompletion(): Promise<void> {
    const { code, err } = await predict(masks);
    expect(code, err).toBe(0);
    expectWholeFiles('at the end');
    // The temporaries of killed runs are gone too.
    expect(namesIn(masks)).toEqual([...wanted.keys()]);
  }

  it('has a mask and probabilities of each', () => {
    const images = cases.flatMap((name) => [`${name}.nii.gz`, `${name}_probabilities.nii.gz`]);
    expect([...wanted.keys()]).toEqual([...images, 'predictions.json']);
  });

  it('is gone on with after any signal at any moment', async () => {
    const random = randomNumbers(5);
    for (let round = 0; round < 12; round++) {
      const signal = (['SIGINT', 'SIGTERM', 'SIGKILL'] as const)[round % 3];
      const after = duration * random();
      const moment = `after ${signal} at ${after.toFixed(0)} ms in round ${round}`;
      const ended = await predict(masks, (child) => setTimeout(() => child.kill(signal), after));
      expectWholeFiles(moment);
      const own = namesIn(masks).filter((name) => name.includes(`-${ended.id}-`));
      if (ended.code === 0) {
        // It was done before the signal came: the next one begins anew.
        expect(namesIn(masks)).toEqual([...wanted.keys()]);
        rmSync(masks, { recursive: true });
      } else if (signal === 'SIGKILL') {
        expect(ended.killedBy).toBe('SIGKILL');
      } else {
        expect(own, moment).toEqual([]);
        // Node itself takes a moment to start, in which a signal ends it as it ends any program.
        if (ended.killedBy !== null) expect([ended.killedBy, ended.err]).toEqual([signal, '']);
        else expect([ended.code, ended.err.trimEnd().split('\n').at(-1)], moment).toEqual([130, 'interrupted']);
      }
    }
    await expectCompletion();
  });

  it('is gone on with after being killed while it wrote', async () => {
    rmSync(masks, { recursive: true, force: true });
    mkdirSync(masks);
    let temporary = '';
    for (let round = 0; round < 3; round++) {
      await predict(masks, (child) => {
        const watcher = watch(masks, (_event, name) => {
          // The first one is the trial of the folder.
          if (!name?.includes('.nii.gz') || !isTemporary(name)) return;
          temporary = name;
          child.kill('SIGKILL');
          watcher.close();
        });
        child.on('close', () => watcher.close());
      });
      expectWholeFiles(`after being killed in round ${round}`);
    }
    expect(temporary).not.toBe('');
    // On a fast disk the file may have been complete before the signal came.
    writeFileSync(join(masks, temporary), 'half');
    await expectCompletion();
  });
});
