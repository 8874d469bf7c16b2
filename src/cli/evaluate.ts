/**
 * `unetrpp evaluate`: predictions against references. A table on the terminal; in a folder nnU-Net's summary.json, every
 * score as CSV, and the whole record as JSON.
 */
import { join } from 'node:path';
import {
  caseMean,
  type Evaluation,
  type MetricName,
  type MetricSummary,
  metrics,
  scoresCsv,
  summaryJson,
} from '../evaluate/index.ts';
import { prepareOutputFolder, writeTogether } from '../wholeFiles.node.ts';
import {
  counted,
  distancesSaid,
  emptySaid,
  parseMetrics,
  prepareScoring,
  type ScoringOptions,
  scoreSet,
  scoringOptions,
} from './scoring.node.ts';
import { textTable } from './table.ts';
import { example, printJson, type Register, type Terminal } from './terminal.ts';

interface Options extends ScoringOptions {
  readonly prediction: string;
  readonly output?: string;
  readonly metrics?: readonly MetricName[];
  readonly json?: boolean;
}

export const registerEvaluate: Register = (program, terminal) => {
  const command = program
    .command('evaluate')
    .description('Score predicted label maps against references: overlap, surface distances, volumes.')
    .requiredOption('-p, --prediction <path>', 'folder of predicted label maps, or one file')
    .option('-o, --output <folder>', 'folder for summary.json, scores.csv and evaluation.json')
    .option('--metrics <names>', 'only these, separated by commas, such as dice,hd95', parseMetrics)
    .option('--json', 'print the record as JSON')
    .action((options: Options) => evaluateCommand(options, terminal));
  scoringOptions(command);
  example(command, 'unetrpp evaluate -r Dataset004_Hippocampus/labelsTr -p predictions --fold 0 -o scores');
};

async function evaluateCommand(options: Options, terminal: Terminal): Promise<void> {
  const { output, json, prediction } = options;
  const scoring = await prepareScoring(options, [prediction], options.metrics, terminal);
  const abandon = output === undefined ? undefined : await prepareOutputFolder(output);
  try {
    const evaluation = await scoreSet(scoring, 0, terminal);
    if (output !== undefined) {
      await writeTogether([
        { path: join(output, 'scores.csv'), content: scoresCsv(evaluation) },
        { path: join(output, 'evaluation.json'), content: `${JSON.stringify(evaluation, null, 1)}\n` },
        { path: join(output, 'summary.json'), content: summaryJson(evaluation) },
      ]);
    }
    if (json) printJson(terminal, evaluation);
    else {
      terminal.out(evaluationText(evaluation));
      if (output !== undefined) terminal.out(`\n${output}: summary.json, scores.csv, evaluation.json\n`);
    }
  } finally {
    await abandon?.();
  }
}

/** Digits of a score: shares as articles print them. */
function shown(value: number | null, name: MetricName): string {
  if (value === null) return '-';
  return value.toFixed(metrics[name].unit === 'share' ? 4 : 2);
}

function withInterval({ mean, low, high }: MetricSummary, name: MetricName): string {
  if (low === null || high === null) return shown(mean, name);
  return `${shown(mean, name)} [${shown(low, name)}, ${shown(high, name)}]`;
}

/** Metrics that a line has room for. */
const tableMetrics: readonly MetricName[] = ['dice', 'hd95', 'assd', 'nsd'];

function evaluationText(evaluation: Evaluation): string {
  const { cases, labels, summary, bootstrap, unit } = evaluation;
  const names =
    evaluation.metrics.length <= 4
      ? evaluation.metrics
      : tableMetrics.filter((each) => evaluation.metrics.includes(each));
  const percent = Number((100 * bootstrap.confidence).toFixed(2));
  const titles = names.map((name) => {
    const { title, unit: of } = metrics[name];
    return of === 'share' ? title : `${title} (${of === 'mL' ? 'mL' : unit})`;
  });
  const rows = [
    ['', ...titles, 'cases', 'missed', 'invented'],
    ...summary.labels.map((label) => [
      label.name,
      ...names.map((name) => withInterval(label.metrics[name]!, name)),
      String(cases.length - label.absent),
      String(label.missed),
      String(label.invented),
    ]),
  ];
  if (labels.length > 1) {
    const foreground = names.map((name) => withInterval(summary.foreground[name]!, name));
    rows.push(['mean of labels', ...foreground, '', '', '']);
  }
  const lines = [
    `${counted(cases.length, 'case')}, ${counted(labels.length, 'label')}${distancesSaid(evaluation)}`,
    `Means over cases, in brackets their ${percent} % bootstrap intervals`,
    '',
    textTable(rows),
    emptySaid(evaluation),
  ];
  const first = names[0];
  const worst = worstCases(evaluation, first);
  if (cases.length > 1 && worst.length > 0) {
    const list = worst.map(({ name, value }) => `${name} ${shown(value, first)}`).join(', ');
    lines.push(`Worst cases by ${metrics[first].title}: ${list}`);
  }
  return `${lines.join('\n')}\n`;
}

function worstCases({ cases }: Evaluation, name: MetricName) {
  const badness = (value: number) =>
    metrics[name].better === 'higher' ? -value : metrics[name].better === 'lower' ? value : Math.abs(value);
  return cases
    .flatMap((each) => {
      const value = caseMean(each, name);
      return value === null ? [] : [{ name: each.name, value }];
    })
    .sort((a, b) => badness(b.value) - badness(a.value))
    .slice(0, 3);
}
