/**
 * The entries of a zip file, as its central directory lists them, without copying what is stored uncompressed: weights are,
 * and may be hundreds of megabytes. Zip64 too (PKWARE's APPNOTE 6.3, sections 4.3 and 4.5.3). Every offset and length is
 * checked against the file; inflation is bounded by the size that the directory states.
 */
import { Inflate } from 'fflate';
import { CheckpointError } from './checkpointError.ts';
import { quote } from './quote.ts';

export interface ZipEntry {
  readonly name: string;
  /** Bytes of the content, inflated. */
  readonly size: number;
  /** The content: a view of the file where it is stored, else a copy. */
  read(): Uint8Array;
}

const endSignature = 0x06054b50;
const end64Signature = 0x06064b50;
const locator64Signature = 0x07064b50;
const entrySignature = 0x02014b50;
const localSignature = 0x04034b50;

/** True for a file that begins as zip files do. */
export function isZip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x50 && bytes[1] === 0x4b && (bytes[2] === 3 || bytes[2] === 5 || bytes[2] === 1);
}

/** @throws CheckpointError when there is no directory (a file cut short) or it contradicts the file */
export function readZipDirectory(bytes: Uint8Array, file: string): Map<string, ZipEntry> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const damaged = (what: string) =>
    new CheckpointError('damaged', `${file} is damaged: ${what}. Get it again from where it came.`);
  const { start, count } = findDirectory(view, file);

  const entries = new Map<string, ZipEntry>();
  let at = start;
  for (let i = 0; i < count; i++) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== entrySignature) {
      throw damaged(`its directory ends after ${i} of ${count} entries`);
    }
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((offset) => view.getUint16(at + offset, true));
    const end = at + 46 + nameLength + extraLength + commentLength;
    if (end > bytes.length) throw damaged('an entry of its directory reaches beyond the end');
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    const extra = new DataView(bytes.buffer, bytes.byteOffset + at + 46 + nameLength, extraLength);
    const stated = {
      size: view.getUint32(at + 24, true),
      packed: view.getUint32(at + 20, true),
      offset: view.getUint32(at + 42, true),
    };
    const { size, packed, offset } = withZip64(stated, extra);
    const method = view.getUint16(at + 10, true);
    const encrypted = (view.getUint16(at + 8, true) & 1) === 1;
    if (entries.has(name)) throw damaged(`it holds two entries ${quote(name)}`);
    entries.set(name, {
      name,
      size,
      read() {
        if (encrypted) throw new CheckpointError('unsupported', `${file} is encrypted; no saved weights are.`);
        if (offset + 30 > bytes.length || view.getUint32(offset, true) !== localSignature) {
          throw damaged(`the entry ${quote(name)} is not where its directory says`);
        }
        const from = offset + 30 + view.getUint16(offset + 26, true) + view.getUint16(offset + 28, true);
        if (from + packed > bytes.length) {
          throw new CheckpointError(
            'truncated',
            `${file} is truncated: the entry ${quote(name)} reaches beyond its end.`,
          );
        }
        const content = bytes.subarray(from, from + packed);
        if (method === 0) {
          if (packed !== size) throw damaged(`the entry ${quote(name)} is stored, but in another size than it has`);
          return content;
        }
        if (method !== 8) {
          throw new CheckpointError(
            'unsupported',
            `${file} compresses ${quote(name)} by method ${method}; stored and deflated entries can be read.`,
          );
        }
        return inflateExactly(content, size, () =>
          damaged(`the entry ${quote(name)} does not inflate to its ${size} bytes`),
        );
      },
    });
    at = end;
  }
  return entries;
}

/** Searches the end record backwards: a comment of up to 65535 bytes may follow it. */
function findDirectory(view: DataView, file: string): { start: number; count: number } {
  const last = view.byteLength - 22;
  for (let at = last; at >= Math.max(0, last - 0xffff); at--) {
    if (view.getUint32(at, true) !== endSignature) continue;
    const plain = { start: view.getUint32(at + 16, true), count: view.getUint16(at + 10, true) };
    if (plain.start !== 0xffffffff && plain.count !== 0xffff) return plain;
    const locator = at - 20;
    if (locator < 0 || view.getUint32(locator, true) !== locator64Signature) return plain;
    const record = Number(view.getBigUint64(locator + 8, true));
    if (record + 56 > view.byteLength || view.getUint32(record, true) !== end64Signature) break;
    return { start: Number(view.getBigUint64(record + 48, true)), count: Number(view.getBigUint64(record + 32, true)) };
  }
  throw new CheckpointError(
    'truncated',
    `${file} is truncated: it begins as a zip file, and the directory at the end of one is missing. Get it again from where it came.`,
  );
}

/** Numbers of 0xffffffff stand in the zip64 extra field, in this order. */
function withZip64<T extends Record<'size' | 'packed' | 'offset', number>>(stated: T, extra: DataView): T {
  const wanted = (['size', 'packed', 'offset'] as const).filter((key) => stated[key] === 0xffffffff);
  if (wanted.length === 0) return stated;
  const result = { ...stated };
  for (let at = 0; at + 4 <= extra.byteLength; ) {
    const [id, length] = [extra.getUint16(at, true), extra.getUint16(at + 2, true)];
    if (id === 1) {
      wanted.forEach((key, index) => {
        const from = at + 4 + 8 * index;
        if (8 * (index + 1) <= length && from + 8 <= extra.byteLength)
          result[key] = Number(extra.getBigUint64(from, true));
      });
    }
    at += 4 + length;
  }
  return result;
}

/** Stops as soon as more comes out than there should, so that a small file cannot fill the memory. */
function inflateExactly(content: Uint8Array, size: number, fail: () => Error): Uint8Array {
  // Deflate makes at most about 1032 bytes of one; a larger claim is a lie and is not allocated for.
  if (size > 1032 * content.length + 64) throw fail();
  const out = new Uint8Array(size);
  let written = 0;
  const inflate = new Inflate((chunk) => {
    if (written + chunk.length > size) throw fail();
    out.set(chunk, written);
    written += chunk.length;
  });
  try {
    for (let at = 0; at < content.length; at += 65536) {
      inflate.push(content.subarray(at, at + 65536), at + 65536 >= content.length);
    }
  } catch {
    throw fail();
  }
  if (written !== size) throw fail();
  return out;
}
