import { describe, expect, it } from 'vitest';
import { hasShared, sharedBytes } from '../../test/shared.ts';
import { InputError } from '../errors.ts';
import { readPickle, unpickle } from './pickle.ts';
import type { PickleValue } from './pickleValue.ts';

/** Opcodes as text (one character a byte) to bytes. */
const bytes = (text: string) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
const read = (text: string) => readPickle(bytes(text), { name: 'drawn' });

describe('plain values, written opcode by opcode', () => {
  const cases: [string, string, PickleValue][] = [
    ['None, True, False in a tuple', '\x80\x02N\x88\x89\x87.', [null, true, false]],
    ['whole numbers of one, two and four bytes', '(K\x07M\x00\x01J\xff\xff\xff\xfft.', [7, 256, -1]],
    ['a long number beyond 2^53', '\x8a\x08\x01\x00\x00\x00\x00\x00\x00\x40.', 2n ** 62n + 1n],
    ['a negative long number', '\x8a\x01\xfe.', -2],
    ['a double, high byte first', 'G\x3f\xf8\x00\x00\x00\x00\x00\x00.', 1.5],
    ['texts of protocol 4 and 2', '\x8c\x02\xc3\xa9X\x01\x00\x00\x00a\x86.', ['é', 'a']],
    ['a list that is appended to', ']K\x01aK\x02a.', [1, 2]],
    [
      'a dictionary',
      '}(K\x01K\x02K\x03K\x04u.',
      new Map([
        [1, 2],
        [3, 4],
      ]),
    ],
    ['a set', '\x8f(K\x01K\x02\x90.', new Set([1, 2])],
    ['a value remembered and used again', '\x8c\x01x\x94h\x00\x86.', ['x', 'x']],
    ['text opcodes of protocol 0', "(I5\nF2.5\nVa\nI01\nL9L\nS'b'\nt.", [5, 2.5, 'a', true, 9, 'b']],
    ['an OrderedDict with a pair set', 'ccollections\nOrderedDict\n)RK\x01K\x02s.', new Map([[1, 2]])],
  ];
  for (const [what, text, value] of cases) it(what, () => expect(read(text)).toEqual(value));

  it('one pickle after another, each with its end', () => {
    const two = bytes('\x80\x02K\x01.\x80\x04K\x02.');
    const first = unpickle(two, 0);
    expect(first).toEqual({ value: 1, protocol: 2, end: 5 });
    expect(unpickle(two, first.end)).toEqual({ value: 2, protocol: 4, end: 10 });
    expect(() => readPickle(two, { name: 'two' })).toThrow('one ends at byte 5, but the file has 10');
  });
});

describe('what a pickle may not do', () => {
  it('import anything that is not on the list, by any opcode', () => {
    const attempts = [
      'cposix\nsystem\n.',
      '\x8c\x05posix\x8c\x06system\x93.',
      '(iposix\nsystem\n.',
      'cbuiltins\neval\n(S"1"\ntR.',
    ];
    for (const text of attempts) {
      expect(() => read(text)).toThrow(InputError);
      expect(() => read(text)).toThrow(/posix\.system|builtins\.eval/);
    }
  });

  it('though it may be skipped, and then nothing of it is made', () => {
    const value = readPickle(bytes('}(K\x01cposix\nsystem\n(S"x"\ntRK\x02K\x07u.'), { unknown: 'skip' }) as Map<
      PickleValue,
      PickleValue
    >;
    expect(value.get(1)).toMatchObject({ kind: 'opaque', global: 'posix.system' });
    expect(value.get(2)).toBe(7);
  });

  it('claim lengths that the file does not have', () => {
    for (const text of [
      'X\xff\xff\xff\x7fa.',
      'B\xff\xff\xff\xffa.',
      '\x8e\xff\xff\xff\xff\xff\xff\xff\x00.',
      '\x8b\xff\xff\xff\x7f.',
    ]) {
      expect(() => read(text)).toThrow(InputError);
    }
  });

  it('take from an empty stack, miss its mark, or end without a value', () => {
    for (const text of ['.', 'a.', 't.', 'R.', 'K\x01', 'h\x05.', '\x80\x09.', '\xfe.', ''])
      expect(() => read(text)).toThrow(InputError);
  });

  it('grow without bound: nesting, doubling, and self-reference', () => {
    expect(() => read(`${']'.repeat(5000)}${'a'.repeat(4999)}.`)).toThrow(InputError);
    // A list that is put into itself.
    expect(() => read(']\x94h\x00a.')).toThrow(InputError);
    // Each tuple holds the last one twice: 2^60 leaves in 180 bytes. Reading it makes 60 tuples.
    const twice = Array.from({ length: 60 }, (_, i) => `h${String.fromCharCode(i)}h${String.fromCharCode(i)}\x86\x94`);
    let value = read(`K\x01\x94${twice.join('')}.`);
    for (let depth = 0; depth < 60; depth++) value = (value as PickleValue[])[0];
    expect(value).toBe(1);
  });

  it('make more than a file of its size justifies', () => {
    // Two million dictionaries, a byte each.
    expect(() => read('}'.repeat(2_000_000))).toThrow('more than 10000000 steps');
    // A thousand pairs, made into a dictionary again and again.
    const pairs = `](${'K\x01K\x02\x86'.repeat(1000)}eq\x00`;
    expect(() => read(`${pairs}${'ccollections\nOrderedDict\n(h\x00tR0'.repeat(50)}.`)).toThrow('bytes out of');
    // A text, turned into bytes again and again.
    const text = `X\x00\x10\x00\x00${'a'.repeat(4096)}q\x00`;
    expect(() => read(`${text}${'c_codecs\nencode\n(h\x00U\x06latin1tR0'.repeat(1000)}.`)).toThrow('bytes out of');
  });

  it('use texts as keys that are no names, or integers of a megabyte', () => {
    expect(() => read(`}X\x00\x20\x00\x00${'k'.repeat(8192)}K\x01s.`)).toThrow('a key of 8192 characters');
    expect(() => read(`\x8b\x00\x00\x10\x00${'\x01'.repeat(2 ** 20)}.`)).toThrow('an integer has 1048576 bytes');
    expect(() => read(`L${'9'.repeat(1_000_000)}L\n.`)).toThrow(InputError);
  });

  it('refer to data outside of it, or to extensions that a program registered', () => {
    expect(() => read('Pelsewhere\n.')).toThrow('"elsewhere"');
    expect(() => read('\x97.')).toThrow('its buffers lie outside of the file');
    expect(() => read('\x82\x05.')).toThrow('asks to import copyreg.extension 5');
  });
});

describe.skipIf(!hasShared)('the sidecar that the authors’ trainer writes', () => {
  it('is read with its NumPy arrays as plain ones', () => {
    const sidecar = readPickle(
      sharedBytes('golden', 'hippocampus', 'checkpoint', 'model_final_checkpoint.model.pkl'),
    ) as Map<string, PickleValue>;
    expect([...sidecar.keys()]).toEqual(['init', 'name', 'class', 'plans']);
    const plans = sidecar.get('plans') as unknown as Map<
      string,
      Map<number, Map<string, { data: ArrayLike<number | bigint> }>>
    >;
    const stage = plans.get('plans_per_stage')!.get(0)!;
    expect(Array.from(stage.get('patch_size')!.data, Number)).toEqual([32, 64, 64]);
  });
});
