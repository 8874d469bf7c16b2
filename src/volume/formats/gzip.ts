/**
 * Bounded inflation of gzip data (RFC 1952): no more is kept than the reader of the format asks for, and inflating stops
 * when a file holds far more than that, so a small hostile file cannot fill the memory. Reads several members one after
 * the other (as parallel compressors write them) and checks the length and the CRC-32 of each. Inflating itself is
 * fflate's.
 */
import { Gunzip } from 'fflate';
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
}

/** Compressed bytes a step. One step can inflate to 1032 times as much (the format's limit) before it is looked at. */
const stepBytes = 1 << 14;
const deflateLimit = 1032;
/** Inflated bytes behind the wanted ones that are passed over: padding, or a trailer some program left. */
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
  let out: Uint8Array = new Uint8Array(demand.headLength);
  let limit: number | undefined;
  let filled = 0;
  let total = 0;
  let crc = 0;
  let memberLength = 0;

  const decideLimit = () => {
    const head = out.subarray(0, filled);
    limit = demand.wanted(head);
    if (limit > bytes.length * deflateLimit) {
      throw new InputError(
        `${name} cannot hold what its header says: ${limit} bytes, where ${bytes.length} compressed bytes inflate to ${bytes.length * deflateLimit} at most; the file is cut short or no image.`,
      );
    }
    out = allocate(limit, name);
    out.set(head.subarray(0, limit));
    filled = Math.min(filled, limit);
  };
  const take = (inflated: Uint8Array) => {
    crc = crc32(inflated, crc);
    memberLength += inflated.length;
    total += inflated.length;
    let rest = inflated;
    if (limit === undefined) {
      const part = rest.subarray(0, out.length - filled);
      out.set(part, filled);
      filled += part.length;
      rest = rest.subarray(part.length);
      if (filled < out.length) return;
      decideLimit();
    }
    const part = rest.subarray(0, out.length - filled);
    out.set(part, filled);
    filled += part.length;
    if (limit !== undefined && total > Math.max(limit, demand.headLength) + surplusLimit) {
      throw new InputError(
        `${name} inflates to more than ${surplusLimit} bytes beyond the ${limit} that its header asks for; it is damaged or made to fill the memory, do not use it.`,
      );
    }
  };
  const memberEndsAt = (end: number) => {
    if (end < 18) return false;
    const trailer = new DataView(bytes.buffer, bytes.byteOffset + end - 8, 8);
    return trailer.getUint32(0, true) === crc && trailer.getUint32(4, true) === memberLength % 2 ** 32;
  };
  const damaged = (how: string, cause?: unknown) =>
    new InputError(`The gzip data of ${name} ${how}; copy or download the file again.`, { cause });

  const stream = new Gunzip(take);
  stream.onmember = (start) => {
    if (!memberEndsAt(start)) throw damaged('do not match their checksum');
    crc = 0;
    memberLength = 0;
  };
  let failure: unknown;
  for (let at = 0; at < bytes.length && failure === undefined; at += stepBytes) {
    try {
      stream.push(bytes.subarray(at, at + stepBytes), at + stepBytes >= bytes.length);
    } catch (error) {
      if (error instanceof InputError || error instanceof ResourceError) throw error;
      failure = error;
    }
  }
  // The last member ends with its trailer; zeros may follow (tapes and some file systems pad with them), which fflate
  // takes for a broken member. The trailer's eight bytes and the last deflated one may be zeros themselves.
  let lastNonZero = bytes.length - 1;
  while (lastNonZero >= 0 && bytes[lastNonZero] === 0) lastNonZero--;
  let complete = false;
  for (let end = lastNonZero + 1; end <= Math.min(lastNonZero + 10, bytes.length); end++) {
    complete ||= memberEndsAt(end);
  }
  if (!complete) {
    if ((failure as { code?: number } | undefined)?.code === 0) throw damaged('end too early', failure);
    throw damaged(failure === undefined ? 'do not match their checksum' : 'are damaged', failure);
  }
  if (limit === undefined) decideLimit();
  return out.subarray(0, filled);
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
