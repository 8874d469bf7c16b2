/**
 * `unetrpp evaluate`: predictions against references. A table on the terminal; in a folder nnU-Net's summary.json, every
 * score as CSV, the whole record as JSON, and a report with pictures for a person.
 */

import { join } from 'node:path';
import { counted } from '../errors.ts';
import {
  distancesSaid,
  type Evaluation,
  emptySaid,
  intervalsSaid,
  type MetricName,
  type MetricSummary,
  metrics,
  scoresCsv,
  summaryJson,
  worstFirst,
} from '../evaluate/index.ts';
import { prepareOutputFolder, writeTogether } from '../wholeFiles.node.ts';
import { parseNatural } from './options.ts';
import { type MadeReport, makeReport, prepareReport, type ReportOptions } from './report.node.ts';
import { parseMetrics, prepareScoring, scoreSet, scoringOptions } from './scoring.node.ts';
import { textTable } from './table.ts';
import { example, printJson, type Register, type Terminal } from './terminal.ts';

interface Options extends ReportOptions {
  readonly output?: string;
  readonly report: boolean;
  readonly metrics?: readonly MetricName[];
  readonly json?: boolean;
}

export const registerEvaluate: Register = (program, terminal) => {
  const command = program
    .command('evaluate')
    .description('Score predicted label maps against references: overlap, surface distances, volumes.')
    .requiredOption('-p, --prediction <path>', 'folder of predicted label maps, or one file')
    .option('-o, --output <folder>', 'folder for summary.json, scores.csv, evaluation.json, report.html and overlays')
    .option('--no-report', 'neither report.html nor overlays')
    .option('--images <folder>', 'scans for the pictures of the report (default: those of the data set)')
    .option('--pictures <count>', 'cases with a picture, from the worst on', parseNatural, 50)
    .option('--run <folder>', 'run of the training, for its curves and its model in the report')
    .option('--model <folder>', 'model bundle that predicted, for the report to say so')
    .option('--metrics <names>', 'only these, separated by commas, such as dice,hd95', parseMetrics)
    .option('--json', 'print the record as JSON')
    .action((options: Options) => evaluateCommand(options, terminal));
  scoringOptions(command);
  example(
    command,
    'unetrpp evaluate -r Dataset004_Hippocampus/labelsTr -p predictions --fold 0 -o scores',
    'unetrpp evaluate -r labels -p predictions --images scans --run run -o scores',
  );
};

async function evaluateCommand(options: Options, terminal: Terminal): Promise<void> {
  const { output, json, prediction } = options;
  const scoring = await prepareScoring(options, [prediction], options.metrics, terminal);
  const prepared = output !== undefined && options.report ? await prepareReport(options, scoring) : undefined;
  const abandon = output === undefined ? undefined : await prepareOutputFolder(output);
  try {
    const evaluation = await scoreSet(scoring, 0, terminal);
    const report = prepared && (await makeReport(evaluation, prepared, options, terminal));
    const written = output === undefined ? [] : await write(output, evaluation, report);
    if (json) printJson(terminal, evaluation);
    else {
      terminal.out(evaluationText(evaluation));
      if (output !== undefined) terminal.out(`\n${output}: ${written.join(', ')}\n`);
    }
  } finally {
    await abandon?.();
  }
}

/** @returns what was written, for a person */
async function write(output: string, evaluation: Evaluation, report: MadeReport | undefined): Promise<string[]> {
  const overlays = [...(report?.overlays ?? [])];
  const folder = join(output, 'overlays');
  const abandon = overlays.length > 0 ? await prepareOutputFolder(folder) : undefined;
  const record = report?.calibration ? { ...evaluation, calibration: report.calibration } : evaluation;
  await writeTogether([
    ...overlays.map(([name, content]) => ({ path: join(folder, `${name}.png`), content })),
    ...(report ? [{ path: join(output, 'report.html'), content: report.html }] : []),
    { path: join(output, 'scores.csv'), content: scoresCsv(evaluation) },
    { path: join(output, 'evaluation.json'), content: `${JSON.stringify(record, null, 1)}\n` },
    { path: join(output, 'summary.json'), content: summaryJson(evaluation) },
  ]).finally(abandon);
  return [
    ...(report ? ['report.html'] : []),
    ...['summary.json', 'scores.csv', 'evaluation.json'],
    ...(overlays.length > 0 ? [counted(overlays.length, 'picture') + ' in overlays'] : []),
  ];
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
  const { cases, labels, summary, unit } = evaluation;
  const names =
    evaluation.metrics.length <= 4
      ? evaluation.metrics
      : tableMetrics.filter((each) => evaluation.metrics.includes(each));
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
    `Means over cases, in brackets their ${intervalsSaid(evaluation)}`,
    '',
    textTable(rows),
    emptySaid(evaluation),
  ];
  const first = names[0];
  const worst = worstFirst(evaluation, first).filter(({ value }) => value !== null);
  if (cases.length > 1 && worst.length > 0) {
    const list = worst
      .slice(0, 3)
      .map(({ each, value }) => `${each.name} ${shown(value, first)}`)
      .join(', ');
    lines.push(`Worst cases by ${metrics[first].title}: ${list}`);
  }
  return `${lines.join('\n')}\n`;
}
