/**
 * `unetrpp verify PATH`: replays reference values through the engine, with lowerings on and off, and shows the worst
 * deviation of each tensor. PATH is a folder of networks, or a file of losses or of plans. Exit code 1 when one is beyond its limit.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { CompileOptions, DeviceName, Engine } from '../engine/engine.ts';
import { InputError } from '../errors.ts';
import { noLowerings } from '../program/index.ts';
import type { Tensor } from '../tensor.ts';
import { readSafetensors } from '../weights/index.ts';
import { parseDevice } from './options.ts';
import { CheckFailed, example, printJson, type Register } from './terminal.ts';
import { type Deviation, passed } from './verify/deviation.ts';
import { type ReferenceCase, verifyLosses } from './verify/losses.ts';
import { type PlanningSet, verifyPlanning } from './verify/planning.ts';
import { type TrainingSet, verifyTraining } from './verify/training.ts';
import {
  type AttentionKind,
  type AttentionSet,
  type FullSet,
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

const json = (file: string) => JSON.parse(readFileSync(file, 'utf8')) as unknown;

/** The tensors that belong to a JSON file, or to a part of it. @throws InputError */
function storedTensors(file: string): ReadonlyMap<string, Tensor> {
  if (!existsSync(file)) throw new InputError(`There is no ${file}; reference values of gradients lie there.`);
  return readSafetensors(readFileSync(file), basename(file)).tensors;
}

/** @throws InputError when there is nothing at the path, or no set that is known */
function referenceSets(path: string): ReferenceSet[] {
  if (!existsSync(path)) throw new InputError(`There is no folder ${path}; name one that holds reference values.`);
  const sets = statSync(path).isFile()
    ? [...setsOfLosses(path), ...setsOfPlans(path)]
    : readdirSync(path)
        .sort()
        .flatMap((file) => setsOfNetworks(path, file));
  if (sets.length > 0) return sets;
  throw new InputError(
    `${path} holds no reference values that are known here (full-NAME.json, small-NAME.json, epa.json; or the files losses.json and planning.json).`,
  );
}

function setsOfLosses(file: string): ReferenceSet[] {
  if (!/losses\.json$/.test(file)) return [];
  return [
    {
      name: 'losses',
      replay(engine, options) {
        const { cases } = json(file) as { cases: readonly ReferenceCase[] };
        return verifyLosses(cases, storedTensors(file.replace(/json$/, 'safetensors')), engine, options);
      },
    },
  ];
}

function setsOfPlans(file: string): ReferenceSet[] {
  if (!/planning\.json$/.test(file)) return [];
  return [{ name: 'planning', replay: async () => verifyPlanning(json(file) as PlanningSet) }];
}

function setsOfNetworks(folder: string, file: string): ReferenceSet[] {
  const match = /^(full|small|epa)(?:-(\w+))?\.json$/.exec(file);
  if (!match) return [];
  const [, kind, variant] = match;
  const path = join(folder, file);
  if (kind === 'full') {
    return [
      { name: `full ${variant}`, replay: (engine, options) => verifyFull(json(path) as FullSet, engine, options) },
    ];
  }
  if (kind === 'small') {
    const stored = () => storedTensors(join(folder, `small-${variant}.safetensors`));
    return [
      { name: `small ${variant}`, replay: (engine, options) => verifySmall(json(path) as SmallSet, engine, options) },
      {
        name: `training ${variant}`,
        replay: async (engine, options) => verifyTraining(json(path) as TrainingSet, stored(), engine, options),
      },
    ];
  }
  return Object.entries(json(path) as Record<AttentionKind, AttentionSet>).map(([name, set]) => ({
    name: `attention ${name}`,
    async replay(engine, options) {
      const stored = storedTensors(join(folder, `epa-${name}.safetensors`));
      return verifyAttention(name as AttentionKind, set, stored, engine, options);
    },
  }));
}

/** `out1 (whole: l2, min, max)` and `out1 (channel means)` are rows of `out1`; layouts stay apart. */
const tensorOf = (row: Row) => row.tensor.replace(/ \((whole|channel)[^)]*\)$/, '');

interface Line {
  readonly set: string;
  readonly what: string;
  readonly on: Row[];
  readonly off: Row[];
}

/** One line for each tensor, or each family of tensors. */
function lines(rows: readonly Row[]): Line[] {
  const groups = new Map<string, Line>();
  for (const row of rows) {
    const what = row.family ?? tensorOf(row);
    const key = `${row.set}/${what}`;
    const group = groups.get(key) ?? { set: row.set, what, on: [], off: [] };
    (row.lowered ? group.on : group.off).push(row);
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** What is shown of a row: the share of its bound, or its deviation. */
const shown = ({ bound, relativeL2, relativeMaximum }: Row) => bound?.taken ?? Math.max(relativeL2, relativeMaximum);

const worstOf = (rows: readonly Row[]) =>
  rows.reduce((so, row) => (shown(row) <= shown(so) || Number.isNaN(shown(so)) ? so : row));

function lineText({ what, on, off }: Line): string[] {
  const both = [...on, ...off];
  const [{ limit, bound, family }] = both;
  const figures = [on, off].map((rows) => shown(worstOf(rows)).toExponential(1)).join('  ');
  const count = family ? `${what} (${on.length})` : what;
  const verdict = both.every(passed) ? '' : '  FAILED';
  const text = [`  ${count.padEnd(54)}${figures}  ${bound ? 'bound' : limit.toExponential(0)}${verdict}`];
  if (family) text.push(`    worst: ${worstOf(both).tensor}`);
  if (bound) {
    const { absolute, relative } = bound;
    text.push(`    share taken of |a - b| <= ${absolute.toExponential(1)} + ${relative} |b|, element by element`);
  }
  return text;
}

export const registerVerify: Register = (program, terminal) => {
  const command = program
    .command('verify')
    .description('Replay reference values of networks, trainings, losses and plans and show the worst deviations.')
    .argument(
      '<path>',
      'folder with full-NAME.json, small-NAME.json, epa.json and their .safetensors; or losses.json, planning.json',
    )
    .option('--only <text>', 'only the sets whose name contains this text, such as "full synapse"')
    .option('--device <name>', 'cpu, cuda or webgpu', parseDevice)
    .option('--json', 'print every comparison as JSON')
    .action(async (path: string, options: { only?: string; device?: DeviceName; json?: boolean }) => {
      const { nodeEngine } = await import('../engine/node.ts');
      const sets = referenceSets(path).filter(({ name }) => name.includes(options.only ?? ''));
      if (sets.length === 0) throw new InputError(`No set in ${path} has "${options.only}" in its name.`);
      const rows: Row[] = [];
      for (const set of sets) {
        for (const lowered of [true, false]) {
          terminal.signal.throwIfAborted();
          terminal.err(`${set.name}, lowerings ${lowered ? 'on' : 'off'}\n`);
          const found = await set.replay(nodeEngine, {
            device: options.device,
            // Plain: with the runtime's own rewrites in place of ours.
            ...(lowered ? {} : { lowerings: noLowerings, optimization: 'all' as const }),
          });
          rows.push(...found.map((row) => ({ ...row, lowered })));
        }
      }
      const failed = rows.filter((row) => !passed(row));
      if (options.json) {
        printJson(terminal, { passed: failed.length === 0, comparisons: rows });
      } else {
        terminal.out('Largest of relative L2 and largest deviation over largest value, by tensor\n');
        let set = '';
        for (const line of lines(rows)) {
          if (line.set !== set) terminal.out(`\n${line.set.padEnd(56)}lowered  plain    limit\n`);
          set = line.set;
          for (const text of lineText(line)) terminal.out(`${text}\n`);
        }
        const verdict = failed.length === 0 ? 'all within their limits' : `${failed.length} beyond their limit`;
        terminal.out(`\n${rows.length} comparisons in ${sets.length} sets: ${verdict}.\n`);
      }
      if (failed.length > 0) throw new CheckFailed(`${failed.length} of ${rows.length} comparisons failed`);
    });
  example(command, 'unetrpp verify ../shared/golden/unetrpp --only "full synapse"');
};
