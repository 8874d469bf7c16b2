import { describe, expect, it } from 'vitest';
import { describeEngine } from '../../test/engine-contract.ts';
import { fill } from '../cli/verify/fill.ts';
import { unetrpp, unetrppPresets } from '../nets/index.ts';
import { elementCount, type Tensor } from '../tensor.ts';
import type { CompileOptions } from './engine.ts';
import { nodeEngine } from './node.ts';

describeEngine(nodeEngine);

describe('options of the Node engine', () => {
  const settings = {
    ...unetrppPresets.synapse,
    classes: 2,
    patch: [16, 32, 32],
    dims: [16, 16, 16, 16],
    heads: 2,
    depths: [1, 1, 1, 1],
    decoderDepths: [1, 1, 1],
  };
  const program = unetrpp(settings);
  const filled = (name: string, shape: readonly number[], lo: number, hi: number): Tensor => ({
    dtype: 'float32',
    shape,
    data: fill(name, elementCount(shape), lo, hi),
  });
  const weights = new Map(
    program.parameters.map(({ name, shape }) => [
      name,
      name.endsWith('running_var') ? filled(name, shape, 0.5, 2) : filled(name, shape, -0.2, 0.2),
    ]),
  );
  const feeds = new Map([['image', filled('image', program.inputs[0].shape, -1, 1)]]);

  const run = async (options: CompileOptions) => {
    const executable = await nodeEngine.compile(program, weights, options);
    const out = (await executable.run(feeds)).get('out1')!.data.slice();
    await executable.dispose();
    return out;
  };

  it('gives the same values at every level of graph optimization, with memory kept or not, on one thread or two', async () => {
    const expected = await run({});
    const others: CompileOptions[] = [
      { optimization: 'none' },
      { optimization: 'basic' },
      { optimization: 'extended' },
      { memoryArena: true, spinning: true },
      { threads: 1 },
      { threads: 2 },
    ];
    for (const options of others) {
      const got = await run(options);
      const worst = got.reduce((so, value, i) => Math.max(so, Math.abs(value - expected[i])), 0);
      expect(worst, JSON.stringify(options)).toBeLessThan(2e-4);
    }
  });
});
