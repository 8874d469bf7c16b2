/**
 * Random numbers for training: a stream whose whole state is four numbers, so that a checkpoint can keep it, and that
 * can be made anew from a few numbers (seed, step, sample), so that one sample does not depend on what was drawn for
 * another.
 *
 * Generator: xoshiro128**, Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021. Seeds are mixed
 * with the finalizer of MurmurHash3. Not nnU-Net's generator: the same distributions, other numbers.
 */
import { mixBits } from '../mixBits.ts';

/** 128 bits, not all zero. Drawing changes them. */
export type RandomStream = Uint32Array;

function rotate(bits: number, by: number): number {
  return (bits << by) | (bits >>> (32 - by));
}

/** 32 bits as a number in [0, 2^32). */
export function nextBits(stream: RandomStream): number {
  const bits = Math.imul(rotate(Math.imul(stream[1], 5), 7), 9) >>> 0;
  const shifted = stream[1] << 9;
  stream[2] ^= stream[0];
  stream[3] ^= stream[1];
  stream[1] ^= stream[2];
  stream[0] ^= stream[3];
  stream[2] ^= shifted;
  stream[3] = rotate(stream[3], 11);
  return bits;
}

/**
 * The stream of these whole numbers, of which each counts with 53 bits and in its place.
 * @throws RangeError when one is no whole number that float64 holds exactly
 */
export function randomStream(...seeds: readonly number[]): RandomStream {
  const stream = Uint32Array.of(0x9e3779b9, 0x243f6a88, 0xb7e15162, 0x6a09e667);
  for (const seed of seeds) {
    if (!Number.isSafeInteger(seed)) throw new RangeError(`the seed ${seed} is no whole number of at most 53 bits`);
    for (const half of [seed % 2 ** 32, Math.floor(seed / 2 ** 32)]) {
      for (let i = 0; i < 4; i++)
        stream[i] = mixBits((stream[i] ^ mixBits(half + Math.imul(i + 1, 0x9e3779b9))) + stream[(i + 3) % 4]);
    }
  }
  // All zero is the one state that never changes.
  if (stream.every((word) => word === 0)) stream[0] = 1;
  return stream;
}

/** Uniform in [low, high), in steps of 2^-32 of the range. */
export function uniform(stream: RandomStream, low = 0, high = 1): number {
  return low + (high - low) * (nextBits(stream) / 2 ** 32);
}

/** A whole number from low to high, both included. */
export function integer(stream: RandomStream, low: number, high: number): number {
  return low + Math.floor(uniform(stream) * (high - low + 1));
}

/** Normal numbers of mean 0 and deviation 1, by Box and Muller's two at a time. None is beyond 6.7. */
export function standardNormal(stream: RandomStream, length: number): Float32Array {
  const out = new Float32Array(length);
  for (let i = 0; i < length; i += 2) {
    // 1 - u is never 0.
    const radius = Math.sqrt(-2 * Math.log(1 - uniform(stream)));
    const angle = 2 * Math.PI * uniform(stream);
    out[i] = radius * Math.cos(angle);
    if (i + 1 < length) out[i + 1] = radius * Math.sin(angle);
  }
  return out;
}
