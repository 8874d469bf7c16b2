/**
 * A DICOM series as a volume: from files in any order, and with others among them, to voxels on one grid. Which files are a
 * series, and whether it is a regular grid, is dicom.ts's to say; this file chooses the series, reads its slices one file at
 * a time, and refuses what would be a wrong volume. Sentences name files, numbers, modalities and sizes, nothing else of
 * what a file says: not its description, and nobody's name.
 */
import { InputError, ResourceError } from '../../errors.ts';
import { rangeOf, type Vector3, type VoxelData } from '../volume.ts';
import { type DicomFile, type DicomHeader, type DicomSeries, isDicom, readDicomHeader, seriesOf } from './dicom.ts';
import { framesOf } from './dicomPixels.ts';
import type { ImageFile, VolumeImage } from './image.ts';

interface ListedSeries {
  /** 1, 2, ... in this listing. */
  readonly number: number;
  readonly modality: string;
  readonly files: number;
  readonly columns: number;
  readonly rows: number;
  readonly slices: number;
  /** Along x, y, z; undefined where positions are missing. */
  readonly spacingMm: Vector3 | undefined;
  readonly transferSyntax: string;
  readonly notes: readonly string[];
}

export interface SkippedFile {
  readonly file: string;
  readonly reason: string;
}

/** The reason of a file that is skipped because it is something else. */
export const notDicom = 'no DICOM file';

export interface DicomListing {
  readonly series: readonly ListedSeries[];
  /** What is no DICOM file, or a damaged one, in the order of names. */
  readonly skipped: readonly SkippedFile[];
}

export interface DicomReadOptions {
  /** Number of the series in the listing (1, 2, ...), or its UID; needed where several are scans. */
  readonly series?: string;
}

/** True for a file whose first bytes (132 at least) are a DICOM file's. */
export const isDicomFile = isDicom;

/** What series there are among files, in the order of their names. Never throws for what a file holds. */
export async function listDicomSeries(files: readonly ImageFile[]): Promise<DicomListing> {
  const { series, skipped } = await readHeaders(files);
  return { series: series.map(listed), skipped };
}

function listed(series: DicomSeries, index: number): ListedSeries {
  return {
    number: index + 1,
    modality: series.modality,
    files: series.files.length,
    columns: series.size[0],
    rows: series.size[1],
    slices: series.size[2],
    spacingMm: series.spacing,
    transferSyntax: series.transferSyntax,
    notes: series.notes,
  };
}

/**
 * The volume of one series: x along rows, y along columns, z along the normal of the slices; intensities after rescaling,
 * in the smallest of int16, uint16, int32 and uint32 that holds them where all slopes and intercepts are integers, else in
 * float32.
 * @throws InputError when there is no series, or several and none is chosen, or the one chosen is no regular grid of gray
 * values, or cannot be decoded
 * @throws ResourceError when the voxels do not fit into memory
 */
export async function readDicomSeries(
  files: readonly ImageFile[],
  options: DicomReadOptions = {},
): Promise<VolumeImage> {
  const found = await readHeaders(files);
  const index = chooseSeries(found, options.series);
  const chosen = found.series[index];
  refuseFaults(chosen, index, found.series);
  refuseDamagedNeighbors(chosen, found);
  refuseEmptyPromises(chosen, found.sources);
  const { data, notFinite } = await readVoxels(chosen, found.sources);
  const [x, y, z] = chosen.size;
  const notices = noticesOf(found.series, index);
  if (notFinite > 0) {
    notices.push(`${notFinite} of ${data.length} voxels of the DICOM series were not finite and are 0 now.`);
  }
  const { spacing, origin, direction } = chosen;
  return {
    format: `DICOM, ${chosen.transferSyntax}`,
    volume: { shape: [z, y, x], spacing: spacing!, origin: origin!, direction: direction!, channels: 1, data },
    notices,
  };
}

interface Found {
  readonly series: readonly DicomSeries[];
  readonly sources: ReadonlyMap<DicomFile, ImageFile>;
  readonly skipped: readonly SkippedFile[];
  /** Those of the skipped that are DICOM files. */
  readonly damaged: readonly SkippedFile[];
}

async function readHeaders(files: readonly ImageFile[]): Promise<Found> {
  const sources = new Map<DicomFile, ImageFile>();
  const skipped: SkippedFile[] = [];
  const damaged: SkippedFile[] = [];
  for (const file of [...files].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))) {
    try {
      const header = await headerOf(file);
      if (header) sources.set({ file: file.name, header }, file);
      else skipped.push({ file: file.name, reason: notDicom });
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      const sentence = error.message.replace(/\.$/, '');
      // The file's name stands beside it.
      const named = sentence.startsWith(`${file.name} `);
      const one = { file: file.name, reason: named ? `it${sentence.slice(file.name.length)}` : sentence };
      skipped.push(one);
      damaged.push(one);
    }
  }
  return { series: seriesOf([...sources.keys()]), sources, skipped, damaged };
}

/** Bytes read at first: the header of a plain slice, and its pixels only when they are few. */
const firstBytes = 1 << 16;
/** Enhanced images describe thousands of frames in some 10 MB. */
const mostBytes = 1 << 28;

/** Undefined when the file is no DICOM file. Messages call it "it", because its name stands beside them. */
async function headerOf(file: ImageFile): Promise<DicomHeader | undefined> {
  for (let wanted = firstBytes; ; wanted *= 16) {
    const bytes = await file.read(Math.min(wanted, file.size));
    if (!isDicom(bytes)) return undefined;
    try {
      return readDicomHeader(bytes, 'it', file.size);
    } catch (error) {
      // The header may only go on behind the bytes read.
      if (!(error instanceof InputError) || bytes.length >= file.size || wanted >= mostBytes) throw error;
    }
  }
}

/** Index of the series to read. */
function chooseSeries({ series, damaged }: Found, wanted: string | undefined): number {
  if (series.length === 0) {
    const [first] = damaged;
    throw new InputError(
      first
        ? `There is no DICOM file that can be read; of ${first.file}: ${first.reason}.`
        : 'There is no DICOM file among these files; give the files of one DICOM series.',
    );
  }
  const all = series.map((_, index) => index);
  if (wanted !== undefined) {
    const matching = /^\d{1,9}$/.test(wanted)
      ? all.filter((index) => index === Number(wanted) - 1)
      : all.filter((index) => series[index].files[0].header.seriesUid === wanted);
    if (matching.length === 1) return matching[0];
    throw new InputError(
      `${matching.length === 0 ? 'No DICOM series here has this number or UID' : `${matching.length} DICOM series here have this UID`}; choose one with --series N: ${listing(series, all)}.`,
    );
  }
  const scans = all.filter((index) => series[index].faults.length === 0);
  if (scans.length === 1) return scans[0];
  if (scans.length > 1) {
    throw new InputError(
      `There are ${scans.length} DICOM scans here and one is wanted; choose it with --series N: ${listing(series, scans)}.`,
    );
  }
  if (series.length === 1) return 0;
  throw new InputError(
    `None of the ${series.length} DICOM series here is a scan that can be read: ${listing(series, all)}; give the files of one whole scan.`,
  );
}

/** Long lists are cut: a sentence is to be read. */
const mostListed = 20;

function listing(series: readonly DicomSeries[], indices: readonly number[]): string {
  const more = indices.length - mostListed;
  return [
    ...indices.slice(0, mostListed).map((index) => `series ${index + 1} (${described(series[index])})`),
    ...(more > 0 ? [`and ${more} more`] : []),
  ].join('; ');
}

function described({ modality, size, spacing, files, faults }: DicomSeries): string {
  const mm = spacing && `${spacing.map((value) => Number(value.toFixed(4))).join(' x ')} mm`;
  const held = `${files.length} file${files.length === 1 ? '' : 's'}`;
  return [modality, size.join(' x '), mm, held, ...faults].filter((part) => part !== undefined).join(', ');
}

function refuseFaults(chosen: DicomSeries, index: number, series: readonly DicomSeries[]): void {
  if (chosen.faults.length === 0) return;
  const which = series.length === 1 ? 'The DICOM series' : `DICOM series ${index + 1}`;
  throw new InputError(
    `${which} (${described({ ...chosen, faults: [] })}) cannot be read as a volume: ${chosen.faults.join('; ')}. Give the files of one whole scan, all of its slices and nothing else.`,
  );
}

/**
 * A damaged file may be a slice of the series, and at its end nobody would miss it. Only an index of the files, which has
 * its name from the standard (PS3.10, section 8.6), is none.
 */
function refuseDamagedNeighbors({ files }: DicomSeries, { damaged }: Found): void {
  const folderOf = (file: string) => /^(.*[\\/])?/.exec(file)![0];
  const folder = folderOf(files[0].file);
  const neighbor = damaged.find(({ file }) => folderOf(file) === folder && file.slice(folder.length) !== 'DICOMDIR');
  if (neighbor) {
    throw new InputError(
      `${neighbor.file} may be a slice of the DICOM series and cannot be read: ${neighbor.reason}. Without it the scan may be incomplete: mend the file, or take it out of the folder.`,
    );
  }
}

/** Pixels that any file may have: a blank image compresses to next to nothing. */
const freePixels = 1 << 24;
/** Pixels for each byte of a file beyond them; as much as inflation can give. */
const pixelsForEachByte = 1032;

/** Before memory is taken for the voxels: there must be about as many files, in bytes, as could hold them. */
function refuseEmptyPromises(
  { files, size: [columns, rows, count] }: DicomSeries,
  sources: ReadonlyMap<DicomFile, ImageFile>,
): void {
  const bytes = files.reduce((sum, file) => sum + sources.get(file)!.size, 0);
  if (columns * rows * count <= freePixels + pixelsForEachByte * bytes) return;
  throw new InputError(
    `The DICOM series claims ${columns} x ${rows} x ${count} voxels, and its files have ${bytes} bytes, in which so many cannot be; they are damaged, copy them again.`,
  );
}

function noticesOf(series: readonly DicomSeries[], index: number): string[] {
  const chosen = series[index];
  const others = series.map((_, other) => other).filter((other) => other !== index);
  return [
    ...(others.length > 0
      ? [`DICOM series ${index + 1} was read (${described(chosen)}), and not ${listing(series, others)}.`]
      : []),
    ...chosen.notes.map((note) => `The DICOM series: ${note}.`),
    ...(chosen.files[0].header.photometric === 'MONOCHROME1'
      ? ['Small values are bright in this DICOM series (MONOCHROME1); they are kept as stored, not inverted.']
      : []),
    ...(chosen.files.some(({ header }) => header.photometric === 'unknown')
      ? ['The DICOM series does not say whether large values are bright; they are taken to be (MONOCHROME2).']
      : []),
  ];
}

/** Types for integers, the first that holds them is taken. */
const integerTypes = [
  { type: Int16Array, low: -0x8000, high: 0x7fff },
  { type: Uint16Array, low: 0, high: 0xffff },
  { type: Int32Array, low: -0x80000000, high: 0x7fffffff },
  { type: Uint32Array, low: 0, high: 0xffffffff },
] as const;

async function readVoxels(
  { slices, size: [columns, rows, count] }: DicomSeries,
  sources: ReadonlyMap<DicomFile, ImageFile>,
): Promise<{ data: VoxelData; notFinite: number }> {
  const byFile = new Map<DicomFile, { readonly slice: number; readonly frame: number }[]>();
  let integers = true;
  for (const [slice, { file, frame }] of slices.entries()) {
    const { slope, intercept } = file.header.frames[frame];
    if (slope === 0) {
      throw new InputError(`${file.file} has a rescale slope of 0, so its intensities are unknown; export it again.`);
    }
    integers &&= file.header.pixels!.stored === 'integers' && Number.isInteger(slope) && Number.isInteger(intercept);
    const frames = byFile.get(file) ?? [];
    byFile.set(file, frames);
    frames.push({ slice, frame });
  }
  const pixels = columns * rows;
  let data = allocateVoxels(integers ? Int16Array : Float32Array, pixels * count);
  let [low, high] = [0, 0];
  let notFinite = 0;
  for (const [file, frames] of byFile) {
    const storedFrame = framesOf(await sources.get(file)!.read(), file.header, file.file);
    for (const { slice, frame } of frames) {
      const values = await storedFrame(frame);
      const { slope, intercept } = file.header.frames[frame];
      if (integers) {
        const ends = rangeOf(values).map((value) => slope * value + intercept);
        [low, high] = [Math.min(low, ...ends), Math.max(high, ...ends)];
        // Few scans stored in 16 bits without a sign need more than 15, so the type grows when a slice asks for it.
        data = widened(data, low, high);
      }
      const start = slice * pixels;
      for (let i = 0; i < pixels; i++) {
        const value = slope * values[i] + intercept;
        if (Number.isFinite(value)) data[start + i] = value;
        else notFinite += 1;
      }
    }
  }
  return { data, notFinite };
}

/** The same array while its type holds integers from `low` to `high`, else its values in one that does. */
function widened(data: VoxelData, low: number, high: number): VoxelData {
  const holding = integerTypes.filter((one) => one.low <= low && high <= one.high);
  if (holding.some(({ type }) => data instanceof type)) return data;
  const wider = allocateVoxels(holding[0]?.type ?? Float32Array, data.length);
  wider.set(data);
  return wider;
}

/** @throws ResourceError when there is not so much memory */
function allocateVoxels(type: new (length: number) => VoxelData, length: number): VoxelData {
  try {
    return new type(length);
  } catch (cause) {
    throw new ResourceError(
      `The DICOM series needs memory for ${length} voxels at once, more than this machine gives.`,
      { cause },
    );
  }
}
