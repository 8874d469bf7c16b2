/**
 * A data set's folder in nnU-Net's layout: which files are which cases, how they are split, and what they are as a whole.
 *
 * `imagesTr/CASE_0000.nii.gz` and so on, one file a channel (or `imagesTr/CASE.nii.gz` with all channels, as in the
 * Decathlon), `labelsTr/CASE.nii.gz`, `dataset.json`, perhaps `splits_final.json`. Only names are looked at here; what is
 * in the images is checked when they are read.
 */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { InputError } from '../errors.ts';
import { readBytes } from '../volume/files.node.ts';
import { type DatasetDescription, parseDataset } from './description.ts';
import { parseSplits, type Split } from './split.ts';

/** Where the files of a case lie. */
export interface CaseFiles {
  readonly name: string;
  /** One for each channel, in order, or one that holds all. */
  readonly images: readonly string[];
  readonly label: string;
}

export interface Dataset {
  readonly folder: string;
  readonly description: DatasetDescription;
  /** In the order of their names. */
  readonly cases: readonly CaseFiles[];
  /** Of `splits_final.json`; undefined where there is none, and nnU-Net's own rule holds. */
  readonly splits: readonly Split[] | undefined;
}

/** @throws InputError when the folder is no data set, or a case lacks a file */
export async function openDataset(folder: string): Promise<Dataset> {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    throw new InputError(
      `There is no folder ${folder}; give the folder of a data set, the one with dataset.json in it.`,
    );
  }
  if (!existsSync(join(folder, 'dataset.json'))) {
    throw new InputError(
      `${folder} holds no dataset.json; give the folder of a data set in nnU-Net's layout (imagesTr, labelsTr, dataset.json).`,
    );
  }
  const description = parseDataset(await readJson(join(folder, 'dataset.json')), basename(resolve(folder)));
  const cases = description.files ? listedCases(folder, description) : foundCases(folder, description);
  if (cases.length === 0) {
    throw new InputError(
      `${join(folder, 'imagesTr')} holds no images that end in ${description.fileEnding}; add some.`,
    );
  }
  const splitsFile = join(folder, 'splits_final.json');
  const names = cases.map(({ name }) => name);
  const splits = existsSync(splitsFile) ? parseSplits(await readJson(splitsFile), names, splitsFile) : undefined;
  return { folder, description, cases, splits };
}

async function readJson(path: string): Promise<unknown> {
  const bytes = await readBytes(path);
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new InputError(`${path} is no JSON (${(cause as Error).message}); correct it.`, { cause });
  }
}

/** Names for a message, the first few. */
function some(names: readonly string[]): string {
  const shown = names.slice(0, 3).join(', ');
  return names.length > 3 ? `${shown} and ${names.length - 3} more` : shown;
}

function listedCases(folder: string, { files, channels }: DatasetDescription): CaseFiles[] {
  const cases = [...files!].map(([name, { images, label }]) => {
    if (images.length !== 1 && images.length !== channels.length) {
      throw new InputError(
        `dataset.json lists ${images.length} images for the case ${name} and ${channels.length} channels; give one file for each channel.`,
      );
    }
    return { name, images: images.map((path) => resolve(folder, path)), label: resolve(folder, label) };
  });
  const absent = cases.flatMap(({ images, label }) => [...images, label]).filter((path) => !existsSync(path));
  if (absent.length > 0) throw new InputError(`dataset.json lists files that are not there: ${some(absent)}.`);
  return cases.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function foundCases(folder: string, { fileEnding, channels }: DatasetDescription): CaseFiles[] {
  const images = new Set(stemsIn(join(folder, 'imagesTr'), fileEnding));
  const labels = stemsIn(join(folder, 'labelsTr'), fileEnding);
  const path = (part: string, stem: string) => join(folder, part, stem + fileEnding);
  const used = new Set<string>();
  const cases = labels.map((name): CaseFiles => {
    const numbered = channels.map((_, channel) => `${name}_${String(channel).padStart(4, '0')}`);
    const missing = numbered.filter((stem) => !images.has(stem));
    const stems = missing.length === channels.length && images.has(name) ? [name] : numbered;
    if (stems === numbered && missing.length > 0) {
      const wanted = missing.map((stem) => stem + fileEnding);
      throw new InputError(
        missing.length === channels.length
          ? `The label map ${path('labelsTr', name)} has no image: imagesTr/${wanted[0]} is not there; add it or remove the label map.`
          : `The case ${name} lacks ${some(wanted)} in ${join(folder, 'imagesTr')}; dataset.json names ${channels.length} channels (${channels.join(', ')}).`,
      );
    }
    for (const stem of stems) used.add(stem);
    return { name, images: stems.map((stem) => path('imagesTr', stem)), label: path('labelsTr', name) };
  });
  const rest = [...images].filter((stem) => !used.has(stem));
  const known = new Set(labels);
  const surplus = rest.filter((stem) => known.has(stem.replace(/_\d{4}$/, '')));
  if (surplus.length > 0) {
    throw new InputError(
      `${some(surplus.map((stem) => stem + fileEnding))} in ${join(folder, 'imagesTr')} belongs to no channel: dataset.json names ${channels.length} (${channels.join(', ')}); add the channel there or remove the file.`,
    );
  }
  if (rest.length > 0) {
    const names = [...new Set(rest.map((stem) => stem.replace(/_\d{4}$/, '')))];
    throw new InputError(
      `${join(folder, 'labelsTr')} has no label map for ${some(names)}; add ${names[0]}${fileEnding} or remove the images.`,
    );
  }
  return cases;
}

/** Names of the files with this ending, without it, sorted. Files of other endings are of no concern. */
function stemsIn(folder: string, ending: string): string[] {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    throw new InputError(`There is no folder ${folder}; a data set needs imagesTr and labelsTr.`);
  }
  return readdirSync(folder)
    .filter((name) => name.endsWith(ending) && !name.startsWith('.'))
    .map((name) => name.slice(0, -ending.length))
    .sort();
}

/**
 * SHA-256 in hexadecimal digits, over all that is learned from: names of channels and labels, and of each case its name
 * and its files' contents. What files are called beyond that, and where they lie, makes no difference.
 */
export async function datasetHash({ description, cases }: Dataset): Promise<string> {
  const { channels, labels, regionsClassOrder, ignoreLabel } = description;
  const whole = createHash('sha256');
  whole.update(JSON.stringify({ channels, labels, regionsClassOrder, ignoreLabel }));
  for (const { name, images, label } of cases) {
    const files = await Promise.all([...images, label].map(fileHash));
    whole.update(JSON.stringify([name, ...files]));
  }
  return whole.digest('hex');
}

async function fileHash(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(path), hash);
  } catch (cause) {
    throw new InputError(`${path} cannot be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown reason'}).`, {
      cause,
    });
  }
  return hash.digest('hex');
}
