/**
 * A scan of 512 x 512 x 300 voxels of 0.8 x 0.8 x 1.5 mm to 1.5 mm and back, by cubic splines, in float32; beside a copy of
 * the same volume in memory. The smallest of three rounds.
 */
import { imageResampling, newShape, resampleChannel, type Vector3 } from '../src/volume/index.ts';

const shape: Vector3 = [300, 512, 512];
const spacing: Vector3 = [1.5, 0.8, 0.8];
const wanted: Vector3 = [1.5, 1.5, 1.5];
const data = Float32Array.from({ length: 300 * 512 * 512 }, (_, i) => 1000 * Math.cos(i * 0.37) * Math.sin(i * 0.0011));
const between = newShape(shape, spacing, wanted);

function time<T>(work: () => T): [number, T] {
  const start = performance.now();
  const result = work();
  return [(performance.now() - start) / 1000, result];
}

const best = { copy: Infinity, there: Infinity, back: Infinity };
for (let round = 0; round < 3; round++) {
  const [copy] = time(() => data.slice());
  const there = { shape, spacing, newShape: between, newSpacing: wanted };
  const [down, small] = time(() => resampleChannel(data, there, imageResampling));
  const back = { shape: between, spacing: wanted, newShape: shape, newSpacing: spacing };
  const [up] = time(() => resampleChannel(small, back, imageResampling));
  best.copy = Math.min(best.copy, copy);
  best.there = Math.min(best.there, down);
  best.back = Math.min(best.back, up);
}
const line = (name: string, seconds: number) =>
  console.log(`${name.padEnd(34)}${seconds.toFixed(2)} s, ${(seconds / best.copy).toFixed(0)} times the copy`);
console.log(`copy of the volume                ${best.copy.toFixed(2)} s`);
line(`to ${[...between].reverse().join(' x ')} voxels`, best.there);
line('and back', best.back);
