/**
 * Damage to bytes, as data: what is done, and where, are numbers that fast-check draws, records and shrinks. `mutate`
 * applies them, the same every time. The kinds are those that parsers break on: lengths and counts at their limits, ends
 * that come too early, pieces twice, missing or from elsewhere, numbers in texts that no type holds.
 */
import fc from 'fast-check';

/** Kinds for any bytes. */
const binaryKinds = [
  'flip',
  'byte',
  'word',
  'long',
  'double',
  'cut',
  'remove',
  'repeat',
  'swap',
  'insert',
  'splice',
  'zero',
] as const;
/** `number`: of a text; `element`: the value of one of DICOM's short elements; `json`: an entry of a JSON text. */
const specialKinds = ['number', 'element', 'json'] as const;

export type SpecialKind = (typeof specialKinds)[number];
type Kind = (typeof binaryKinds)[number] | SpecialKind;

export interface Mutation {
  readonly kind: Kind;
  /** Which part of the input, modulo their number. */
  readonly part: number;
  /** What `at` counts from: files have their lengths and offsets at their beginning, zip archives at their end. */
  readonly zone: 'start' | 'end' | 'any';
  readonly at: number;
  readonly length: number;
  /** Chooses among the values that the kind has. */
  readonly value: number;
}

/** @param special kinds that mean something for this format; they come more often than others */
export function mutations(special: readonly SpecialKind[]): fc.Arbitrary<Mutation[]> {
  const kind = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom<Kind[]>(...binaryKinds) },
    ...special.map((each) => ({ weight: 2, arbitrary: fc.constant<Kind>(each) })),
  );
  const one = fc.record<Mutation>({
    kind,
    part: fc.nat(1000),
    zone: fc.constantFrom('start', 'end', 'any'),
    at: fc.nat(0x7fffffff),
    length: fc.nat(0x7fffffff),
    value: fc.nat(0x7fffffff),
  });
  return fc.array(one, { minLength: 1, maxLength: 5 });
}

/**
 * The parts with all mutations applied, one after the other.
 * @param donor where foreign pieces come from
 */
export function mutate(
  parts: readonly Uint8Array[],
  donor: Uint8Array,
  list: readonly Mutation[],
): readonly Uint8Array[] {
  const changed = [...parts];
  for (const mutation of list) {
    const part = mutation.part % changed.length;
    changed[part] = damaged(changed[part], donor, mutation);
  }
  return changed;
}

/** Bytes of a header, roughly. */
const zoneLength = 512;

function placeIn(length: number, { zone, at }: Mutation, step = 1): number {
  if (length === 0) return 0;
  const near = at % Math.min(length, zoneLength);
  const place = zone === 'any' ? at % length : zone === 'start' ? near : length - 1 - near;
  return place - (place % step);
}

function damaged(bytes: Uint8Array, donor: Uint8Array, mutation: Mutation): Uint8Array {
  const { kind, at, length, value } = mutation;
  const place = placeIn(bytes.length, mutation);
  const end = Math.min(bytes.length, place + 1 + (length % 64));
  switch (kind) {
    case 'flip':
      return written(bytes, place, [bytes[place] ^ (1 << (value % 8))]);
    case 'byte':
      return written(bytes, place, [pick([0, 1, 0x7f, 0x80, 0xfe, 0xff, 0x20, 0x0a, 0x2d], value)]);
    case 'word':
      return writtenNumber(bytes, placeIn(bytes.length, mutation, 2), 2, (view, littleEndian) =>
        view.setUint16(0, pick(words, value), littleEndian),
      );
    case 'long':
      return writtenNumber(bytes, placeIn(bytes.length, mutation, 4), 4, (view, littleEndian) => {
        if (value % 2 === 0) view.setUint32(0, pick(longs, value >> 1), littleEndian);
        else view.setFloat32(0, pick(numbers, value >> 1), littleEndian);
      });
    case 'double':
      return writtenNumber(bytes, placeIn(bytes.length, mutation, 4), 8, (view, littleEndian) => {
        if (value % 2 === 0) view.setBigUint64(0, pick(longLongs, value >> 1), littleEndian);
        else view.setFloat64(0, pick(numbers, value >> 1), littleEndian);
      });
    case 'cut':
      return bytes.slice(0, place);
    case 'remove':
      return joined(bytes.subarray(0, place), bytes.subarray(end));
    case 'repeat':
      return joined(bytes.subarray(0, end), ...Array(1 + (value % 40)).fill(bytes.subarray(place, end)));
    case 'swap': {
      const second = Math.max(end, at % Math.max(1, bytes.length));
      const secondEnd = Math.min(bytes.length, second + 1 + (value % 64));
      return joined(
        bytes.subarray(0, place),
        bytes.subarray(second, secondEnd),
        bytes.subarray(end, second),
        bytes.subarray(place, end),
        bytes.subarray(secondEnd),
      );
    }
    case 'insert':
      return joined(bytes.subarray(0, place), garbage(1 + (length % 64), value), bytes.subarray(place));
    case 'splice':
      return joined(bytes.subarray(0, place), donor.subarray(value % 2 === 0 ? place : at % (donor.length + 1)));
    case 'zero':
      return written(bytes, place, new Array<number>(end - place).fill(value % 3 === 0 ? 0xff : 0));
    case 'number':
      return withNumber(bytes, at, value);
    case 'element':
      return withElement(bytes, at, value);
    case 'json':
      return withEntry(bytes, at, value);
  }
}

const pick = <T>(values: readonly T[], index: number): T => values[index % values.length];

const words = [0, 1, 2, 3, 8, 0x40, 0xff, 0x100, 0x1000, 0x7fff, 0x8000, 0xfffe, 0xffff];
const longs = [0, 1, 2, 0xff, 0xffff, 0x10000, 0x1000000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];
const longLongs = [0n, 1n, 1n << 31n, (1n << 32n) - 1n, 1n << 53n, (1n << 63n) - 1n, 1n << 63n, (1n << 64n) - 1n];
const numbers = [0, -0, 1, -1, 0.5, 1e-30, 1e30, 1e38, Infinity, -Infinity, NaN, 65536, 2147483647];

function written(bytes: Uint8Array, at: number, values: ArrayLike<number>): Uint8Array {
  const copy = bytes.slice();
  for (let i = 0; i < values.length && at + i < copy.length; i++) copy[at + i] = values[i];
  return copy;
}

function writtenNumber(
  bytes: Uint8Array,
  at: number,
  size: number,
  set: (view: DataView, littleEndian: boolean) => void,
): Uint8Array {
  const number = new Uint8Array(size);
  // One place in four is written high byte first.
  set(new DataView(number.buffer), at % 16 !== 0);
  return written(bytes, at, number);
}

function joined(...pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** Bytes that no one drew: a linear congruential sequence. */
function garbage(length: number, seed: number): Uint8Array {
  let state = seed >>> 0;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

const strangeNumbers = [
  '0',
  '-0',
  '-1',
  '1',
  '2',
  '1.5',
  '1e308',
  '1e999',
  '-1e308',
  'nan',
  'inf',
  '1e-320',
  '65535',
  '65536',
  '1000000',
  '2147483647',
  '4294967296',
  '9007199254740993',
  '18446744073709551616',
  '9'.repeat(400),
  '0'.repeat(5000) + '1',
  '1 '.repeat(3000),
  '',
  'x',
];

/** Texts lie at the beginning; behind it, digits are chance. */
const textLength = 8192;

/** Another number in the place of one that is written out in digits. */
function withNumber(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const text = Buffer.from(bytes.subarray(0, textLength)).toString('latin1');
  const found = [...text.matchAll(/[-+]?\d+(\.\d+)?/g)];
  if (found.length === 0) return bytes;
  const { index, 0: digits } = pick(found, at);
  const strange = Buffer.from(pick(strangeNumbers, value), 'latin1');
  return joined(bytes.subarray(0, index), strange, bytes.subarray(index + digits.length));
}

/** Another 16-bit value in one of DICOM's elements that describe pixels (group 0028, explicit or implicit, US or IS). */
function withElement(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const found: number[] = [];
  for (let i = 0; i + 10 < Math.min(bytes.length, textLength); i += 2) {
    if (bytes[i] === 0x28 && bytes[i + 1] === 0 && bytes[i + 3] <= 0x30) found.push(i);
  }
  if (found.length === 0) return bytes;
  const word = pick(words, value);
  return written(bytes, pick(found, at) + 8, [word & 0xff, word >> 8]);
}

const strangeValues: readonly unknown[] = [
  null,
  true,
  '',
  'x',
  -1,
  0,
  0.5,
  1e9,
  1e15,
  1e308,
  2 ** 53,
  2 ** 31 - 1,
  [],
  {},
  [[]],
  Array(2000).fill(1),
  Array(3).fill(1e9),
  'y'.repeat(100_000),
  { constructor: 1 },
  '__proto__',
];

/** Another value, none, or one more, at an entry of a JSON text. */
function withEntry(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const text = Buffer.from(bytes).toString('utf8');
  // What has been nested deeper than any stack goes stays as it is.
  if (text.includes('['.repeat(100))) return bytes;
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch {
    return bytes;
  }
  const places: [holder: Record<string, unknown>, key: string][] = [];
  const visit = (node: unknown) => {
    if (typeof node !== 'object' || node === null) return;
    for (const key of Object.keys(node)) {
      places.push([node as Record<string, unknown>, key]);
      visit((node as Record<string, unknown>)[key]);
    }
  };
  visit(root);
  if (places.length === 0) return bytes;
  const [holder, key] = pick(places, at);
  if (value % 8 === 0) delete holder[key];
  else if (value % 8 === 1) holder[`${key}_`] = holder[key];
  else if (value % 8 === 2) holder[key] = deepMark;
  else holder[key] = pick(strangeValues, value >> 3);
  return new TextEncoder().encode(JSON.stringify(root).replace(`"${deepMark}"`, nested(value % 50_000)));
}

const deepMark = 'deep';

/** A list in a list in a list, deeper than `JSON.stringify` could write it. */
const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
