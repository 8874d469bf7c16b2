/**
 * The DICOM series in a folder: every file in it, and one level of folders below, by its header; and what to say when there
 * is none.
 */
import { InputError } from '../errors.ts';
import { filesIn } from '../volume/files.node.ts';
import { type DicomListing, listDicomSeries, notDicom, type SkippedFile } from '../volume/formats/dicomSeries.ts';
import { imageEnding } from '../volume/index.ts';

/** @throws InputError when the folder cannot be read, or there is no DICOM file: saying what there is and what to do */
export async function readDicomFolder(folder: string): Promise<DicomListing> {
  const { files, deeper, skipped } = filesIn(folder);
  const listing = await listDicomSeries(files);
  if (listing.series.length > 0) return { series: listing.series, skipped: [...skipped, ...listing.skipped] };
  throw nothingIn(
    folder,
    files.map(({ name }) => name),
    deeper,
    listing.skipped.find(({ reason }) => reason !== notDicom),
  );
}

function nothingIn(
  folder: string,
  files: readonly string[],
  deeper: number,
  damaged: SkippedFile | undefined,
): InputError {
  const images = files.filter((file) => imageEnding(file) !== undefined).length;
  const held = `${folder} holds no DICOM file that can be read and no model bundle among its ${count(files.length, 'file')}`;
  if (damaged) return new InputError(`${held}; of ${damaged.file}: ${damaged.reason}.`);
  if (images > 0) {
    return new InputError(
      `${held}; it holds ${count(images, 'image')}: give one of them, or the folder to \`unetrpp predict\`.`,
    );
  }
  if (deeper > 0) {
    return new InputError(
      `${held}; folders are searched one level deep, and there are ${deeper} below: name the folder of one series.`,
    );
  }
  return new InputError(`${held}; name a model bundle, or the folder of a DICOM series.`);
}

const count = (n: number, noun: string) => `${n} ${noun}${n === 1 ? '' : 's'}`;
