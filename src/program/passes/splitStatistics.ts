/**
 * Instance norm with its sums split in two: first over short runs, then over the runs' results. A float32 sum over a
 * million voxels in one go is off by about 1e-5, which the depth of a network multiplies; split, the error is that of a
 * sum over a thousand. The deviations are squared after the mean is taken off, so nothing cancels.
 */
import { elementCount } from '../../tensor.ts';
import { add, divide, multiply, sqrt, subtract } from '../operators/arithmetic.ts';
import { reshape } from '../operators/movement.ts';
import { instanceNormalizationOperator } from '../operators/normalization.ts';
import { l2Norm, mean } from '../operators/reduction.ts';
import { filled, type Program, type Value } from '../program.ts';
import { rewrite } from './rewrite.ts';

/** Up to this many elements one sum is off by 3e-5 at most (measured), and splitting costs two passes over the memory. */
const longRow = 2 ** 21;

/** The divisor of `count` that is nearest to its square root, from below. */
function runLength(count: number): number {
  let length = Math.floor(Math.sqrt(count));
  while (count % length !== 0) length--;
  return length;
}

/** True where a constant holds one number throughout. */
export function isFilled(value: Value, number: number): boolean {
  return value.kind === 'constant' && (value.value.data as Float64Array).every((element) => element === number);
}

export function splitStatistics(program: Program): Program {
  return rewrite(program, (operation) => {
    if (operation.operator !== instanceNormalizationOperator) return operation;
    const [x, scale, bias] = operation.inputs;
    const [n, channels, ...spatial] = x.shape;
    const count = elementCount(spatial);
    if (count <= longRow) return operation;
    const run = runLength(count);
    const rows = reshape(x, [n, channels, count / run, run]);
    const perChannel = [1, channels, 1, 1];
    const centered = subtract(rows, mean(mean(rows, [3]), [2]));
    const runNorms = l2Norm(centered, [3]);
    const variance = multiply(mean(multiply(runNorms, runNorms), [2]), filled(1 / run));
    const deviation = sqrt(add(variance, filled(operation.attributes.epsilon as number)));
    const factor = divide(isFilled(scale, 1) ? filled(1) : reshape(scale, perChannel), deviation);
    const standard = multiply(centered, factor);
    return reshape(isFilled(bias, 0) ? standard : add(standard, reshape(bias, perChannel)), x.shape);
  });
}
