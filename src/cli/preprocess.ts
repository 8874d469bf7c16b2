/**
 * `unetrpp preprocess`: the cases of a data set, prepared once as its plan says, for every training with that plan.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { datasetHash, openDataset } from '../dataset/folder.node.ts';
import { preparedFolder } from '../train/caseCache.node.ts';
import { parseCount } from './options.ts';
import { statusLine } from './progress.ts';
import { example, printJson, type Register, type Terminal } from './terminal.ts';

interface Options {
  readonly dataset: string;
  readonly plan?: string;
  readonly output?: string;
  readonly workers?: number;
  readonly json?: boolean;
}

export const registerPreprocess: Register = (program, terminal) => {
  const command = program
    .command('preprocess')
    .description(
      'Prepare the cases of a data set for training: cropped, resampled, normalized. A second run does nothing.',
    )
    .requiredOption('-d, --dataset <folder>', 'data set: dataset.json, imagesTr, labelsTr')
    .option('--plan <file>', 'plan to follow (default: plan.json in the data set, else it is planned anew)')
    .option(
      '-o, --output <folder>',
      `folder for prepared cases (default: ${preparedFolder} in the data set, where train looks)`,
    )
    .option('--workers <count>', 'threads (default: all cores but one, at most 4)', parseCount)
    .option('--json', 'print the result as JSON')
    .action((options: Options) => preprocessCommand(options, terminal));
  example(
    command,
    'unetrpp preprocess -d Dataset027_ACDC',
    'unetrpp preprocess -d MY_SCANS --plan plan.json --workers 8',
  );
};

async function preprocessCommand(options: Options, terminal: Terminal): Promise<void> {
  const { dataset: folder, output = join(folder, preparedFolder), workers } = options;
  const { preprocess } = await import('../train/preprocessing.node.ts');
  const { openPlan } = await import('../train/plan.node.ts');
  const dataset = await openDataset(folder);
  const usual = join(folder, 'plan.json');
  const line = statusLine(terminal);
  const { signal } = terminal;
  try {
    const { plan } = await openPlan(dataset, options.plan ?? (existsSync(usual) ? usual : undefined), {
      sha256: await datasetHash(dataset),
      onCase: (done, total) => line.show(`measuring case ${done} of ${total}`, done / total),
      signal,
    });
    const done = await preprocess(dataset, plan, output, {
      workers,
      onCase: (count, total) => line.show(`prepared ${count} of ${total} cases`, count / total),
      signal,
    });
    line.end();
    if (options.json) printJson(terminal, { ...done });
    else {
      const { prepared, present } = done;
      terminal.out(`${done.folder}: ${prepared.length} cases prepared, ${present.length} were there already\n`);
    }
  } finally {
    line.end();
  }
}
