/**
 * `unetrpp demo-train`: training from nothing, without data. Draws phantoms, trains a small UNETR++ on them in a few
 * minutes, and shows what it makes of a phantom that it has never seen.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { phantomOrgans } from '../dataset/index.ts';
import { dice, mean, overlaps } from '../evaluate/index.ts';
import { segmentOnce, showDuration } from '../predict/index.ts';
import { openModel } from '../predict/model.node.ts';
import { adamW } from '../train/optimizers.ts';
import { encodeLabels, readVolumeFile } from '../volume/files.node.ts';
import { encodePng, threePlanes, type Vector3, type Volume } from '../volume/index.ts';
import { prepareOutputFolder, writeTogether } from '../wholeFiles.node.ts';
import { colorNames } from './demo.ts';
import { parseCount } from './options.ts';
import { writePhantoms } from './phantom.ts';
import { example, printJson, type Register, type Terminal } from './terminal.ts';
import { showDice, trainShown } from './trainingView.ts';

interface Options {
  readonly output: string;
  readonly threads?: number;
  readonly json?: boolean;
}

/** What is drawn, and how it is learned. */
export interface Demonstration {
  /** Cases to train with; one more is drawn, which is predicted at the end: neither trained on nor validated on. */
  readonly cases: number;
  /** Of a phantom, z, y, x: all of the trunk. A patch is as large, so that it shows where an organ is. */
  readonly size: Vector3;
  /** Settings that differ from the defaults. */
  readonly recipe: Readonly<Record<string, unknown>>;
}

const size: Vector3 = [32, 64, 64];

/**
 * A narrow network with one block a stage, which is given one phantom at a time: in minutes, many small steps learn more
 * than few large ones. Nothing is mirrored, for a body has sides.
 */
const demonstration: Demonstration = {
  cases: 40,
  size,
  recipe: {
    network: {
      patch: size,
      stem: [2, 4, 4],
      featureSize: 8,
      dims: [16, 32, 32, 64],
      projections: [32, 32, 32, 32],
      decoderProjections: [32, 32, 32],
      depths: [1, 1, 1, 1],
      decoderDepths: [1, 1, 1],
    },
    plan: { patch: size, inference: { mirrorAxes: [] } },
    batch: 1,
    epochs: 8,
    batchesPerEpoch: 100,
    optimizer: adamW,
    schedule: { kind: 'poly', rate: 0.006, exponent: 0.9, warmupSteps: 30, per: 'step' },
    average: 0.98,
    dropout: false,
    augmentation: null,
    validationCases: 2,
  },
};

/** HU of the middle between black and white, and from black to white: soft tissue. */
const window = { level: 40, width: 400 };

export const registerDemoTrain: Register = (program, terminal) => {
  const command = program
    .command('demo-train')
    .description('Train a small network from nothing on drawn phantoms, in minutes, and show what it has learned.')
    .option('-o, --output <folder>', 'folder for phantoms, run, mask and picture', 'out')
    .option('--threads <count>', 'threads of the network (default: all cores)', parseCount)
    .option('--json', 'print the results as JSON')
    .action((options: Options) => demoTrain(options, terminal));
  example(command, 'unetrpp demo-train', 'unetrpp demo-train -o first-training');
};

/**
 * All of it, into one folder; what is there already is gone on with.
 * @throws as `writePhantoms` and `trainInFolder`
 */
export async function demoTrain(
  { output, threads, json }: Options,
  terminal: Terminal,
  { cases, size, recipe }: Demonstration = demonstration,
): Promise<void> {
  const [dataset, run] = [join(output, 'phantoms'), join(output, 'phantoms-run')];
  const unseen = `phantom_${String(cases + 1).padStart(3, '0')}`;
  const abandonFolder = await prepareOutputFolder(output);
  try {
    // Its last file: where it is, the others are.
    if (!existsSync(join(dataset, 'dataset.json'))) {
      terminal.err(`Drawing ${cases + 1} phantoms into ${dataset} ...\n`);
      await writePhantoms({ number: cases, test: 1, output: dataset, seed: 1, size }, terminal);
    }
    const request = { dataset, fold: 0, run, parts: [recipe], partsName: 'The demonstration', threads };
    const { trained, notices } = await trainShown(request, terminal);
    const shown = await predictUnseen(unseen, trained.bundle, dataset, output, threads, terminal);

    if (json) {
      printJson(terminal, { run, ...trained, unseen: shown, notices });
      return;
    }
    const row = (what: string, ...columns: readonly string[]) =>
      terminal.out(`${[what.padEnd(16), ...columns].join('  ').trimEnd()}\n`);
    const scores = (what: string, validation: number | undefined, unseenOne: number, color = '') =>
      row(`  ${what}`, showDice(validation ?? Number.NaN).padStart(10), showDice(unseenOne).padStart(11), color);
    row('Dice', 'validation', unseen);
    for (const [i, organ] of phantomOrgans.entries()) {
      scores(organ, trained.scores?.dice[organ], shown.dice[organ], colorNames[i]);
    }
    scores('mean', trained.scores?.mean, shown.mean);
    terminal.out(`\nmodel    ${resolve(trained.bundle)}\ncurves   ${resolve(run, 'progress.html')}\n`);
    terminal.out(`mask     ${resolve(shown.mask)}\npicture  ${resolve(shown.picture)}\n`);
    terminal.out(
      `${trained.steps} steps, ${showDuration(trained.seconds)}. No training saw ${unseen}. What is learned from drawn volumes says nothing about patients.\n`,
    );
  } finally {
    await abandonFolder();
  }
}

interface Shown {
  readonly mask: string;
  readonly picture: string;
  /** By organ; NaN where the phantom has none and none was found. */
  readonly dice: Readonly<Record<string, number>>;
  readonly mean: number;
}

/** Predicts the unseen phantom as `predict` does, compares it with what was drawn, and writes mask and picture. */
async function predictUnseen(
  name: string,
  bundle: string,
  dataset: string,
  output: string,
  threads: number | undefined,
  { signal }: Terminal,
): Promise<Shown> {
  const { nodeEngine } = await import('../engine/node.ts');
  const { volume, header } = await readVolumeFile(join(dataset, 'imagesTs', `${name}_0000.nii.gz`));
  const drawn = await readVolumeFile(join(dataset, 'labelsTs', `${name}.nii.gz`));
  const { labels } = await segmentOnce(nodeEngine, await openModel(bundle), volume, { threads, signal });
  const values = phantomOrgans.map((_, i) => i + 1);
  const counts = overlaps(drawn.volume, labels, values);
  const scores = values.map((value) => dice(counts.get(value)!, 'nan'));
  const [mask, picture] = [join(output, `${name}_mask.nii.gz`), join(output, `${name}.png`)];
  await writeTogether([
    { path: mask, content: await encodeLabels(labels, '.nii.gz', header) },
    { path: picture, content: encodePng(threePlanes(volume, labels, { at: fullestPlanes(labels), window })) },
  ]);
  return {
    mask,
    picture,
    dice: Object.fromEntries(phantomOrgans.map((organ, i) => [organ, scores[i]])),
    mean: mean(scores.filter((score) => !Number.isNaN(score))),
  };
}

/** For each axis the slice that crosses the most organs; of equal ones that with the most of them in it. */
function fullestPlanes({ shape, data }: Volume): Vector3 {
  const [nz, ny, nx] = shape;
  const planes = shape.map((length) => Array.from({ length }, () => ({ organs: new Set<number>(), voxels: 0 })));
  for (let z = 0, i = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++, i++) {
        if (data[i] === 0) continue;
        for (const plane of [planes[0][z], planes[1][y], planes[2][x]]) {
          plane.organs.add(data[i]);
          plane.voxels++;
        }
      }
    }
  }
  const fullest = planes.map((along) => {
    const worth = along.map(({ organs, voxels }) => organs.size + voxels / data.length);
    return worth.indexOf(Math.max(...worth));
  });
  return [fullest[0], fullest[1], fullest[2]];
}
