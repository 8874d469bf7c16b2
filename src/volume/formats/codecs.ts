/**
 * The two codecs that are not written here, loaded when a first image needs one: OpenJPEG (JPEG 2000, HTJ2K) and CharLS
 * (JPEG-LS), compiled to WebAssembly, with the same compiled to plain JavaScript where that cannot be had. They run in Node
 * and in browsers. Whoever calls has checked the code's size against the image's; what comes out is checked here again.
 */
import { InputError, ResourceError } from '../../errors.ts';
import type { CodedFrame } from './jpeg.ts';

type Samples = Int8Array | Uint8Array | Int16Array | Uint16Array;

type NewDecoder = () => CodecDecoder;

/** Codecs write of what they do, and of what is wrong with an image, to the console. */
const silent = { print: () => {}, printErr: () => {} };

/**
 * Beside its own script in Node; in a browser where the bundler puts it, which is why the whole address must stand in one
 * `new URL` that bundlers look for.
 */
const inNode = import.meta.url.startsWith('file:');

const loaders: Readonly<Record<Codec, { compiled(): Promise<NewDecoder>; plain(): Promise<NewDecoder> }>> = {
  'JPEG 2000': {
    async compiled() {
      const { default: load } = await import('@cornerstonejs/codec-openjpeg/decodewasmjs');
      const locateFile = (file: string, folder: string) =>
        inNode ? folder + file : new URL('@cornerstonejs/codec-openjpeg/decodewasm', import.meta.url).href;
      const { J2KDecoder } = await load({ ...silent, locateFile });
      return () => new J2KDecoder();
    },
    async plain() {
      const { default: load } = await import('@cornerstonejs/codec-openjpeg/decode');
      const { J2KDecoder } = await load(silent);
      return () => new J2KDecoder();
    },
  },
  'JPEG-LS': {
    async compiled() {
      const { default: load } = await import('@cornerstonejs/codec-charls/decodewasmjs');
      const locateFile = (file: string, folder: string) =>
        inNode ? folder + file : new URL('@cornerstonejs/codec-charls/decodewasm', import.meta.url).href;
      const { JpegLSDecoder } = await load({ ...silent, locateFile });
      return () => new JpegLSDecoder();
    },
    async plain() {
      const { default: load } = await import('@cornerstonejs/codec-charls/decode');
      const { JpegLSDecoder } = await load(silent);
      return () => new JpegLSDecoder();
    },
  },
};

export type Codec = 'JPEG 2000' | 'JPEG-LS';

const loaded = new Map<Codec, Promise<NewDecoder>>();

/**
 * Samples of one component, row by row.
 * @param code a code stream that says it holds `frame`
 * @param name what to call the image in messages
 * @throws InputError when it cannot be decoded, or turns out to be of another size
 * @throws ResourceError when the codec cannot be loaded
 */
export async function decodeWith(codec: Codec, code: Uint8Array, frame: CodedFrame, name: string): Promise<Samples> {
  const { rows, columns, precision, signed } = frame;
  const newDecoder = await decoderOf(codec);
  let samples: Samples | undefined;
  try {
    samples = decode(newDecoder(), code, frame);
  } catch {
    // What it throws may be a number, or hold anything of the file. Its memory may be in any state: start over next time.
    loaded.delete(codec);
  }
  if (!samples) {
    throw new InputError(
      `${name} cannot be decoded: its ${codec} data are damaged, or not ${columns} x ${rows} samples of ${precision} bits${signed ? ' with a sign' : ''}; copy or export it again.`,
    );
  }
  return samples;
}

/** @throws ResourceError when it cannot be loaded, as when a page has lost its server */
async function decoderOf(codec: Codec): Promise<NewDecoder> {
  const { compiled, plain } = loaders[codec];
  const loading = loaded.get(codec) ?? compiled().catch(plain);
  loaded.set(codec, loading);
  try {
    return await loading;
  } catch (cause) {
    loaded.delete(codec);
    throw new ResourceError(`The decoder for ${codec} could not be loaded; check the connection and try again.`, {
      cause,
    });
  }
}

/** Undefined when what is decoded is not the frame that was announced. */
function decode(decoder: CodecDecoder, code: Uint8Array, { rows, columns, precision, signed }: CodedFrame) {
  try {
    decoder.getEncodedBuffer(code.length).set(code);
    decoder.decode();
    const { width, height, bitsPerSample, componentCount } = decoder.getFrameInfo();
    const decoded = decoder.getDecodedBuffer();
    const bytes = precision > 8 ? 2 : 1;
    const asSaid = width === columns && height === rows && bitsPerSample === precision && componentCount === 1;
    if (!asSaid || decoded.length !== rows * columns * bytes) return undefined;
    // A copy, since the decoder's memory is given back; aligned for two bytes, too.
    const { buffer } = new Uint8Array(decoded);
    if (bytes === 1) return signed ? new Int8Array(buffer) : new Uint8Array(buffer);
    return signed ? new Int16Array(buffer) : new Uint16Array(buffer);
  } finally {
    decoder.delete();
  }
}
