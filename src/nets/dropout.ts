/**
 * Dropout whose mask is computed inside the program from random numbers that are fed: the same numbers give the same mask
 * on every device, and a run that is resumed at step i meets the mask of step i.
 *
 * A mask of n rows takes four numbers a column, not n: row i has a fixed address a_i of four whole numbers below 2^11, a
 * column has a random key k, and the element falls where (sum of a_i k mod 2^11) / 2^11 does. This is Carter and Wegman's
 * universal hashing ("Universal classes of hash functions", 1979): elements are uniform, and any two of them independent,
 * over the keys. All of it is exact in float32 (four products below 2^22), in whatever order a device adds.
 *
 * Inputs are named `random.SCOPE`; each is to be filled with whole numbers, uniform from 0 to 2047 (`randomInputs`).
 */
import { mixBits } from '../mixBits.ts';
import {
  add,
  constant,
  filled,
  floor,
  type Input,
  matmul,
  multiply,
  type Program,
  scopedInput,
  subtract,
  type Value,
} from '../program/index.ts';

const digits = 4;
/** Values of a digit, and of the hash: probabilities are kept in steps of one part in so many. */
export const randomSteps = 2 ** 11;

/** The inputs of a program that are to be filled with whole numbers, uniform from 0 to `randomSteps` - 1. */
export function randomInputs(program: Program): Input[] {
  return program.inputs.filter(({ name }) => name.startsWith('random.'));
}

export interface DropoutMask {
  /** 1 where an element stays, else 0. */
  readonly kept: Value;
  /** What kept elements are multiplied by, so that the mean stays. */
  readonly scale: Value;
}

/** Every element of x [.., rows, columns] by itself. */
export function dropoutMask(x: Value, probability: number): DropoutMask {
  const [rows, columns] = x.shape.slice(-2);
  const keys = scopedInput('random', [...x.shape.slice(0, -2), digits, columns]);
  return kept(matmul(addresses(rows), keys), probability);
}

/** Whole channels of x [n, c, spatial..]. */
export function channelDropoutMask(x: Value, probability: number): DropoutMask {
  const [n, channels] = x.shape;
  const keys = scopedInput('random', [n, channels, ...x.shape.slice(2).map(() => 1)]);
  return kept(multiply(keys, filled(1 / randomSteps)), probability);
}

/** From hashes in steps of 1 / `randomSteps`, of which only the part behind the point counts. */
function kept(hash: Value, probability: number): DropoutMask {
  const dropped = Math.round(probability * randomSteps);
  const fraction = subtract(hash, floor(hash));
  return {
    kept: floor(add(fraction, filled(1 - dropped / randomSteps))),
    scale: filled(randomSteps / (randomSteps - dropped)),
  };
}

/** [rows, digits], divided by `randomSteps`: exact in float32. */
function addresses(rows: number): Value {
  const data = new Float32Array(rows * digits);
  for (let i = 0; i < data.length; i++) data[i] = (mixBits(i + 1) % randomSteps) / randomSteps;
  return constant({ dtype: 'float32', shape: [rows, digits], data });
}
