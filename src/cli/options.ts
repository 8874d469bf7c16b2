/**
 * Values of command-line options as numbers, with a sentence when they are none.
 */
import { InvalidArgumentError } from 'commander';

/** `64x128x128` or `64,128,128`, along d, h, w. */
export function parsePatch(text: string): number[] {
  const patch = text.split(/[x,]/).map(Number);
  if (patch.length !== 3 || !patch.every((length) => Number.isInteger(length) && length > 0)) {
    throw new InvalidArgumentError('It must be three whole numbers, such as 64x128x128 (depth, height, width).');
  }
  return patch;
}

/** A number above 0 and at most 1. */
export function parseFraction(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError('It must be a number above 0 and at most 1.');
  return value;
}

export function parseCount(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('It must be a whole number from 1 up.');
  return value;
}

export function parseDevice(text: string): 'cpu' | 'cuda' | 'webgpu' {
  if (text === 'cpu' || text === 'cuda' || text === 'webgpu') return text;
  throw new InvalidArgumentError('It must be cpu, cuda or webgpu.');
}
