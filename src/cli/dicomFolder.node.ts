/**
 * The DICOM series in a folder: every file in it, and one level of folders below, by its header. Reads of each file the
 * beginning, as far as its header goes.
 */
import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../errors.ts';
import { imageEnding } from '../volume/files.node.ts';
import { type DicomFile, type DicomHeader, isDicom, readDicomHeader, seriesOf } from '../volume/formats/dicom.ts';

export interface ListedSeries {
  /** 1, 2, ... in this listing. */
  readonly number: number;
  readonly modality: string;
  readonly files: number;
  readonly columns: number;
  readonly rows: number;
  readonly slices: number;
  /** Along x, y, z; undefined where positions are missing. */
  readonly spacingMm: readonly [number, number, number] | undefined;
  readonly transferSyntax: string;
  readonly notes: readonly string[];
}

interface Skipped {
  readonly file: string;
  readonly reason: string;
}

/** @throws InputError when the folder cannot be read, or there is no DICOM file: saying what there is and what to do */
export function readDicomFolder(folder: string): { series: ListedSeries[]; skipped: Skipped[] } {
  const { files, deeper, skipped } = filesIn(folder);
  const found: DicomFile[] = [];
  let damaged: Skipped | undefined;
  for (const file of files) {
    try {
      const header = headerOf(join(folder, file));
      if (header) found.push({ file, header });
      else skipped.push({ file, reason: 'no DICOM file' });
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      const reason = error.message.replace(/\.$/, '');
      skipped.push({ file, reason });
      damaged ??= { file, reason };
    }
  }
  if (found.length === 0) throw nothingIn(folder, files, deeper, damaged);
  const series = seriesOf(found).map(
    (one, index): ListedSeries => ({
      number: index + 1,
      modality: one.modality,
      files: one.files.length,
      columns: one.size[0],
      rows: one.size[1],
      slices: one.size[2],
      spacingMm: one.spacing,
      transferSyntax: one.transferSyntax,
      notes: one.notes,
    }),
  );
  return { series, skipped };
}

/** Files in the folder and in the folders in it, in the order of names; `deeper` counts folders below those. */
function filesIn(folder: string) {
  const files: string[] = [];
  const skipped: Skipped[] = [];
  let deeper = 0;
  for (const name of namesIn(folder, `The folder ${folder}`)) {
    const kind = kindOf(join(folder, name));
    if (kind === 'file') files.push(name);
    if (kind !== 'folder') continue;
    try {
      for (const inner of namesIn(join(folder, name), 'it')) {
        const innerKind = kindOf(join(folder, name, inner));
        if (innerKind === 'file') files.push(join(name, inner));
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

/** Bytes read at first: the header of a plain slice, and its pixels only when they are few. */
const firstBytes = 1 << 16;
/** Enhanced images describe thousands of frames in some 10 MB. */
const mostBytes = 1 << 28;

/** Undefined when the file is no DICOM file. Messages call it "it", because its name stands beside them. */
function headerOf(path: string): DicomHeader | undefined {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    throw unreadable(error, 'it');
  }
  try {
    const { size } = fstatSync(file);
    for (let wanted = firstBytes; ; wanted *= 16) {
      const bytes = readStart(file, Math.min(wanted, size));
      if (!isDicom(bytes)) return undefined;
      try {
        return readDicomHeader(bytes, 'it', size);
      } catch (error) {
        // The header may only go on behind the bytes read.
        if (!(error instanceof InputError) || bytes.length === size || wanted >= mostBytes) throw error;
      }
    }
  } finally {
    closeSync(file);
  }
}

function readStart(file: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let filled = 0;
  try {
    while (filled < length) {
      const count = readSync(file, bytes, filled, length - filled, filled);
      if (count === 0) break;
      filled += count;
    }
  } catch (error) {
    throw unreadable(error, 'it');
  }
  return bytes.subarray(0, filled);
}

function unreadable(cause: unknown, called: string): InputError {
  const code = (cause as NodeJS.ErrnoException).code;
  const why = code === 'EACCES' || code === 'EPERM' ? 'permission denied' : (code ?? 'unknown reason');
  return new InputError(`${called} cannot be read (${why}).`, { cause });
}

function nothingIn(folder: string, files: readonly string[], deeper: number, damaged: Skipped | undefined): InputError {
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
