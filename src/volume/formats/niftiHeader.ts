/**
 * The NIfTI header: bytes <-> a record of the fields that matter here, for NIfTI-1 (348 bytes, float32) and NIfTI-2
 * (540 bytes, float64) in both byte orders. Offsets are those of nifti1.h and nifti2.h.
 *
 * Checks that the fields can be believed (magic, sizes, data type, where the voxels start); what they mean for voxels
 * and geometry is in `nifti.ts`.
 */
import { InputError } from '../../errors.ts';
import { type ByteOrder, bytesPerVoxel, type StoredType } from './voxels.ts';

/** Numbers as the file stores them (a float32 widened is still the same number), so that they can be stored again. */
export interface NiftiHeader {
  readonly version: 1 | 2;
  readonly byteOrder: ByteOrder;
  /** Header and voxels in two files, .hdr and .img. */
  readonly paired: boolean;
  /** Lengths of the axes i, j, k and further, as many as dim[0] says. */
  readonly dimensions: readonly number[];
  readonly storedType: StoredType;
  /** Where the voxels start, in bytes from the start of the file that holds them. */
  readonly voxelOffset: number;
  /** value = slope * stored + intercept, unless the slope is 0 or not finite: then value = stored. */
  readonly slope: number;
  readonly intercept: number;
  readonly spatialUnit: 'unknown' | 'meter' | 'mm' | 'micron';
  /** qfac (sign of the third axis in the qform), then the voxel size along i, j, k, in the spatial unit. */
  readonly pixdim: readonly [qfac: number, i: number, j: number, k: number];
  /** 0 not given, 1 scanner, 2 aligned to another scan, 3 Talairach, 4 MNI 152, 5 another template. */
  readonly qformCode: number;
  readonly sformCode: number;
  /** b, c, d of the unit quaternion; a is what is missing to length 1. */
  readonly quaternion: readonly [number, number, number];
  readonly qOffset: readonly [number, number, number];
  /** Rows of the 3x4 affine to RAS, in the spatial unit. */
  readonly sform: readonly number[];
}

interface Layout {
  readonly length: number;
  /** Where the voxels start in a single file without extensions: behind the header and four bytes that announce none. */
  readonly voxelStart: number;
  readonly realBytes: 4 | 8;
  readonly magic: number;
  readonly singleMagic: string;
  readonly pairMagic: string;
  readonly datatype: number;
  readonly bitpix: number;
  readonly dim: number;
  readonly pixdim: number;
  readonly voxOffset: number;
  readonly slope: number;
  readonly intercept: number;
  readonly units: number;
  readonly qformCode: number;
  readonly sformCode: number;
  readonly quaternion: number;
  readonly qOffset: number;
  readonly sform: number;
}

const layouts: Record<1 | 2, Layout> = {
  1: {
    length: 348,
    voxelStart: 352,
    realBytes: 4,
    magic: 344,
    singleMagic: 'n+1\0',
    pairMagic: 'ni1\0',
    datatype: 70,
    bitpix: 72,
    dim: 40,
    pixdim: 76,
    voxOffset: 108,
    slope: 112,
    intercept: 116,
    units: 123,
    qformCode: 252,
    sformCode: 254,
    quaternion: 256,
    qOffset: 268,
    sform: 280,
  },
  2: {
    length: 540,
    voxelStart: 544,
    realBytes: 8,
    magic: 4,
    // The line ends tell whether a transfer "as text" changed the bytes.
    singleMagic: 'n+2\0\r\n\x1a\n',
    pairMagic: 'ni2\0\r\n\x1a\n',
    datatype: 12,
    bitpix: 14,
    dim: 16,
    pixdim: 104,
    voxOffset: 168,
    slope: 176,
    intercept: 184,
    units: 500,
    qformCode: 344,
    sformCode: 348,
    quaternion: 352,
    qOffset: 376,
    sform: 400,
  },
};

/** Length of the longer of the two headers: so many bytes tell everything. */
export const longestHeader = 540;

const datatypeCodes: Record<StoredType, number> = {
  uint8: 2,
  int16: 4,
  int32: 8,
  float32: 16,
  float64: 64,
  int8: 256,
  uint16: 512,
  uint32: 768,
  int64: 1024,
  uint64: 1280,
};

const storedTypes = new Map(Object.entries(datatypeCodes).map(([type, code]) => [code, type as StoredType]));

/** Types of the standard that hold no single intensity, or none that fits a number here. */
const refusedTypes = new Map([
  [0, 'of unknown type'],
  [1, 'single bits'],
  [32, 'complex numbers (complex64)'],
  [128, 'colors (rgb24)'],
  [1536, '128-bit floats'],
  [1792, 'complex numbers (complex128)'],
  [2048, 'complex numbers (complex256)'],
  [2304, 'colors (rgba32)'],
]);

const unitCodes: Record<NiftiHeader['spatialUnit'], number> = { unknown: 0, meter: 1, mm: 2, micron: 3 };

/**
 * Reads a header from the first bytes of a file (of the .hdr file of a pair).
 * @throws InputError when they are no NIfTI header, or one that contradicts itself or asks for what is not supported
 */
export function readNiftiHeader(bytes: Uint8Array, name: string): NiftiHeader {
  if (bytes.length === 0) throw new InputError(`${name} is empty; copy or download it again.`);
  if (bytes.length < 4) {
    throw new InputError(`${name} is no NIfTI file: it has only ${bytes.length} bytes.`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = view.getInt32(0, true);
  const big = view.getInt32(0, false);
  const version = little === 348 || big === 348 ? 1 : little === 540 || big === 540 ? 2 : undefined;
  if (version === undefined) {
    throw new InputError(
      `${name} is no NIfTI file: its first number must be 348 (NIfTI-1) or 540 (NIfTI-2) and is ${little}.`,
    );
  }
  const layout = layouts[version];
  const isLittle = little === layout.length;
  if (bytes.length < layout.length) {
    throw new InputError(
      `${name} is cut short: ${bytes.length} bytes of a NIfTI-${version} header of ${layout.length}; copy or download it again.`,
    );
  }
  const magic = String.fromCharCode(...bytes.subarray(layout.magic, layout.magic + layout.singleMagic.length));
  if (magic !== layout.singleMagic && magic !== layout.pairMagic) {
    throw new InputError(
      `${name} is no NIfTI-${version} file: its magic is ${JSON.stringify(magic)} and not ${JSON.stringify(layout.singleMagic)} or ${JSON.stringify(layout.pairMagic)}; an ANALYZE 7.5 header or one that was changed in transfer must be converted or copied again.`,
    );
  }
  const paired = magic === layout.pairMagic;

  const real = (offset: number, index = 0) =>
    version === 1 ? view.getFloat32(offset + 4 * index, isLittle) : view.getFloat64(offset + 8 * index, isLittle);
  const reals = (offset: number, count: number) => Array.from({ length: count }, (_, index) => real(offset, index));
  const code = (offset: number) => (version === 1 ? view.getInt16(offset, isLittle) : view.getInt32(offset, isLittle));
  /** Exact up to 2^53; anything larger fails the checks of sizes below all the same. */
  const long = (offset: number) => Number(view.getBigInt64(offset, isLittle));
  const dim = (index: number) =>
    version === 1 ? view.getInt16(layout.dim + 2 * index, isLittle) : long(layout.dim + 8 * index);

  const rank = dim(0);
  if (!(rank >= 1 && rank <= 7)) {
    throw new InputError(
      `${name} says that it has ${rank} axes (dim[0]); NIfTI allows 1 to 7, so the header is damaged.`,
    );
  }
  const dimensions = Array.from({ length: rank }, (_, axis) => dim(axis + 1));
  dimensions.forEach((length, axis) => {
    if (!(length >= 1 && length <= Number.MAX_SAFE_INTEGER)) {
      throw new InputError(
        `${name} gives axis ${axis + 1} of ${rank} a length of ${length} (dim[${axis + 1}]); the header is damaged or the image empty.`,
      );
    }
  });

  const datatype = view.getInt16(layout.datatype, isLittle);
  const storedType = storedTypes.get(datatype);
  if (storedType === undefined) {
    const refused = refusedTypes.get(datatype);
    throw new InputError(
      refused
        ? `${name} holds voxels that are ${refused} (datatype ${datatype}); give an image of intensities, for example saved as int16 or float32.`
        : `${name} has datatype ${datatype}, which NIfTI does not know; the header is damaged.`,
    );
  }

  const voxelOffset = version === 1 ? real(layout.voxOffset) : long(layout.voxOffset);
  const earliest = paired ? 0 : layout.voxelStart;
  if (!(Number.isSafeInteger(voxelOffset) && voxelOffset >= earliest)) {
    throw new InputError(
      `${name} says that its voxels start at byte ${voxelOffset} (vox_offset); it must be a whole number from ${earliest} on, so the header is damaged.`,
    );
  }

  const unit = (version === 1 ? view.getUint8(layout.units) : view.getInt32(layout.units, isLittle)) & 7;
  const units = Object.keys(unitCodes) as NiftiHeader['spatialUnit'][];
  return {
    version,
    byteOrder: isLittle ? 'little' : 'big',
    paired,
    dimensions,
    storedType,
    voxelOffset,
    slope: real(layout.slope),
    intercept: real(layout.intercept),
    spatialUnit: units.find((name) => unitCodes[name] === unit) ?? 'unknown',
    pixdim: [real(layout.pixdim), real(layout.pixdim, 1), real(layout.pixdim, 2), real(layout.pixdim, 3)],
    qformCode: code(layout.qformCode),
    sformCode: code(layout.sformCode),
    quaternion: [real(layout.quaternion), real(layout.quaternion, 1), real(layout.quaternion, 2)],
    qOffset: [real(layout.qOffset), real(layout.qOffset, 1), real(layout.qOffset, 2)],
    sform: reals(layout.sform, 12),
  };
}

/** What the writer decides; the rest follows: little-endian, without extensions. */
export type NiftiFields = Omit<NiftiHeader, 'byteOrder' | 'paired' | 'voxelOffset'>;

/**
 * @param paired the header of a .hdr/.img pair, whose voxels begin at byte 0 of the other file; otherwise of a single file,
 *   whose voxels follow directly behind what this gives
 */
export function writeNiftiHeader(fields: NiftiFields, paired = false): Uint8Array {
  const { version } = fields;
  const layout = layouts[version];
  const bytes = new Uint8Array(paired ? layout.length : layout.voxelStart);
  const magic = paired ? layout.pairMagic : layout.singleMagic;
  const voxelStart = paired ? 0 : layout.voxelStart;
  const view = new DataView(bytes.buffer);
  const setReal = (offset: number, values: readonly number[]) =>
    values.forEach((value, index) => {
      if (version === 1) view.setFloat32(offset + 4 * index, value, true);
      else view.setFloat64(offset + 8 * index, value, true);
    });
  const setCode = (offset: number, value: number) =>
    version === 1 ? view.setInt16(offset, value, true) : view.setInt32(offset, value, true);
  const setDim = (index: number, value: number) =>
    version === 1
      ? view.setInt16(layout.dim + 2 * index, value, true)
      : view.setBigInt64(layout.dim + 8 * index, BigInt(value), true);

  view.setInt32(0, layout.length, true);
  for (let i = 0; i < magic.length; i++) bytes[layout.magic + i] = magic.charCodeAt(i);
  // ANALYZE's "regular" mark, which some old readers look for.
  if (version === 1) bytes[38] = 'r'.charCodeAt(0);
  view.setInt16(layout.datatype, datatypeCodes[fields.storedType], true);
  view.setInt16(layout.bitpix, 8 * bytesPerVoxel[fields.storedType], true);
  for (let index = 0; index < 8; index++) {
    setDim(index, index === 0 ? fields.dimensions.length : (fields.dimensions[index - 1] ?? 1));
  }
  setReal(layout.pixdim, [...fields.pixdim, 1, 1, 1, 1]);
  if (version === 1) setReal(layout.voxOffset, [voxelStart]);
  else view.setBigInt64(layout.voxOffset, BigInt(voxelStart), true);
  setReal(layout.slope, [fields.slope]);
  setReal(layout.intercept, [fields.intercept]);
  if (version === 1) view.setUint8(layout.units, unitCodes[fields.spatialUnit]);
  else view.setInt32(layout.units, unitCodes[fields.spatialUnit], true);
  setCode(layout.qformCode, fields.qformCode);
  setCode(layout.sformCode, fields.sformCode);
  setReal(layout.quaternion, fields.quaternion);
  setReal(layout.qOffset, fields.qOffset);
  setReal(layout.sform, fields.sform);
  return bytes;
}
