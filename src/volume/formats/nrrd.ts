/**
 * NRRD (Nearly Raw Raster Data, versions 1 to 5 of teem's definition): bytes <-> a volume. Reads attached and detached
 * headers with voxels raw, gzipped, as text or as hexadecimal digits; writes attached ones. What all text headers share
 * is in `textHeader.ts`, decoding of voxels in `voxels.ts`, inflation in `gzip.ts`.
 *
 * The axes of a file run fastest first. Those with a direction in space become x, y, z in their order, another one (a list,
 * a time) becomes the channels, and the voxels keep their order. Files are written in LPS, so their numbers are the
 * volume's own.
 */
import { gzipSync } from 'fflate';
import { InputError } from '../../errors.ts';
import { showShape } from '../../tensor.ts';
import {
  type Affine,
  affineFault,
  affineOf,
  type Geometry,
  geometryFromAffine,
  type Matrix3,
  toSmallestIntegers,
  type Vector3,
  type Volume,
  withThirdAxis,
} from '../volume.ts';
import { gunzip } from './gzip.ts';
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
  type ByteOrder,
  bytesOfVoxels,
  bytesPerVoxel,
  channelsOutermost,
  copied,
  intensitiesOf,
  type StoredType,
  storedNumbers,
  storedTypeOf,
} from './voxels.ts';

export interface NrrdReadOptions {
  /** What to call the file in messages. */
  name?: string;
  /** The file that `nrrdDataFile` names, when the header lies in a file of its own. */
  data?: Uint8Array;
}

export interface NrrdWriteOptions {
  /** Compress the voxels; true unless said. */
  gzip?: boolean;
}

/** Whether the first bytes of a file are those of a NRRD file. */
export function isNrrd(head: Uint8Array): boolean {
  return /^NRRD\d{4}/.test(latin1(head.subarray(0, 8)));
}

/**
 * Name of the file beside the header that holds the voxels; undefined when the header's own file holds them.
 * @param head the file with the header, or so much of it that the header is whole
 * @throws InputError when the voxels lie in several files or in another folder, or the bytes are no NRRD header
 */
export function nrrdDataFile(head: Uint8Array, name: string): string | undefined {
  return dataFileOf(readHeader(head, name), name);
}

/**
 * Reads an image. The affine of the volume's geometry is the file's bit for bit. The voxels keep their integer type; 64-bit
 * integers are float64, and float64 is float32 where nothing is lost. Values that are not finite become 0.
 * @throws InputError when the bytes are no NRRD file, are damaged, too few or too many, or hold what no volume can (colors,
 * complex numbers, matrices, sheared axes, integers beyond 2^53)
 * @throws ResourceError when the voxels do not fit into memory
 */
export function readNrrd(bytes: Uint8Array, options: NrrdReadOptions = {}): VolumeImage {
  const { name = 'the NRRD file', data } = options;
  const notices: string[] = [];
  const header = readHeader(bytes, name);
  const { fields } = header;
  const image = storedImageOf(fields, name);
  const axes = readAxes(fields, image, name);
  const geometry = readGeometry(fields, axes, name, notices);

  const dataFile = dataFileOf(header, name);
  if (dataFile !== undefined && !data) {
    throw new InputError(`${name} keeps its voxels in the file ${shownFile(dataFile)}; give that file too.`);
  }
  if (dataFile === undefined && data) {
    throw new InputError(`${name} holds its voxels itself; give it without a data file.`);
  }
  const file = data ?? bytes.subarray(header.length);
  const dataName = dataFile === undefined ? name : `the data file ${shownFile(dataFile)} of ${name}`;
  const { stored, byteOrder } = readStored(file, fields, image, dataName);
  const numbers = storedNumbers(stored, image.type, byteOrder, name);
  const voxels = channelsOutermost(intensitiesOf(numbers, image.type, name, notices), axes.inner, axes.channels);
  return { format: 'NRRD', volume: { ...geometry, channels: axes.channels, data: voxels }, notices };
}

/**
 * Writes a volume as one file with an attached header (NRRD0004, LPS, mm). The type of the voxels is that of the array;
 * several channels become a fourth axis of the kind `list`. The numbers of the affine read back bit for bit.
 * @throws RangeError when the data do not fill the shape
 */
export function writeNrrd(volume: Volume, { gzip = true }: NrrdWriteOptions = {}): Uint8Array {
  const voxels = bytesOfVoxels(volume);
  const { shape, channels } = volume;
  const type = storedTypeOf(volume.data);
  const list = channels > 1;
  const affine = affineOf(volume);
  const vector = (column: number) => `(${[0, 4, 8].map((row) => exactText(affine[row + column])).join(',')})`;
  const header = new TextEncoder().encode(
    [
      'NRRD0004',
      `type: ${type === 'float32' ? 'float' : type === 'float64' ? 'double' : type}`,
      `dimension: ${list ? 4 : 3}`,
      'space: left-posterior-superior',
      `sizes: ${shape[2]} ${shape[1]} ${shape[0]}${list ? ` ${channels}` : ''}`,
      `space directions: ${vector(0)} ${vector(1)} ${vector(2)}${list ? ' none' : ''}`,
      `kinds: domain domain domain${list ? ' list' : ''}`,
      'space units: "mm" "mm" "mm"',
      ...(bytesPerVoxel[type] > 1 ? ['endian: little'] : []),
      `encoding: ${gzip ? 'gzip' : 'raw'}`,
      `space origin: ${vector(3)}`,
      '',
      '',
    ].join('\n'),
  );
  // No time stamp, so that the same volume gives the same bytes.
  const body = gzip ? gzipSync(voxels, { mtime: 0 }) : voxels;
  const file = new Uint8Array(header.length + body.length);
  file.set(header);
  file.set(body, header.length);
  return file;
}

/**
 * Writes a label map in the smallest integer type that holds its labels (uint8 for 0 to 255).
 * @throws RangeError when a value is no integer or does not fit 32 bits
 */
export function writeNrrdLabels(labels: Volume, options: NrrdWriteOptions = {}): Uint8Array {
  return writeNrrd({ ...labels, data: toSmallestIntegers(labels.data) }, options);
}

// --- header ---

interface Header {
  /** Text behind each field, by its name in small letters without spaces (`spacedirections`). */
  readonly fields: ReadonlyMap<string, string>;
  /** Bytes up to the voxels, with the empty line that ends the header. */
  readonly length: number;
}

/** All fields of the definition and their other spellings; what is none of them is a slip of the pen. */
const knownFields = new Set(
  [
    'content, number, type, block size, dimension, space, space dimension, sizes, spacings, thicknesses, axis mins',
    'axis maxs, space directions, centers, centerings, kinds, labels, units, min, max, old min, old max, endian',
    'encoding, line skip, byte skip, sample units, space units, space origin, measurement frame, data file',
  ]
    .flatMap((line) => line.split(', '))
    .map((field) => field.replace(' ', '')),
);

function readHeader(bytes: Uint8Array, name: string): Header {
  if (!isNrrd(bytes)) {
    throw new InputError(`${name} is no NRRD file: it does not begin with NRRD0001 to NRRD0005.`);
  }
  const text = latin1(bytes.subarray(0, longestTextHeader));
  const version = Number(text.slice(4, 8));
  if (!(version >= 1 && version <= 5)) {
    throw new InputError(
      `${name} is NRRD of version ${version}, and versions 1 to 5 are known; save it as one of those.`,
    );
  }
  const fields = new Map<string, string>();
  for (let at = 0, end = 0, number = 1; at < text.length; at = end + 1, number++) {
    end = text.indexOf('\n', at);
    if (end < 0 && bytes.length > text.length) break;
    if (end < 0) end = text.length;
    const line = text.slice(at, end).trimEnd();
    if (at === 0) continue;
    if (line === '') return { fields, length: Math.min(end + 1, text.length) };
    const field = addField(line, number, fields, name);
    // The names of the files follow, one a line, up to the end.
    if (field === 'datafile' && fields.get(field)!.startsWith('LIST')) break;
    if (end >= text.length) break;
  }
  if (bytes.length > longestTextHeader) {
    throw new InputError(
      `${name} has no empty line behind its header in its first ${longestTextHeader} bytes; it is damaged or no NRRD file.`,
    );
  }
  return { fields, length: text.length };
}

/** @returns the name of the field; undefined for a comment or a key of the user's */
function addField(line: string, number: number, fields: Map<string, string>, name: string): string | undefined {
  if (line.startsWith('#')) return undefined;
  const colon = line.indexOf(':');
  const field = line.slice(0, Math.max(0, colon)).toLowerCase().replaceAll(' ', '');
  if (colon < 0 || line[colon + 1] === '=' || !knownFields.has(field)) {
    if (line.includes(':=')) return undefined;
    // Not what it says: in a damaged header that may be a comment, and the name of a patient.
    throw new InputError(
      `${name} has in line ${number} of its header ${colon < 0 ? 'no field' : 'a field that NRRD does not know'}; correct or remove it.`,
    );
  }
  if (fields.has(field)) {
    throw new InputError(`${name} gives ${JSON.stringify(line.slice(0, colon))} twice; remove one.`);
  }
  fields.set(field, line.slice(colon + 1).trim());
  return field;
}

function required(fields: Header['fields'], field: string, name: string): string {
  const value = fields.get(field);
  if (value === undefined) {
    throw new InputError(`${name} has no field "${field}" in its header; it is damaged or cut short.`);
  }
  return value;
}

function dataFileOf({ fields }: Header, name: string): string | undefined {
  const value = fields.get('datafile');
  return value === undefined ? undefined : bareName(utf8(value), 'data file', name);
}

const typeNames: Record<StoredType, string> = {
  int8: 'signed char, int8, int8_t',
  uint8: 'uchar, unsigned char, uint8, uint8_t',
  int16: 'short, short int, signed short, signed short int, int16, int16_t',
  uint16: 'ushort, unsigned short, unsigned short int, uint16, uint16_t',
  int32: 'int, signed int, int32, int32_t',
  uint32: 'uint, unsigned int, uint32, uint32_t',
  int64: 'longlong, long long, long long int, signed long long, signed long long int, int64, int64_t',
  uint64: 'ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t',
  float32: 'float',
  float64: 'double',
};

const storedTypes = new Map(
  Object.entries(typeNames).flatMap(([type, names]) => names.split(', ').map((name) => [name, type as StoredType])),
);

/** Most axes that teem allows. */
const mostAxes = 16;

function storedImageOf(fields: Header['fields'], name: string): StoredImage {
  const typeName = required(fields, 'type', name).toLowerCase();
  const type = storedTypes.get(typeName);
  if (type === undefined) {
    throw new InputError(
      `${name} holds voxels of type ${shown(typeName)}, which are no numbers of a type that NRRD knows; save it as short or float, for example.`,
    );
  }
  const rank = integerIn(required(fields, 'dimension', name), 'dimension', name, 1);
  if (rank > mostAxes) throw new InputError(`${name} has ${rank} axes, and NRRD allows ${mostAxes}.`);
  return { type, sizes: lengthsIn(required(fields, 'sizes', name), 'sizes', name, rank) };
}

// --- axes ---

interface Axes {
  /** Voxels along z, y, x. */
  readonly shape: Vector3;
  readonly channels: number;
  /** Voxels that lie within one step of the axis of the channels. */
  readonly inner: number;
  /** Which axes of the file are x, y, z; two of a 2-D image. */
  readonly spatial: readonly number[];
  /** Of each axis of the file its step in the file's space, in its units; undefined when they are not given. */
  readonly directions: readonly (readonly number[] | undefined)[] | undefined;
}

/** Kinds of axes along which one thing is told by several numbers, where it is no volume's intensity. */
const refusedKinds: [RegExp, string][] = [
  [/color$/, 'colors'],
  [/^complex$/, 'complex numbers'],
  [/matrix$|^quaternion$/, 'matrices or turns'],
];

/** Kinds that are, or may be, axes of space. Without directions nothing else tells. */
const spatialKinds = ['domain', 'space', '???', 'none'];

function readAxes(fields: Header['fields'], { sizes }: StoredImage, name: string): Axes {
  const kinds = fields.get('kinds')?.toLowerCase().split(/\s+/) ?? [];
  if (kinds.length > 0 && kinds.length !== sizes.length) {
    throw new InputError(`${name} gives the kinds of ${kinds.length} axes and has ${sizes.length}; mend the header.`);
  }
  for (const [pattern, what] of refusedKinds) {
    const kind = kinds.find((candidate) => pattern.test(candidate));
    if (kind) {
      throw new InputError(
        `${name} holds voxels that are ${what} (kind ${shown(kind)}); give an image of intensities, for example saved as short or float.`,
      );
    }
  }
  const directions = readDirections(fields, sizes, name);
  const all = sizes.map((_, axis) => axis);
  const spatial = directions
    ? all.filter((axis) => directions[axis] !== undefined)
    : all.filter((axis) => spatialKinds.includes(kinds[axis] ?? '???')).slice(0, 3);
  const further = all.filter((axis) => !spatial.includes(axis) && sizes[axis] > 1);
  if (spatial.length < 2 || spatial.length > 3 || further.length > 1) {
    throw new InputError(
      `${name} is an image of ${showShape(sizes)} with ${spatial.length} axes in space; give one with three (or two of a slice) and at most one more, for the channels.`,
    );
  }
  const [nx, ny, nz] = spatial.map((axis) => sizes[axis]);
  const [list] = further;
  return {
    shape: [nz ?? 1, ny, nx],
    channels: list === undefined ? 1 : sizes[list],
    inner: sizes.slice(0, list ?? 0).reduce((count, length) => count * length, 1),
    spatial,
    directions,
  };
}

/** Of each axis its vector of three numbers in space; undefined for an axis of the list or of time. */
function readDirections(fields: Header['fields'], sizes: readonly number[], name: string): Axes['directions'] {
  const text = fields.get('spacedirections');
  if (text === undefined) return undefined;
  const { components } = spaceOf(fields, name);
  const vectors = vectorsIn(text, components, 'space directions', name);
  if (vectors.length !== sizes.length) {
    throw new InputError(
      `${name} gives ${vectors.length} space directions for ${sizes.length} axes; write "none" for one that is none of space.`,
    );
  }
  return vectors.map((vector) => {
    if (!vector || components === 3) return vector;
    // Space with time: an axis is of the one or of the other.
    const [space, time] = [vector.slice(0, 3), vector[3]];
    if (space.every((value) => value === 0)) return undefined;
    if (time !== 0) {
      throw new InputError(
        `${name} has the space direction ${showVector(vector)}, which mixes space and time; resample it to a regular grid.`,
      );
    }
    return space;
  });
}

const showVector = (vector: readonly number[]) => `(${vector.join(',')})`;

/** `(1,0,0) none (0,0,1)`: one vector of `components` numbers an axis, undefined for none. */
function vectorsIn(text: string, components: number, field: string, name: string): (number[] | undefined)[] {
  const vectors: (number[] | undefined)[] = [];
  let rest = text.trimStart();
  while (rest !== '' && vectors.length <= mostAxes) {
    const end = rest[0] === '(' ? rest.indexOf(')') : /^none\b/i.test(rest) ? 3 : -1;
    if (end < 0) {
      throw new InputError(
        `${name} has ${shown(rest)} in its ${field} where a vector such as (1,0,0) must be; mend the header.`,
      );
    }
    vectors.push(rest[0] === '(' ? numbersIn(rest.slice(1, end), field, name, components) : undefined);
    rest = rest.slice(end + 1).trimStart();
  }
  return vectors;
}

// --- geometry ---

interface Space {
  /** Signs that turn the x, y, z of the space into those of LPS. */
  readonly signs: Vector3;
  /** Numbers of a vector: 3, or 4 with time. */
  readonly components: number;
  /** The axes of space are those of the patient. */
  readonly ofPatient: boolean;
}

const patientSpaces: [names: string[], signs: Vector3][] = [
  [
    ['right-anterior-superior', 'ras'],
    [-1, -1, 1],
  ],
  [
    ['left-anterior-superior', 'las'],
    [1, -1, 1],
  ],
  [
    ['left-posterior-superior', 'lps'],
    [1, 1, 1],
  ],
];
const otherSpaces = ['scanner-xyz', '3d-right-handed', '3d-left-handed'];

function spaceOf(fields: Header['fields'], name: string): Space {
  const space = fields.get('space')?.toLowerCase();
  if (space === undefined) {
    const dimension = fields.get('spacedimension');
    if (dimension !== undefined && integerIn(dimension, 'space dimension', name, 1) !== 3) {
      throw new InputError(`${name} lies in a space of ${dimension} dimensions; give an image in one of 3.`);
    }
    return { signs: [1, 1, 1], components: 3, ofPatient: false };
  }
  for (const [names, signs] of patientSpaces) {
    if (names.includes(space)) return { signs, components: 3, ofPatient: true };
    const [long, short] = names;
    if (space === `${long}-time` || space === `${short}t`) return { signs, components: 4, ofPatient: true };
  }
  for (const other of otherSpaces) {
    if (space === other) return { signs: [1, 1, 1], components: 3, ofPatient: false };
    if (space === `${other}-time`) return { signs: [1, 1, 1], components: 4, ofPatient: false };
  }
  throw new InputError(
    `${name} lies in a space ${shown(space)}, which is unknown; write left-posterior-superior, right-anterior-superior or left-anterior-superior.`,
  );
}

function readGeometry(fields: Header['fields'], axes: Axes, name: string, notices: string[]): Geometry {
  const { signs, components, ofPatient } = spaceOf(fields, name);
  const { spatial, directions } = axes;
  const sayings: string[] = [];
  const columns = directions
    ? spatial.map((axis) => directions[axis]!)
    : readSpacings(fields, axes, name).map((size, axis) => [0, 1, 2].map((world) => (world === axis ? size : 0)));
  if (!ofPatient) {
    sayings.push(
      'its header does not say how its space lies in the patient (field "space"): it is taken as x to the left, y to the back, z to the head, and left and right may be wrong',
    );
  } else if (!directions) {
    sayings.push('its header gives voxel sizes and no directions: its axes are taken as those of its space');
  }
  const originText = fields.get('spaceorigin');
  const [origin] = originText === undefined ? [[0, 0, 0]] : vectorsIn(originText, components, 'space origin', name);
  if (!origin) throw new InputError(`${name} gives no vector as its space origin; mend the header.`);
  if (originText === undefined) sayings.push('its header gives no space origin: its first voxel is taken to lie at 0');

  const unit = unitOf(fields, axes, name);
  if (unit.inMm(1) !== 1) sayings.push(`its header measures in ${unit.name}, which was converted to mm`);
  if (spatial.length === 2) sayings.push('it is a 2-D image, read as one slice of 1 mm thickness');
  const numbers = [...columns, ...(spatial.length === 2 ? [[0, 0, 0]] : []), origin];
  // A difference from 0, so that no zero becomes negative.
  const rows = [0, 1, 2].map((world) =>
    numbers.map((vector) => {
      const mm = unit.inMm(vector[world]);
      return signs[world] < 0 ? 0 - mm : mm;
    }),
  );
  const stored = rows.flat() as unknown as Affine;
  const affine = spatial.length === 2 ? withThirdAxis(stored) : stored;
  const fault = affineFault(affine);
  if (fault) {
    throw new InputError(
      `${name} has no usable geometry: its header ${fault}; resample it to a regular grid or mend the header.`,
    );
  }
  if (sayings.length > 0) notices.push(`${name}: ${sayings.join('; ')}.`);
  return exactGeometry(affine, axes.shape);
}

/** Voxel sizes of the axes of space. */
function readSpacings(fields: Header['fields'], { spatial }: Axes, name: string): number[] {
  const text = fields.get('spacings');
  if (text === undefined) {
    throw new InputError(
      `${name} gives no voxel size (neither space directions nor spacings); write the spacings into its header.`,
    );
  }
  const rank = integerIn(required(fields, 'dimension', name), 'dimension', name, 1);
  const spacings = numbersIn(text, 'spacings', name, rank);
  return spatial.map((axis) => spacings[axis]);
}

interface Unit {
  readonly name: string;
  inMm(value: number): number;
}

const units: [names: string[], inMm: Unit['inMm']][] = [
  [['', '???', 'none', 'mm', 'millimeter', 'millimeters'], (value) => value],
  [['cm', 'centimeter', 'centimeters'], (value) => value * 10],
  [['m', 'meter', 'meters'], (value) => value * 1000],
  [['um', '\u00b5m', '\u03bcm', 'micron', 'microns', 'micrometer', 'micrometers'], (value) => value / 1000],
];

/** The one unit of the space (`space units`), or of the axes of space (`units`); mm when none is said. */
function unitOf(fields: Header['fields'], { spatial }: Axes, name: string): Unit {
  const quoted = (field: string) => {
    const text = fields.get(field);
    return text === undefined ? undefined : [...utf8(text).matchAll(/"([^"]*)"/g)].map(([, unit]) => unit);
  };
  const ofAxes = quoted('units');
  const said = quoted('spaceunits')?.slice(0, 3) ?? spatial.map((axis) => ofAxes?.[axis] ?? '');
  const found = said.map((unit) => {
    const known = units.find(([names]) => names.includes(unit.trim().toLowerCase()));
    if (!known) throw new InputError(`${name} measures its space in ${shown(unit)}; give it in mm, cm, m or um.`);
    return { name: unit, inMm: known[1] };
  });
  const [first = { name: 'mm', inMm: units[0][1] }] = found;
  if (found.some(({ inMm }) => inMm !== first.inMm)) {
    throw new InputError(`${name} measures its space in different units (${said.join(', ')}); give all in mm.`);
  }
  return first;
}

/**
 * The geometry whose affine is this one bit for bit. Column length and direction of an oblique axis multiply back to within
 * a unit of the last place; a spacing some units beside the length, and round where a round one will do, hits all three
 * numbers. Where none does (never met) the rounding stays.
 */
function exactGeometry(affine: Affine, shape: Vector3): Geometry {
  const near = geometryFromAffine(affine, shape);
  const columns = [0, 1, 2].map((axis) => {
    const column = [affine[axis], affine[4 + axis], affine[8 + axis]];
    for (const spacing of spacingsNear(near.spacing[axis], column)) {
      const direction = column.map((value) => factorOf(value, spacing));
      if (direction.every((part) => part !== undefined)) return { spacing, direction };
    }
    return { spacing: near.spacing[axis], direction: column.map((value) => value / near.spacing[axis]) };
  });
  return {
    ...near,
    spacing: columns.map(({ spacing }) => spacing) as unknown as Vector3,
    direction: [0, 1, 2].flatMap((world) => columns.map(({ direction }) => direction[world])) as unknown as Matrix3,
  };
}

/** The length of a column and its neighbors, nearest first; before them the round number that it may be meant to be. */
function* spacingsNear(length: number, column: readonly number[]): Generator<number> {
  // An axis along one of the world's has its own number as its length.
  const oblique = column.filter((value) => value !== 0).length > 1;
  const round = Number(length.toPrecision(12));
  if (oblique && Math.abs(round - length) <= 4 * Number.EPSILON * length) yield round;
  yield length;
  for (let step = 1; step <= 64; step++) {
    yield length * (1 + step * Number.EPSILON);
    yield length * (1 - step * Number.EPSILON);
  }
}

/** A number whose product with the spacing is the value, to the last bit. */
function factorOf(value: number, spacing: number): number | undefined {
  const quotient = value / spacing;
  const halfStep = quotient * (Number.EPSILON / 2);
  return [quotient, quotient + halfStep, quotient - halfStep].find((factor) => Object.is(factor * spacing, value));
}

// --- voxels ---

interface Stored {
  /** Exactly the bytes of the voxels, nobody else's. */
  stored: Uint8Array;
  byteOrder: ByteOrder;
}

/** @param file from where the header ends, or the data file */
function readStored(file: Uint8Array, fields: Header['fields'], image: StoredImage, name: string): Stored {
  const encoding = required(fields, 'encoding', name).toLowerCase();
  const byteOrder = byteOrderOf(fields, image, encoding, name);
  const lineSkip = integerIn(fields.get('lineskip') ?? '0', 'line skip', name, 0);
  const byteSkip = integerIn(fields.get('byteskip') ?? '0', 'byte skip', name, -1);
  const body = withoutLines(file, lineSkip, name);
  if (byteSkip < 0 && encoding !== 'raw') {
    throw new InputError(
      `${name} counts its voxels from the end of the file (byte skip -1), which goes with raw encoding only; mend the header.`,
    );
  }
  switch (encoding) {
    case 'raw': {
      const start = byteSkip < 0 ? Math.max(0, body.length - storedBytes(image)) : byteSkip;
      return { stored: copied(exactBytes(body.subarray(start), image, name), name), byteOrder };
    }
    case 'gz':
    case 'gzip': {
      const wanted = byteSkip + storedBytes(image);
      const inflated = gunzip(body, { headLength: 0, wanted: () => wanted, exact: true }, name);
      return { stored: exactBytes(inflated.subarray(byteSkip), image, name), byteOrder };
    }
    case 'txt':
    case 'text':
    case 'ascii':
      return { stored: textVoxels(body.subarray(byteSkip), image, name), byteOrder: 'little' };
    case 'hex':
      return { stored: exactBytes(hexBytes(body.subarray(byteSkip), name), image, name), byteOrder };
    case 'bz2':
    case 'bzip2':
      throw new InputError(`${name} is compressed with bzip2, which is not read; save it with gzip or raw encoding.`);
    default:
      throw new InputError(
        `${name} has voxels of the encoding ${shown(encoding)}, which is unknown; save it with gzip or raw encoding.`,
      );
  }
}

function byteOrderOf(fields: Header['fields'], { type }: StoredImage, encoding: string, name: string): ByteOrder {
  const endian = fields.get('endian')?.toLowerCase();
  if (endian === 'little' || endian === 'big') return endian;
  if (endian !== undefined) {
    throw new InputError(`${name} has the byte order ${shown(endian)} (endian); it must be little or big.`);
  }
  if (bytesPerVoxel[type] > 1 && !['txt', 'text', 'ascii'].includes(encoding)) {
    throw new InputError(
      `${name} does not say the byte order of its ${type} voxels; write "endian: little" (or big) into its header.`,
    );
  }
  return 'little';
}

function withoutLines(file: Uint8Array, count: number, name: string): Uint8Array {
  let at = 0;
  for (let line = 0; line < count; line++) {
    at = file.indexOf(0x0a, at) + 1;
    if (at === 0) throw new InputError(`${name} has ${line} lines, and its header skips ${count} (line skip).`);
  }
  return file.subarray(at);
}

/** Two hexadecimal digits a byte, white space wherever. */
function hexBytes(text: Uint8Array, name: string): Uint8Array {
  const bytes = new Uint8Array(text.length >> 1);
  let digits = 0;
  for (const code of text) {
    if (code <= 0x20) continue;
    const digit = Number.parseInt(String.fromCharCode(code), 16);
    if (Number.isNaN(digit)) {
      throw new InputError(
        `${name} has ${shown(String.fromCharCode(code))} among its hexadecimal voxels; save it again.`,
      );
    }
    bytes[digits >> 1] |= digits % 2 === 0 ? digit << 4 : digit;
    digits++;
  }
  // Half a byte at the end counts as none: then there are too few.
  return bytes.subarray(0, digits >> 1);
}
