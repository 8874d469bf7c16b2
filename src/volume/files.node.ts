/**
 * Volumes from and to files in Node: finds the pair of an Analyze-style image, says in a sentence why a file cannot be
 * read. What is inside the bytes is for formats/.
 */
import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { InputError } from '../errors.ts';
import { type NiftiImage, readNifti } from './formats/nifti.ts';

/** Endings of the images that can be read, longest first. */
export const imageEndings = ['.nii.gz', '.nii', '.hdr', '.img'] as const;

/** The ending of a path that names an image, undefined when it names none. */
export function imageEnding(path: string): string | undefined {
  return imageEndings.find((ending) => path.toLowerCase().endsWith(ending));
}

/** The file's name without folder and image ending: the name of a case. */
export function imageStem(path: string): string {
  const name = basename(path);
  return name.slice(0, name.length - (imageEnding(path)?.length ?? 0));
}

/** @throws InputError with a sentence that says why, when the file cannot be read or is no image */
export async function readVolumeFile(path: string): Promise<NiftiImage> {
  const name = basename(path);
  const ending = imageEnding(path);
  if (ending === '.img' || ending === '.hdr') {
    const stem = path.slice(0, -4);
    const [header, image] = [`${stem}.hdr`, `${stem}.img`];
    if (existsSync(header) && existsSync(image)) {
      return readNifti(await readBytes(header), { name: basename(header), image: await readBytes(image) });
    }
    if (!existsSync(path)) throw missing(path);
    throw new InputError(`${name} is one half of a .hdr/.img pair, and the other half is not beside it; copy both.`);
  }
  const bytes = await readBytes(path);
  if (!ending) {
    throw new InputError(`${name} is none of the images that can be read here (${imageEndings.join(', ')}).`);
  }
  return readNifti(bytes, { name });
}

const missing = (path: string) => new InputError(`There is no file ${path}; check the path.`);

/** The bytes of a file. @throws InputError when there is none or it cannot be read */
export async function readBytes(path: string): Promise<Uint8Array> {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) throw missing(path);
  if (stats.isDirectory()) throw new InputError(`${path} is a folder; a file is wanted here.`);
  try {
    const bytes = await readFile(path);
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'EACCES') throw new InputError(`${path} may not be read: permission denied.`, { cause });
    throw new InputError(`${path} cannot be read: ${message}.`, { cause });
  }
}
