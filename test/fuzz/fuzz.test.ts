/**
 * A few hundred damaged files for every parser, from a seed that stays the same, so that a failure here is one that a
 * change made. `npm run fuzz` goes on with ten thousand, from other seeds.
 */
import './allocation.ts';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/errors.ts';
import type { Parser } from './parsers.ts';

// Loaded behind the counting of memory: see allocation.ts.
const { parsers } = await import('./parsers.ts');
const { examine, fuzz } = await import('./bars.ts');

describe('the bars', () => {
  const verdictOf = (read: Parser['read'], seconds?: number) =>
    examine({ kinds: [], specimens: [], read }, [{ name: 'file', bytes: new Uint8Array(10) }], seconds);

  it('let values and sentences for the user pass', async () => {
    expect(await verdictOf(async () => undefined)).toMatchObject({ outcome: 'value', fault: undefined });
    const refused = await verdictOf(() => Promise.reject(new InputError('It is no image.')));
    expect(refused).toMatchObject({ outcome: 'refused', fault: undefined });
  });

  it('catch other errors, values that do not hold together, and sentences that nobody reads', async () => {
    const broken = await verdictOf(() => Promise.reject(new TypeError('x is undefined')));
    expect(broken.fault).toContain('TypeError: x is undefined');
    expect((await verdictOf(async () => '3 values for 4 voxels')).fault).toBe('3 values for 4 voxels');
    const long = await verdictOf(() => Promise.reject(new InputError('x'.repeat(6000))));
    expect(long.fault).toContain('a message of 6000 characters');
  });

  it('catch memory that is asked for, in whatever type and whether it is touched or not, and time', async () => {
    const greedy = await verdictOf(async () => {
      new Float64Array(new Int16Array(3)).slice();
      new Float32Array(2 ** 27);
      return undefined;
    });
    expect(greedy.bytes).toBe(4 * 2 ** 27 + 2 * 3 + 8 * 3 + 8 * 3);
    expect(greedy.fault).toContain('bytes of memory for 10 bytes of file');
    const slow = await verdictOf(async () => {
      for (const start = performance.now(); performance.now() - start < 300; );
      return undefined;
    }, 0.01);
    expect(slow.fault).toMatch(/it took \d\.\d s/);
  });
});

/** Of these every specimen is slow, or large. */
const fewer: Readonly<Record<string, number>> = { dicomSeries: 100, importCheckpoint: 60 };

describe.each(Object.entries(parsers))('%s', (name, parser) => {
  it('reads one of its specimens at least when nothing is damaged', async () => {
    const outcomes: unknown[] = [];
    for (const { parts, pack } of parser.specimens) {
      outcomes.push(await parser.read(pack(parts)).catch((error: unknown) => error));
    }
    expect(outcomes).toContain(undefined);
  });

  it('gives a whole value or a sentence, soon, within the memory that the file justifies', async () => {
    const { failures } = await fuzz(parser, { runs: fewer[name] ?? 400, seed: 11 });
    expect(
      failures.map(({ fault, seed, path }) => `${fault} (npm run fuzz -- ${name} --seed ${seed} --path ${path})`),
    ).toEqual([]);
  });
});
