/**
 * What this machine has to offer, and whether it is enough for a job that was estimated.
 */
import { readFileSync } from 'node:fs';
import { freemem } from 'node:os';
import { ResourceError } from '../errors.ts';

/** Bytes that a process may still take: what the kernel calls available, or less where a container sets a limit. */
function availableMemory(): number {
  const limits = [systemAvailable()];
  const limit = readNumber('/sys/fs/cgroup/memory.max');
  const used = readNumber('/sys/fs/cgroup/memory.current');
  if (limit !== undefined && used !== undefined) limits.push(limit - used);
  return Math.max(0, Math.min(...limits));
}

function systemAvailable(): number {
  // Free memory leaves out what the kernel would give back at once; MemAvailable counts it.
  const line = /MemAvailable:\s+(\d+) kB/.exec(readText('/proc/meminfo'));
  return line ? Number(line[1]) * 1024 : freemem();
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function readNumber(path: string): number | undefined {
  const text = readText(path).trim();
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

/** `1.4 GB`, `310 MB`: decimal units. */
export function showBytes(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.round(bytes / 1e6)} MB`;
}

/** @throws ResourceError saying how much is wanted, how much there is, and what to do */
export function checkMemory(needed: number, what: string, available = availableMemory()): void {
  if (needed <= available) return;
  throw new ResourceError(
    `${what} needs about ${showBytes(needed)} of memory and ${showBytes(available)} are available. ` +
      'Close other programs, or give --ignore-memory to try all the same.',
  );
}
