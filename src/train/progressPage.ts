/**
 * A page that shows how a run goes, or went: curves and the last epochs in numbers. One HTML file that needs nothing
 * else, no script and no network, so that it can be opened from disk, mailed and printed. While the run lasts it asks
 * the browser to read it again; who writes it, and when, is the run's.
 */
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

/** Text as HTML shows it, in elements and in attributes. */
function escaped(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  // Control characters are allowed in no HTML.
  return text.replace(/[&<>"']/g, (each) => entities[each]).replace(/[^\P{Cc}\t\n]/gu, '\ufffd');
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
    ['loss', number(last.loss)],
    ...(best ? [['best mean Dice', `${number(meanDice(best))} (epoch ${best.epoch})`] as [string, string]] : []),
  ];
  return `<dl>${facts.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join('')}</dl>`;
}

/** Labels of all records, in the order in which they appear. */
function labelsOf(records: readonly EpochRecord[]): string[] {
  return [...new Set(records.flatMap(({ dice }) => Object.keys(dice ?? {})))];
}

function charts(records: readonly EpochRecord[]): string {
  const curve = (name: string, of: (record: EpochRecord) => number | undefined): Curve => ({
    name,
    points: records
      .filter((record) => of(record) !== undefined)
      .map((record) => ({ x: record.epoch, y: of(record) ?? Number.NaN })),
  });
  const labels = labelsOf(records);
  return `<div class="charts">
${chart('Loss, training', [curve('loss', ({ loss }) => loss)])}
${
  labels.length === 0
    ? ''
    : chart(
        'Dice, validation',
        labels.map((label) => curve(label, ({ dice }) => dice?.[label])),
        [0, 1],
      )
}
${chart('Learning rate', [curve('learning rate', ({ learningRate }) => learningRate)], [0])}
${chart('Examples a second', [curve('examples a second', ({ examplesPerSecond }) => examplesPerSecond)], [0])}
</div>`;
}

interface Curve {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

/** In units of the drawing; on a screen about as many pixels. */
const [chartWidth, chartHeight] = [420, 220];
const edges = { left: 54, right: 12, top: 10, bottom: 34 };
/** More points than these are a line without dots. */
const dotLimit = 40;
const colors = 8;

/** @param include values that the vertical axis reaches in any case */
function chart(title: string, curves: readonly Curve[], include: readonly number[] = []): string {
  const points = curves.flatMap((curve) => curve.points).filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y));
  const horizontal = axis(
    points.map(({ x }) => x),
    6,
    1,
  );
  const vertical = axis([...points.map(({ y }) => y), ...include], 5, 0);
  const left = (x: number) =>
    round(
      edges.left +
        ((x - horizontal.low) / (horizontal.high - horizontal.low)) * (chartWidth - edges.left - edges.right),
    );
  const top = (y: number) =>
    round(
      chartHeight -
        edges.bottom -
        ((y - vertical.low) / (vertical.high - vertical.low)) * (chartHeight - edges.top - edges.bottom),
    );
  const bottom = chartHeight - edges.bottom;
  const grid = vertical.ticks.map(
    (y) =>
      `<path class="grid" d="M${edges.left} ${top(y)}H${chartWidth - edges.right}"/><text x="${edges.left - 6}" y="${round(top(y) + 4)}" text-anchor="end">${number(y)}</text>`,
  );
  const ticks = horizontal.ticks.map(
    (x) =>
      `<path class="tick" d="M${left(x)} ${bottom}v4"/><text x="${left(x)}" y="${bottom + 17}" text-anchor="middle">${number(x)}</text>`,
  );
  const lines = curves.map((curve, index) => {
    const name = `c${index % colors}${index >= colors ? ' dashed' : ''}`;
    const few = curve.points.length <= dotLimit;
    const dots = curve.points
      .filter(({ x, y }) => few && Number.isFinite(x) && Number.isFinite(y))
      .map(
        ({ x, y }) =>
          `<circle cx="${left(x)}" cy="${top(y)}" r="2.2"><title>${escaped(curve.name)}, epoch ${number(x)}: ${number(y)}</title></circle>`,
      );
    return `<g class="${name}"><path class="curve" d="${line(curve, left, top)}"/>${dots.join('')}</g>`;
  });
  const latest = (curve: Curve) => number(curve.points.at(-1)?.y ?? Number.NaN);
  const said = curves.map((curve) => `${curve.name} ${latest(curve)}`).join(', ');
  const legend = curves.map(
    (curve, index) =>
      `<li class="c${index % colors}${index >= colors ? ' dashed' : ''}"><svg class="key" viewBox="0 0 18 6" aria-hidden="true"><path class="curve" d="M0 3H18"/></svg>${escaped(curve.name)} <b>${latest(curve)}</b></li>`,
  );
  return `<figure>
<figcaption>${escaped(title)}</figcaption>
<svg viewBox="0 0 ${chartWidth} ${chartHeight}" role="img" aria-label="${escaped(`${title}; latest: ${said}`)}">
${grid.join('\n')}
<path class="axis" d="M${edges.left} ${bottom}H${chartWidth - edges.right}"/>
${ticks.join('\n')}
<text x="${chartWidth - edges.right}" y="${chartHeight - 3}" text-anchor="end">epoch</text>
${lines.join('\n')}
</svg>
<ul>${legend.join('')}</ul>
</figure>`;
}

/** A path that is interrupted where there is no number. */
function line({ points }: Curve, left: (x: number) => number, top: (y: number) => number): string {
  let path = '';
  let move = true;
  for (const { x, y } of points) {
    const shown = Number.isFinite(x) && Number.isFinite(y);
    if (shown) path += `${move ? 'M' : 'L'}${left(x)} ${top(y)}`;
    move = !shown;
  }
  return path;
}

/** From a round number to a round number around the values, in steps of 1, 2 or 5 times a power of ten, `least` or more. */
function axis(values: readonly number[], most: number, least: number): { low: number; high: number; ticks: number[] } {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) [low, high] = [0, 1];
  if (low === high) [low, high] = low === 0 ? [0, 1] : [low - Math.abs(low) / 2, high + Math.abs(high) / 2];
  const power = 10 ** Math.floor(Math.log10((high - low) / most));
  const step = Math.max(least, power * ([1, 2, 5].find((factor) => (factor * power * most) / (high - low) >= 1) ?? 10));
  if (least > 0) {
    // Epochs: the curve fills the width, and ticks stand at whole steps.
    const first = Math.ceil(low / step);
    const ticks = Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => (first + i) * step);
    return { low, high, ticks };
  }
  const [first, last] = [Math.floor(low / step + 1e-9), Math.ceil(high / step - 1e-9)];
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
  return { low: first * step, high: last * step, ticks };
}

const round = (value: number) => Math.round(value * 10) / 10;

/** Four digits, without zeros at the end; – for what is no number. */
function number(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e7))
    return value.toExponential(2).replace('e+', 'e');
  return String(Number(Math.abs(value) >= 1000 ? value.toFixed(0) : value.toPrecision(4)));
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
    number(record.learningRate),
    fixed(record.examplesPerSecond, 2),
    `${number(Math.round(record.waitingShare * 100))} %`,
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

/** The curves' colors are Okabe and Ito's, darker on white and lighter on black. */
const style = `
:root { color-scheme: light dark; --ink: #1c1f24; --faint: #5c6570; --rule: #dfe3e8; --page: #ffffff;
  --c0: #0065a8; --c1: #c44e00; --c2: #00795a; --c3: #a64f86; --c4: #8a6d00; --c5: #2f8fc4; --c6: #b3261e; --c7: #4b4f57; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --faint: #a3abb5; --rule: #343a42; --page: #14171b;
  --c0: #56b4e9; --c1: #f0923c; --c2: #2fc79a; --c3: #de94c2; --c4: #f0e442; --c5: #8fb8ff; --c6: #ff7b6e; --c7: #c9ced6; } }
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
svg text { fill: var(--faint); font-size: 12px; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--rule); fill: none; }
.axis, .tick { stroke: var(--faint); fill: none; }
.curve { stroke: var(--c); fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
.dashed .curve { stroke-dasharray: 5 4; }
circle { fill: var(--c); }
${Array.from({ length: colors }, (_, index) => `.c${index} { --c: var(--c${index}); }`).join(' ')}
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
