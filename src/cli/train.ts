/**
 * `unetrpp train`: a data set with labels to a model bundle. The same command on the folder of a run that was stopped, in
 * whatever way, goes on with it.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DeviceName } from '../engine/engine.ts';
import { InputError } from '../errors.ts';
import { readJson } from '../volume/files.node.ts';
import { encodePng } from '../volume/index.ts';
import { writeWhole } from '../wholeFiles.node.ts';
import {
  parseBytes,
  parseCount,
  parseDevice,
  parseFold,
  parseNatural,
  parsePatch,
  parsePositive,
  parseSeconds,
} from './options.ts';
import { example, printJson, type Register, type Terminal } from './terminal.ts';
import { showTrained, trainShown } from './trainingView.ts';

interface Options {
  readonly dataset: string;
  readonly fold: number | 'all' | 'all-folds';
  readonly output: string;
  readonly split?: string;
  readonly config?: string;
  readonly epochs?: number;
  readonly batchesPerEpoch?: number;
  readonly batchSize?: number;
  readonly patch?: readonly number[];
  readonly lr?: number;
  readonly seed?: number;
  readonly device?: DeviceName;
  readonly threads?: number;
  readonly workers?: number;
  readonly timeLimit?: number;
  readonly from?: string;
  readonly maxMemory?: number;
  readonly previewAugmentation?: string;
  readonly json?: boolean;
}

/** Settings that options give: a part of `config.json`. */
function partOf({ epochs, batchesPerEpoch, batchSize, lr, seed, timeLimit }: Options): Record<string, unknown> {
  if (epochs !== undefined && timeLimit !== undefined) {
    throw new InputError('--time-limit decides the number of epochs; give it or --epochs, not both.');
  }
  return {
    ...(epochs !== undefined && { epochs, timeLimit: null }),
    ...(timeLimit !== undefined && { epochs: null, timeLimit }),
    ...(batchesPerEpoch !== undefined && { batchesPerEpoch }),
    ...(batchSize !== undefined && { batch: batchSize }),
    ...(lr !== undefined && { schedule: { rate: lr } }),
    ...(seed !== undefined && { seed }),
  };
}

export const registerTrain: Register = (program, terminal) => {
  const command = program
    .command('train')
    .description(
      'Train a UNETR++ on a data set in nnU-Net layout. The same command goes on with a run that was stopped.',
    )
    .requiredOption('-d, --dataset <folder>', 'data set: dataset.json, imagesTr, labelsTr')
    .requiredOption(
      '-f, --fold <number>',
      'fold of its splits, from 0; all: every case; all-folds: each of them, their scores, and the ensemble',
      (text) => (text === 'all-folds' ? text : parseFold(text)),
    )
    .requiredOption('-o, --output <folder>', 'folder of the run: settings, log, checkpoints, the bundle')
    .option(
      '--split <file>',
      'folds to take in place of the data set’s, as in splits_final.json, or one {"train": [...], "test": [...]}',
    )
    .option(
      '--config <file>',
      'plan, or JSON with settings that differ from the defaults, in the form of config.json (default: plan.json in the data set)',
    )
    .option('--epochs <count>', 'epochs (default: planned); may be raised for a run that has ended', parseCount)
    .option('--batches-per-epoch <count>', 'batches of an epoch (default: 250)', parseCount)
    .option('--batch-size <count>', 'patches of a batch (default: planned)', parseCount)
    .option('--patch <size>', 'input size of the network, such as 64x128x128 (default: planned)', parsePatch)
    .option('--lr <rate>', 'learning rate at its highest (default: planned)', parsePositive)
    .option('--seed <number>', 'for weights, patches, augmentation, dropout (default: 1)', parseNatural)
    .option('--device <name>', 'cpu, cuda or webgpu (default: cuda where it is installed, else cpu)', parseDevice)
    .option('--threads <count>', 'threads of the network (default: all cores)', parseCount)
    .option('--workers <count>', 'threads that prepare batches (default: all cores but one, at most 4)', parseNatural)
    .option(
      '--time-limit <duration>',
      'such as 60m: as many epochs as fit (of each fold), in place of --epochs',
      parseSeconds,
    )
    .option('--from <bundle>', 'begin with the weights of this model bundle')
    .option(
      '--max-memory <size>',
      'compute parts of a step again rather than keep them, to stay below, such as 4GB',
      parseBytes,
    )
    .option('--preview-augmentation <file>', 'only draw a PNG of augmented samples of a training case, and end')
    .option('--json', 'print the result as JSON')
    .action((options: Options) => trainCommand(options, terminal));
  example(
    command,
    'unetrpp train -d Dataset004_Hippocampus -f 0 -o run --time-limit 60m',
    'unetrpp train -d Dataset004_Hippocampus -f 0 -o run --epochs 200 --config recipe.json',
    'unetrpp train -d Dataset027_ACDC -f 0 --split split_unetrpp.json -o run --time-limit 2h',
    'unetrpp train -d Dataset004_Hippocampus -f all-folds -o folds --time-limit 20m',
    'unetrpp train -d MY_SCANS -f all -o run --from models/hippocampus --lr 0.001',
  );
};

async function trainCommand(options: Options, terminal: Terminal): Promise<void> {
  const { dataset, fold, split, output: run, config, patch, device, threads, workers, from, maxMemory } = options;
  const parts = [...(config === undefined ? [] : [await readJson(config)]), partOf(options)];
  const request = {
    dataset,
    split,
    run,
    parts,
    partsName: config ?? 'The options',
    ...(config === undefined && existsSync(join(dataset, 'plan.json')) && { planFile: join(dataset, 'plan.json') }),
    patch,
    from,
    device,
    threads,
    workers,
    maxMemory,
  };
  if (fold === 'all-folds') {
    if (options.previewAugmentation !== undefined) {
      throw new InputError('--preview-augmentation is of a single fold; name it with --fold.');
    }
    const { crossValidate } = await import('./crossValidation.ts');
    await crossValidate(request, options.json ?? false, terminal);
    return;
  }
  if (options.previewAugmentation !== undefined) {
    const picture = options.previewAugmentation;
    const { previewAugmentation } = await import('../train/run.node.ts');
    const onNotice = (text: string) => terminal.err(`note: ${text}\n`);
    await writeWhole(picture, encodePng(await previewAugmentation({ ...request, fold }, { onNotice })));
    if (options.json) printJson(terminal, { picture });
    else terminal.out(`${picture}: a patch as it is, then augmented\n`);
    return;
  }
  const { trained, notices } = await trainShown({ ...request, fold }, terminal);
  if (options.json) printJson(terminal, { run, ...trained, notices });
  else showTrained(trained, terminal);
}
