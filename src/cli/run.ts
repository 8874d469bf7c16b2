/**
 * Runs one command line and gives its exit code: 0 done; 1 a check that failed, or a bug, with its stack; 2 something that the user can mend;
 * 3 the machine lacks something; 130 interrupted. Knows the list of commands and nothing of what they do.
 *
 * A command is one file, `predict.ts`, that exports `registerPredict: Register`; it throws what goes wrong and never
 * ends the process itself.
 */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { InputError, ResourceError } from '../errors.ts';
import { registerCheck } from './check.ts';
import { registerComparePredictions } from './comparePredictions.ts';
import { registerConvert } from './convert.ts';
import { registerDemo } from './demo.ts';
import { registerDemoTrain } from './demoTrain.ts';
import { registerEvaluate } from './evaluate.ts';
import { registerExport } from './export.ts';
import { registerFindBestConfiguration } from './findBestConfiguration.ts';
import { registerImport } from './import.ts';
import { registerInfo } from './info.ts';
import { registerMeasure } from './measure.ts';
import { registerPhantom } from './phantom.ts';
import { registerPlan } from './plan.ts';
import { registerPredict } from './predict.ts';
import { registerPreprocess } from './preprocess.ts';
import { CheckFailed, type Register, type Terminal } from './terminal.ts';
import { registerTrain } from './train.ts';
import { registerVerify } from './verify.ts';

/** Every command, in the order in which the help lists them. */
const allCommands: readonly Register[] = [
  registerDemo,
  registerPredict,
  registerConvert,
  registerCheck,
  registerPlan,
  registerPreprocess,
  registerTrain,
  registerFindBestConfiguration,
  registerEvaluate,
  registerComparePredictions,
  registerMeasure,
  registerInfo,
  registerImport,
  registerExport,
  registerVerify,
  registerPhantom,
  registerDemoTrain,
];

/** The version in package.json, which lies two folders up from here both in the source and in the built package. */
const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** @param argv the words after the program's name. */
export async function run(
  argv: readonly string[],
  terminal: Terminal,
  commands: readonly Register[] = allCommands,
): Promise<number> {
  const program = new Command('unetrpp')
    .description('Segment 3-D medical images with UNETR++.')
    .version(version, '--version', 'print the version')
    .helpOption('--help', 'print this help')
    .addHelpText('after', '\nunetrpp <command> --help shows the options of a command, with an example.')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.out(text),
      writeErr: (text) => terminal.err(text),
      getOutHelpWidth: () => terminal.columns,
      getErrHelpWidth: () => terminal.columns,
      // Said by `explain`, on one line, like every other error.
      outputError: () => undefined,
    });
  for (const register of commands) register(program, terminal);
  try {
    await program.parseAsync(argv, { from: 'user' });
    return 0;
  } catch (error) {
    const { code, message } = explain(error, terminal.signal);
    if (message) terminal.err(`${message}\n`);
    return code;
  }
}

function explain(error: unknown, signal: AbortSignal): { code: number; message?: string } {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return { code: 0 };
    // The whole help was printed because no command was named.
    if (error.code === 'commander.help') return { code: 2 };
    return { code: 2, message: `${oneLine(error.message)}; unetrpp --help says what there is` };
  }
  // Whatever an interrupt made fail on its way out, the interrupt is the reason.
  if (signal.aborted) return { code: 130, message: 'interrupted' };
  if (error instanceof CheckFailed) return { code: 1, message: `failed: ${oneLine(error.message)}` };
  if (error instanceof InputError) return { code: 2, message: `error: ${oneLine(error.message)}` };
  if (error instanceof ResourceError) return { code: 3, message: `error: ${oneLine(error.message)}` };
  if (error instanceof RangeError && error.message === 'Array buffer allocation failed') {
    return { code: 3, message: 'error: the memory of this machine is not enough for this input' };
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: 1, message: `${stack}\nThis is a bug in unetrpp ${version}; please report it with the lines above.` };
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, ' ');
}
