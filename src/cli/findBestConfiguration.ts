/**
 * `unetrpp find-best-configuration`: which of several cross-validations is best, alone or in pairs, and a folder that predicts
 * with the winner.
 */
import type { DeviceName } from '../engine/engine.ts';
import { InputError } from '../errors.ts';
import { runUnits } from '../train/units.ts';
import { parseCount, parseDevice } from './options.ts';
import { statusLine } from './progress.ts';
import { textTable } from './table.ts';
import { example, printJson, type Register, type Terminal } from './terminal.ts';

interface Options {
  readonly output: string;
  readonly dataset?: string;
  readonly ensembles: boolean;
  readonly device?: DeviceName;
  readonly threads?: number;
  readonly json?: boolean;
}

export const registerFindBestConfiguration: Register = (program, terminal) => {
  const command = program
    .command('find-best-configuration')
    .description('Choose between cross-validations (train -f all-folds) and their pairs by mean Dice, as nnU-Net does.')
    .argument('<run...>', 'folders of finished cross-validations')
    .requiredOption('-o, --output <folder>', 'folder for the decision and the ensemble to predict with')
    .option('-d, --dataset <folder>', 'the data set, where it has moved')
    .option('--no-ensembles', 'no pairs: nothing is predicted')
    .option('--device <name>', 'cpu, cuda or webgpu (default: cuda where it is installed, else cpu)', parseDevice)
    .option('--threads <count>', 'threads of the network (default: all cores)', parseCount)
    .option('--json', 'print the decision as JSON')
    .action((runs: string[], options: Options) => findBest(runs, options, terminal));
  example(
    command,
    'unetrpp find-best-configuration folds-wide folds-narrow -o best',
    'unetrpp predict -m best -i scans -o masks',
  );
};

async function findBest(runs: readonly string[], options: Options, terminal: Terminal): Promise<void> {
  if (runs.includes(options.output)) {
    throw new InputError(`${options.output} is one of the runs; name another folder for the decision.`);
  }
  const { nodeEngine } = await import('../engine/node.ts');
  const { componentsSaid } = await import('./crossValidation.ts');
  const { bestConfiguration } = await import('../train/bestConfiguration.node.ts');
  const line = statusLine(terminal);
  try {
    const search = await bestConfiguration(
      nodeEngine,
      { runs, ...options },
      { onScored: (done, total) => line.show(`scoring mask ${done} of ${total}`, done / total) },
    );
    try {
      await runUnits(search.units, {
        onBegin: ({ name }, { number, total }) => line.show(name, (number - 1) / total),
        signal: terminal.signal,
      });
      const decision = await search.decision();
      line.end();
      if (options.json) {
        printJson(terminal, { output: options.output, ...decision });
        return;
      }
      const { candidates, best, cases, postprocessing } = decision;
      const shown = (value: number | null) => (value === null ? '-' : value.toFixed(4));
      const names = Object.keys(best.dice);
      terminal.out(`Mean Dice over ${cases} cases of the cross-validation, before post-processing\n\n`);
      terminal.out(
        textTable([
          ['', 'mean of labels', ...names],
          ...candidates.map((each) => [
            `${each === best ? '* ' : '  '}${each.name}`,
            shown(each.meanDice),
            ...names.map((name) => shown(each.dice[name])),
          ]),
        ]),
      );
      terminal.out(`\nBest: ${best.name}\n`);
      terminal.out(`${componentsSaid(postprocessing.keepLargestComponents, decision.labels, postprocessing)}\n`);
      terminal.out(
        `${options.output}: best-configuration.json; unetrpp predict -m ${options.output} predicts with it\n`,
      );
    } finally {
      await search.dispose();
    }
  } finally {
    line.end();
  }
}
