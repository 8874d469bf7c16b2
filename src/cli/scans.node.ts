/**
 * Which files are which scans: one file, one file for each channel, or a folder in nnU-Net's naming
 * (`CASE_0000.nii.gz`, `CASE_0001.nii.gz`: channels of one case).
 */
import { readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { InputError } from '../errors.ts';
import { imageEnding, imageEndings, imageStem, readVolumeFile } from '../volume/files.node.ts';
import { type NiftiHeader, stackChannels, type Volume } from '../volume/index.ts';

export interface ScanFiles {
  /** The case's name: what its mask will be called. */
  readonly name: string;
  /** One for each channel, or one that holds all. */
  readonly files: readonly string[];
}

export interface Scan {
  readonly volume: Volume;
  /** Of the first file, so that the mask's header can repeat its grid bit for bit. */
  readonly header: NiftiHeader;
  readonly notices: readonly string[];
}

/**
 * @param inputs one folder, one file, or the files of one scan's channels in order
 * @param channels that the model takes
 * @throws InputError when there is nothing, or a case lacks a channel
 */
export function findScans(inputs: readonly string[], channels: number): ScanFiles[] {
  const [first] = inputs;
  const stats = statSync(first, { throwIfNoEntry: false });
  if (stats?.isDirectory()) {
    if (inputs.length > 1) throw new InputError(`Give one folder, or files; not ${first} and more.`);
    return scansInFolder(first, channels);
  }
  for (const path of inputs) {
    if (!statSync(path, { throwIfNoEntry: false })) throw new InputError(`There is no file ${path}; check the path.`);
  }
  if (inputs.length > 1 && inputs.length !== channels) {
    throw new InputError(
      `${inputs.length} files were given for one scan, and the model takes ${channels} channel${channels === 1 ? '' : 's'}; ` +
        'give one file for each channel, or a folder of scans.',
    );
  }
  return [{ name: imageStem(first).replace(/_0000$/, ''), files: inputs }];
}

function scansInFolder(folder: string, channels: number): ScanFiles[] {
  const images = readdirSync(folder)
    .filter((name) => imageEnding(name) !== undefined && !name.startsWith('.') && !name.toLowerCase().endsWith('.img'))
    .sort();
  if (images.length === 0) {
    throw new InputError(`${folder} holds no image (${imageEndings.join(', ')}); name a folder of scans.`);
  }
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
    return { name, files: given.map((channel) => files.get(channel)!) };
  });
}

/** @throws InputError when a file is unreadable or the channels lie on different grids */
export async function readScan({ name, files }: ScanFiles): Promise<Scan> {
  const images = [];
  for (const file of files) images.push({ ...(await readVolumeFile(file)), file });
  const [first] = images;
  const volume = stackChannels(
    images.map((image) => ({ volume: image.volume, name: basename(image.file) })),
    name,
  );
  return { volume, header: first.header, notices: images.flatMap(({ notices }) => notices) };
}
