/**
 * NumPy's scalars and arrays out of their pickled form: dtype, shape and raw bytes become plain values.
 *
 * Read are bool, (u)int8..64, float16..64, and texts (`U`: UCS-4, `S`: Latin-1), in both byte orders, C or Fortran
 * order. Data stay views of the file where byte order, order of axes and alignment allow.
 */
import { float16ToNumber, stridesOf, viewBytes } from '../tensor.ts';
import { swapBytes } from './byteOrder.ts';
import type { CheckpointFault } from './checkpointError.ts';
import {
  isKind,
  isSizes,
  type NumpyArray,
  type NumpyDataByType,
  type NumpyType,
  nameKind,
  type PickleValue,
} from './pickleValue.ts';
import { quote } from './quote.ts';
import { gather, isContiguous, viewCount } from './strided.ts';

/** What a constructor may ask of the machine that calls it. */
export interface Construction {
  /** Stops the reading; the machine says which file and where. */
  fail(kind: CheckpointFault, fault: string): never;
  /** Must be called before bytes are allocated: keeps all copies together in proportion to the file. */
  allocate(bytes: number): void;
}

type Args = readonly PickleValue[];

const elementTypes: Record<string, Exclude<keyof NumpyDataByType, 'text'>> = {
  b1: 'bool',
  i1: 'int8',
  i2: 'int16',
  i4: 'int32',
  i8: 'int64',
  u1: 'uint8',
  u2: 'uint16',
  u4: 'uint32',
  u8: 'uint64',
  f2: 'float16',
  f4: 'float32',
  f8: 'float64',
};

/** Longest text of one array element, in characters: bounds what one dtype can claim. */
const textLimit = 1_000_000;

/** `numpy.dtype(code, align, copy)` */
export function numpyType([code]: Args, at: Construction): NumpyType {
  if (typeof code !== 'string') return at.fail('damaged', `a NumPy type is named by ${nameKind(code)}`);
  const [, order, letter, size] = /^([<>|=]?)([a-zA-Z])(\d{0,7})$/.exec(code) ?? [];
  if (letter === undefined || size === '') return at.fail('unsupported', `the NumPy type ${quote(code)} is not read`);
  if (!(isText(letter) ? Number(size) <= textLimit : Object.hasOwn(elementTypes, letter + Number(size)))) {
    return at.fail('unsupported', `the NumPy type ${quote(code)} is not read`);
  }
  return { kind: 'dtype', letter, size: Number(size), bigEndian: order === '>' };
}

/** The state of a dtype: (version, byte order, ...); the rest repeats the code or belongs to types that are not read. */
export function setNumpyTypeState(type: NumpyType, state: PickleValue, at: Construction): void {
  if (!Array.isArray(state) || typeof state[1] !== 'string') {
    at.fail('damaged', `the state of a NumPy type is ${nameKind(state)} without a byte order`);
  }
  type.bigEndian = state[1] === '>';
}

/** `_reconstruct(class, shape, typecode)`: an empty array, which its state fills. */
export function emptyNumpyArray([arrayClass]: Args, at: Construction): NumpyArray {
  if (!isKind(arrayClass, 'global') || arrayClass.name !== 'numpy.ndarray') {
    return at.fail('unsupported', `a NumPy array of class ${nameKind(arrayClass)} is not read`);
  }
  return { kind: 'array', dtype: 'int8', shape: [0], data: new Int8Array(0) };
}

/** The state of an array: (version 1, shape, dtype, Fortran order, raw data). */
export function setNumpyArrayState(array: NumpyArray, state: PickleValue, at: Construction): void {
  if (!Array.isArray(state) || state.length !== 5) {
    at.fail('damaged', `the state of a NumPy array is ${nameKind(state)}, not five values`);
  }
  const [, shape, type, fortran, raw] = state;
  if (!isSizes(shape)) at.fail('damaged', `a NumPy array has ${nameKind(shape)} for its shape`);
  Object.assign(array, decodeArray(raw, type, shape, fortran === true ? fortranStrides(shape) : undefined, at));
}

/**
 * `_frombuffer(data, dtype, shape, order, axis order)`: order C, F, or K, where the data are a C-order array of that
 * shape whose axes are then transposed.
 */
export function numpyArrayFromBuffer([raw, type, shape, order, axisOrder]: Args, at: Construction): NumpyArray {
  if (!isSizes(shape)) return at.fail('damaged', `a NumPy array has ${nameKind(shape)} for its shape`);
  if (order === 'C') return decodeArray(raw, type, shape, undefined, at);
  if (order === 'F') return decodeArray(raw, type, shape, fortranStrides(shape), at);
  if (order !== 'K' || !isSizes(axisOrder) || !isPermutation(axisOrder, shape.length)) {
    return at.fail('damaged', `a NumPy array of ${shape.length} axes has no readable order of axes`);
  }
  const stride = stridesOf(shape);
  const transposed = axisOrder.map((axis) => shape[axis]);
  return decodeArray(
    raw,
    type,
    transposed,
    axisOrder.map((axis) => stride[axis]),
    at,
  );
}

function isPermutation(axes: readonly number[], length: number): boolean {
  return axes.length === length && new Set(axes).size === length && axes.every((axis) => axis < length);
}

/** Strides of an array whose first axis is the fastest. */
function fortranStrides(shape: readonly number[]): number[] {
  return stridesOf(shape.toReversed()).toReversed();
}

/** `scalar(dtype, raw data)` */
export function numpyScalar([type, raw]: Args, at: Construction): PickleValue {
  const { dtype, data } = decodeArray(raw, type, [], undefined, at);
  const value = data[0];
  if (dtype === 'bool') return value !== 0;
  if (dtype === 'float16') return float16ToNumber(value as number);
  return typeof value === 'bigint' ? plainInteger(value) : value;
}

/** A number where that is exact, else the bigint. */
export function plainInteger(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

/** @param stride of the data in elements; C order when undefined */
function decodeArray(
  raw: PickleValue | undefined,
  type: PickleValue | undefined,
  shape: readonly number[],
  stride: readonly number[] | undefined,
  at: Construction,
): NumpyArray {
  if (!isKind(type, 'dtype')) return at.fail('damaged', `a NumPy value has ${nameKind(type)} for its type`);
  const bytes = typeof raw === 'string' ? latin1Bytes(raw, at) : raw;
  const itemBytes = type.letter === 'U' ? 4 * type.size : type.size;
  const count = viewCount(shape);
  // Empty texts take no bytes, so bytes would not bound their number.
  if (!(bytes instanceof Uint8Array) || bytes.length !== count * itemBytes || (itemBytes === 0 && count > 1)) {
    const found = bytes instanceof Uint8Array ? `${bytes.length} bytes` : nameKind(raw);
    return at.fail(
      'damaged',
      `a NumPy value of type ${type.letter}${type.size} and shape [${shape.join(', ')}] has ${found} for its data`,
    );
  }
  const dtype = isText(type.letter) ? 'text' : elementTypes[type.letter + type.size];
  const data = isText(type.letter) ? decodeTexts(bytes, type, count, at) : decodeNumbers(bytes, type, at);
  // The shape is copied: in the pickle it may be a list, and a list may still grow.
  if (stride === undefined || isContiguous(shape, stride)) return { kind: 'array', dtype, shape: [...shape], data };

  at.allocate(bytes.length);
  const ordered = data.slice();
  gather<number | bigint | string>(data, shape, stride, 0, ordered);
  return { kind: 'array', dtype, shape: [...shape], data: ordered };
}

function isText(letter: string): boolean {
  return letter === 'U' || letter === 'S';
}

function decodeNumbers(bytes: Uint8Array, type: NumpyType, at: Construction): Exclude<NumpyArray['data'], string[]> {
  let ordered = bytes;
  if (type.size > 1 && (type.bigEndian || bytes.byteOffset % type.size !== 0)) {
    at.allocate(bytes.length);
    ordered = type.bigEndian ? swapBytes(bytes, type.size) : new Uint8Array(bytes);
  }
  const dtype = elementTypes[type.letter + type.size];
  switch (dtype) {
    case 'uint16':
      return new Uint16Array(ordered.buffer, ordered.byteOffset, ordered.length / 2);
    case 'uint32':
      return new Uint32Array(ordered.buffer, ordered.byteOffset, ordered.length / 4);
    case 'uint64':
      return new BigUint64Array(ordered.buffer, ordered.byteOffset, ordered.length / 8);
    default:
      return viewBytes(dtype, ordered);
  }
}

/** Texts of fixed width, padded with zeros at the end. */
function decodeTexts(bytes: Uint8Array, type: NumpyType, count: number, at: Construction): string[] {
  at.allocate(2 * bytes.length + 32 * count);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const width = type.letter === 'U' ? 4 : 1;
  const codeAt = (index: number) => (width === 1 ? bytes[index] : view.getUint32(4 * index, !type.bigEndian));
  return Array.from({ length: count }, (_, i) => {
    const begin = i * type.size;
    let end = begin + type.size;
    while (end > begin && codeAt(end - 1) === 0) end--;
    let text = '';
    for (let index = begin; index < end; index++) {
      const code = codeAt(index);
      if (code > 0x10ffff) at.fail('damaged', `a NumPy text has the character code ${code}`);
      text += String.fromCodePoint(code);
    }
    return text;
  });
}

/** The bytes of a text that Python 2 wrote, or that Python 3 wrote as Latin-1 for it. */
export function latin1Bytes(text: string, at: Construction): Uint8Array {
  at.allocate(text.length);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0xff) return at.fail('damaged', `bytes written as text hold the character code ${code}`);
    bytes[i] = code;
  }
  return bytes;
}
