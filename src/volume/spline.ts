/**
 * Coefficients of the cubic B-splines that pass through samples: a causal and an anti-causal recursion down each axis
 * with the pole z = sqrt(3) - 2. Where a spline is read, and what lies beyond its ends, is the caller's to say.
 *
 * Source: Unser, Aldroubi and Eden, "B-spline signal processing: part II", 1993; boundaries as in SciPy,
 * `ndimage.spline_filter`.
 */
import type { FloatData, Vector3 } from './volume.ts';

/**
 * How the samples go on beyond their ends. `halfSample`: mirrored about the outer edges of the end samples
 * (b a | a b c). `wholeSample`: mirrored about the end samples themselves (c b | a b c).
 */
export type SplineBoundary = 'halfSample' | 'wholeSample';

const z = Math.sqrt(3) - 2;
const gain = (1 - z) * (1 - 1 / z);
/** |z|^64 is 1e-37: later terms change no bit of a sum. */
const terms = 64;

/**
 * Samples -> coefficients in place, down the rows of a block of `length` rows of `count` neighboring columns. A single
 * row stays as it is.
 */
export function filterRows(block: Float64Array, length: number, count: number, boundary: SplineBoundary): void {
  if (length === 1) return;
  const size = length * count;
  for (let i = 0; i < size; i++) block[i] *= gain;

  const lastRow = (length - 1) * count;
  if (boundary === 'halfSample') startHalfSample(block, length, count);
  else startWholeSample(block, length, count);
  for (let i = count; i < size; i++) block[i] += z * block[i - count];
  if (boundary === 'halfSample') {
    for (let i = lastRow; i < size; i++) block[i] *= z / (z - 1);
  } else {
    for (let i = lastRow; i < size; i++) block[i] = (z * block[i - count] + block[i]) * (z / (z * z - 1));
  }
  for (let i = lastRow - 1; i >= 0; i--) block[i] = z * (block[i + count] - block[i]);
}

function startHalfSample(block: Float64Array, length: number, count: number): void {
  const zN = z ** length;
  const lastRow = (length - 1) * count;
  for (let c = 0; c < count; c++) {
    let sum = block[c] + zN * block[lastRow + c];
    for (let i = 1, power = z; i < Math.min(length, terms); i++, power *= z) {
      sum += power * (block[i * count + c] + zN * block[lastRow - i * count + c]);
    }
    block[c] += (z / (1 - zN * zN)) * sum;
  }
}

function startWholeSample(block: Float64Array, length: number, count: number): void {
  const zN = z ** (length - 1);
  const lastRow = (length - 1) * count;
  for (let c = 0; c < count; c++) {
    let sum = block[c] + zN * block[lastRow + c];
    for (let i = 1, power = z; i < Math.min(length - 1, terms); i++, power *= z) {
      sum += power * (block[i * count + c] + zN * block[lastRow - i * count + c]);
    }
    block[c] = sum / (1 - zN * zN);
  }
}

/**
 * Coefficients of the spline through the samples of one channel (z x y x x), along the axes that are named and with the
 * `wholeSample` boundary. Sums are float64; between axes values have the precision of the data.
 */
export function splineCoefficients<T extends FloatData>(data: T, shape: Vector3, axes: readonly number[]): T {
  const out = data.slice() as T;
  for (const axis of axes) {
    const n = shape[axis];
    const inner = axis === 0 ? shape[1] * shape[2] : axis === 1 ? shape[2] : 1;
    // Columns are neighbors in memory but for the x axis, where each is a row of the array.
    const [outer, columns, step, columnStep] =
      axis === 2 ? [1, data.length / n, 1, n] : [data.length / (n * inner), inner, inner, 1];
    // A block of columns should stay in the processor's cache.
    const width = Math.min(columns, Math.max(8, Math.min(64, Math.floor(16384 / n))));
    const block = new Float64Array(n * width);
    for (let o = 0; o < outer; o++) {
      for (let first = 0; first < columns; first += width) {
        const count = Math.min(width, columns - first);
        const from = o * n * inner + first * columnStep;
        for (let i = 0; i < n; i++) {
          for (let c = 0, at = from + i * step; c < count; c++, at += columnStep) block[i * count + c] = out[at];
        }
        filterRows(count === width ? block : block.subarray(0, n * count), n, count, 'wholeSample');
        for (let i = 0; i < n; i++) {
          for (let c = 0, at = from + i * step; c < count; c++, at += columnStep) out[at] = block[i * count + c];
        }
      }
    }
  }
  return out;
}
