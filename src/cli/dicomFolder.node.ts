/**
 * The DICOM series in a folder: every file in it, and one level of folders below, by its header.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { InputError } from '../errors.ts';
import { imageEnding } from '../volume/files.node.ts';
import { type DicomFile, isDicom, readDicomHeader, seriesOf } from '../volume/formats/dicom.ts';

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

function filesIn(folder: string): string[] {
  const entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isFile()) return [path];
    if (!entry.isDirectory()) return [];
    return readdirSync(path, { withFileTypes: true })
      .filter((inner) => inner.isFile())
      .map((inner) => join(path, inner.name));
  });
}

/** @throws InputError when there is no DICOM file, saying what there is */
export function readDicomFolder(folder: string): {
  series: ListedSeries[];
  skipped: { file: string; reason: string }[];
} {
  const found: DicomFile[] = [];
  const skipped: { file: string; reason: string }[] = [];
  const paths = filesIn(folder);
  for (const path of paths) {
    const file = relative(folder, path);
    const bytes = new Uint8Array(readFileSync(path));
    if (!isDicom(bytes)) {
      skipped.push({ file, reason: 'no DICOM file' });
      continue;
    }
    try {
      found.push({ path, folder: join(path, '..'), header: readDicomHeader(bytes, file) });
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      skipped.push({ file, reason: error.message });
    }
  }
  if (found.length === 0) {
    const images = paths.filter((path) => imageEnding(path) !== undefined).length;
    const advice =
      images > 0
        ? `it holds ${images} NIfTI images: give one of them, or the folder to \`unetrpp predict\``
        : 'name a model bundle, or the folder of a DICOM series';
    throw new InputError(
      `${folder} holds no DICOM file that can be read and no model bundle among its ${paths.length} files; ${advice}.`,
    );
  }
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
