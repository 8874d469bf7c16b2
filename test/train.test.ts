/**
 * Training for real, small: a data set of eight scans with a bright ball in each, a network of a few thousand weights, a
 * dozen steps. What is looked at is the run: that it goes on where it stopped, bit for bit, that its bundle predicts, and
 * that each thing that can be wrong with settings and data is said before the first step.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fill } from '../src/cli/verify/fill.ts';
import { nodeEngine } from '../src/engine/node.ts';
import { dice, overlaps } from '../src/evaluate/index.ts';
import { openModel } from '../src/predict/model.node.ts';
import { checkpointPath, readCheckpoint } from '../src/train/checkpoint.node.ts';
import { trainInFolder } from '../src/train/run.node.ts';
import { identityDirection, readNifti, type Volume, writeNifti } from '../src/volume/index.ts';
import { tinySettings, writeTinyBundle } from './bundle.ts';
import { shell } from './shell.ts';

const scratch = mkdtempSync(join(tmpdir(), 'unetrpp-train-'));
const dataset = join(scratch, 'Dataset001_Balls');
const recipe = join(scratch, 'recipe.json');
const side = 12;
const names = Array.from({ length: 8 }, (_, index) => `ball_${index}`);

interface BallOptions {
  readonly channels?: number;
  /** Value of the ball's label. */
  readonly label?: number;
}

/** A ball of radius 3 or so in noise, somewhere else in each case. */
function ball(index: number, label = 1): { image: Volume<Float32Array>; labels: Volume<Uint8Array> } {
  const data = fill(`noise ${index}`, side ** 3, 0, 0.5);
  const labels = new Uint8Array(side ** 3);
  const [z, y, x] = [5 + (index % 3), 5 + ((index >> 1) % 3), 5 + (index % 2)];
  for (let i = 0; i < data.length; i++) {
    const [dz, dy, dx] = [Math.floor(i / side ** 2) - z, (Math.floor(i / side) % side) - y, (i % side) - x];
    if (dz ** 2 + dy ** 2 + dx ** 2 > 10) continue;
    data[i] += 1;
    labels[i] = label;
  }
  const grid = {
    shape: [side, side, side],
    spacing: [1, 1, 1],
    origin: [0, 0, 0],
    direction: identityDirection,
    channels: 1,
  } as const;
  return { image: { ...grid, data }, labels: { ...grid, data: labels } };
}

function writeDataset(folder: string, { channels = 1, label = 1 }: BallOptions = {}): void {
  for (const part of ['imagesTr', 'labelsTr']) mkdirSync(join(folder, part), { recursive: true });
  const description = {
    channel_names: Object.fromEntries(Array.from({ length: channels }, (_, c) => [String(c), `T${c + 1}`])),
    labels: { background: 0, ball: 1 },
    numTraining: names.length,
    file_ending: '.nii.gz',
  };
  writeFileSync(join(folder, 'dataset.json'), JSON.stringify(description));
  const split = { train: names.slice(2), val: names.slice(0, 2) };
  writeFileSync(join(folder, 'splits_final.json'), JSON.stringify([split]));
  for (const [index, name] of names.entries()) {
    const { image, labels } = ball(index, index === 3 ? label : 1);
    for (let c = 0; c < channels; c++) {
      writeFileSync(join(folder, 'imagesTr', `${name}_000${c}.nii.gz`), writeNifti(image, { gzip: true }));
    }
    writeFileSync(join(folder, 'labelsTr', `${name}.nii.gz`), writeNifti(labels, { gzip: true }));
  }
}

beforeAll(() => {
  writeDataset(dataset);
  const { classes: _classes, inputChannels: _channels, ...network } = tinySettings;
  writeFileSync(
    recipe,
    JSON.stringify({ network, plan: { patch: network.patch }, batchesPerEpoch: 4, validationCases: 1 }),
  );
});

afterAll(() => rmSync(scratch, { recursive: true }));

const words = (out: string, ...more: string[]) => {
  const own = ['train', '-d', dataset, '-f', '0', '-o', join(scratch, out), '--config', recipe];
  return [...own, '--threads', '1', '--workers', '0', ...more];
};
const train = (out: string, ...more: string[]) => shell(...words(out, ...more));
const stateOf = async (out: string) => (await readCheckpoint(checkpointPath(join(scratch, out), 'last'))).state;

const json = (path: string) => JSON.parse(readFileSync(path, 'utf8'));

const namesIn = (out: string) => readdirSync(join(scratch, out)).sort();

async function refused(out: string, ...more: string[]): Promise<string> {
  const { code, err } = await train(out, ...more);
  expect(code, err).toBe(2);
  return err.trimEnd().split('\n').at(-1)!;
}

describe('a run', () => {
  it('gives a bundle that predicts, with where it comes from', async () => {
    const { code, out, err } = await train('whole', '--epochs', '3', '--json');
    expect(code, err).toBe(0);
    const result = JSON.parse(out);
    expect(result).toMatchObject({ epochs: 3, steps: 12, bundle: join(scratch, 'whole/bundle') });
    expect(result.cases.map(({ name }: { name: string }) => name)).toEqual(['ball_0', 'ball_1']);
    expect(namesIn('whole')).toEqual(
      expect.arrayContaining(['bundle', 'checkpoint-last.safetensors', 'config.json', 'log.jsonl', 'validation.json']),
    );

    const { manifest } = await openModel(join(scratch, 'whole/bundle'));
    expect(manifest.labels).toEqual([
      { value: 0, name: 'background' },
      { value: 1, name: 'ball' },
    ]);
    expect(manifest.provenance).toMatchObject({
      madeBy: expect.stringMatching(/^unetrpp \d/),
      dataset: { name: 'Dataset001_Balls', cases: 8, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
      split: { fold: 0, training: 6, validation: 2 },
      seed: 1,
      recipe: { batchesPerEpoch: 4, epochs: 3, optimizer: { kind: 'adamW' } },
      scores: { cases: 2 },
    });

    // What predict does with the bundle has the Dice that the run says.
    const masks = join(scratch, 'masks');
    const scan = join(dataset, 'imagesTr/ball_0_0000.nii.gz');
    expect((await shell('predict', '-m', result.bundle, '-i', scan, '-o', masks, '--threads', '1')).code).toBe(0);
    const mask = readNifti(new Uint8Array(readFileSync(join(masks, 'ball_0.nii.gz')))).volume;
    const overlap = overlaps(ball(0).labels, mask, [1]).get(1)!;
    expect(result.cases[0].dice.ball).toBe(dice(overlap, 'nan'));
  });

  it('takes a split from another file, and goes on with no other', async () => {
    const [held, ...trained] = json(join(dataset, 'splits_final.json'))[0].train;
    const split = join(scratch, 'split.json');
    writeFileSync(split, JSON.stringify({ rule: 'by hand', train: trained, test: [held] }));
    const { code, out, err } = await train('split', '--split', split, '--epochs', '1', '--json');
    expect(code, err).toBe(0);
    expect(JSON.parse(out).cases.map(({ name }: { name: string }) => name)).toEqual([held]);
    expect(json(join(scratch, 'split/split.json'))).toEqual({ train: trained, val: [held] });

    // The same file says what to predict and what to score.
    const own = join(scratch, 'split/split.json');
    const masks = join(scratch, 'held');
    const words = ['predict', '-m', join(scratch, 'split/bundle'), '-o', masks, '--threads', '1'];
    const predicted = await shell(...words, '-d', dataset, '--split', own);
    expect(predicted.code, predicted.err).toBe(0);
    expect(namesIn('held')).toEqual([`${held}.nii.gz`, 'predictions.json']);
    const scored = await shell('evaluate', '-r', join(dataset, 'labelsTr'), '-p', masks, '--split', own, '--json');
    expect(JSON.parse(scored.out).cases[0].labels[0].scores.dice).toBe(JSON.parse(out).cases[0].dice.ball);
    for (const [more, message] of [
      [[], 'Name scans with --input, or a data set with --dataset'],
      [['-d', dataset, '-i', dataset], 'one of them'],
      [['-i', dataset, '-f', '0'], '--fold and --split are of a data set'],
      [['-d', dataset, '-f', '7'], 'There is no fold 7'],
    ] as const) {
      const { code: exit, err: said } = await shell(...words, ...more);
      expect([exit, said]).toEqual([2, expect.stringContaining(message)]);
    }

    expect(await refused('split', '--epochs', '2')).toContain('holds a run with other cases to train on');
    expect(await refused('split', '--split', split, '-f', '1', '--epochs', '2')).toContain('There is no fold 1');
    writeFileSync(split, JSON.stringify({ train: trained, test: [held, 'ball_9'] }));
    expect(await refused('elsewhere', '--split', split)).toContain(
      `${split}: fold 0 names the case ball_9, which the data set does not have; remove it or add its files.`,
    );
    expect(await refused('elsewhere', '--split', join(scratch, 'none.json'))).toContain('none.json');
    expect(existsSync(join(scratch, 'elsewhere'))).toBe(false);
  });

  it('that is interrupted within an epoch and started again ends with the same weights, bit for bit', async () => {
    const stop = new AbortController();
    const request = {
      dataset,
      fold: 0,
      run: join(scratch, 'stopped'),
      parts: [JSON.parse(readFileSync(recipe, 'utf8')), { epochs: 3 }],
      threads: 1,
      workers: 0,
    };
    const onProgress = ({ step }: { step: number }) => {
      if (step === 6) stop.abort(new Error('stopped'));
    };
    await expect(trainInFolder(nodeEngine, request, { onProgress, signal: stop.signal })).rejects.toThrow('stopped');
    const { position } = await readCheckpoint(checkpointPath(request.run, 'last'));
    expect(position).toMatchObject({ step: 6, epoch: 1 });
    const again = await train('stopped', '--epochs', '3');
    expect(again.code, again.err).toBe(0);
    expect(again.err).toContain('Going on from step 6.');
    expect(await stateOf('stopped')).toEqual(await stateOf('whole'));
    expect(namesIn('stopped')).toEqual(namesIn('whole'));
  });

  it('with threads that draw batches has the same weights', async () => {
    const { code, err } = await train('threads', '--epochs', '3', '--workers', '2');
    expect(code, err).toBe(0);
    expect(await stateOf('threads')).toEqual(await stateOf('whole'));
  });

  it('that has ended may go on for more epochs, not for fewer', async () => {
    expect((await train('whole', '--epochs', '4', '--json')).out).toContain('"steps": 16');
    expect(await refused('whole', '--epochs', '2')).toMatch(/has done 4 epochs already, more than the 2/);
  });

  it('can be looked at before: a picture of augmented samples, and no run', async () => {
    const picture = join(scratch, 'sheet.png');
    const { code, out, err } = await train('none', '--preview-augmentation', picture);
    expect(code, err).toBe(0);
    expect(out).toBe(`${picture}: a patch as it is, then augmented\n`);
    expect([...readFileSync(picture).subarray(0, 4)]).toEqual([0x89, 0x50, 0x4e, 0x47]);
    expect(existsSync(join(scratch, 'none'))).toBe(false);
    const plain = join(scratch, 'plain.json');
    writeFileSync(plain, JSON.stringify({ augmentation: null }));
    expect(await refused('none', '--preview-augmentation', picture, '--config', plain)).toMatch(/have no augmentation/);
  });

  it('begins with the weights of a bundle, and says what it made of them', async () => {
    const bundle = await writeTinyBundle(join(scratch, 'three-classes'));
    const { code, err } = await train('tuned', '--epochs', '1', '--from', bundle);
    expect(code, err).toBe(0);
    expect(err).toMatch(/note: There are 2 classes in place of 3: out1.*are initialized anew\./);
    expect(JSON.parse(readFileSync(join(scratch, 'tuned/config.json'), 'utf8')).from).toMatchObject({ name: 'tiny' });
    expect(await refused('tuned', '--epochs', '1', '--from', join(scratch, 'whole/bundle'))).toMatch(
      /from\.name is "tiny"/,
    );
  });
});

describe('before the first step is refused', () => {
  it('a run with other settings, by the first that differs', async () => {
    expect(await refused('whole', '--epochs', '4', '--lr', '0.5')).toMatch(
      /schedule\.rate is 0\.003 there and 0\.5 here/,
    );
    expect(await refused('whole', '--epochs', '4', '--seed', '2')).toMatch(/seed is 1 there and 2 here/);
    expect(await refused('whole', '--epochs', '4', '--patch', '16x8x8')).toMatch(/network\.patch/);
  });

  it('a data set that has changed since the run began', async () => {
    const copy = join(scratch, 'copy');
    cpSync(dataset, copy, { recursive: true });
    // The same elsewhere is no other: what is refused is something else.
    expect(await refused('whole', '--epochs', '2', '-d', copy)).toMatch(/has done 4 epochs/);
    writeFileSync(join(copy, 'labelsTr/ball_5.nii.gz'), writeNifti(ball(6).labels, { gzip: true }));
    expect(await refused('whole', '--epochs', '4', '-d', copy)).toMatch(
      /is not the one that the run in .*whole was begun with: files, labels or channels have changed/,
    );
  });

  it('a setting that is unknown, of the wrong kind, or does not fit the data', async () => {
    const config = join(scratch, 'wrong.json');
    const withConfig = async (value: unknown) => {
      writeFileSync(config, typeof value === 'string' ? value : JSON.stringify(value));
      return refused('new', '--epochs', '1', '--config', config);
    };
    expect(await withConfig({ bacth: 3 })).toMatch(/wrong\.json: .*bacth/);
    expect(await withConfig({ optimizer: { kind: 'lion' } })).toMatch(/wrong\.json: optimizer/);
    expect(await withConfig({ network: { classes: 5 } })).toMatch(/say 5 classes, and Dataset001_Balls has 2/);
    expect(await withConfig({ network: { inputChannels: 2 } })).toMatch(
      /the plan has 1 channels and the network takes 2/,
    );
    expect(await withConfig('{')).toMatch(/wrong\.json is no JSON/);
    expect(existsSync(join(scratch, 'new'))).toBe(false);
  });

  it('a label that is not declared, and a network that memory is not enough for', async () => {
    const other = join(scratch, 'label-7');
    writeDataset(other, { label: 7 });
    expect(await refused('new', '-d', other)).toMatch(/ball_3 holds the value 7 at \d+ voxels/);
    const { code, err } = await train('new', '--max-memory', '1MB');
    expect(code, err).toBe(3);
    expect(err).toMatch(/needs at least \d+ MB of memory, more than the 1 MB of --max-memory/);
    expect(existsSync(join(scratch, 'new'))).toBe(false);
  });

  it('an option that makes no sense', async () => {
    for (const [option, value, message] of [
      ['--fold', 'x', 'number of a fold'],
      ['--time-limit', '60', '90s, 60m or 1.5h'],
      ['--lr', '0', 'above 0'],
      ['--max-memory', '4', '4GB or 800MB'],
      ['--seed', '-1', 'whole number from 0 up'],
    ]) {
      expect(await refused('new', option, value), option).toContain(message);
    }
    expect(await refused('new', '--epochs', '2', '--time-limit', '1m')).toMatch(/give it or --epochs, not both/);
  });
});
