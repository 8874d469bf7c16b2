/**
 * All folds for real, small: four drawn scans in two folds, a network of a few thousand weights, two steps. That a command
 * that is given again does nothing, that what was interrupted goes on to the same bits, that every case is predicted by the
 * fold that has not seen it, that the folder predicts as the mean of its folds, and which of two runs is best.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeEngine } from '../src/engine/node.ts';
import { dice, overlaps } from '../src/evaluate/index.ts';
import { segmentOnce } from '../src/predict/index.ts';
import { openModel, openModels } from '../src/predict/model.node.ts';
import { crossValidation } from '../src/train/crossValidation.node.ts';
import { runUnits } from '../src/train/units.ts';
import { readNifti, type Volume, writeNifti } from '../src/volume/index.ts';
import { tinySettings } from './bundle.ts';
import { drawnLabelledScan } from './drawnLabels.ts';
import { shell } from './shell.ts';

const scratch = mkdtempSync(join(tmpdir(), 'unetrpp-folds-'));
const dataset = join(scratch, 'Dataset002_Boxes');
const recipe = join(scratch, 'recipe.json');
const names = ['box_0', 'box_1', 'box_2', 'box_3'];
const folds = [
  { train: names.slice(2), val: names.slice(0, 2) },
  { train: names.slice(0, 2), val: names.slice(2) },
];

const drawn = (index: number) => drawnLabelledScan(index % 3);

function writeDataset(folder: string): void {
  for (const part of ['imagesTr', 'labelsTr']) mkdirSync(join(folder, part), { recursive: true });
  const description = {
    channel_names: { 0: 'T1' },
    labels: { background: 0, bright: 1, dark: 2 },
    numTraining: names.length,
    file_ending: '.nii.gz',
  };
  writeFileSync(join(folder, 'dataset.json'), JSON.stringify(description));
  writeFileSync(join(folder, 'splits_final.json'), JSON.stringify(folds));
  for (const [index, name] of names.entries()) {
    const { image, labels } = drawn(index);
    writeFileSync(join(folder, 'imagesTr', `${name}_0000.nii.gz`), writeNifti(image, { gzip: true }));
    writeFileSync(join(folder, 'labelsTr', `${name}.nii.gz`), writeNifti(labels, { gzip: true }));
  }
}

beforeAll(() => {
  writeDataset(dataset);
  const { classes: _classes, inputChannels: _channels, ...network } = tinySettings;
  const settings = { network, plan: { patch: network.patch }, batchesPerEpoch: 2, validationCases: 0, epochs: 1 };
  writeFileSync(recipe, JSON.stringify(settings));
});

afterAll(() => rmSync(scratch, { recursive: true }));

const words = (out: string, ...more: string[]) => {
  const own = ['train', '-d', dataset, '-f', 'all-folds', '-o', join(scratch, out), '--config', recipe];
  return [...own, '--threads', '1', '--workers', '0', ...more];
};
const crossValidate = (out: string, ...more: string[]) => shell(...words(out, ...more));
const read = (path: string): Volume => readNifti(new Uint8Array(readFileSync(path))).volume;
const weightsOf = (out: string, fold: number) =>
  readFileSync(join(scratch, out, `fold_${fold}/bundle/weights.safetensors`));

/** Every file of a folder with the time at which it was changed. */
const times = (folder: string) =>
  Object.fromEntries(
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((path) => statSync(join(folder, path)).isFile())
      .map((path) => [path, statSync(join(folder, path)).mtimeMs]),
  );

interface Result {
  readonly folds: { fold: number; bundle: string; cases: string[] }[];
  readonly dice: { before: number | null; after: number | null };
  readonly components: { keep: number[][]; before: (number | null)[]; after: (number | null)[] };
  readonly summary: { labels: { name: string; metrics: { dice: { mean: number; low: number; high: number } } }[] };
  readonly skipped: string[];
}

describe('all folds', () => {
  it('are trained, and every case is predicted and scored by the fold that has not seen it', async () => {
    const { code, out, err } = await crossValidate('folds', '--json');
    expect(code, err).toBe(0);
    const result = JSON.parse(out) as Result;
    expect(result.skipped).toEqual([]);
    expect(result.folds).toEqual(folds.map(({ val }, fold) => ({ fold, bundle: `fold_${fold}/bundle`, cases: val })));
    const scores = names.map((name, index) => {
      const fold = index < 2 ? 0 : 1;
      const mask = read(join(scratch, `folds/fold_${fold}/validation/${name}.nii.gz`));
      const counts = overlaps(drawn(index).labels, mask, [1, 2]);
      return [1, 2].map((label) => dice(counts.get(label)!, 'nan'));
    });
    const mean = (label: number) => scores.reduce((sum, each) => sum + each[label], 0) / names.length;
    expect(result.components.before[0]).toBeCloseTo(mean(0), 12);
    expect(result.components.before[1]).toBeCloseTo(mean(1), 12);
    expect(result.dice.before).toBeCloseTo((mean(0) + mean(1)) / 2, 12);
    const [bright] = result.summary.labels;
    expect(bright.metrics.dice.mean).toBeCloseTo(result.components.after[0]!, 12);
    expect(bright.metrics.dice.low).toBeLessThanOrEqual(bright.metrics.dice.mean);
    expect(readdirSync(join(scratch, 'folds/summary')).sort()).toEqual([
      'cross-validation.json',
      'evaluation.json',
      'scores.csv',
      'summary.json',
    ]);
  });

  it('store the post-processing that was chosen in every bundle, with Dice before and after', async () => {
    const { components } = JSON.parse(
      readFileSync(join(scratch, 'folds/summary/cross-validation.json'), 'utf8'),
    ) as Result;
    for (const fold of [0, 1]) {
      const { plan, manifest } = await openModel(join(scratch, `folds/fold_${fold}/bundle`));
      expect(plan.keepLargestComponents ?? []).toEqual(components.keep);
      expect(manifest.provenance.postprocessing).toEqual({
        cases: 4,
        before: { bright: components.before[0], dark: components.before[1] },
        after: { bright: components.after[0], dark: components.after[1] },
      });
    }
  });

  it('do nothing when the command is given again', async () => {
    const before = times(join(scratch, 'folds'));
    const { code, out, err } = await crossValidate('folds', '--json');
    expect(code, err).toBe(0);
    expect((JSON.parse(out) as Result).skipped).toHaveLength(1 + 2 + 4 + 1 + 2);
    expect(times(join(scratch, 'folds'))).toEqual(before);
  });

  it('say in a table what came of them', async () => {
    const { code, out, err } = await crossValidate('folds');
    expect(code, err).toBe(0);
    expect(out).toContain('4 cases, each predicted by the fold of 2 that had not seen it');
    expect(out).toMatch(/\nbright +\d\.\d{4} \[\d\.\d{4}, \d\.\d{4}\]/);
    expect(out).toContain('Post-processing: ');
    expect(out).toContain(`unetrpp predict -m ${join(scratch, 'folds')}`);
    expect(err).toContain('train fold 0: done already');
  });

  it('predict together from their folder: the mean of their probabilities', async () => {
    const scan = join(dataset, 'imagesTr/box_0_0000.nii.gz');
    const masks = join(scratch, 'masks');
    const predicted = await shell('predict', '-m', join(scratch, 'folds'), '-i', scan, '-o', masks, '--threads', '1');
    expect(predicted.code, predicted.err).toBe(0);
    const model = await openModels([join(scratch, 'folds')]);
    expect('members' in model && model.members).toHaveLength(2);
    const said = await shell('info', join(scratch, 'folds'));
    expect(said.out).toContain('an ensemble, dataset002_boxes, 2 folds');
    expect(said.out).toContain(join(scratch, 'folds/fold_1/bundle'));
    const { labels } = await segmentOnce(nodeEngine, model, read(scan), { threads: 1 });
    expect(read(join(masks, 'box_0.nii.gz')).data).toEqual(labels.data);
  });

  it('that are interrupted go on where they were, to the same weights, bit for bit', async () => {
    const run = join(scratch, 'stopped');
    const request = {
      dataset,
      run,
      parts: [JSON.parse(readFileSync(recipe, 'utf8')), {}],
      partsName: recipe,
      threads: 1,
      workers: 0,
    };
    const stop = new AbortController();
    const work = await crossValidation(nodeEngine, request, {
      onProgress({ step }) {
        if (step === 1 && existsSync(join(run, 'fold_0/bundle/model.json'))) stop.abort(new Error('enough'));
      },
    });
    await expect(runUnits(work.units, { signal: stop.signal })).rejects.toThrow('enough');
    await work.dispose();
    expect(existsSync(join(run, 'fold_1/bundle'))).toBe(false);
    const first = times(join(run, 'fold_0'));
    const { code, out, err } = await crossValidate('stopped', '--json');
    expect(code, err).toBe(0);
    expect((JSON.parse(out) as Result).skipped).toEqual(['plan', 'train fold 0']);
    for (const file of ['bundle/weights.safetensors', 'log.jsonl']) {
      expect(times(join(run, 'fold_0'))[file]).toBe(first[file]);
    }
    for (const fold of [0, 1]) expect(weightsOf('stopped', fold)).toEqual(weightsOf('folds', fold));
  });

  it('go on for more epochs: what follows from other weights is done again', async () => {
    const { code, out, err } = await crossValidate('stopped', '--epochs', '2', '--json');
    expect(code, err).toBe(0);
    expect((JSON.parse(out) as Result).skipped.filter((name) => !name.startsWith('post'))).toEqual([]);
    expect(weightsOf('stopped', 0)).not.toEqual(weightsOf('folds', 0));
  });

  it('put a decision into their bundles again where these have another one', async () => {
    const file = join(scratch, 'stopped/summary/cross-validation.json');
    const record = JSON.parse(readFileSync(file, 'utf8'));
    const own = record.components.keep;
    const decided = async (keep: number[][]) => {
      writeFileSync(file, JSON.stringify({ ...record, components: { ...record.components, keep } }));
      const { code, out, err } = await crossValidate('stopped', '--epochs', '2', '--json');
      expect(code, err).toBe(0);
      const { plan } = await openModel(join(scratch, 'stopped/fold_1/bundle'));
      return { skipped: (JSON.parse(out) as Result).skipped.length, keep: plan.keepLargestComponents ?? [] };
    };
    // Nothing is trained or predicted again because of it.
    expect(await decided([[1, 2], [2]])).toEqual({ skipped: 8, keep: [[1, 2], [2]] });
    expect(await decided(own)).toEqual({ skipped: 8, keep: own });
  });

  it('follow one plan, and go on with it', async () => {
    const plan = join(scratch, 'folds/plan.json');
    const given = [...words('planned')];
    given[given.indexOf(recipe)] = plan;
    const first = await shell(...given);
    expect(first.code, first.err).toBe(0);
    // That of the recipe, and so are the weights.
    expect(weightsOf('planned', 1)).toEqual(weightsOf('folds', 1));
    const more = await shell(...given, '--epochs', '2');
    expect(more.code, more.err).toBe(0);
    expect(weightsOf('planned', 1)).toEqual(weightsOf('stopped', 1));
  });

  it('do not go on with another data set, nor in the folder of a single fold', async () => {
    const changed = join(scratch, 'Dataset003_Changed');
    cpSync(dataset, changed, { recursive: true });
    const { labels } = drawn(2);
    writeFileSync(join(changed, 'labelsTr/box_0.nii.gz'), writeNifti(labels, { gzip: true }));
    const own = words('folds').map((word) => (word === dataset ? changed : word));
    const other = await shell(...own);
    expect(other.code).toBe(2);
    expect(other.err.trimEnd().split('\n').at(-1)).toContain('plan made for another data set');
    const single = await crossValidate('folds/fold_0');
    expect(single).toMatchObject({ code: 2, err: expect.stringContaining('holds the run of a single fold') });
    expect(await crossValidate('none', '--preview-augmentation', 'x.png')).toMatchObject({ code: 2 });
    expect(existsSync(join(scratch, 'none'))).toBe(false);
  });
});

describe('the best configuration', () => {
  const find = (...more: string[]) => shell('find-best-configuration', ...more, '--threads', '1');
  const folder = (name: string) => join(scratch, name);

  beforeAll(async () => {
    const { code, err } = await crossValidate('seed', '--seed', '7');
    expect(code, err).toBe(0);
  });

  interface Decision {
    candidates: { name: string; runs: string[]; meanDice: number }[];
    best: { name: string; runs: string[]; meanDice: number };
    postprocessing: { keepLargestComponents: number[][]; before: number; after: number };
  }

  it('has the highest mean Dice of the runs and their pair, and is a folder that predicts', async () => {
    const { code, out, err } = await find(folder('folds'), folder('seed'), '-o', folder('best'), '--json');
    expect(code, err).toBe(0);
    const decision = JSON.parse(out) as Decision;
    expect(decision.candidates.map(({ name }) => name)).toEqual(['folds', 'seed', 'folds + seed']);
    for (const { name, meanDice } of decision.candidates.slice(0, 2)) {
      const record = JSON.parse(readFileSync(join(folder(name), 'summary/cross-validation.json'), 'utf8')) as Result;
      expect(meanDice).toBe(record.dice.before);
    }
    const highest = Math.max(...decision.candidates.map(({ meanDice }) => meanDice));
    expect(decision.best).toEqual(decision.candidates.find(({ meanDice }) => meanDice === highest));
    expect(JSON.parse(out)).toMatchObject(
      JSON.parse(readFileSync(join(folder('best'), 'best-configuration.json'), 'utf8')),
    );
    const model = await openModels([folder('best')]);
    expect('members' in model && model.members.length).toBe(2 * decision.best.runs.length);
    expect('members' in model && model.keepLargestComponents).toEqual(decision.postprocessing.keepLargestComponents);

    // The pair's masks are what both runs' folds say of cases that they have not seen.
    const bundles = ['folds', 'seed'].map((run) => join(folder(run), 'fold_1/bundle'));
    const scan = read(join(dataset, 'imagesTr/box_3_0000.nii.gz'));
    const pair = await openModels(bundles);
    const expected = await segmentOnce(nodeEngine, { ...pair, keepLargestComponents: [] } as typeof pair, scan, {
      threads: 1,
    });
    const mask = read(join(folder('best'), 'pairs/folds___seed/fold_1/box_3.nii.gz'));
    expect(mask.data).toEqual(expected.labels.data);
  });

  it('is found again without predicting anything again', async () => {
    const before = times(join(folder('best'), 'pairs'));
    const { code, out, err } = await find(folder('folds'), folder('seed'), '-o', folder('best'));
    expect(code, err).toBe(0);
    expect(times(join(folder('best'), 'pairs'))).toEqual(before);
    expect(out).toMatch(/\n\* .+ \d\.\d{4} +\d\.\d{4} +\d\.\d{4}\n/);
    expect(out).toContain('\nBest: ');
  });

  it('of equals is the first', async () => {
    cpSync(folder('folds'), folder('copy'), { recursive: true });
    const { code, out, err } = await find(folder('copy'), folder('folds'), '-o', folder('equal'), '--json');
    expect(code, err).toBe(0);
    expect((JSON.parse(out) as Decision).best.name).toBe('copy');
    const single = await find(folder('folds'), '-o', folder('single'), '--no-ensembles', '--json');
    expect((JSON.parse(single.out) as Decision).candidates).toHaveLength(1);
    expect(existsSync(join(folder('single'), 'pairs'))).toBe(false);
  });

  it('is not looked for where runs are unfinished, unlike or named twice', async () => {
    const refused = async (...more: string[]) => {
      const { code, err } = await find(...more, '-o', folder('refused'));
      expect(code, err).toBe(2);
      expect(existsSync(folder('refused'))).toBe(false);
      return err;
    };
    expect(await refused(folder('folds/fold_0'))).toContain('holds no finished cross-validation');
    expect(await refused(folder('folds'), folder('folds'))).toContain('is named twice');
    const file = join(folder('copy'), 'summary/cross-validation.json');
    const record = JSON.parse(readFileSync(file, 'utf8'));
    const edit = (changes: object) => writeFileSync(file, JSON.stringify({ ...record, ...changes }));
    edit({ folds: [record.folds[0]] });
    expect(await refused(folder('folds'), folder('copy'))).toContain('have other folds, so their scores');
    edit({ dataset: { ...record.dataset, sha256: '0' } });
    expect(await refused(folder('folds'), folder('copy'))).toContain('were trained on other data sets');
    edit({ labels: [] });
    expect(await refused(folder('folds'), folder('copy'))).toContain('have other labels');
    writeFileSync(file, '{"format": 3}');
    expect(await refused(folder('copy'))).toContain('cross-validation.json: format:');
    expect((await find(folder('folds'), '-o', folder('folds'))).code).toBe(2);
  });
});
