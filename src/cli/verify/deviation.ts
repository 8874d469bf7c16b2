/**
 * How far computed tensors are from reference values, and how far they may be (docs/ARCHITECTURE.md has the table).
 *
 * Forward values: relative L2 and largest deviation over largest magnitude. Gradients: element by element, because some
 * are truly almost zero and only as exact as the sums they come from.
 */
import { elementCount, type Shape, type Tensor } from '../../tensor.ts';
import { fillInteger } from './fill.ts';

export interface Deviation {
  readonly set: string;
  readonly tensor: string;
  /** Rows of one family are one line of the table, which names the worst. */
  readonly family?: string;
  /** |a - b| / |b| in the L2 norm over the compared values. */
  readonly relativeL2: number;
  /** Largest |a - b| over the largest |b|. */
  readonly relativeMaximum: number;
  readonly limit: number;
  /** Where it is there, it decides in place of `limit`. */
  readonly bound?: Bound;
}

/** |a - b| <= absolute + relative |b| for every element. */
interface Bound {
  readonly absolute: number;
  readonly relative: number;
  /** The largest share of it that an element takes: at most 1 is within. */
  readonly taken: number;
}

export const passed = ({ relativeL2, relativeMaximum, limit, bound }: Deviation) =>
  bound ? bound.taken <= 1 : relativeL2 <= limit && relativeMaximum <= limit;

/** Forward values of a float32 engine: relative L2 and largest deviation over largest magnitude. */
export const forwardLimit = 1e-4;

/** Losses: relative. */
export const lossLimit = 1e-5;

/** The definitions in float64, against references in float64. */
export const exactLimit = 1e-9;

/** Gradients: of an element's own size, and of the largest element of all gradients of the set. */
export const gradientLimit = { relative: 1e-3, absoluteShare: 1e-5 };

export interface ExpectedTensor {
  readonly shape: Shape;
  readonly sum: number;
  readonly mean: number;
  readonly l2: number;
  readonly min: number;
  readonly max: number;
  readonly per_channel?: { readonly mean: readonly number[]; readonly l2: readonly number[] };
  readonly samples: { readonly index_name: string; readonly count: number; readonly values: readonly number[] };
}

/** The worst of the compared groups: relative L2 of the vector, and largest deviation over largest magnitude. */
export function compare(
  got: ArrayLike<number>,
  wanted: ArrayLike<number>,
): Pick<Deviation, 'relativeL2' | 'relativeMaximum'> {
  let squares = 0;
  let norm = 0;
  let worst = 0;
  let largest = 0;
  for (let i = 0; i < wanted.length; i++) {
    const deviation = Math.abs(got[i] - wanted[i]);
    squares += deviation ** 2;
    norm += wanted[i] ** 2;
    // A NaN must fail, and every comparison with NaN is false: make it the worst.
    worst = deviation >= worst || Number.isNaN(deviation) ? deviation : worst;
    largest = Math.max(largest, Math.abs(wanted[i]));
  }
  return { relativeL2: Math.sqrt(squares / norm), relativeMaximum: worst / largest };
}

/** Samples, and the statistics that see every element: per channel or whole. */
export function deviations(set: string, name: string, got: Tensor<'float32'>, expected: ExpectedTensor): Deviation[] {
  const { data, shape } = got;
  if (elementCount(shape) !== elementCount(expected.shape)) {
    throw new Error(`${set} ${name} has shape [${shape}], expected [${expected.shape}]`);
  }
  const indices = fillInteger(expected.samples.index_name, expected.samples.count, data.length);
  const rows: Deviation[] = [
    {
      set,
      tensor: name,
      limit: forwardLimit,
      ...compare(
        indices.map((i) => data[i]),
        expected.samples.values,
      ),
    },
  ];
  let squares = 0;
  let least = Infinity;
  let largest = -Infinity;
  for (const value of data) {
    squares += value * value;
    if (value < least) least = value;
    if (value > largest) largest = value;
  }
  rows.push({
    set,
    tensor: `${name} (whole: l2, min, max)`,
    limit: forwardLimit,
    ...compare([Math.sqrt(squares), least, largest], [expected.l2, expected.min, expected.max]),
  });
  if (expected.per_channel) {
    const [n, channels] = expected.shape;
    const voxels = data.length / (n * channels);
    const means = new Float64Array(channels);
    const norms = new Float64Array(channels);
    for (let block = 0; block < n * channels; block++) {
      for (let i = block * voxels; i < (block + 1) * voxels; i++) {
        means[block % channels] += data[i] / (n * voxels);
        norms[block % channels] += data[i] ** 2;
      }
    }
    // A mean may be far smaller than the values it averages: deviations count against the root mean square.
    const rms = expected.per_channel.l2.map((l2) => l2 / Math.sqrt(n * voxels));
    const shifted = [...means].map((mean, c) => mean - expected.per_channel!.mean[c] + rms[c]);
    rows.push({ set, tensor: `${name} (channel means)`, limit: forwardLimit, ...compare(shifted, rms) });
    const l2 = [...norms].map(Math.sqrt);
    rows.push({ set, tensor: `${name} (channel l2)`, limit: forwardLimit, ...compare(l2, expected.per_channel.l2) });
  }
  return rows;
}

/**
 * A gradient, element by element.
 * @param largest magnitude among all gradients of the set
 */
export function gradientDeviation(
  got: ArrayLike<number>,
  wanted: ArrayLike<number>,
  largest: number,
): Pick<Deviation, 'relativeL2' | 'relativeMaximum' | 'limit' | 'bound'> {
  if (got.length !== wanted.length) throw new Error(`a gradient has ${got.length} elements, expected ${wanted.length}`);
  const { relative } = gradientLimit;
  const absolute = gradientLimit.absoluteShare * largest;
  let taken = 0;
  for (let i = 0; i < wanted.length; i++) {
    const share = Math.abs(got[i] - wanted[i]) / (absolute + relative * Math.abs(wanted[i]));
    // As in compare: NaN is the worst.
    taken = share >= taken || Number.isNaN(share) ? share : taken;
  }
  return { ...compare(got, wanted), limit: relative, bound: { absolute, relative, taken } };
}

export function largestMagnitude(tensors: Iterable<ArrayLike<number>>): number {
  let largest = 0;
  for (const data of tensors) for (let i = 0; i < data.length; i++) largest = Math.max(largest, Math.abs(data[i]));
  return largest;
}

/** Of a stored tensor, float32 or float64. */
export const numbersOf = ({ data }: Tensor) => data as Float32Array | Float64Array;
