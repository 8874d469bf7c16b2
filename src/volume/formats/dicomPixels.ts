/**
 * Pixels of DICOM files: stored values of one frame after the other, in every transfer syntax that DICOM has for gray images
 * and that is not retired. What the bytes are comes from the header (`dicom.ts`); what the values mean in the patient, and
 * which slice they are, is for `dicomSeries.ts`. Compressed frames are checked against the header before they are decoded.
 */
import { InputError } from '../../errors.ts';
import { type Codec, decodeWith } from './codecs.ts';
import { type DicomHeader, dataSetBytes, explicitBigEndian, isCompressed } from './dicom.ts';
import { allocate } from './gzip.ts';
import { type CodedFrame, decodeJpeg, readJpeg2000Frame, readJpegFrame } from './jpeg.ts';

/** Stored values of a frame, row by row: rows * columns. */
export type StoredValues = Int32Array | Uint32Array | Float32Array | Float64Array;

/** JPEG and its relatives; PS3.5, section 10 and annex A.4. */
const codings: Readonly<Record<string, 'JPEG' | 'RLE' | Codec>> = {
  '1.2.840.10008.1.2.5': 'RLE',
  '1.2.840.10008.1.2.4.50': 'JPEG',
  '1.2.840.10008.1.2.4.51': 'JPEG',
  '1.2.840.10008.1.2.4.57': 'JPEG',
  '1.2.840.10008.1.2.4.70': 'JPEG',
  '1.2.840.10008.1.2.4.80': 'JPEG-LS',
  '1.2.840.10008.1.2.4.81': 'JPEG-LS',
  '1.2.840.10008.1.2.4.90': 'JPEG 2000',
  '1.2.840.10008.1.2.4.91': 'JPEG 2000',
  '1.2.840.10008.1.2.4.201': 'JPEG 2000',
  '1.2.840.10008.1.2.4.202': 'JPEG 2000',
  '1.2.840.10008.1.2.4.203': 'JPEG 2000',
};

/** How a stored value lies in its bits (PS3.5, section 8.1.1). */
interface Layout {
  readonly allocated: number;
  readonly stored: number;
  readonly highBit: number;
  readonly signed: boolean;
}

/**
 * A function that gives the stored values of a frame, counted from 0.
 * @param bytes all of the file
 * @param header of the same file
 * @param name what to call the file in messages
 * @throws InputError when the pixels are of a kind that is not read, or damaged; so does the function
 */
export function framesOf(
  bytes: Uint8Array,
  header: DicomHeader,
  name: string,
): (frame: number) => Promise<StoredValues> {
  const { pixels, samplesPerPixel, rows, columns } = header;
  if (!pixels || rows === 0 || columns === 0) throw new InputError(`${name} holds no pixels; leave it out.`);
  if (samplesPerPixel !== 1) {
    throw new InputError(
      `${name} is a color image, ${samplesPerPixel} samples a pixel; give images of one gray value a pixel.`,
    );
  }
  const { offset, stored } = pixels;
  const layout = stored === 'integers' ? layoutOf(header, name) : undefined;
  if (isCompressed(header)) {
    const coding = codings[header.transferSyntax];
    if (!coding || !layout) {
      throw new InputError(
        `${name} is compressed in a way that is not read: ${header.transferSyntaxName}; export it uncompressed.`,
      );
    }
    const fragments = fragmentsByFrame(bytes, header, name);
    return async (frame) => {
      const code = joined(fragments[frame]);
      if (coding === 'RLE') return valuesOf(decodeRle(code, rows * columns, layout.allocated / 8, name), false, layout);
      return decodedValues(code, coding, header, layout, name);
    };
  }
  const data = dataSetBytes(bytes, header, name);
  const size = stored === 'integers' ? layout!.allocated / 8 : stored === 'float32' ? 4 : 8;
  const length = rows * columns * size;
  const bigEndian = header.transferSyntax === explicitBigEndian;
  return async (frame) => {
    const start = offset + frame * length;
    if (start + length > data.length) {
      throw new InputError(
        `${name} is cut off: frame ${frame + 1} ends at byte ${start + length} of ${data.length}; copy it again.`,
      );
    }
    // A copy begins at an address that any element may lie at.
    const own = data.slice(start, start + length);
    // Words of 16 bits hold two pixels of 8 bits, the first in the lower half (PS3.5, section 8.1.1).
    if (bigEndian && size === 1 && pixels.words) {
      return valuesOf(swappedPairs(data.subarray(offset), frame * length, length), false, layout!);
    }
    if (stored === 'integers') return valuesOf(own, bigEndian, layout!);
    if (bigEndian) reverseEach(own, size);
    return stored === 'float32' ? new Float32Array(own.buffer) : new Float64Array(own.buffer);
  };
}

function layoutOf({ bitsAllocated, bitsStored, highBit, signed, photometric }: DicomHeader, name: string): Layout {
  if (bitsAllocated !== 8 && bitsAllocated !== 16 && bitsAllocated !== 32) {
    throw new InputError(
      `${name} has pixels of ${bitsAllocated ?? 'an unknown number of'} bits; 8, 16 and 32 are read: export it so.`,
    );
  }
  // Where nothing is said, the pixels are gray values all the same: whoever reads the series says what is assumed of them.
  if (!['MONOCHROME1', 'MONOCHROME2', 'unknown'].includes(photometric)) {
    throw new InputError(
      `${name} is no gray image: its photometric interpretation is ${photometric}; give images that are MONOCHROME1 or MONOCHROME2.`,
    );
  }
  const stored = bitsStored ?? bitsAllocated;
  const high = highBit ?? stored - 1;
  if (stored < 1 || stored > bitsAllocated || high >= bitsAllocated || high < stored - 1) {
    throw new InputError(
      `${name} is damaged: values of ${stored} bits up to bit ${high} do not fit into ${bitsAllocated} bits; export it again.`,
    );
  }
  return { allocated: bitsAllocated, stored, highBit: high, signed };
}

/** Values from words of 8, 16 or 32 bits: the bits outside them (once used for overlays) are dropped, the sign extended. */
function valuesOf(bytes: Uint8Array, bigEndian: boolean, { allocated, stored, highBit, signed }: Layout): StoredValues {
  const size = allocated / 8;
  const count = bytes.length / size;
  const values = signed ? new Int32Array(count) : new Uint32Array(count);
  const [up, down] = [31 - highBit, 32 - stored];
  const [step, first] = bigEndian ? [-1, size - 1] : [1, 0];
  for (let i = 0; i < count; i++) {
    const at = i * size + first;
    let word = bytes[at];
    if (size > 1) word |= bytes[at + step] << 8;
    if (size > 2) word |= (bytes[at + 2 * step] << 16) | (bytes[at + 3 * step] << 24);
    values[i] = signed ? (word << up) >> down : (word << up) >>> down;
  }
  return values;
}

/** Pairs begin where the pixel data do, frames anywhere; of the last frame the last pixel may be alone in its pair. */
function swappedPairs(pixels: Uint8Array, start: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => pixels[(start + i) ^ 1] ?? 0);
}

function reverseEach(bytes: Uint8Array, size: number): void {
  for (let start = 0; start < bytes.length; start += size) bytes.subarray(start, start + size).reverse();
}

/** Decoded samples as stored values. */
async function decodedValues(
  code: Uint8Array,
  coding: 'JPEG' | Codec,
  header: DicomHeader,
  { allocated, stored, signed }: Layout,
  name: string,
): Promise<StoredValues> {
  const frame = coding === 'JPEG 2000' ? readJpeg2000Frame(code, name) : readJpegFrame(code, name);
  checkFrame(frame, coding, header, allocated, name);
  const samples = coding === 'JPEG' ? decodeJpeg(code, name) : await decodeWith(coding, code, frame, name);
  const values = signed ? new Int32Array(samples.length) : new Uint32Array(samples.length);
  // The sign is the highest bit of what is stored, whether or not the code knew of one.
  const bits = Math.min(stored, frame.precision);
  for (let i = 0; i < samples.length; i++) {
    values[i] = signed ? (samples[i] << (32 - bits)) >> (32 - bits) : (samples[i] << (32 - bits)) >>> (32 - bits);
  }
  return values;
}

/** @throws InputError when the code's size is not the header's */
function checkFrame(frame: CodedFrame, coding: string, header: DicomHeader, allocated: number, name: string): void {
  const { rows, columns, components, precision } = frame;
  if (rows !== header.rows || columns !== header.columns || components !== 1) {
    throw new InputError(
      `${name} contradicts itself: its header says ${header.columns} x ${header.rows} pixels of one value, its ${coding} image ${columns} x ${rows} of ${components}; export it again.`,
    );
  }
  if (precision > allocated) {
    throw new InputError(
      `${name} contradicts itself: its header allows values of ${allocated} bits, its ${coding} image has ${precision}; export it again.`,
    );
  }
  if (precision > 16) {
    throw new InputError(
      `${name} holds a ${coding} image of ${precision} bits; up to 16 are read compressed: export it uncompressed.`,
    );
  }
}

/** The items of compressed pixel data (PS3.5, annex A.4): for each frame, the pieces of its code. */
function fragmentsByFrame(bytes: Uint8Array, { pixels, numberOfFrames }: DicomHeader, name: string): Uint8Array[][] {
  const { offset, frameOffsets } = pixels!;
  const damaged = (how: string) => new InputError(`${name} is damaged: ${how}; copy or export it again.`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const items: { readonly start: number; readonly content: Uint8Array }[] = [];
  for (let at = offset; at + 8 <= bytes.length; ) {
    const [group, element, length] = [
      view.getUint16(at, true),
      view.getUint16(at + 2, true),
      view.getUint32(at + 4, true),
    ];
    if (group === 0xfffe && element === 0xe0dd) break;
    if (group !== 0xfffe || element !== 0xe000) throw damaged('its compressed pixels are not in items');
    if (at + 8 + length > bytes.length) throw damaged('it is cut off within its compressed pixels');
    items.push({ start: at, content: bytes.subarray(at + 8, at + 8 + length) });
    at += 8 + length;
  }
  const [table, ...fragments] = items;
  if (fragments.length < numberOfFrames) {
    throw damaged(`${fragments.length} pieces of compressed pixels are there for ${numberOfFrames} frames`);
  }
  if (numberOfFrames === 1) return [fragments.map(({ content }) => content)];

  const base = fragments[0].start;
  let starts: number[];
  if (frameOffsets) {
    starts = [...frameOffsets];
  } else if (table.content.length > 0) {
    const offsets = new DataView(table.content.buffer, table.content.byteOffset, table.content.byteLength);
    starts = Array.from({ length: table.content.length >> 2 }, (_, i) => offsets.getUint32(4 * i, true));
  } else if (fragments.length === numberOfFrames) {
    starts = fragments.map(({ start }) => start - base);
  } else {
    // Without a table and with frames in several pieces, a frame begins where a code stream does (SOI, SOC).
    const begins = ({ content: [first, second] }: { content: Uint8Array }) =>
      first === 0xff && (second === 0xd8 || second === 0x4f);
    starts = fragments.filter(begins).map(({ start }) => start - base);
  }
  const frameAt = new Map(starts.map((start, frame) => [start + base, frame]));
  const frames: Uint8Array[][] = starts.map(() => []);
  let current = -1;
  for (const { start, content } of fragments) {
    const next = frameAt.get(start);
    if (next !== undefined && next !== current + 1) break;
    if (next !== undefined) current = next;
    frames[current]?.push(content);
  }
  if (starts.length !== numberOfFrames || frameAt.get(base) !== 0 || current !== numberOfFrames - 1) {
    throw damaged(`the offsets of its ${numberOfFrames} compressed frames do not fit its ${fragments.length} pieces`);
  }
  return frames;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * RLE (PS3.5, annex G): one segment for each byte of a value, the highest first. Gives little-endian words.
 * @param pixels how many values there are
 * @param size bytes of a value
 */
export function decodeRle(code: Uint8Array, pixels: number, size: number, name: string): Uint8Array {
  const damaged = (how: string) => new InputError(`${name} cannot be decoded: ${how}; copy or export it again.`);
  if (code.length < 64) throw damaged('its RLE header is cut short');
  const view = new DataView(code.buffer, code.byteOffset, code.byteLength);
  const count = view.getUint32(0, true);
  if (count !== size) throw damaged(`it has ${count} RLE segments where values of ${8 * size} bits have ${size}`);
  // Two bytes give 128 at most.
  if (code.length * 64 < pixels * size) throw damaged(`${code.length} bytes of RLE are too few for ${pixels} values`);
  const values = allocate(pixels * size, name);
  for (let segment = 0; segment < count; segment++) {
    const start = view.getUint32(4 + 4 * segment, true);
    const end = segment + 1 < count ? view.getUint32(8 + 4 * segment, true) : code.length;
    if (start < 64 || end < start || end > code.length) throw damaged('its RLE segments lie outside its bytes');
    const first = size - 1 - segment;
    let filled = 0;
    for (let at = start; at < end && filled < pixels; ) {
      const control = code[at++];
      if (control < 128) {
        for (let i = 0; i <= control && at < end && filled < pixels; i++) values[first + size * filled++] = code[at++];
      } else if (control > 128) {
        const value = code[at++];
        for (let i = 0; i < 257 - control && filled < pixels; i++) values[first + size * filled++] = value;
      }
    }
    if (filled < pixels) throw damaged(`RLE segment ${segment + 1} ends after ${filled} of ${pixels} values`);
  }
  return values;
}
