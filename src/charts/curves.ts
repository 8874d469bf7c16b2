/**
 * Curves, most often over the epochs of a run, as SVG: one chart as a figure of an HTML page, or several as an image that
 * stands by itself. Colors come from the page's style (`chartColors`, `chartStyle`), which follows the reader's light or
 * dark theme.
 */
import { axis, round, showNumber } from './axis.ts';
import { chartColors, chartStyle, colored, curveColors, escaped } from './page.ts';

export interface Curve {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
  /** CSS; left out: one of the page's, by the curve's place. */
  readonly color?: string;
  /** What the legend says of it; left out: its latest value. */
  readonly note?: string;
}

/** In units of the drawing; on a screen about as many pixels. */
const [chartWidth, epochsHeight] = [420, 220];
const edges = { left: 54, right: 12, top: 10, bottom: 34 };
/** More points than these are a line without dots. */
const dotLimit = 40;

export interface Chart {
  readonly title: string;
  readonly curves: readonly Curve[];
  /** Values that the vertical axis reaches in any case. */
  readonly include?: readonly number[];
  /** Left out: epochs, which are whole numbers. */
  readonly across?: { readonly title: string; readonly include: readonly number[] };
  /** Whether a line shows where both axes have the same value. */
  readonly diagonal?: boolean;
  /** In units of the drawing, of which it is 420 wide; 220 when left out. */
  readonly height?: number;
}

/** Grid, axes and curves, `chartWidth` wide. */
function drawing({ curves, include = [], across, diagonal, height: chartHeight = epochsHeight }: Chart): string {
  const points = curves.flatMap((curve) => curve.points).filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y));
  const horizontal = axis([...points.map(({ x }) => x), ...(across?.include ?? [])], 6, across ? 0 : 1);
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
          `<circle cx="${left(x)}" cy="${top(y)}" r="2.2"><title>${escaped(curve.name)}, ${escaped(across?.title ?? 'epoch')} ${showNumber(x)}: ${showNumber(y)}</title></circle>`,
      );
    return `<g ${colorOf(curve, index)}><path class="curve" d="${line(curve, left, top)}"/>${dots.join('')}</g>`;
  });
  const [from, to] = [Math.max(horizontal.low, vertical.low), Math.min(horizontal.high, vertical.high)];
  return [
    ...grid,
    ...(diagonal ? [`<path class="diagonal" d="M${left(from)} ${top(from)}L${left(to)} ${top(to)}"/>`] : []),
    `<path class="axis" d="M${edges.left} ${bottom}H${chartWidth - edges.right}"/>`,
    ...ticks,
    `<text x="${chartWidth - edges.right}" y="${chartHeight - 3}" text-anchor="end">${escaped(across?.title ?? 'epoch')}</text>`,
    ...lines,
  ].join('\n');
}

/** The attribute that gives a curve and what belongs to it their color. */
function colorOf({ color }: Curve, index: number): string {
  if (color !== undefined) return colored(color);
  return `class="c${index % curveColors}${index >= curveColors ? ' dashed' : ''}"`;
}

const latest = ({ points, note }: Curve) => note ?? showNumber(points.at(-1)?.y ?? Number.NaN);

const described = ({ title, curves }: Chart) =>
  escaped(`${title}; latest: ${curves.map((curve) => `${curve.name} ${latest(curve)}`).join(', ')}`);

/** A figure of HTML with its legend. */
export function chartFigure(chart: Chart): string {
  const legend = chart.curves.map(
    (curve, index) =>
      `<li ${colorOf(curve, index)}><svg class="key" viewBox="0 0 18 6" aria-hidden="true"><path class="curve" d="M0 3H18"/></svg>${escaped(curve.name)} <b>${escaped(latest(curve))}</b></li>`,
  );
  return `<figure>
<figcaption>${escaped(chart.title)}</figcaption>
<svg viewBox="0 0 ${chartWidth} ${chart.height ?? epochsHeight}" role="img" aria-label="${described(chart)}">
${drawing(chart)}
</svg>
<ul>${legend.join('')}</ul>
</figure>`;
}

/** Above a chart of an image stands its title, below it a line for each curve. */
const [titleHeight, legendLine, imageMargin] = [26, 18, 12];

/** An SVG file: charts over epochs side by side, on the reader's light or dark background. */
export function chartsImage(charts: readonly Chart[]): string {
  const most = Math.max(...charts.map(({ curves }) => curves.length));
  const width = charts.length * chartWidth + (charts.length + 1) * imageMargin;
  const height = titleHeight + epochsHeight + most * legendLine + 2 * imageMargin;
  const panels = charts.map((chart, at) => {
    const legend = chart.curves.map((curve, index) => {
      const y = epochsHeight + legendLine * (index + 0.75);
      return `<g ${colorOf(curve, index)}><path class="curve" d="M${edges.left} ${y - 4}h18"/><text x="${edges.left + 26}" y="${y}">${escaped(curve.name)}, at the end ${escaped(latest(curve))}</text></g>`;
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
