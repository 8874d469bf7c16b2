/**
 * What a command sees of the terminal: where results and messages go, and the signal that ends it early. Tests pass
 * their own; `openTerminal` gives the process's.
 *
 * Results go to `out`, everything else (progress, warnings, errors) to `err`, so that a pipe receives results alone.
 *
 * A command that reports something takes `--json`. Then `out` receives exactly one JSON document and nothing besides:
 * keys in camelCase with the unit in the name (`spacingMm`, `volumeMl`), numbers as they are computed, not rounded for
 * reading; numbers that JSON lacks as the texts "NaN", "Infinity" and "-Infinity". Exit codes stay the same, and an
 * error is still a line on `err`.
 */
import type { Command } from 'commander';

export interface Terminal {
  /** Writes results, as given: the caller ends the line. */
  out(text: string): void;
  /** Writes progress, warnings and errors, as given. */
  err(text: string): void;
  /** Aborted by an interrupt. A command passes it on, and looks at it between the steps of long work. */
  readonly signal: AbortSignal;
  /** Characters in a line of `out`. */
  readonly columns: number;
  /** Where a progress bar is drawn; without it there is none. */
  readonly bar?: NodeJS.WriteStream;
}

/** A check whose answer is no: it was carried out as asked, and failed. Exit code 1, one line, no stack. */
export class CheckFailed extends Error {
  override readonly name = 'CheckFailed';
}

/** Adds a command to the command line: `program.command('name')`, its description, options, `example` and action. */
export type Register = (program: Command, terminal: Terminal) => void;

/** Adds an `Example:` block to a command's help; each line is one that a reader can run. */
export function example(command: Command, ...lines: string[]): Command {
  return command.addHelpText('after', `\nExample:\n${lines.map((line) => `  $ ${line}`).join('\n')}`);
}

/** Writes one JSON document, as the convention above says. */
export function printJson(terminal: Terminal, value: unknown): void {
  const text = JSON.stringify(
    value,
    (_key, each) => (typeof each === 'number' && !Number.isFinite(each) ? String(each) : each),
    2,
  );
  terminal.out(`${text}\n`);
}

/**
 * The process's own terminal. The first SIGINT or SIGTERM aborts the signal, so that the command can stop between two
 * steps and leave nothing half-written; the second ends the process at once.
 */
export function openTerminal(): Terminal {
  const interrupted = new AbortController();
  const interrupt = () => {
    if (interrupted.signal.aborted) process.exit(130);
    interrupted.abort();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  // The reader of a pipe may leave early, as `head` does; what it has not read, nobody wants.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(0);
  });
  return {
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    signal: interrupted.signal,
    columns: process.stdout.columns ?? 80,
    bar: process.stderr,
  };
}
