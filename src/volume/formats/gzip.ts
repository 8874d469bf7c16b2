/**
 * Bounded inflation of gzip (RFC 1952) and zlib data (RFC 1950): no more is kept than the reader of the format asks for,
 * and inflating stops when a file holds far more than that, so a small hostile file cannot fill the memory. Reads several
 * gzip members one after the other (as parallel compressors write them) and checks the checksum of all. Inflating itself
 * is fflate's.
 */
import { Gunzip, Inflate } from 'fflate';
import { crc32 } from '../../crc32.ts';
import { InputError, ResourceError } from '../../errors.ts';

export interface Demand {
  /** First bytes that `wanted` needs to see: the length of a format's header. */
  readonly headLength: number;
  /**
   * Bytes to keep, counted from the start of the inflated data, decided by the head (which is shorter than `headLength`
   * when the data end before). May throw.
   */
  wanted(head: Uint8Array): number;
  /** Refuse a single byte behind the wanted ones; otherwise padding, or a trailer some program left, is passed over. */
  readonly exact?: boolean;
}

/** Compressed bytes a step. One step can inflate to 1032 times as much (the format's limit) before it is looked at. */
const stepBytes = 1 << 14;
const deflateLimit = 1032;
/** Inflated bytes behind the wanted ones that are passed over. */
const surplusLimit = 1 << 20;

export function isGzip(bytes: Uint8Array): boolean {
  return bytes.length >= 2 && bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * The first bytes of the inflated data: as many as `demand` wants, or fewer when there are not so many.
 * @param name what to call the file in messages
 * @throws InputError when the data are cut short, fail their checksum, or inflate to far more than was wanted
 */
export function gunzip(bytes: Uint8Array, demand: Demand, name: string): Uint8Array {
  const kept = boundedOutput(demand, bytes.length, name);
  let crc = 0;
  let memberLength = 0;

  const memberEndsAt = (end: number) => {
    if (end < 18) return false;
    const trailer = new DataView(bytes.buffer, bytes.byteOffset + end - 8, 8);
    return trailer.getUint32(0, true) === crc && trailer.getUint32(4, true) === memberLength % 2 ** 32;
  };

  const stream = new Gunzip((inflated) => {
    crc = crc32(inflated, crc);
    memberLength += inflated.length;
    kept.take(inflated);
  });
  stream.onmember = (start) => {
    if (!memberEndsAt(start)) throw damaged('gzip', name);
    crc = 0;
    memberLength = 0;
  };
  const failure = pushAll(stream, bytes);
  // The last member ends with its trailer; zeros may follow (tapes and some file systems pad with them), which fflate
  // takes for a broken member. The trailer's eight bytes and the last deflated one may be zeros themselves.
  if (!endsSomewhere(bytes, 9, memberEndsAt)) throw damaged('gzip', name, failure);
  return kept.whole();
}

/** Whether two bytes can be the header of zlib data: deflate, a window of at most 32 KiB, no dictionary. */
export function isZlib(bytes: Uint8Array): boolean {
  return (
    bytes.length >= 2 &&
    (bytes[0] & 0x0f) === 8 &&
    bytes[0] >> 4 <= 7 &&
    (bytes[1] & 0x20) === 0 &&
    (bytes[0] * 256 + bytes[1]) % 31 === 0
  );
}

/**
 * As `gunzip`, of zlib data. Zeros may follow them.
 * @throws InputError when the data are no zlib data, are cut short, fail their checksum, or inflate to more than was wanted
 */
export function unzlib(bytes: Uint8Array, demand: Demand, name: string): Uint8Array {
  if (!isZlib(bytes)) {
    throw new InputError(
      `${name} holds no zlib data where its header says so; it is damaged, copy or download it again.`,
    );
  }
  const kept = boundedOutput(demand, bytes.length, name);
  let adler = 1;
  const stream = new Inflate((inflated) => {
    adler = adler32(inflated, adler);
    kept.take(inflated);
  });
  // Without the two bytes of its header and the four of its checksum.
  const failure = pushAll(stream, bytes.subarray(2, -4));
  const endsAt = (end: number) =>
    end >= 8 && new DataView(bytes.buffer, bytes.byteOffset + end - 4, 4).getUint32(0) === adler;
  if (failure !== undefined || !endsSomewhere(bytes, 5, endsAt)) throw damaged('zlib', name, failure);
  return kept.whole();
}

interface BoundedOutput {
  /** Takes the next inflated bytes: keeps of them what is wanted. */
  take(inflated: Uint8Array): void;
  /** What was kept, when there is no more to come. */
  whole(): Uint8Array;
}

function boundedOutput(demand: Demand, compressedLength: number, name: string): BoundedOutput {
  let out: Uint8Array = new Uint8Array(demand.headLength);
  let limit: number | undefined;
  let filled = 0;
  let total = 0;

  const keep = (inflated: Uint8Array) => {
    const part = inflated.subarray(0, out.length - filled);
    out.set(part, filled);
    filled += part.length;
    return inflated.subarray(part.length);
  };
  const decideLimit = () => {
    const head = out.subarray(0, filled);
    limit = demand.wanted(head);
    if (limit > compressedLength * deflateLimit) {
      throw new InputError(
        `${name} cannot hold what its header says: ${limit} bytes, where ${compressedLength} compressed bytes inflate to ${compressedLength * deflateLimit} at most; the file is cut short or no image.`,
      );
    }
    out = allocate(limit, name);
    out.set(head.subarray(0, limit));
    filled = Math.min(filled, limit);
  };
  const refuseSurplus = () => {
    if (limit === undefined) return;
    if (demand.exact && total > limit) {
      throw new InputError(
        `${name} inflates to more than the ${limit} bytes that its header asks for, so its header or its data are wrong; save or download it again.`,
      );
    }
    if (total > Math.max(limit, demand.headLength) + surplusLimit) {
      throw new InputError(
        `${name} inflates to more than ${surplusLimit} bytes beyond the ${limit} that its header asks for; it is damaged or made to fill the memory, do not use it.`,
      );
    }
  };
  return {
    take(inflated) {
      total += inflated.length;
      let rest = inflated;
      if (limit === undefined) {
        rest = keep(rest);
        if (filled < out.length) return;
        decideLimit();
      }
      keep(rest);
      refuseSurplus();
    },
    whole() {
      if (limit === undefined) decideLimit();
      refuseSurplus();
      return out.subarray(0, filled);
    },
  };
}

/** Pushes bytes step by step; gives what the stream threw when the data are damaged. */
function pushAll(stream: { push(chunk: Uint8Array, final: boolean): void }, bytes: Uint8Array): unknown {
  for (let at = 0; at === 0 || at < bytes.length; at += stepBytes) {
    try {
      stream.push(bytes.subarray(at, at + stepBytes), at + stepBytes >= bytes.length);
    } catch (error) {
      if (error instanceof InputError || error instanceof ResourceError) throw error;
      return error;
    }
  }
  return undefined;
}

/** Whether `endsAt` holds for an end of the data, of whose last bytes up to `zeros` may be zeros, before padding. */
function endsSomewhere(bytes: Uint8Array, zeros: number, endsAt: (end: number) => boolean): boolean {
  let lastNonZero = bytes.length - 1;
  while (lastNonZero >= 0 && bytes[lastNonZero] === 0) lastNonZero--;
  for (let end = lastNonZero + 1; end <= Math.min(lastNonZero + 1 + zeros, bytes.length); end++) {
    if (endsAt(end)) return true;
  }
  return false;
}

function damaged(format: 'gzip' | 'zlib', name: string, failure?: unknown): InputError {
  // 0 is fflate's code for data that end too early.
  const early = (failure as { code?: number } | undefined)?.code === 0;
  const how = early ? 'end too early' : failure === undefined ? 'do not match their checksum' : 'are damaged';
  return new InputError(`The ${format} data of ${name} ${how}; copy or download the file again.`, { cause: failure });
}

/** The checksum of RFC 1950, section 8: two sums modulo 65521. */
function adler32(bytes: Uint8Array, before: number): number {
  let low = before & 0xffff;
  let high = before >>> 16;
  for (let start = 0; start < bytes.length; ) {
    // 5552 bytes are the most whose sums stay below 2^32.
    const end = Math.min(start + 5552, bytes.length);
    for (let i = start; i < end; i++) {
      low += bytes[i];
      high += low;
    }
    low %= 65521;
    high %= 65521;
    start = end;
  }
  return ((high << 16) | low) >>> 0;
}

/** @throws ResourceError when there is not so much memory */
export function allocate(length: number, name: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(length);
  } catch (cause) {
    throw new ResourceError(`${name} needs ${length} bytes of memory at once, more than this machine gives.`, {
      cause,
    });
  }
}
