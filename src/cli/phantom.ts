/**
 * `unetrpp phantom`: a data set to try training with, of volumes that are drawn and not scanned, in nnU-Net's layout.
 */
import { mkdir, readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SingleBar } from 'cli-progress';
import { InvalidArgumentError } from 'commander';
import { type PhantomOptions, phantom, phantomOrgans, randomStream } from '../dataset/index.ts';
import { InputError } from '../errors.ts';
import { encodeLabels, encodeVolume } from '../volume/files.node.ts';
import type { Vector3 } from '../volume/index.ts';
import { prepareOutputFolder, writeTogether } from '../wholeFiles.node.ts';
import { parseCount } from './options.ts';
import { example, printJson, type Register, type Terminal } from './terminal.ts';

export interface PhantomSet {
  /** Cases to train with, and to test with. */
  readonly number: number;
  readonly test: number;
  /** A new folder. */
  readonly output: string;
  readonly seed: number;
  /** z, y, x. */
  readonly size: Vector3;
  /** z, y, x, as the size is. Left out: another for each phantom. */
  readonly spacing?: Vector3;
}

type Options = Omit<PhantomSet, 'size'> & { readonly size?: Vector3; readonly json?: boolean };

const defaultSize: Vector3 = [48, 96, 96];

export const registerPhantom: Register = (program, terminal) => {
  const command = program
    .command('phantom')
    .description('Make a labeled data set of phantoms: drawn volumes like a coarse CT of the abdomen.')
    .requiredOption('-o, --output <folder>', 'new folder for the data set')
    .option('-n, --number <count>', 'cases to train with', parseCount, 40)
    .option('--test <count>', 'cases to test with, in imagesTs and labelsTs', parseFrom0, 0)
    .option('--seed <number>', 'another seed gives other phantoms', parseFrom0, 1)
    .option('--size <voxels>', 'slices, rows and columns (default: 48x96x96)', parseThree('48x96x96'))
    .option(
      '--spacing <mm>',
      'likewise (default: another for each case, so that all of the trunk is seen)',
      parseThree('5x4x4'),
    )
    .option('--json', 'print the result as JSON')
    .action(async (given: Options) => {
      const options = { ...given, size: given.size ?? defaultSize };
      const { training, test } = await writePhantoms(options, terminal);
      if (options.json) {
        printJson(terminal, { folder: options.output, seed: options.seed, training, test });
        return;
      }
      const tested = test.length > 0 ? ` and ${test.length} to test with` : '';
      terminal.out(
        `${options.output}: ${training.length} cases to train with${tested}, ${options.size.join(' x ')} voxels, ${phantomOrgans.length} organs\n`,
      );
      terminal.out('They are drawn: what a network learns from them says nothing about patients.\n');
    });
  example(command, 'unetrpp phantom -n 4 -o phantoms');
};

/** `48x96x96` or `48,96,96`, along z, y, x; what is possible is for the phantom to say. */
function parseThree(such: string): (text: string) => Vector3 {
  return (text) => {
    const [z, y, x, ...more] = text.split(/[x,]/).map((each) => (each.trim() === '' ? Number.NaN : Number(each)));
    if (more.length > 0 || ![z, y, x].every(Number.isFinite)) {
      throw new InvalidArgumentError(`It must be three numbers, such as ${such} (between slices, rows, columns).`);
    }
    return [z, y, x];
  };
}

function parseFrom0(text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!(Number.isSafeInteger(value) && value >= 0)) {
    throw new InvalidArgumentError('It must be a whole number from 0 up.');
  }
  return value;
}

/**
 * Writes all of a data set, or nothing. nnU-Net v2's layout: dataset.json, imagesTr/NAME_0000.nii.gz, labelsTr/NAME.nii.gz,
 * likewise imagesTs and labelsTs. However many there are, phantom k of a seed is the same.
 * @returns names of the cases
 * @throws InputError when the folder holds something, or such phantoms cannot be made
 */
export async function writePhantoms(
  { output, number, test, seed, size, spacing }: PhantomSet,
  { bar: stream, signal }: Terminal,
): Promise<{ training: string[]; test: string[] }> {
  const options: PhantomOptions = { shape: size, spacing: spacing && [spacing[2], spacing[1], spacing[0]] };
  const draw = (k: number) => phantom(randomStream(seed, k + 1), options);
  // Before anything is written: a size that cannot be shows at once.
  let latest = { k: 0, made: draw(0) };
  const present = await readdir(output).catch(() => []);
  if (present.length > 0) {
    throw new InputError(`${output} is not empty; name a new folder, so that the cases of two data sets do not mix.`);
  }

  const digits = Math.max(3, String(number + test).length);
  const names = Array.from({ length: number + test }, (_, k) => `phantom_${String(k + 1).padStart(digits, '0')}`);
  const bar =
    stream && new SingleBar({ stream, format: '[{bar}] {value} of {total}', barsize: 24, clearOnComplete: true });
  const made = (k: number) => {
    signal.throwIfAborted();
    if (latest.k !== k) latest = { k, made: draw(k) };
    return latest.made;
  };
  // Made when it is their turn to be written, so that one phantom is in memory at a time.
  async function* image(k: number) {
    yield await encodeVolume(made(k).image, '.nii.gz');
  }
  async function* labels(k: number) {
    yield await encodeLabels(made(k).labels, '.nii.gz');
    bar?.update(k + 1);
  }
  const abandonFolder = await prepareOutputFolder(output);
  const folders = ['imagesTr', 'labelsTr', ...(test > 0 ? ['imagesTs', 'labelsTs'] : [])].map((name) =>
    join(output, name),
  );
  try {
    for (const folder of folders) await mkdir(folder);
    bar?.start(names.length, 0);
    const cases = names.flatMap((name, k) => {
      const set = k < number ? 'Tr' : 'Ts';
      return [
        { path: join(output, `images${set}`, `${name}_0000.nii.gz`), content: image(k) },
        { path: join(output, `labels${set}`, `${name}.nii.gz`), content: labels(k) },
      ];
    });
    const description = {
      name: 'Phantoms',
      description: `Drawn volumes like a coarse CT of the abdomen, seed ${seed}`,
      channel_names: { 0: 'CT' },
      labels: Object.fromEntries(['background', ...phantomOrgans].map((organ, value) => [organ, value])),
      numTraining: number,
      file_ending: '.nii.gz',
    };
    const text = `${JSON.stringify(description, null, 2)}\n`;
    await writeTogether([...cases, { path: join(output, 'dataset.json'), content: text }]);
  } finally {
    bar?.stop();
    // A folder that holds something stays.
    for (const folder of folders) await rmdir(folder).catch(() => undefined);
    await abandonFolder();
  }
  return { training: names.slice(0, number), test: names.slice(number) };
}
