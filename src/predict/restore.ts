/**
 * From the network's numbers back to the scan: resampled to the cropped grid, decided voxel by voxel, filtered, pasted.
 *
 * Values come part by part, as blending finishes them, and only labels are kept. Where the cropped grid is the network's
 * own, each part is decided as it comes; else parts are put together to slices, and slices are resampled class by class as
 * soon as all that they read is there. The result is the one that all values at once would give, to the last bit.
 *
 * nnU-Net v1 resamples probabilities and v2 logits; which they are, the values that come in say. Outside of the crop box
 * all is background.
 */
import type { Plan } from '../dataset/index.ts';
import { elementCount, sameShape } from '../tensor.ts';
import {
  type Connectivity,
  copyOverlap,
  keepLargestComponent,
  paste,
  type Regrid,
  type ResamplingOptions,
  rangeOf,
  resampleSlices,
  type Slices,
  slicesRead,
  type Vector3,
  type Volume,
} from '../volume/index.ts';
import type { BlendedPart } from './cells.ts';
import { inversePermutation, type Prepared, transposeAxes } from './prepare.ts';
import { largestClass, toProbabilities } from './tiles.ts';

type Labels = Uint8Array | Uint16Array;

export interface Restored {
  /** On the scan's grid: the class with the largest value (the first of equals), or the last region above one half. */
  readonly labels: Volume<Labels>;
  /** Every output on the scan's grid; outside of the crop box background is certain. */
  readonly probabilities: Volume<Float32Array> | undefined;
}

export interface Restoration {
  /** Takes a part of the network's grid. Parts come once each, their depths in ascending order. */
  take(part: BlendedPart): void;
  /** When all parts have been taken. */
  finish(): Restored;
}

/**
 * @param scan that was prepared, for its geometry
 * @param classes that each part holds: probabilities in v1, logits in v2
 * @param wanted also give probabilities: memory for as many volumes of float32
 */
export function restoration(
  prepared: Prepared,
  scan: Volume,
  plan: Plan,
  classes: number,
  { probabilities: wanted = false }: { probabilities?: boolean } = {},
): Restoration {
  const decided = decidedScan(prepared, scan, plan, classes, wanted);
  const take = onCroppedGrid(prepared, plan, classes, (start, size, valuesOf, candidates) => {
    const count = elementCount(size);
    let known: Float32Array | undefined;
    if (wanted) {
      known = new Float32Array(classes * count);
      for (let k = 0; k < classes; k++) known.set(valuesOf(k), k * count);
    }
    const from = known ? (k: number) => known.subarray(k * count, (k + 1) * count) : valuesOf;
    const labels = plan.regionsClassOrder
      ? decideRegions(plan.regionsClassOrder, regionThreshold(plan), count, candidates, from)
      : largestClass(candidates, from);
    decided.set(start, size, labels, known && asProbabilities(known, classes, plan));
  });
  return { take, finish: () => decided.finish(plan.keepLargestComponents ?? [], connectivityOf([plan])) };
}

/** Logits of v2 to probabilities, in place; v1 has probabilities. */
export function asProbabilities(values: Float32Array, classes: number, plan: Plan): Float32Array {
  return plan.convention === 'nnunet-v1'
    ? values
    : toProbabilities(values, classes, plan.regions ? 'sigmoid' : 'softmax');
}

/** What counts as one component where models of these plans decide: faces in v1, corners in v2. */
export const connectivityOf = (plans: readonly Plan[]): Connectivity =>
  plans.every(({ convention }) => convention === 'nnunet-v1') ? 6 : 26;

/** What is decided of a scan, box by box on its cropped grid, and brought back to its own in the end. */
export interface DecidedScan {
  /** @param probabilities [classes, ...size], where they are wanted */
  set(start: Vector3, size: Vector3, labels: Labels, probabilities: Float32Array | undefined): void;
  /** @param largest sets of labels of which only the largest components are kept, one set after the other */
  finish(largest: readonly (readonly number[])[], connectivity: Connectivity): Restored;
}

export function decidedScan(
  prepared: Prepared,
  scan: Volume,
  plan: Plan,
  classes: number,
  wanted: boolean,
): DecidedScan {
  const shape = prepared.croppedShape;
  const voxels = elementCount(shape);
  const largestLabel = Math.max(classes - 1, ...(plan.regionsClassOrder ?? []));
  const labels = largestLabel < 256 ? new Uint8Array(voxels) : new Uint16Array(voxels);
  const probabilities = wanted ? new Float32Array(classes * voxels) : undefined;
  return {
    set(start, size, decided, known) {
      copyOverlap(decided, size, labels, shape, start);
      if (probabilities && known) copyOverlap(known, size, probabilities, shape, start, classes);
    },
    finish(largest, connectivity) {
      const part = { ...partOf(prepared, scan), channels: 1, data: backToStoredAxes(labels, prepared, plan) };
      for (const set of largest) part.data = keepLargestComponent(part.data, part.shape, set, { connectivity }).data;
      return {
        labels: paste(part, prepared.box, scan),
        probabilities: probabilities && pasteProbabilities(probabilities, classes, prepared, scan, plan),
      };
    },
  };
}

/**
 * Decides a box on the cropped grid.
 * @param valuesOf the values of one class
 * @param candidates outputs that can be the answer somewhere in the box
 */
type Decide = (
  start: Vector3,
  size: Vector3,
  valuesOf: (index: number) => Float32Array,
  candidates: readonly number[],
) => void;

/** Brings parts of the network's grid to the cropped grid, box by box, depths in ascending order. */
function onCroppedGrid(prepared: Prepared, plan: Plan, classes: number, decide: Decide): Restoration['take'] {
  if (!sameShape(prepared.shape, prepared.croppedShape)) {
    const slices = croppedSlices(prepared, plan, classes);
    const [, height, width] = prepared.croppedShape;
    let decided = 0;
    return (part) => {
      slices.take(part);
      const [from, to] = [decided, slices.ready()];
      if (to === from) return;
      const size: Vector3 = [to - from, height, width];
      decide([from, 0, 0], size, (k) => slices.valuesOf(k, { from, to }), slices.candidates({ from, to }));
      slices.drop(to);
      decided = to;
    };
  }
  const all = [...Array(classes).keys()];
  return ({ start, shape: size, values }) => {
    const count = elementCount(size);
    decide(start, size, (k) => values.subarray(k * count, (k + 1) * count), all);
  };
}

/** Some slices of the network's grid, all classes: [classes, to - from, h, w]. */
interface Slab {
  readonly from: number;
  readonly to: number;
  readonly values: Float32Array;
  /** The largest value of each class. */
  readonly largest: Float32Array;
  /** Voxels of a class that are still to come. */
  left: number;
}

/** Parts of the network's grid, put together to slices; and slices of the cropped grid, resampled when they are asked for. */
export interface CroppedSlices {
  /** Takes a part. Parts come once each, their depths in ascending order. */
  take(part: BlendedPart): void;
  /** So many slices of the cropped grid, from the first on, can be computed of what was taken. */
  ready(): number;
  /** One class of neighboring slices, [to - from, h, w]; may be a view. */
  valuesOf(k: number, slices: Slices): Float32Array;
  /** Outputs that can be the answer somewhere in these slices. Most organs are elsewhere: this saves most of the work. */
  candidates(slices: Slices): number[];
  /** Slices before this one are not asked for again. */
  drop(before: number): void;
}

export function croppedSlices(prepared: Prepared, plan: Plan, classes: number): CroppedSlices {
  const { shape, croppedShape, spacing, newSpacing } = prepared;
  const { probabilities, probabilitiesZ, anisotropyThreshold } = plan.resampling;
  // On the way back v1 asks the scan's own spacing first whether slices are resampled by themselves, v2 the network's.
  const [first, second] = plan.convention === 'nnunet-v1' ? [spacing, newSpacing] : [newSpacing, spacing];
  const regrid: Regrid = { shape, newShape: croppedShape, spacing: first, newSpacing: second };
  const options: ResamplingOptions = { order: probabilities, orderZ: probabilitiesZ, anisotropyThreshold };
  const area = shape[1] * shape[2];
  const read = (slices: Slices): Slices => slicesRead(regrid, options, slices);

  /** Ascending, without gaps; only the last ones may be incomplete. */
  let slabs: Slab[] = [];
  let ready = 0;

  const slabFor = ({ start: [from], shape: [depth] }: BlendedPart): Slab => {
    const known = slabs.find((slab) => slab.from === from);
    if (known) return known;
    const slab: Slab = {
      from,
      to: from + depth,
      values: new Float32Array(classes * depth * area),
      largest: new Float32Array(classes).fill(-Infinity),
      left: depth * area,
    };
    slabs.push(slab);
    return slab;
  };
  /** One class of neighboring slices of the network's grid. */
  const joined = (k: number, { from, to }: Slices): Float32Array => {
    const parts = slabs
      .filter((slab) => slab.from < to && from < slab.to)
      .map((slab) => {
        const start = k * (slab.to - slab.from) - slab.from;
        return slab.values.subarray((start + Math.max(from, slab.from)) * area, (start + Math.min(to, slab.to)) * area);
      });
    if (parts.length === 1) return parts[0];
    const whole = new Float32Array((to - from) * area);
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  };

  return {
    take(part) {
      const slab = slabFor(part);
      const voxels = elementCount(part.shape);
      for (let k = 0; k < classes; k++) {
        const [, largest] = rangeOf(part.values.subarray(k * voxels, (k + 1) * voxels));
        slab.largest[k] = Math.max(slab.largest[k], largest);
        copyOverlap(
          part.values.subarray(k * voxels, (k + 1) * voxels),
          part.shape,
          slab.values.subarray(k * (slab.to - slab.from) * area, (k + 1) * (slab.to - slab.from) * area),
          [slab.to - slab.from, shape[1], shape[2]],
          [0, part.start[1], part.start[2]],
        );
      }
      slab.left -= voxels;
      if (slab.left > 0) return;
      const complete = slabs.find(({ left }) => left > 0)?.from ?? slabs[slabs.length - 1].to;
      while (ready < croppedShape[0] && read({ from: ready, to: ready + 1 }).to <= complete) ready++;
    },
    ready: () => ready,
    valuesOf(k, slices) {
      return resampleSlices(joined(k, read(slices)), regrid, options, slices);
    },
    candidates(slices) {
      const { from, to } = read(slices);
      const threshold = smallestAnswer(plan, classes);
      const parts = slabs.filter((slab) => slab.from < to && from < slab.to);
      return [...Array(classes).keys()].filter((k) => parts.some(({ largest }) => largest[k] >= threshold));
    },
    drop(before) {
      const needed = before < croppedShape[0] ? read({ from: before, to: before + 1 }).from : Infinity;
      slabs = slabs.filter((held) => held.to > needed || held.left > 0);
    },
  };
}

/** Values below this one are never the answer, wherever interpolation takes them. */
function smallestAnswer(plan: Plan, classes: number): number {
  // Splines overshoot.
  if (plan.resampling.probabilities > 1) return -Infinity;
  if (plan.regions) return regionThreshold(plan);
  // Probabilities add up to 1, so the largest of n is 1 / n at least; rounding takes nothing near a thousandth away.
  return plan.convention === 'nnunet-v1' ? 1 / classes - 1e-3 : -Infinity;
}

/** A logit of 0 is a probability of one half. */
const regionThreshold = (plan: Plan) => (plan.convention === 'nnunet-v1' ? 0.5 : 0);

/**
 * The label of the last region, in output order, whose value is above the threshold.
 * @param order the label of each region
 */
export function decideRegions(
  order: readonly number[],
  threshold: number,
  voxels: number,
  candidates: readonly number[],
  valuesOf: (index: number) => Float32Array,
): Labels {
  const labels = Math.max(...order) < 256 ? new Uint8Array(voxels) : new Uint16Array(voxels);
  for (const index of candidates) {
    const region = valuesOf(index);
    for (let i = 0; i < voxels; i++) if (region[i] > threshold) labels[i] = order[index];
  }
  return labels;
}

function pasteProbabilities(
  values: Float32Array,
  classes: number,
  prepared: Prepared,
  scan: Volume,
  plan: Plan,
): Volume<Float32Array> {
  const data = backToStoredAxes(values, prepared, plan);
  const pasted = paste({ ...partOf(prepared, scan), channels: classes, data }, prepared.box, scan);
  if (!plan.regions) fillOutside(pasted, prepared);
  return pasted;
}

function backToStoredAxes<T extends Labels | Float32Array>(data: T, prepared: Prepared, plan: Plan): T {
  return transposeAxes(data, prepared.croppedShape, inversePermutation(plan.transposeForward));
}

/** Geometry of the cropped part; `paste` replaces it by the scan's. */
function partOf({ box: { start, end } }: Prepared, { spacing, origin, direction }: Volume) {
  const shape = end.map((length, axis) => length - start[axis]) as unknown as Vector3;
  return { shape, spacing, origin, direction };
}

/** Sets the background's probability to 1 outside of the box. */
function fillOutside({ data, shape }: Volume<Float32Array>, { box: { start, end } }: Prepared): void {
  const [depth, height, width] = shape;
  for (let z = 0, row = 0; z < depth; z++) {
    for (let y = 0; y < height; y++, row += width) {
      const inRow = z >= start[0] && z < end[0] && y >= start[1] && y < end[1];
      data.fill(1, row, row + (inRow ? start[2] : width));
      if (inRow) data.fill(1, row + end[2], row + width);
    }
  }
}
