/**
 * The safetensors file: bytes <-> named tensors.
 *
 *     8 bytes   little-endian length L of the header
 *     L bytes   JSON { name: { dtype, shape, data_offsets: [begin, end] }, "__metadata__": { text: text } }, space-padded
 *     the rest  little-endian C-order data, without gap or overlap; offsets count from the end of the header
 *
 * Takes and gives bytes; files, hashes and what the names mean are for others. The format's own rules (no gap, header
 * of at most 100 MB, metadata of texts only) are checked before anything is believed.
 */
import { InputError } from '../errors.ts';
import {
  bytesOf,
  bytesPerElement,
  type DataType,
  elementCount,
  showShape,
  type Tensor,
  tensor,
  viewBytes,
} from '../tensor.ts';
import { quote } from './quote.ts';

export interface Safetensors {
  /** In the order of the header. Data are views of the file's bytes where their alignment allows. */
  readonly tensors: Map<string, Tensor>;
  readonly metadata: Record<string, string>;
}

/** What a header says of a tensor: everything but its data. */
export type TensorSpec = Pick<Tensor, 'dtype' | 'shape'>;

export interface SafetensorsLayout {
  /** The file's first bytes: length and JSON, a multiple of 8 bytes. */
  readonly header: Uint8Array;
  /** Names in the order in which their data follow the header, each directly behind the other. */
  readonly order: readonly string[];
  /** Bytes of the whole file. */
  readonly byteLength: number;
}

const headerLimit = 100_000_000;

const formatNames: Record<DataType, string> = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  int64: 'I64',
  int32: 'I32',
  int16: 'I16',
  int8: 'I8',
  uint8: 'U8',
  bool: 'BOOL',
};

const dataTypes = new Map(Object.entries(formatNames).map(([dtype, name]) => [name, dtype as DataType]));

/**
 * Reads every tensor of a safetensors file.
 * @param name what to call the file in messages
 * @throws InputError when the file is cut short, breaks the format's rules or holds a type that `DataType` lacks
 */
export function readSafetensors(bytes: Uint8Array, name = 'the safetensors file'): Safetensors {
  // A plain Uint8Array: `slice` of a Node Buffer would not copy, and `viewBytes` relies on that it does.
  const file = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerLength = readHeaderLength(file, name);
  const header = parseHeader(file.subarray(8, 8 + headerLength), name);
  const data = file.subarray(8 + headerLength);

  const metadata: Record<string, string> = {};
  const entries: Entry[] = [];
  for (const [key, value] of Object.entries(header)) {
    if (key === '__proto__') {
      throw new InputError(`${name} names a tensor "__proto__", which no network does; do not trust this file.`);
    }
    if (key === '__metadata__') readMetadata(value, metadata, name);
    else entries.push(readEntry(key, value, name));
  }
  checkLayout(entries, data.length, name);

  const tensors = new Map<string, Tensor>();
  for (const { key, dtype, shape, begin, end } of entries) {
    tensors.set(key, tensor(dtype, shape, viewBytes(dtype, data.subarray(begin, end))));
  }
  return { tensors, metadata };
}

function readHeaderLength(file: Uint8Array, name: string): number {
  if (file.length < 8) {
    throw new InputError(
      `${name} has ${file.length} bytes, too few for a safetensors file (8 bytes of header length come first); ` +
        'check that it is the right file and whole.',
    );
  }
  const view = new DataView(file.buffer, file.byteOffset, 8);
  const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  if (length > headerLimit) {
    throw new InputError(
      `${name} claims a header of ${length} bytes, where the safetensors format allows ${headerLimit}; ` +
        'it is probably a file of another kind.',
    );
  }
  if (length > file.length - 8) {
    throw new InputError(
      `${name} is cut short: it claims a header of ${length} bytes, but only ${file.length - 8} bytes follow; ` +
        'copy or download it again.',
    );
  }
  return length;
}

function parseHeader(bytes: Uint8Array, name: string): object {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new InputError(
      `${name} is no safetensors file, or is damaged: its header of ${bytes.length} bytes is not JSON text.`,
      { cause },
    );
  }
  if (!isRecord(header)) {
    throw new InputError(`${name} is no safetensors file: its header is JSON, but not an object of named tensors.`);
  }
  return header;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function readMetadata(value: unknown, metadata: Record<string, string>, name: string): void {
  if (!isRecord(value)) throw new InputError(`${name}: "__metadata__" must be an object of texts.`);
  for (const [key, text] of Object.entries(value)) {
    if (key === '__proto__') {
      throw new InputError(`${name} has a "__metadata__" entry "__proto__"; do not trust this file.`);
    }
    if (typeof text !== 'string') {
      throw new InputError(`${name}: the "__metadata__" entry ${quote(key)} must be a text, not ${kindOf(text)}.`);
    }
    metadata[key] = text;
  }
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'a list' : `a value of type ${typeof value}`;
}

interface Entry extends TensorSpec {
  readonly key: string;
  readonly begin: number;
  readonly end: number;
}

function readEntry(key: string, value: unknown, name: string): Entry {
  const where = `${name}: tensor ${quote(key)}`;
  if (!isRecord(value)) {
    throw new InputError(
      `${where} must be described by an object of dtype, shape and data_offsets, not ${kindOf(value)}.`,
    );
  }
  const dtype = typeof value['dtype'] === 'string' ? dataTypes.get(value['dtype']) : undefined;
  if (dtype === undefined) {
    const found = typeof value['dtype'] === 'string' ? quote(value['dtype']) : kindOf(value['dtype']);
    throw new InputError(
      `${where} has dtype ${found}; readable are ${[...dataTypes.keys()].join(', ')}: convert it to one of them first.`,
    );
  }
  const shape = value['shape'];
  if (!isListOfSizes(shape)) {
    throw new InputError(`${where} has shape ${brief(shape)}, which is no list of whole numbers from 0 to 2^53.`);
  }
  const offsets = value['data_offsets'];
  if (!isListOfSizes(offsets) || offsets.length !== 2) {
    throw new InputError(
      `${where} has data_offsets ${brief(offsets)}, which is no pair of whole numbers [begin, end].`,
    );
  }
  const [begin, end] = offsets;
  // A product beyond 2^53 is inexact or infinite, but then it cannot equal a length that fits the file either.
  const needed = elementCount(shape) * bytesPerElement[dtype];
  if (end - begin !== needed) {
    throw new InputError(
      `${where}, ${value['dtype']} of shape ${showShape(shape).slice(0, 120)}, needs ${needed} bytes, but its ` +
        `data_offsets [${begin}, ${end}] hold ${end - begin}; the file is damaged.`,
    );
  }
  return { key, dtype, shape, begin, end };
}

function isListOfSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function brief(value: unknown): string {
  if (value === undefined) return 'missing';
  const text = Array.isArray(value)
    ? `[${value.slice(0, 8).map(scalarText).join(', ')}${value.length > 8 ? ', ...' : ''}]`
    : scalarText(value);
  return text;
}

function scalarText(value: unknown): string {
  if (typeof value === 'string') return quote(value);
  return typeof value === 'object' && value !== null ? kindOf(value) : String(value);
}

/** The data must fill the bytes behind the header exactly, each tensor directly behind the other. */
function checkLayout(entries: readonly Entry[], available: number, name: string): void {
  const sorted = [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end);
  const needed = sorted.reduce((furthest, entry) => Math.max(furthest, entry.end), 0);
  if (needed > available) {
    const last = sorted.find((entry) => entry.end === needed) as Entry;
    throw new InputError(
      `${name} is cut short: tensor ${quote(last.key)} ends at byte ${needed} of the data, but only ${available} ` +
        'bytes are there; copy or download it again.',
    );
  }
  let position = 0;
  let previous = 'the header';
  for (const entry of sorted) {
    if (entry.begin !== position) {
      const fault = entry.begin < position ? 'overlaps' : 'leaves a gap behind';
      throw new InputError(
        `${name}: tensor ${quote(entry.key)}, bytes ${entry.begin} to ${entry.end} of the data, ${fault} ` +
          `${previous}, which ends at byte ${position}; the safetensors format allows neither overlap nor gap.`,
      );
    }
    position = entry.end;
    previous = `tensor ${quote(entry.key)}`;
  }
  if (position !== available) {
    throw new InputError(
      `${name} has ${available} bytes of data, but its tensors end at byte ${position}; the file is damaged or was ` +
        'written by a faulty program.',
    );
  }
}

/**
 * Header and data order of a file with these tensors, so that a writer can stream: `header`, then the bytes of each
 * tensor of `order`. Data lie by falling element size, so that all are aligned without gaps; the header keeps the
 * given order of names.
 * @throws InputError for a name that the format cannot hold or that comes twice
 */
export function safetensorsHeader(
  tensors: Iterable<readonly [string, TensorSpec]>,
  metadata: Readonly<Record<string, string>> = {},
): SafetensorsLayout {
  const specs = new Map<string, TensorSpec>();
  for (const [name, spec] of tensors) {
    if (name === '__metadata__' || name === '__proto__') {
      throw new InputError(`A tensor cannot be named "${name}" in a safetensors file; rename it.`);
    }
    if (specs.has(name))
      throw new InputError(`Two tensors are named ${quote(name)}; a safetensors file needs one name each.`);
    specs.set(name, spec);
  }

  const order = [...specs.keys()].sort((a, b) => sizeOf(specs, b) - sizeOf(specs, a));
  const offsets = new Map<string, readonly [number, number]>();
  let end = 0;
  for (const name of order) {
    const { dtype, shape } = specs.get(name) as TensorSpec;
    const begin = end;
    end += elementCount(shape) * bytesPerElement[dtype];
    offsets.set(name, [begin, end]);
  }

  const fields = Object.keys(metadata).length > 0 ? [`"__metadata__":${JSON.stringify(metadata)}`] : [];
  for (const [name, { dtype, shape }] of specs) {
    const entry = { dtype: formatNames[dtype], shape, data_offsets: offsets.get(name) };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
  }
  const json = new TextEncoder().encode(`{${fields.join(',')}}`);
  const padded = Math.ceil(json.length / 8) * 8;
  if (padded > headerLimit) {
    throw new InputError(
      `The names of ${specs.size} tensors and the metadata need a header of ${padded} bytes; the safetensors format ` +
        `allows ${headerLimit}.`,
    );
  }
  const header = new Uint8Array(8 + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, 8);
  return { header, order, byteLength: header.length + end };
}

function sizeOf(specs: ReadonlyMap<string, TensorSpec>, name: string): number {
  return bytesPerElement[(specs.get(name) as TensorSpec).dtype];
}

/**
 * The bytes of a safetensors file; each tensor is copied once. To write a large file, stream it with
 * `safetensorsHeader` instead.
 * @throws InputError as `safetensorsHeader`; RangeError when a tensor's data do not fill its shape
 */
export function writeSafetensors(
  tensors: Iterable<readonly [string, Tensor]>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const entries = [...tensors];
  const { header, order, byteLength } = safetensorsHeader(entries, metadata);
  const byName = new Map(entries);
  const file = new Uint8Array(byteLength);
  file.set(header);
  let position = header.length;
  for (const name of order) {
    const { dtype, shape, data } = byName.get(name) as Tensor;
    const bytes = bytesOf(tensor(dtype, shape, data));
    file.set(bytes, position);
    position += bytes.length;
  }
  return file;
}
