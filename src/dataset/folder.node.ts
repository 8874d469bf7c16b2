/**
 * A data set's folder in nnU-Net's layout: which files are which cases, how they are split, and what they are as a whole.
 *
 * `imagesTr/CASE_0000.nii.gz` and so on, one file a channel (or `imagesTr/CASE.nii.gz` with all channels, as in the
 * Decathlon), `labelsTr/CASE.nii.gz`, `dataset.json`, perhaps `splits_final.json` and `patients.json`. Only names are looked at here; what is
 * in the images is checked when they are read.
 */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { InputError, some } from '../errors.ts';
import { readJson } from '../volume/files.node.ts';
import { type DatasetDescription, parseDataset } from './description.ts';
import { type Fault, sentenceOf } from './fault.ts';
import { type Patients, patientsByName, readPatients } from './patients.ts';
import { type Fold, readSplits, type Split, splitOf } from './split.ts';

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
  /** Of `splits_final.json`, or of the file that was named; undefined where there is none, and a rule decides. */
  readonly splits: readonly Split[] | undefined;
  /** Where `patients.json` or the names of the cases say whose they are. */
  readonly patients: Patients | undefined;
}

/**
 * @throws InputError when the folder is no data set, a case lacks a file, or a fold has a case that is not there or a patient
 * on both sides
 * @param splitsFile folds, or a single split, in place of those of the data set
 */
export async function openDataset(folder: string, splitsFile?: string): Promise<Dataset> {
  const { dataset, faults } = await surveyDataset(folder, splitsFile);
  if (faults.length > 0) throw new InputError(sentenceOf(faults[0]));
  return dataset;
}

/**
 * As `openDataset`, with everything that is wrong with cases and splits in place of an error; the cases are those that have
 * all of their files.
 * @throws InputError when the folder is no data set at all
 */
export async function surveyDataset(
  folder: string,
  splitsFile?: string,
): Promise<{ dataset: Dataset; faults: Fault[] }> {
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
  const { cases, faults } = description.files ? listedCases(folder, description) : foundCases(folder, description);
  if (cases.length === 0 && faults.length === 0) {
    throw new InputError(
      `${join(folder, 'imagesTr')} holds no images that end in ${description.fileEnding}; add some.`,
    );
  }
  const names = cases.map(({ name }) => name);
  const [patientsFile, ownSplits] = [join(folder, 'patients.json'), join(folder, 'splits_final.json')];
  const splitsIn = splitsFile ?? (existsSync(ownSplits) ? ownSplits : undefined);
  const listed = existsSync(patientsFile) ? readPatients(await readJson(patientsFile), names, patientsFile) : undefined;
  const patients = listed ? listed.patients : patientsByName(names);
  const split = splitsIn === undefined ? undefined : readSplits(await readJson(splitsIn), names, splitsIn, patients);
  return {
    dataset: { folder, description, cases, splits: split?.splits, patients },
    faults: [...faults, ...(listed?.faults ?? []), ...(split?.faults ?? [])],
  };
}

/**
 * The split of a fold, and its cases in the data set's order.
 * @throws InputError for a fold that is none
 */
export function foldOf(
  { cases, splits, patients }: Dataset,
  fold: Fold,
): { readonly split: Split; readonly training: CaseFiles[]; readonly validation: CaseFiles[] } {
  const names = cases.map(({ name }) => name);
  const split = splitOf(names, splits, fold, patients);
  const filesOf = (side: readonly string[]) => {
    const wanted = new Set(side);
    return cases.filter(({ name }) => wanted.has(name));
  };
  return { split, training: filesOf(split.train), validation: filesOf(split.validation) };
}

interface FoundCases {
  readonly cases: CaseFiles[];
  readonly faults: Fault[];
}

function listedCases(folder: string, { files, channels }: DatasetDescription): FoundCases {
  const faults: Fault[] = [];
  const fault = (text: string, remedy: string) => faults.push({ file: 'dataset.json', text, remedy });
  const cases = [...files!].flatMap(([name, { images, label }]): CaseFiles[] => {
    if (images.length !== 1 && images.length !== channels.length) {
      fault(
        `dataset.json lists ${images.length} images for the case ${name} and ${channels.length} channels`,
        'give one file for each channel',
      );
      return [];
    }
    const absent = [...images, label].filter((path) => !existsSync(resolve(folder, path)));
    if (absent.length > 0) {
      fault(
        `dataset.json lists files for the case ${name} that are not there: ${some(absent)}`,
        'add them or remove the case from the list',
      );
      return [];
    }
    return [{ name, images: images.map((path) => resolve(folder, path)), label: resolve(folder, label) }];
  });
  return { cases: cases.sort((a, b) => (a.name < b.name ? -1 : 1)), faults };
}

function foundCases(folder: string, { fileEnding, channels }: DatasetDescription): FoundCases {
  const images = new Set(stemsIn(join(folder, 'imagesTr'), fileEnding));
  const labels = stemsIn(join(folder, 'labelsTr'), fileEnding);
  const path = (part: string, stem: string) => join(folder, part, stem + fileEnding);
  const declared = `dataset.json names ${channels.length} channel${channels.length === 1 ? '' : 's'} (${channels.join(', ')})`;
  const faults: Fault[] = [];
  const used = new Set<string>();
  const cases = labels.flatMap((name): CaseFiles[] => {
    const numbered = channels.map((_, channel) => `${name}_${String(channel).padStart(4, '0')}`);
    const missing = numbered.filter((stem) => !images.has(stem));
    const stems = missing.length === channels.length && images.has(name) ? [name] : numbered;
    for (const stem of stems) used.add(stem);
    if (stems === numbered && missing.length > 0) {
      const wanted = missing.map((stem) => stem + fileEnding);
      faults.push(
        missing.length === channels.length
          ? {
              file: `labelsTr/${name}${fileEnding}`,
              text: `The label map ${path('labelsTr', name)} has no image: imagesTr/${wanted[0]} is not there`,
              remedy: 'add it or remove the label map',
            }
          : {
              file: `imagesTr/${wanted[0]}`,
              text: `The case ${name} lacks ${some(wanted)} in ${join(folder, 'imagesTr')}: ${declared}`,
              remedy: 'add the file or remove the case',
            },
      );
      return [];
    }
    return [{ name, images: stems.map((stem) => path('imagesTr', stem)), label: path('labelsTr', name) }];
  });
  const known = new Set(labels);
  for (const stem of images) {
    if (used.has(stem)) continue;
    const file = `imagesTr/${stem}${fileEnding}`;
    const name = stem.replace(/_\d{4}$/, '');
    faults.push(
      known.has(name)
        ? {
            file,
            text: `${stem}${fileEnding} in ${join(folder, 'imagesTr')} belongs to no channel: ${declared}`,
            remedy: 'add the channel there or remove the file',
          }
        : {
            file,
            text: `${join(folder, 'labelsTr')} has no label map for ${name}`,
            remedy: `add ${name}${fileEnding} or remove the images`,
          },
    );
  }
  return { cases, faults };
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

/** SHA-256 of a file's content. @throws InputError when it cannot be read */
export async function fileHash(path: string): Promise<string> {
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
