/**
 * Where the reference values and real scans lie: the folder `shared` beside the repository, or the folder that the
 * environment variable UNETRPP_SHARED names. Tests over it are skipped, and say so, when it is absent.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = process.env.UNETRPP_SHARED ?? resolve(fileURLToPath(new URL('../../shared', import.meta.url)));

export const hasShared = existsSync(join(root, 'golden'));

if (!hasShared) console.warn(`Skipped: tests over reference data, because there is no folder ${root}.`);

export function sharedPath(...parts: string[]): string {
  return join(root, ...parts);
}

/** JSON of a reference file; numbers are float64, "nan" and "inf" stay text. */
export function sharedJson<T>(...parts: string[]): T {
  return JSON.parse(readFileSync(sharedPath(...parts), 'utf8')) as T;
}

export function sharedBytes(...parts: string[]): Uint8Array {
  return new Uint8Array(readFileSync(sharedPath(...parts)));
}
