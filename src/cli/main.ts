#!/usr/bin/env -S MALLOC_TRIM_THRESHOLD_=131072 node
/**
 * The program `unetrpp`. The variable in the first line is glibc's: with it, freed memory goes back to the system at once, and
 * the peak of a prediction is a quarter lower (docs/decisions/memory-estimate.md).
 */
import { openTerminal } from './terminal.ts';

// First of all, so that an interrupt ends the program the same way while it loads the rest.
const terminal = openTerminal();
const { run } = await import('./run.ts');
process.exitCode = await run(process.argv.slice(2), terminal);
