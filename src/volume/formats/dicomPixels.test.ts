import { describe, expect, it } from 'vitest';
import { element, part10 } from '../../../test/drawnDicom.ts';
import { InputError } from '../../errors.ts';
import { explicitBigEndian, readDicomHeader } from './dicom.ts';
import { decodeRle, framesOf } from './dicomPixels.ts';

const uint16 = (value: number) => [value & 0xff, value >> 8];
const uint32 = (value: number) => [...uint16(value & 0xffff), ...uint16(value >>> 16)];
const words = (...values: number[]) => values.flatMap((value) => uint16(value & 0xffff));

interface DrawnPixels {
  readonly rows?: number;
  readonly columns?: number;
  readonly allocated?: number;
  readonly stored?: number;
  readonly highBit?: number;
  readonly signed?: boolean;
  readonly photometric?: string;
  readonly frames?: number;
  readonly syntax?: string;
  /** Elements in front of the pixels. */
  readonly groups?: readonly number[];
  /** The value of the pixel data, or their items. */
  readonly pixels: readonly number[];
  readonly compressed?: boolean;
  readonly tag?: string;
  readonly type?: string;
}

/** 3 x 1 pixels of 16 bits when nothing else is said. */
function drawn({
  rows = 1,
  columns = 3,
  allocated = 16,
  stored = allocated,
  highBit = stored - 1,
  signed = false,
  photometric = 'MONOCHROME2',
  frames = 1,
  syntax,
  groups = [],
  pixels,
  compressed = false,
  tag = '7fe0,0010',
  type = 'OW',
}: DrawnPixels): Uint8Array {
  const head = [
    ...element('0028,0002', 'US', uint16(1)),
    ...element('0028,0004', 'CS', photometric),
    ...element('0028,0008', 'IS', String(frames)),
    ...element('0028,0010', 'US', uint16(rows)),
    ...element('0028,0011', 'US', uint16(columns)),
    ...element('0028,0100', 'US', uint16(allocated)),
    ...element('0028,0101', 'US', uint16(stored)),
    ...element('0028,0102', 'US', uint16(highBit)),
    ...element('0028,0103', 'US', uint16(signed ? 1 : 0)),
    ...groups,
  ];
  const data = compressed
    ? [0xe0, 0x7f, 0x10, 0, 0x4f, 0x42, 0, 0, ...uint32(0xffffffff), ...pixels, ...item(0xe0dd, [])]
    : element(tag, type, pixels);
  return part10([...head, ...data], syntax);
}

const item = (number: number, content: readonly number[]) => [
  ...uint16(0xfffe),
  ...uint16(number),
  ...uint32(content.length),
  ...content,
];
/** Items: the offset table, then the pieces. */
const items = (table: readonly number[], ...pieces: (readonly number[])[]) =>
  [table, ...pieces].flatMap((content) => item(0xe000, content));

async function valuesOf(bytes: Uint8Array, frame = 0): Promise<number[]> {
  return [...(await framesOf(bytes, readDicomHeader(bytes, 'it'), 'it')(frame))];
}

const values = (pixels: DrawnPixels, frame = 0) => valuesOf(drawn(pixels), frame);

async function refusal(pixels: DrawnPixels, frame = 0): Promise<string> {
  try {
    await values(pixels, frame);
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return (error as InputError).message;
  }
  throw new Error('nothing was refused');
}

describe('stored values', () => {
  it('of 8, 16 and 32 bits are little endian', async () => {
    expect(await values({ allocated: 8, columns: 4, pixels: [0, 1, 128, 255] })).toEqual([0, 1, 128, 255]);
    expect(await values({ pixels: [1, 2, 0xff, 0xff, 0, 0x80] })).toEqual([0x0201, 65535, 32768]);
    expect(await values({ allocated: 32, columns: 1, pixels: [1, 2, 3, 0x84] })).toEqual([0x84030201]);
  });

  it('with a sign are in two’s complement', async () => {
    expect(await values({ allocated: 8, columns: 4, signed: true, pixels: [0, 1, 128, 255] })).toEqual([
      0, 1, -128, -1,
    ]);
    expect(await values({ signed: true, pixels: words(-1, -32768, 32767) })).toEqual([-1, -32768, 32767]);
    expect(await values({ allocated: 32, columns: 1, signed: true, pixels: [254, 255, 255, 255] })).toEqual([-2]);
  });

  it('of 12 bits in 16 lose what lies outside them, and have their sign at the highest of them', async () => {
    const pixels = words(0xf7ff, 0x0800, 0xa001);
    expect(await values({ stored: 12, pixels })).toEqual([0x7ff, 0x800, 1]);
    expect(await values({ stored: 12, signed: true, pixels })).toEqual([2047, -2048, 1]);
    // In the upper twelve bits: 0xf7f, 0x080, 0xa00.
    expect(await values({ stored: 12, highBit: 15, pixels })).toEqual([0xf7f, 0x80, 0xa00]);
    expect(await values({ stored: 12, highBit: 15, signed: true, pixels })).toEqual([-129, 128, -1536]);
  });

  it('in big endian have their highest byte first, and two pixels of 8 bits swap places in a word', async () => {
    const big = async (bits: number, columns: number, bytes: readonly number[], frame = 0) => {
      const little = drawn({ allocated: bits, columns, frames: 2, pixels: bytes });
      const file = part10(bytes, explicitBigEndian);
      const header = readDicomHeader(little, 'it');
      const pixels = { ...header.pixels!, offset: file.length - bytes.length };
      return [...(await framesOf(file, { ...header, transferSyntax: explicitBigEndian, pixels }, 'it')(frame))];
    };
    expect(await big(16, 1, [1, 2, 3, 4])).toEqual([0x0102]);
    expect(await big(32, 1, [1, 2, 3, 4, 5, 6, 7, 8], 1)).toEqual([0x05060708]);
    expect(await big(8, 3, [2, 1, 4, 3, 6, 5])).toEqual([1, 2, 3]);
    expect(await big(8, 3, [2, 1, 4, 3, 6, 5], 1)).toEqual([4, 5, 6]);
  });

  it('that are floats are read as they are', async () => {
    const floats = [...new Uint8Array(Float32Array.of(1.5, -2, 1e30).buffer)];
    expect(await values({ allocated: 32, tag: '7fe0,0008', type: 'OF', pixels: floats })).toEqual([
      1.5,
      -2,
      Math.fround(1e30),
    ]);
    const doubles = [...new Uint8Array(Float64Array.of(0.1, -2, 1e300).buffer)];
    expect(await values({ allocated: 64, tag: '7fe0,0009', type: 'OD', pixels: doubles })).toEqual([0.1, -2, 1e300]);
  });

  it('of the second frame lie behind those of the first', async () => {
    expect(await values({ frames: 2, pixels: words(1, 2, 3, 4, 5, 6) }, 1)).toEqual([4, 5, 6]);
  });

  it('of a size or a color that is not read are refused', async () => {
    expect(await refusal({ allocated: 12, pixels: words(1, 2, 3) })).toBe(
      'it has pixels of 12 bits; 8, 16 and 32 are read: export it so.',
    );
    expect(await refusal({ stored: 12, highBit: 9, pixels: words(1, 2, 3) })).toBe(
      'it is damaged: values of 12 bits up to bit 9 do not fit into 16 bits; export it again.',
    );
    expect(await refusal({ photometric: 'PALETTE COLOR', pixels: words(1, 2, 3) })).toMatch(/no gray image/);
  });
});

describe('RLE', () => {
  /** A header of 16 numbers: how many segments, and where each begins. */
  const rle = (...segments: (readonly number[])[]) => {
    const starts = segments.map((_, i) => 64 + segments.slice(0, i).reduce((sum, { length }) => sum + length, 0));
    return [segments.length, ...starts, ...new Array<number>(15 - segments.length).fill(0)]
      .flatMap(uint32)
      .concat(segments.flat());
  };

  it('is runs and literals, the highest bytes first', async () => {
    // High bytes: three times 1 (257 - 254); low bytes: two literal ones, 7 and 8, then one more, 9.
    const code = rle([254, 1], [1, 7, 8, 0, 9, 128]);
    expect([...decodeRle(Uint8Array.from(code), 3, 2, 'it')]).toEqual([7, 1, 8, 1, 9, 1]);
    const syntax = '1.2.840.10008.1.2.5';
    expect(await values({ syntax, compressed: true, pixels: items([], code) })).toEqual([0x107, 0x108, 0x109]);
  });

  it('that ends early, or whose segments lie elsewhere, is refused', () => {
    const decoded = (code: readonly number[]) => () => decodeRle(Uint8Array.from(code), 3, 2, 'it');
    expect(decoded(rle([254, 1], [1, 7, 8]))).toThrow(
      'it cannot be decoded: RLE segment 2 ends after 2 of 3 values; copy or export it again.',
    );
    expect(decoded(rle([254, 1]))).toThrow(/it has 1 RLE segments where values of 16 bits have 2/);
    expect(decoded([2, 64, 1e6, ...new Array<number>(13).fill(0)].flatMap(uint32))).toThrow(/lie outside its bytes/);
    expect(decoded([2, 0, 0, 0])).toThrow(/header is cut short/);
    expect(() => decodeRle(Uint8Array.from(rle([254, 1], [254, 1])), 1e9, 2, 'it')).toThrow(
      /are too few for 1000000000/,
    );
  });
});

describe('compressed frames', () => {
  const syntax = '1.2.840.10008.1.2.5';
  /** One value of 8 bits, twelve bytes long behind the header so that it can be cut in two. */
  const frame = (value: number) => [1, 64, ...new Array<number>(14).fill(0)].flatMap(uint32).concat([0, value]);
  const one = { rows: 1, columns: 1, allocated: 8, syntax, compressed: true, frames: 3 };
  const all = async (pixels: DrawnPixels) => [
    await values(pixels, 0),
    await values(pixels, 1),
    await values(pixels, 2),
  ];

  it('lie in one piece each where no table says otherwise', async () => {
    expect(await all({ ...one, pixels: items([], frame(7), frame(8), frame(9)) })).toEqual([[7], [8], [9]]);
  });

  it('in several pieces begin where the table says', async () => {
    // Pieces with their heads of 8 bytes: 40 + 42 for the first frame, 74 for the second, 74 for the third.
    const pieces = [frame(7).slice(0, 32), frame(7).slice(32), frame(8), frame(9)];
    const table = [0, 82, 156].flatMap(uint32);
    expect(await all({ ...one, pixels: items(table, ...pieces) })).toEqual([[7], [8], [9]]);
    const extended = element(
      '7fe0,0001',
      'OV',
      [0, 82, 156].flatMap((offset) => [...uint32(offset), 0, 0, 0, 0]),
    );
    expect(await all({ ...one, groups: extended, pixels: items([], ...pieces) })).toEqual([[7], [8], [9]]);
  });

  it('whose table does not fit their pieces are refused', async () => {
    const pieces = [frame(7), frame(8), frame(9)];
    for (const offsets of [
      [0, 74],
      [0, 148, 74],
      [0, 74, 149],
      [74, 148, 222],
      [0, 0, 74],
      [0, 74, 148, 222],
    ]) {
      expect(await refusal({ ...one, pixels: items(offsets.flatMap(uint32), ...pieces) }), String(offsets)).toBe(
        'it is damaged: the offsets of its 3 compressed frames do not fit its 3 pieces; copy or export it again.',
      );
    }
    const four = [frame(7).slice(0, 32), frame(7).slice(32), frame(8), frame(9)];
    expect(await refusal({ ...one, pixels: items([], ...four) })).toMatch(/do not fit its 4 pieces/);
  });

  it('that are too few, no items, or cut off are refused', async () => {
    expect(await refusal({ ...one, pixels: items([], frame(7), frame(8)) })).toMatch(/2 pieces .* for 3 frames/);
    expect(await refusal({ ...one, pixels: [...items([]), ...new Array<number>(40).fill(1)] })).toMatch(/not in items/);
    const long = [...items([]), ...uint16(0xfffe), ...uint16(0xe000), ...uint32(1e6), ...frame(7)];
    expect(await refusal({ ...one, pixels: long })).toMatch(/cut off within its compressed pixels/);
  });

  it('in a way that nobody knows here are refused by its name', async () => {
    const mpeg = '1.2.840.10008.1.2.4.100';
    expect(await refusal({ ...one, frames: 1, syntax: mpeg, pixels: items([], [0, 0]) })).toBe(
      `it is compressed in a way that is not read: transfer syntax ${mpeg}; export it uncompressed.`,
    );
  });
});

describe('JPEG 2000 and JPEG-LS', () => {
  /** 5 x 4 values, (7 i^2 mod 4096) - 2048, 12 bits with a sign; made with OpenJPH 0.31. */
  const highThroughput = [
    ...Buffer.from(
      '/0//UQApQAAAAAAFAAAABAAAAAAAAAAAAAAABQAAAAQAAAAAAAAAAAABiwEB/1AACAACAAAABv9SAAwAAgABAAUEBEAB/1wAEyBocHBwcHBwcHBwcHBwaGho' +
        '/2QAFwABT3BlbkpQSCBWZXIgMC4zMS4wLv+QAAoAAAAAAEwAAf+TwAJgX/sDB3QAAADAAShUAgd0AMABLAATgPUAB3QAgufGAMI0AMACWABXAN3eIbMAXVHbFfa7QpAAgwN+tgD/2Q==',
      'base64',
    ),
  ];
  const image = {
    rows: 4,
    columns: 5,
    stored: 12,
    signed: true,
    syntax: '1.2.840.10008.1.2.4.201',
    compressed: true,
    pixels: items([], highThroughput),
  };
  const expected = Array.from({ length: 20 }, (_, i) => ((7 * i * i) % 4096) - 2048);

  it('of high throughput is decoded without loss, in one piece or two', async () => {
    expect(await values(image)).toEqual(expected);
    const halves = items([], highThroughput.slice(0, 60), highThroughput.slice(60));
    expect(await values({ ...image, pixels: halves })).toEqual(expected);
  });

  it('whose code states another size, or more bits, than the header is refused before it is decoded', async () => {
    expect(await refusal({ ...image, rows: 5 })).toBe(
      'it contradicts itself: its header says 5 x 5 pixels of one value, its JPEG 2000 image 5 x 4 of 1; export it again.',
    );
    expect(await refusal({ ...image, allocated: 8, stored: 8 })).toBe(
      'it contradicts itself: its header allows values of 8 bits, its JPEG 2000 image has 12; export it again.',
    );
  });

  it('that is damaged is refused, and the next one is decoded', async () => {
    const cut = highThroughput.slice(0, -30);
    expect(await refusal({ ...image, pixels: items([], cut) })).toBe(
      'it cannot be decoded: its JPEG 2000 data are damaged, or not 5 x 4 samples of 12 bits with a sign; copy or export it again.',
    );
    expect(await values(image)).toEqual(expected);
    const lossless = [0xff, 0xd8, 0xff, 0xf7, 0, 11, 12, 0, 4, 0, 5, 1, 1, 0x11, 0, 0xff, 0xd9];
    expect(await refusal({ ...image, syntax: '1.2.840.10008.1.2.4.80', pixels: items([], lossless) })).toMatch(
      /^it cannot be decoded: its JPEG-LS data are damaged/,
    );
  });
});
