/**
 * What every engine must do, run for each from a short file: plain loops, Node, WebAssembly.
 *
 * Each operator has at least one case (operator-cases.ts).
 */
import { describe, expect, it } from 'vitest';
import type { Engine } from '../src/engine/engine.ts';
import { InputError } from '../src/errors.ts';
import { add, buildProgram, input, multiply, operators } from '../src/program/index.ts';
import type { Tensor } from '../src/tensor.ts';
import { caseName, operatorCase, operatorCases, worstAt } from './operator-cases.ts';

/** @param skipped case names (`operator: what`) with the reason why this engine cannot run them */
export function describeEngine(engine: Engine, skipped: Readonly<Record<string, string>> = {}): void {
  describe(`${engine.name} keeps the contract`, () => {
    it('has a case for every operator', () => {
      expect(new Set(operatorCases.map((one) => one.operator))).toEqual(new Set(operators.map(({ name }) => name)));
    });

    for (const one of operatorCases) {
      const name = caseName(one);
      const reason = skipped[name];
      it.skipIf(reason !== undefined)(reason ? `${name} (skipped: ${reason})` : name, async () => {
        const { program, feeds, weights, expected } = operatorCase(one);
        const executable = await engine.compile(program, weights);
        const got = (await executable.run(feeds)).get('y')!;
        expect(got.shape).toEqual(expected.shape);
        const worst = worstAt(got.data, expected.data);
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
