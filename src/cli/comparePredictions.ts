/**
 * `unetrpp compare-predictions`: whether one set of predictions is better than another on the same references.
 */

import { basename, resolve } from 'node:path';
import { Option } from 'commander';
import { counted } from '../errors.ts';
import {
  type Comparison,
  comparePredictions,
  distancesSaid,
  type Evaluation,
  emptySaid,
  type MetricName,
  metricNames,
  metrics,
  type PairedDifference,
  showP,
} from '../evaluate/index.ts';
import { prepareScoring, type ScoringOptions, scoreSet, scoringOptions } from './scoring.node.ts';
import { textTable } from './table.ts';
import { example, printJson, type Register, type Terminal } from './terminal.ts';

interface Options extends ScoringOptions {
  readonly metric: MetricName;
  readonly json?: boolean;
}

export const registerComparePredictions: Register = (program, terminal) => {
  const command = program
    .command('compare-predictions')
    .description('Say whether predictions B are better than predictions A on the same cases, or by chance alone.')
    .argument('<a>', 'folder of predicted label maps')
    .argument('<b>', 'another folder with the same cases')
    .addOption(new Option('--metric <name>', 'what is compared').choices(metricNames).default('dice'))
    .option('--json', 'print the comparison as JSON')
    .action((a: string, b: string, options: Options) => compare(a, b, options, terminal));
  scoringOptions(command);
  example(command, 'unetrpp compare-predictions unet unetrpp -r labelsTs --metric hd95');
};

async function compare(a: string, b: string, options: Options, terminal: Terminal): Promise<void> {
  const { metric, json } = options;
  const scoring = await prepareScoring(options, [a, b], [metric], terminal);
  const [first, second] = [await scoreSet(scoring, 0, terminal), await scoreSet(scoring, 1, terminal)];
  const names = namesOf(a, b);
  const comparison = comparePredictions(first, second, metric, names);
  if (json) {
    const { convention, unit, tolerance, empty } = first;
    printJson(terminal, { a, b, convention, unit, tolerance, empty, ...comparison });
    return;
  }
  terminal.out(comparisonText(comparison, first, second, names));
}

function namesOf(a: string, b: string): { a: string; b: string } {
  const [first, second] = [basename(resolve(a)), basename(resolve(b))];
  return first === second ? { a, b } : { a: first, b: second };
}

function comparisonText(
  { metric, cases, paired, overall, labels, conclusion }: Comparison,
  first: Evaluation,
  second: Evaluation,
  { a, b }: { a: string; b: string },
): string {
  const { title, unit } = metrics[metric];
  const number = (value: number | null) => (value === null ? '-' : value.toFixed(unit === 'share' ? 4 : 2));
  const row = (name: string, each: PairedDifference, adjusted: number | null) => [
    name,
    String(each.pairs),
    number(each.meanA),
    number(each.meanB),
    each.low === null
      ? number(each.difference)
      : `${number(each.difference)} [${number(each.low)}, ${number(each.high)}]`,
    each.p === null ? '-' : showP(each.p).replace(/^p (= )?/, ''),
    adjusted === null ? '' : showP(adjusted).replace(/^p (= )?/, ''),
    each.effect === null ? '-' : each.effect.toFixed(2),
  ];
  const percent = Number((100 * first.bootstrap.confidence).toFixed(2));
  const rows = [
    ['', 'pairs', a, b, 'difference', 'p', 'p (Holm)', 'effect'],
    ...labels.map((each) => row(each.name, each, each.adjustedP)),
    ...(labels.length > 1 ? [row('mean of labels', overall, null)] : []),
  ];
  return [
    `${title} of ${counted(cases.length, 'case')}${distancesSaid(first)}`,
    ...(paired === 'patient'
      ? [`pairs are patients: of each the mean over its cases (--by-case: every case by itself)`]
      : []),
    `difference: mean of ${b} - ${a} with its ${percent} % bootstrap interval; p: Wilcoxon signed-rank, two-sided; effect: rank-biserial, -1 to 1`,
    '',
    textTable(rows),
    `${a}: ${emptySaid(first)}`,
    `${b}: ${emptySaid(second)}`,
    '',
    conclusion,
    '',
  ].join('\n');
}
