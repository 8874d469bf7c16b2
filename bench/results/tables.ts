/**
 * The results as Markdown, and their way into a page: each block stands there between two comments of its name, so that
 * its numbers are always those that were measured last.
 */
import { showDuration } from '../../src/predict/index.ts';
import type { EpochRecord } from '../../src/train/run.ts';
import { type CaseDice, type Comparison, type Landmark, meanDice, meanRow, type Summary } from './scores.ts';

/** One way of predicting, on all cases. */
export interface Inference {
  readonly mirrorAxes: readonly number[];
  readonly cases: readonly CaseDice[];
  /** By label, and of the mean over labels. */
  readonly summary: Readonly<Record<string, Summary>>;
  /** Another model, on the same cases in the same order; null: its scores were not there. */
  readonly other: {
    readonly cases: readonly CaseDice[];
    readonly summary: Readonly<Record<string, Summary>>;
    readonly comparison: Readonly<Record<string, Comparison>>;
  } | null;
}

export interface Results {
  readonly model: {
    readonly name: string;
    readonly parameters: number;
    readonly weights: { readonly dtype: string; readonly bytes: number; readonly sha256: string };
  };
  readonly dataset: { readonly name: string; readonly fold: number; readonly cases: number };
  readonly labels: readonly string[];
  /** What the model is compared with. */
  readonly other: string;
  readonly plain: Inference;
  readonly mirrored: Inference;
  /** Cases by the mean Dice without mirroring. */
  readonly landmarks: Readonly<Record<Landmark, CaseDice>>;
}

const three = (value: number) => value.toFixed(3);
const signed = (value: number) => `${value < 0 ? '-' : '+'}${three(Math.abs(value))}`;
const between = ([low, high]: readonly [number, number], show = three) => `${show(low)} to ${show(high)}`;
const showP = (p: number) => (p < 0.001 ? p.toExponential(0) : p.toFixed(3));

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** Scores of one way of predicting, with the comparison below them, and what it says. */
function inferenceBlock({ labels, other: otherName, dataset }: Results, inference: Inference): string {
  const { summary, other } = inference;
  const names = [...labels, meanRow];
  const row = (title: string, of: (name: string) => string) => [title, ...names.map(of)];
  const rows = [
    row('mean (SD)', (name) => `**${three(summary[name].mean)}** (${three(summary[name].standardDeviation)})`),
    row('95 % interval of the mean', (name) => between(summary[name].interval)),
    row('median', (name) => three(summary[name].median)),
    row('worst case', (name) => `${three(summary[name].worst.dice)} (${summary[name].worst.name})`),
  ];
  if (!other) {
    return `${table(['Dice', ...labels, 'mean of both'], rows)}\n\nThe scores of ${otherName} were not there to compare with.`;
  }
  const { comparison } = other;
  rows.push(
    row(`${otherName}: mean (SD)`, (name) =>
      [three(other.summary[name].mean), ` (${three(other.summary[name].standardDeviation)})`].join(''),
    ),
    row(
      'the same: worst case',
      (name) => `${three(other.summary[name].worst.dice)} (${other.summary[name].worst.name})`,
    ),
    row('difference, 95 % interval', (name) => {
      const { difference, interval } = comparison[name];
      return `${signed(difference)} (${between(interval, signed)})`;
    }),
    row('cases higher / lower', (name) => `${comparison[name].higher} / ${comparison[name].lower}`),
    row('p', (name) => showP(comparison[name].p)),
  );
  return `${table(['Dice', ...labels, 'mean of both'], rows)}\n\n${conclusion(labels, comparison, otherName, dataset.cases)}`;
}

/** Below it a difference is called one. */
const level = 0.05;

/** The comparison in plain words. */
export function conclusion(
  labels: readonly string[],
  comparison: Readonly<Record<string, Comparison>>,
  other: string,
  cases: number,
): string {
  const { difference, interval, higher, lower, p } = comparison[meanRow];
  const inLabels = labels.map((label) => {
    const { difference: by, p: corrected } = comparison[label];
    return `${label} ${signed(by)} (p = ${showP(corrected)})`;
  });
  const after = `By label, p corrected for ${labels.length} labels: ${inLabels.join(', ')}.`;
  if (!(p < level)) {
    return `These ${cases} cases do not tell the model from ${other}: mean Dice ${signed(difference)} (${between(interval, signed)}), p = ${showP(p)}. ${after}`;
  }
  const [direction, count] = difference > 0 ? ['above', higher] : ['below', lower];
  return (
    `Mean Dice is ${three(Math.abs(difference))} ${direction} ${other}, ${direction} in ${count} of ${cases} cases; if the two models were ` +
    `equally good on such cases, so one-sided a result would come up with probability ${showP(p)}. ${after}`
  );
}

function caseTable({ labels, plain, mirrored }: Results): string {
  const cell = (each: CaseDice | undefined) => {
    if (!each) return '';
    return [...labels.map((label) => three(each.dice[label])), `**${three(meanDice(each, labels))}**`].join(' ');
  };
  const columns = [plain.cases, plain.other?.cases, mirrored.cases, mirrored.other?.cases];
  const what = [...labels, 'mean'].join(' ');
  return table(
    ['case', 'plain', 'compared with', 'mirrored', 'compared with'],
    plain.cases.map(({ name }, i) => [name, ...columns.map((cases) => cell(cases?.[i]))]),
  ).replace(/^/, `Each cell: ${what}.\n\n`);
}

/** All scores. */
export function scoresBlock(results: Results): string {
  return `#### Without mirroring

${inferenceBlock(results, results.plain)}

#### Mirrored (\`--mirror\`: ${results.mirrored.mirrorAxes.map((axis) => 'zyx'[axis]).join(', ')} and none)

${inferenceBlock(results, results.mirrored)}

<details><summary>Case by case</summary>

${caseTable(results)}

</details>`;
}

/** The three pictures, with what their cases scored. */
export function picturesBlock({ labels, landmarks }: Results, files: Readonly<Record<Landmark, string>>): string {
  return (['best', 'median', 'worst'] as const)
    .map((which) => {
      const each = landmarks[which];
      const scores = labels.map((label) => `${label} ${three(each.dice[label])}`).join(', ');
      const title = `The ${which} case, ${each.name}: mean ${three(meanDice(each, labels))}; ${scores}`;
      return `#### ${title}\n\n![${title}. Rows: reference, prediction, differences; columns: axial, coronal, sagittal](${files[which]})`;
    })
    .join('\n\n');
}

/** What a run's log says of it. */
export function trainingBlock(records: readonly EpochRecord[]): string {
  const last = records[records.length - 1];
  const memory = Math.max(...records.map(({ memoryBytes }) => memoryBytes));
  return (
    `${last.epoch} epochs, ${last.step} steps, ${showDuration(last.seconds)}; ` +
    `the process took up to ${(memory / 1e9).toFixed(1)} GB, and waited for data for ${showShare(records)} of the time.`
  );
}

function showShare(records: readonly EpochRecord[]): string {
  const share = Math.max(...records.map(({ waitingShare }) => waitingShare));
  return share < 0.001 ? 'less than 0.1 %' : `${(100 * share).toFixed(1)} %`;
}

/** The scores in short, for a model card. */
export function cardBlock({ labels, other: otherName, plain, mirrored }: Results): string {
  const names = [...labels, meanRow];
  const row = (title: string, summary: Readonly<Record<string, Summary>>) => [
    title,
    ...names.map((name) => `${three(summary[name].mean)} (${three(summary[name].standardDeviation)})`),
    `${three(summary[meanRow].worst.dice)} (${summary[meanRow].worst.name})`,
  ];
  const rows = [row('without mirroring', plain.summary), row('mirrored', mirrored.summary)];
  if (plain.other) rows.push(row(`${otherName}, without mirroring`, plain.other.summary));
  if (mirrored.other) rows.push(row(`${otherName}, mirrored`, mirrored.other.summary));
  return table(['Dice, mean (SD)', ...labels, 'mean of both', 'worst case'], rows);
}

/**
 * @param command of `npm run bench` that writes the block
 * @throws Error when the page has no such block
 */
export function withBlock(page: string, name: string, command: string, block: string): string {
  const [begin, end] = [`<!-- ${name}: written by npm run bench -- ${command} -->`, `<!-- end of ${name} -->`];
  const [start, stop] = [page.indexOf(begin), page.indexOf(end)];
  if (start < 0 || stop < start) throw new Error(`the page has no block "${name}", from ${begin} to ${end}`);
  return `${page.slice(0, start + begin.length)}\n\n${block}\n\n${page.slice(stop)}`;
}
