/**
 * The zip archive, as far as PyTorch's checkpoints use it: which entries there are, and their bytes. Stored entries are
 * views of the file; deflated ones are inflated within bounds. Zip64 is read; encryption and other methods are refused.
 *
 * Structure and field offsets: PKWARE's APPNOTE 6.3, sections 4.3 and 4.5.3.
 */
import { inflateSync } from 'fflate';
import { crc32 } from '../crc32.ts';
import { CheckpointError } from './checkpointError.ts';
import { quote } from './quote.ts';

export interface ZipEntry {
  /** Bytes of the content. */
  readonly size: number;
  /**
   * The content: a view of the file when stored, new bytes at each call when deflated.
   * @throws CheckpointError when it does not inflate to its size, or its checksum is wrong
   */
  read(): Uint8Array;
}

const localHeader = 0x04034b50;
const centralHeader = 0x02014b50;
const endRecord = 0x06054b50;
const end64Locator = 0x07064b50;
const end64Record = 0x06064b50;

/** No DEFLATE stream grows by more. */
const largestExpansion = 1032;

/** Whether the file begins like a zip archive. */
export function isZip(bytes: Uint8Array): boolean {
  const third = bytes[2];
  // A local header, the end record of an empty archive, or the mark of one in parts.
  return bytes[0] === 0x50 && bytes[1] === 0x4b && (third === 3 || third === 5 || third === 7);
}

/**
 * The entries of an archive by name, in the order of its directory.
 * @param name what to call the file in messages
 * @throws CheckpointError when the directory is missing (cut short) or contradicts the file
 */
export function readZipDirectory(bytes: Uint8Array, name: string): Map<string, ZipEntry> {
  const file = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const damaged = (fault: string): never => {
    throw new CheckpointError('damaged', `${name} is damaged: ${fault}.`);
  };
  // Deflated weights hardly shrink; an archive that promises more than this is made to fill memory.
  const inflationLimit = 64 * 2 ** 20 + 32 * file.length;
  let inflated = 0;

  function entryReader(label: string, entry: DirectoryEntry): ZipEntry {
    const { method, flags, crc, packed, size, at } = entry;
    if (at + 30 > file.length || view.getUint32(at, true) !== localHeader) damaged(`${label} does not begin at ${at}`);
    const begin = at + 30 + view.getUint16(at + 26, true) + view.getUint16(at + 28, true);
    if (begin + packed > file.length) {
      damaged(`${label} has ${packed} bytes from byte ${begin}, beyond the file's ${file.length}`);
    }
    const content = file.subarray(begin, begin + packed);
    if (flags & 1) throw new CheckpointError('unsupported', `${name} cannot be read: ${label} is encrypted.`);
    if (method !== 0 && method !== 8) {
      throw new CheckpointError(
        'unsupported',
        `${name} cannot be read: ${label} is packed with zip method ${method}; stored (0) and deflated (8) are read.`,
      );
    }
    if (method === 0 ? size !== packed : size > largestExpansion * packed) {
      damaged(`${label} claims ${size} bytes, but takes ${packed} in the archive`);
    }

    const inflate = (): Uint8Array => {
      inflated += size;
      if (inflated > inflationLimit) {
        throw new CheckpointError(
          'unsupported',
          `${name} cannot be read: it inflates to more than ${inflationLimit} bytes; save it with torch.save again.`,
        );
      }
      try {
        // One byte more, so that content beyond the claimed size shows.
        return inflateSync(content, { out: new Uint8Array(size + 1) });
      } catch (cause) {
        throw new CheckpointError('damaged', `${name} is damaged: ${label} does not inflate.`, { cause });
      }
    };
    let checked = false;
    const read = (): Uint8Array => {
      const data = method === 0 ? content : inflate();
      if (data.length !== size) damaged(`${label} does not inflate to the ${size} bytes that it claims`);
      // PyTorch can be told to leave checksums out; it then writes 0.
      if (!checked && crc !== 0 && crc32(data) !== crc) damaged(`the checksum of ${label} is wrong`);
      checked = true;
      return data;
    };
    return { size, read };
  }

  const directory = findDirectory(view, name);
  const entries = new Map<string, ZipEntry>();
  const decoder = new TextDecoder();
  let position = directory.begin;
  for (let i = 0; i < directory.count; i++) {
    if (position + 46 > directory.end || view.getUint32(position, true) !== centralHeader) {
      damaged(`its directory claims ${directory.count} entries, but entry ${i + 1} is not there`);
    }
    const nameLength = view.getUint16(position + 28, true);
    const extraLength = view.getUint16(position + 30, true);
    const next = position + 46 + nameLength + extraLength + view.getUint16(position + 32, true);
    if (next > directory.end) damaged(`entry ${i + 1} of its directory is cut off`);
    const nameAt = position + 46;
    const entryName = decoder.decode(file.subarray(nameAt, nameAt + nameLength));
    const label = `the entry ${quote(entryName)}`;
    const entry = readDirectoryEntry(view, position, nameAt + nameLength, extraLength);
    if (entry === undefined) damaged(`${label} lacks its 64-bit sizes`);
    if (entries.has(entryName)) damaged(`${label} is there twice`);
    entries.set(entryName, entryReader(label, entry as DirectoryEntry));
    position = next;
  }
  return entries;
}

interface DirectoryEntry {
  readonly flags: number;
  readonly method: number;
  readonly crc: number;
  /** Bytes in the archive. */
  readonly packed: number;
  /** Bytes of the content. */
  readonly size: number;
  /** Where its local header begins. */
  readonly at: number;
}

/** 64-bit values stand in the extra field 1, in this order, for those that are all ones; undefined when one is missing. */
function readDirectoryEntry(
  view: DataView,
  position: number,
  extraAt: number,
  extraLength: number,
): DirectoryEntry | undefined {
  let wide = extraAt;
  let wideEnd = extraAt;
  for (let at = extraAt; at + 4 <= extraAt + extraLength; ) {
    const end = at + 4 + view.getUint16(at + 2, true);
    if (end > extraAt + extraLength) break;
    if (view.getUint16(at, true) === 1) {
      wide = at + 4;
      wideEnd = end;
      break;
    }
    at = end;
  }
  let complete = true;
  const widened = (value: number): number => {
    if (value !== 0xffffffff) return value;
    if (wide + 8 > wideEnd) {
      complete = false;
      return value;
    }
    wide += 8;
    return u64(view, wide - 8);
  };
  const size = widened(view.getUint32(position + 24, true));
  const packed = widened(view.getUint32(position + 20, true));
  const at = widened(view.getUint32(position + 42, true));
  if (!complete) return undefined;
  return {
    flags: view.getUint16(position + 8, true),
    method: view.getUint16(position + 10, true),
    crc: view.getUint32(position + 16, true),
    packed,
    size,
    at,
  };
}

/** Beyond 2^53 the number is rounded, but then it lies beyond any file too. */
function u64(view: DataView, position: number): number {
  return Number(view.getBigUint64(position, true));
}

/** The end record lies in the file's last 65,557 bytes: 22 of its own and a comment that fills the rest. */
function findDirectory(view: DataView, name: string): { begin: number; end: number; count: number } {
  const length = view.byteLength;
  let at = length - 22;
  const first = Math.max(0, at - 0xffff);
  while (
    at >= first &&
    (view.getUint32(at, true) !== endRecord || at + 22 + view.getUint16(at + 20, true) !== length)
  ) {
    at--;
  }
  if (at < first) {
    throw new CheckpointError(
      'truncated',
      `${name} is cut short: the directory at the end of the zip archive is missing; copy or download it again.`,
    );
  }
  let count = view.getUint16(at + 10, true);
  let size = view.getUint32(at + 12, true);
  let begin = view.getUint32(at + 16, true);
  let limit = at;
  if (at >= 20 && view.getUint32(at - 20, true) === end64Locator) {
    const record = u64(view, at - 12);
    if (record + 56 <= at && view.getUint32(record, true) === end64Record) {
      count = u64(view, record + 32);
      size = u64(view, record + 40);
      begin = u64(view, record + 48);
      limit = record;
    }
  }
  if (begin + size > limit) {
    throw new CheckpointError(
      'damaged',
      `${name} is damaged: the zip directory should have ${size} bytes from byte ${begin}, but ends at ${limit}.`,
    );
  }
  return { begin, end: begin + size, count };
}
