import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dict, drawLegacy, drawTensor, drawZip, floats, latin1, str } from '../../test/drawnCheckpoint.ts';
import { hasShared, sharedBytes, sharedJson } from '../../test/shared.ts';
import { InputError } from '../errors.ts';
import { toFloat32 } from '../tensor.ts';
import { CheckpointError } from './checkpointError.ts';
import { type CheckpointTensor, readCheckpoint, stateDict } from './torch.ts';

interface ExpectedFile {
  readonly file: string;
  readonly expect: 'load' | 'refuse' | 'load-or-refuse';
  readonly kind?: string;
  readonly container?: string;
  readonly pickle_protocol?: number;
  readonly scalars?: Record<string, unknown>;
  readonly arrays?: Record<string, number[]>;
  readonly tensors?: readonly {
    readonly path: string;
    readonly shape: number[];
    readonly dtype: string;
    readonly stride: number[];
    readonly offset: number;
    readonly sum: number | string;
    readonly first: number | string | boolean;
    readonly last: number | string | boolean;
  }[];
}

const files = hasShared ? sharedJson<{ files: ExpectedFile[] }>('golden', 'checkpoints', 'expected.json').files : [];
const bytesOf = (file: string) => sharedBytes('golden', 'checkpoints', file);

/** Values in C order as numbers; int64 beyond 2^53 keeps its bigint in first and last. */
function valuesOf(tensor: CheckpointTensor): ArrayLike<number | bigint> {
  const read = tensor.read();
  expect(read.shape).toEqual(tensor.shape);
  return read.dtype === 'float16' || read.dtype === 'bfloat16' ? toFloat32(read).data : read.data;
}

const asNumber = (value: number | string | boolean) =>
  typeof value === 'string' ? Number(value.replace('inf', 'Infinity')) : Number(value);

/** The value at a slash-joined path. */
function valueAt(root: unknown, path: string): unknown {
  return path
    .slice(1)
    .split('/')
    .reduce<unknown>((value, key) => {
      if (value instanceof Map) return value.has(key) ? value.get(key) : value.get(Number(key));
      return (value as unknown[])[Number(key)];
    }, root);
}

describe.skipIf(!hasShared)('every reference checkpoint', () => {
  for (const expected of files) {
    it(`${expected.file}: ${expected.expect}`, () => {
      if (expected.expect === 'refuse') {
        const reading = () => readCheckpoint(bytesOf(expected.file), { name: expected.file });
        expect(reading).toThrow(CheckpointError);
        try {
          reading();
        } catch (error) {
          expect((error as CheckpointError).kind).toBe(expected.kind);
          expect((error as CheckpointError).message).toContain(expected.file);
        }
        return;
      }
      const checkpoint = readCheckpoint(bytesOf(expected.file), { name: expected.file });
      expect(checkpoint.container).toBe(expected.container === 'plain pickle' ? 'pickle' : expected.container);
      expect(checkpoint.pickleProtocol).toBe(expected.pickle_protocol);
      expect(checkpoint.tensors.map(({ path }) => path)).toEqual((expected.tensors ?? []).map(({ path }) => path));
      expected.tensors?.forEach((wanted, index) => {
        const tensor = checkpoint.tensors[index];
        const { shape, dtype, stride, offset } = tensor;
        expect({ shape, dtype, stride, offset }).toEqual({
          shape: wanted.shape,
          dtype: wanted.dtype,
          stride: wanted.stride,
          offset: wanted.offset,
        });
        const values = valuesOf(tensor);
        let sum = 0;
        for (let i = 0; i < values.length; i++) sum += Number(values[i]);
        if (Number.isNaN(asNumber(wanted.sum))) expect(sum, wanted.path).toBeNaN();
        else expect(Math.abs(sum - asNumber(wanted.sum)), wanted.path).toBeLessThan(1e-9 * Math.max(1, Math.abs(sum)));
        if (values.length === 0) return;
        expect(Number(values[0]), wanted.path).toBe(asNumber(wanted.first));
        expect(Number(values[values.length - 1]), wanted.path).toBe(asNumber(wanted.last));
      });
      for (const [path, value] of Object.entries(expected.scalars ?? {}))
        expect(valueAt(checkpoint.root, path)).toBe(value);
      for (const [path, value] of Object.entries(expected.arrays ?? {})) {
        expect([...(valueAt(checkpoint.root, path) as { data: number[] }).data].map(Number)).toEqual(value);
      }
    });
  }

  it('keeps integers beyond 2^53, and the bits of special floats', () => {
    const { tensors } = readCheckpoint(bytesOf('zip-dtypes.pt'));
    const int64 = tensors.find(({ dtype }) => dtype === 'int64')!.read().data as BigInt64Array;
    expect([...int64]).toContain(2n ** 53n + 1n);
    const special = tensors.find(({ path }) => path.includes('special'))!.read().data as Float32Array;
    expect(special[0]).toBe(Infinity);
    expect([...special].some((value) => Object.is(value, -0))).toBe(true);
  });

  it('says which tensors are one storage', () => {
    for (const file of ['zip-shared.pt', 'legacy-shared.pt']) {
      const { tensors } = readCheckpoint(bytesOf(file));
      const aliases = tensors.filter(({ aliasOf }) => aliasOf !== undefined);
      expect(aliases.map(({ path, aliasOf }) => [path, aliasOf])).toEqual([
        ['/epa_block.F.weight', '/epa_block.E.weight'],
      ]);
    }
  });

  it('reads tensors without copying them where they lie in order', () => {
    const bytes = bytesOf('model_final_checkpoint.model');
    const { tensors } = readCheckpoint(bytes);
    const aligned = tensors.filter((tensor) => tensor.read().data.buffer === bytes.buffer);
    expect(aligned.length).toBe(tensors.length);
  });

  it('finds the weights under what trainers call them, without the prefix of parallel training', () => {
    expect([...stateDict(readCheckpoint(bytesOf('zip-module-prefix-parameters.pt'))).keys()].join()).not.toContain(
      'module.',
    );
    expect(stateDict(readCheckpoint(bytesOf('model_final_checkpoint.model'))).size).toBeGreaterThan(200);
    const sidecar = readCheckpoint(bytesOf('model_final_checkpoint.model.pkl'));
    expect(() => stateDict(sidecar, 'sidecar')).toThrow(
      'sidecar holds no dictionary of weights; its keys are: init, name, class, plans',
    );
  });

  it('reads the tensors beside a class that is not allowed, when asked, and constructs nothing of it', () => {
    const { tensors } = readCheckpoint(bytesOf('refuse-whole-module.pt'), { tensorsOnly: true });
    expect(tensors.every((tensor) => tensor.read().data.length > 0)).toBe(true);
    expect(() => readCheckpoint(bytesOf('refuse-whole-module.pt'))).toThrow('torch.nn.modules.container.Sequential');
  });
});

const valuesAt = (bytes: Uint8Array, index = 0) => [
  ...(readCheckpoint(bytes).tensors[index].read().data as Float32Array),
];

describe('a drawn checkpoint', () => {
  const square = { numel: 4, shape: [2, 2], stride: [2, 1] };
  const content = { 0: floats(1, 2, 3, 4) };

  it('reads views of one storage: whole, transposed, one row, one number thrice', () => {
    const object = dict({
      whole: drawTensor(square),
      transposed: drawTensor({ ...square, stride: [1, 2] }),
      row: drawTensor({ numel: 4, shape: [2], stride: [1], offset: 2 }),
      thrice: drawTensor({ numel: 4, shape: [3], stride: [0], offset: 1 }),
    });
    const legacy = drawLegacy(object, [['0', content[0], 4]]);
    for (const bytes of [drawZip(object, content), legacy]) {
      const { tensors } = readCheckpoint(bytes);
      expect(tensors.map(({ path }) => path)).toEqual(['/whole', '/transposed', '/row', '/thrice']);
      expect(tensors.map((tensor) => [...tensor.read().data])).toEqual([
        [1, 2, 3, 4],
        [1, 3, 2, 4],
        [3, 4],
        [2, 2, 2],
      ]);
    }
  });

  it('shares a storage between its tensors wherever its bytes lie, also in a Node Buffer at an odd place', () => {
    const bytes = drawLegacy(dict({ a: drawTensor(square), b: drawTensor(square) }), [['0', content[0], 4]]);
    for (let shift = 0; shift < 4; shift++) {
      const buffer = Buffer.alloc(bytes.length + shift);
      buffer.set(bytes, shift);
      const { tensors } = readCheckpoint(buffer.subarray(shift));
      expect([...tensors[0].read().data]).toEqual([1, 2, 3, 4]);
      expect(tensors[1].read().data.buffer).toBe(tensors[0].read().data.buffer);
      expect(tensors[1].aliasOf).toBe('/a');
    }
  });

  it('turns the bytes of a zip from a big-endian machine; the legacy container is little-endian on every machine', () => {
    const object = dict({ a: drawTensor(square) });
    const turned = content[0].slice().reverse(); // 4, 3, 2, 1, each high byte first
    expect(valuesAt(drawZip(object, { 0: turned }, 'big'))).toEqual([4, 3, 2, 1]);
    expect(valuesAt(drawLegacy(object, [['0', content[0], 4]], false))).toEqual([1, 2, 3, 4]);
    expect(() => readCheckpoint(drawZip(object, content, 'middle'))).toThrow('neither "little" nor "big"');
  });

  it('reads a part of a storage, as PyTorch before 0.4 wrote it', () => {
    const part = `(${str('7')}K\x01K\x02t`; // two elements from the second
    const object = dict({ a: drawTensor({ numel: 4, shape: [2], stride: [1], part }), b: drawTensor(square) });
    const bytes = drawLegacy(object, [['0', content[0], 4]]);
    expect(valuesAt(bytes)).toEqual([2, 3]);
    expect(valuesAt(bytes, 1)).toEqual([1, 2, 3, 4]);
  });

  it('has the bytes that its checksums were made of', () => {
    const bytes = drawZip(dict({ a: drawTensor(square) }), content);
    const at = bytes.findIndex((_, i) => content[0].every((byte, k) => bytes[i + k] === byte));
    bytes[at] ^= 1;
    expect(() => readCheckpoint(bytes, { name: 'x.pt' }).tensors[0].read()).toThrow(
      'x.pt is damaged: the checksum of the entry "r/data/0" is wrong',
    );
  });
});

describe('a drawn checkpoint is refused, before anything is allocated, when', () => {
  const refuse = (bytes: Uint8Array, kind: string, message: RegExp) => {
    expect(() => readCheckpoint(bytes, { name: 'x.pt' })).toThrow(message);
    try {
      readCheckpoint(bytes, { name: 'x.pt' });
    } catch (error) {
      expect((error as CheckpointError).kind).toBe(kind);
    }
  };
  const one = { 0: floats(1) };

  it('a tensor expands one number to 2^40, alone or as a thousand smaller ones', () => {
    const large = drawTensor({ numel: 1, shape: [2 ** 20, 2 ** 20], stride: [0, 0] });
    refuse(
      drawZip(dict({ a: large }), one),
      'unsupported',
      /"\/a" of shape \[1048576, 1048576\].*more than 1677\d+ bytes/,
    );
    const many = Array.from({ length: 1000 }, (_, i) => [
      `t${i}`,
      drawTensor({ numel: 1, shape: [65536], stride: [0] }),
    ]);
    refuse(drawZip(dict(Object.fromEntries(many)), one), 'unsupported', /its strided tensors take more than/);
  });

  it('a tensor reaches beyond its storage, though only after its shape has grown', () => {
    const beyond = drawTensor({ numel: 1, shape: [2], stride: [1] });
    refuse(drawZip(dict({ a: beyond }), one), 'damaged', /reaches element 2 of storage "0", which has 1/);
    // The shape is a list, remembered as 9, and gets a second axis once the tensor is made.
    const grown = `${drawTensor({ numel: 1, shape: [1], stride: [1], shapeCode: ']q\x09K\x01a' })}h\x09M\xff\xffa0`;
    const { tensors } = readCheckpoint(drawZip(dict({ a: grown }), one));
    expect(tensors[0].shape).toEqual([1]);
  });

  it('a storage is shorter than its tensors say, in either container', () => {
    const object = dict({ a: drawTensor({ numel: 2 ** 40, shape: [2 ** 40], stride: [1] }) });
    refuse(drawZip(object, one), 'truncated', /storage "0" has 4 bytes, but 1099511627776 elements of float32 need/);
    refuse(drawLegacy(object, [['0', one[0], 2 ** 40]]), 'truncated', /4 bytes are left for storage "0"/);
    refuse(drawLegacy(object, [['0', one[0], -1]]), 'truncated', /x\.pt is cut short/);
  });

  it('one storage is said to be of two types', () => {
    const object = dict({
      a: drawTensor({ numel: 1, shape: [1], stride: [1] }),
      b: drawTensor({ numel: 1, shape: [1], stride: [1], type: 'IntStorage' }),
    });
    refuse(drawZip(object, one), 'damaged', /said to be float32 and int32/);
  });

  it('sixty lists that each hold the last one twice make 2^60 paths', () => {
    const lists = Array.from({ length: 60 }, (_, i) => `h${String.fromCharCode(i)}h${String.fromCharCode(i)}\x86\x94`);
    refuse(latin1(`\x80\x04]\x94${lists.join('')}.`), 'unsupported', /more than 2000000 values/);
  });

  it('it is a text that happens to begin like a pickle', () => {
    refuse(latin1('N.B. this is a letter.\n'), 'not-a-checkpoint', /x\.pt is not a checkpoint/);
  });

  it('what it skipped tells the size of a storage before the one that is needed', () => {
    const object = dict({
      a: 'ctorch\nWeirdStorage\n',
      b: drawTensor({ numel: 1, shape: [1], stride: [1], key: 'b' }),
    });
    const bytes = (order: string[]) =>
      drawLegacy(
        object,
        order.map((key) => [key, one[0], 1]),
      );
    const read = (order: string[]) => readCheckpoint(bytes(order), { name: 'x.pt', tensorsOnly: true }).tensors;
    expect([...read(['b', 'a'])[0].read().data]).toEqual([1]);
    expect(() => read(['a', 'b'])).toThrow(
      'storage "b" lies behind storage "a", of whose type and size no tensor tells',
    );
  });
});

describe('the state dictionary', () => {
  const tensor = drawTensor({ numel: 1, shape: [1], stride: [1] });
  const open = (object: string) => readCheckpoint(drawZip(object, { 0: floats(1) }));

  it('is the root, or lies under a key of the trainers, and holds nothing from further below', () => {
    expect([...stateDict(open(dict({ 'module.w': tensor, v: tensor }))).keys()]).toEqual(['w', 'v']);
    for (const key of ['state_dict', 'model', 'network_weights', 'model_state_dict']) {
      const state = dict({ w: tensor, extra: dict({ deep: tensor }), count: 'K\x07' });
      const found = stateDict(open(dict({ other: dict({ a: tensor }), [key]: state })));
      expect([...found].map(([name, { path }]) => [name, path])).toEqual([['w', `/${key}/w`]]);
    }
  });

  it('may not hold one name with and without "module."', () => {
    expect(() => stateDict(open(dict({ 'module.w': tensor, w: tensor })), 'x.pt')).toThrow(
      'x.pt holds the weights "w" twice',
    );
  });
});

describe.skipIf(!hasShared)('damaged files', () => {
  const small = [
    'zip-views.pt',
    'legacy-views.pt',
    'zip-nested-numpy-scalars.pt',
    'legacy-dtypes.pt',
    'zip-deflated.pt',
    'model_final_checkpoint.model.pkl',
  ];

  it('give a sentence, never another error, and never more data than the file justifies', () => {
    const contents = hasShared ? small.map(bytesOf) : [];
    const damage = fc.record({
      file: fc.nat(small.length - 1),
      flips: fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 6 }),
      cut: fc.option(fc.nat()),
      splice: fc.option(fc.tuple(fc.nat(), fc.nat(), fc.integer({ min: 1, max: 64 }))),
    });
    fc.assert(
      fc.property(damage, ({ file, flips, cut, splice }) => {
        let bytes = contents[file].slice();
        for (const [at, value] of flips) bytes[at % bytes.length] = value;
        if (splice) {
          const [from, to, count] = splice;
          bytes.copyWithin(to % bytes.length, from % bytes.length, (from % bytes.length) + count);
        }
        if (cut !== null) bytes = bytes.slice(0, cut % bytes.length);
        try {
          const { tensors } = readCheckpoint(bytes);
          for (const tensor of tensors) tensor.read();
        } catch (error) {
          if (!(error instanceof InputError)) throw error;
        }
      }),
      { numRuns: 600 },
    );
  });
});
