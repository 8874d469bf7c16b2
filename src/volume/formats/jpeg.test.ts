import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../errors.ts';
import { decodeJpeg, readJpeg2000Frame, readJpegFrame } from './jpeg.ts';

const uint16 = (value: number) => [value >> 8, value & 0xff];
const segment = (marker: number, ...body: number[]) => [0xff, marker, ...uint16(body.length + 2), ...body];
const [SOI, EOI] = [
  [0xff, 0xd8],
  [0xff, 0xd9],
];

/** SOFn of one component with quantization table 0. */
const frame = (marker: number, precision: number, rows: number, columns: number) =>
  segment(marker, precision, ...uint16(rows), ...uint16(columns), 1, 1, 0x11, 0);

/** A table in which the value v has the code v of five bits: 17 values, 0 to 16. */
const fiveBits = (kind: number) =>
  segment(0xc4, kind << 4, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ...Array.from({ length: 17 }, (_, v) => v));

/** `01101` as bytes, filled up with ones, FF followed by 00. */
function packed(bits: string): number[] {
  const bytes = (bits.match(/.{1,8}/g) ?? []).map((byte) => Number.parseInt(byte.padEnd(8, '1'), 2));
  return bytes.flatMap((byte) => (byte === 0xff ? [0xff, 0] : [byte]));
}

/** Category and bits of a number (T.81, table F.1 and H.2). */
function coded(number: number): string {
  const size = number === 0 ? 0 : Math.floor(Math.log2(Math.abs(number))) + 1;
  const code = size.toString(2).padStart(5, '0');
  if (size === 0 || size === 16) return code;
  return code + (number > 0 ? number : number + 2 ** size - 1).toString(2).padStart(size, '0');
}

function refusal(code: readonly number[]): string {
  try {
    decodeJpeg(Uint8Array.from(code), 'it');
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return (error as InputError).message;
  }
  throw new Error('nothing was refused');
}

/** Lossless, by the definition of T.81, annex H: written for these tests alone. */
function encodeLossless(
  samples: readonly number[],
  columns: number,
  precision: number,
  selection: number,
  pointTransform = 0,
  restartRows = 0,
): number[] {
  const rows = samples.length / columns;
  const at = (row: number, column: number) => samples[row * columns + column] >> pointTransform;
  const parts: number[] = [];
  let bits = '';
  for (let row = 0; row < rows; row++) {
    const restarted = restartRows > 0 && row > 0 && row % restartRows === 0;
    if (restarted) {
      parts.push(...packed(bits), 0xff, 0xd0 + ((row / restartRows - 1) % 8));
      bits = '';
    }
    for (let column = 0; column < columns; column++) {
      let expected: number;
      if (row === 0 || restarted) {
        expected = column === 0 ? 2 ** (precision - pointTransform - 1) : at(row, column - 1);
      } else if (column === 0) {
        expected = at(row - 1, 0);
      } else {
        const [a, b, c] = [at(row, column - 1), at(row - 1, column), at(row - 1, column - 1)];
        expected = [0, a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1), (a + b) >> 1][selection];
      }
      // Modulo 2^16, as a number from -32767 to 32768.
      const difference = ((at(row, column) - expected + 32767 + 2 ** 17) % 2 ** 16) - 32767;
      bits += coded(difference);
    }
  }
  return [
    ...SOI,
    ...frame(0xc3, precision, rows, columns),
    ...fiveBits(0),
    ...(restartRows > 0 ? segment(0xdd, ...uint16(restartRows * columns)) : []),
    ...segment(0xda, 1, 1, 0, selection, 0, pointTransform),
    ...parts,
    ...packed(bits),
    ...EOI,
  ];
}

describe('a lossless JPEG', () => {
  it('of four samples is their differences from the left, and from above in the first column', () => {
    // 128 + (-28) = 100, 100 + 3 = 103; second row: 100 + 0 = 100, 100 - 1 = 99.
    const bits = ['00101', '00011', '00010', '11', '00000', '00001', '0'].join('');
    const code = [
      ...SOI,
      ...frame(0xc3, 8, 2, 2),
      ...fiveBits(0),
      ...segment(0xda, 1, 1, 0, 1, 0, 0),
      ...packed(bits),
      ...EOI,
    ];
    expect([...decodeJpeg(Uint8Array.from(code), 'it')]).toEqual([100, 103, 100, 99]);
  });

  it.each([1, 2, 3, 4, 5, 6, 7])('with prediction %i gives back any samples', (selection) => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 16 }),
        fc.integer({ min: 1, max: 6 }),
        fc.array(fc.nat(2 ** 16 - 1), { minLength: 6, maxLength: 36 }),
        fc.integer({ min: 0, max: 2 }),
        (precision, columns, values, restartRows) => {
          const samples = values.slice(0, values.length - (values.length % columns)).map((v) => v % 2 ** precision);
          const code = encodeLossless(samples, columns, precision, selection, 0, restartRows);
          expect([...decodeJpeg(Uint8Array.from(code), 'it')]).toEqual(samples);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('with a point transform of 2 has multiples of 4', () => {
    const samples = [4092, 0, 8, 1024, 2048, 16];
    expect([...decodeJpeg(Uint8Array.from(encodeLossless(samples, 3, 12, 4, 2)), 'it')]).toEqual(samples);
  });

  it('cut off, or with bytes that are no code, is refused', () => {
    const code = encodeLossless([1, 200, 3, 250, 5, 100], 3, 8, 1);
    expect(refusal(code.slice(0, -4))).toBe(
      'it cannot be decoded: its compressed image is cut off within its samples; copy or export it again.',
    );
    const noCode = [...code.slice(0, code.length - 8), 0xf8, 0xf8, 0xf8, ...EOI];
    expect(refusal(noCode)).toMatch(/holds a code that is in no Huffman table|is cut off/);
  });

  it('of a few bytes for millions of samples is refused before memory is taken for them', () => {
    const code = [...SOI, ...frame(0xc3, 8, 60000, 60000), ...fiveBits(0), ...segment(0xda, 1, 1, 0, 1, 0, 0), ...EOI];
    expect(refusal(code)).toMatch(/too few bytes \(\d+\) for its 60000 x 60000 samples/);
  });
});

describe('a JPEG by cosine transform', () => {
  const steps = segment(0xdb, 0, ...new Array<number>(64).fill(16));

  it('with a lone first coefficient is one gray value: offset + coefficient * step / 8', () => {
    // 8 bits: 128 + 5 * 16 / 8 = 138. The second coefficient's value 0 ends the block.
    const code = (precision: number) => [
      ...SOI,
      ...steps,
      ...frame(0xc1, precision, 2, 3),
      ...fiveBits(0),
      ...fiveBits(1),
      ...segment(0xda, 1, 1, 0, 0, 63, 0),
      ...packed(`${coded(5)}00000`),
      ...EOI,
    ];
    expect([...decodeJpeg(Uint8Array.from(code(8)), 'it')]).toEqual(new Array(6).fill(138));
    expect([...decodeJpeg(Uint8Array.from(code(12)), 'it')]).toEqual(new Array(6).fill(2058));
  });

  it('of 11 x 10 samples, 8 bits, quality 90, a restart each block, is what libjpeg makes of it', () => {
    // cjpeg 2.1.5 -grayscale -quality 90 -optimize -restart 1B of (20 x + 2 y^2) % 256; djpeg -dct float.
    const code = Buffer.from(
      '/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYUGBIUFRT' +
        '/wAALCAAKAAsBAREA/8QAFgABAQEAAAAAAAAAAAAAAAAABwUG/8QAKRAAAAQEBQIHAAAAAAAAAAAAAQIDBAUGERIABwgVJBMhFBYzQUJT0f/dAAQAAf' +
        '/aAAgBAQAAPwDBaSdP8Y4XGU9viOP/0HQ2qPIWTypwh/mUzcO26ZL1IUweRBuNxQMFi7dFRI/YwVtMNBqA0EBAP//Rv614q9lPSxLWyPHEG3KZkIa+29U' +
        'yHimqjF71G6tgheka0LiGqUaBUO2P/9IlleDsPL7HhNvT+ov5j//Z',
      'base64',
    );
    expect([...decodeJpeg(code, 'it')]).toEqual(
      [
        [1, 19, 41, 60, 80, 99, 121, 140, 161, 178, 203],
        [2, 21, 42, 62, 81, 101, 122, 141, 164, 185, 199],
        [9, 28, 50, 69, 89, 108, 130, 149, 166, 195, 203],
        [17, 36, 58, 77, 97, 116, 138, 157, 179, 190, 220],
        [33, 52, 73, 92, 112, 132, 153, 172, 190, 217, 232],
        [51, 70, 91, 111, 131, 150, 171, 190, 214, 228, 252],
        [72, 91, 112, 131, 151, 171, 192, 211, 231, 245, 23],
        [99, 118, 140, 159, 179, 198, 220, 239, 1, 29, 36],
        [125, 152, 170, 186, 208, 231, 250, 13, 31, 52, 70],
        [162, 179, 201, 224, 240, 0, 22, 46, 66, 87, 105],
      ].flat(),
    );
  });

  it('without its tables, or with more coefficients than a block has, is refused', () => {
    const head = [...SOI, ...frame(0xc0, 8, 8, 8)];
    const scan = segment(0xda, 1, 1, 0, 0, 63, 0);
    expect(refusal([...head, ...fiveBits(0), ...fiveBits(1), ...scan, 0, 0, ...EOI])).toMatch(
      /lacks a quantization table/,
    );
    expect(refusal([...head, ...steps, ...scan, 0, 0, ...EOI])).toMatch(/lacks a Huffman table/);
    // A table of one code, 0: fifteen zeros and a coefficient of one bit. Four of them are 64 coefficients behind the first.
    const runs = segment(0xc4, 0x10, 1, ...new Array<number>(15).fill(0), 0xf1);
    const bits = packed(`00000${'01'.repeat(4)}`);
    expect(refusal([...head, ...steps, ...fiveBits(0), ...runs, ...scan, ...bits, ...EOI])).toMatch(
      /holds more than 64 coefficients in a block/,
    );
  });

  it('of a kind that DICOM does not have for gray images is refused by its name', () => {
    expect(refusal([...SOI, ...frame(0xc2, 8, 8, 8), ...EOI])).toBe(
      'it holds a JPEG that is not read: progressive coding, 1 components of 8 bits; export it uncompressed.',
    );
    const color = segment(0xc0, 8, 0, 8, 0, 8, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0);
    expect(refusal([...SOI, ...color, ...EOI])).toMatch(/baseline coding, 3 components of 8 bits/);
  });
});

describe('the size that a code stream states', () => {
  it('of a JPEG-LS is its frame header', () => {
    const code = Uint8Array.from([...SOI, ...frame(0xf7, 12, 3, 5), ...EOI]);
    expect(readJpegFrame(code, 'it')).toMatchObject({ coding: 'JPEG-LS', rows: 3, columns: 5, precision: 12 });
  });

  it('of a JPEG 2000 is its image area less its offset', () => {
    const uint32 = (value: number) => [0, 0, ...uint16(value)];
    const size = [...uint32(7), ...uint32(9), ...uint32(2), ...uint32(1)];
    const tiles = [...uint32(7), ...uint32(9), ...uint32(0), ...uint32(0)];
    const code = Uint8Array.from([0xff, 0x4f, ...segment(0x51, 0, 0, ...size, ...tiles, 0, 1, 0x8b, 1, 1)]);
    expect(readJpeg2000Frame(code, 'it')).toEqual({ columns: 5, rows: 8, components: 1, precision: 12, signed: true });
  });

  it('is asked of nothing that does not begin as it should', () => {
    expect(() => readJpegFrame(Uint8Array.of(1, 2, 3), 'it')).toThrow(/does not begin as a JPEG does/);
    expect(() => readJpegFrame(Uint8Array.of(0xff, 0xd8, 0xff, 0xd9), 'it')).toThrow(/has no frame header/);
    expect(() => readJpeg2000Frame(new Uint8Array(60), 'it')).toThrow(/does not begin as a JPEG 2000 code stream does/);
  });

  it('any bytes behind the first two are refused or read, and nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          decodeJpeg(Uint8Array.from([...SOI, ...frame(0xc3, 8, 2, 2), ...bytes]), 'it');
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
        }
      }),
    );
  });
});
