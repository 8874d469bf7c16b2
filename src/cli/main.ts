#!/usr/bin/env node
/** The program `unetrpp`. */
import { openTerminal } from './terminal.ts';

// First of all, so that an interrupt ends the program the same way while it loads the rest.
const terminal = openTerminal();
const { run } = await import('./run.ts');
process.exitCode = await run(process.argv.slice(2), terminal);
