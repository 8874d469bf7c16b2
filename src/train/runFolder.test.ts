import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { drawnRun, drawnSettings, drawnSplit } from '../../test/drawnRun.ts';
import { beginning } from './run.ts';
import { keptRecords, openRunFolder } from './runFolder.node.ts';

let run: string;
beforeEach(() => {
  run = join(mkdtempSync(join(tmpdir(), 'unetrpp-folder-')), 'run');
});
afterEach(() => rmSync(join(run, '..'), { recursive: true }));

const file = (name: string) => join(run, name);

describe('the folder of a run', () => {
  test('holds the settings, complete', async () => {
    await openRunFolder(run, drawnSettings, drawnSplit);
    expect(JSON.parse(readFileSync(file('config.json'), 'utf8'))).toEqual(drawnSettings);
  });

  test('is refused for other settings, even before the first checkpoint', async () => {
    await openRunFolder(run, drawnSettings, drawnSplit);
    await expect(openRunFolder(run, { ...drawnSettings, batch: 3 }, drawnSplit)).rejects.toThrow(
      /batch is 2 there and 3 here/,
    );
    const dataset = { ...drawnSettings.dataset, sha256: '1'.repeat(64) };
    await expect(openRunFolder(run, { ...drawnSettings, dataset }, drawnSplit)).rejects.toThrow(
      /dataset\.sha256 is "000/,
    );
  });

  test('says who is trained on, and is refused for others', async () => {
    await openRunFolder(run, drawnSettings, drawnSplit);
    expect(JSON.parse(readFileSync(file('split.json'), 'utf8'))).toEqual({ train: ['a', 'b'], val: ['c'] });
    await openRunFolder(run, drawnSettings, { ...drawnSplit, train: ['b', 'a'] });
    await expect(openRunFolder(run, drawnSettings, { train: ['a'], validation: ['c', 'b'] })).rejects.toThrow(
      /holds a run with other cases .*; give the same --split or/,
    );
  });

  test('is refused when somebody edited its config.json', async () => {
    await openRunFolder(run, drawnSettings, drawnSplit);
    writeFileSync(file('config.json'), '{');
    await expect(openRunFolder(run, drawnSettings, drawnSplit)).rejects.toThrow(/config.json is no JSON text/);
    writeFileSync(file('config.json'), JSON.stringify({ ...drawnSettings, bacth: 2 }));
    await expect(openRunFolder(run, drawnSettings, drawnSplit)).rejects.toThrow(/config.json: .*bacth/);
  });

  test('drops a torn last line of the log, and lines that no checkpoint has', async () => {
    await drawnRun(run);
    const whole = readFileSync(file('log.jsonl'), 'utf8');
    appendFileSync(
      file('log.jsonl'),
      '{"kind":"epoch","epoch":5,"step":25}\n{"kind":"event","step":21,"text":"x"}\n{"ki',
    );
    const { records } = await openRunFolder(run, drawnSettings, drawnSplit);
    expect(records.map((each) => each.step)).toEqual([5, 10, 15, 20]);
    expect(readFileSync(file('log.jsonl'), 'utf8')).toBe(whole);
  });
});

test('the page shows the run and its events, and says when it is over', async () => {
  const folder = await openRunFolder(run, drawnSettings, drawnSplit);
  const page = () => readFileSync(file('progress.html'), 'utf8');
  expect(page()).toContain('drawn, fold 0');
  await folder.record({ kind: 'event', step: 0, text: 'It begins <here>.' });
  expect(page()).toContain('Step 0: It begins &lt;here&gt;.');
  expect(page()).toContain('http-equiv="refresh"');
  await folder.end();
  expect(page()).not.toContain('http-equiv="refresh"');
});

test('a line that was recorded before its checkpoint failed is dropped, though the step is the same', () => {
  const line = '{"kind":"epoch","epoch":1,"step":5}\n';
  expect(keptRecords(line, { ...beginning, step: 5, epoch: 0 })).toEqual([]);
  expect(keptRecords(line, { ...beginning, step: 5, epoch: 1 })).toHaveLength(1);
});
