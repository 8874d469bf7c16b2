/** The part that is used here of two codecs compiled from C++, which come without types. */

interface CodecOptions {
  /** Where the compiled file lies, from its name and the folder of the codec's own script. */
  locateFile?(file: string, folder: string): string;
  /** What it would write to the console. */
  print?(text: string): void;
  printErr?(text: string): void;
}

interface CodecDecoder {
  /** Room for so many bytes of code, to be filled. */
  getEncodedBuffer(length: number): Uint8Array;
  decode(): void;
  /** A view that is valid until the decoder is used again. */
  getDecodedBuffer(): Uint8Array;
  getFrameInfo(): { width: number; height: number; bitsPerSample: number; componentCount: number };
  /** Gives its memory back. */
  delete(): void;
}

declare module '@cornerstonejs/codec-openjpeg/decodewasmjs' {
  export default function load(options: CodecOptions): Promise<{ J2KDecoder: new () => CodecDecoder }>;
}

declare module '@cornerstonejs/codec-openjpeg/decode' {
  export default function load(options: CodecOptions): Promise<{ J2KDecoder: new () => CodecDecoder }>;
}

declare module '@cornerstonejs/codec-charls/decodewasmjs' {
  export default function load(options: CodecOptions): Promise<{ JpegLSDecoder: new () => CodecDecoder }>;
}

declare module '@cornerstonejs/codec-charls/decode' {
  export default function load(options: CodecOptions): Promise<{ JpegLSDecoder: new () => CodecDecoder }>;
}
