#!/usr/bin/env node
/** The program `unetrpp`. */
import { run } from './run.ts';
import { openTerminal } from './terminal.ts';

process.exitCode = await run(process.argv.slice(2), openTerminal());
