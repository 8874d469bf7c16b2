/**
 * `npm run fuzz [-- PARSER] [-- --runs N] [--seed S] [--path P]`: damaged files for every parser, 10,000 each unless said.
 * `npm run fuzz -- --replay FILE` repeats one failure from the file that it left.
 *
 * Prints, for each parser, how many inputs were still read, the slowest one, and the most memory that one took. Memory is
 * the bytes of all arrays that an input made, or the growth of the largest resident size, whichever is more.
 */
import './allocation.ts';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startWatchdog } from './watchdog.ts';

// Loaded here, so that no package keeps a constructor from before they were replaced.
const { parsers } = await import('./parsers.ts');
const { examine, fuzz } = await import('./bars.ts');

interface Kept {
  readonly parser: string;
  readonly files: readonly { readonly name: string; readonly base64: string }[];
}

type Files = readonly { readonly name: string; readonly bytes: Uint8Array }[];

const folder = fileURLToPath(new URL('../../out/fuzz', import.meta.url));

function keep(path: string, parser: string, files: Files): void {
  const kept: Kept = {
    parser,
    files: files.map(({ name, bytes }) => ({ name, base64: Buffer.from(bytes).toString('base64') })),
  };
  writeFileSync(path, JSON.stringify(kept));
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '10000' },
    seed: { type: 'string' },
    path: { type: 'string' },
    replay: { type: 'string' },
  },
});

async function replay(path: string): Promise<boolean> {
  const { parser, files } = JSON.parse(readFileSync(path, 'utf8')) as Kept;
  const watchdog = startWatchdog(30, `${parser} takes more than 30 s over ${path}`);
  const verdict = await examine(
    parsers[parser],
    files.map(({ name, base64 }) => ({ name, bytes: new Uint8Array(Buffer.from(base64, 'base64')) })),
  );
  watchdog.stop();
  console.log(verdict.fault ?? `${verdict.outcome}: nothing wrong`);
  console.log(`${verdict.seconds.toFixed(2)} s, ${(verdict.bytes / 2 ** 20).toFixed(1)} MiB`);
  return verdict.fault === undefined;
}

async function fuzzParser(name: string, runs: number, seed: number): Promise<boolean> {
  const current = join(folder, `${name}-current.json`);
  const watchdog = startWatchdog(
    30,
    `${name} hangs: more than 30 s over one input; replay it with --replay ${current}`,
  );
  const summary = await fuzz(parsers[name], { runs, seed, path: values.path }, (files) => {
    keep(current, name, files);
    watchdog.next();
  });
  watchdog.stop();
  rmSync(current);
  const { slowestSeconds, mostBytes, failures } = summary;
  console.log(
    `${name.padEnd(18)}${String(summary.runs).padStart(7)} inputs ${String(summary.values).padStart(7)} read ` +
      `${slowestSeconds.toFixed(2).padStart(7)} s at most ${(mostBytes / 2 ** 20).toFixed(1).padStart(8)} MiB at most ` +
      `${String(failures.length).padStart(4)} faults`,
  );
  for (const [index, failure] of failures.entries()) {
    const file = join(folder, `${name}-${seed}-${index}.json`);
    keep(file, name, failure.files);
    console.log(
      `  ${failure.fault.split('\n').slice(0, 6).join('\n  ')}\n` +
        `  damage to ${failure.specimen}: ${JSON.stringify(failure.damage)}\n` +
        `  again: npm run fuzz -- ${name} --seed ${failure.seed} --path ${failure.path}\n` +
        `  or:    npm run fuzz -- --replay ${file}\n`,
    );
  }
  return failures.length === 0;
}

const unknown = positionals.find((name) => !(name in parsers));
const runs = Number(values.runs);
const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
if (unknown !== undefined || !(Number.isInteger(runs) && runs > 0) || !Number.isInteger(seed)) {
  console.error(`Give whole numbers, and parsers among ${Object.keys(parsers).join(', ')}.`);
  process.exit(2);
}
mkdirSync(folder, { recursive: true });
let whole = true;
if (values.replay !== undefined) {
  whole = await replay(values.replay);
} else {
  console.log(`seed ${seed}`);
  const wanted = positionals.length > 0 ? positionals : Object.keys(parsers);
  for (const name of wanted) whole = (await fuzzParser(name, runs, seed)) && whole;
}
process.exitCode = whole ? 0 : 1;
