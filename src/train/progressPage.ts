/**
 * A page that shows how a run goes, or went: curves and the last epochs in numbers. One HTML file that needs nothing
 * else, no script and no network, so that it can be opened from disk, mailed and printed. While the run lasts it asks
 * the browser to read it again; who writes it, and when, is the run's.
 */
import { showDuration } from '../predict/progress.ts';
import { type Chart, type Curve, chartColors, chartFigure, chartStyle, escaped, showNumber } from './chart.ts';
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
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:" />
${running ? `<meta http-equiv="refresh" content="${refreshSeconds}" />\n` : ''}<link rel="icon" href="data:," />
<title>${escaped(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
${body.join('\n')}
</main>
</body>
</html>
`;
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

function charts(records: readonly EpochRecord[]): string {
  const curve = (name: string, of: (record: EpochRecord) => number | undefined) => epochCurve(records, name, of);
  const labels = labelsOf(records);
  const dice: Chart = {
    title: 'Dice, validation',
    curves: labels.map((label) => curve(label, ({ dice }) => dice?.[label])),
    include: [0, 1],
  };
  const all: Chart[] = [
    { title: 'Loss, training', curves: [curve('loss', ({ loss }) => loss)] },
    ...(labels.length > 0 ? [dice] : []),
    { title: 'Learning rate', curves: [curve('learning rate', ({ learningRate }) => learningRate)], include: [0] },
    {
      title: 'Examples a second',
      curves: [curve('examples a second', ({ examplesPerSecond }) => examplesPerSecond)],
      include: [0],
    },
  ];
  return `<div class="charts">
${all.map(chartFigure).join('\n')}
</div>`;
}

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

const style = `${chartColors}${chartStyle}
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1160px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 32px 0 8px; }
p { margin: 0 0 4px; max-width: 70ch; overflow-wrap: anywhere; }
.state { color: var(--faint); }
dl { display: flex; flex-wrap: wrap; gap: 8px 32px; margin: 20px 0; }
dt { color: var(--faint); font-size: 0.85rem; }
dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.charts { max-width: 920px; display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); gap: 24px; }
figure { margin: 0; min-width: 0; break-inside: avoid; }
figcaption { font-weight: 600; margin-bottom: 4px; }
figure > svg { display: block; width: 100%; height: auto; }
ul { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 6px 0 0; padding: 0; font-size: 0.85rem; }
li { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.key { width: 18px; height: 6px; margin-right: 6px; vertical-align: middle; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 8px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
th { color: var(--faint); font-weight: 500; }
th:first-child, td:first-child { padding-left: 0; }
@media print { :root { color-scheme: light; --ink: #000; --faint: #444; --rule: #ccc; --page: #fff;
  --c0: #0065a8; --c1: #c44e00; --c2: #00795a; --c3: #a64f86; --c4: #8a6d00; --c5: #2f8fc4; --c6: #b3261e; --c7: #4b4f57; }
  main { max-width: none; padding: 0; } .charts { max-width: none; grid-template-columns: 1fr 1fr; } .table { overflow: visible; }
  table { font-size: 0.6rem; } th, td { padding: 1px 3px; } th { white-space: normal; } }
`;
