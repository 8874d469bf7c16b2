/**
 * A page that shows how a run goes, or went: curves and the last epochs in numbers. While the run lasts it asks the
 * browser to read it again; who writes it, and when, is the run's.
 */
import { showNumber } from '../charts/axis.ts';
import { type Chart, type Curve, chartFigure } from '../charts/curves.ts';
import { escaped, htmlPage } from '../charts/page.ts';
import { showDuration } from '../predict/progress.ts';
import type { EpochRecord } from './run.ts';

export interface ProgressPageAbout {
  readonly title: string;
  /** What is trained, on what, with what: one paragraph each. */
  readonly lines: readonly string[];
  /** Whether the run is still at work: then the page is read again every half minute. */
  readonly running: boolean;
}

const refreshSeconds = 30;
/** Rows of the table, the latest first. */
const tableRows = 20;

/** @param records of the epochs that are complete, in order */
export function progressPage(records: readonly EpochRecord[], { title, lines, running }: ProgressPageAbout): string {
  const body = [
    `<h1>${escaped(title)}</h1>`,
    ...lines.map((line) => `<p>${escaped(line)}</p>`),
    `<p class="state">${running ? 'The run is at work; this page renews itself.' : 'The run has ended.'}</p>`,
    ...(records.length === 0
      ? ['<p>No epoch is complete yet.</p>']
      : [summary(records), charts(records), table(records)]),
  ];
  return htmlPage({ title, body, style, ...(running && { refreshSeconds }) });
}

/** Mean over the labels that have a number; NaN where none has. */
function meanDice({ dice }: EpochRecord): number {
  const found = Object.values(dice ?? {}).filter(Number.isFinite);
  return found.reduce((sum, value) => sum + value, 0) / found.length;
}

function summary(records: readonly EpochRecord[]): string {
  const last = records[records.length - 1];
  const judged = records.filter((record) => Number.isFinite(meanDice(record)));
  const best = judged.reduce<EpochRecord | undefined>((a, b) => (a && meanDice(a) >= meanDice(b) ? a : b), undefined);
  const facts: [name: string, value: string][] = [
    ['epoch', String(last.epoch)],
    ['step', String(last.step)],
    ['time', showDuration(last.seconds)],
    ['loss', showNumber(last.loss)],
    ...(best ? [['best mean Dice', `${showNumber(meanDice(best))} (epoch ${best.epoch})`] as [string, string]] : []),
  ];
  return `<dl>${facts.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join('')}</dl>`;
}

/** Labels of all records, in the order in which they appear. */
export function labelsOf(records: readonly EpochRecord[]): string[] {
  return [...new Set(records.flatMap(({ dice }) => Object.keys(dice ?? {})))];
}

/** A value of each epoch that has it. */
export function epochCurve(
  records: readonly EpochRecord[],
  name: string,
  of: (record: EpochRecord) => number | undefined,
): Curve {
  const points = records.map((record) => ({ x: record.epoch, y: of(record) }));
  return { name, points: points.filter((point): point is { x: number; y: number } => point.y !== undefined) };
}

/** What is drawn of a run. */
export function epochCharts(records: readonly EpochRecord[]): Chart[] {
  const curve = (name: string, of: (record: EpochRecord) => number | undefined) => epochCurve(records, name, of);
  const labels = labelsOf(records);
  const dice: Chart = {
    title: 'Dice, validation',
    curves: labels.map((label) => curve(label, ({ dice }) => dice?.[label])),
    include: [0, 1],
  };
  return [
    { title: 'Loss, training', curves: [curve('loss', ({ loss }) => loss)] },
    ...(labels.length > 0 ? [dice] : []),
    { title: 'Learning rate', curves: [curve('learning rate', ({ learningRate }) => learningRate)], include: [0] },
    {
      title: 'Examples a second',
      curves: [curve('examples a second', ({ examplesPerSecond }) => examplesPerSecond)],
      include: [0],
    },
  ];
}

const charts = (records: readonly EpochRecord[]) =>
  `<div class="charts">\n${epochCharts(records).map(chartFigure).join('\n')}\n</div>`;

/** So many decimals, for columns. */
function fixed(value: number, decimals: number): string {
  return Number.isFinite(value) ? value.toFixed(decimals) : '–';
}

function table(records: readonly EpochRecord[]): string {
  const labels = labelsOf(records);
  const head = ['epoch', 'step', 'time', 'loss', 'learning rate', 'examples / s', 'waiting', 'memory'];
  const row = (record: EpochRecord) => [
    String(record.epoch),
    String(record.step),
    showDuration(record.seconds),
    fixed(record.loss, 4),
    showNumber(record.learningRate),
    fixed(record.examplesPerSecond, 2),
    `${showNumber(Math.round(record.waitingShare * 100))} %`,
    `${fixed(record.memoryBytes / 2 ** 30, 1)} GiB`,
    ...(labels.length > 0 ? [fixed(meanDice(record), 3)] : []),
    ...labels.map((label) => fixed(record.dice?.[label] ?? Number.NaN, 3)),
  ];
  const rows = records
    .slice(-tableRows)
    .reverse()
    .map(
      (record) =>
        `<tr>${row(record)
          .map((cell) => `<td>${cell}</td>`)
          .join('')}</tr>`,
    );
  const heads = [...head, ...(labels.length > 0 ? ['mean Dice'] : []), ...labels];
  return `<h2>The last epochs</h2>
<div class="table"><table>
<thead><tr>${heads.map((each) => `<th scope="col">${escaped(each)}</th>`).join('')}</tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table></div>`;
}

const style = `
.state { color: var(--faint); }
@media print { table { font-size: 0.6rem; } th, td { padding: 1px 3px; } th { white-space: normal; } }
`;
