/**
 * Curves over the epochs of a run, as SVG: one chart as a figure of an HTML page, or several as an image that stands by
 * itself. Colors come from the page's style (`chartColors`, `chartStyle`), which follows the reader's light or dark theme.
 */

export interface Curve {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

/** In units of the drawing; on a screen about as many pixels. */
const [chartWidth, chartHeight] = [420, 220];
const edges = { left: 54, right: 12, top: 10, bottom: 34 };
/** More points than these are a line without dots. */
const dotLimit = 40;
const colors = 8;

export interface Chart {
  readonly title: string;
  readonly curves: readonly Curve[];
  /** Values that the vertical axis reaches in any case. */
  readonly include?: readonly number[];
}

/** Grid, axes and curves, `chartWidth` x `chartHeight`. */
function drawing({ curves, include = [] }: Chart): string {
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
      `<path class="grid" d="M${edges.left} ${top(y)}H${chartWidth - edges.right}"/><text x="${edges.left - 6}" y="${round(top(y) + 4)}" text-anchor="end">${showNumber(y)}</text>`,
  );
  const ticks = horizontal.ticks.map(
    (x) =>
      `<path class="tick" d="M${left(x)} ${bottom}v4"/><text x="${left(x)}" y="${bottom + 17}" text-anchor="middle">${showNumber(x)}</text>`,
  );
  const lines = curves.map((curve, index) => {
    const few = curve.points.length <= dotLimit;
    const dots = curve.points
      .filter(({ x, y }) => few && Number.isFinite(x) && Number.isFinite(y))
      .map(
        ({ x, y }) =>
          `<circle cx="${left(x)}" cy="${top(y)}" r="2.2"><title>${escaped(curve.name)}, epoch ${showNumber(x)}: ${showNumber(y)}</title></circle>`,
      );
    return `<g class="${colorOf(index)}"><path class="curve" d="${line(curve, left, top)}"/>${dots.join('')}</g>`;
  });
  return [
    ...grid,
    `<path class="axis" d="M${edges.left} ${bottom}H${chartWidth - edges.right}"/>`,
    ...ticks,
    `<text x="${chartWidth - edges.right}" y="${chartHeight - 3}" text-anchor="end">epoch</text>`,
    ...lines,
  ].join('\n');
}

const colorOf = (index: number) => `c${index % colors}${index >= colors ? ' dashed' : ''}`;

const latest = ({ points }: Curve) => showNumber(points.at(-1)?.y ?? Number.NaN);

const described = ({ title, curves }: Chart) =>
  escaped(`${title}; latest: ${curves.map((curve) => `${curve.name} ${latest(curve)}`).join(', ')}`);

/** A figure of HTML with its legend. */
export function chartFigure(chart: Chart): string {
  const legend = chart.curves.map(
    (curve, index) =>
      `<li class="${colorOf(index)}"><svg class="key" viewBox="0 0 18 6" aria-hidden="true"><path class="curve" d="M0 3H18"/></svg>${escaped(curve.name)} <b>${latest(curve)}</b></li>`,
  );
  return `<figure>
<figcaption>${escaped(chart.title)}</figcaption>
<svg viewBox="0 0 ${chartWidth} ${chartHeight}" role="img" aria-label="${described(chart)}">
${drawing(chart)}
</svg>
<ul>${legend.join('')}</ul>
</figure>`;
}

/** Above a chart of an image stands its title, below it a line for each curve. */
const [titleHeight, legendLine, imageMargin] = [26, 18, 12];

/** An SVG file: charts side by side, on the reader's light or dark background. */
export function chartsImage(charts: readonly Chart[]): string {
  const most = Math.max(...charts.map(({ curves }) => curves.length));
  const width = charts.length * chartWidth + (charts.length + 1) * imageMargin;
  const height = titleHeight + chartHeight + most * legendLine + 2 * imageMargin;
  const panels = charts.map((chart, at) => {
    const legend = chart.curves.map((curve, index) => {
      const y = chartHeight + legendLine * (index + 0.75);
      return `<g class="${colorOf(index)}"><path class="curve" d="M${edges.left} ${y - 4}h18"/><text x="${edges.left + 26}" y="${y}">${escaped(curve.name)}, at the end ${latest(curve)}</text></g>`;
    });
    return `<g transform="translate(${imageMargin + at * (chartWidth + imageMargin)} ${imageMargin + titleHeight})">
<text class="title" x="${edges.left}" y="-10">${escaped(chart.title)}</text>
${drawing(chart)}
${legend.join('\n')}
</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${charts.map(described).join('; ')}">
<style>${chartColors}
svg { font-family: system-ui, sans-serif; }
.page { fill: var(--page); }
${chartStyle}
svg .title { fill: var(--ink); font-size: 15px; font-weight: 600; }</style>
<rect width="${width}" height="${height}" class="page"/>
${panels.join('\n')}
</svg>
`;
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
export function showNumber(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e7))
    return value.toExponential(2).replace('e+', 'e');
  return String(Number(Math.abs(value) >= 1000 ? value.toFixed(0) : value.toPrecision(4)));
}

/** Text as HTML and SVG show it, in elements and in attributes. */
export function escaped(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  // Control characters are allowed in no HTML.
  return text.replace(/[&<>"']/g, (each) => entities[each]).replace(/[^\P{Cc}\t\n]/gu, '\ufffd');
}

/** The curves' colors are Okabe and Ito's, darker on white and lighter on black. */
export const chartColors = `
:root { color-scheme: light dark; --ink: #1c1f24; --faint: #5c6570; --rule: #dfe3e8; --page: #ffffff;
  --c0: #0065a8; --c1: #c44e00; --c2: #00795a; --c3: #a64f86; --c4: #8a6d00; --c5: #2f8fc4; --c6: #b3261e; --c7: #4b4f57; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --faint: #a3abb5; --rule: #343a42; --page: #14171b;
  --c0: #56b4e9; --c1: #f0923c; --c2: #2fc79a; --c3: #de94c2; --c4: #f0e442; --c5: #8fb8ff; --c6: #ff7b6e; --c7: #c9ced6; } }`;

export const chartStyle = `
svg text { fill: var(--faint); font-size: 12px; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--rule); fill: none; }
.axis, .tick { stroke: var(--faint); fill: none; }
.curve { stroke: var(--c); fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
.dashed .curve { stroke-dasharray: 5 4; }
circle { fill: var(--c); }
${Array.from({ length: colors }, (_, index) => `.c${index} { --c: var(--c${index}); }`).join(' ')}`;
