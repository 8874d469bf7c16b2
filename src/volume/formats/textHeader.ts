/**
 * What NRRD and MetaImage share: a header of text lines in front of binary voxels, or in a file beside them. Numbers in
 * fields, names of data files, lengths of axes, and whether there are as many bytes as the header asks for.
 */
import { InputError } from '../../errors.ts';
import { showShape } from '../../tensor.ts';
import { allocate } from './gzip.ts';
import { bytesPerVoxel, type StoredType } from './voxels.ts';

/** Longest header that is searched for its end, in bytes: ten times the longest of any real file. */
export const longestTextHeader = 1 << 20;

/** Bytes as text, one character a byte: offsets in the one are offsets in the other. */
export function latin1(bytes: Uint8Array): string {
  // Not the decoder's 'latin1': that is windows-1252, whose 80 to 9f are other characters.
  let text = '';
  for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return text;
}

/** The same bytes as UTF-8, for names of files. */
export function utf8(text: string): string {
  return new TextDecoder().decode(Uint8Array.from(text, (character) => character.charCodeAt(0)));
}

const decimal = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i;

/**
 * Numbers between spaces (or commas); `nan` and `inf` are numbers too, for the checks of what they mean.
 * @throws InputError when one is no number, or there are not `count` of them
 */
export function numbersIn(text: string, field: string, name: string, count?: number): number[] {
  const numbers = text
    .split(/[\s,]+/)
    .filter((token) => token !== '')
    .map((token) => {
      const number = numberIn(token);
      if (number === undefined) {
        throw new InputError(`${name} has ${shown(token)} where its ${field} must give a number; mend the header.`);
      }
      return number;
    });
  if (count !== undefined && numbers.length !== count) {
    throw new InputError(`${name} gives ${numbers.length} numbers as its ${field}, not ${count}; mend the header.`);
  }
  return numbers;
}

function numberIn(token: string): number | undefined {
  if (decimal.test(token)) return Number(token);
  const word = token.toLowerCase();
  if (word === 'nan' || word === '-nan') return NaN;
  return /^[+-]?inf(inity)?$/.test(word) ? (word[0] === '-' ? -Infinity : Infinity) : undefined;
}

/** A number that reads back as the very same one, a negative zero too. */
export function exactText(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value);
}

/**
 * A piece of a header in a message: quoted when it is one word, such as a misspelt type, or decimal numbers. All else is
 * only counted: where a header is damaged, what follows may be a comment, and comments hold names and UIDs of patients.
 */
export function shown(text: string): string {
  const word = /^[a-z_][a-z_-]{0,24}\d{0,2}$/i.test(text);
  // A UID has several points, a number one.
  const numbers = /^[\d\s.,()+e-]{1,40}$/.test(text) && !/\d\.\d+\./.test(text);
  return word || numbers ? JSON.stringify(text) : `a text of ${text.length} characters`;
}

/** The name of a data file in a message: quoted, without control characters, cut to 40 characters. */
export function shownFile(name: string): string {
  return JSON.stringify(name.length > 40 ? `${name.slice(0, 40)}...` : name);
}

/**
 * A whole number of a header.
 * @throws InputError when it is none, or below `least`
 */
export function integerIn(text: string, field: string, name: string, least: number): number {
  const [value] = numbersIn(text, field, name, 1);
  if (!(Number.isSafeInteger(value) && value >= least)) {
    throw new InputError(`${name} gives ${value} as its ${field}, which must be a whole number from ${least} on.`);
  }
  return value;
}

/**
 * Lengths of axes, fastest first.
 * @throws InputError when one is no whole number from 1 on, or there are not `count` of them
 */
export function lengthsIn(text: string, field: string, name: string, count: number): number[] {
  const lengths = numbersIn(text, field, name, count);
  lengths.forEach((length, axis) => {
    if (!(Number.isSafeInteger(length) && length >= 1)) {
      throw new InputError(
        `${name} gives axis ${axis + 1} of ${count} a length of ${length} (${field}); the header is damaged or the image empty.`,
      );
    }
  });
  return lengths;
}

/**
 * The name of a data file that lies beside the header.
 * @throws InputError when it is a pattern of several names, or leads to another folder
 */
export function bareName(value: string, field: string, name: string): string {
  if (/^LIST\b/.test(value) || value.includes('%')) {
    throw new InputError(
      `${name} spreads its voxels over several files (${field} ${shownFile(value)}); save it with all voxels in one file.`,
    );
  }
  const bare = value.startsWith('./') ? value.slice(2) : value;
  // Control characters are looked for, because no name of a file holds one.
  const control = [...bare].some((character) => character < ' ');
  if (bare === '' || bare === '.' || bare === '..' || control || /[/\\]|^[A-Za-z]:/.test(bare)) {
    throw new InputError(
      `${name} asks for the data file ${shownFile(value)} (${field}), which is no name of a file in its own folder; put the file beside it and write its bare name there.`,
    );
  }
  return bare;
}

/** What a header says of the voxels that were stored. */
export interface StoredImage {
  /** Lengths of all axes, fastest first, channels included. */
  readonly sizes: readonly number[];
  readonly type: StoredType;
}

function storedCount({ sizes }: StoredImage): number {
  return sizes.reduce((count, length) => count * length, 1);
}

export function storedBytes(image: StoredImage): number {
  return storedCount(image) * bytesPerVoxel[image.type];
}

/**
 * Checks that there are exactly the bytes of the voxels.
 * @param name of the file that holds them
 * @throws InputError when there are more, or fewer
 */
export function exactBytes(bytes: Uint8Array, image: StoredImage, name: string): Uint8Array {
  const needed = storedBytes(image);
  if (bytes.length === needed) return bytes;
  const asked = `its header asks for ${needed} bytes of voxels (${showShape(image.sizes)}, ${image.type})`;
  if (bytes.length < needed) {
    throw new InputError(`${name} is cut short: ${asked}, but there are ${bytes.length}; copy or download it again.`);
  }
  throw new InputError(
    `${name} holds more than it should: ${asked}, but there are ${bytes.length}, so the header may be of another image; save it again.`,
  );
}

/** Longest number in text voxels, in bytes: a float64 takes 24. */
const longestNumber = 64;

/**
 * Voxels written as decimal numbers between white space or commas.
 * @returns their bytes in little-endian order, as if they had been stored so
 * @throws InputError when there are not as many numbers as voxels, or one does not fit the type
 */
export function textVoxels(text: Uint8Array, image: StoredImage, name: string): Uint8Array {
  const { type, sizes } = image;
  const count = storedCount(image);
  const wrongCount = (found: string) =>
    new InputError(
      `${name} holds ${found} numbers than the ${count} voxels that its header asks for (${showShape(sizes)}); copy or save it again.`,
    );
  // Each number but the last takes two bytes at least, so no memory is reserved for what cannot be there.
  if (text.length < 2 * count - 1) throw wrongCount('fewer');
  const bytes = allocate(storedBytes(image), name);
  const view = new DataView(bytes.buffer);
  const size = bytesPerVoxel[type];
  const { range, set } = numberTypes[type];
  const isSpace = (byte: number) => byte <= 0x20 || byte === 0x2c;
  let index = 0;
  for (let at = 0; at < text.length; ) {
    if (isSpace(text[at])) {
      at++;
      continue;
    }
    let end = at;
    while (end < text.length && end - at <= longestNumber && !isSpace(text[end])) end++;
    const token = latin1(text.subarray(at, end));
    if (index === count) throw wrongCount('more');
    const value = numberIn(token);
    if (value === undefined || (range && !(Number.isInteger(value) && value >= range[0] && value <= range[1]))) {
      throw new InputError(`${name} has ${shown(token)} as voxel ${index}, which is no ${type}; save it again.`);
    }
    set(view, size * index, value);
    index++;
    at = end;
  }
  if (index < count) throw wrongCount('fewer');
  return bytes;
}

interface NumberType {
  /** Smallest and largest value of an integer type; of 64 bits, as far as float64 is exact. */
  readonly range?: readonly [low: number, high: number];
  set(view: DataView, at: number, value: number): void;
}

const numberTypes: Record<StoredType, NumberType> = {
  int8: { range: [-0x80, 0x7f], set: (view, at, value) => view.setInt8(at, value) },
  uint8: { range: [0, 0xff], set: (view, at, value) => view.setUint8(at, value) },
  int16: { range: [-0x8000, 0x7fff], set: (view, at, value) => view.setInt16(at, value, true) },
  uint16: { range: [0, 0xffff], set: (view, at, value) => view.setUint16(at, value, true) },
  int32: { range: [-0x80000000, 0x7fffffff], set: (view, at, value) => view.setInt32(at, value, true) },
  uint32: { range: [0, 0xffffffff], set: (view, at, value) => view.setUint32(at, value, true) },
  int64: {
    range: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
    set: (view, at, value) => view.setBigInt64(at, BigInt(value), true),
  },
  uint64: {
    range: [0, Number.MAX_SAFE_INTEGER],
    set: (view, at, value) => view.setBigUint64(at, BigInt(value), true),
  },
  float32: { set: (view, at, value) => view.setFloat32(at, value, true) },
  float64: { set: (view, at, value) => view.setFloat64(at, value, true) },
};
