/**
 * Which files are which scans: one file, one for each channel, a folder in nnU-Net's naming (`CASE_0000.nii.gz`,
 * `CASE_0001.nii.gz`: channels of one case), a folder with a DICOM series, or the cases that a fold holds back.
 */
import { readdirSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { foldOf, openDataset } from '../dataset/folder.node.ts';
import type { Fold } from '../dataset/index.ts';
import { InputError } from '../errors.ts';
import { imageStem, readVolumeFile } from '../volume/files.node.ts';
import { imageEnding, type NiftiHeader, stackChannels, type Volume } from '../volume/index.ts';

export interface ScanFiles {
  /** The case's name: what its mask will be called. */
  readonly name: string;
  /** Images, or folders of DICOM series: one for each channel, or one that holds all. */
  readonly paths: readonly string[];
}

export interface Scan {
  readonly volume: Volume;
  /** Of the first file where that is NIfTI, so that the mask's header can repeat its grid bit for bit. */
  readonly header: NiftiHeader | undefined;
  readonly notices: readonly string[];
}

/**
 * @param inputs a folder of scans; or one scan: a file or a DICOM folder, or one of them for each channel, in order
 * @param channels that the model takes
 * @throws InputError when there is nothing, or a case lacks a channel
 */
export function findScans(inputs: readonly string[], channels: number): ScanFiles[] {
  const isFolder = inputs.map((path) => {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (!stats) throw new InputError(`There is no file ${path}; check the path.`);
    return stats.isDirectory();
  });
  const [first] = inputs;
  if (inputs.length === 1 && isFolder[0]) {
    const images = imagesIn(first);
    if (images.length > 0) return casesOf(images, first, channels);
  } else if (inputs.length > 1 && inputs.length !== channels) {
    throw new InputError(
      `${inputs.length} files were given for one scan, and the model takes ${channels} channel${channels === 1 ? '' : 's'}; ` +
        'give one file for each channel, or a folder of scans.',
    );
  }
  const name = isFolder[0] ? basename(resolve(first)) : imageStem(first);
  return [{ name: name.replace(/_0000$/, ''), paths: inputs }];
}

/**
 * The cases of a data set that a split holds back: what a model that was trained on the others is judged by.
 * @param split file of folds, in place of those of the data set
 * @throws InputError as `openDataset`, or for a fold that is none
 */
export async function heldBackScans(folder: string, fold: Fold, split?: string): Promise<ScanFiles[]> {
  const { validation } = foldOf(await openDataset(folder, split), fold);
  return validation.map(({ name, images }) => ({ name, paths: images }));
}

/** Names of the images in a folder. Files of voxels go with their headers, DICOM slices with their folder. */
function imagesIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => imageEnding(name) !== undefined && !/\.(img|dcm)$/i.test(name) && !name.startsWith('.'))
    .sort();
}

function casesOf(images: readonly string[], folder: string, channels: number): ScanFiles[] {
  const cases = new Map<string, Map<number, string>>();
  for (const file of images) {
    const match = /^(.+)_(\d{4})$/.exec(imageStem(file));
    const [name, channel] = match ? [match[1], Number(match[2])] : [imageStem(file), 0];
    const files = cases.get(name) ?? new Map<number, string>();
    const other = files.get(channel);
    if (other) {
      throw new InputError(
        `${basename(other)} and ${file} would both be channel ${channel} of ${name}; rename one of them.`,
      );
    }
    files.set(channel, join(folder, file));
    cases.set(name, files);
  }
  return [...cases].map(([name, files]) => {
    const given = [...files.keys()].sort((a, b) => a - b);
    const complete = given.length === 1 || given.every((channel, index) => channel === index);
    if (!complete || (given.length > 1 && given.length !== channels)) {
      const found = given.map((channel) => String(channel).padStart(4, '0')).join(', ');
      throw new InputError(
        `The case ${name} in ${folder} has the channels ${found}; the model takes ${channels}, from 0000 on.`,
      );
    }
    return { name, paths: given.map((channel) => files.get(channel)!) };
  });
}

/**
 * @param series which DICOM series, where a folder holds several
 * @throws InputError when a file is unreadable or the channels lie on different grids
 */
export async function readScan({ name, paths }: ScanFiles, series?: string): Promise<Scan> {
  const images = [];
  for (const path of paths) images.push({ ...(await readVolumeFile(path, { series })), path });
  const [first] = images;
  const volume = stackChannels(
    images.map((image) => ({ volume: image.volume, name: basename(image.path) })),
    name,
  );
  return { volume, header: first.header, notices: images.flatMap(({ notices }) => notices) };
}
