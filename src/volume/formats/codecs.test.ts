import { afterEach, describe, expect, it, vi } from 'vitest';

/** 5 x 4 values, (7 i^2 mod 4096) - 2048, 12 bits with a sign, HTJ2K; made with OpenJPH 0.31. */
const highThroughput = Buffer.from(
  '/0//UQApQAAAAAAFAAAABAAAAAAAAAAAAAAABQAAAAQAAAAAAAAAAAABiwEB/1AACAACAAAABv9SAAwAAgABAAUEBEAB/1wAEyBocHBwcHBwcHBwcHBwaGho' +
    '/2QAFwABT3BlbkpQSCBWZXIgMC4zMS4wLv+QAAoAAAAAAEwAAf+TwAJgX/sDB3QAAADAAShUAgd0AMABLAATgPUAB3QAgufGAMI0AMACWABXAN3eIbMAXVHbFfa7QpAAgwN+tgD/2Q==',
  'base64',
);
const frame = { rows: 4, columns: 5, components: 1, precision: 12, signed: true };
const expected = Int16Array.from({ length: 20 }, (_, i) => ((7 * i * i) % 4096) - 2048);

const failing = () => ({ default: () => Promise.reject(new Error('no WebAssembly here')) });

/** The file as it is when nothing has been loaded yet. */
async function fresh() {
  vi.resetModules();
  return await import('./codecs.ts');
}

afterEach(() => {
  vi.doUnmock('@cornerstonejs/codec-openjpeg/decode');
  vi.doUnmock('@cornerstonejs/codec-openjpeg/decodewasmjs');
});

describe('a codec', () => {
  it('gives the same in WebAssembly and, where that cannot be had, in JavaScript', async () => {
    vi.doMock('@cornerstonejs/codec-openjpeg/decode', failing);
    expect(await (await fresh()).decodeWith('JPEG 2000', highThroughput, frame, 'it')).toEqual(expected);
    vi.doUnmock('@cornerstonejs/codec-openjpeg/decode');
    vi.doMock('@cornerstonejs/codec-openjpeg/decodewasmjs', failing);
    expect(await (await fresh()).decodeWith('JPEG 2000', highThroughput, frame, 'it')).toEqual(expected);
  });

  it('that cannot be loaded is no fault of the image, and is asked for again', async () => {
    vi.doMock('@cornerstonejs/codec-openjpeg/decodewasmjs', failing);
    vi.doMock('@cornerstonejs/codec-openjpeg/decode', failing);
    const { decodeWith } = await fresh();
    const decoding = () => decodeWith('JPEG 2000', highThroughput, frame, 'it');
    // The module was loaded anew, and its error class with it.
    await expect(decoding()).rejects.toMatchObject({ name: 'ResourceError' });
    await expect(decoding()).rejects.toThrow(
      'The decoder for JPEG 2000 could not be loaded; check the connection and try again.',
    );
  });

  it('gives the memory of each image back, whether it was decoded or not', async () => {
    let held = 0;
    class Decoder {
      readonly #fails: boolean;
      constructor() {
        this.#fails = ++made === 2;
        held += 1;
      }
      getEncodedBuffer = (length: number) => new Uint8Array(length);
      decode() {
        if (this.#fails) throw 5266432;
      }
      getDecodedBuffer = () => new Uint8Array(40);
      getFrameInfo = () => ({ width: 5, height: 4, bitsPerSample: 12, componentCount: 1 });
      delete() {
        held -= 1;
      }
    }
    let made = 0;
    vi.doMock('@cornerstonejs/codec-openjpeg/decodewasmjs', () => ({
      default: () => Promise.resolve({ J2KDecoder: Decoder }),
    }));
    const { decodeWith } = await fresh();
    const decoding = () => decodeWith('JPEG 2000', highThroughput, frame, 'it');
    expect(await decoding()).toEqual(new Int16Array(20));
    await expect(decoding()).rejects.toMatchObject({ name: 'InputError' });
    expect({ made, held }).toEqual({ made: 2, held: 0 });
  });
});
