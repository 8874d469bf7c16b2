/**
 * Deep supervision: lower heads of a network learn from smaller copies of the same labels, and their losses are added with
 * weights that halve from head to head (Lee et al. 2015; the numbers are UNETR++'s and nnU-Net's).
 */
import { InputError } from '../errors.ts';
import { add, concatenate, filled, multiply, slice, type Value } from '../program/index.ts';
import { type Shape, showShape } from '../tensor.ts';

/**
 * Weights of the heads, largest first: 1, 1/2, 1/4 ..., scaled to a sum of 1.
 * @param lowestHead `kept` as UNETR++ does (three heads: 4/7, 2/7, 1/7); `dropped`, its weight 0, as nnU-Net does
 */
export function supervisionWeights(heads: number, lowestHead: 'kept' | 'dropped'): number[] {
  // One head alone is the highest too.
  const counted = lowestHead === 'dropped' && heads > 1 ? heads - 1 : heads;
  const weights = Array.from({ length: heads }, (_, head) => (head < counted ? 2 ** -head : 0));
  const all = weights.reduce((so, weight) => so + weight, 0);
  return weights.map((weight) => weight / all);
}

/**
 * The weighted sum of the heads' losses. A head of weight 0 is not asked for its loss, so that nothing is computed of it.
 * @param lossOf the loss of a head, by its index
 */
export function supervisedLoss(weights: readonly number[], lossOf: (head: number) => Value): Value {
  const terms = weights.flatMap((weight, head) => (weight === 0 ? [] : [multiply(lossOf(head), filled(weight))]));
  if (terms.length === 0) throw new InputError('All heads have weight 0; give at least one another weight.');
  return terms.reduce(add);
}

/**
 * The target of a lower head: voxel i takes what lies at floor(s (i + 1/2)) along an axis that is s times coarser, the nearest
 * to its center, as UNETR++ and nnU-Net resize labels.
 * @param target [b, c, spatial..]
 * @param space spatial lengths of the head
 * @throws InputError when the head is finer than the target
 */
export function supervisedTarget(target: Value, space: Shape): Value {
  const own = target.shape.slice(2);
  if (own.length !== space.length || own.some((length, axis) => length < space[axis])) {
    throw new InputError(`A target of ${showShape(own)} voxels has no smaller copy of ${showShape(space)}.`);
  }
  return space.reduce((so, length, axis) => nearest(so, axis + 2, length), target);
}

/** Takes the nearest elements along an axis: one cut where they lie evenly. */
function nearest(x: Value, axis: number, count: number): Value {
  const length = x.shape[axis];
  if (length === count) return x;
  const at = Array.from({ length: count }, (_, i) => Math.floor(((2 * i + 1) * length) / (2 * count)));
  if (length % count === 0) return slice(x, { [axis]: [at[0], length, length / count] });
  return concatenate(
    at.map((start) => slice(x, { [axis]: [start, start + 1] })),
    axis,
  );
}
