import { execFile } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { foregroundLocations, randomStream, trainingAugmentation } from '../dataset/index.ts';
import { type BatchSettings, type BatchSource, drawBatch, type TrainingCase } from './batches.ts';
import { inSharedMemory } from './cases.node.ts';
import { type LoaderOptions, openLoader } from './loader.node.ts';

function drawn(name: string, labels: Int16Array, channels = 1): TrainingCase {
  return {
    name,
    patch: { shape: [4, 5, 6], channels, image: Float32Array.from({ length: channels * 120 }, (_, i) => i), labels },
    locations: foregroundLocations(labels, randomStream(1)),
  };
}

const cases = [
  drawn(
    'first',
    Int16Array.from({ length: 120 }, (_, i) => +(i === 50)),
  ),
  drawn(
    'second',
    Int16Array.from({ length: 120 }, (_, i) => i % 3),
  ),
];
const settings: BatchSettings = {
  patch: [3, 4, 4],
  batch: 2,
  seed: 9,
  augmentation: trainingAugmentation([3, 4, 4]),
  zeroOutside: false,
};
const expected = Array.from({ length: 12 }, (_, index) => drawBatch(cases, settings, index));

const open: BatchSource[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((source) => source.close()));
});

function loader(options: LoaderOptions, of: readonly TrainingCase[] = cases, how = settings): BatchSource {
  const source = openLoader(of, how, options);
  open.push(source);
  return source;
}

describe('batches drawn ahead', () => {
  test.each<[string, LoaderOptions]>([
    ['one thread', { workers: 1 }],
    ['three threads, which finish in any order', { workers: 3, ahead: 5 }],
    ['a thread that draws one batch ahead', { workers: 1, ahead: 1 }],
    ['no thread of their own', { workers: 0 }],
  ])('by %s are those of their numbers, in order', async (_, options) => {
    const source = loader(options);
    for (const batch of expected) expect(await source.next()).toEqual(batch);
  });

  test('begin with any number', async () => {
    const source = loader({ workers: 2, from: 7 });
    expect(await source.next()).toEqual(expected[7]);
    expect(await source.next()).toEqual(expected[8]);
  });

  test('may be asked for all at once', async () => {
    const source = loader({ workers: 2, ahead: 2 });
    expect(await Promise.all(expected.map(() => source.next()))).toEqual(expected);
  });

  test('tell how long they were waited for', async () => {
    const source = loader({ workers: 1 });
    await source.next();
    // The thread had to start first.
    expect(source.waited).toBeGreaterThan(0);
  });

  test('fail with the name of the case', async () => {
    const broken = { ...cases[1], name: 'broken', patch: { ...cases[1].patch, channels: -1 } };
    const source = loader({ workers: 1 }, [cases[0], broken], { ...settings, batch: 20 });
    await expect(source.next()).rejects.toThrow('a patch of the case broken for batch 0 could not be made: RangeError');
    await expect(source.next()).rejects.toThrow('a patch of the case broken for batch 1 could not be made: RangeError');
  });

  test.each([-1, 1.5, Number.NaN])('are not drawn by %d threads', (workers) => {
    expect(() => loader({ workers })).toThrow(`${workers} threads cannot draw batches`);
  });

  test('fail at once when their settings cannot be sent to a thread', async () => {
    const unset = { ...settings, seed: (() => {}) as unknown as number };
    expect(() => loader({ workers: 1 }, cases, unset)).toThrow('could not be cloned');
  });

  test('end when they are closed, and whoever waits is told', async () => {
    const source = loader({ workers: 1 });
    const waiting = source.next();
    const refused = expect(waiting).rejects.toThrow('no more batches come: their source was closed');
    await source.close();
    await refused;
    await expect(source.next()).rejects.toThrow('their source was closed');
    await source.close();
  });
});

describe('cases in memory that threads share', () => {
  test('are the same cases, and are not copied again', () => {
    const shared = inSharedMemory(cases[1]);
    expect(shared).toEqual(cases[1]);
    expect(shared.locations.get(1)!.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(inSharedMemory(shared).patch.image).toBe(shared.patch.image);
  });
});

describe('outside of the tests', () => {
  const scratch = fileURLToPath(new URL(`../../node_modules/.cache/loader-${process.pid}`, import.meta.url));
  const from = fileURLToPath(new URL('.', import.meta.url));

  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  /** A program that draws a batch in a thread and prints its sum; `folder` is where the modules lie. */
  const program = (folder: string, ending: string) => `
    import { openLoader } from ${JSON.stringify(join(folder, `loader.node.${ending}`))};
    const labels = new Int16Array(120);
    const image = Float32Array.from({ length: 120 }, () => 1);
    const patch = { shape: [4, 5, 6], channels: 1, image, labels };
    const settings = { patch: [2, 2, 2], batch: 2, seed: 1, augmentation: undefined, zeroOutside: false };
    const source = openLoader([{ name: 'ones', patch, locations: new Map() }], settings, { workers: 1 });
    const batch = await source.next();
    console.log(batch.cases.join(), batch.image.reduce((a, b) => a + b));
    await source.close();
  `;

  async function output(...args: string[]): Promise<string> {
    // In a folder without packages: nothing may depend on where the program is started.
    return (await promisify(execFile)(process.execPath, args, { cwd: '/' })).stdout;
  }

  test('they work from the source, with tsx', async () => {
    mkdirSync(scratch, { recursive: true });
    writeFileSync(join(scratch, 'source.mts'), program(from, 'ts'));
    const tsx = fileURLToPath(new URL('../../node_modules/tsx/dist/cli.mjs', import.meta.url));
    expect(await output(tsx, join(scratch, 'source.mts'))).toBe('ones,ones 16\n');
  });

  test('they work from the built package, with Node alone', async () => {
    await build({
      entryPoints: [join(from, 'loader.node.ts'), join(from, 'batchWorker.node.ts')],
      outdir: join(scratch, 'dist'),
      bundle: true,
      packages: 'external',
      platform: 'node',
      format: 'esm',
    });
    writeFileSync(join(scratch, 'built.mjs'), program(join(scratch, 'dist'), 'js'));
    expect(await output(join(scratch, 'built.mjs'))).toBe('ones,ones 16\n');
  });
});
