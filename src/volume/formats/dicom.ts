/**
 * Headers of DICOM files, and which of them are one series: what places and groups slices, read without their pixels.
 *
 * Positions and directions are in the patient's LPS coordinates in mm, as DICOM gives them (PS3.3, C.7.6.2). Elements are
 * dicom-parser's to read; decoding pixels is left to the reader of a volume, which finds here where they lie and in which
 * order the slices go. Names and other identifiers of patients are never read, so that none can reach a message.
 */
import dicomParser from 'dicom-parser';
import { Inflate } from 'fflate';
import { InputError, ResourceError } from '../../errors.ts';
import type { Matrix3, Vector3 } from '../volume.ts';
import { allocate } from './gzip.ts';

interface DicomFrame {
  /** LPS position of the first voxel's center, in mm. */
  readonly position: Vector3 | undefined;
  /** Direction cosines of a row (x increasing), then of a column, as stored. */
  readonly orientation: readonly number[] | undefined;
  /** mm between the centers of columns and of rows. */
  readonly spacing: readonly [x: number, y: number] | undefined;
  /** mm; not the distance between slices. */
  readonly sliceThickness: number | undefined;
  /** Intensity = slope * stored value + intercept; 1 and 0 where the file says nothing. */
  readonly slope: number;
  readonly intercept: number;
}

export interface DicomHeader {
  readonly seriesUid: string;
  readonly seriesNumber: number | undefined;
  readonly instanceNumber: number | undefined;
  readonly modality: string;
  /** UID, and what a person calls it. */
  readonly transferSyntax: string;
  readonly transferSyntaxName: string;
  readonly rows: number;
  readonly columns: number;
  readonly samplesPerPixel: number;
  /** `MONOCHROME1` (small values are bright), `MONOCHROME2`, `RGB`, ... */
  readonly photometric: string;
  readonly bitsAllocated: number | undefined;
  readonly bitsStored: number | undefined;
  /** Bit that holds the most significant one of a stored value, 0 the least. */
  readonly highBit: number | undefined;
  /** Pixel representation: stored values are in two's complement. */
  readonly signed: boolean;
  /** 0 where the file says nothing. */
  readonly gantryTiltDegrees: number;
  readonly numberOfFrames: number;
  /**
   * One for each frame, in the order of the pixels. Empty for several frames without a place for each (classic multi-frame
   * images, dose grids); shorter than `numberOfFrames` where a file describes too few.
   */
  readonly frames: readonly DicomFrame[];
  /** How many frames the file describes one by one, which should be `numberOfFrames`; undefined when it describes none. */
  readonly describedFrames: number | undefined;
  /** Stored values become intensities by a table (Modality LUT, PS3.3 C.11.1), not by slope and intercept. */
  readonly intensityTable: boolean;
  readonly pixels: DicomPixels | undefined;
}

interface DicomPixels {
  /** Where their value begins: in the file, or in the inflated data set of a deflated one (`dataSetBytes`). */
  readonly offset: number;
  /** Bytes; undefined when compressed. */
  readonly length: number | undefined;
  readonly stored: 'integers' | 'float32' | 'float64';
  /** Stored as words of 16 bits, which matters to pixels of 8 bits in big endian. */
  readonly words: boolean;
  /** Extended offset table (PS3.3, C.7.6.3.1.8): where each compressed frame begins, in bytes behind the first item. */
  readonly frameOffsets: readonly number[] | undefined;
}

const implicitLittleEndian = '1.2.840.10008.1.2';
const deflatedExplicitLittleEndian = '1.2.840.10008.1.2.1.99';
export const explicitBigEndian = '1.2.840.10008.1.2.2';
/** Transfer syntaxes whose pixels lie in the file one after the other. */
const uncompressed: readonly string[] = [
  implicitLittleEndian,
  '1.2.840.10008.1.2.1',
  deflatedExplicitLittleEndian,
  explicitBigEndian,
];

/** PS3.5, section 10 and annex A. */
const transferSyntaxNames: Readonly<Record<string, string>> = {
  [implicitLittleEndian]: 'implicit little endian',
  '1.2.840.10008.1.2.1': 'explicit little endian',
  [deflatedExplicitLittleEndian]: 'deflated',
  [explicitBigEndian]: 'explicit big endian',
  '1.2.840.10008.1.2.5': 'RLE',
  '1.2.840.10008.1.2.4.50': 'JPEG baseline (lossy)',
  '1.2.840.10008.1.2.4.51': 'JPEG extended (lossy)',
  '1.2.840.10008.1.2.4.57': 'JPEG lossless',
  '1.2.840.10008.1.2.4.70': 'JPEG lossless, selection value 1',
  '1.2.840.10008.1.2.4.80': 'JPEG-LS lossless',
  '1.2.840.10008.1.2.4.81': 'JPEG-LS near-lossless (lossy)',
  '1.2.840.10008.1.2.4.90': 'JPEG 2000 lossless',
  // Lossless or lossy, which only its code stream tells.
  '1.2.840.10008.1.2.4.91': 'JPEG 2000',
  '1.2.840.10008.1.2.4.201': 'HTJ2K lossless',
  '1.2.840.10008.1.2.4.202': 'HTJ2K lossless, by resolution',
  '1.2.840.10008.1.2.4.203': 'HTJ2K',
};

/** Pixels as numbers of 32 and 64 bits, and as integers (PS3.3, C.7.6.24, C.7.6.25, C.7.6.3). */
const pixelElements: Readonly<Record<string, DicomPixels['stored']>> = {
  x7fe00008: 'float32',
  x7fe00009: 'float64',
  x7fe00010: 'integers',
};
const firstPixelElement = 'x7fe00008';
const undefinedLength = 0xffffffff;

/** True for a file with DICOM's preamble of 128 bytes and the letters after it (PS3.10, section 7.1). */
export function isDicom(bytes: Uint8Array): boolean {
  return [0x44, 0x49, 0x43, 0x4d].every((letter, i) => bytes[128 + i] === letter);
}

/**
 * The header of a DICOM file, from all of its bytes or from as many of its first ones as reach to the pixels.
 * @param name what to call the file in messages
 * @param fileLength bytes of the whole file, when `bytes` are only its beginning
 * @throws InputError when it is no DICOM file, is damaged or cut off, or `bytes` end before the pixels
 */
export function readDicomHeader(bytes: Uint8Array, name: string, fileLength = bytes.length): DicomHeader {
  if (!isDicom(bytes)) {
    throw new InputError(
      `${name} is no DICOM file: the letters DICM are not at byte 128; export it again with its file header.`,
    );
  }
  return parsed(name, () => headerOf(readUntilPixels(bytes, name, fileLength), name));
}

function parsed<T>(name: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof InputError || error instanceof ResourceError) throw error;
    // The library throws texts and objects that may hold values of the file, so they are neither repeated nor passed on.
    throw new InputError(
      `${name} is a damaged DICOM file: its header cannot be read to the end; copy or export it again.`,
    );
  }
}

/** Pixels that are compressed lie in items, one or more for a frame (PS3.5, annex A.4). */
export function isCompressed(header: DicomHeader): boolean {
  return !uncompressed.includes(header.transferSyntax);
}

/**
 * The bytes that the header's `pixels.offset` counts in: the inflated data set of a deflated file, else the file as it is.
 * @throws InputError when the deflated data are damaged
 */
export function dataSetBytes(bytes: Uint8Array, { transferSyntax }: DicomHeader, name: string): Uint8Array {
  if (transferSyntax !== deflatedExplicitLittleEndian) return bytes;
  const { end } = parsed(name, () => readFileGroup(bytes, name));
  const inflated = inflateStart(bytes.subarray(end), true, name);
  if (!inflated.complete) {
    throw new InputError(
      `${name} is cut off, or inflates to more than ${inflatedLimit} bytes; copy it again, or export it in another transfer syntax.`,
    );
  }
  return inflated.bytes;
}

/** Everything before the pixels, as the library's data set. */
interface DataSetStart {
  readonly set: dicomParser.DataSet;
  readonly transferSyntax: string;
  readonly pixels: DicomHeader['pixels'];
  /** Bytes of the pixels that are there; undefined where that is not known. */
  readonly present: number | undefined;
}

// The library's types leave out that its data set is a class.
const { DataSet } = dicomParser as unknown as {
  DataSet: new (
    parser: dicomParser.ByteArrayParser,
    bytes: Uint8Array,
    elements: Record<string, dicomParser.Element>,
  ) => dicomParser.DataSet;
};

const { littleEndianByteArrayParser: little, bigEndianByteArrayParser: big, ByteStream } = dicomParser;

function readFileGroup(bytes: Uint8Array, name: string): { transferSyntax: string; end: number } {
  // The file's own group is always explicit little endian (PS3.10, section 7.1).
  const metaStream = new ByteStream(little, bytes, 132);
  const meta = new DataSet(
    little,
    bytes,
    readElements(metaStream, true, (tag) => tag.startsWith('x0002')),
  );
  const transferSyntax = meta.string('x00020010') ?? '';
  if (!/^[0-9.]{1,64}$/.test(transferSyntax)) {
    throw new InputError(
      `${name} does not say how it is encoded (it has no transfer syntax), so it cannot be read; export it again.`,
    );
  }
  if (meta.string('x00020002') === '1.2.840.10008.1.3.10') {
    throw new InputError(`${name} is a DICOM directory, an index of other files without an image; give those files.`);
  }

  return { transferSyntax, end: metaStream.position };
}

function readUntilPixels(bytes: Uint8Array, name: string, fileLength: number): DataSetStart {
  const { transferSyntax, end } = readFileGroup(bytes, name);
  let [content, from, length] = [bytes, end, fileLength as number | undefined];
  if (transferSyntax === deflatedExplicitLittleEndian) {
    const inflated = inflateStart(bytes.subarray(from), bytes.length === fileLength, name);
    [content, from, length] = [inflated.bytes, 0, inflated.complete ? inflated.bytes.length : undefined];
  }
  const explicit = transferSyntax !== implicitLittleEndian;
  const parser = transferSyntax === explicitBigEndian ? big : little;
  const stream = new ByteStream(parser, content, from);
  const set = new DataSet(
    parser,
    content,
    readElements(stream, explicit, (tag) => tag < firstPixelElement),
  );
  if (stream.position === content.length) {
    if (length !== content.length) throw new RangeError('the bytes given end before the pixels');
    return { set, transferSyntax, pixels: undefined, present: undefined };
  }
  const pixelTag = dicomParser.readTag(new ByteStream(parser, content, stream.position));
  const element = explicit
    ? dicomParser.readDicomElementExplicit(stream, [], pixelTag)
    : dicomParser.readDicomElementImplicit(stream, pixelTag);
  const stored = pixelElements[element.tag];
  return {
    set,
    transferSyntax,
    pixels: stored && {
      offset: element.dataOffset,
      length: element.length === undefinedLength ? undefined : element.length,
      stored,
      words: element.vr !== 'OB',
      frameOffsets: frameOffsetsOf(set),
    },
    present: length === undefined ? undefined : length - element.dataOffset,
  };
}

function frameOffsetsOf(set: dicomParser.DataSet): number[] | undefined {
  const table = set.elements['x7fe00001'];
  if (!table) return undefined;
  const view = new DataView(set.byteArray.buffer, set.byteArray.byteOffset + table.dataOffset, table.length);
  return Array.from({ length: table.length >> 3 }, (_, frame) => Number(view.getBigUint64(8 * frame, true)));
}

/**
 * The elements up to the first that does not belong (they are in ascending order, and so are tags as text; PS3.5, section
 * 7.1); the stream stands before that one then, or at its end. Only this outermost level is walked here: the library does
 * not know the 64-bit types (OV, SV, UV), which stand before the pixels of compressed files with an extended offset table,
 * and lets values run past the end.
 * @throws anything, when the bytes are no elements
 */
function readElements(stream: dicomParser.ByteStream, explicit: boolean, belongs: (tag: string) => boolean) {
  const elements: Record<string, dicomParser.Element> = {};
  const { byteArray, byteArrayParser, warnings } = stream;
  while (stream.position < byteArray.length) {
    const start = stream.position;
    const tag = dicomParser.readTag(stream);
    const type = explicit ? dicomParser.readFixedString(byteArray, start + 4, 2) : '';
    stream.position = start;
    if (!belongs(tag)) break;
    if (type === 'OV' || type === 'SV' || type === 'UV') {
      const length = byteArrayParser.readUint32(byteArray, start + 8);
      elements[tag] = { tag, vr: type, length, dataOffset: start + 12 };
      stream.seek(12 + length);
    } else {
      elements[tag] = explicit
        ? dicomParser.readDicomElementExplicit(stream, warnings)
        : dicomParser.readDicomElementImplicit(stream);
    }
    // Of a sequence without its end the library only warns.
    if (stream.position > byteArray.length || warnings.length > 0) throw new RangeError('a value runs past the end');
  }
  return elements;
}

/** Far more than any header; whole series of enhanced frames are described in a tenth of it. */
const inflatedLimit = 1 << 26;
/** Compressed bytes a step, each of which can inflate to 1032 bytes before the limit is looked at. */
const stepBytes = 1 << 14;

/** The beginning of a deflated data set: `complete` when that is all of it. */
function inflateStart(deflated: Uint8Array, ends: boolean, name: string) {
  const chunks: Uint8Array[] = [];
  let length = 0;
  let complete = false;
  const inflate = new Inflate((chunk, final) => {
    chunks.push(chunk);
    length += chunk.length;
    complete = final;
  });
  try {
    for (let at = 0; at < deflated.length && length < inflatedLimit; at += stepBytes) {
      inflate.push(deflated.subarray(at, at + stepBytes), ends && at + stepBytes >= deflated.length);
    }
  } catch {
    throw new InputError(`The deflated data of ${name} are cut off or damaged; copy or export the file again.`);
  }
  const bytes = allocate(length, name);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return { bytes, complete };
}

function headerOf({ set, transferSyntax, pixels, present }: DataSetStart, name: string): DicomHeader {
  const numberOfFrames = Math.max(1, whole(set, 'x00280008') ?? 1);
  const plain = frameOf({ plane: set, position: set, measures: set, rescale: set }, name);
  // Enhanced images keep geometry in functional groups: shared ones, and some for each frame (PS3.3, C.7.6.16).
  const [shared] = items(set, 'x52009229');
  const perFrame = items(set, 'x52009230');
  const frames =
    perFrame.length > 0
      ? perFrame.slice(0, numberOfFrames).map((own) => {
          const group = (tag: string) => items(own, tag)[0] ?? items(shared, tag)[0];
          const parts = {
            position: group('x00209113'),
            plane: group('x00209116'),
            measures: group('x00289110'),
            rescale: group('x00289145'),
          };
          return frameOf(parts, name);
        })
      : numberOfFrames === 1
        ? [plain]
        : [];
  const header: DicomHeader = {
    seriesUid: set.string('x0020000e') ?? '',
    seriesNumber: whole(set, 'x00200011'),
    instanceNumber: whole(set, 'x00200013'),
    modality: code(set, 'x00080060') ?? 'unknown',
    transferSyntax,
    transferSyntaxName: transferSyntaxNames[transferSyntax] ?? `transfer syntax ${transferSyntax}`,
    rows: set.uint16('x00280010') ?? 0,
    columns: set.uint16('x00280011') ?? 0,
    samplesPerPixel: set.uint16('x00280002') ?? 1,
    photometric: code(set, 'x00280004') ?? 'unknown',
    bitsAllocated: set.uint16('x00280100'),
    bitsStored: set.uint16('x00280101'),
    highBit: set.uint16('x00280102'),
    signed: set.uint16('x00280103') === 1,
    intensityTable: items(set, 'x00283000').length > 0,
    gantryTiltDegrees: numbers(set, 'x00181120')?.[0] ?? 0,
    numberOfFrames,
    frames,
    describedFrames: perFrame.length > 0 ? perFrame.length : undefined,
    pixels,
  };
  checkPixels(header, present, name);
  return header;
}

type Group = dicomParser.DataSet | undefined;

function frameOf(parts: { position: Group; plane: Group; measures: Group; rescale: Group }, name: string): DicomFrame {
  const position = numbers(parts.position, 'x00200032');
  const orientation = numbers(parts.plane, 'x00200037');
  const spacing = numbers(parts.measures, 'x00280030');
  const [thickness] = numbers(parts.measures, 'x00180050') ?? [];
  const rescale = (tag: string, otherwise: number) => {
    const value = numbers(parts.rescale, tag)?.[0];
    // A wrong intercept shifts every intensity, unseen: nothing is assumed where something is said.
    if (value === undefined && parts.rescale?.string(tag)) {
      throw new InputError(`${name} is damaged: its rescale slope or intercept is no number; export it again.`);
    }
    return value ?? otherwise;
  };
  return {
    position: position?.length === 3 ? [position[0], position[1], position[2]] : undefined,
    orientation: orientation?.length === 6 ? orientation : undefined,
    // Stored as distance of rows, then of columns.
    spacing: spacing?.length === 2 && spacing[0] > 0 && spacing[1] > 0 ? [spacing[1], spacing[0]] : undefined,
    sliceThickness: thickness > 0 ? thickness : undefined,
    slope: rescale('x00281053', 1),
    intercept: rescale('x00281052', 0),
  };
}

/** Items of a sequence; none where there is no such sequence. */
function items(set: Group, tag: string): dicomParser.DataSet[] {
  return (set?.elements[tag]?.items ?? []).map(({ dataSet }) => dataSet).filter((item) => item !== undefined);
}

/** Decimal texts (DS, IS) of an element; undefined when it is absent, empty, or one of them is no number. */
function numbers(set: Group, tag: string): number[] | undefined {
  const texts = set?.string(tag)?.split('\\');
  const values = texts?.map((text) => (text.trim() === '' ? Number.NaN : Number(text)));
  return values?.every(Number.isFinite) ? values : undefined;
}

function whole(set: dicomParser.DataSet, tag: string): number | undefined {
  const value = numbers(set, tag)?.[0];
  return Number.isSafeInteger(value) ? value : undefined;
}

/** A code word (CS, PS3.5 section 6.2). What is none is dropped: in a damaged file it may be anybody's name. */
function code(set: dicomParser.DataSet, tag: string): string | undefined {
  const text = set.string(tag);
  return text && /^[A-Z0-9_ ]{1,16}$/.test(text) ? text : undefined;
}

/** @throws InputError when fewer pixels are there than the header announces */
function checkPixels(header: DicomHeader, present: number | undefined, name: string): void {
  const { pixels, rows, columns, numberOfFrames, samplesPerPixel, bitsAllocated = 0 } = header;
  if (!pixels) return;
  if (pixels.length !== undefined && present !== undefined && pixels.length > present) {
    throw new InputError(
      `${name} is cut off: ${pixels.length} bytes of pixels are announced and ${present} are there; copy it again.`,
    );
  }
  // A compressed frame takes an item of eight bytes at least. Of color images only the reader of their pixels knows the size.
  const needed = isCompressed(header)
    ? 8 * numberOfFrames
    : samplesPerPixel === 1
      ? Math.ceil((rows * columns * numberOfFrames * bitsAllocated) / 8)
      : 0;
  const there = pixels.length ?? present;
  if (there !== undefined && there < needed) {
    throw new InputError(
      `${name} is damaged: ${columns} x ${rows} pixels in ${numberOfFrames} frames need ${needed} bytes and ${there} are there; copy or export it again.`,
    );
  }
}

export interface DicomFile {
  /** Path within what is listed; all before its last slash is its folder. */
  readonly file: string;
  readonly header: DicomHeader;
}

export interface DicomSeries {
  readonly modality: string;
  /** In slice order where the slices have places, else by instance number. */
  readonly files: readonly DicomFile[];
  /** Frame numbers (from 0) in slice order, along `direction`'s third column; empty without geometry. */
  readonly slices: readonly { readonly file: DicomFile; readonly frame: number }[];
  /** Voxels along x, y, z. */
  readonly size: Vector3;
  /** mm along x, y, z; the mean distance of slices, or the thickness of a single one. Undefined without geometry. */
  readonly spacing: Vector3 | undefined;
  /** Smallest and largest distance of neighboring slices, mm; undefined for a single position. */
  readonly gaps: readonly [number, number] | undefined;
  /** LPS position of the first voxel of the first slice, mm. */
  readonly origin: Vector3 | undefined;
  readonly direction: Matrix3 | undefined;
  readonly transferSyntax: string;
  /** Why it is no volume on a regular grid; empty for a series that is one. One clause each. */
  readonly faults: readonly string[];
  /** The faults, and what else deserves to be known. */
  readonly notes: readonly string[];
}

/** Largest difference of direction cosines of slices that are parallel. */
const orientationTolerance = 1e-3;
/** Slices this near to each other lie at one position. */
const samePositionMm = 1e-3;
/** Part of the slice distance by which a slice may miss its place; rounded positions do by 1 %, a lost slice by 50 %. */
const gapTolerance = 0.05;
/** Sideways; below half a pixel of any body scan, above what cosines of four decimals do over half a meter. */
const lateralToleranceMm = 0.2;

/**
 * Files that belong together: of one folder and one series UID (a copy of a series in another folder is another series);
 * where the UID is empty, of one folder, size and orientation. In the order of the first file of each.
 */
export function seriesOf(files: readonly DicomFile[]): DicomSeries[] {
  const groups: DicomFile[][] = [];
  const byKey = new Map<string, DicomFile[][]>();
  for (const file of files) {
    const { seriesUid, rows, columns } = file.header;
    const folder = /^(.*[\\/])?/.exec(file.file)![0];
    const key = `${folder}\n${seriesUid === '' ? `${columns} x ${rows}` : seriesUid}`;
    const candidates = byKey.get(key) ?? [];
    byKey.set(key, candidates);
    const group = seriesUid === '' ? candidates.find(([other]) => sameOrientation(other, file)) : candidates[0];
    if (group) group.push(file);
    else {
      const opened = [file];
      candidates.push(opened);
      groups.push(opened);
    }
  }
  return groups.map(describeSeries);
}

function sameOrientation({ header: a }: DicomFile, { header: b }: DicomFile): boolean {
  const [first, second] = [a.frames[0]?.orientation, b.frames[0]?.orientation];
  return first && second ? parallel(first, second) : first === second;
}

const parallel = (a: readonly number[], b: readonly number[]) =>
  a.every((value, i) => Math.abs(value - b[i]) <= orientationTolerance);

/** What modalities are that have pixels and are no scan. */
const notScans: Readonly<Record<string, string>> = {
  SEG: 'a segmentation, not a scan',
  RTDOSE: 'a dose distribution, not a scan',
};

function describeSeries(group: readonly DicomFile[]): DicomSeries {
  const [{ header }] = group;
  const faults: string[] = [];
  const remarks: string[] = [];
  const files = [...group].sort(byInstance);
  const slices = files.flatMap((file) => file.header.frames.map((_, frame) => ({ file, frame })));
  const count = files.reduce((sum, file) => sum + file.header.numberOfFrames, 0);
  const listed = () => ({
    modality: header.modality,
    size: [header.columns, header.rows, count] as const,
    transferSyntax: [...new Set(files.map((file) => file.header.transferSyntaxName))].join(', '),
    faults,
    notes: [...faults, ...remarks],
  });
  const withoutGeometry = (): DicomSeries => ({
    ...listed(),
    files,
    slices: [],
    spacing: undefined,
    gaps: undefined,
    origin: undefined,
    direction: undefined,
  });

  if (files.every((file) => !file.header.pixels)) {
    faults.push(`holds no image (${header.modality})`);
    return { ...withoutGeometry(), size: [header.columns, header.rows, 0] };
  }
  if (header.modality in notScans) faults.push(notScans[header.modality]);
  if (header.samplesPerPixel > 1) faults.push(`a color image, ${header.samplesPerPixel} samples a pixel`);
  if (files.some((file) => file.header.photometric === 'PALETTE COLOR')) faults.push('a color image, from a palette');
  if (files.some((file) => file.header.intensityTable)) {
    faults.push('its intensities come from a table (Modality LUT), which is not read');
  }
  if (new Set(files.map((file) => file.header.photometric === 'MONOCHROME1')).size > 1) {
    faults.push('its files differ in whether small values are bright (MONOCHROME1)');
  }
  const described = files.find(
    ({ header: { describedFrames = 0, numberOfFrames } }) => describedFrames > numberOfFrames,
  )?.header;
  if (described) {
    remarks.push(`${described.describedFrames} frames are described and ${described.numberOfFrames} stored`);
  }
  if (files.some((file) => !file.header.pixels)) faults.push('some of its files hold no pixels');
  const placed = slices.flatMap(({ file, frame }) => {
    const { position, orientation, spacing } = file.header.frames[frame];
    return position && orientation && spacing ? [{ file, frame, position, orientation, spacing }] : [];
  });
  const [first] = placed;
  if (placed.length < count) {
    faults.push('position, orientation or pixel spacing are missing: it has no place in the patient');
    return withoutGeometry();
  }
  const direction = directionOf(first.orientation);
  // Without one grid in the plane, distances across it say nothing.
  const apart = [
    files.some(({ header: { rows, columns } }) => rows !== header.rows || columns !== header.columns) &&
      'its files have different sizes',
    placed.some(({ orientation }) => !parallel(orientation, first.orientation)) &&
      'its slices have different orientations',
    placed.some(({ spacing: [x, y] }) => differs(x, first.spacing[0]) || differs(y, first.spacing[1])) &&
      'its slices have different pixel spacings',
    !direction && 'its row and column directions are not at right angles',
  ].filter((fault) => fault !== false);
  faults.push(...apart);
  if (!direction || apart.length > 0) return withoutGeometry();

  const normal: Vector3 = [direction[2], direction[5], direction[8]];
  const ordered = placed
    .map((slice) => ({ ...slice, along: dot(slice.position, normal) }))
    .sort((a, b) => a.along - b.along || byInstance(a.file, b.file) || a.frame - b.frame);
  const { position: origin, along: start } = ordered[0];
  const levels = [start];
  for (const { along } of ordered) if (along - levels.at(-1)! > samePositionMm) levels.push(along);
  const steps = levels.slice(1).map((level, i) => level - levels[i]);
  const mean = steps.length > 0 ? (levels.at(-1)! - start) / steps.length : undefined;
  const gaps = steps.length > 0 ? ([least(steps), -least(steps.map((step) => -step))] as const) : undefined;

  if (levels.length < ordered.length) {
    const places = levels.length === 1 ? 'one position' : `${levels.length} positions`;
    faults.push(`${ordered.length} slices at ${places} (copies, or taken several times): no regular grid`);
  }
  if (mean && levels.some((level, k) => Math.abs(level - start - k * mean) > gapTolerance * mean)) {
    faults.push(`uneven gaps of ${short(gaps![0])} to ${short(gaps![1])} mm between slices: no regular grid`);
  }
  const offsets = ordered.map(({ position, along }) =>
    position.map((value, axis) => value - origin[axis] - (along - start) * normal[axis]),
  );
  const total = -least(offsets.map((offset) => -Math.hypot(...offset)));
  if (total > lateralToleranceMm) {
    const each = -least(
      offsets.slice(1).map((offset, i) => -Math.hypot(...offset.map((v, axis) => v - offsets[i][axis]))),
    );
    faults.push(
      `slices are shifted sideways by up to ${short(each)} mm each, ${short(total)} mm in all: a sheared stack`,
    );
  }
  if (Math.abs(header.gantryTiltDegrees) > 0.01) {
    remarks.push(`gantry tilted by ${short(header.gantryTiltDegrees)} degrees`);
  }
  if (ordered.length === 1) remarks.push('a single slice');
  const { sliceThickness } = ordered[0].file.header.frames[ordered[0].frame];
  if (!mean && !sliceThickness) remarks.push('its slice thickness is unknown: 1 mm is assumed');
  return {
    ...listed(),
    files: [...new Set(ordered.map(({ file }) => file))],
    slices: ordered.map(({ file, frame }) => ({ file, frame })),
    gaps,
    spacing: [...first.spacing, mean ?? sliceThickness ?? 1],
    origin,
    direction,
  };
}

function byInstance({ header: a }: DicomFile, { header: b }: DicomFile): number {
  return (a.instanceNumber ?? 0) - (b.instanceNumber ?? 0);
}

/**
 * Row, column and normal as the columns of a matrix, made exactly perpendicular (stored cosines are rounded); undefined
 * when the two are not, by more than one degree or so.
 */
function directionOf(orientation: readonly number[]): Matrix3 | undefined {
  const [row, column] = [orientation.slice(0, 3), orientation.slice(3)];
  const crooked = [dot(row, row) - 1, dot(column, column) - 1, dot(row, column)];
  if (!crooked.every((value) => Math.abs(value) < 0.02)) return undefined;
  const x = unit(row);
  const z = unit(cross(row, column));
  const y = unit(cross(z, x));
  return [x[0], y[0], z[0], x[1], y[1], z[1], x[2], y[2], z[2]];
}

const dot = (u: readonly number[], v: readonly number[]) => u[0] * v[0] + u[1] * v[1] + u[2] * v[2];

function cross(u: readonly number[], v: readonly number[]): Vector3 {
  return [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
}

/** Without negative zeros. */
function unit(v: readonly number[]): Vector3 {
  const length = Math.sqrt(dot(v, v));
  return [v[0] / length + 0, v[1] / length + 0, v[2] / length + 0];
}

/** Smallest of many: `Math.min(...values)` ends at some 100,000 arguments. */
const least = (values: readonly number[]) => values.reduce((low, value) => Math.min(low, value), Infinity);

const differs = (a: number, b: number) => Math.abs(a - b) > 1e-3 * b;

const short = (value: number) => Number(value.toFixed(3));
