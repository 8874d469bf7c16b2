import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DrawnSlice, drawnSlice, element, part10, sliceDataSet } from '../../test/drawnDicom.ts';
import { hasShared, sharedPath } from '../../test/shared.ts';
import { InputError } from '../errors.ts';
import { readDicomFolder } from './dicomFolder.node.ts';

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'dicom-folder-'));
});
afterAll(() => rmSync(root, { recursive: true }));

let drawn = 0;
/** A new folder with these files in it; a drawn slice, bytes, or text. */
function folderOf(files: Record<string, DrawnSlice | Uint8Array | string>): string {
  const folder = join(root, String(++drawn));
  mkdirSync(folder);
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    const plain = typeof content === 'string' || content instanceof Uint8Array;
    writeFileSync(path, plain ? content : drawnSlice(content));
  }
  return folder;
}

const at = (z: number): DrawnSlice => ({ position: `0\\0\\${z}` });

async function refusal(folder: string): Promise<string> {
  try {
    await readDicomFolder(folder);
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return (error as InputError).message.replace(folder, 'FOLDER');
  }
  throw new Error('nothing was refused');
}

describe('a folder of DICOM files', () => {
  it('lists its own series and those of the folders in it, and says what it skipped', async () => {
    const folder = folderOf({
      'a.dcm': at(0),
      'b.dcm': at(2),
      'notes.txt': 'no image',
      'inner/c.dcm': { ...at(0), modality: 'MR', thickness: '3' },
      'inner/deep/d.dcm': at(0),
      'short.dcm': drawnSlice().subarray(0, -1),
    });
    expect(await readDicomFolder(folder)).toEqual({
      series: [
        {
          number: 1,
          modality: 'CT',
          files: 2,
          columns: 2,
          rows: 3,
          slices: 2,
          spacingMm: [0.7, 0.5, 2],
          transferSyntax: 'explicit little endian',
          notes: [],
        },
        {
          number: 2,
          modality: 'MR',
          files: 1,
          columns: 2,
          rows: 3,
          slices: 1,
          spacingMm: [0.7, 0.5, 3],
          transferSyntax: 'explicit little endian',
          notes: ['a single slice'],
        },
      ],
      skipped: [
        { file: 'notes.txt', reason: 'no DICOM file' },
        {
          file: 'short.dcm',
          reason: 'it is cut off: 12 bytes of pixels are announced and 11 are there; copy it again',
        },
      ],
    });
  });

  it('reads on where a header is longer than the first 64 KB', async () => {
    // 40 private elements (0009,10XX) of 30,000 bytes: more than a second reading of 1 MB holds.
    const groups = Array.from({ length: 40 }, (_, i) =>
      element(`0029,${(0x1000 + i).toString(16)}`, 'LO', 'x'.repeat(30_000)),
    ).flat();
    const { series, skipped } = await readDicomFolder(folderOf({ 'a.dcm': { groups } }));
    expect(series.map(({ columns, rows, slices }) => [columns, rows, slices])).toEqual([[2, 3, 1]]);
    expect(skipped).toEqual([]);
  });

  it('follows links, and passes over those that lead nowhere, or to themselves', async () => {
    const folder = folderOf({ 'a.dcm': at(0) });
    symlinkSync(join(folderOf({ 'b.dcm': at(2) }), 'b.dcm'), join(folder, 'b.dcm'));
    symlinkSync(join(folder, 'nowhere'), join(folder, 'c.dcm'));
    symlinkSync(join(folder, 'loop'), join(folder, 'loop'));
    const { series, skipped } = await readDicomFolder(folder);
    expect(series.map(({ slices }) => slices)).toEqual([2]);
    expect(skipped).toEqual([{ file: 'loop', reason: 'it cannot be read (ELOOP)' }]);
  });

  it.skipIf(process.getuid?.() === 0 || process.platform === 'win32')('skips what it may not read', async () => {
    const folder = folderOf({ 'a.dcm': at(0), 'b.dcm': at(2), 'inner/c.dcm': at(4) });
    chmodSync(join(folder, 'b.dcm'), 0);
    chmodSync(join(folder, 'inner'), 0);
    const { skipped } = await readDicomFolder(folder);
    chmodSync(join(folder, 'inner'), 0o700);
    expect(skipped).toEqual([
      { file: 'inner', reason: 'it cannot be read (permission denied)' },
      { file: 'b.dcm', reason: 'it cannot be read (permission denied)' },
    ]);
  });
});

describe('a folder without a DICOM file', () => {
  it('of other scans is said to be one', async () => {
    expect(await refusal(folderOf({ 'a.nii.gz': '', 'b.nii': '', 'notes.txt': '' }))).toBe(
      'FOLDER holds no DICOM file that can be read and no model bundle among its 3 files; it holds 2 images: give one of them, or the folder to `unetrpp predict`.',
    );
  });

  it('with folders of folders says how deep was searched', async () => {
    expect(await refusal(folderOf({ 'patient/study/a.dcm': at(0) }))).toMatch(
      /among its 0 files; folders are searched one level deep, and there are 1 below: name the folder of one series\.$/,
    );
  });

  it('with a damaged one says which and why', async () => {
    expect(await refusal(folderOf({ 'a.dcm': part10(sliceDataSet(), '') }))).toMatch(
      /among its 1 file; of a\.dcm: it does not say how it is encoded/,
    );
  });

  it('with a DICOM directory alone says that it is an index', async () => {
    const directory = part10(element('0004,1130', 'CS', 'DISC'), undefined, '1.2.840.10008.1.3.10');
    expect(await refusal(folderOf({ DICOMDIR: directory, 'a/b/c.dcm': at(0) }))).toMatch(
      /of DICOMDIR: it is a DICOM directory, an index of other files/,
    );
  });

  it('says what else could be named', async () => {
    expect(await refusal(folderOf({ 'notes.txt': '' }))).toMatch(
      /among its 1 file; name a model bundle, or the folder of a DICOM series\.$/,
    );
    expect(await refusal(join(root, 'nowhere'))).toBe('The folder FOLDER cannot be read (ENOENT).');
  });
});

describe.skipIf(!hasShared)('the reference data', () => {
  const listed = (name: string) => readDicomFolder(sharedPath('data', 'dicom', name));

  it('in twelve transfer syntaxes, one folder each, are twelve series of 96 x 96 x 12', async () => {
    const { series, skipped } = await listed('ct_syntaxes');
    expect(skipped).toEqual([]);
    expect(series.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(new Set(series.map(({ transferSyntax }) => transferSyntax)).size).toBe(12);
    for (const { number: _, transferSyntax, ...one } of series) {
      expect(one, transferSyntax).toEqual({
        modality: 'CT',
        files: 12,
        columns: 96,
        rows: 96,
        slices: 12,
        spacingMm: [0.9765625, 0.9765625, 2],
        notes: [],
      });
    }
  });

  it('of bad files are three that are no scan and four that are skipped', async () => {
    const { series, skipped } = await listed('bad');
    expect(series.map(({ modality, notes }) => [modality, notes[0]])).toEqual([
      ['OT', 'a color image, 3 samples a pixel'],
      ['RTDOSE', 'a dose distribution, not a scan'],
      ['SR', 'holds no image (SR)'],
    ]);
    expect(skipped.map(({ file, reason }) => [file, reason.split(/[:(]/)[0].trim()])).toEqual([
      ['MR_truncated.dcm', 'it is cut off'],
      ['meta_missing_tsyntax.dcm', 'it does not say how it is encoded'],
      ['no_meta.dcm', 'no DICOM file'],
      ['not_dicom.dcm', 'no DICOM file'],
    ]);
  });

  it('of segmentations are five, beside the scan that they were drawn on', async () => {
    const { series } = await listed('seg');
    expect(series.map(({ modality, slices }) => [modality, slices])).toEqual([
      ['SEG', 2],
      ['SEG', 3],
      ['SEG', 3],
      ['SEG', 8],
      ['SEG', 3],
      ['CT', 4],
    ]);
  });

  it('of single slices are a CT, eight codings of one MR slice, and a screen capture', async () => {
    expect((await listed('single')).series.map(({ modality, files, notes }) => [modality, files, notes[0]])).toEqual([
      ['CT', 1, 'a single slice'],
      ['MR', 8, '8 slices at one position (copies, or taken several times): no regular grid'],
      ['OT', 1, 'position, orientation or pixel spacing are missing: it has no place in the patient'],
    ]);
  });

  it('of an enhanced image, whose header is longer than 64 KB, is a series of its frames', async () => {
    const [{ files, slices, spacingMm, notes }] = (await listed('enhanced_mr')).series;
    expect({ files, slices, notes }).toEqual({ files: 1, slices: 6, notes: [] });
    expect(spacingMm![2]).toBeCloseTo(2.4, 6);
  });
});
