import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../test/shared.ts';
import { InputError } from '../errors.ts';
import { elementCount, type Tensor, toFloat32 } from '../tensor.ts';
import { readSafetensors, safetensorsHeader, writeSafetensors } from './safetensors.ts';

/** A file written by hand: length, JSON, data. */
function draw(header: unknown, data: number[] = [], claimed?: number): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + json.length + data.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(claimed ?? json.length), true);
  file.set(json, 8);
  file.set(data, 8 + json.length);
  return file;
}

const two = { a: { dtype: 'U8', shape: [2], data_offsets: [0, 2] } };

describe('a safetensors file', () => {
  it('gives its tensors by name, in the order of the header', () => {
    const { tensors, metadata } = readSafetensors(
      draw(
        { b: { dtype: 'I16', shape: [1], data_offsets: [2, 4] }, ...two, __metadata__: { made: 'by hand' } },
        [7, 8, 1, 2],
      ),
    );
    expect([...tensors]).toEqual([
      ['b', { dtype: 'int16', shape: [1], data: Int16Array.of(513) }],
      ['a', { dtype: 'uint8', shape: [2], data: Uint8Array.of(7, 8) }],
    ]);
    expect(metadata).toEqual({ made: 'by hand' });
  });

  it('comes back as it was written, every type, aligned without copies', () => {
    const types: Tensor[] = [
      { dtype: 'bool', shape: [3], data: Uint8Array.of(1, 0, 1) },
      { dtype: 'float64', shape: [], data: Float64Array.of(Math.PI) },
      { dtype: 'int8', shape: [1, 2], data: Int8Array.of(-1, 2) },
      { dtype: 'int64', shape: [1], data: BigInt64Array.of(2n ** 60n + 1n) },
      { dtype: 'float16', shape: [2], data: Uint16Array.of(0x3c00, 0x8000) },
      { dtype: 'bfloat16', shape: [1], data: Uint16Array.of(0x3f80) },
      { dtype: 'float32', shape: [2, 0], data: new Float32Array(0) },
      { dtype: 'int32', shape: [1], data: Int32Array.of(-5) },
    ];
    const named = types.map((value, i): [string, Tensor] => [`${i} ${value.dtype}`, value]);
    const bytes = writeSafetensors(named, { key: 'value "quoted"' });
    const { tensors, metadata } = readSafetensors(bytes);
    expect([...tensors]).toEqual(named);
    expect(metadata).toEqual({ key: 'value "quoted"' });
    for (const { data } of tensors.values()) expect(data.buffer).toBe(bytes.buffer);
    expect(safetensorsHeader(named, { key: 'value "quoted"' }).byteLength).toBe(bytes.length);
  });

  it.skipIf(!hasShared)('of the references gives the arrays that their JSON lists', () => {
    const { arrays } = sharedJson<{ arrays: Record<string, { dtype: string; shape: number[] }> }>(
      'golden',
      'volumes',
      'resampling.json',
    );
    const { tensors } = readSafetensors(sharedBytes('golden', 'volumes', 'resampling.safetensors'));
    expect(tensors.size).toBe(Object.keys(arrays).length);
    for (const [name, { shape }] of Object.entries(arrays)) expect(tensors.get(name)!.shape).toEqual(shape);
  });
});

describe('a file that breaks the rules is refused, with its name and the numbers', () => {
  const refused: [string, Uint8Array, RegExp][] = [
    ['too short', new Uint8Array(5), /w\.st has 5 bytes, too few/],
    ['a header longer than the file', draw(two, [], 1000), /claims a header of 1000 bytes, but only \d+ bytes follow/],
    ['a header of petabytes', draw(two, [1, 2], 2 ** 50), /claims a header of 1125899906842624 bytes/],
    ['no JSON', draw('{"a": nonsense'), /is not JSON text/],
    ['a list', draw('[1]'), /w\.st/],
    ['another type', draw({ a: { dtype: 'F8_E4M3', shape: [1], data_offsets: [0, 1] } }, [1]), /F8_E4M3/],
    [
      'a shape of 2^60 elements',
      draw({ a: { dtype: 'F32', shape: [2 ** 40, 2 ** 20], data_offsets: [0, 4] } }, [0, 0, 0, 0]),
      /"a"/,
    ],
    ['a negative length', draw({ a: { dtype: 'U8', shape: [-2], data_offsets: [0, 2] } }, [1, 2]), /"a"/],
    ['offsets beyond the end', draw({ a: { dtype: 'U8', shape: [9], data_offsets: [0, 9] } }, [1, 2]), /w\.st/],
    ['overlap', draw({ ...two, b: { dtype: 'U8', shape: [2], data_offsets: [1, 3] } }, [1, 2, 3]), /w\.st/],
    ['a gap', draw({ b: { dtype: 'U8', shape: [1], data_offsets: [1, 2] } }, [1, 2]), /w\.st/],
    ['the wrong number of bytes', draw({ a: { dtype: 'F32', shape: [1], data_offsets: [0, 2] } }, [1, 2]), /"a"/],
    [
      'the name __proto__',
      draw('{"__proto__": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}', [1]),
      /__proto__/,
    ],
  ];
  for (const [what, bytes, message] of refused) {
    it(what, () => {
      expect(() => readSafetensors(bytes, 'w.st')).toThrow(InputError);
      expect(() => readSafetensors(bytes, 'w.st')).toThrow(message);
    });
  }

  it('however it is damaged: a sentence, never another error', () => {
    const whole = writeSafetensors([
      ['a', { dtype: 'float32', shape: [2, 3], data: new Float32Array(6) }],
      ['b', { dtype: 'int8', shape: [5], data: new Int8Array(5) }],
    ]);
    const flips = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 6 });
    fc.assert(
      fc.property(flips, fc.option(fc.nat(whole.length)), (changes, cut) => {
        const bytes = whole.slice(0, cut ?? whole.length);
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        try {
          for (const { shape, data } of readSafetensors(bytes).tensors.values())
            expect(data.length).toBe(elementCount(shape));
        } catch (error) {
          if (!(error instanceof InputError)) throw error;
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('a file is not written when', () => {
  const one: Tensor = { dtype: 'uint8', shape: [1], data: Uint8Array.of(1) };
  it('two tensors have one name, or one has a name that the format keeps for itself', () => {
    expect(() =>
      writeSafetensors([
        ['a', one],
        ['a', one],
      ]),
    ).toThrow('Two tensors are named "a"');
    for (const name of ['__metadata__', '__proto__'])
      expect(() => safetensorsHeader([[name, one]])).toThrow(InputError);
  });
  it('a tensor does not fill its shape', () => {
    expect(() => writeSafetensors([['a', { ...one, shape: [2] }]])).toThrow(RangeError);
  });
});

describe('16-bit floats', () => {
  it('widen to what their bits mean', () => {
    const half = {
      dtype: 'float16',
      shape: [5],
      data: Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7c00, 0x3555),
    } as const;
    expect([...toFloat32(half).data]).toEqual([1, -2, 2 ** -24, Infinity, Math.fround(0.333251953125)]);
    const brain = { dtype: 'bfloat16', shape: [2], data: Uint16Array.of(0x3f80, 0xc0a0) } as const;
    expect([...toFloat32(brain).data]).toEqual([1, -5]);
  });
});
