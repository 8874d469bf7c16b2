import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { progressBar, statusLine } from './progress.ts';

const terminalWith = (bar?: NodeJS.WriteStream, err: (text: string) => void = () => undefined) => ({
  out: () => undefined,
  err,
  signal: new AbortController().signal,
  columns: 80,
  bar,
});

describe('the progress bar', () => {
  test('says the case, the tile and, once a tile is done, the time that is left', async () => {
    const stream = new PassThrough();
    let text = '';
    stream.on('data', (chunk) => {
      text += chunk;
    });
    const bar = progressBar(terminalWith(stream as unknown as NodeJS.WriteStream), 'case_1');
    bar.report({ stage: 'preparing', done: 0, total: 0 });
    bar.report({ stage: 'network', done: 0, total: 4 });
    bar.report({ stage: 'network', done: 4, total: 4 });
    bar.end();
    await new Promise((resolve) => setImmediate(resolve));
    expect(text.split('\n')).toEqual([
      'case_1 [------------------------] tile 0 of 4',
      'case_1 [========================] tile 4 of 4',
      '',
    ]);
  });

  test('is silent where there is no place for it', () => {
    const bar = progressBar(terminalWith(), 'case_1');
    bar.report({ stage: 'network', done: 0, total: 4 });
    bar.end();
  });
});

describe('the status line', () => {
  test('changes in a terminal, and lines that stay are printed above it', async () => {
    const stream = Object.assign(new PassThrough(), { isTTY: true, columns: 80 });
    let text = '';
    stream.on('data', (chunk) => {
      text += chunk;
    });
    const line = statusLine(terminalWith(stream as unknown as NodeJS.WriteStream, (each) => void stream.write(each)));
    line.show('step 1', 0.25);
    line.print('an epoch\n');
    line.show('step 2', 0.5);
    line.end();
    await new Promise((resolve) => setImmediate(resolve));
    const shown = ['[====------------] step 1', 'an epoch\n', '[========--------] step 2'];
    const places = shown.map((each) => text.indexOf(each));
    expect(places[0]).toBeGreaterThanOrEqual(0);
    expect(places[1]).toBeGreaterThan(places[0]);
    expect(places[2]).toBeGreaterThan(places[1]);
  });

  test('is not drawn elsewhere: only what stays is seen', () => {
    const printed: string[] = [];
    const notTerminal = new PassThrough() as unknown as NodeJS.WriteStream;
    const line = statusLine(terminalWith(notTerminal, (text) => printed.push(text)));
    line.show('step 1', 0.25);
    line.print('an epoch\n');
    line.end();
    expect(printed).toEqual(['an epoch\n']);
    expect(notTerminal.read()).toBe(null);
  });
});
