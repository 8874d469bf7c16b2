/**
 * Any image that can be read here, from its files: by what they hold where that shows, by their names where it does not.
 * Node and the browser share it; what a path is, is for files.node.ts and for the page.
 */
import { InputError } from '../errors.ts';
import type { ImageFile, VolumeImage } from './formats/image.ts';
import { readNifti } from './formats/nifti.ts';

/** Endings of the images that can be read, longest first. */
export const imageEndings = ['.nii.gz', '.nii', '.hdr', '.img'] as const;

/** The ending of a path that names an image, undefined when it names none. */
export function imageEnding(path: string): string | undefined {
  return imageEndings.find((ending) => path.toLowerCase().endsWith(ending));
}

export interface ReadOptions {
  /** Which DICOM series, where there are several: its number in the listing (1, 2, ...) or its UID. */
  readonly series?: string;
}

/**
 * Reads one image: one file, a file of a header with the file of its voxels, or the files of one DICOM series.
 * @throws InputError with a sentence that says why, when they are no image or several
 */
export async function readImage(files: readonly ImageFile[], _options: ReadOptions = {}): Promise<VolumeImage> {
  const header = files.find(({ name }) => /\.hdr$/i.test(name));
  const image = files.find(({ name }) => /\.img$/i.test(name));
  if (files.length === 2 && header && image) {
    return readNifti(await header.read(), { name: header.name, image: await image.read() });
  }
  if (files.length !== 1) throw new InputError(`${files.length} files are not one image; give one.`);
  return readNifti(await files[0].read(), { name: files[0].name });
}
