import { expect, test } from 'vitest';
import { by, listed, memory, progressText, timeLeft } from './wording.ts';

test('sizes and spacings', () => {
  expect(by([512, 512, 40])).toBe('512 × 512 × 40');
  expect(by([0.70312499, 0.70312499, 2.5])).toBe('0.703 × 0.703 × 2.5');
});

test('memory in powers of ten', () => {
  expect(memory(219e6)).toBe('219 MB');
  expect(memory(1.26e9)).toBe('1.3 GB');
});

test('progress names the tile at work, and the time left where it is known', () => {
  expect(progressText({ stage: 'network', done: 0, total: 12 }, undefined)).toBe('Tile 1 of 12');
  expect(progressText({ stage: 'network', done: 2, total: 12 }, 40)).toBe('Tile 3 of 12, about 40 s left');
  expect(progressText({ stage: 'network', done: 12, total: 12 }, 0)).toBe('Tile 12 of 12, about 1 s left');
});

test('the time left goes by the tiles after the first, once there are any', () => {
  const [start, first] = [
    { done: 0, time: 100 },
    { done: 1, time: 110 },
  ];
  expect(timeLeft(start, start, start, 4)).toBeUndefined();
  // Preparing and one tile took 10 s, so three more are thought to take 30.
  expect(timeLeft(start, first, first, 4)).toBe(30);
  // The second took 4 s.
  expect(timeLeft(start, first, { done: 2, time: 114 }, 4)).toBe(8);
});

test('words in a row', () => {
  expect([listed([]), listed(['a']), listed(['a', 'b']), listed(['a', 'b', 'c'])]).toEqual([
    '',
    'a',
    'a and b',
    'a, b and c',
  ]);
});
