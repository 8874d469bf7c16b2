/**
 * `unetrpp predict`: one scan or a folder of scans to label maps, through the same segmenter that the library offers.
 */
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { DeviceName } from '../engine/engine.ts';
import { InputError } from '../errors.ts';
import {
  createSegmenter,
  networkMemory,
  type Segmentation,
  type Segmenter,
  type SegmenterOptions,
  scanMemory,
} from '../predict/index.ts';
import { openModel } from '../predict/model.node.ts';
import { imageEnding } from '../volume/files.node.ts';
import { labelVolumes, writeNifti, writeNiftiLabels } from '../volume/index.ts';
import { checkMemory, showBytes } from './machine.node.ts';
import { parseCount, parseDevice, parseFraction, parsePatch } from './options.ts';
import { prepareOutputFolder, writeWhole } from './output.node.ts';
import { reporter } from './progress.ts';
import { findScans, readScan, type ScanFiles } from './scans.node.ts';
import { example, printJson, type Register, type Terminal } from './terminal.ts';

interface Options {
  readonly model: string;
  readonly input: string[];
  readonly output: string;
  readonly mirror?: boolean;
  readonly step?: number;
  readonly patch?: readonly number[];
  readonly device?: DeviceName;
  readonly threads?: number;
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
}

/** Where the mask of each case goes: a file of that name for one scan, else `CASE.nii.gz` in a folder. */
function maskPath(output: string, { name }: ScanFiles, count: number): string {
  if (!imageEnding(output)) return join(output, `${name}.nii.gz`);
  if (count > 1) throw new InputError(`${output} is one file, and ${count} scans were given; name a folder.`);
  if (!/\.nii(\.gz)?$/i.test(output)) throw new InputError(`Masks are written as .nii or .nii.gz, not as ${output}.`);
  return output;
}

async function write(result: Segmentation, mask: string, options: Options, scan: Awaited<ReturnType<typeof readScan>>) {
  const gzip = mask.toLowerCase().endsWith('.gz');
  await writeWhole(mask, writeNiftiLabels(result.labels, { gzip, source: scan.header }));
  if (!options.saveProbabilities || !result.probabilities) return undefined;
  const path = mask.replace(/\.nii(\.gz)?$/i, '_probabilities.nii.gz');
  await writeWhole(path, writeNifti(result.probabilities, { source: scan.header }));
  return path;
}

async function predictCase(
  files: ScanFiles,
  mask: string,
  segmenter: Segmenter,
  options: Options,
  terminal: Terminal,
): Promise<Done> {
  const start = Date.now();
  const scan = await readScan(files);
  if (!options.ignoreMemory) checkMemory(scanMemory(segmenter.model, scan.volume), `Segmenting ${files.name}`);
  const result = await segmenter.segment(scan.volume, {
    onProgress: reporter(terminal, files.name),
    signal: terminal.signal,
    probabilities: options.saveProbabilities,
  });
  const probabilities = await write(result, mask, options, scan);
  return {
    name: files.name,
    mask,
    probabilities,
    skipped: false,
    labels: labelVolumes(result.labels),
    notices: [...scan.notices, ...result.notices],
    seconds: (Date.now() - start) / 1000,
  };
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
    .requiredOption('-m, --model <folder>', 'model bundle')
    .requiredOption('-i, --input <path...>', 'a scan, one file for each of its channels, or a folder of scans')
    .requiredOption('-o, --output <path>', 'folder for the masks, or a .nii.gz file for one scan')
    .option('--mirror', 'average over mirror images too: up to 8 times the work, slightly better masks')
    .option(
      '--step <fraction>',
      'distance of two tiles as a part of the patch (default: as planned, 0.5)',
      parseFraction,
    )
    .option('--patch <size>', 'another input size, such as 64x128x128; token tables are interpolated', parsePatch)
    .option('--device <name>', 'cpu, cuda or webgpu (default: cuda where it is installed, else cpu)', parseDevice)
    .option('--threads <count>', 'threads of the network (default: all cores)', parseCount)
    .option('--save-probabilities', 'also write the probability of every class, as CASE_probabilities.nii.gz')
    .option('--overwrite', 'do again what is there already')
    .option('--ignore-memory', 'start even when the estimate says that memory will not do')
    .option('--json', 'print the results as JSON')
    .action((options: Options) => predict(options, terminal));
  example(
    command,
    'unetrpp predict -m models/hippocampus -i examples/hippocampus_099.nii.gz -o masks',
    'unetrpp predict -m brats -i flair.nii.gz t1.nii.gz t1gd.nii.gz t2.nii.gz -o tumor.nii.gz --mirror',
  );
};

async function predict(options: Options, terminal: Terminal): Promise<void> {
  // Loaded when it is needed: the runtime's library is large, and help should come at once.
  const { nodeEngine } = await import('../engine/node.ts');
  const model = await openModel(options.model);
  const scans = findScans(options.input, model.settings.inputChannels);
  const jobs = scans.map((files) => ({ files, mask: maskPath(options.output, files, scans.length) }));
  const abandonFolder = await prepareOutputFolder(
    imageEnding(options.output) ? dirname(options.output) : options.output,
  );
  const isDone = (mask: string) => !options.overwrite && existsSync(mask) && statSync(mask).size > 0;

  const results: Done[] = [];
  const failures: { name: string; message: string }[] = [];
  let segmenter: Segmenter | undefined;
  const settings: SegmenterOptions = options;
  try {
    for (const { files, mask } of jobs) {
      terminal.signal.throwIfAborted();
      let done: Done;
      if (isDone(mask)) {
        done = { name: files.name, mask, skipped: true, labels: [], notices: [], seconds: 0 };
      } else {
        try {
          if (!segmenter) {
            const needed = networkMemory(nodeEngine, model, settings);
            terminal.err(`The network needs about ${showBytes(needed)} of memory.\n`);
            if (!options.ignoreMemory) checkMemory(needed, `The network of ${model.name}`);
            segmenter = await createSegmenter(nodeEngine, model, settings);
          }
          done = await predictCase(files, mask, segmenter, options, terminal);
        } catch (error) {
          // One bad scan must not stop a folder of good ones; alone, or with no segmenter, it is the command's own error.
          if (!(error instanceof InputError) || jobs.length === 1 || !segmenter) throw error;
          failures.push({ name: files.name, message: error.message });
          terminal.err(`${files.name} failed: ${error.message}\n`);
          continue;
        }
      }
      results.push(done);
      if (!options.json) show(terminal, done);
    }
  } finally {
    await segmenter?.dispose();
    if (results.length === 0) await abandonFolder();
  }
  if (options.json) printJson(terminal, { model: model.name, device: segmenter?.device, cases: results, failures });
  if (failures.length > 0) {
    const names = failures.map(({ name }) => name).join(', ');
    throw new InputError(`${failures.length} of ${jobs.length} scans failed: ${names}; the others are done.`);
  }
}
