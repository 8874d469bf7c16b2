/**
 * `unetrpp evaluate`: predictions against references. A table on the terminal; in a folder nnU-Net's summary.json, every
 * score as CSV, the whole record as JSON, and a report with pictures for a person.
 */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type HeartFrames, heartFrames } from '../dataset/index.ts';
import { counted, InputError } from '../errors.ts';
import {
  acdcLabels,
  distancesSaid,
  type Evaluation,
  emptySaid,
  evaluateHearts,
  type HeartEvaluation,
  type HeartLabels,
  heartRows,
  intervalsSaid,
  type MetricName,
  type MetricSummary,
  mainMetrics,
  metrics,
  scoresCsv,
  summaryJson,
  worstFirst,
} from '../evaluate/index.ts';
import { readJson } from '../volume/files.node.ts';
import { prepareOutputFolder, writeTogether } from '../wholeFiles.node.ts';
import { parseHeartLabels, parseNatural } from './options.ts';
import { type MadeReport, makeReport, prepareReport, type ReportOptions } from './report.node.ts';
import { parseMetrics, prepareScoring, type Scoring, scoreSet, scoringOptions } from './scoring.node.ts';
import { textTable } from './table.ts';
import { example, printJson, type Register, type Terminal } from './terminal.ts';

interface Options extends ReportOptions {
  readonly output?: string;
  readonly report: boolean;
  readonly metrics?: readonly MetricName[];
  readonly heart?: boolean;
  readonly heartLabels?: HeartLabels;
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
    .option('--heart', 'also ejection fractions, volumes and mass; frames by ED_frame and ES_frame of patients.json')
    .option('--heart-labels <values>', 'right ventricle, myocardium, left ventricle (default: 1,2,3)', parseHeartLabels)
    .option('--metrics <names>', 'only these, separated by commas, such as dice,hd95', parseMetrics)
    .option('--json', 'print the record as JSON')
    .action((options: Options) => evaluateCommand(options, terminal));
  scoringOptions(command);
  example(
    command,
    'unetrpp evaluate -r Dataset004_Hippocampus/labelsTr -p predictions --fold 0 -o scores',
    'unetrpp evaluate -r labels -p predictions --images scans --run run -o scores',
    'unetrpp evaluate -r Dataset027_ACDC/labelsTr -p predictions --split split.json --heart -o scores',
  );
};

async function evaluateCommand(options: Options, terminal: Terminal): Promise<void> {
  const { output, json, prediction } = options;
  const scoring = await prepareScoring(options, [prediction], options.metrics, terminal);
  const frames = options.heart ? await framesOf(scoring) : undefined;
  const prepared = output !== undefined && options.report ? await prepareReport(options, scoring) : undefined;
  const abandon = output === undefined ? undefined : await prepareOutputFolder(output);
  try {
    const evaluation = await scoreSet(scoring, 0, terminal);
    const hearts = frames && evaluateHearts(evaluation, frames, options.heartLabels ?? acdcLabels);
    const report = prepared && (await makeReport(evaluation, hearts, prepared, options, terminal));
    const record = {
      ...evaluation,
      ...(hearts && { hearts }),
      ...(report?.calibration && { calibration: report.calibration }),
    };
    const written = output === undefined ? [] : await write(output, record, report);
    if (json) printJson(terminal, record);
    else {
      terminal.out(evaluationText(evaluation));
      if (hearts) terminal.out(`\n${heartsText(hearts)}`);
      if (output !== undefined) terminal.out(`\n${output}: ${written.join(', ')}\n`);
    }
  } finally {
    await abandon?.();
  }
}

/** The frames of the hearts that are scored. @throws InputError when the data set does not name them */
async function framesOf({ datasetFolder, pairs }: Scoring): Promise<HeartFrames[]> {
  const path = datasetFolder === undefined ? undefined : join(datasetFolder, 'patients.json');
  if (path === undefined || !existsSync(path)) {
    throw new InputError(
      '--heart pairs frames by the ED_frame and ES_frame of patients.json beside dataset.json, and there is none; add it, or measure a pair with unetrpp measure --heart ED ES.',
    );
  }
  return heartFrames(
    await readJson(path),
    pairs[0].map(({ name }) => name),
    path,
  );
}

/** @returns what was written, for a person */
async function write(output: string, evaluation: Evaluation, report: MadeReport | undefined): Promise<string[]> {
  const overlays = [...(report?.overlays ?? [])];
  const folder = join(output, 'overlays');
  const abandon = overlays.length > 0 ? await prepareOutputFolder(folder) : undefined;
  await writeTogether([
    ...overlays.map(([name, content]) => ({ path: join(folder, `${name}.png`), content })),
    ...(report ? [{ path: join(output, 'report.html'), content: report.html }] : []),
    { path: join(output, 'scores.csv'), content: scoresCsv(evaluation) },
    { path: join(output, 'evaluation.json'), content: `${JSON.stringify(evaluation, null, 1)}\n` },
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

function evaluationText(evaluation: Evaluation): string {
  const { cases, labels, summary, unit } = evaluation;
  const names = mainMetrics(evaluation);
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

function heartsText(evaluated: HeartEvaluation): string {
  const rows = heartRows(evaluated).map(
    ({ title, unit, reference, predicted, bias, limits, meanAbsolute, correlation, hearts }) => [
      `${title} (${unit})`,
      reference,
      predicted,
      limits ? `${bias} [${limits.join(', ')}]` : bias,
      meanAbsolute,
      correlation,
      String(hearts),
    ],
  );
  const head = ['', 'reference', 'predicted', 'error', 'mean |error|', 'correlation', 'hearts'];
  return `${counted(evaluated.hearts.length, 'heart')}, means; error: predicted - reference, in brackets its 95 % limits of agreement (bias -+ 1.96 SD)

${textTable([head, ...rows])}`;
}
