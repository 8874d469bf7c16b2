import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
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
          for (const tensor of tensors) {
            const elements = tensor.shape.reduce((so, length) => so * length, 1);
            if (elements <= 1e6) tensor.read();
          }
        } catch (error) {
          if (!(error instanceof InputError)) throw error;
        }
      }),
      { numRuns: 600 },
    );
  });
});
