/**
 * Values of command-line options as numbers, with a sentence when they are none.
 */
import { InvalidArgumentError } from 'commander';
import type { HeartLabels } from '../evaluate/index.ts';
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

/** A whole number from 0 up. */
export function parseNatural(text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new InvalidArgumentError('It must be a whole number from 0 up.');
  }
  return value;
}

export function parsePositive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}

export function parseFold(text: string): number | 'all' {
  if (text === 'all') return text;
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be the number of a fold, from 0 up, or all.');
}

/** `90s`, `60m`, `1.5h`: in seconds. */
export function parseSeconds(text: string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)(s|m|h)$/.exec(text.trim()) ?? [];
  const seconds = Number(digits) * { s: 1, m: 60, h: 3600 }[unit as 's' | 'm' | 'h'];
  if (!(seconds > 0)) throw new InvalidArgumentError('It must be a time with its unit, such as 90s, 60m or 1.5h.');
  return seconds;
}

/** `1,2,3`: right ventricle, myocardium, left ventricle. */
export function parseHeartLabels(text: string): HeartLabels {
  const values = text.split(',').map((each) => (/^\d+$/.test(each) ? Number(each) : Number.NaN));
  const [rightVentricle, myocardium, leftVentricle] = values;
  if (values.length !== 3 || values.some((value) => !(value > 0)) || new Set(values).size !== 3) {
    throw new InvalidArgumentError('It must be three different values, such as 1,2,3.');
  }
  return { rightVentricle, myocardium, leftVentricle };
}

/** `4GB`, `800MB`, decimal units: in bytes. */
export function parseBytes(text: string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)\s*(MB|GB)$/i.exec(text.trim()) ?? [];
  const bytes = Number(digits) * (unit?.toUpperCase() === 'GB' ? 1e9 : 1e6);
  if (!(bytes > 0)) throw new InvalidArgumentError('It must be a size with its unit, such as 4GB or 800MB.');
  return bytes;
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
