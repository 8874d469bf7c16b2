/**
 * Data sets from one layout into another: the original download of a recipe into nnU-Net v2's, and nnU-Net v2's into the
 * Decathlon's and back. Files whose format stays are copied byte for byte; only where channels are split or merged, or labels
 * get other numbers, is an image encoded again.
 *
 * Each file appears whole, and carries the time of its source: what is there with that time is done, so that a conversion that
 * was interrupted goes on. `dataset.json` comes last and says that the rest is there.
 */
import { createReadStream } from 'node:fs';
import { mkdir, readdir, stat, utimes } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { InputError } from '../errors.ts';
import { encodeLabels, encodeVolume, readBytes, readJson, readVolumeFile } from '../volume/files.node.ts';
import { stackChannels, type Volume, type VolumeImage, voxelCount } from '../volume/index.ts';
import { emptyLike } from '../volume/volume.ts';
import { prepareOutputFolder, writeTogether } from '../wholeFiles.node.ts';
import type { DatasetDescription } from './description.ts';
import { openDataset } from './folder.node.ts';
import { findOriginal, type OriginalCases, type PatientInfo, parsePatientInfo } from './originalLayout.ts';
import { type Recipe, type RecipeName, recipes } from './recipes.ts';
import type { Split } from './split.ts';

export interface ConversionOptions {
  /** Convert what is there, although the published split names more. */
  readonly partial?: boolean;
  /** After each file or group of files that is made from one. */
  readonly onStep?: (done: number, total: number) => void;
  /** Aborting ends the work between two files, with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface Converted {
  readonly training: readonly string[];
  readonly test: readonly string[];
  readonly split: Split | undefined;
  /** Files that were there already from an earlier run. */
  readonly kept: number;
  readonly written: number;
  readonly notices: readonly string[];
}

/** Files of the result that are made together, from their sources. */
interface Step {
  readonly sources: readonly string[];
  /** Paths from the output folder. */
  readonly targets: readonly string[];
  /** What the targets hold, in their order; left out where the one source is copied. */
  readonly encode?: (read: readonly VolumeImage[]) => readonly Promise<Uint8Array>[];
}

interface Conversion {
  readonly steps: readonly Step[];
  /** Text files by their path from the output folder, dataset.json last. */
  readonly texts: readonly (readonly [name: string, content: unknown])[];
}

const ending = '.nii.gz';
const channelFile = (folder: string, name: string, channel: number) =>
  `${folder}/${name}_${String(channel).padStart(4, '0')}${ending}`;

// --- from an original download ---

/**
 * Writes a data set in nnU-Net v2's layout from its original download.
 * @throws InputError when the download lacks something, or the output folder holds something else
 */
export async function convertOriginal(
  name: RecipeName,
  folder: string,
  output: string,
  options: ConversionOptions = {},
): Promise<Converted> {
  const recipe = recipes[name];
  const found = findOriginal(await filesBelow(folder), recipe.layouts, folder);
  const notices: string[] = [];
  const split = publishedSplit(recipe, found, folder, options.partial === true, notices);
  const patients = await readPatientInfos(found, folder);

  const { layout, cases, testCases } = found;
  const at = (path: string) => join(folder, path);
  const steps = [
    ...cases.flatMap((each) => [
      ...imageSteps('imagesTr', each.name, each.images.map(at), recipe.channels.length),
      labelStep(`labelsTr/${each.name}${ending}`, at(each.label), layout.labelValues),
    ]),
    ...testCases.flatMap((each) => imageSteps('imagesTs', each.name, [at(each.image)], recipe.channels.length)),
  ];
  const description = {
    name: recipe.title,
    reference: recipe.source.reference,
    licence: recipe.source.licence,
    source: recipe.source.url,
    channel_names: numbered(recipe.channels),
    ...labelsOf(recipe),
    numTraining: cases.length,
    file_ending: ending,
  };
  const texts = [
    ...(split ? [['splits_final.json', [{ train: split.train, val: split.validation }]] as const] : []),
    ...(patients ? [['patients.json', patients] as const] : []),
    ['dataset.json', description] as const,
  ];
  const done = await carryOut({ steps, texts }, folder, output, options);
  return {
    ...done,
    training: cases.map((each) => each.name),
    test: testCases.map((each) => each.name),
    split,
    notices,
  };
}

/** The recipe's regions, where it has any, in place of its labels. */
function labelsOf({ labels, regions }: Recipe) {
  if (!regions) return { labels: Object.fromEntries(labels.map((label, value) => [label, value])) };
  const named = regions.names.map(({ name, values }) => [name, values] as const);
  return { labels: Object.fromEntries([[labels[0], 0], ...named]), regions_class_order: regions.classOrder };
}

/** The published one, as far as its cases are there. */
function publishedSplit(
  { split }: Recipe,
  { layout, cases }: OriginalCases,
  folder: string,
  partial: boolean,
  notices: string[],
): Split | undefined {
  if ('none' in split) {
    notices.push(`There is no published split: ${split.none}.`);
    return undefined;
  }
  if (!layout.published) {
    notices.push(`The published split names other cases than the ${layout.called}; folds follow nnU-Net's rule.`);
    return undefined;
  }
  const present = new Set(cases.map(({ name }) => name));
  const all = [...split.train, ...split.validation];
  const absent = all.filter((each) => !present.has(each));
  if (absent.length === 0) return split;
  if (!partial) {
    throw new InputError(
      `${folder} lacks ${absent.length} of the ${all.length} cases of the published split, such as ${absent[0]}; ` +
        'download the rest, or give --partial to convert what is there.',
    );
  }
  const there = (names: readonly string[]) => names.filter((each) => present.has(each));
  const rest = { train: there(split.train), validation: there(split.validation) };
  if (rest.train.length === 0 || rest.validation.length === 0) {
    notices.push('The published split has no case on one side here, and is left out.');
    return undefined;
  }
  notices.push(`Of the published split ${all.length - absent.length} of ${all.length} cases are here.`);
  return rest;
}

type PatientRecord = { patient: string; cases: string[] } & PatientInfo;

/** The records of patients.json; undefined where the layout knows no patients. */
async function readPatientInfos(
  { layout, cases }: OriginalCases,
  folder: string,
): Promise<PatientRecord[] | undefined> {
  if (!layout.patient) return undefined;
  const records = new Map<string, PatientRecord>();
  for (const { name, patient } of cases) {
    const { name: called, info, frame } = patient!;
    let record = records.get(called);
    if (!record) {
      const text = new TextDecoder().decode(await readBytes(join(folder, info!)));
      record = { patient: called, cases: [], ...parsePatientInfo(text, join(folder, info!)) };
      records.set(called, record);
    }
    if (frame !== record.ED_frame && frame !== record.ES_frame) {
      throw new InputError(
        `${name} is neither the end-diastolic (${record.ED_frame}) nor the end-systolic frame (${record.ES_frame}) of ${info}; ` +
          'correct that file, or remove the frame.',
      );
    }
    record.cases.push(name);
  }
  return [...records.values()];
}

// --- between nnU-Net v2 and the Decathlon ---

export type SharedLayout = 'nnunet' | 'decathlon';

/**
 * Writes a data set that `openDataset` opens in another layout: nnU-Net v2's (a file for each channel) or the Decathlon's (one
 * for all).
 * @throws InputError when it is none, the layout cannot say what it says, or the output folder holds something else
 */
export async function convertLayout(
  to: SharedLayout,
  folder: string,
  output: string,
  options: ConversionOptions = {},
): Promise<Converted> {
  const { description, cases, splits } = await openDataset(folder);
  const channels = description.channels.length;
  const json = await readDatasetJson(folder);
  if (to === 'decathlon' && description.regionsClassOrder) {
    throw new InputError(
      `The labels of ${description.name} are regions, which the Decathlon's dataset.json cannot say; keep it in nnU-Net's layout.`,
    );
  }
  const tests = await testCasesIn(folder, description);
  const images = (part: string, each: { name: string; images: readonly string[] }) =>
    to === 'nnunet'
      ? imageSteps(part, each.name, each.images, channels)
      : [mergeStep(`${part}/${each.name}${ending}`, each.images, each.name)];
  const steps = [
    ...cases.flatMap((each) => [...images('imagesTr', each), labelStep(`labelsTr/${each.name}${ending}`, each.label)]),
    ...tests.flatMap((each) => [
      ...images('imagesTs', each),
      ...(each.label === undefined ? [] : [labelStep(`labelsTs/${each.name}${ending}`, each.label)]),
    ]),
  ];
  const training = cases.map(({ name }) => name);
  const test = tests.map(({ name }) => name);
  const kept = Object.fromEntries(carriedKeys.flatMap((key) => (key in json ? [[key, json[key]]] : [])));
  const own =
    to === 'nnunet'
      ? nnunetDescription(description, training)
      : decathlonDescription(description, training, test, channels);
  const carried: (readonly [string, unknown])[] = [];
  for (const name of ['splits_final.json', 'patients.json']) {
    const path = join(folder, name);
    if (await stat(path).catch(() => undefined)) carried.push([name, await readJson(path)]);
  }
  const done = await carryOut(
    { steps, texts: [...carried, ['dataset.json', { name: description.name, ...kept, ...own }]] },
    folder,
    output,
    options,
  );
  return { ...done, training, test, split: splits?.[0], notices: [] };
}

/** Of dataset.json, what people wrote for people. */
const carriedKeys = ['name', 'description', 'reference', 'licence', 'license', 'release', 'source'] as const;

async function readDatasetJson(folder: string): Promise<Record<string, unknown>> {
  return (await readJson(join(folder, 'dataset.json'))) as Record<string, unknown>;
}

function nnunetDescription(description: DatasetDescription, training: readonly string[]) {
  const { channels, labels, ignoreLabel, regionsClassOrder } = description;
  const named = labels.map(({ name, values }) => [name, values.length === 1 ? values[0] : values]);
  return {
    channel_names: numbered(channels),
    labels: Object.fromEntries(ignoreLabel === undefined ? named : [...named, ['ignore', ignoreLabel]]),
    ...(regionsClassOrder && { regions_class_order: regionsClassOrder }),
    numTraining: training.length,
    file_ending: ending,
  };
}

function decathlonDescription(
  { channels, labels, ignoreLabel }: DatasetDescription,
  training: readonly string[],
  test: readonly string[],
  channelCount: number,
) {
  const named = labels.map(({ name, values }) => [String(values[0]), name]);
  return {
    tensorImageSize: channelCount > 1 ? '4D' : '3D',
    modality: numbered(channels),
    labels: Object.fromEntries(ignoreLabel === undefined ? named : [...named, [String(ignoreLabel), 'ignore']]),
    numTraining: training.length,
    numTest: test.length,
    training: training.map((name) => ({ image: `./imagesTr/${name}${ending}`, label: `./labelsTr/${name}${ending}` })),
    test: test.map((name) => `./imagesTs/${name}${ending}`),
  };
}

const numbered = (names: readonly string[]) => Object.fromEntries(names.map((name, index) => [String(index), name]));

interface TestCase {
  readonly name: string;
  readonly images: readonly string[];
  readonly label: string | undefined;
}

/** Cases of imagesTs, where there is one, in either layout. @throws InputError when a channel is missing */
async function testCasesIn(folder: string, { channels, fileEnding }: DatasetDescription): Promise<TestCase[]> {
  const names = async (part: string) =>
    (await readdir(join(folder, part)).catch(() => []))
      .filter((name) => name.endsWith(fileEnding) && !name.startsWith('.'))
      .map((name) => name.slice(0, -fileEnding.length));
  const images = new Set(await names('imagesTs'));
  const labels = new Set(await names('labelsTs'));
  const path = (part: string, stem: string) => join(folder, part, stem + fileEnding);
  const cases = new Map<string, readonly string[]>();
  for (const stem of images) {
    // A name may end in four digits without a channel being meant, where all channels are in one file.
    const name = stem.replace(/_\d{4}$/, '');
    const all = channels.map((_, channel) => `${name}_${String(channel).padStart(4, '0')}`);
    if (name !== stem && images.has(all[0])) {
      const missing = all.find((each) => !images.has(each));
      if (missing !== undefined) {
        throw new InputError(`The test case ${name} lacks ${path('imagesTs', missing)}; add it or remove the case.`);
      }
      cases.set(name, all);
    } else cases.set(stem, [stem]);
  }
  return [...cases]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, stems]) => ({
      name,
      images: stems.map((stem) => path('imagesTs', stem)),
      label: labels.has(name) ? path('labelsTs', name) : undefined,
    }));
}

// --- files ---

/** A file for each channel: copied where there is one already, or split from the one that holds all. */
function imageSteps(part: string, name: string, sources: readonly string[], channels: number): Step[] {
  if (sources.length === channels) {
    return sources.map((source, channel) => imageStep(channelFile(part, name, channel), source));
  }
  const [source] = sources;
  const targets = Array.from({ length: channels }, (_, channel) => channelFile(part, name, channel));
  const encode = ([{ volume, header }]: readonly VolumeImage[]) => {
    if (volume.channels !== channels) {
      throw new InputError(
        `${source} has ${volume.channels} channels, and ${channels} are wanted; give the image that its data set came with.`,
      );
    }
    const voxels = voxelCount(volume);
    return targets.map((_, channel) => {
      const data = volume.data.slice(channel * voxels, (channel + 1) * voxels);
      return encodeVolume({ ...volume, channels: 1, data }, ending, header);
    });
  };
  return [{ sources, targets, encode }];
}

function imageStep(target: string, source: string): Step {
  if (source.endsWith(ending)) return { sources: [source], targets: [target] };
  return {
    sources: [source],
    targets: [target],
    encode: ([{ volume, header }]) => [encodeVolume(volume, ending, header)],
  };
}

function labelStep(target: string, source: string, values?: Readonly<Record<number, number>>): Step {
  if (values === undefined) {
    if (source.endsWith(ending)) return { sources: [source], targets: [target] };
    return {
      sources: [source],
      targets: [target],
      encode: ([{ volume, header }]) => [encodeVolume(volume, ending, header)],
    };
  }
  const encode = ([{ volume, header }]: readonly VolumeImage[]) => {
    const data = new Uint8Array(volume.data.length);
    for (let i = 0; i < data.length; i++) {
      const value = values[volume.data[i]];
      if (value === undefined) {
        throw new InputError(
          `${source} holds the value ${volume.data[i]}, and this data set has ${Object.keys(values).join(', ')}; download it again.`,
        );
      }
      data[i] = value;
    }
    return [encodeLabels({ ...volume, data }, ending, header)];
  };
  return { sources: [source], targets: [target], encode };
}

/** All channels in one file. */
function mergeStep(target: string, sources: readonly string[], name: string): Step {
  if (sources.length === 1) return imageStep(target, sources[0]);
  const encode = (read: readonly VolumeImage[]) => {
    const stacked = stackChannels(
      read.map(({ volume }, index) => ({ volume, name: sources[index] })),
      name,
    );
    return [encodeVolume(inOwnType(stacked, read), ending, read[0].header)];
  };
  return { sources, targets: [target], encode };
}

/** Stacked channels are float32; where all are stored in one other type, they stay in it. */
function inOwnType(stacked: Volume, read: readonly VolumeImage[]): Volume {
  const parts = read.map(({ volume }) => volume.data);
  if (parts.some((part) => part.constructor !== parts[0].constructor)) return stacked;
  const data = emptyLike(parts[0], stacked.data.length);
  let offset = 0;
  for (const part of parts) {
    data.set(part, offset);
    offset += part.length;
  }
  return { ...stacked, data };
}

// --- carrying it out ---

async function carryOut(
  { steps, texts }: Conversion,
  folder: string,
  output: string,
  { onStep, signal }: ConversionOptions,
): Promise<{ kept: number; written: number }> {
  if (resolve(folder) === resolve(output)) {
    throw new InputError(`${output} is the data set itself; name a new folder for the converted one.`);
  }
  const abandonFolder = await prepareOutputFolder(output);
  try {
    const targets = steps.flatMap((step) => step.targets);
    const parts = [...new Set(targets.map((target) => target.split('/')[0]))];
    await refuseOthers(output, new Set([...targets, ...texts.map(([name]) => name)]));
    for (const part of parts) await mkdir(join(output, part), { recursive: true });
    let [kept, written] = [0, 0];
    for (const [index, step] of steps.entries()) {
      signal?.throwIfAborted();
      const made = await isDone(step, output);
      if (!made) await carryOutStep(step, output);
      if (made) kept += step.targets.length;
      else written += step.targets.length;
      onStep?.(index + 1, steps.length);
    }
    await writeTogether(
      texts.map(([name, content]) => ({ path: join(output, name), content: `${JSON.stringify(content, null, 2)}\n` })),
    );
    return { kept, written };
  } finally {
    await abandonFolder();
  }
}

/** @throws InputError when the folder holds a file that is not to be written there */
async function refuseOthers(output: string, targets: ReadonlySet<string>): Promise<void> {
  const other = (await filesBelow(output)).find((path) => !targets.has(path) && !/(^|\/)\./.test(path));
  if (other !== undefined) {
    throw new InputError(
      `${output} holds ${other}, which is not of this data set; name a new folder, so that the cases of two do not mix.`,
    );
  }
}

const sourceStats = (sources: readonly string[]) =>
  Promise.all(
    sources.map(async (source) => {
      const stats = await stat(source).catch(() => undefined);
      if (!stats) throw new InputError(`There is no file ${source}; it was there when the conversion began.`);
      return stats;
    }),
  );

const latest = (stats: readonly { mtimeMs: number }[]) => Math.max(...stats.map(({ mtimeMs }) => mtimeMs));

/** Times are set in seconds as float64 and kept with another resolution: the same within this many milliseconds. */
const sameTimeMs = 2;

async function isDone({ sources, targets, encode }: Step, output: string): Promise<boolean> {
  const from = await sourceStats(sources);
  for (const target of targets) {
    const stats = await stat(join(output, target)).catch(() => undefined);
    if (!stats?.isFile() || Math.abs(stats.mtimeMs - latest(from)) > sameTimeMs) return false;
    if (!encode && stats.size !== from[0].size) return false;
  }
  return true;
}

async function carryOutStep({ sources, targets, encode }: Step, output: string): Promise<void> {
  const time = new Date(latest(await sourceStats(sources)));
  const paths = targets.map((target) => join(output, target));
  if (encode) {
    const read: VolumeImage[] = [];
    for (const source of sources) read.push(await readVolumeFile(source));
    const contents = await Promise.all(encode(read));
    await writeTogether(paths.map((path, index) => ({ path, content: contents[index] })));
  } else await writeTogether([{ path: paths[0], content: bytesOf(sources[0]) }]);
  // Last: what was interrupted before has no such time, and is made again.
  for (const path of paths) await utimes(path, time, time);
}

async function* bytesOf(path: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of createReadStream(path)) yield chunk as Uint8Array;
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown reason';
    throw new InputError(`${path} cannot be read (${code}).`, { cause });
  }
}

/** Deep enough for every layout here, and an end for links that lead in a circle. */
const deepest = 5;

/** Paths of the files below a folder, from there, with `/`, in the order of names. */
async function filesBelow(folder: string): Promise<string[]> {
  const stats = await stat(folder).catch(() => undefined);
  if (!stats?.isDirectory())
    throw new InputError(`There is no folder ${folder}; give the one of the unpacked download.`);
  const found: string[] = [];
  const visit = async (path: string, depth: number): Promise<void> => {
    for (const name of (await readdir(path)).sort()) {
      const inner = join(path, name);
      const kind = await stat(inner).catch(() => undefined);
      if (kind?.isFile()) found.push(relative(folder, inner).replaceAll('\\', '/'));
      else if (kind?.isDirectory() && depth < deepest) await visit(inner, depth + 1);
    }
  };
  await visit(folder, 1);
  return found;
}
