/**
 * The demonstration from end to end, as small as it goes: six coarse phantoms, a dozen steps. That training learns is held in
 * test/learning.test.ts.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { phantomOrgans } from '../dataset/index.ts';
import { readNifti } from '../volume/index.ts';
import { type Demonstration, demoTrain, registerDemoTrain } from './demoTrain.ts';
import { run } from './run.ts';
import type { Register } from './terminal.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'unetrpp-demo-train-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const small: Demonstration = {
  cases: 5,
  size: [16, 16, 16],
  recipe: {
    network: {
      patch: [16, 16, 16],
      stem: [2, 2, 2],
      featureSize: 4,
      heads: 2,
      dims: [4, 4, 8, 8],
      projections: [4, 4, 4, 4],
      decoderProjections: [4, 4, 4],
      depths: [1, 1, 1, 1],
      decoderDepths: [1, 1, 1],
    },
    plan: { patch: [16, 16, 16] },
    batch: 2,
    epochs: 3,
    batchesPerEpoch: 4,
    augmentation: null,
    validationCases: 1,
  },
};

/** Runs a command until it prints something to `err`, when it is given. */
async function runCommand(register: Register, words: readonly string[], interruptAt?: RegExp) {
  let [out, err] = ['', ''];
  const interrupted = new AbortController();
  const terminal = {
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => {
      err += text;
      if (interruptAt?.test(text)) interrupted.abort();
    },
    signal: interrupted.signal,
    columns: 120,
  };
  return { code: await run(words, terminal, [register]), out, err };
}

const registerSmall: Register = (program, terminal) => {
  program
    .command('demo-train')
    .option('-o, --output <folder>')
    .option('--json')
    .action((options) => demoTrain({ ...options, threads: 1 }, terminal, small));
};

describe('unetrpp demo-train', () => {
  const output = () => join(folder, 'out');

  test('interrupted while it draws leaves nothing behind', async () => {
    const { code, err } = await runCommand(registerDemoTrain, ['demo-train', '-o', output()], /^Drawing 41 phantoms/);
    expect([code, err.trimEnd().split('\n').at(-1)]).toEqual([130, 'interrupted']);
    expect(existsSync(output())).toBe(false);
  });

  test('interrupted while it trains says so, and goes on when it is called again', async () => {
    const stopped = await runCommand(registerSmall, ['demo-train', '-o', output()], /^epoch 1 of 3/);
    expect(stopped.code, stopped.err).toBe(130);
    expect(stopped.err).toContain('Stopped after step 4, with a checkpoint; the same command goes on from there.');
    expect(readdirSync(output()).sort()).toEqual(['phantoms', 'phantoms-run']);

    const { code, out, err } = await runCommand(registerSmall, ['demo-train', '-o', output()]);
    expect(code, err).toBe(0);
    expect(err).not.toContain('Drawing');
    expect(err).toContain('Going on from step 4.');
    expect(readdirSync(output()).sort()).toEqual([
      'phantom_006.png',
      'phantom_006_mask.nii.gz',
      'phantoms',
      'phantoms-run',
    ]);
    for (const organ of [...phantomOrgans, 'mean']) {
      expect(out).toMatch(new RegExp(`^  ${organ} +(\\d\\.\\d{3}|-) +(\\d\\.\\d{3}|-)`, 'm'));
    }
    expect(out).toContain(`picture  ${join(output(), 'phantom_006.png')}\n12 steps`);
  });

  test('that has ended predicts and draws again; --json has the same numbers', async () => {
    const { code, out, err } = await runCommand(registerSmall, ['demo-train', '-o', output(), '--json']);
    expect(code, err).toBe(0);
    const { steps, bundle, unseen } = JSON.parse(out);
    expect([steps, bundle]).toEqual([12, join(output(), 'phantoms-run/bundle')]);
    expect(Object.keys(unseen.dice)).toEqual([...phantomOrgans]);
    const { shape, data } = readNifti(new Uint8Array(readFileSync(unseen.mask))).volume;
    expect([shape, data.every((label) => label <= phantomOrgans.length)]).toEqual([[16, 16, 16], true]);
    expect([...readFileSync(unseen.picture).subarray(0, 4)]).toEqual([0x89, 0x50, 0x4e, 0x47]);
  });
});
