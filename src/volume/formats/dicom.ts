/**
 * Headers of DICOM files, and which of them are one series: what places and groups slices, read without their pixels.
 *
 * Positions and directions are in the patient's LPS coordinates in mm, as DICOM gives them (PS3.3, C.7.6.2). Names and
 * other identifiers of patients are never read, so that none can reach a message.
 */
import dicomParser from 'dicom-parser';
import { Inflate } from 'fflate';
import { InputError } from '../../errors.ts';
import type { Matrix3, Vector3 } from '../volume.ts';

interface DicomFrame {
  /** LPS position of the first voxel's center, in mm. */
  readonly position: Vector3 | undefined;
  /** Direction of a row (x increasing), then of a column. */
  readonly orientation: readonly number[] | undefined;
  /** mm between columns and between rows. */
  readonly spacing: readonly [x: number, y: number] | undefined;
}

export interface DicomHeader {
  readonly seriesUid: string;
  readonly seriesNumber: number | undefined;
  readonly instanceNumber: number | undefined;
  readonly modality: string;
  readonly transferSyntax: string;
  readonly rows: number;
  readonly columns: number;
  readonly samplesPerPixel: number;
  readonly bitsAllocated: number | undefined;
  readonly signed: boolean;
  readonly slope: number;
  readonly intercept: number;
  /** mm; not the distance between slices. */
  readonly sliceThickness: number | undefined;
  readonly gantryTiltDegrees: number;
  readonly hasPixels: boolean;
  /** One for each frame; a plain image is one frame. */
  readonly frames: readonly DicomFrame[];
}

/** PS3.5, annex A, by the last parts of the UID. */
const transferSyntaxes: Record<string, string> = {
  '1.2.840.10008.1.2': 'implicit little endian',
  '1.2.840.10008.1.2.1': 'explicit little endian',
  '1.2.840.10008.1.2.1.99': 'deflated',
  '1.2.840.10008.1.2.2': 'explicit big endian',
  '1.2.840.10008.1.2.5': 'RLE',
  '1.2.840.10008.1.2.4.50': 'JPEG baseline (lossy)',
  '1.2.840.10008.1.2.4.51': 'JPEG extended (lossy)',
  '1.2.840.10008.1.2.4.57': 'JPEG lossless',
  '1.2.840.10008.1.2.4.70': 'JPEG lossless, selection value 1',
  '1.2.840.10008.1.2.4.80': 'JPEG-LS lossless',
  '1.2.840.10008.1.2.4.81': 'JPEG-LS near-lossless',
  '1.2.840.10008.1.2.4.90': 'JPEG 2000 lossless',
  '1.2.840.10008.1.2.4.91': 'JPEG 2000',
};

export const transferSyntaxName = (uid: string) => transferSyntaxes[uid] ?? `transfer syntax ${uid}`;

/** Far more than any header; a deflated data set holds its pixels too. */
const inflationLimit = 1 << 30;

function inflateBounded(bytes: Uint8Array, position: number): Uint8Array {
  const chunks: Uint8Array[] = [bytes.slice(0, position)];
  let length = position;
  const inflate = new Inflate((chunk) => {
    length += chunk.length;
    if (length > inflationLimit) throw new Error('it inflates to more than 1 GB');
    chunks.push(chunk);
  });
  inflate.push(bytes.subarray(position), true);
  const out = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}

/** True for a file with DICOM's preamble of 128 bytes and the letters after it (PS3.10, section 7.1). */
export function isDicom(bytes: Uint8Array): boolean {
  return [0x44, 0x49, 0x43, 0x4d].every((letter, i) => bytes[128 + i] === letter);
}

/**
 * @param name what to call the file in messages
 * @throws InputError when it is no DICOM file or is damaged
 */
export function readDicomHeader(bytes: Uint8Array, name: string): DicomHeader {
  if (!isDicom(bytes)) {
    throw new InputError(`${name} is no DICOM file: the letters DICM are not at byte 128.`);
  }
  try {
    return headerOf(dicomParser.parseDicom(bytes, { untilTag: 'x7fe00010', inflater: inflateBounded } as never));
  } catch (cause) {
    // The library throws objects and texts, also where a value is cut; its words may hold values of the file, so they are
    // not repeated.
    throw new InputError(`${name} is a damaged DICOM file: its header cannot be read to the end.`, { cause });
  }
}

function headerOf(data: dicomParser.DataSet): DicomHeader {
  const sequence = (set: dicomParser.DataSet | undefined, tag: string) =>
    (set?.elements[tag]?.items ?? []).map(({ dataSet }) => dataSet).filter((item) => item !== undefined);
  const numbers = (set: dicomParser.DataSet | undefined, tag: string) => {
    const count = set?.numStringValues(tag) ?? 0;
    const values = Array.from({ length: count }, (_, i) => set!.floatString(tag, i) ?? Number.NaN);
    return values.length > 0 && values.every(Number.isFinite) ? values : undefined;
  };
  const frame = (set: dicomParser.DataSet | undefined, measures = set): DicomFrame => {
    const position = numbers(set, 'x00200032');
    const orientation = numbers(measures, 'x00200037');
    const spacing = numbers(measures, 'x00280030');
    return {
      position: position?.length === 3 ? [position[0], position[1], position[2]] : undefined,
      orientation: orientation?.length === 6 ? orientation : undefined,
      spacing: spacing?.length === 2 ? [spacing[1], spacing[0]] : undefined,
    };
  };
  // Enhanced images keep geometry in functional groups: shared ones, and one for each frame (PS3.3, C.7.6.16).
  const [shared] = sequence(data, 'x52009229');
  const perFrame = sequence(data, 'x52009230');
  const first = (set: dicomParser.DataSet | undefined, tag: string) => sequence(set, tag)[0];
  const frames =
    perFrame.length > 0
      ? perFrame.map((group) => ({
          position: frame(first(group, 'x00209113')).position,
          orientation: frame(first(group, 'x00209116') ?? first(shared, 'x00209116')).orientation,
          spacing: frame(first(group, 'x00289110') ?? first(shared, 'x00289110')).spacing,
        }))
      : [frame(data)];
  return {
    seriesUid: data.string('x0020000e') ?? '',
    seriesNumber: data.intString('x00200011'),
    instanceNumber: data.intString('x00200013'),
    modality: data.string('x00080060') ?? 'unknown',
    transferSyntax: data.string('x00020010') ?? '',
    rows: data.uint16('x00280010') ?? 0,
    columns: data.uint16('x00280011') ?? 0,
    samplesPerPixel: data.uint16('x00280002') ?? 1,
    bitsAllocated: data.uint16('x00280100'),
    signed: data.uint16('x00280103') === 1,
    slope: data.floatString('x00281053') ?? 1,
    intercept: data.floatString('x00281052') ?? 0,
    sliceThickness: data.floatString('x00180050'),
    gantryTiltDegrees: data.floatString('x00181120') ?? 0,
    hasPixels: data.elements['x7fe00010'] !== undefined,
    frames,
  };
}

export interface DicomFile {
  readonly path: string;
  readonly folder: string;
  readonly header: DicomHeader;
}

export interface DicomSeries {
  readonly modality: string;
  /** In slice order where positions are known. */
  readonly files: readonly DicomFile[];
  /** Voxels along x, y, z. */
  readonly size: Vector3;
  /** mm along x, y, z; undefined without positions. */
  readonly spacing: Vector3 | undefined;
  /** Smallest and largest distance of neighboring slices, mm. */
  readonly gaps: readonly [number, number] | undefined;
  readonly origin: Vector3 | undefined;
  readonly direction: Matrix3 | undefined;
  readonly transferSyntax: string;
  /** What speaks against taking it as a volume, or deserves to be known; one clause each. */
  readonly notes: readonly string[];
}

/**
 * Files that belong together: of one folder and one series UID (a copy of a series in another folder is another one);
 * where the UID is empty, of one size and orientation.
 */
export function seriesOf(files: readonly DicomFile[]): DicomSeries[] {
  const groups = new Map<string, DicomFile[]>();
  for (const file of files) {
    const { seriesUid, rows, columns, frames } = file.header;
    const orientation = frames[0]?.orientation?.map((value) => value.toFixed(3)).join();
    const key = `${file.folder}|${seriesUid === '' ? `${rows}|${columns}|${orientation}` : seriesUid}`;
    groups.set(key, [...(groups.get(key) ?? []), file]);
  }
  return [...groups.values()].map(describeSeries);
}

function cross(u: readonly number[], v: readonly number[]): Vector3 {
  return [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
}

const dot = (u: readonly number[], v: readonly number[]) => u[0] * v[0] + u[1] * v[1] + u[2] * v[2];

/** Slices further to the side than this from where the normal leads are a sheared stack. */
const lateralToleranceMm = 0.1;
/** Relative difference of the largest from the smallest gap from which on gaps are uneven. */
const gapTolerance = 0.01;

function describeSeries(files: readonly DicomFile[]): DicomSeries {
  const [{ header }] = files;
  const notes: string[] = [];
  const base = {
    modality: header.modality,
    transferSyntax: transferSyntaxName(header.transferSyntax),
    gaps: undefined,
    spacing: undefined,
    origin: undefined,
    direction: undefined,
  };
  const slices = files.flatMap((file) => file.header.frames.map((frame) => ({ file, frame })));
  const size: Vector3 = [header.columns, header.rows, slices.length];
  if (!header.hasPixels && header.rows === 0) {
    return { ...base, files, size, notes: [`holds no image (${header.modality})`] };
  }
  if (header.modality === 'SEG') notes.push('a segmentation, not a scan');
  if (header.samplesPerPixel > 1) notes.push(`a color image, ${header.samplesPerPixel} samples a pixel`);
  if (files.some(({ header: other }) => other.rows !== header.rows || other.columns !== header.columns)) {
    notes.push('its files have different sizes');
  }
  const placed = slices.filter(({ frame }) => frame.position && frame.orientation && frame.spacing);
  if (placed.length < slices.length) {
    notes.push('position, orientation or pixel spacing are missing: it has no place in the patient');
    return { ...base, files, size, notes };
  }
  const { orientation, spacing: inPlane } = placed[0].frame;
  const [row, column] = [orientation!.slice(0, 3), orientation!.slice(3)];
  const normal = cross(row, column);
  const along = (position: readonly number[]) => dot(position, normal);
  placed.sort((a, b) => along(a.frame.position!) - along(b.frame.position!));
  const positions = placed.map(({ frame }) => frame.position!);
  const steps = positions.slice(1).map((position, i) => along(position) - along(positions[i]));
  const gaps: [number, number] | undefined = steps.length > 0 ? [Math.min(...steps), Math.max(...steps)] : undefined;
  const span = along(positions.at(-1)!) - along(positions[0]);
  const mean = steps.length > 0 ? span / steps.length : undefined;

  if (placed.some(({ frame }) => frame.orientation!.some((value, i) => Math.abs(value - orientation![i]) > 1e-3))) {
    notes.push('its slices have different orientations');
  }
  if (gaps && (gaps[0] < 1e-6 || gaps[1] - gaps[0] > gapTolerance * gaps[1])) {
    const what =
      gaps[0] < 1e-6
        ? 'several slices at one position'
        : `uneven gaps of ${mm(gaps[0])} to ${mm(gaps[1])} mm between slices`;
    notes.push(`${what}: no regular grid`);
  }
  const lateral = steps.map((step, i) => {
    const moved = positions[i + 1].map((value, axis) => value - positions[i][axis] - step * normal[axis]);
    return Math.hypot(...moved);
  });
  const shift = Math.max(0, ...lateral);
  if (shift > lateralToleranceMm)
    notes.push(`slices are shifted sideways by up to ${mm(shift)} mm each: a sheared stack`);
  if (Math.abs(header.gantryTiltDegrees) > 0.01) notes.push(`gantry tilted by ${mm(header.gantryTiltDegrees)} degrees`);
  if (placed.length === 1) notes.push('a single slice');
  const ordered = [...new Set(placed.map(({ file }) => file))];
  return {
    ...base,
    files: ordered,
    size,
    gaps,
    // A single slice is as thick as it says; between several only their positions count.
    spacing: [inPlane![0], inPlane![1], mean ?? header.sliceThickness ?? 1],
    origin: positions[0],
    direction: [row[0], column[0], normal[0], row[1], column[1], normal[1], row[2], column[2], normal[2]],
    notes,
  };
}

const mm = (value: number) => Number(value.toFixed(3));
