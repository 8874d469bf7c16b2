/**
 * MetaImage (ITK's MetaIO: .mha, and .mhd beside .raw or .zraw): bytes <-> a volume. Reads voxels raw, deflated, or as
 * text; writes single files. What all text headers share is in `textHeader.ts`, decoding of voxels in `voxels.ts`,
 * inflation in `gzip.ts`.
 *
 * The world is LPS, and spacing, origin and directions are stored apart, so a volume's own numbers go in and come out. Axes
 * run fastest first: x, y, z, then a fourth for the channels. Interleaved channels (ElementNumberOfChannels) are faster
 * still, and are moved outermost.
 */
import { zlibSync } from 'fflate';
import { InputError } from '../../errors.ts';
import { showShape } from '../../tensor.ts';
import { orientationOf } from '../orientation.ts';
import {
  affineFault,
  affineOf,
  type Geometry,
  type Matrix3,
  toSmallestIntegers,
  type Vector3,
  type Volume,
} from '../volume.ts';
import { gunzip, isGzip, unzlib } from './gzip.ts';
import type { VolumeImage } from './image.ts';
import {
  bareName,
  exactBytes,
  exactText,
  integerIn,
  latin1,
  lengthsIn,
  longestTextHeader,
  numbersIn,
  type StoredImage,
  shown,
  shownFile,
  storedBytes,
  textVoxels,
  utf8,
} from './textHeader.ts';
import {
  bytesOfVoxels,
  channelsOutermost,
  copied,
  intensitiesOf,
  type StoredType,
  storedNumbers,
  storedTypeOf,
} from './voxels.ts';

export interface MetaImageReadOptions {
  /** What to call the file in messages. */
  name?: string;
  /** The file that `metaImageDataFile` names, when the header lies in a file of its own. */
  data?: Uint8Array;
}

export interface MetaImageWriteOptions {
  /** Deflate the voxels; true unless said. */
  compress?: boolean;
}

/** Bytes in which MetaIO's own readers look for the field NDims; a comment may stand before it. */
const searchedHead = 8000;

/** Whether the first bytes of a file are those of a MetaImage: it has no magic, but `key = value` lines with two known keys. */
export function isMetaImage(head: Uint8Array): boolean {
  const text = latin1(head.subarray(0, searchedHead));
  return /^[A-Za-z_]{1,64}[ \t]{0,64}[=:]/.test(text) && /^(ObjectType|NDims)[ \t]{0,64}[=:]/m.test(text);
}

/**
 * Name of the file beside the header that holds the voxels; undefined when the header's own file holds them.
 * @param head the file with the header, or so much of it that the header is whole
 * @throws InputError when the voxels lie in several files or in another folder, or the bytes are no MetaImage header
 */
export function metaImageDataFile(head: Uint8Array, name: string): string | undefined {
  return dataFileOf(readHeader(head, name), name);
}

/**
 * Reads an image. Its spacing, origin and directions are the file's numbers. The voxels keep their integer type; 64-bit
 * integers are float64, and float64 is float32 where nothing is lost. Values that are not finite become 0.
 * @throws InputError when the bytes are no MetaImage, are damaged, too few or too many, or hold what no volume can (colors,
 * vectors over time, sheared axes, integers beyond 2^53)
 * @throws ResourceError when the voxels do not fit into memory
 */
export function readMetaImage(bytes: Uint8Array, options: MetaImageReadOptions = {}): VolumeImage {
  const { name = 'the MetaImage file', data } = options;
  const notices: string[] = [];
  const header = readHeader(bytes, name);
  const { fields } = header;
  const dataFile = dataFileOf(header, name);
  const { image, dimensions, interleaved } = readGrid(fields, name);
  const [nx, ny, nz = 1, stacked = 1] = dimensions;
  const geometry = readGeometry(fields, [nz, ny, nx], dimensions.length, name, notices);

  if (dataFile !== undefined && !data) {
    throw new InputError(`${name} keeps its voxels in the file ${shownFile(dataFile)}; give that file too.`);
  }
  if (dataFile === undefined && data) {
    throw new InputError(`${name} holds its voxels itself; give it without a data file.`);
  }
  const stored = data
    ? readStored(data, 0, fields, image, `the data file ${shownFile(dataFile!)} of ${name}`)
    : readStored(bytes, header.length, fields, image, name);
  const byteOrder = isTrue(fields, 'BinaryData', true, name) && isBigEndian(fields, name) ? 'big' : 'little';
  const numbers = storedNumbers(stored, image.type, byteOrder, name);
  const voxels = channelsOutermost(intensitiesOf(numbers, image.type, name, notices), 1, interleaved);
  return { format: 'MetaImage', volume: { ...geometry, channels: interleaved * stacked, data: voxels }, notices };
}

/**
 * Writes a volume as one file. The type of the voxels is that of the array; several channels become a fourth axis. The
 * geometry reads back as the same numbers.
 * @throws RangeError when the data do not fill the shape
 */
export function writeMetaImage(volume: Volume, { compress = true }: MetaImageWriteOptions = {}): Uint8Array {
  const voxels = bytesOfVoxels(volume);
  const { shape, channels, spacing, origin, direction: d } = volume;
  const stacked = channels > 1;
  const numbers = (values: readonly number[]) => values.map(exactText).join(' ');
  /** One triple an axis: the columns of the matrix. */
  const columns = stacked
    ? [d[0], d[3], d[6], 0, d[1], d[4], d[7], 0, d[2], d[5], d[8], 0, 0, 0, 0, 1]
    : [d[0], d[3], d[6], d[1], d[4], d[7], d[2], d[5], d[8]];
  const more = (value: number) => (stacked ? [value] : []);
  const body = compress ? zlibSync(voxels) : voxels;
  const header = new TextEncoder().encode(
    [
      'ObjectType = Image',
      `NDims = ${stacked ? 4 : 3}`,
      'BinaryData = True',
      'BinaryDataByteOrderMSB = False',
      `CompressedData = ${compress ? 'True' : 'False'}`,
      ...(compress ? [`CompressedDataSize = ${body.length}`] : []),
      `TransformMatrix = ${numbers(columns)}`,
      `Offset = ${numbers([...origin, ...more(0)])}`,
      `CenterOfRotation = ${numbers([0, 0, 0, ...more(0)])}`,
      `AnatomicalOrientation = ${startingSides(volume)}`,
      `ElementSpacing = ${numbers([...spacing, ...more(1)])}`,
      `DimSize = ${numbers([shape[2], shape[1], shape[0], ...more(channels)])}`,
      `ElementType = ${typeNames[storedTypeOf(volume.data)]}`,
      'ElementDataFile = LOCAL',
      '',
    ].join('\n'),
  );
  const file = new Uint8Array(header.length + body.length);
  file.set(header);
  file.set(body, header.length);
  return file;
}

/**
 * Writes a label map in the smallest integer type that holds its labels (uint8 for 0 to 255).
 * @throws RangeError when a value is no integer or does not fit 32 bits
 */
export function writeMetaImageLabels(labels: Volume, options: MetaImageWriteOptions = {}): Uint8Array {
  return writeMetaImage({ ...labels, data: toSmallestIntegers(labels.data) }, options);
}

/** MetaIO names the side that an axis comes from, where an orientation code names the one that it runs to. */
function startingSides(volume: Volume): string {
  const opposite: Record<string, string> = { L: 'R', R: 'L', P: 'A', A: 'P', S: 'I', I: 'S' };
  return [...orientationOf(volume)].map((side) => opposite[side]).join('');
}

// --- header ---

interface Header {
  readonly fields: ReadonlyMap<string, string>;
  /** Bytes up to the end of the line ElementDataFile. */
  readonly length: number;
}

/** The fields that are read; all others are passed over, as MetaIO does. */
const readFields = new Set([
  'ObjectType',
  'NDims',
  'DimSize',
  'BinaryData',
  'BinaryDataByteOrderMSB',
  'ElementByteOrderMSB',
  'CompressedData',
  'CompressedDataSize',
  'HeaderSize',
  'TransformMatrix',
  'Rotation',
  'Orientation',
  'Offset',
  'Position',
  'Origin',
  'ElementSpacing',
  'ElementSize',
  'ElementNumberOfChannels',
  'ElementType',
  'ElementDataFile',
]);

function readHeader(bytes: Uint8Array, name: string): Header {
  if (!isMetaImage(bytes)) {
    throw new InputError(
      `${name} is no MetaImage file: it does not begin with a header of the fields ObjectType or NDims.`,
    );
  }
  const text = latin1(bytes.subarray(0, longestTextHeader));
  const fields = new Map<string, string>();
  for (let at = 0, end = 0; at < text.length; at = end + 1) {
    end = text.indexOf('\n', at);
    if (end < 0) end = text.length;
    const line = text.slice(at, end);
    const separator = line.search(/[=:]/);
    const field = line.slice(0, Math.max(0, separator)).trim();
    if (!readFields.has(field)) continue;
    if (fields.has(field)) throw new InputError(`${name} gives ${field} twice; remove one.`);
    fields.set(field, line.slice(separator + 1).trim());
    // It is the last field by definition: the voxels follow.
    if (field === 'ElementDataFile') return { fields, length: Math.min(end + 1, text.length) };
  }
  throw new InputError(
    `${name} has no line ElementDataFile at the end of its header; it is damaged, cut short or no MetaImage file.`,
  );
}

function required(fields: Header['fields'], field: string, name: string): string {
  const value = fields.get(field);
  if (value === undefined) {
    throw new InputError(`${name} has no field ${field} in its header; it is damaged or cut short.`);
  }
  return value;
}

function isTrue(fields: Header['fields'], field: string, otherwise: boolean, name: string): boolean {
  const value = fields.get(field);
  if (value === undefined) return otherwise;
  if (/^(true|t|1)$/i.test(value)) return true;
  if (/^(false|f|0)$/i.test(value)) return false;
  throw new InputError(`${name} has ${shown(value)} as its ${field}; it must be True or False.`);
}

function isBigEndian(fields: Header['fields'], name: string): boolean {
  return isTrue(
    fields,
    fields.has('ElementByteOrderMSB') ? 'ElementByteOrderMSB' : 'BinaryDataByteOrderMSB',
    false,
    name,
  );
}

function dataFileOf({ fields }: Header, name: string): string | undefined {
  const value = utf8(required(fields, 'ElementDataFile', name));
  return /^local$/i.test(value) ? undefined : bareName(value, 'ElementDataFile', name);
}

/** The names that are written, which are among those that are read. */
const typeNames: Record<StoredType, string> = {
  int8: 'MET_CHAR',
  uint8: 'MET_UCHAR',
  int16: 'MET_SHORT',
  uint16: 'MET_USHORT',
  int32: 'MET_INT',
  uint32: 'MET_UINT',
  int64: 'MET_LONG_LONG',
  uint64: 'MET_ULONG_LONG',
  float32: 'MET_FLOAT',
  float64: 'MET_DOUBLE',
};

const storedTypes = new Map<string, StoredType>([
  ...Object.entries(typeNames).map(([type, name]): [string, StoredType] => [name, type as StoredType]),
  // Four bytes in MetaIO's table of sizes, whatever a machine's own long has.
  ['MET_LONG', 'int32'],
  ['MET_ULONG', 'uint32'],
]);

interface Grid {
  readonly image: StoredImage;
  /** Lengths of x, y, z and further axes, as many as NDims says. */
  readonly dimensions: readonly number[];
  /** Channels that lie side by side in one voxel. */
  readonly interleaved: number;
}

function readGrid(fields: Header['fields'], name: string): Grid {
  const objectType = fields.get('ObjectType') ?? 'Image';
  if (objectType !== 'Image') {
    throw new InputError(`${name} holds an object of type ${shown(objectType)}; give one of type Image.`);
  }
  const rank = integerIn(required(fields, 'NDims', name), 'NDims', name, 1);
  if (rank < 2 || rank > 4) {
    throw new InputError(`${name} is an image with ${rank} axes (NDims); give one with 2, 3 or 4.`);
  }
  const dimensions = lengthsIn(required(fields, 'DimSize', name), 'DimSize', name, rank);
  const typeName = required(fields, 'ElementType', name);
  const type = storedTypes.get(typeName);
  if (type === undefined) {
    throw new InputError(
      `${name} holds voxels of type ${shown(typeName)} (ElementType), which are no single numbers that MetaImage knows; save it as MET_SHORT or MET_FLOAT, for example.`,
    );
  }
  const channelsField = 'ElementNumberOfChannels';
  const interleaved = integerIn(fields.get(channelsField) ?? '1', channelsField, name, 1);
  if (type === 'uint8' && (interleaved === 3 || interleaved === 4)) {
    throw new InputError(
      `${name} holds voxels that are colors (${typeName} with ${interleaved} channels); give an image of intensities, for example saved as MET_SHORT or MET_FLOAT.`,
    );
  }
  if (interleaved > 1 && (dimensions[3] ?? 1) > 1) {
    throw new InputError(
      `${name} is an image of ${showShape(dimensions)} with ${interleaved} channels in each voxel; give a 3-D image with channels, or a 4-D one without.`,
    );
  }
  return {
    image: { type, sizes: [...(interleaved > 1 ? [interleaved] : []), ...dimensions] },
    dimensions,
    interleaved,
  };
}

// --- geometry ---

/** How far from 1 the length of a direction may be: rounding of three digits. What is beyond is no direction. */
const lengthTolerance = 1e-2;
/** Up to this far from 1 a direction's numbers stay as they are. */
const exactTolerance = 1e-6;

function readGeometry(
  fields: Header['fields'],
  shape: Vector3,
  rank: number,
  name: string,
  notices: string[],
): Geometry {
  const sayings: string[] = [];
  const found = (...synonyms: string[]) => synonyms.find((field) => fields.has(field));
  const sizeField = found('ElementSpacing', 'ElementSize');
  if (!sizeField) {
    throw new InputError(
      `${name} gives no voxel size (neither ElementSpacing nor ElementSize); write the ElementSpacing into its header.`,
    );
  }
  const [sx, sy, sz = 1] = numbersIn(fields.get(sizeField)!, sizeField, name, rank);
  const originField = found('Offset', 'Position', 'Origin');
  const [ox, oy, oz = 0] = originField ? numbersIn(fields.get(originField)!, originField, name, rank) : [0, 0];
  if (!originField) sayings.push('its header gives no Offset: its first voxel is taken to lie at 0');
  const matrixField = found('TransformMatrix', 'Rotation', 'Orientation');
  if (!matrixField) {
    sayings.push(
      'its header gives no TransformMatrix: it is taken as x to the left, y to the back, z to the head, and left and right may be wrong',
    );
  }
  const matrix = matrixField ? numbersIn(fields.get(matrixField)!, matrixField, name, rank * rank) : undefined;
  const axes = matrix ? directionsOf(matrix, rank, matrixField!, name) : identityAxes;
  if (rank === 2) sayings.push('it is a 2-D image, read as one slice of 1 mm thickness');

  const geometry: Geometry = {
    shape,
    spacing: [sx, sy, sz],
    origin: [ox, oy, oz],
    direction: [0, 1, 2].flatMap((world) => axes.map((axis) => axis[world])) as unknown as Matrix3,
  };
  const negative = geometry.spacing.find((size) => size < 0);
  const fault =
    negative === undefined ? affineFault(affineOf(geometry)) : `gives a negative voxel size of ${negative} mm`;
  if (fault) {
    throw new InputError(
      `${name} has no usable geometry: its header ${fault}; resample it to a regular grid or mend the header.`,
    );
  }
  if (sayings.length > 0) notices.push(`${name}: ${sayings.join('; ')}.`);
  return geometry;
}

const identityAxes: readonly (readonly number[])[] = [
  [1, 0, 0],
  [0, 1, 0],
  [0, 0, 1],
];

/** Of each voxel axis x, y, z its direction, from the rank x rank numbers of the file, one row an axis. */
function directionsOf(matrix: readonly number[], rank: number, field: string, name: string): (readonly number[])[] {
  const entry = (axis: number, world: number) => matrix[axis * rank + world];
  if (rank === 2) {
    // The plane lies in the world's x and y; its third axis makes it right-handed.
    const turn = Math.sign(entry(0, 0) * entry(1, 1) - entry(0, 1) * entry(1, 0));
    return [...[0, 1].map((axis) => unitVector([entry(axis, 0), entry(axis, 1), 0], axis, field, name)), [0, 0, turn]];
  }
  if (rank === 4 && [0, 1, 2].some((axis) => entry(axis, 3) !== 0 || entry(3, axis) !== 0)) {
    throw new InputError(
      `${name} has a fourth axis that is not at right angles to space (${field}); resample it to a regular grid.`,
    );
  }
  return [0, 1, 2].map((axis) =>
    unitVector(
      [0, 1, 2].map((world) => entry(axis, world)),
      axis,
      field,
      name,
    ),
  );
}

function unitVector(vector: readonly number[], axis: number, field: string, name: string): readonly number[] {
  const length = Math.hypot(...vector);
  const excess = Math.abs(length - 1);
  if (excess <= exactTolerance) return vector;
  if (!(excess <= lengthTolerance)) {
    throw new InputError(
      `${name} has no usable geometry: the direction of its ${'xyz'[axis]} axis (${field}) has a length of ${length} instead of 1; mend the header.`,
    );
  }
  return vector.map((value) => value / length);
}

// --- voxels ---

/**
 * @param file that holds the voxels, whole
 * @param start where its voxels begin unless HeaderSize says otherwise
 * @returns exactly the bytes of the voxels, nobody else's
 */
function readStored(
  file: Uint8Array,
  start: number,
  fields: Header['fields'],
  image: StoredImage,
  name: string,
): Uint8Array {
  const headerSize = integerIn(fields.get('HeaderSize') ?? '0', 'HeaderSize', name, -1);
  const from = headerSize > 0 ? headerSize : start;
  if (!isTrue(fields, 'BinaryData', true, name)) return textVoxels(file.subarray(from), image, name);
  if (!isTrue(fields, 'CompressedData', false, name)) {
    const begin = headerSize < 0 ? Math.max(start, file.length - storedBytes(image)) : from;
    return copied(exactBytes(file.subarray(begin), image, name), name);
  }
  const wanted = storedBytes(image);
  const packed = compressedBytes(file, from, headerSize < 0, fields, name);
  // MetaIO inflates gzip data here too, and some programs write them.
  const inflate = isGzip(packed) ? gunzip : unzlib;
  return exactBytes(inflate(packed, { headLength: 0, wanted: () => wanted, exact: true }, name), image, name);
}

function compressedBytes(
  file: Uint8Array,
  from: number,
  atEnd: boolean,
  fields: Header['fields'],
  name: string,
): Uint8Array {
  const field = 'CompressedDataSize';
  const text = fields.get(field);
  // Old files say 0, or nothing: all the rest.
  const size = text === undefined ? 0 : integerIn(text, field, name, 0);
  if (size === 0 && atEnd) {
    throw new InputError(
      `${name} counts its voxels from the end of the file (HeaderSize -1), which needs a ${field}; mend the header.`,
    );
  }
  if (size === 0) return file.subarray(from);
  const available = Math.max(0, file.length - from);
  if (available < size) {
    throw new InputError(
      `${name} is cut short: its header asks for ${size} bytes of compressed voxels (${field}), but there are ${available}; copy or download it again.`,
    );
  }
  if (available > size && !atEnd) {
    throw new InputError(
      `${name} holds more than it should: its header asks for ${size} bytes of compressed voxels (${field}), but there are ${available}, so the header may be of another image; save it again.`,
    );
  }
  return file.subarray(file.length - size);
}
