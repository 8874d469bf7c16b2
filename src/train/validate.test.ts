import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { tinyScan, writeTinyBundle } from '../../test/bundle.ts';
import { nodeEngine } from '../engine/node.ts';
import { segmentOnce } from '../predict/index.ts';
import { openModel } from '../predict/model.node.ts';
import { summarize, validate } from './validate.ts';

describe('validation', () => {
  test('is prediction on the grid of the scan: its own label map has a Dice of 1, an empty one of 0', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'unetrpp-validate-'));
    const model = await openModel(await writeTinyBundle(join(folder, 'bundle')));
    rmSync(folder, { recursive: true });
    const { labels } = await segmentOnce(nodeEngine, model, tinyScan, { device: 'cpu', threads: 1 });
    const nothing = { ...labels, data: new Uint8Array(labels.data.length) };
    const cases = [
      { name: 'same', read: async () => ({ image: tinyScan, labels }) },
      { name: 'none', read: async () => ({ image: tinyScan, labels: nothing }) },
    ];
    const seen: string[] = [];
    const scores = await validate(nodeEngine, model, cases, {
      device: 'cpu',
      threads: 1,
      onCase: ({ name }) => seen.push(name),
    });
    const present = [1, 2].filter((value) => labels.data.includes(value)).map((value) => model.labels.get(value)!);
    expect(present.length).toBeGreaterThan(0);
    for (const name of present) expect(scores.map(({ dice }) => dice[name])).toEqual([1, 0]);
    expect(seen).toEqual(['same', 'none']);

    const stop = AbortSignal.abort(new Error('stopped'));
    await expect(validate(nodeEngine, model, cases, { device: 'cpu', signal: stop })).rejects.toThrow('stopped');
  });

  test('is summarized by label over the cases that have it, and over labels', () => {
    const [a, b] = [
      { name: 'a', dice: { liver: 0.5, spleen: Number.NaN } },
      { name: 'b', dice: { liver: 1, spleen: 0.25 } },
    ];
    expect(summarize([a, b])).toEqual({ dice: { liver: 0.75, spleen: 0.25 }, mean: 0.5 });
    expect(summarize([a])).toEqual({ dice: { liver: 0.5, spleen: Number.NaN }, mean: 0.5 });
    expect(summarize([]).mean).toBeNaN();
  });
});
