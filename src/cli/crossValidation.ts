/**
 * `unetrpp train -f all-folds`: every fold trained, every case predicted by the fold that has not seen it, and what that says.
 * The same command goes on where it was stopped.
 */
import { readFileSync } from 'node:fs';
import { nodeEngine } from '../engine/node.ts';
import { type Evaluation, intervalsSaid, type LabelSummary } from '../evaluate/index.ts';
import {
  type CrossValidationRecord,
  type CrossValidationRequest,
  crossValidation,
  readCrossValidation,
  summaryFiles,
} from '../train/crossValidation.node.ts';
import { runUnits } from '../train/units.ts';
import { textTable } from './table.ts';
import { printJson, type Terminal } from './terminal.ts';
import { showTrained, trainingView } from './trainingView.ts';

/** @throws as `crossValidation` and its units */
export async function crossValidate(request: CrossValidationRequest, json: boolean, terminal: Terminal): Promise<void> {
  const { run } = request;
  const view = trainingView(terminal);
  const { line } = view;
  const skipped: string[] = [];
  // Results of single folds are no result of the command; in a JSON document there is no place for them.
  const aside: Terminal = { ...terminal, out: line.print };
  try {
    const work = await crossValidation(nodeEngine, request, {
      ...view.listeners,
      onTrained: (_, trained) => showTrained(trained, aside),
      onScored: (done, total) => line.show(`scoring mask ${done} of ${total}`, done / total),
    });
    try {
      await runUnits(work.units, {
        onBegin: ({ name }, { number, total }) => {
          if (name.startsWith('train ')) line.print(`${name}, of ${work.folds.length}\n`);
          else line.show(name, (number - 1) / total);
        },
        onDone: ({ name }, unit) => {
          if (unit.skipped) skipped.push(name);
          if (unit.skipped && name.startsWith('train ')) line.print(`${name}: done already\n`);
        },
        signal: terminal.signal,
      });
    } finally {
      await work.dispose();
    }
  } finally {
    view.end();
  }
  const record = readCrossValidation(run);
  const evaluation = JSON.parse(readFileSync(summaryFiles(run).evaluation, 'utf8')) as Evaluation;
  if (json) {
    const { dice, components, folds } = record;
    printJson(terminal, { run, folds, dice, components, summary: evaluation.summary, skipped, notices: view.notices });
  } else terminal.out(summaryText(run, record, evaluation));
}

const shown = (value: number | null) => (value === null ? '-' : value.toFixed(4));

function summaryText(run: string, { components, folds, dice, labels }: CrossValidationRecord, evaluation: Evaluation) {
  const { summary, cases } = evaluation;
  const withInterval = (of: LabelSummary['metrics'], name: 'dice' | 'hd95') => {
    const { mean, low, high } = of[name]!;
    const digits = (value: number | null) => (name === 'dice' || value === null ? shown(value) : value.toFixed(2));
    return low === null ? digits(mean) : `${digits(mean)} [${digits(low)}, ${digits(high)}]`;
  };
  const rows = [
    ['', 'Dice', 'HD95 (mm)', 'cases', 'missed', 'invented'],
    ...summary.labels.map((label) => [
      label.name,
      withInterval(label.metrics, 'dice'),
      withInterval(label.metrics, 'hd95'),
      ...[cases.length - label.absent, label.missed, label.invented].map(String),
    ]),
  ];
  if (labels.length > 1) {
    const mean = [withInterval(summary.foreground, 'dice'), withInterval(summary.foreground, 'hd95')];
    rows.push(['mean of labels', ...mean, '', '', '']);
  }
  return [
    `${cases.length} cases, each predicted by the fold of ${folds.length} that had not seen it\n`,
    `Means over cases, in brackets their ${intervalsSaid(evaluation)}\n\n`,
    textTable(rows),
    `\n${componentsSaid(components.keep, labels, dice)}\n`,
    `${run}/summary: summary.json, scores.csv, evaluation.json, cross-validation.json\n`,
    `The folds predict together: unetrpp predict -m ${run}\n`,
  ].join('');
}

/** What post-processing was chosen, in a sentence. */
export function componentsSaid(
  keep: readonly (readonly number[])[],
  labels: readonly { readonly value: number; readonly name: string }[],
  { before, after }: { readonly before: number | null; readonly after: number | null },
): string {
  if (keep.length === 0) return `Post-processing: all components are kept (mean Dice ${shown(before)}).`;
  const nameOf = (value: number) => labels.find((label) => label.value === value)?.name ?? `label ${value}`;
  const sets = keep.map((set) =>
    set.length === labels.length && set.length > 1 ? 'all labels together' : set.map(nameOf).join(' and '),
  );
  // Often a few voxels in a few cases: a digit more than in tables.
  const fine = (value: number | null) => value?.toFixed(5) ?? '-';
  return `Post-processing: the largest component only, of ${sets.join(', then of ')} (mean Dice ${fine(before)} without, ${fine(after)} with it).`;
}
