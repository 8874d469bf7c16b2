/**
 * Counts the bytes of every array that is made while this module is loaded: the constructors of ArrayBuffer and of all
 * typed arrays are replaced by ones that count. Import it before anything that keeps a constructor for itself.
 *
 * Counted are bytes asked for, whether they are touched or not, and nothing is taken off when they are freed: an upper
 * bound of what an input makes a parser hold. Memory of WebAssembly and of strings is for the resident size to show.
 */
const counted = [
  'ArrayBuffer',
  'Int8Array',
  'Uint8Array',
  'Uint8ClampedArray',
  'Int16Array',
  'Uint16Array',
  'Int32Array',
  'Uint32Array',
  'Float32Array',
  'Float64Array',
  'BigInt64Array',
  'BigUint64Array',
] as const;

type Constructor = new (...args: unknown[]) => ArrayBuffer | ArrayBufferView;

let bytes = 0;

for (const name of counted) {
  const original = globalThis[name] as unknown as Constructor;
  const counting: Constructor = new Proxy(original, {
    construct(target, args: unknown[], newTarget): ArrayBuffer | ArrayBufferView {
      const made: ArrayBuffer | ArrayBufferView = Reflect.construct(
        target,
        args,
        newTarget === counting ? target : newTarget,
      );
      // A view of a buffer takes no memory of its own.
      if (!(args[0] instanceof ArrayBuffer || args[0] instanceof SharedArrayBuffer)) bytes += made.byteLength;
      return made;
    },
  });
  Object.defineProperty(globalThis, name, { value: counting, writable: true, configurable: true });
  // So that slices and copies of the same type count too.
  Object.defineProperty(original.prototype, 'constructor', { value: counting, writable: true, configurable: true });
}

/** Bytes asked for since the program began. */
export const allocatedBytes = (): number => bytes;
