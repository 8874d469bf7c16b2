/**
 * JPEG of one component with Huffman codes (ITU-T T.81): DCT of 8 and 12 bits (baseline and extended, processes 1, 2 and
 * 4), and lossless of 2 to 16 bits (process 14). What DICOM allows of JPEG for gray images; color, progressive and
 * arithmetic coding are refused. JPEG-LS and JPEG 2000 are others' (`codecs.ts`); their sizes are read here all the same,
 * because a frame's size is checked before anything decodes it.
 */
import { InputError } from '../../errors.ts';

/** What a code stream says of the image in it, before any of it is decoded. */
export interface CodedFrame {
  readonly rows: number;
  readonly columns: number;
  readonly components: number;
  /** Bits of a sample. */
  readonly precision: number;
  /** Samples are in two's complement; only JPEG 2000 says so itself. */
  readonly signed: boolean;
}

interface JpegFrame extends CodedFrame {
  readonly coding: string;
  /** Number of the quantization table that the first component takes. */
  readonly quantization: number;
}

/** SOFn, the start of frame marker, for its own kind of coding (T.81, table B.1; T.87, table C.1). */
const startOfFrame: Readonly<Record<number, string>> = {
  192: 'baseline',
  193: 'extended',
  194: 'progressive',
  195: 'lossless',
  197: 'differential',
  198: 'differential progressive',
  199: 'differential lossless',
  201: 'arithmetic',
  202: 'arithmetic progressive',
  203: 'arithmetic lossless',
  205: 'differential arithmetic',
  206: 'differential arithmetic progressive',
  207: 'differential arithmetic lossless',
  247: 'JPEG-LS',
};
const [DHT, SOI, EOI, SOS, DQT, DRI] = [0xc4, 0xd8, 0xd9, 0xda, 0xdb, 0xdd];

interface Segment {
  readonly marker: number;
  readonly body: Uint8Array;
  /** Where the bytes behind the segment begin. */
  readonly end: number;
}

/**
 * The first frame header of a JPEG or JPEG-LS code stream, with its kind of coding.
 * @throws InputError when there is none
 */
export function readJpegFrame(code: Uint8Array, name: string): JpegFrame {
  for (const { marker, body } of segments(code, name)) {
    if (marker in startOfFrame) return frameOf(marker, body, name);
    if (marker === SOS || marker === EOI) break;
  }
  throw damaged(name, 'has no frame header');
}

function frameOf(marker: number, body: Uint8Array, name: string): JpegFrame {
  if (body.length < 6 || body[5] === 0 || body.length < 6 + 3 * body[5])
    throw damaged(name, 'has a frame header that is cut short');
  return {
    coding: startOfFrame[marker],
    precision: body[0],
    rows: (body[1] << 8) | body[2],
    columns: (body[3] << 8) | body[4],
    components: body[5],
    quantization: body[8],
    signed: false,
  };
}

/**
 * The size that a JPEG 2000 code stream states (SIZ, ITU-T T.800 A.5.1); the same for HTJ2K.
 * @throws InputError when it does not begin with one
 */
export function readJpeg2000Frame(code: Uint8Array, name: string): CodedFrame {
  const view = new DataView(code.buffer, code.byteOffset, code.byteLength);
  if (code.length < 45 || view.getUint32(0) !== 0xff4fff51) {
    throw damaged(name, 'does not begin as a JPEG 2000 code stream does');
  }
  const components = view.getUint16(40);
  return {
    columns: view.getUint32(8) - view.getUint32(16),
    rows: view.getUint32(12) - view.getUint32(20),
    // Of several components, or ones at a part of the image's size, nothing else is asked.
    components: code[43] === 1 && code[44] === 1 ? components : Math.max(2, components),
    precision: (code[42] & 0x7f) + 1,
    signed: code[42] >= 0x80,
  };
}

/** Marker segments, from the one behind SOI; whoever stops at SOS finds the coded data at its end. */
function* segments(code: Uint8Array, name: string): Generator<Segment> {
  if (code[0] !== 0xff || code[1] !== SOI) throw damaged(name, 'does not begin as a JPEG does');
  let at = 2;
  while (at < code.length) {
    if (code[at] !== 0xff) throw damaged(name, `has no marker where one should be, at byte ${at}`);
    // Any number of fill bytes may stand before a marker (T.81, B.1.1.2).
    while (code[at] === 0xff) at += 1;
    const marker = code[at];
    at += 1;
    if (marker === EOI) {
      yield { marker, body: code.subarray(at, at), end: at };
      return;
    }
    const length = (code[at] << 8) | code[at + 1];
    if (!(length >= 2) || at + length > code.length) throw damaged(name, 'is cut off within its header');
    yield { marker, body: code.subarray(at + 2, at + length), end: at + length };
    at += length;
  }
}

/**
 * Samples of a JPEG of one component, row by row, not in two's complement.
 * @param name what to call the image in messages
 * @throws InputError when it is damaged, or of a kind that is not read
 */
export function decodeJpeg(code: Uint8Array, name: string): Uint16Array {
  const frame = readJpegFrame(code, name);
  const { coding, components, precision } = frame;
  const lossless = coding === 'lossless';
  const read = lossless ? precision >= 2 && precision <= 16 : precision === 8 || precision === 12;
  if (!['baseline', 'extended', 'lossless'].includes(coding) || components !== 1 || !read) {
    throw new InputError(
      `${name} holds a JPEG that is not read: ${coding} coding, ${components} components of ${precision} bits; export it uncompressed.`,
    );
  }
  // A sample takes a bit at least, a block of 64 takes two.
  const blocks = Math.ceil(frame.rows / 8) * Math.ceil(frame.columns / 8);
  if (code.length * 8 < (lossless ? frame.rows * frame.columns : 2 * blocks)) {
    throw damaged(name, `has too few bytes (${code.length}) for its ${frame.columns} x ${frame.rows} samples`);
  }
  const huffman = new Map<number, Uint16Array>();
  const quantization = new Map<number, Uint16Array>();
  let restartInterval = 0;
  for (const { marker, body, end } of segments(code, name)) {
    if (marker === DHT) readHuffmanTables(body, huffman, name);
    else if (marker === DQT) readQuantizationTables(body, quantization, name);
    else if (marker === DRI && body.length >= 2) restartInterval = (body[0] << 8) | body[1];
    else if (marker === SOS) {
      if (body.length < 6 || body[0] !== 1) throw damaged(name, 'has a scan header that does not fit it');
      const bits = new Bits(code, end, name);
      const table = (kind: number, id: number) => {
        const found = huffman.get((kind << 4) | id);
        if (!found) throw damaged(name, 'lacks a Huffman table');
        return found;
      };
      if (lossless) {
        return decodeLossless(bits, frame, table(0, body[2] >> 4), body[3], body[5] & 15, restartInterval, name);
      }
      const steps = quantization.get(frame.quantization);
      if (!steps) throw damaged(name, 'lacks a quantization table');
      return decodeDct(bits, frame, table(0, body[2] >> 4), table(1, body[2] & 15), steps, restartInterval, name);
    }
  }
  throw damaged(name, 'has no scan');
}

/**
 * Tables by class and number: for each 16 bits that can come next, the length of the code they begin with in the upper
 * byte and its value in the lower; 0 where no code begins so (T.81, annex C).
 */
function readHuffmanTables(body: Uint8Array, tables: Map<number, Uint16Array>, name: string): void {
  for (let at = 0; at < body.length; ) {
    const counts = body.subarray(at + 1, at + 17);
    const total = counts.reduce((sum, count) => sum + count, 0);
    const values = body.subarray(at + 17, at + 17 + total);
    if (counts.length < 16 || values.length < total) throw damaged(name, 'has a Huffman table that is cut short');
    const table = new Uint16Array(1 << 16);
    let start = 0;
    let next = 0;
    for (let length = 1; length <= 16; length++) {
      for (let i = 0; i < counts[length - 1]; i++) {
        const end = start + (1 << (16 - length));
        if (end > 1 << 16) throw damaged(name, 'has a Huffman table with more codes than there can be');
        table.fill((length << 8) | values[next++], start, end);
        start = end;
      }
    }
    tables.set(body[at], table);
    at += 17 + total;
  }
}

/** In the order of the code, zigzag. */
function readQuantizationTables(body: Uint8Array, tables: Map<number, Uint16Array>, name: string): void {
  for (let at = 0; at < body.length; ) {
    const wide = body[at] >> 4 ? 2 : 1;
    if (at + 1 + 64 * wide > body.length) throw damaged(name, 'has a quantization table that is cut short');
    const first = at + 1;
    tables.set(
      body[at] & 15,
      Uint16Array.from({ length: 64 }, (_, k) =>
        wide === 2 ? (body[first + 2 * k] << 8) | body[first + 2 * k + 1] : body[first + k],
      ),
    );
    at = first + 64 * wide;
  }
}

/** Bits of entropy-coded data, most significant first; FF00 stands for FF, any other FF ends them (T.81, F.2.2.5). */
class Bits {
  readonly #code: Uint8Array;
  readonly #name: string;
  #at: number;
  #held = 0;
  #count = 0;
  /** Bits behind the end that were made up. */
  #lent = 0;

  constructor(code: Uint8Array, at: number, name: string) {
    this.#code = code;
    this.#at = at;
    this.#name = name;
  }

  #fill(): void {
    while (this.#count <= 24) {
      let byte = this.#code[this.#at];
      if (byte === undefined || (byte === 0xff && this.#code[this.#at + 1] !== 0)) {
        byte = 0;
        this.#lent += 8;
      } else {
        this.#at += byte === 0xff ? 2 : 1;
      }
      this.#held = (this.#held << 8) | byte;
      this.#count += 8;
    }
  }

  #drop(length: number): void {
    this.#count -= length;
    if (this.#count < this.#lent) throw damaged(this.#name, 'is cut off within its samples');
  }

  value(table: Uint16Array): number {
    if (this.#count < 16) this.#fill();
    const entry = table[(this.#held >>> (this.#count - 16)) & 0xffff];
    if (entry === 0) throw damaged(this.#name, 'holds a code that is in no Huffman table');
    this.#drop(entry >> 8);
    return entry & 0xff;
  }

  /** A signed number of so many bits, 0 to 15: those that begin with 0 are negative (T.81, F.2.2.1). */
  signed(length: number): number {
    if (length === 0) return 0;
    if (this.#count < length) this.#fill();
    const number = (this.#held >>> (this.#count - length)) & ((1 << length) - 1);
    this.#drop(length);
    return number >>> (length - 1) ? number : number - (1 << length) + 1;
  }

  /** Goes on behind the next restart marker (RST0 to RST7). */
  restart(): void {
    const [first, second] = [this.#code[this.#at], this.#code[this.#at + 1]];
    if (first !== 0xff || second < 0xd0 || second > 0xd7) {
      throw damaged(this.#name, 'has no restart marker where one should be');
    }
    this.#at += 2;
    this.#held = 0;
    this.#count = 0;
    this.#lent = 0;
  }
}

/** T.81, annex H. Sample = prediction from its neighbors + a difference, modulo 2^16. */
function decodeLossless(
  bits: Bits,
  { rows, columns, precision }: CodedFrame,
  table: Uint16Array,
  selection: number,
  pointTransform: number,
  restartInterval: number,
  name: string,
): Uint16Array {
  if (selection < 1 || selection > 7 || pointTransform >= precision || restartInterval % columns !== 0) {
    throw damaged(name, 'has a scan header that does not fit it');
  }
  const samples = new Uint16Array(rows * columns);
  const restartRows = restartInterval / columns;
  for (let row = 0, at = 0; row < rows; row++) {
    const restarted = restartRows > 0 && row > 0 && row % restartRows === 0;
    if (restarted) bits.restart();
    const first = row === 0 || restarted;
    for (let column = 0; column < columns; column++, at++) {
      let prediction: number;
      if (first) prediction = column === 0 ? 1 << (precision - pointTransform - 1) : samples[at - 1];
      else if (column === 0) prediction = samples[at - columns];
      else {
        const [left, above, corner] = [samples[at - 1], samples[at - columns], samples[at - columns - 1]];
        prediction = predict(selection, left, above, corner);
      }
      const length = bits.value(table);
      if (length > 16) throw damaged(name, 'holds a difference of more than 16 bits');
      samples[at] = prediction + (length === 16 ? 32768 : bits.signed(length));
    }
  }
  if (pointTransform > 0) for (let i = 0; i < samples.length; i++) samples[i] <<= pointTransform;
  return samples;
}

/** T.81, table H.1. */
function predict(selection: number, left: number, above: number, corner: number): number {
  switch (selection) {
    case 1:
      return left;
    case 2:
      return above;
    case 3:
      return corner;
    case 4:
      return left + above - corner;
    case 5:
      return left + ((above - corner) >> 1);
    case 6:
      return above + ((left - corner) >> 1);
    default:
      return (left + above) >> 1;
  }
}

/** Zigzag order: place of the k-th coefficient, 8 * vertical + horizontal frequency (T.81, figure A.6). */
const zigzag = (() => {
  const order = Array.from({ length: 64 }, (_, place) => place);
  const diagonal = (place: number) => (place >> 3) + (place & 7);
  const along = (place: number) => (diagonal(place) % 2 === 0 ? place & 7 : place >> 3);
  return order.sort((a, b) => diagonal(a) - diagonal(b) || along(a) - along(b));
})();

/** cosine[8 * x + u] = C(u) / 2 * cos((2 x + 1) u pi / 16) (T.81, A.3.3). */
const cosine = Float64Array.from({ length: 64 }, (_, i) => {
  const [x, u] = [i >> 3, i & 7];
  return (u === 0 ? Math.SQRT1_2 : 1) * 0.5 * Math.cos(((2 * x + 1) * u * Math.PI) / 16);
});

/** T.81, annex F: blocks of 8 x 8 samples by their cosine transform, quantized. */
function decodeDct(
  bits: Bits,
  { rows, columns, precision }: CodedFrame,
  dc: Uint16Array,
  ac: Uint16Array,
  steps: Uint16Array,
  restartInterval: number,
  name: string,
): Uint16Array {
  const samples = new Uint16Array(rows * columns);
  const [across, down] = [Math.ceil(columns / 8), Math.ceil(rows / 8)];
  const [offset, most] = [2 ** (precision - 1), 2 ** precision - 1];
  const frequencies = new Float64Array(64);
  const half = new Float64Array(64);
  let previous = 0;
  for (let block = 0; block < across * down; block++) {
    if (restartInterval > 0 && block > 0 && block % restartInterval === 0) {
      bits.restart();
      previous = 0;
    }
    frequencies.fill(0);
    const length = bits.value(dc);
    if (length > 15) throw damaged(name, 'holds a coefficient of more than 15 bits');
    previous += bits.signed(length);
    frequencies[0] = previous * steps[0];
    for (let k = 1; k < 64; k++) {
      const run = bits.value(ac);
      if ((run & 15) === 0) {
        if (run !== 0xf0) break;
        k += 15;
        continue;
      }
      k += run >> 4;
      if (k > 63) throw damaged(name, 'holds more than 64 coefficients in a block');
      frequencies[zigzag[k]] = bits.signed(run & 15) * steps[k];
    }
    for (let v = 0; v < 8; v++) {
      for (let x = 0; x < 8; x++) {
        let sum = 0;
        for (let u = 0; u < 8; u++) sum += cosine[8 * x + u] * frequencies[8 * v + u];
        half[8 * v + x] = sum;
      }
    }
    const [left, top] = [(block % across) * 8, Math.floor(block / across) * 8];
    for (let y = 0; y < Math.min(8, rows - top); y++) {
      for (let x = 0; x < Math.min(8, columns - left); x++) {
        let sum = 0;
        for (let v = 0; v < 8; v++) sum += cosine[8 * y + v] * half[8 * v + x];
        samples[(top + y) * columns + left + x] = Math.max(0, Math.min(most, Math.round(sum + offset)));
      }
    }
  }
  return samples;
}

function damaged(name: string, how: string): InputError {
  return new InputError(`${name} cannot be decoded: its compressed image ${how}; copy or export it again.`);
}
