/**
 * Box plots as SVG: a row for each group, one below the other, with a point for every value, so that few cases are seen to be
 * few. The box goes from the lower to the upper quartile, its line is the median, its whiskers reach the outermost values
 * within 1.5 box lengths (Tukey, "Exploratory Data Analysis", 1977, section 2C).
 */
import { axis, round, showNumber } from './axis.ts';
import { colored, escaped } from './page.ts';

interface BoxGroup {
  readonly name: string;
  /** CSS. */
  readonly color: string;
  readonly values: readonly { readonly name: string; readonly value: number }[];
}

export interface BoxPlot {
  readonly title: string;
  readonly groups: readonly BoxGroup[];
  /** Values that the axis reaches in any case. */
  readonly include?: readonly number[];
}

export interface Box {
  readonly low: number;
  readonly lowerQuartile: number;
  readonly median: number;
  readonly upperQuartile: number;
  readonly high: number;
}

/** @param values at least one; quartiles between two values are interpolated linearly */
export function boxOf(values: readonly number[]): Box {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => {
    const place = share * (sorted.length - 1);
    const below = Math.floor(place);
    const above = sorted[Math.min(below + 1, sorted.length - 1)];
    return sorted[below] + (place - below) * (above - sorted[below]);
  };
  const [lowerQuartile, median, upperQuartile] = [at(0.25), at(0.5), at(0.75)];
  const reach = 1.5 * (upperQuartile - lowerQuartile);
  const within = sorted.filter((value) => value >= lowerQuartile - reach && value <= upperQuartile + reach);
  return { low: within[0], lowerQuartile, median, upperQuartile, high: within[within.length - 1] };
}

/** In units of the drawing; on a screen about as many pixels. */
const width = 420;
const [left, right, bottom] = [8, 12, 24];
/** Of a row: its name, then its box. */
const [nameHeight, boxHeight, rowGap] = [17, 18, 9];
const rowHeight = nameHeight + boxHeight + rowGap;
/** Points spread over this part of the box's height. */
const spread = 0.8;
/** Fraction of the golden angle: neighbors in the list never lie close. */
const golden = 0.6180339887;

/** A figure of HTML. */
export function boxPlotFigure({ title, groups, include = [] }: BoxPlot): string {
  const values = groups.flatMap((group) => group.values.map(({ value }) => value));
  const { low, high, ticks } = axis([...values, ...include], 5, 0);
  const x = (value: number) => round(left + ((value - low) / (high - low)) * (width - left - right));
  const height = groups.length * rowHeight + bottom;
  const floor = height - bottom;
  const grid = ticks.map(
    (tick) =>
      `<path class="grid" d="M${x(tick)} 0V${floor}"/><text x="${x(tick)}" y="${floor + 16}" text-anchor="${anchor(tick, low, high)}">${showNumber(tick)}</text>`,
  );
  const rows = groups.map((group, row) => {
    const top = row * rowHeight + nameHeight;
    const middle = top + boxHeight / 2;
    const name = `<text class="name" x="${left}" y="${top - 5}">${escaped(group.name)}</text>`;
    if (group.values.length === 0) {
      return `${name}<text x="${left}" y="${middle + 4}">no value</text>`;
    }
    const box = boxOf(group.values.map(({ value }) => value));
    const [from, to] = [x(box.lowerQuartile), x(box.upperQuartile)];
    const points = group.values.map(({ name: of, value }, i) => {
      const y = middle + (((i * golden) % 1) - 0.5) * spread * boxHeight;
      return `<circle cx="${x(value)}" cy="${round(y)}" r="2.4"><title>${escaped(of)}: ${showNumber(value)}</title></circle>`;
    });
    return `${name}<g ${colored(group.color)}>
<path class="whisker" d="M${x(box.low)} ${middle}H${from}M${to} ${middle}H${x(box.high)}"/>
<rect class="box" x="${from}" y="${top}" width="${round(to - from)}" height="${boxHeight}" rx="2"/>
${points.join('')}
<path class="median" d="M${x(box.median)} ${top}v${boxHeight}"/></g>`;
  });
  return `<figure>
<figcaption>${escaped(title)}</figcaption>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(described(title, groups))}">
${[...grid, `<path class="axis" d="M${left} ${floor}H${width - right}"/>`, ...rows].join('\n')}
</svg>
</figure>`;
}

/** The outermost numbers stay within the drawing. */
const anchor = (tick: number, low: number, high: number) => (tick === low ? 'start' : tick === high ? 'end' : 'middle');

function described(title: string, groups: readonly BoxGroup[]): string {
  const medians = groups
    .filter(({ values }) => values.length > 0)
    .map(({ name, values }) => `${name} ${showNumber(boxOf(values.map(({ value }) => value)).median)}`);
  return `${title}; medians: ${medians.join(', ')}`;
}

export const boxPlotStyle = `
svg .name { fill: var(--ink); }
.box { fill: var(--c); fill-opacity: 0.16; stroke: var(--c); stroke-width: 1.2; }
.whisker { stroke: var(--c); stroke-width: 1.2; fill: none; }
.median { stroke: var(--ink); stroke-width: 2; fill: none; }
.box ~ circle { fill-opacity: 0.75; }`;
