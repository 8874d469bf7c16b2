/**
 * Noise and blur of images. Random fields come in as arguments; how strong and how often is `augment.ts`'s to draw.
 *
 * Definitions: batchgenerators, `augment_gaussian_noise` and `augment_gaussian_blur`; SciPy, `ndimage.gaussian_filter`.
 */
import { emptyLike, type FloatData, type Vector3 } from '../../volume/volume.ts';

/** x + deviation * noise; both of any one shape, the noise of mean 0 and deviation 1. */
export function addNoise<T extends FloatData>(image: T, deviation: number, noise: FloatData): T {
  const out = emptyLike(image, image.length);
  for (let i = 0; i < image.length; i++) out[i] = image[i] + deviation * noise[i];
  return out;
}

/**
 * One channel (z x y x x) under a Gaussian of `sigma` voxels on every axis: exp(-0.5 (j / sigma)^2) for |j| up to
 * 4 sigma, made to add up to 1. Beyond its ends the image is mirrored about the outer edges of the end voxels
 * (b a | a b). Sums are float64; between axes values have the precision of the data.
 */
export function blur<T extends FloatData>(channel: T, shape: Vector3, sigma: number): T {
  const weights = gaussianWeights(sigma);
  const between = blurRows(
    blurRows(channel, 1, shape[0], shape[1] * shape[2], weights),
    shape[0],
    shape[1],
    shape[2],
    weights,
  );
  return blurAlongX(between, shape[2], weights);
}

/** The kernel from its middle to one end. */
function gaussianWeights(sigma: number): Float64Array {
  const weights = Float64Array.from({ length: Math.floor(4 * sigma + 0.5) + 1 }, (_, j) =>
    Math.exp(-0.5 * (j / sigma) ** 2),
  );
  const sum = weights.reduce((total, weight, j) => total + (j === 0 ? weight : 2 * weight), 0);
  return weights.map((weight) => weight / sum);
}

/** Index of a voxel beyond the ends of an axis of n voxels, mirrored about their outer edges as often as it takes. */
function mirrored(index: number, n: number): number {
  const folded = ((index % (2 * n)) + 2 * n) % (2 * n);
  return folded < n ? folded : 2 * n - 1 - folded;
}

/** Along an axis of n rows, each `inner` neighbors in memory; `outer` such stacks follow each other. */
function blurRows<T extends FloatData>(data: T, outer: number, n: number, inner: number, weights: Float64Array): T {
  const out = emptyLike(data, data.length);
  // Stretches of rows whose neighbors across the axis stay in the processor's cache.
  const width = Math.min(inner, 512);
  const sum = new Float64Array(width);
  for (let o = 0; o < outer; o++) {
    for (let first = 0; first < inner; first += width) {
      const count = Math.min(width, inner - first);
      const base = o * n * inner + first;
      for (let i = 0; i < n; i++) {
        const row = base + i * inner;
        for (let c = 0; c < count; c++) sum[c] = weights[0] * data[row + c];
        for (let j = 1; j < weights.length; j++) {
          const [a, b] = [base + mirrored(i - j, n) * inner, base + mirrored(i + j, n) * inner];
          const weight = weights[j];
          for (let c = 0; c < count; c++) sum[c] += weight * (data[a + c] + data[b + c]);
        }
        for (let c = 0; c < count; c++) out[row + c] = sum[c];
      }
    }
  }
  return out;
}

function blurAlongX<T extends FloatData>(data: T, n: number, weights: Float64Array): T {
  const out = emptyLike(data, data.length);
  const radius = weights.length - 1;
  const source = Int32Array.from({ length: n + 2 * radius }, (_, i) => mirrored(i - radius, n));
  const line = new Float64Array(source.length);
  for (let row = 0; row < data.length; row += n) {
    for (let i = 0; i < line.length; i++) line[i] = data[row + source[i]];
    for (let i = 0; i < n; i++) {
      const middle = i + radius;
      let sum = weights[0] * line[middle];
      for (let j = 1; j <= radius; j++) sum += weights[j] * (line[middle - j] + line[middle + j]);
      out[row + i] = sum;
    }
  }
  return out;
}
