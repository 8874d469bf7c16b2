/**
 * Small DICOM files written element by element (explicit little endian, PS3.5 section 7.1), for tests that need one with
 * a single thing about it. Values are texts, or bytes where a test says so.
 */

/** Types whose length takes four bytes after two empty ones. */
const longTypes = ['OB', 'OD', 'OF', 'OV', 'OW', 'SQ', 'UN', 'UT'];

/** One element, `0020,000e` as tag. Texts are padded to even length. */
export function element(tag: string, type: string, value: string | readonly number[]): number[] {
  const bytes = typeof value === 'string' ? [...value].map((letter) => letter.charCodeAt(0)) : [...value];
  if (bytes.length % 2 === 1) bytes.push(type === 'UI' ? 0 : 0x20);
  const [group, number] = tag.split(',').map((part) => Number.parseInt(part, 16));
  const { length } = bytes;
  const head = [...uint16(group), ...uint16(number), type.charCodeAt(0), type.charCodeAt(1)];
  return longTypes.includes(type)
    ? [...head, 0, 0, ...uint16(length & 0xffff), ...uint16(length >>> 16), ...bytes]
    : [...head, ...uint16(length), ...bytes];
}

const uint16 = (value: number): number[] => [value & 0xff, value >> 8];

/** A sequence of items, each of them elements. */
export function sequence(tag: string, ...items: readonly number[][]): number[] {
  const bytes = items.flatMap((item) => [
    ...uint16(0xfffe),
    ...uint16(0xe000),
    ...uint16(item.length),
    ...uint16(0),
    ...item,
  ]);
  return element(tag, 'SQ', bytes);
}

/**
 * Preamble, file group, and a data set as it is.
 * @param more elements of the file group, behind the transfer syntax
 */
export function part10(
  dataSet: readonly number[],
  transferSyntax = '1.2.840.10008.1.2.1',
  sopClass = '',
  more: readonly number[] = [],
): Uint8Array {
  const meta = [
    ...(sopClass ? element('0002,0002', 'UI', sopClass) : []),
    ...(transferSyntax ? element('0002,0010', 'UI', transferSyntax) : []),
    ...more,
  ];
  const length = element('0002,0000', 'UL', [...uint16(meta.length), 0, 0]);
  return Uint8Array.from([
    ...new Array<number>(128).fill(0),
    ...[...'DICM'].map((c) => c.charCodeAt(0)),
    ...length,
    ...meta,
    ...dataSet,
  ]);
}

export interface DrawnSlice {
  readonly modality?: string;
  readonly seriesUid?: string;
  readonly instanceNumber?: number;
  /** Columns, then rows. */
  readonly size?: readonly [number, number];
  readonly position?: string;
  readonly orientation?: string;
  readonly spacing?: string;
  readonly thickness?: string;
  readonly frames?: number;
  readonly intercept?: string;
  /** More elements in front of the pixels. */
  readonly groups?: readonly number[];
  readonly patient?: string;
}

/** The elements in front of the pixels: of 2 x 3, 16 bits each. An empty text leaves an element out. */
function sliceHeader({
  modality = 'CT',
  seriesUid = '1.2.3',
  instanceNumber = 1,
  size: [columns, rows] = [2, 3],
  position = '0\\0\\0',
  orientation = '1\\0\\0\\0\\1\\0',
  spacing = '0.5\\0.7',
  thickness = '',
  frames = 1,
  intercept = '',
  groups = [],
  patient = '',
}: DrawnSlice = {}): number[] {
  const text = (tag: string, type: string, value: string) => (value === '' ? [] : element(tag, type, value));
  return [
    ...text('0008,0060', 'CS', modality),
    ...text('0010,0010', 'PN', patient),
    ...text('0018,0050', 'DS', thickness),
    ...element('0020,000e', 'UI', seriesUid),
    ...text('0020,0013', 'IS', String(instanceNumber)),
    ...text('0020,0032', 'DS', position),
    ...text('0020,0037', 'DS', orientation),
    ...element('0028,0002', 'US', uint16(1)),
    ...text('0028,0008', 'IS', frames === 1 ? '' : String(frames)),
    ...element('0028,0010', 'US', uint16(rows)),
    ...element('0028,0011', 'US', uint16(columns)),
    ...text('0028,0030', 'DS', spacing),
    ...element('0028,0100', 'US', uint16(16)),
    ...text('0028,1052', 'DS', intercept),
    ...groups,
  ];
}

/** The data set of a slice whose pixels are 0. */
export function sliceDataSet(slice: DrawnSlice = {}): number[] {
  const { size: [columns, rows] = [2, 3], frames = 1 } = slice;
  return [...sliceHeader(slice), ...element('7fe0,0010', 'OW', new Array<number>(2 * rows * columns * frames).fill(0))];
}

/** A slice whose one frame is compressed by RLE (PS3.5, annex G) and holds 6 pixels, high bytes in front of low ones. */
export function drawnRleSlice(slice: DrawnSlice = {}): Uint8Array {
  const uint32 = (value: number) => [...uint16(value & 0xffff), ...uint16(value >>> 16)];
  const item = (tag: number, bytes: readonly number[]) => [
    ...uint16(0xfffe),
    ...uint16(tag),
    ...uint32(bytes.length),
    ...bytes,
  ];
  // Six times 0 in the high bytes; the numbers 1 to 6 in the low ones.
  const [high, low] = [
    [0xfb, 0],
    [5, 1, 2, 3, 4, 5, 6, 0],
  ];
  const segments = [2, 64, 64 + high.length, ...new Array<number>(13).fill(0)].flatMap(uint32);
  const pixels = [
    ...uint16(0x7fe0),
    ...uint16(0x0010),
    ...[...'OB'].map((c) => c.charCodeAt(0)),
    0,
    0,
    ...uint32(0xffffffff),
  ];
  return part10(
    [
      ...sliceHeader(slice),
      ...pixels,
      ...item(0xe000, []),
      ...item(0xe000, [...segments, ...high, ...low]),
      ...item(0xe0dd, []),
    ],
    '1.2.840.10008.1.2.5',
  );
}

export const drawnSlice = (slice?: DrawnSlice): Uint8Array => part10(sliceDataSet(slice));
