/**
 * The mean of several models' probabilities on the scan's cropped grid, a few slices at a time. Each model brings its answers
 * there in its own way (restore.ts), when all of them have got as far; until then they wait on their networks' grids.
 *
 * Answers are added in the order of the models and divided by their number: the mean is the one that whole volumes would
 * give, to the last bit.
 */
import type { Plan } from '../dataset/index.ts';
import type { Vector3 } from '../volume/index.ts';
import type { BlendedPart } from './cells.ts';
import type { Prepared } from './prepare.ts';
import { asProbabilities, croppedSlices } from './restore.ts';

export interface Member {
  readonly prepared: Prepared;
  readonly plan: Plan;
}

export interface Averaging {
  /** What takes the parts of each model's network. */
  readonly takes: readonly ((part: BlendedPart) => void)[];
  /** Slices of the cropped grid that a model is ready to give, from the first on. */
  ready(member: number): number;
  /** Decides the slices for which all models are ready. */
  advance(): void;
}

/** Slices that are averaged together: enough that resampling seldom reads a slice twice, few enough to be small. */
export const slicesTogether = 8;

/**
 * @param members whose cropped grids are the same
 * @param decide gets means, [classes, ...size], of the box at `start`; its array is used again
 */
export function averaging(
  members: readonly Member[],
  classes: number,
  decide: (start: Vector3, size: Vector3, means: Float32Array) => void,
): Averaging {
  const [depth, height, width] = members[0].prepared.croppedShape;
  const most = classes * Math.min(depth, slicesTogether) * height * width;
  const [sums, own] = [new Float32Array(most), new Float32Array(most)];
  const all = members.map(({ prepared, plan }) => croppedSlices(prepared, plan, classes));
  let decided = 0;

  const decideUpTo = (to: number) => {
    const slices = { from: decided, to };
    const voxels = (to - decided) * height * width;
    const [mean, values] = [sums.subarray(0, classes * voxels), own.subarray(0, classes * voxels)];
    mean.fill(0);
    for (const [index, member] of all.entries()) {
      for (let k = 0; k < classes; k++) values.set(member.valuesOf(k, slices), k * voxels);
      asProbabilities(values, classes, members[index].plan);
      for (let i = 0; i < mean.length; i++) mean[i] += values[i];
      member.drop(to);
    }
    for (let i = 0; i < mean.length; i++) mean[i] /= members.length;
    decide([decided, 0, 0], [to - decided, height, width], mean);
    decided = to;
  };

  return {
    takes: all.map(({ take }) => take),
    ready: (member) => all[member].ready(),
    advance() {
      const ready = Math.min(...all.map((member) => member.ready()));
      while (decided < ready) decideUpTo(Math.min(ready, decided + slicesTogether));
    },
  };
}
