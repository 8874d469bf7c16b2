/**
 * The rule by which reference inputs and weights are made from their names, so that none need be stored:
 * seed = FNV-1a of the name; x_i = murmur3 finalizer of seed + i * 0x9E3779B9 (mod 2^32); u_i = x_i / 2^32.
 */
import { mixBits } from '../../mixBits.ts';
import { fnv1a } from '../../weights/initialization.ts';

function bits(seed: number, index: number): number {
  // The index may exceed 32 bits only far beyond any tensor here; Math.imul keeps the product modulo 2^32.
  return mixBits(seed + Math.imul(index, 0x9e3779b9));
}

/** `count` values uniform in [lo, hi), rounded to float32. */
export function fill(name: string, count: number, lo: number, hi: number): Float32Array {
  return fillInto(new Float32Array(count), name, lo, hi);
}

/** The same before rounding. */
export function fillExactly(name: string, count: number, lo: number, hi: number): Float64Array {
  return fillInto(new Float64Array(count), name, lo, hi);
}

function fillInto<T extends Float32Array | Float64Array>(out: T, name: string, lo: number, hi: number): T {
  const seed = fnv1a(name);
  for (let i = 0; i < out.length; i++) out[i] = lo + (hi - lo) * (bits(seed, i) / 2 ** 32);
  return out;
}

/** `count` integers uniform in 0 .. below - 1. */
export function fillInteger(name: string, count: number, below: number): number[] {
  const seed = fnv1a(name);
  return Array.from({ length: count }, (_, i) => Math.floor((bits(seed, i) / 2 ** 32) * below));
}
