/**
 * `unetrpp predict`: one scan or a folder of scans to label maps, through the same segmenter that the library offers. Each
 * scan is a unit of work (train/units.ts): what is there already is not done again.
 */
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Fold } from '../dataset/index.ts';
import type { DeviceName } from '../engine/engine.ts';
import { InputError, ResourceError } from '../errors.ts';
import {
  createSegmenter,
  type Ensemble,
  type Model,
  membersOf,
  networkMemory,
  type Segmentation,
  type Segmenter,
  type SegmenterOptions,
  scanMemory,
} from '../predict/index.ts';
import { openModels } from '../predict/model.node.ts';
import { runUnits, type Unit } from '../train/units.ts';
import { encodeLabels, encodeVolume, type WrittenEnding, writtenEnding } from '../volume/files.node.ts';
import { imageEnding, labelVolumes } from '../volume/index.ts';
import { prepareOutputFolder, writeTogether } from '../wholeFiles.node.ts';
import { checkMemory, showBytes } from './machine.node.ts';
import { parseCount, parseDevice, parseFold, parseFormat, parseOverlap, parsePatch } from './options.ts';
import { checkSamePredictions, predictionRecord, predictionsFile } from './predictionRecord.node.ts';
import { progressBar } from './progress.ts';
import { findScans, heldBackScans, readScan, type Scan, type ScanFiles } from './scans.node.ts';
import { example, printJson, type Register, type Terminal } from './terminal.ts';

interface Options {
  readonly model: readonly string[];
  readonly input?: string[];
  readonly dataset?: string;
  readonly fold?: Fold;
  readonly split?: string;
  readonly output: string;
  readonly series?: string;
  readonly mirror?: boolean;
  readonly overlap?: number;
  readonly skipEmpty?: boolean;
  readonly batch?: number;
  readonly patch?: readonly number[];
  readonly device?: DeviceName;
  readonly threads?: number;
  readonly format?: WrittenEnding;
  readonly saveProbabilities?: boolean;
  readonly overwrite?: boolean;
  readonly ignoreMemory?: boolean;
  readonly json?: boolean;
}

interface Done {
  readonly name: string;
  readonly mask: string;
  readonly probabilities?: string;
  readonly skipped: boolean;
  readonly labels: readonly {
    readonly value: number;
    readonly name: string;
    readonly voxels: number;
    readonly volumeMl: number;
  }[];
  readonly notices: readonly string[];
  readonly seconds: number;
  /** What they were spent on; none for a case that was skipped. */
  readonly secondsBy?: Readonly<Record<string, number>>;
}

/** Where the mask of each case goes: a file of that name for one scan, else `CASE.nii.gz` in a folder. */
function maskPath({ output, format = '.nii.gz' }: Options, { name }: ScanFiles, count: number): string {
  if (!imageEnding(output)) return join(output, `${name}${format}`);
  if (count > 1) throw new InputError(`${output} is one file, and ${count} scans were given; name a folder.`);
  writtenEnding(output);
  return output;
}

interface TextFile {
  readonly path: string;
  readonly content: string;
}

/**
 * @param record that is to be beside the mask, unless it is there
 * @returns where the probabilities went, if they were wanted
 */
async function write(
  result: Segmentation,
  mask: string,
  scan: Scan,
  record: TextFile | undefined,
): Promise<string | undefined> {
  const ending = writtenEnding(mask);
  const path = result.probabilities && `${mask.slice(0, -ending.length)}_probabilities${ending}`;
  await writeTogether([
    ...(record ? [record] : []),
    ...(path ? [{ path, content: await encodeVolume(result.probabilities!, ending, scan.header) }] : []),
    // The mask last: where it is, a case counts as done.
    { path: mask, content: await encodeLabels(result.labels, ending, scan.header) },
  ]);
  return path;
}

async function segmentScan(
  name: string,
  scan: Scan,
  segmenter: Segmenter,
  options: Options,
  terminal: Terminal,
): Promise<Segmentation> {
  const settings = { ...segmenterOptions(options), probabilities: options.saveProbabilities };
  if (!options.ignoreMemory) checkMemory(scanMemory(segmenter.model, scan.volume, settings), `Segmenting ${name}`);
  const bar = progressBar(terminal, name);
  return segmenter
    .segment(scan.volume, {
      onProgress: bar.report,
      signal: terminal.signal,
      probabilities: options.saveProbabilities,
    })
    .finally(bar.end);
}

async function writeCase(
  { name }: ScanFiles,
  mask: string,
  scan: Scan,
  result: Segmentation,
  record: TextFile | undefined,
  reading: number,
): Promise<Done> {
  const start = performance.now();
  const probabilities = await write(result, mask, scan, record);
  const secondsBy = { reading, ...result.seconds, writing: (performance.now() - start) / 1000 };
  return {
    name,
    mask,
    probabilities,
    skipped: false,
    labels: labelVolumes(result.labels),
    notices: [...scan.notices, ...result.notices],
    seconds: Object.values(secondsBy).reduce((sum, value) => sum + value, 0),
    secondsBy,
  };
}

function segmenterOptions({ overlap, ...options }: Options): SegmenterOptions {
  const { mirror, skipEmpty, batch, patch, device, threads } = options;
  return { mirror, skipEmpty, batch, patch, device, threads, step: overlap === undefined ? undefined : 1 - overlap };
}

function show(terminal: Terminal, done: Done): void {
  if (done.skipped) {
    terminal.out(`${done.name}: ${done.mask} is there already; --overwrite does it again\n`);
    return;
  }
  terminal.out(`${done.name}: ${done.mask} (${done.seconds.toFixed(1)} s)\n`);
  for (const { name, value, voxels, volumeMl } of done.labels) {
    terminal.out(
      `  ${String(value).padStart(3)} ${name.padEnd(28)}${volumeMl.toFixed(2).padStart(10)} mL  ${voxels} voxels\n`,
    );
  }
  for (const notice of done.notices) terminal.out(`  note: ${notice}\n`);
  if (done.probabilities) terminal.out(`  probabilities: ${done.probabilities}\n`);
}

export const registerPredict: Register = (program, terminal) => {
  const command = program
    .command('predict')
    .description('Segment a scan, or a folder of scans, with a model bundle.')
    .requiredOption(
      '-m, --model <folder...>',
      'model bundle; several, or the folder of a cross-validation: their averaged probabilities decide',
    )
    .option(
      '-i, --input <path...>',
      'a scan (NIfTI, NRRD, MetaImage, DICOM folder), one for each of its channels, or a folder of scans',
    )
    .option('-d, --dataset <folder>', 'in place of scans: the cases of a data set that a fold holds back')
    .option('-f, --fold <number>', 'which fold of the data set (default: 0)', parseFold)
    .option('--split <file>', 'folds to take in place of the data set’s, such as RUN/split.json')
    .requiredOption('-o, --output <path>', 'folder for the masks, or a file for one scan (.nii.gz, .nii, .nrrd, .mha)')
    .option('--series <number>', 'which DICOM series of a folder: its number in `unetrpp info FOLDER`, or its UID')
    .option('--format <ending>', 'of masks in a folder: nii.gz, nii, nrrd or mha (default: nii.gz)', parseFormat)
    .option('--mirror', 'average over mirror images too: up to 8 times the work, slightly better masks')
    .option(
      '--overlap <fraction>',
      'part of a patch that neighboring tiles share (default: as planned, 0.5)',
      parseOverlap,
    )
    .option('--skip-empty', 'do not ask the network about tiles that hold only air')
    .option('--batch <count>', 'tiles in one run of the network; more than 1 pays on a GPU (default: 1)', parseCount)
    .option('--patch <size>', 'another input size, such as 64x128x128; token tables are interpolated', parsePatch)
    .option('--device <name>', 'cpu, cuda or webgpu (default: cuda where it is installed, else cpu)', parseDevice)
    .option('--threads <count>', 'threads of the network (default: all cores)', parseCount)
    .option('--save-probabilities', 'also write the probability of every class, as CASE_probabilities')
    .option('--overwrite', 'do again what is there already')
    .option('--ignore-memory', 'start even when the estimate says that memory will not do')
    .option('--json', 'print the results as JSON')
    .action((options: Options) => predict(options, terminal));
  example(
    command,
    'unetrpp predict -m models/hippocampus -i examples/hippocampus_099.nii.gz -o masks',
    'unetrpp predict -m models/hippocampus -i dicom-folder --series 2 -o mask.nrrd',
    'unetrpp predict -m run/fold_0/bundle -m run/fold_1/bundle -i scans -o masks',
    'unetrpp predict -m run/bundle -d Dataset004_Hippocampus -f 0 -o masks',
    'unetrpp predict -m brats -i flair.nii.gz t1.nii.gz t1gd.nii.gz t2.nii.gz -o tumor.nii.gz --mirror',
  );
};

async function scansOf({ input, dataset, fold, split }: Options, channels: number): Promise<ScanFiles[]> {
  if ((input === undefined) === (dataset === undefined)) {
    throw new InputError('Name scans with --input, or a data set with --dataset whose fold is held back; one of them.');
  }
  if (dataset !== undefined) return heldBackScans(dataset, fold ?? 0, split);
  if (fold !== undefined || split !== undefined) {
    throw new InputError('--fold and --split are of a data set; name it with --dataset in place of --input.');
  }
  return findScans(input!, channels);
}

async function predict(options: Options, terminal: Terminal): Promise<void> {
  // Loaded when it is needed: the runtime's library is large, and help should come at once.
  const { nodeEngine } = await import('../engine/node.ts');
  let model: Model | Ensemble | undefined = await openModels(options.model);
  const { name: modelName } = model;
  const { length: members, 0: first } = membersOf(model).map(({ settings }) => settings);
  const scans = await scansOf(options, first.inputChannels);
  const jobs = scans.map((files) => ({ files, mask: maskPath(options, files, scans.length) }));
  const isDone = (mask: string) => !options.overwrite && existsSync(mask) && statSync(mask).size > 0;
  const made = predictionRecord(model, segmenterOptions(options));
  let record: TextFile | undefined = imageEnding(options.output)
    ? undefined
    : { path: join(options.output, predictionsFile), content: `${JSON.stringify(made, null, 2)}\n` };
  if (record && jobs.some(({ mask }) => isDone(mask))) {
    await checkSamePredictions(record.path, made);
    // Of masks without a record nobody knows who made them, and of the others there is one.
    record = undefined;
  }
  const abandonFolder = await prepareOutputFolder(
    imageEnding(options.output) ? dirname(options.output) : options.output,
  );

  const results: Done[] = [];
  const failures: { name: string; message: string }[] = [];
  const report = (done: Done) => {
    results.push(done);
    if (!options.json) show(terminal, done);
  };
  /** One bad scan must not stop a folder of good ones; alone, it is the command's own error. */
  const attempt = async <T>(name: string, work: Promise<T>): Promise<T | undefined> => {
    try {
      return await work;
    } catch (error) {
      const mendable = error instanceof InputError || error instanceof ResourceError;
      if (!mendable || terminal.signal.aborted || jobs.length === 1) throw error;
      failures.push({ name, message: error.message });
      terminal.err(`${name} failed: ${error.message}\n`);
      return undefined;
    }
  };
  const open = async (loaded: Model | Ensemble) => {
    const settings = segmenterOptions(options);
    const needed = networkMemory(nodeEngine, loaded, settings);
    terminal.err(
      `${members > 1 ? `The ${members} networks need` : 'The network needs'} about ${showBytes(needed)} of memory.\n`,
    );
    if (!options.ignoreMemory) checkMemory(needed, `${members > 1 ? 'All networks' : 'The network'} of ${loaded.name}`);
    // The runtime has its own copy of the weights.
    model = undefined;
    return createSegmenter(nodeEngine, loaded, settings);
  };
  let segmenter: Segmenter | undefined;
  const units = jobs.map(
    ({ files, mask }): Unit => ({
      name: files.name,
      inputs: files.paths,
      outputs: [mask],
      isDone: async () => isDone(mask),
      async run() {
        const start = performance.now();
        const scan = await attempt(files.name, readScan(files, options.series));
        if (!scan) return;
        const reading = (performance.now() - start) / 1000;
        segmenter ??= await open(model!);
        const result = await attempt(files.name, segmentScan(files.name, scan, segmenter, options, terminal));
        if (!result) return;
        // What cannot be written here, could not be for the next scan either.
        report(await writeCase(files, mask, scan, result, record, reading));
        record = undefined;
      },
    }),
  );
  try {
    await runUnits(units, {
      onDone({ name, outputs: [mask] }, { skipped }) {
        if (skipped) report({ name, mask, skipped, labels: [], notices: [], seconds: 0 });
      },
      signal: terminal.signal,
    });
  } finally {
    await segmenter?.dispose();
    if (results.length === 0) await abandonFolder();
  }
  if (options.json)
    printJson(terminal, { model: modelName, models: members, device: segmenter?.device, cases: results, failures });
  if (failures.length > 0) {
    const names = failures.map(({ name }) => name).join(', ');
    throw new InputError(`${failures.length} of ${jobs.length} scans failed: ${names}; the others are done.`);
  }
}
