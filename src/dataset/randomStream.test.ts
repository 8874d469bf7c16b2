import { expect, test } from 'vitest';
import { integer, nextBits, randomStream, standardNormal, uniform } from './randomStream.ts';

test('the first numbers of xoshiro128** from the state 1, 2, 3, 4', () => {
  // By hand: 2 * 5 = 10, turned by 7 bits 1280, * 9; then 0; then 1029 * 5 * 128 * 9.
  const stream = Uint32Array.of(1, 2, 3, 4);
  expect([nextBits(stream), nextBits(stream), nextBits(stream)]).toEqual([11520, 0, 5927040]);
});

test('a stream goes on from a copy of its state', () => {
  const stream = randomStream(7);
  nextBits(stream);
  const copy = stream.slice();
  expect(nextBits(copy)).toBe(nextBits(stream));
});

test('every seed and its place count', () => {
  const seeds = [[], [0], [1], [0, 0], [0, 1], [1, 0], [-1], [2 ** 32], [2 ** 40]];
  const firsts = seeds.map((each) => nextBits(randomStream(...each)));
  expect(new Set(firsts).size).toBe(seeds.length);
  expect(() => randomStream(0.5)).toThrow('the seed 0.5 is no whole number');
});

test('uniform numbers fill their range evenly', () => {
  const stream = randomStream(1);
  const counts = new Array(10).fill(0);
  for (let i = 0; i < 10000; i++) counts[Math.floor(uniform(stream, 20, 30) - 20)]++;
  // 1000 each, with a deviation of 30.
  for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150);
});

test('whole numbers include both ends', () => {
  const stream = randomStream(2);
  const drawn = new Set(Array.from({ length: 200 }, () => integer(stream, -1, 2)));
  expect([...drawn].sort((a, b) => a - b)).toEqual([-1, 0, 1, 2]);
});

test('normal numbers have mean 0, deviation 1 and 4.6 % beyond two', () => {
  const values = standardNormal(randomStream(3), 100_001);
  let [sum, squares, beyond] = [0, 0, 0];
  for (const value of values) {
    sum += value;
    squares += value * value;
    if (Math.abs(value) > 2) beyond++;
  }
  expect(Math.abs(sum / values.length)).toBeLessThan(0.015);
  expect(Math.abs(squares / values.length - 1)).toBeLessThan(0.02);
  expect(beyond / values.length).toBeCloseTo(0.0455, 2);
});
