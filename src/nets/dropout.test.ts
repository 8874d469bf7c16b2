import { describe, expect, it } from 'vitest';
import { randomStream, uniform } from '../dataset/index.ts';
import type { Engine } from '../engine/engine.ts';
import { nodeEngine } from '../engine/node.ts';
import { plainEngine } from '../engine/plain.ts';
import { webEngine } from '../engine/web.ts';
import {
  buildProgram,
  differentiate,
  evaluate,
  input,
  multiply,
  type Program,
  parameter,
  scope,
  sum,
  type Value,
} from '../program/index.ts';
import { elementCount, type Shape, type Tensor } from '../tensor.ts';
import { channelDropoutMask, type DropoutMask, dropoutMask, randomInputs, randomSteps } from './dropout.ts';
import { unetrpp, unetrppPresets } from './index.ts';

type Masking = (x: Value, probability: number) => DropoutMask;

/** `kept` and `scale` of a mask over x of a shape; x itself is not read, so only the keys are inputs. */
const maskProgram = (mask: Masking, shape: Shape, probability: number): Program =>
  buildProgram('mask', () => {
    const { kept, scale } = scope('drop', () =>
      mask(parameter('x', shape, { kind: 'constant', value: 0 }), probability),
    );
    return { kept, scale: multiply(scale, parameter('one', [1], { kind: 'constant', value: 1 })) };
  });

/** Keys from a seed: whole numbers below `randomSteps`. */
function keysOf(program: Program, seed: number): Map<string, Tensor<'float32'>> {
  const stream = randomStream(seed);
  return new Map(
    randomInputs(program).map(({ name, shape }) => [
      name,
      {
        dtype: 'float32',
        shape,
        data: Float32Array.from({ length: elementCount(shape) }, () => Math.floor(uniform(stream, 0, randomSteps))),
      },
    ]),
  );
}

const one: [string, Tensor] = ['one', { dtype: 'float32', shape: [1], data: Float32Array.of(1) }];

function masksOf(mask: Masking, shape: Shape, probability: number, seed: number) {
  const program = maskProgram(mask, shape, probability);
  const found = evaluate(program, new Map([...keysOf(program, seed), one]));
  return { kept: found.get('kept')!.data, scale: found.get('scale')!.data[0], shape: found.get('kept')!.shape };
}

const total = (values: ArrayLike<number>) => Array.from(values).reduce((so, value) => so + value, 0);

describe('a dropout mask', () => {
  it.each([0.1, 0.15, 0.5])('keeps its part of the elements: 1 - %f', (probability) => {
    const { kept, scale, shape } = masksOf(dropoutMask, [4, 8, 64, 64], probability, 1);
    expect(shape).toEqual([4, 8, 64, 64]);
    expect(new Set(kept)).toEqual(new Set([0, 1]));
    const exact = Math.round(probability * randomSteps) / randomSteps;
    // Elements of a column share a key, so the deviation is that of columns at worst: 2048 of them, five deviations.
    const deviation = Math.sqrt((exact * (1 - exact)) / 2048);
    expect(Math.abs(total(kept) / kept.length - (1 - exact))).toBeLessThan(5 * deviation);
    expect(scale).toBeCloseTo(1 / (1 - exact), 12);
  });

  it('of whole channels keeps its part of them, and is one number a channel', () => {
    const { kept, shape } = masksOf(channelDropoutMask, [50, 100, 4, 4, 4], 0.1, 2);
    expect(shape).toEqual([50, 100, 1, 1, 1]);
    expect(Math.abs(total(kept) / kept.length - 0.9)).toBeLessThan(5 * Math.sqrt(0.09 / 5000));
  });

  it('has elements that are independent in pairs, within a column and across columns', () => {
    // One column has 4096 keys: each of its rows falls in half of them, and any two rows in a quarter.
    const rows = 12;
    const columns = 4096;
    const { kept } = masksOf(dropoutMask, [rows, columns], 0.5, 3);
    const row = (i: number) => kept.subarray(i * columns, (i + 1) * columns);
    let [worst, sum, pairs] = [0, 0, 0];
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < i; j++) {
        const statistic = chiSquare(row(i), row(j));
        worst = Math.max(worst, statistic);
        sum += statistic;
        pairs++;
      }
      // The next column's key has nothing to do with this one's.
      expect(chiSquare(row(i).subarray(1), row(i).subarray(0, columns - 1))).toBeLessThan(15);
    }
    // Chi-square of one degree of freedom: mean 1, deviation sqrt 2; above 15 once in ten thousand times.
    expect(worst).toBeLessThan(15);
    expect(Math.abs(sum / pairs - 1)).toBeLessThan(5 * Math.sqrt(2 / pairs));
  });

  it('is of other elements with other keys', () => {
    const masks = [4, 5].map((seed) => masksOf(dropoutMask, [16, 64], 0.5, seed).kept);
    const same = masks[0].filter((value, index) => value === masks[1][index]).length;
    expect(same / masks[0].length).toBeGreaterThan(0.4);
    expect(same / masks[0].length).toBeLessThan(0.6);
  });

  it('drops nothing at probability 0 and scales by 1', () => {
    const { kept, scale } = masksOf(dropoutMask, [8, 64], 0, 6);
    expect(new Set(kept)).toEqual(new Set([1]));
    expect(scale).toBe(1);
  });
});

/** Of two lists of 0 and 1: how far their 2x2 table is from that of independent ones with even odds. */
function chiSquare(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const table = [0, 0, 0, 0];
  for (let i = 0; i < a.length; i++) table[2 * a[i] + b[i]]++;
  const [rest, onlyB, onlyA, both] = table;
  const difference = both * rest - onlyA * onlyB;
  return (a.length * difference ** 2) / ((both + onlyA) * (both + onlyB) * (rest + onlyA) * (rest + onlyB));
}

describe('the same keys', () => {
  const shape = [2, 3, 37, 29];
  // 37 rows take other addresses, and other sums, than a power of two would.
  const engines: readonly Engine[] = [nodeEngine, webEngine];
  it.each(engines.map((engine) => [engine.name, engine] as const))(
    'give the same bits in plain loops and in %s',
    async (_, engine) => {
      for (const [mask, of] of [
        [dropoutMask, shape],
        [channelDropoutMask, [4, 64, 2, 2, 2]],
      ] as const) {
        const program = maskProgram(mask, of, 0.15);
        const keys = keysOf(program, 9);
        const weights = new Map([one]);
        const masks: Float32Array[] = [];
        for (const each of [plainEngine, engine]) {
          const executable = await each.compile(program, weights);
          masks.push((await executable.run(keys)).get('kept')!.data.slice());
          await executable.dispose();
        }
        expect(masks[1]).toEqual(masks[0]);
        expect(new Set(masks[0])).toEqual(new Set([0, 1]));
      }
    },
  );
});

describe('a gradient', () => {
  it('flows through kept elements alone, scaled as they are', () => {
    const program = buildProgram('dropped', () => {
      const x = parameter('x', [6, 8], { kind: 'constant', value: 0 });
      const { kept, scale } = scope('drop', () => dropoutMask(x, 0.5));
      const y = multiply(multiply(x, kept), scale);
      return { kept, loss: sum(multiply(y, input('cotangent', [6, 8])), [0, 1]) };
    });
    const values: Tensor = {
      dtype: 'float32',
      shape: [6, 8],
      data: Float32Array.from({ length: 48 }, (_, i) => i + 1),
    };
    const step = differentiate(program, 'loss');
    const feeds = new Map<string, Tensor>([...keysOf(step, 11), ['x', values], ['cotangent', values]]);
    const found = evaluate(step, feeds);
    const kept = found.get('kept')!.data;
    // A half: kept elements count double.
    expect([...found.get('gradient.x')!.data]).toEqual(Array.from(kept, (one, index) => one * 2 * (index + 1)));
    expect(new Set(kept)).toEqual(new Set([0, 1]));
  });
});

describe('the inputs of a network in training that are to be drawn', () => {
  it('are two a block of attention, and one a block for its channels, each found', () => {
    const settings = unetrppPresets.synapse;
    const network = unetrpp(settings, { training: true });
    const names = randomInputs(network).map(({ name }) => name);
    const blocks = [...settings.depths, ...settings.decoderDepths].reduce((so, depth) => so + depth, 0);
    expect(new Set(names).size).toBe(names.length);
    expect(names.filter((name) => name.includes('attn_drop_2'))).toHaveLength(blocks);
    expect(names.filter((name) => /attn_drop$/.test(name))).toHaveLength(blocks);
    expect(names).toHaveLength(3 * blocks);
    // All inputs but the image.
    expect(network.inputs.map(({ name }) => name).filter((name) => !names.includes(name))).toEqual(['image']);
  });

  it('are none where nothing is dropped', () => {
    for (const training of [false, 'withoutDropout'] as const) {
      expect(randomInputs(unetrpp(unetrppPresets.brats, { training }))).toEqual([]);
    }
  });
});
