/** Axes with round numbers, and numbers as charts and tables show them. */

export interface Axis {
  readonly low: number;
  readonly high: number;
  readonly ticks: readonly number[];
}

/**
 * From a round number to a round number around the values, in steps of 1, 2 or 5 times a power of ten, at most `most` of
 * them (one more where both ends lie between two).
 * @param least the smallest step; above 0 the values are counts: the axis ends at the outermost, ticks at whole steps
 */
export function axis(values: readonly number[], most: number, least: number): Axis {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) [low, high] = [0, 1];
  // One value: half of it on both sides; a share among all shares.
  if (low === high) {
    [low, high] = low >= 0 && low <= 1 ? [0, 1] : [low - Math.abs(low) / 2, high + Math.abs(high) / 2];
  }
  const power = 10 ** Math.floor(Math.log10((high - low) / most));
  const step = Math.max(least, power * ([1, 2, 5].find((factor) => (factor * power * most) / (high - low) >= 1) ?? 10));
  if (least > 0) {
    const first = Math.ceil(low / step);
    const ticks = Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => (first + i) * step);
    return { low, high, ticks };
  }
  const [first, last] = [Math.floor(low / step + 1e-9), Math.ceil(high / step - 1e-9)];
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
  return { low: first * step, high: last * step, ticks };
}

/** A coordinate of a drawing, to a tenth of its unit. */
export const round = (value: number) => Math.round(value * 10) / 10;

/** Four digits, without zeros at the end; – for what is no number. */
export function showNumber(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e7))
    return value.toExponential(2).replace('e+', 'e');
  return String(Number(Math.abs(value) >= 1000 ? value.toFixed(0) : value.toPrecision(4)));
}
