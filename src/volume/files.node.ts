/**
 * Volumes from and to files in Node: which files an image is made of, and what goes wrong with files, in a sentence. What
 * is inside the bytes is for read.ts and formats/.
 */
import { readdirSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { InputError } from '../errors.ts';
import { isDicomFile } from './formats/dicomSeries.ts';
import type { ImageFile, VolumeImage } from './formats/image.ts';
import { writeMetaImage } from './formats/metaImage.ts';
import { writeNifti } from './formats/nifti.ts';
import type { NiftiHeader } from './formats/niftiHeader.ts';
import { writeNrrd } from './formats/nrrd.ts';
import { companionOf, imageEnding, imageEndings, type ReadOptions, readImage } from './read.ts';
import { toSmallestIntegers, type Volume } from './volume.ts';

/** @throws InputError when the file cannot be read, or is no JSON */
export async function readJson(path: string): Promise<unknown> {
  const bytes = await readBytes(path);
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new InputError(`${path} is no JSON (${(cause as Error).message}); correct it.`, { cause });
  }
}

/** The file's name without folder and image ending: the name of a case. */
export function imageStem(path: string): string {
  const name = basename(path);
  return name.slice(0, name.length - (imageEnding(path)?.length ?? 0));
}

/**
 * Reads an image: a file of any format (with the one beside it that holds its voxels, where there are two), or a folder
 * with a DICOM series.
 * @param options which series, where a folder holds several
 * @throws InputError with a sentence that says why, when it cannot be read or is no image
 */
export async function readVolumeFile(path: string, options: ReadOptions = {}): Promise<VolumeImage> {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) throw new InputError(`There is no file ${path}; check the path.`);
  return readImage(stats.isDirectory() ? await seriesFiles(path) : await filesOfImage(path), options);
}

/** The files of a folder that holds DICOM. @throws InputError when none of them is DICOM */
async function seriesFiles(folder: string): Promise<readonly ImageFile[]> {
  const { files } = filesIn(folder);
  for (const file of files) if (isDicomFile(await file.read(dicomLetters))) return files;
  throw new InputError(
    `${folder} holds no image (${imageEndings.join(', ')}) and no DICOM series; name an image, a folder of images or a DICOM folder.`,
  );
}

/** Bytes up to the letters that make a file DICOM. */
const dicomLetters = 132;

/** The file, and the one that it cannot do without. */
async function filesOfImage(path: string): Promise<ImageFile[]> {
  const folder = dirname(path);
  const file = imageFile(folder, basename(path));
  const ending = imageEnding(path);
  const named = (name: string) => {
    const stats = statSync(join(folder, name), { throwIfNoEntry: false });
    return stats?.isFile() ? [imageFile(folder, name)] : [];
  };
  if (ending === '.hdr' || ending === '.img') {
    const stem = file.name.slice(0, -4);
    // The header first, whichever of the two was named.
    return ending === '.hdr' ? [file, ...named(`${stem}.img`)] : [...named(`${stem}.hdr`), file];
  }
  if (ending !== '.nhdr' && ending !== '.mhd') return [file];
  const companion = companionOf(await file.read(1 << 20), file.name);
  return companion === undefined ? [file] : [file, ...named(companion)];
}

/** Why nothing at all in a folder can be read, or some of it. */
interface Unread {
  readonly file: string;
  readonly reason: string;
}

/**
 * Files in a folder and in the folders in it, in the order of names; `deeper` counts folders below those. Links count as
 * what they lead to: data sets are often folders of links.
 * @throws InputError when the folder itself cannot be read
 */
export function filesIn(folder: string): {
  readonly files: readonly ImageFile[];
  readonly deeper: number;
  /** Folders that cannot be read. */
  readonly skipped: readonly Unread[];
} {
  const files: ImageFile[] = [];
  const skipped: Unread[] = [];
  let deeper = 0;
  for (const name of namesIn(folder, `The folder ${folder}`)) {
    const kind = kindOf(join(folder, name));
    if (kind === 'file') files.push(imageFile(folder, name));
    if (kind !== 'folder') continue;
    try {
      for (const inner of namesIn(join(folder, name), 'it')) {
        const innerKind = kindOf(join(folder, name, inner));
        if (innerKind === 'file') files.push(imageFile(folder, `${name}/${inner}`));
        if (innerKind === 'folder') deeper += 1;
      }
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      skipped.push({ file: name, reason: error.message.replace(/\.$/, '') });
    }
  }
  return { files, deeper, skipped };
}

function namesIn(folder: string, called: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    throw unreadable(error, called);
  }
}

/** Undefined for what is neither. */
function kindOf(path: string): 'file' | 'folder' | undefined {
  try {
    const stats = statSync(path, { throwIfNoEntry: false });
    return stats?.isFile() ? 'file' : stats?.isDirectory() ? 'folder' : undefined;
  } catch {
    // Opening it as a file will say why.
    return 'file';
  }
}

/** The file read in its own time; what it is called in messages is its name within the folder. */
function imageFile(folder: string, name: string): ImageFile {
  const path = join(folder, name);
  return {
    name,
    // Of a link that leads nowhere there is no size; reading it will say why.
    size: sizeOf(path),
    read: (length) => readStart(path, length, name),
  };
}

function sizeOf(path: string): number {
  try {
    return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  } catch {
    return 0;
  }
}

async function readStart(path: string, length: number | undefined, called: string): Promise<Uint8Array> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    throw unreadable(error, called);
  }
  try {
    const { size } = await file.stat();
    const bytes = new Uint8Array(Math.min(length ?? size, size));
    let filled = 0;
    while (filled < bytes.length) {
      const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return bytes.subarray(0, filled);
  } catch (error) {
    throw unreadable(error, called);
  } finally {
    await file.close();
  }
}

function unreadable(cause: unknown, called: string): InputError {
  const code = (cause as NodeJS.ErrnoException).code;
  const why = code === 'EACCES' || code === 'EPERM' ? 'permission denied' : (code ?? 'unknown reason');
  return new InputError(`${called} cannot be read (${why}).`, { cause });
}

/** The bytes of a file. @throws InputError when there is none or it cannot be read */
export async function readBytes(path: string): Promise<Uint8Array> {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) throw new InputError(`There is no file ${path}; check the path.`);
  if (stats.isDirectory()) throw new InputError(`${path} is a folder; a file is wanted here.`);
  return readStart(path, undefined, path);
}

/** Endings of the images that are written, longest first. */
export const writtenEndings = ['.nii.gz', '.nrrd', '.nii', '.mha'] as const;
export type WrittenEnding = (typeof writtenEndings)[number];

/** The ending of a path that can be written. @throws InputError when it has another */
export function writtenEnding(path: string): WrittenEnding {
  const ending = writtenEndings.find((each) => path.toLowerCase().endsWith(each));
  if (ending) return ending;
  throw new InputError(`Images are written as ${writtenEndings.join(', ')}, not as ${basename(path)}.`);
}

/**
 * The bytes of a file of this ending.
 * @param source header of the NIfTI file that the grid comes from, for NIfTI to repeat
 */
export async function encodeVolume(volume: Volume, ending: WrittenEnding, source?: NiftiHeader): Promise<Uint8Array> {
  switch (ending) {
    case '.nii':
      return writeNifti(volume, { gzip: false, source });
    case '.nii.gz':
      // Three times as fast as the compressor that browsers share, and in another thread.
      return promisify(gzip)(writeNifti(volume, { gzip: false, source }));
    case '.nrrd':
      return writeNrrd(volume);
    case '.mha':
      return writeMetaImage(volume);
  }
}

/** As `encodeVolume`, as the smallest integers. @throws RangeError when a value is no integer */
export function encodeLabels(labels: Volume, ending: WrittenEnding, source?: NiftiHeader): Promise<Uint8Array> {
  return encodeVolume({ ...labels, data: toSmallestIntegers(labels.data) }, ending, source);
}
