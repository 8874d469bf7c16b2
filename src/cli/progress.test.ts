import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { progressBar } from './progress.ts';

describe('the progress bar', () => {
  const terminal = (bar?: NodeJS.WriteStream) => ({
    out: () => undefined,
    err: () => undefined,
    signal: new AbortController().signal,
    columns: 80,
    bar,
  });

  test('says the case, the tile and, once a tile is done, the time that is left', async () => {
    const stream = new PassThrough();
    let text = '';
    stream.on('data', (chunk) => {
      text += chunk;
    });
    const bar = progressBar(terminal(stream as unknown as NodeJS.WriteStream), 'case_1');
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
    const bar = progressBar(terminal(), 'case_1');
    bar.report({ stage: 'network', done: 0, total: 4 });
    bar.end();
  });
});
