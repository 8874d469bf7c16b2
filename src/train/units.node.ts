/**
 * Units that remember what they were made of: beside its outputs a unit leaves a small record, with a hash of its settings
 * and of the contents of its inputs. It is written last, so where it is, the outputs are whole; and where an input or a
 * setting has changed since, the unit is not done. Paths are not part of it: a folder may be moved.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileHash } from '../dataset/folder.node.ts';
import { writeWhole } from '../wholeFiles.node.ts';
import type { Unit } from './units.ts';

export interface RecordedWork extends Pick<Unit, 'name' | 'inputs' | 'outputs' | 'run'> {
  /** File of its record. */
  readonly record: string;
  /** All that decides what is made besides the inputs, as JSON. Asked when the inputs are there. */
  settings(): unknown;
  /** Inputs whose contents do not count. Default: none. */
  readonly uncounted?: readonly string[];
}

export function recordedUnit(work: RecordedWork): Unit {
  const { name, inputs, outputs, record, uncounted = [] } = work;
  const counted = inputs.filter((path) => !uncounted.includes(path));
  const key = async () => {
    const hashes: string[] = [];
    for (const path of counted) hashes.push(await knownHash(path));
    return createHash('sha256')
      .update(JSON.stringify([work.settings(), hashes]))
      .digest('hex');
  };
  return {
    name,
    inputs,
    outputs,
    async isDone() {
      if (![record, ...outputs].every((path) => existsSync(path))) return false;
      return keyIn(record) === (await key());
    },
    async run(signal) {
      const made = await key();
      await work.run(signal);
      const missing = outputs.find((path) => !existsSync(path));
      if (missing !== undefined) throw new RangeError(`${name} did not make ${missing}`);
      await mkdir(dirname(record), { recursive: true });
      await writeWhole(record, `${JSON.stringify({ unit: name, key: made })}\n`);
    },
  };
}

/** undefined for a record that is none: then the work is done again. */
function keyIn(record: string): unknown {
  try {
    return (JSON.parse(readFileSync(record, 'utf8')) as { key?: unknown } | null)?.key;
  } catch {
    return undefined;
  }
}

/** Hashes by file, size and time of change: many units read the same files. */
const hashes = new Map<string, Promise<string>>();

function knownHash(path: string): Promise<string> {
  const stats = statSync(path, { throwIfNoEntry: false });
  const version = `${path} ${stats?.size} ${stats?.mtimeMs} ${stats?.ino}`;
  const known = hashes.get(version) ?? fileHash(path);
  hashes.set(version, known);
  return known;
}
