import { describe, expect, it } from 'vitest';
import { InputError } from '../errors.ts';
import type { Tensor } from '../tensor.ts';
import { packBundle, readBundle } from './bundle.ts';

const weights = new Map<string, Tensor<'float32'>>([
  ['a', { dtype: 'float32', shape: [2], data: Float32Array.of(0.1, -3) }],
  ['variance', { dtype: 'float32', shape: [1], data: Float32Array.of(1e6) }],
]);
const description = {
  name: 'two numbers',
  description: 'No network.',
  network: { name: 'none', settings: { size: 2 } },
  labels: [
    { value: 0, name: 'background' },
    { value: 1, name: 'thing' },
  ],
  plan: { spacing: null },
  provenance: { source: 'a test', madeBy: 'a test' },
};

describe('a bundle', () => {
  it('comes back as it went in', async () => {
    const packed = await packBundle(description, weights, 'float32');
    const { manifest, weights: read } = await readBundle(packed.manifest, packed.weights, 'folder');
    expect(manifest).toMatchObject(description);
    expect([...read]).toEqual([...weights]);
  });

  it('stores 16-bit floats where they hold the value, and 32 bits where they do not', async () => {
    const packed = await packBundle(description, weights, 'float16');
    const { weights: read } = await readBundle(packed.manifest, packed.weights, 'folder');
    expect(read.get('a')!.data[0]).toBeCloseTo(0.1, 4);
    expect(read.get('a')!.data[0]).not.toBe(Math.fround(0.1));
    expect(read.get('variance')!.data[0]).toBe(1e6);
  });

  it('is refused when its weights are not those that it was written for', async () => {
    const packed = await packBundle(description, weights, 'float32');
    const changed = packed.weights.slice();
    changed[changed.length - 1] ^= 1;
    await expect(readBundle(packed.manifest, changed, 'folder')).rejects.toThrow(InputError);
    await expect(readBundle(packed.manifest, changed, 'folder')).rejects.toThrow('The weights in folder are not those');
    await expect(readBundle(packed.manifest, packed.weights.slice(1), 'folder')).rejects.toThrow(
      'size or SHA-256 differ',
    );
  });

  it('is refused when its description is none, naming the entry', async () => {
    const packed = await packBundle(description, weights, 'float32');
    const described = JSON.parse(new TextDecoder().decode(packed.manifest));
    const reading = (value: unknown) =>
      readBundle(new TextEncoder().encode(JSON.stringify(value)), packed.weights, 'folder');
    await expect(reading({ ...described, version: 2 })).rejects.toThrow(
      'folder/model.json is no model description: version',
    );
    await expect(reading({ ...described, extra: 1 })).rejects.toThrow('extra');
    await expect(reading({ ...described, labels: [] })).rejects.toThrow('labels');
    await expect(readBundle(new Uint8Array([123, 0xff]), packed.weights, 'folder')).rejects.toThrow('is no JSON text');
  });

  it('is refused when its description nests deeper than any stack goes', async () => {
    const packed = await packBundle(description, weights, 'float32');
    const deep = '['.repeat(20_000) + ']'.repeat(20_000);
    const text = new TextDecoder().decode(packed.manifest).replace('"spacing": null', `"spacing": ${deep}`);
    await expect(readBundle(new TextEncoder().encode(text), packed.weights, 'folder')).rejects.toThrow(
      'folder/model.json is no model description: it nests lists or objects more than 32 deep',
    );
  });
});
