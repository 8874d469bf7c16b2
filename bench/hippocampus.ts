/**
 * The shipped model on real scans: `npm run bench -- hippocampus [BUNDLE] [DATASET]` predicts the validation cases of fold 0
 * as `unetrpp predict` does, without and with mirroring, compares Dice on the scans' own grids with what the authors' code
 * reached on them in its short run (../shared/golden/hippocampus), and writes docs/results/hippocampus.json, three pictures,
 * the training's curves (from docs/results/hippocampus-log.jsonl), and the numbers in docs/results.md and the model card. The
 * files of another bundle go to out/hippocampus. Nothing in it is random: the same machine writes the same files again.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { foldOf, openDataset } from '../src/dataset/folder.node.ts';
import { nodeEngine } from '../src/engine/node.ts';
import { dice, overlaps } from '../src/evaluate/index.ts';
import { unetrpp } from '../src/nets/index.ts';
import { createSegmenter, type Model } from '../src/predict/index.ts';
import { openModel } from '../src/predict/model.node.ts';
import { parameterCount } from '../src/program/index.ts';
import { readCase } from '../src/train/cases.node.ts';
import { encodePng, type Volume } from '../src/volume/index.ts';
import { sharedJson, sharedPath } from '../test/shared.ts';
import { comparisonPicture } from './results/pictures.ts';
import { type CaseDice, compare, type Landmark, landmarks, meanDice, summarize } from './results/scores.ts';
import {
  cardBlock,
  type Inference,
  picturesBlock,
  type Results,
  scoresBlock,
  trainingBlock,
  withBlock,
} from './results/tables.ts';
import { curves, epochsOf } from './results/training.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const shipped = join(root, 'models/hippocampus');
const [bundle = shipped, dataFolder = sharedPath('data', 'Dataset004_Hippocampus')] = process.argv
  .slice(2)
  .map((path) => resolve(path));
const fold = 0;
const authors = "the authors' short run";

if (existsSync(dataFolder)) await main();
else console.log(`There is no data set ${dataFolder}; give its folder: npm run bench -- hippocampus BUNDLE DATASET`);

async function main(): Promise<void> {
  const model = await openModel(bundle);
  const scans = await validationScans();
  const labels = [...model.labels].filter(([value]) => value !== 0).map(([, name]) => name);
  const expected = authorsScores(labels);
  console.log(`${model.name}, ${scans.length} cases of fold ${fold}; case: ${labels.join(', ')}, mean`);

  const predictions = new Map<string, Volume>();
  const infer = async (mirror: boolean): Promise<Inference> => {
    console.log(mirror ? '\nmirrored' : '\nplain');
    const others = expected && scans.map(({ name }) => expected(name, mirror));
    const cases: CaseDice[] = [];
    const segmenter = await createSegmenter(nodeEngine, model, { mirror });
    for (const [i, { name, image, reference }] of scans.entries()) {
      const { labels: predicted } = await segmenter.segment(image);
      if (!mirror) predictions.set(name, predicted);
      cases.push({ name, dice: diceOf(model, reference, predicted) });
      const beside = others ? `   ${authors}: ${showCase(others[i], labels)}` : '';
      console.log(`${name}: ${showCase(cases[i], labels)}${beside}`);
    }
    await segmenter.dispose();
    return {
      mirrorAxes: mirror ? model.plan.inference.mirrorAxes : [],
      cases,
      summary: summarize(cases, labels),
      other: others && {
        cases: others,
        summary: summarize(others, labels),
        comparison: compare(cases, others, labels),
      },
    };
  };
  const plain = await infer(false);
  const { dtype, bytes, sha256 } = model.manifest.weights;
  const results: Results = {
    model: { name: model.name, parameters: parameterCount(unetrpp(model.settings)), weights: { dtype, bytes, sha256 } },
    dataset: { name: 'Dataset004_Hippocampus', fold, cases: scans.length },
    labels,
    other: authors,
    plain,
    mirrored: await infer(true),
    landmarks: landmarks(plain.cases, labels),
  };
  console.log(`\n${scoresBlock(results).split('\n<details>')[0]}`);
  write(results, (name) => {
    const { image, reference } = scans.find((scan) => scan.name === name)!;
    return encodePng(comparisonPicture(image, reference, predictions.get(name)!));
  });
}

async function validationScans() {
  const dataset = await openDataset(dataFolder);
  const scans: { name: string; image: Volume; reference: Volume }[] = [];
  for (const files of foldOf(dataset, fold).validation) {
    const { image, labels } = await readCase(files, dataset.description);
    scans.push({ name: files.name, image, reference: labels });
  }
  return scans;
}

function diceOf(model: Model, reference: Volume, predicted: Volume): Record<string, number> {
  const values = [...model.labels].filter(([value]) => value !== 0);
  const counts = overlaps(
    reference,
    predicted,
    values.map(([value]) => value),
  );
  return Object.fromEntries(values.map(([value, name]) => [name, dice(counts.get(value)!, 'nan')]));
}

/** Scores of the authors' code, for a case; undefined where they are not there. */
function authorsScores(labels: readonly string[]): ((name: string, mirror: boolean) => CaseDice) | null {
  const path = ['golden', 'hippocampus', 'expected.json'];
  if (!existsSync(sharedPath(...path))) {
    console.log(`There is no ${sharedPath(...path)}: no comparison with ${authors}.`);
    return null;
  }
  const { cases } = sharedJson<{
    cases: Record<string, Record<'plain' | 'mirrored', { readonly dice: readonly number[] }>>;
  }>(...path);
  return (name, mirror) => {
    const scores = cases[name][mirror ? 'mirrored' : 'plain'].dice;
    return { name, dice: Object.fromEntries(labels.map((label, i) => [label, scores[i]])) };
  };
}

function showCase(each: CaseDice, labels: readonly string[]): string {
  return [...labels.map((label) => each.dice[label]), meanDice(each, labels)]
    .map((score) => score.toFixed(3))
    .join(' ');
}

function write(results: Results, picture: (name: string) => Uint8Array): void {
  const isShipped = bundle === shipped;
  const folder = join(root, isShipped ? 'docs/results' : 'out/hippocampus');
  mkdirSync(folder, { recursive: true });
  const save = (name: string, content: string | Uint8Array) => {
    writeFileSync(join(folder, name), content);
    console.log(relative(root, join(folder, name)));
  };
  save('hippocampus.json', `${JSON.stringify(results, null, 1)}\n`);
  for (const [which, { name }] of Object.entries(results.landmarks)) save(pictureFile(which), picture(name));

  const log = isShipped ? join(folder, 'hippocampus-log.jsonl') : join(dirname(bundle), 'log.jsonl');
  const epochs = existsSync(log) ? epochsOf(readFileSync(log, 'utf8')) : [];
  if (epochs.length === 0) console.log(`No epochs in ${relative(root, log)}: no curves.`);
  else save('hippocampus-training.svg', curves(epochs));
  if (!isShipped) return;

  const files = { best: '', median: '', worst: '' };
  for (const which of Object.keys(files) as Landmark[]) files[which] = `results/${pictureFile(which)}`;
  const pages: [path: string, blocks: Record<string, string>][] = [
    ['models/hippocampus/README.md', { scores: cardBlock(results) }],
    [
      'docs/results.md',
      {
        ...(epochs.length > 0 && { training: trainingBlock(epochs) }),
        scores: scoresBlock(results),
        pictures: picturesBlock(results, files),
      },
    ],
  ];
  for (const [path, blocks] of pages) {
    const page = join(root, path);
    const text = Object.entries(blocks).reduce(
      (so, [name, block]) => withBlock(so, name, 'hippocampus', block),
      readFileSync(page, 'utf8'),
    );
    writeFileSync(page, text);
    console.log(path);
  }
}

function pictureFile(which: string): string {
  return `hippocampus-${which}.png`;
}
