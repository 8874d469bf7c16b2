/**
 * The mean of several models' probabilities on the scan's cropped grid, slice by slice. Each model brings its answers there
 * in its own way (restore.ts); a slice is decided and let go as soon as the last of them has come.
 *
 * Answers are added in the order of the models, whatever the order in which they come, and divided by their number: the mean
 * is the one that whole volumes would give, to the last bit.
 */
import type { Plan } from '../dataset/index.ts';
import { elementCount } from '../tensor.ts';
import { copyOverlap, type Vector3 } from '../volume/index.ts';
import type { BlendedPart } from './cells.ts';
import type { Prepared } from './prepare.ts';
import { asProbabilities, onCroppedGrid } from './restore.ts';

export interface Member {
  readonly prepared: Prepared;
  readonly plan: Plan;
}

export interface Averaging {
  /** What takes the parts of a model's network. */
  readonly takes: readonly ((part: BlendedPart) => void)[];
  /** Slices that a model has given so far. */
  given(member: number): number;
}

interface Slice {
  /** Of the first models, as many as were added. */
  sum: Float32Array;
  added: number;
  /** Of models whose turn has not come: those before them are still to be added. */
  readonly waiting: Map<number, Float32Array>;
}

/**
 * @param members whose cropped grids are the same
 * @param decide gets each slice once: [classes, h, w], in an array that is used again
 */
export function averaging(
  members: readonly Member[],
  classes: number,
  decide: (depth: number, mean: Float32Array) => void,
): Averaging {
  const [, height, width] = members[0].prepared.croppedShape;
  const area = height * width;
  const slices = new Map<number, Slice>();
  const given = members.map(() => 0);
  const spare: Float32Array[] = [];
  const array = () => spare.pop() ?? new Float32Array(classes * area);

  const add = (slice: Slice, values: Float32Array) => {
    for (let i = 0; i < values.length; i++) slice.sum[i] += values[i];
    slice.added++;
    spare.push(values);
  };
  /** A model's whole slice, in an array that is given away. */
  const receive = (member: number, depth: number, values: Float32Array) => {
    given[member]++;
    let slice = slices.get(depth);
    if (!slice) {
      slice = { sum: array().fill(0), added: 0, waiting: new Map() };
      slices.set(depth, slice);
    }
    slice.waiting.set(member, values);
    for (let next = slice.waiting.get(slice.added); next; next = slice.waiting.get(slice.added)) {
      slice.waiting.delete(slice.added);
      add(slice, next);
    }
    if (slice.added < members.length) return;
    slices.delete(depth);
    for (let i = 0; i < slice.sum.length; i++) slice.sum[i] /= members.length;
    decide(depth, slice.sum);
    spare.push(slice.sum);
  };

  const takes = members.map(({ prepared, plan }, member) => {
    const open = new Map<number, { readonly values: Float32Array; left: number }>();
    return onCroppedGrid(prepared, plan, classes, (start, size, valuesOf) => {
      const count = elementCount(size);
      const box = new Float32Array(classes * count);
      for (let k = 0; k < classes; k++) box.set(valuesOf(k), k * count);
      asProbabilities(box, classes, plan);
      for (let z = 0; z < size[0]; z++) {
        const depth = start[0] + z;
        const slice = open.get(depth) ?? { values: array(), left: area };
        open.set(depth, slice);
        const place: Vector3 = [-z, start[1], start[2]];
        copyOverlap(box, size, slice.values, [1, height, width], place, classes);
        slice.left -= size[1] * size[2];
        if (slice.left > 0) continue;
        open.delete(depth);
        receive(member, depth, slice.values);
      }
    });
  });
  return { takes, given: (member) => given[member] };
}
