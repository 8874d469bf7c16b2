/**
 * `unetrpp verify FOLDER`: replays reference values through the engine, with lowerings on and off, and shows the worst
 * deviation of each tensor. Exit code 1 when one is beyond its limit.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CompileOptions, DeviceName, Engine } from '../engine/engine.ts';
import { InputError } from '../errors.ts';
import { noLowerings } from '../program/index.ts';
import { readSafetensors } from '../weights/index.ts';
import { parseDevice } from './options.ts';
import { CheckFailed, example, printJson, type Register } from './terminal.ts';
import {
  type AttentionKind,
  type AttentionSet,
  type Deviation,
  type FullSet,
  passed,
  type SmallSet,
  verifyAttention,
  verifyFull,
  verifySmall,
} from './verify/unetrpp.ts';

interface Row extends Deviation {
  readonly lowered: boolean;
}

/** One reference set: its name and how to replay it. */
interface ReferenceSet {
  readonly name: string;
  replay(engine: Engine, options: CompileOptions): Promise<Deviation[]>;
}

/** @throws InputError when the folder holds noLowerings of the sets that are known */
function referenceSets(folder: string): ReferenceSet[] {
  if (!existsSync(folder)) throw new InputError(`There is no folder ${folder}; name one that holds reference values.`);
  const names = readdirSync(folder).sort();
  const json = (file: string) => JSON.parse(readFileSync(join(folder, file), 'utf8')) as unknown;
  const sets = names.flatMap((file): ReferenceSet[] => {
    const match = /^(full|small|epa)(?:-(\w+))?\.json$/.exec(file);
    if (!match) return [];
    const [, kind, variant] = match;
    if (kind === 'full') {
      return [
        { name: `full ${variant}`, replay: (engine, options) => verifyFull(json(file) as FullSet, engine, options) },
      ];
    }
    if (kind === 'small') {
      return [
        { name: `small ${variant}`, replay: (engine, options) => verifySmall(json(file) as SmallSet, engine, options) },
      ];
    }
    return Object.entries(json(file) as Record<AttentionKind, AttentionSet>).map(([name, set]) => ({
      name: `attention ${name}`,
      replay(engine, options) {
        const inner = readSafetensors(readFileSync(join(folder, `epa-${name}.safetensors`)), `epa-${name}.safetensors`);
        return verifyAttention(name as AttentionKind, set, inner.tensors, engine, options);
      },
    }));
  });
  if (sets.length > 0) return sets;
  throw new InputError(
    `${folder} holds no reference values that are known here (full-NAME.json, small-NAME.json, epa.json).`,
  );
}

/** `out1 (whole: l2, min, max)` and `out1 (channel means)` are rows of `out1`; layouts stay apart. */
const tensorOf = (row: Row) => row.tensor.replace(/ \((whole|channel)[^)]*\)$/, '');

function worstByTensor(rows: readonly Row[]): { set: string; tensor: string; on: Row[]; off: Row[] }[] {
  const groups = new Map<string, { set: string; tensor: string; on: Row[]; off: Row[] }>();
  for (const row of rows) {
    const key = `${row.set}/${tensorOf(row)}`;
    const group = groups.get(key) ?? { set: row.set, tensor: tensorOf(row), on: [], off: [] };
    (row.lowered ? group.on : group.off).push(row);
    groups.set(key, group);
  }
  return [...groups.values()];
}

const worst = (rows: readonly Row[]) =>
  rows.reduce((so, row) => Math.max(so, row.relativeL2, row.relativeMaximum), 0).toExponential(1);

export const registerVerify: Register = (program, terminal) => {
  const command = program
    .command('verify')
    .description('Replay reference values of the networks and show the worst deviation of each tensor.')
    .argument('<folder>', 'folder with full-NAME.json, small-NAME.json, epa.json and their .safetensors')
    .option('--only <text>', 'only the sets whose name contains this text, such as "full synapse"')
    .option('--device <name>', 'cpu, cuda or webgpu', parseDevice)
    .option('--json', 'print every comparison as JSON')
    .action(async (folder: string, options: { only?: string; device?: DeviceName; json?: boolean }) => {
      const { nodeEngine } = await import('../engine/node.ts');
      const sets = referenceSets(folder).filter(({ name }) => name.includes(options.only ?? ''));
      if (sets.length === 0) throw new InputError(`No set in ${folder} has "${options.only}" in its name.`);
      const rows: Row[] = [];
      for (const set of sets) {
        for (const lowered of [true, false]) {
          terminal.signal.throwIfAborted();
          terminal.err(`${set.name}, lowerings ${lowered ? 'on' : 'off'}\n`);
          const found = await set.replay(nodeEngine, { device: options.device, lowerings: lowered ? {} : noLowerings });
          rows.push(...found.map((row) => ({ ...row, lowered })));
        }
      }
      const failed = rows.filter((row) => !passed(row));
      if (options.json) {
        printJson(terminal, { passed: failed.length === 0, comparisons: rows });
      } else {
        terminal.out('Largest of relative L2 and largest deviation over largest value, by tensor\n');
        let set = '';
        for (const group of worstByTensor(rows)) {
          if (group.set !== set) terminal.out(`\n${group.set.padEnd(56)}lowered  plain    limit\n`);
          set = group.set;
          const verdict = [...group.on, ...group.off].every(passed) ? '' : '  FAILED';
          const limit = (group.on[0] ?? group.off[0]).limit.toExponential(0);
          terminal.out(`  ${group.tensor.padEnd(54)}${worst(group.on)}  ${worst(group.off)}  ${limit}${verdict}\n`);
        }
        const verdict = failed.length === 0 ? 'all within their limits' : `${failed.length} beyond their limit`;
        terminal.out(`\n${rows.length} comparisons in ${sets.length} sets: ${verdict}.\n`);
      }
      if (failed.length > 0) throw new CheckFailed(`${failed.length} of ${rows.length} comparisons failed`);
    });
  example(command, 'unetrpp verify ../shared/golden/unetrpp --only "full synapse"');
};
