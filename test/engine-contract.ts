/**
 * What every engine must do, run for each from a short file: plain loops, Node, WebAssembly.
 *
 * Each operator has at least one case; the expected values are the operators' own float64 definitions.
 */
import { describe, expect, it } from 'vitest';
import { fill } from '../src/cli/verify/fill.ts';
import type { Engine } from '../src/engine/engine.ts';
import { InputError } from '../src/errors.ts';
import {
  add,
  batchNormalization,
  broadcastTo,
  buildProgram,
  concatenate,
  convolution,
  divide,
  evaluate,
  greater,
  input,
  instanceNormalization,
  l2Norm,
  layerNormalization,
  leakyRelu,
  matmul,
  maximum,
  mean,
  multiply,
  operators,
  pad,
  parameter,
  reshape,
  sigmoid,
  slice,
  softmax,
  sqrt,
  subtract,
  sum,
  transpose,
  transposedConvolution,
  type Value,
} from '../src/program/index.ts';
import { elementCount, type Shape, type Tensor } from '../src/tensor.ts';

interface Case {
  readonly operator: string;
  readonly what: string;
  readonly inputs: readonly Shape[];
  readonly apply: (values: Value[]) => Value;
  /** Range of the inputs; default -1 to 1. */
  readonly range?: readonly [number, number];
}

const cases: readonly Case[] = [
  {
    operator: 'add',
    what: 'broadcast over channels',
    inputs: [
      [2, 3, 4],
      [3, 1],
    ],
    apply: ([a, b]) => add(a, b),
  },
  {
    operator: 'subtract',
    what: 'same shapes',
    inputs: [
      [2, 3],
      [2, 3],
    ],
    apply: ([a, b]) => subtract(a, b),
  },
  { operator: 'multiply', what: 'by a scalar', inputs: [[2, 3], []], apply: ([a, b]) => multiply(a, b) },
  {
    operator: 'divide',
    what: 'both sides repeated',
    inputs: [
      [2, 1, 3],
      [1, 4, 1],
    ],
    apply: ([a, b]) => divide(a, b),
    range: [0.5, 2],
  },
  { operator: 'maximum', what: 'of two', inputs: [[5], [5]], apply: ([a, b]) => maximum(a, b) },
  { operator: 'greater', what: 'than the same', inputs: [[3, 2], [2]], apply: ([a, b]) => greater(a, b) },
  { operator: 'broadcast', what: 'to more axes', inputs: [[2, 1]], apply: ([x]) => broadcastTo(x, [3, 2, 4]) },
  { operator: 'sqrt', what: 'of positive numbers', inputs: [[5]], apply: ([a]) => sqrt(a), range: [0, 4] },
  { operator: 'sigmoid', what: 'of a vector', inputs: [[5]], apply: ([a]) => sigmoid(a) },
  { operator: 'leakyRelu', what: 'with slope 0.01', inputs: [[2, 5]], apply: ([a]) => leakyRelu(a) },
  {
    operator: 'matmul',
    what: 'with a repeated batch axis',
    inputs: [
      [2, 3, 4, 5],
      [3, 5, 2],
    ],
    apply: ([a, b]) => matmul(a, b),
  },
  {
    operator: 'convolution',
    what: '3x3x3 with padding and bias',
    inputs: [[2, 3, 4, 5, 6], [4, 3, 3, 3, 3], [4]],
    apply: ([x, w, b]) => convolution(x, w, b, { pads: [1, 1, 1] }),
  },
  {
    operator: 'convolution',
    what: 'kernel = stride',
    inputs: [
      [1, 2, 4, 8, 8],
      [3, 2, 2, 4, 4],
    ],
    apply: ([x, w]) => convolution(x, w, undefined, { strides: [2, 4, 4] }),
  },
  {
    operator: 'convolution',
    what: 'two axes, dilated, with unequal pads',
    inputs: [
      [1, 2, 9, 5],
      [3, 2, 3, 3],
    ],
    apply: ([x, w]) => convolution(x, w, undefined, { dilations: [3, 1], padsBegin: [4, 1], padsEnd: [2, 1] }),
  },
  {
    operator: 'convolution',
    what: 'one group a channel',
    inputs: [
      [1, 4, 5, 5],
      [4, 1, 3, 3],
    ],
    apply: ([x, w]) => convolution(x, w, undefined, { groups: 4, pads: [1, 1] }),
  },
  {
    operator: 'transposedConvolution',
    what: 'kernel = stride',
    inputs: [
      [1, 3, 2, 3, 2],
      [3, 2, 2, 4, 4],
    ],
    apply: ([x, w]) => transposedConvolution(x, w, undefined, { strides: [2, 4, 4] }),
  },
  {
    operator: 'transposedConvolution',
    what: 'overlapping windows, pads and bias',
    inputs: [[2, 3, 4, 3], [3, 2, 3, 3], [2]],
    apply: ([x, w, b]) => transposedConvolution(x, w, b, { strides: [2, 2], pads: [1, 1] }),
  },
  {
    operator: 'layerNormalization',
    what: 'over the last axis',
    inputs: [[2, 3, 8], [8], [8]],
    apply: ([x, s, b]) => layerNormalization(x, s, b),
  },
  {
    operator: 'instanceNormalization',
    what: 'over three spatial axes',
    inputs: [[2, 3, 4, 5, 6], [3], [3]],
    apply: ([x, s, b]) => instanceNormalization(x, s, b),
  },
  {
    operator: 'instanceNormalization',
    what: 'over a row of two million',
    inputs: [[1, 1, 33, 256, 256], [1], [1]],
    apply: ([x, s, b]) => instanceNormalization(x, s, b),
    range: [0, 2],
  },
  {
    operator: 'batchNormalization',
    what: 'with given statistics',
    inputs: [[2, 3, 4, 5], [3], [3], [3], [3]],
    apply: ([x, s, b, m, v]) => batchNormalization(x, s, b, m, v),
    range: [0.5, 2],
  },
  { operator: 'softmax', what: 'over the last axis', inputs: [[2, 3, 7]], apply: ([x]) => softmax(x, -1) },
  { operator: 'softmax', what: 'over channels', inputs: [[2, 3, 4, 2]], apply: ([x]) => softmax(x, 1) },
  { operator: 'sum', what: 'over two axes', inputs: [[2, 3, 4]], apply: ([x]) => sum(x, [0, 2]) },
  { operator: 'mean', what: 'over the last axis', inputs: [[2, 3, 4]], apply: ([x]) => mean(x, [-1]) },
  { operator: 'l2Norm', what: 'over the last axis', inputs: [[2, 3, 4]], apply: ([x]) => l2Norm(x, [-1]) },
  { operator: 'reshape', what: 'to a matrix', inputs: [[2, 3, 4]], apply: ([x]) => reshape(x, [6, 4]) },
  {
    operator: 'transpose',
    what: 'of eight axes',
    inputs: [[2, 1, 3, 2, 1, 2, 2, 3]],
    apply: ([x]) => transpose(x, [7, 0, 2, 4, 6, 1, 3, 5]),
  },
  {
    operator: 'slice',
    what: 'with steps forward and back',
    inputs: [[5, 6]],
    apply: ([x]) => slice(x, { 0: [4, -1, -1], 1: [1, 6, 2] }),
  },
  {
    operator: 'concatenate',
    what: 'along channels',
    inputs: [
      [2, 3, 2],
      [2, 1, 2],
    ],
    apply: ([a, b]) => concatenate([a, b], 1),
  },
  { operator: 'pad', what: 'unequally', inputs: [[2, 3]], apply: ([x]) => pad(x, [0, 1], [2, 0]) },
];

function filled(name: string, shape: Shape, [lo, hi]: readonly [number, number]): Tensor<'float32'> {
  return { dtype: 'float32', shape, data: fill(name, elementCount(shape), lo, hi) };
}

/** @param skipped case names (`operator: what`) with the reason why this engine cannot run them */
export function describeEngine(engine: Engine, skipped: Readonly<Record<string, string>> = {}): void {
  describe(`${engine.name} keeps the contract`, () => {
    it('has a case for every operator', () => {
      expect(new Set(cases.map((one) => one.operator))).toEqual(new Set(operators.map(({ name }) => name)));
    });

    for (const one of cases) {
      const name = `${one.operator}: ${one.what}`;
      const reason = skipped[name];
      it.skipIf(reason !== undefined)(reason ? `${name} (skipped: ${reason})` : name, async () => {
        const range = one.range ?? [-1, 1];
        // The first operand is an input; the others are parameters, as weights are in networks.
        const program = buildProgram('case', () => {
          const values = one.inputs.map((shape, index) =>
            index === 0 ? input('x', shape) : parameter(`p${index}`, shape, { kind: 'constant', value: 0 }),
          );
          return { y: one.apply(values) };
        });
        const feeds = new Map([['x', filled('x', one.inputs[0], range)]]);
        const weights = new Map(program.parameters.map(({ name, shape }) => [name, filled(name, shape, range)]));
        const expected = evaluate(program, new Map([...feeds, ...weights])).get('y')!;
        const executable = await engine.compile(program, weights);
        const got = (await executable.run(feeds)).get('y')!;
        expect(got.shape).toEqual(expected.shape);
        // Asserting a million times over is slow: look for the worst one first.
        let worst = 0;
        for (let i = 0; i < expected.data.length; i++) {
          if (!(Math.abs(got.data[i] - expected.data[i]) <= Math.abs(got.data[worst] - expected.data[worst])))
            worst = i;
        }
        expect(got.data[worst]).toBeCloseTo(expected.data[worst], 5);
        await executable.dispose();
      });
    }

    const doubling = () =>
      buildProgram('doubling', () => {
        const x = input('x', [2]);
        return { y: add(x, x), z: multiply(x, x) };
      });
    const pair = (a: number, b: number) =>
      new Map<string, Tensor>([['x', { dtype: 'float32', shape: [2], data: Float32Array.of(a, b) }]]);

    it('runs again with other inputs, into the same buffers', async () => {
      const executable = await engine.compile(doubling(), new Map());
      expect([...(await executable.run(pair(1, 2))).get('y')!.data]).toEqual([2, 4]);
      const second = await executable.run(pair(3, 4));
      expect([...second.get('y')!.data]).toEqual([6, 8]);
      expect([...second.get('z')!.data]).toEqual([9, 16]);
      await executable.dispose();
    });

    it('names an input that is missing, unknown or of another shape', async () => {
      const executable = await engine.compile(doubling(), new Map());
      await expect(executable.run(new Map())).rejects.toThrow("input 'x' of program doubling is missing");
      await expect(executable.run(new Map([...pair(1, 2), ['w', pair(1, 2).get('x')!]]))).rejects.toThrow(
        "no input 'w'",
      );
      const three: Tensor = { dtype: 'float32', shape: [3], data: new Float32Array(3) };
      await expect(executable.run(new Map([['x', three]]))).rejects.toThrow('[3], declared float32 [2]');
      await executable.dispose();
    });

    it('says what is missing when a device is not there', async () => {
      const missing = (await engine.devices()).find(({ available }) => !available);
      const device = missing?.device ?? 'webgpu';
      const compiling = engine.compile(doubling(), new Map(), { device });
      await expect(compiling).rejects.toThrow(InputError);
      await expect(compiling).rejects.toThrow(`'${device}'`);
    });

    it('lists at least one device, the best first', async () => {
      const reports = await engine.devices();
      expect(reports.some(({ available }) => available)).toBe(true);
      for (const { detail } of reports) expect(detail.length).toBeGreaterThan(5);
    });
  });
}
