/**
 * `unetrpp check`: whether a data set is fit to train on, with everything that is wrong, where, and what to do.
 */
import { checkDataset } from '../dataset/checking.node.ts';
import type { Problem } from '../dataset/checking.ts';
import type { Dataset } from '../dataset/folder.node.ts';
import { counted, InputError } from '../errors.ts';
import { statusLine } from './progress.ts';
import { example, printJson, type Register, type Terminal } from './terminal.ts';

interface Options {
  readonly dataset: string;
  readonly json?: boolean;
}

export const registerCheck: Register = (program, terminal) => {
  const command = program
    .command('check')
    .description('Check a data set before training: every case against its label map, all cases together, the splits.')
    .requiredOption('-d, --dataset <folder>', 'data set: dataset.json, imagesTr, labelsTr')
    .option('--json', 'print the result as JSON')
    .action((options: Options) => checkCommand(options, terminal));
  example(command, 'unetrpp check -d Dataset027_ACDC');
};

async function checkCommand({ dataset: folder, json }: Options, terminal: Terminal): Promise<void> {
  const line = statusLine(terminal);
  let checked: Awaited<ReturnType<typeof checkDataset>>;
  try {
    checked = await checkDataset(folder, {
      signal: terminal.signal,
      onCase: (done, total) => line.show(`checked ${done} of ${total} cases`, done / total),
    });
  } finally {
    line.end();
  }
  const { dataset, problems } = checked;
  const errors = problems.filter(({ severity }) => severity === 'error');
  const warnings = problems.filter(({ severity }) => severity === 'warning');
  if (json) {
    printJson(terminal, {
      folder,
      cases: dataset.cases.length,
      patients: dataset.patients && new Set(dataset.patients.values()).size,
      errors: errors.length,
      warnings: warnings.length,
      problems: problems.map(({ severity, group, file, text, remedy }) => ({ severity, group, file, text, remedy })),
    });
  } else {
    terminal.out(`${headline(dataset)}\n`);
    for (const [called, each] of [
      ['error', errors],
      ['warning', warnings],
    ] as const) {
      if (each.length > 0) terminal.out(`\n${counted(each.length, called)}\n${listing(each)}`);
    }
    if (problems.length === 0) terminal.out('Nothing is wrong with it.\n');
  }
  if (errors.length > 0) {
    throw new InputError(`${counted(errors.length, 'error')} in ${folder}: mend what is listed above before training.`);
  }
}

function headline({ description, cases, patients, splits }: Dataset): string {
  const { name, channels, labels } = description;
  const of = patients ? ` of ${counted(new Set(patients.values()).size, 'patient')}` : '';
  const folds = splits ? `; ${counted(splits.length, 'fold')} in splits_final.json` : '';
  const structures = labels.slice(1).map((label) => label.name);
  return `${name}: ${counted(cases.length, 'case')}${of}; ${channels.join(', ')}; ${structures.join(', ')}${folds}`;
}

/** Lines of one remedy: more of them say nothing new. */
const shown = 8;

/** By group, and in it by remedy, which is said once. */
function listing(problems: readonly Problem[]): string {
  const byRemedy = new Map<string, Problem[]>();
  for (const each of problems) {
    const key = `  ${each.group}: ${each.remedy}`;
    byRemedy.set(key, [...(byRemedy.get(key) ?? []), each]);
  }
  let text = '';
  for (const [head, members] of byRemedy) {
    text += `${head}\n`;
    for (const { file, text: what } of members.slice(0, shown)) {
      text += `    ${what.includes(file) ? what : `${file}: ${what}`}\n`;
    }
    if (members.length > shown) text += `    and ${members.length - shown} more (--json lists all)\n`;
  }
  return text;
}
