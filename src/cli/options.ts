/**
 * Values of command-line options as numbers, with a sentence when they are none.
 */
import { InvalidArgumentError } from 'commander';
import { type WrittenEnding, writtenEndings } from '../volume/files.node.ts';

/** `64x128x128` or `64,128,128`, along d, h, w. */
export function parsePatch(text: string): number[] {
  const patch = text.split(/[x,]/).map(Number);
  if (patch.length !== 3 || !patch.every((length) => Number.isInteger(length) && length > 0)) {
    throw new InvalidArgumentError('It must be three whole numbers, such as 64x128x128 (depth, height, width).');
  }
  return patch;
}

/** A number from 0 up, below 1. */
export function parseOverlap(text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!(value >= 0 && value < 1)) throw new InvalidArgumentError('It must be a number from 0 up, below 1.');
  return value;
}

export function parseCount(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('It must be a whole number from 1 up.');
  return value;
}

export function parseFormat(text: string): WrittenEnding {
  const ending = writtenEndings.find((each) => each === `.${text}`);
  if (ending) return ending;
  throw new InvalidArgumentError(`It must be one of ${writtenEndings.map((each) => each.slice(1)).join(', ')}.`);
}

export function parseDevice(text: string): 'cpu' | 'cuda' | 'webgpu' {
  if (text === 'cpu' || text === 'cuda' || text === 'webgpu') return text;
  throw new InvalidArgumentError('It must be cpu, cuda or webgpu.');
}
