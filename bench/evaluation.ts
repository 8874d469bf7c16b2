/**
 * Scores of a training on real scans, into the documentation: `npm run bench -- evaluation NAME SCORES [RUN]` takes what
 * `unetrpp evaluate -o SCORES` or a cross-validation wrote (evaluation.json) and the folder of the run, and writes
 * docs/results/NAME.json, the curves of the run, and the block NAME in docs/results.md. No picture of a scan is among it.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  caseMean,
  distancesSaid,
  type Evaluation,
  emptySaid,
  evaluateCases,
  type HeartEvaluation,
  heartRows,
  intervalsSaid,
  type MetricName,
  type MetricSummary,
  mainMetrics,
  metrics,
} from '../src/evaluate/index.ts';
import type { CrossValidationRecord } from '../src/train/crossValidation.node.ts';
import { table, trainingBlock, withBlock } from './results/tables.ts';
import { curves, epochsOf } from './results/training.ts';

type Written = Evaluation & { readonly hearts?: HeartEvaluation };

const root = fileURLToPath(new URL('..', import.meta.url));
const [name, scores, run] = process.argv.slice(2);

if (name === undefined || scores === undefined) console.log('npm run bench -- evaluation NAME SCORES [RUN]');
else main(name, scores, run);

function main(block: string, folder: string, runFolder: string | undefined): void {
  const evaluation = JSON.parse(readFileSync(join(folder, 'evaluation.json'), 'utf8')) as Written;
  const save = (path: string, content: string) => {
    writeFileSync(join(root, path), content);
    console.log(path);
  };
  // Where files lay on one machine says nothing on another.
  const cases = evaluation.cases.map(({ referenceFile: _, predictionFile: __, ...each }) => each);
  save(`docs/results/${block}.json`, `${JSON.stringify({ ...evaluation, cases })}\n`);
  const parts = [scoresTable(evaluation), conditions(evaluation)];
  const record = join(folder, 'cross-validation.json');
  if (existsSync(record)) {
    const { folds } = JSON.parse(readFileSync(record, 'utf8')) as Pick<CrossValidationRecord, 'folds'>;
    parts.push(foldsTable(evaluation, folds));
  }
  if (evaluation.hearts) parts.push(heartsTable(evaluation.hearts));
  parts.push(caseList(evaluation));
  const log = runFolder === undefined ? undefined : join(runFolder, 'log.jsonl');
  if (log !== undefined && existsSync(log)) {
    const epochs = epochsOf(readFileSync(log, 'utf8'));
    const picture = `${block}-training.svg`;
    save(`docs/results/${picture}`, curves(epochs));
    parts.unshift(
      trainingBlock(epochs),
      `![Loss of the training, and Dice of the cases that it looked at, epoch by epoch](results/${picture})`,
    );
  }
  const page = join(root, 'docs/results.md');
  writeFileSync(page, withBlock(readFileSync(page, 'utf8'), block, 'evaluation', parts.join('\n\n')));
  console.log('docs/results.md');
}

function shown(value: number | null, metric: MetricName): string {
  if (value === null) return '-';
  return value.toFixed(metrics[metric].unit === 'share' ? 3 : 2);
}

function withInterval({ mean, low, high }: MetricSummary, metric: MetricName): string {
  if (low === null) return shown(mean, metric);
  return `${shown(mean, metric)} (${shown(low, metric)} to ${shown(high, metric)})`;
}

function scoresTable(evaluation: Evaluation): string {
  const { labels, summary, unit } = evaluation;
  const names = mainMetrics(evaluation);
  const head = names.map((metric) => {
    const { title, unit: of } = metrics[metric];
    return of === 'distance' ? `${title}, ${unit}` : title;
  });
  const rows = summary.labels.map((label) => [
    label.name,
    ...names.map((metric) => withInterval(label.metrics[metric]!, metric)),
  ]);
  if (labels.length > 1) {
    rows.push([
      '**mean of labels**',
      ...names.map((metric) => withInterval(summary.foreground[metric]!, metric).replace(/^[\d.]+/, '**$&**')),
    ]);
  }
  return table(['Mean (95 % interval)', ...head], rows);
}

function conditions(evaluation: Evaluation): string {
  const begin = `${evaluation.cases.length} cases${distancesSaid(evaluation)}.`;
  return `${begin} Means over cases, ${intervalsSaid(evaluation)}. ${emptySaid(evaluation)}`;
}

function foldsTable(evaluation: Evaluation, folds: CrossValidationRecord['folds']): string {
  const rows = folds.map(({ fold, cases: names }) => {
    const own = evaluation.cases.filter((each) => names.includes(each.name));
    const { labels, foreground } = evaluateCases(own, evaluation).summary;
    const all = [...labels.map((label) => label.metrics.dice!), foreground.dice!];
    return [String(fold), String(own.length), ...all.map((summary) => withInterval(summary, 'dice'))];
  });
  return table(['fold, Dice', 'cases', ...evaluation.labels.map((label) => label.name), 'mean of labels'], rows);
}

function heartsTable(evaluated: HeartEvaluation): string {
  const rows = heartRows(evaluated).map(
    ({ title, unit, reference, predicted, bias, limits, meanAbsolute, correlation }) => [
      `${title}, ${unit}`,
      reference,
      predicted,
      limits ? `${bias} (${limits.join(' to ')})` : bias,
      meanAbsolute,
      correlation,
    ],
  );
  const head = ['', 'reference', 'predicted', 'error', 'mean absolute error', 'correlation'];
  const said = `Function of the ${evaluated.hearts.length} hearts; error: predicted - reference, with its 95 % limits of agreement (bias -+ 1.96 SD).`;
  return `${said}\n\n${table(head, rows)}`;
}

function caseList(evaluation: Evaluation): string {
  const names = evaluation.labels.map((label) => label.name);
  const rows = evaluation.cases.map((each) => [
    each.name,
    ...each.labels.map(({ scores: of }) => shown(of.dice ?? null, 'dice')),
    shown(caseMean(each, 'dice'), 'dice'),
  ]);
  return `<details><summary>Dice, case by case</summary>\n\n${table(['case', ...names, 'mean'], rows)}\n\n</details>`;
}
