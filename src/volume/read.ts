/**
 * Any image that can be read here, from its files: by what they hold, not by what they are called. Node and the browser
 * share it; what a path is, is for files.node.ts and for the page.
 */
import { InputError } from '../errors.ts';
import { isDicomFile, readDicomSeries } from './formats/dicomSeries.ts';
import { isGzip } from './formats/gzip.ts';
import type { ImageFile, VolumeImage } from './formats/image.ts';
import { isMetaImage, metaImageDataFile, readMetaImage } from './formats/metaImage.ts';
import { readNifti } from './formats/nifti.ts';
import { isNrrd, nrrdDataFile, readNrrd } from './formats/nrrd.ts';

/** Endings of the images that can be read, longest first. DICOM files often have none. */
export const imageEndings = ['.nii.gz', '.nrrd', '.nhdr', '.nii', '.hdr', '.img', '.mha', '.mhd', '.dcm'] as const;

/** The ending of a path that names an image, undefined when it names none. */
export function imageEnding(path: string): string | undefined {
  return imageEndings.find((ending) => path.toLowerCase().endsWith(ending));
}

export interface ReadOptions {
  /** Which DICOM series, where there are several: its number in the listing (1, 2, ...) or its UID. */
  readonly series?: string;
}

/** Longest beginning that tells the formats apart: a MetaImage may begin with comments. */
const tellingBytes = 8192;

/**
 * Reads one image: one file; a header with the file of its voxels (.hdr and .img, .nhdr or .mhd and what it names); or the
 * files of one DICOM series, others among them.
 * @throws InputError with a sentence that says why, when they are no image, or several
 */
export async function readImage(files: readonly ImageFile[], options: ReadOptions = {}): Promise<VolumeImage> {
  if (files.length === 0) throw new InputError('There is no file; give an image or the files of a DICOM series.');
  const header = headerAmong(files);
  if (!header) return readDicomSeries(files, options);
  const { name } = header;
  const start = await header.read(tellingBytes);
  if (isDicomFile(start)) return readDicomSeries([header], options);
  if (isNrrd(start)) {
    const bytes = await header.read();
    return readNrrd(bytes, { name, data: await dataOf(header, nrrdDataFile(bytes, name), files) });
  }
  if (isMetaImage(start)) {
    const bytes = await header.read();
    return readMetaImage(bytes, { name, data: await dataOf(header, metaImageDataFile(bytes, name), files) });
  }
  const image = other(header, files);
  if (image) return readNifti(await header.read(), { name, image: await image.read() });
  if (/\.(hdr|img)$/i.test(name) && !isWholeNifti(start)) {
    throw new InputError(`${name} is one half of a .hdr/.img pair, and the other half is not beside it; copy both.`);
  }
  if (!isGzip(start) && !isNifti(start) && !/\.nii(\.gz)?$/i.test(name)) {
    throw new InputError(`${name} is none of the images that can be read here (${imageEndings.join(', ')}).`);
  }
  return readNifti(await header.read(), { name });
}

/** The file to begin with, of one image in one file or two; undefined for what can only be a DICOM series. */
function headerAmong(files: readonly ImageFile[]): ImageFile | undefined {
  if (files.length === 1) return files[0];
  return files.length === 2 ? files.find(({ name }) => /\.(hdr|nhdr|mhd)$/i.test(name)) : undefined;
}

const other = (file: ImageFile, files: readonly ImageFile[]) => files.find((each) => each !== file);

/** @throws InputError when the header names a file that is not there */
async function dataOf(
  header: ImageFile,
  wanted: string | undefined,
  files: readonly ImageFile[],
): Promise<Uint8Array | undefined> {
  if (wanted === undefined) return undefined;
  const data = other(header, files);
  if (data && baseName(data.name) === wanted) return data.read();
  throw new InputError(
    `${header.name} holds no voxels: they are in ${wanted}, which is not beside it; give both files, side by side.`,
  );
}

const baseName = (name: string) => name.slice(name.lastIndexOf('/') + 1);

/** NIfTI's own letters, or the length of an Analyze header, in either byte order. */
function isNifti(start: Uint8Array): boolean {
  const [a, b, c, d] = start;
  const length = (a | (b << 8) | (c << 16)) + d * 0x1000000;
  const swapped = (d | (c << 8) | (b << 16)) + a * 0x1000000;
  return [length, swapped].some((value) => value === 348 || value === 540);
}

/** A single file, whatever it is called: the letters n+1 (NIfTI-1) or n+2. */
function isWholeNifti(start: Uint8Array): boolean {
  const letters = (at: number) => String.fromCharCode(...start.subarray(at, at + 3));
  return letters(344) === 'n+1' || letters(4) === 'n+2';
}

/**
 * The name of the file that a header file needs besides itself, in the same folder; undefined when it needs none.
 * @param bytes all of the header file, or its first megabyte
 * @throws InputError when it asks for what cannot be given: several files, or one elsewhere
 */
export function companionOf(bytes: Uint8Array, name: string): string | undefined {
  if (isNrrd(bytes)) return nrrdDataFile(bytes, name);
  if (isMetaImage(bytes)) return metaImageDataFile(bytes, name);
  return undefined;
}
