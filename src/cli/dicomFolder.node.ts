/**
 * The DICOM series in a folder: every file in it, and one level of folders below, by its header. What a series is, is
 * formats/dicomSeries.ts's to say; here are the files, as a disk has them.
 */
import { readdirSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError } from '../errors.ts';
import { imageEnding } from '../volume/files.node.ts';
import { type DicomListing, listDicomSeries, notDicom, type SkippedFile } from '../volume/formats/dicomSeries.ts';
import type { ImageFile } from '../volume/formats/image.ts';

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

/** Files in the folder and in the folders in it, in the order of names; `deeper` counts folders below those. */
export function filesIn(folder: string): {
  readonly files: readonly ImageFile[];
  readonly deeper: number;
  /** Folders that cannot be read. */
  readonly skipped: readonly SkippedFile[];
} {
  const files: ImageFile[] = [];
  const skipped: SkippedFile[] = [];
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

/** Links count as what they lead to: data sets are often folders of links. Undefined for what is neither. */
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
    async read(length = Number.POSITIVE_INFINITY) {
      let file: FileHandle;
      try {
        file = await open(path, 'r');
      } catch (error) {
        throw unreadable(error, name);
      }
      try {
        const bytes = new Uint8Array(Math.min(length, (await file.stat()).size));
        let filled = 0;
        while (filled < bytes.length) {
          const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, filled);
          if (bytesRead === 0) break;
          filled += bytesRead;
        }
        return bytes.subarray(0, filled);
      } catch (error) {
        throw unreadable(error, name);
      } finally {
        await file.close();
      }
    },
  };
}

function sizeOf(path: string): number {
  try {
    return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  } catch {
    return 0;
  }
}

function unreadable(cause: unknown, called: string): InputError {
  const code = (cause as NodeJS.ErrnoException).code;
  const why = code === 'EACCES' || code === 'EPERM' ? 'permission denied' : (code ?? 'unknown reason');
  return new InputError(`${called} cannot be read (${why}).`, { cause });
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
      `${held}; it holds ${count(images, 'NIfTI image')}: give one of them, or the folder to \`unetrpp predict\`.`,
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
