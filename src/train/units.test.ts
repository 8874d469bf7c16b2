import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { recordedUnit } from './units.node.ts';
import { runUnits, type Unit } from './units.ts';

const scratch = mkdtempSync(join(tmpdir(), 'unetrpp-units-'));
afterAll(() => rmSync(scratch, { recursive: true }));
let folders = 0;
const fresh = () => mkdtempSync(join(scratch, `${folders++}-`));

/** A unit that makes its output of its input's text and a setting; counts its runs. */
function copying(folder: string, input: string, output: string, setting: { value: string }, stopAt?: () => boolean) {
  const [from, to] = [join(folder, input), join(folder, output)];
  const seen = { runs: 0 };
  const unit = recordedUnit({
    name: `make ${output}`,
    inputs: [from],
    outputs: [to],
    settings: () => setting.value,
    record: join(folder, 'units', `${output}.json`),
    async run() {
      seen.runs++;
      writeFileSync(to, `${readFileSync(from, 'utf8')} ${setting.value}`);
      if (stopAt?.()) throw new Error('the power is gone');
    },
  });
  return { unit, seen, text: () => readFileSync(to, 'utf8') };
}

describe('units of work', () => {
  test('run in their order, each one once; a second time nothing is done', async () => {
    const folder = fresh();
    writeFileSync(join(folder, 'a'), 'scan');
    const setting = { value: '!' };
    const [first, second] = [copying(folder, 'a', 'b', setting), copying(folder, 'b', 'c', setting)];
    const told: string[] = [];
    const units = [first.unit, second.unit];
    const listeners = {
      onBegin: (unit: Unit) => told.push(`begin ${unit.name}`),
      onDone: (unit: Unit, { number, total, skipped }: { number: number; total: number; skipped: boolean }) =>
        told.push(`${skipped ? 'skipped' : 'done'} ${unit.name} ${number}/${total}`),
    };
    await runUnits(units, listeners);
    expect(second.text()).toBe('scan ! !');
    expect(told).toEqual(['begin make b', 'done make b 1/2', 'begin make c', 'done make c 2/2']);
    told.length = 0;
    await runUnits(units, listeners);
    expect(told).toEqual(['skipped make b 1/2', 'skipped make c 2/2']);
    expect([first.seen.runs, second.seen.runs]).toEqual([1, 1]);
  });

  test('run again when an input or a setting has changed, or an output is gone, and those that need them too', async () => {
    const folder = fresh();
    writeFileSync(join(folder, 'a'), 'scan');
    const [own, other] = [{ value: '1' }, { value: '2' }];
    const [first, second] = [copying(folder, 'a', 'b', own), copying(folder, 'b', 'c', other)];
    const runs = async () => {
      await runUnits([first.unit, second.unit]);
      return [first.seen.runs, second.seen.runs];
    };
    expect(await runs()).toEqual([1, 1]);
    writeFileSync(join(folder, 'a'), 'another scan');
    expect(await runs()).toEqual([2, 2]);
    other.value = '3';
    expect(await runs()).toEqual([2, 3]);
    expect(second.text()).toBe('another scan 1 3');
    // What comes out is the same, so what follows is done.
    rmSync(join(folder, 'b'));
    expect(await runs()).toEqual([3, 3]);
  });

  test('that were killed before their end are done again, the others not', async () => {
    const folder = fresh();
    writeFileSync(join(folder, 'a'), 'scan');
    const setting = { value: '!' };
    let fails = true;
    const first = copying(folder, 'a', 'b', setting);
    const second = copying(folder, 'b', 'c', setting, () => fails);
    await expect(runUnits([first.unit, second.unit])).rejects.toThrow('the power is gone');
    // The output is there, and nobody knows whether it is whole.
    expect(existsSync(join(folder, 'c'))).toBe(true);
    expect(await second.unit.isDone()).toBe(false);
    fails = false;
    await runUnits([first.unit, second.unit]);
    expect([first.seen.runs, second.seen.runs]).toEqual([1, 2]);
    // A torn record is none.
    writeFileSync(join(folder, 'units', 'c.json'), '{"unit": "ma');
    expect(await second.unit.isDone()).toBe(false);
  });

  test('stop before the next one when they are aborted', async () => {
    const stop = new AbortController();
    const ran: string[] = [];
    const unit = (name: string): Unit => ({
      name,
      inputs: [],
      outputs: [],
      isDone: async () => false,
      async run() {
        ran.push(name);
        stop.abort(new Error('stopped'));
      },
    });
    await expect(runUnits([unit('one'), unit('two')], { signal: stop.signal })).rejects.toThrow('stopped');
    expect(ran).toEqual(['one']);
  });

  test('do not come before what they need, and do not make one file twice', async () => {
    const unit = (name: string, inputs: string[], outputs: string[]): Unit => ({
      name,
      inputs,
      outputs,
      isDone: async () => true,
      run: async () => undefined,
    });
    const late = [unit('use', ['x'], []), unit('make', [], ['x'])];
    await expect(runUnits(late)).rejects.toThrow('use comes before make, which makes x');
    await expect(runUnits([unit('one', [], ['x']), unit('two', [], ['x'])])).rejects.toThrow('one and two both make x');
  });
});
