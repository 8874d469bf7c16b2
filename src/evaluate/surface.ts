/**
 * How far the surfaces of two masks are from each other: Hausdorff distance, its 95th percentile, average symmetric surface
 * distance, and the share of surface within a tolerance (normalized surface Dice). Two masks that both have voxels; what an
 * empty one gives is a policy, in evaluation.ts.
 *
 * Libraries define each of these differently, by several millimetres (docs/decisions/empty-masks-and-conventions.md), so
 * the convention is an option and belongs beside every number. Work and memory are those of the box around both masks.
 */
import type { Box } from '../volume/cropping.ts';
import { squaredDistances } from '../volume/distanceTransform.ts';
import { percentile } from '../volume/intensities.ts';
import type { Vector3, Volume } from '../volume/volume.ts';
import { elementAreas } from './surfaceElements.ts';

/**
 * Whose definitions hold.
 *
 * `medpy`: the surface are voxels of the mask with a face neighbor outside (beyond the image is outside); distances of both
 * directions are one list, of which HD95 is the 95th percentile (interpolated) and ASSD the mean; surface Dice is the mean
 * of both directions' shares, as in nnU-Net v1's copy of medpy.
 * `nnunet`: nnU-Net v1's evaluator; the same, but nothing is defined where a mask fills the image.
 * `unetrpp`: the evaluation scripts of UNETR++; medpy's without a voxel size, so that every distance is in voxels.
 * `monai`: the same surface; HD95 is the larger of both directions' 95th percentiles, surface Dice the share of all.
 * `deepmind`: surface-distance: the surface are triangles between voxel centers, weighted by their area; HD95 is the larger
 * of both directions' smallest distance within which 95 % of the area lies. ASSD is this project's pooling of its two means.
 */
export const surfaceConventions = ['medpy', 'nnunet', 'unetrpp', 'monai', 'deepmind'] as const;
export type SurfaceConvention = (typeof surfaceConventions)[number];

export type DistanceUnit = 'mm' | 'voxel';

export interface SurfaceOptions {
  /** medpy's when left out. */
  readonly convention?: SurfaceConvention;
  /** mm when left out; `unetrpp` knows voxels alone. */
  readonly unit?: DistanceUnit;
  /** Of the surface Dice, in the unit; 1 when left out. */
  readonly tolerance?: number;
}

/** Distances in the unit asked for. NaN where the convention defines nothing. */
export interface SurfaceScores {
  readonly hd: number;
  readonly hd95: number;
  readonly assd: number;
  /** 0 to 1. */
  readonly nsd: number;
  /** Mean distance of the prediction's surface to the reference's. */
  readonly predictionToReference: number;
  readonly referenceToPrediction: number;
}

/** Two masks, cut to the box around both. */
export interface MaskPair {
  /** z x y x x; 1 reference alone, 2 prediction alone, 3 both, 0 neither. */
  readonly data: Uint8Array;
  /** z, y, x, as the spacing (mm) is. */
  readonly shape: Vector3;
  readonly spacing: Vector3;
  /** Whether one of them fills the whole image. */
  readonly fills: boolean;
}

const [inReference, inPrediction] = [1, 2];

/** The smallest boxes around the voxels of each value but 0, of both label maps together. */
export type ValueBoxes = ReadonlyMap<number, Box>;

/** @param ignored value of the reference that says "not judged": voxels there count for no box */
export function valueBoxes(reference: Volume, prediction: Volume, ignored?: number): ValueBoxes {
  const [nz, ny, nx] = reference.shape;
  const [ours, theirs] = [reference.data, prediction.data];
  const boxes = new Map<number, { start: [number, number, number]; end: [number, number, number] }>();
  const include = (value: number, z: number, y: number, first: number, end: number) => {
    if (value === 0) return;
    let box = boxes.get(value);
    if (!box) {
      box = { start: [z, y, first], end: [z + 1, y + 1, end] };
      boxes.set(value, box);
    }
    box.start[1] = Math.min(box.start[1], y);
    box.start[2] = Math.min(box.start[2], first);
    box.end[0] = z + 1;
    box.end[1] = Math.max(box.end[1], y + 1);
    box.end[2] = Math.max(box.end[2], end);
  };
  for (let z = 0, row = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++, row += nx) {
      // Runs of equal pairs of values: there are few, and most rows are one of zeros.
      for (let first = 0; first < nx; ) {
        const [our, their] = [ours[row + first], theirs[row + first]];
        let end = first + 1;
        while (end < nx && ours[row + end] === our && theirs[row + end] === their) end++;
        if (our !== ignored) {
          include(our, z, y, first, end);
          include(their, z, y, first, end);
        }
        first = end;
      }
    }
  }
  return boxes;
}

export interface MaskPairOptions {
  /** Value of the reference that says "not judged": there, both are outside. */
  readonly ignored?: number;
  /** Of the same two, when several labels are cut from them. */
  readonly boxes?: ValueBoxes;
}

/**
 * The masks of a label or a region (all voxels whose value is one of `values`, 0 not among them) in two label maps of one
 * grid.
 * @returns undefined when both are empty
 */
export function maskPair(
  reference: Volume,
  prediction: Volume,
  values: readonly number[],
  { ignored, boxes = valueBoxes(reference, prediction, ignored) }: MaskPairOptions = {},
): MaskPair | undefined {
  const found = values.flatMap((value) => boxes.get(value) ?? []);
  if (found.length === 0) return undefined;
  const [z0, y0, x0] = [0, 1, 2].map((axis) => Math.min(...found.map(({ start }) => start[axis])));
  const [z1, y1, x1] = [0, 1, 2].map((axis) => Math.max(...found.map(({ end }) => end[axis])));
  const [nz, ny, nx] = reference.shape;
  const [ours, theirs] = [reference.data, prediction.data];
  const wanted = new Set(values);
  const [only] = values;
  const has = wanted.size === 1 ? (value: number) => value === only : (value: number) => wanted.has(value);

  const shape: Vector3 = [z1 - z0, y1 - y0, x1 - x0];
  const data = new Uint8Array(shape[0] * shape[1] * shape[2]);
  const counts = [0, 0, 0, 0];
  for (let z = z0, to = 0; z < z1; z++) {
    for (let y = y0; y < y1; y++) {
      const row = (z * ny + y) * nx;
      for (let voxel = row + x0; voxel < row + x1; voxel++, to++) {
        if (ours[voxel] === ignored) continue;
        const bits = (has(ours[voxel]) ? inReference : 0) | (has(theirs[voxel]) ? inPrediction : 0);
        data[to] = bits;
        counts[bits]++;
      }
    }
  }
  const { spacing } = reference;
  const fills = counts[3] + Math.max(counts[inReference], counts[inPrediction]) === nz * ny * nx;
  return { data, shape, spacing: [spacing[2], spacing[1], spacing[0]], fills };
}

/** @throws RangeError when one of the masks is empty */
export function surfaceScores(pair: MaskPair, options: SurfaceOptions = {}): SurfaceScores {
  const { convention = 'medpy', tolerance = 1 } = options;
  const unit = convention === 'unetrpp' ? 'voxel' : (options.unit ?? 'mm');
  if (convention === 'nnunet' && pair.fills) {
    const nan = Number.NaN;
    return { hd: nan, hd95: nan, assd: nan, nsd: nan, predictionToReference: nan, referenceToPrediction: nan };
  }
  const spacing: Vector3 = unit === 'voxel' ? [1, 1, 1] : pair.spacing;
  return convention === 'deepmind'
    ? scoresOfElements(pair, spacing, tolerance)
    : scoresOfVoxels(pair, spacing, tolerance, convention === 'monai');
}

function scoresOfVoxels(pair: MaskPair, spacing: Vector3, tolerance: number, ofLargerDirection: boolean) {
  const { shape } = pair;
  const surfaces = surfaceVoxels(pair);
  const nearest = (of: number, to: number) => distances(surfaces, of, surfaces, to, shape, spacing).sort();
  const there = nearest(inPrediction, inReference);
  const back = nearest(inReference, inPrediction);
  if (there.length === 0 || back.length === 0) throw new RangeError('an empty mask has no surface');
  const both = new Float64Array(there.length + back.length);
  both.set(there);
  both.set(back, there.length);
  both.sort();
  const [within, withinBack] = [countUpTo(there, tolerance), countUpTo(back, tolerance)];
  return {
    hd: both[both.length - 1],
    hd95: ofLargerDirection ? Math.max(percentile(there, 95), percentile(back, 95)) : percentile(both, 95),
    assd: meanOf(both),
    nsd: ofLargerDirection
      ? (within + withinBack) / both.length
      : // nnU-Net v1 adds 1e-8, so that equal masks have 0.999999995; kept, because its numbers are compared with.
        (within / there.length + withinBack / back.length) / (2 + 1e-8),
    predictionToReference: meanOf(there),
    referenceToPrediction: meanOf(back),
  };
}

/** Bits of the masks of which a voxel is surface: of their voxels with a face neighbor outside; the box's border is outside. */
function surfaceVoxels({ data, shape: [nz, ny, nx] }: MaskPair): Uint8Array {
  const surfaces = new Uint8Array(data.length);
  const area = ny * nx;
  for (let z = 0, voxel = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      const onBorder = z === 0 || z === nz - 1 || y === 0 || y === ny - 1;
      for (let x = 0; x < nx; x++, voxel++) {
        const bits = data[voxel];
        if (bits === 0) continue;
        const inside =
          onBorder || x === 0 || x === nx - 1
            ? 0
            : data[voxel - area] &
              data[voxel + area] &
              data[voxel - nx] &
              data[voxel + nx] &
              data[voxel - 1] &
              data[voxel + 1];
        surfaces[voxel] = bits & ~inside;
      }
    }
  }
  return surfaces;
}

function scoresOfElements(pair: MaskPair, spacing: Vector3, tolerance: number): SurfaceScores {
  const [nz, ny, nx] = pair.shape;
  const shape: Vector3 = [nz + 1, ny + 1, nx + 1];
  const areas = elementAreas(spacing);
  const [ours, theirs] = [elementCodes(pair, inReference), elementCodes(pair, inPrediction)];
  const direction = (from: Uint8Array, to: Uint8Array) => {
    const apart = distances(from, 0xff, to, 0xff, shape, spacing);
    const areaAt = new Map<number, number>();
    let next = 0;
    for (const code of from) {
      if (code === 0) continue;
      const distance = apart[next++];
      areaAt.set(distance, (areaAt.get(distance) ?? 0) + areas[code]);
    }
    return summarizeAreas(areaAt, tolerance);
  };
  const [there, back] = [direction(theirs, ours), direction(ours, theirs)];
  if (!(there.area > 0 && back.area > 0)) throw new RangeError('an empty mask has no surface');
  const area = there.area + back.area;
  return {
    hd: Math.max(there.largest, back.largest),
    hd95: Math.max(there.within95, back.within95),
    assd: (there.sum + back.sum) / area,
    nsd: (there.within + back.within) / area,
    predictionToReference: there.sum / there.area,
    referenceToPrediction: back.sum / back.area,
  };
}

/** Codes of the cells around all voxels of the box, one more along each axis; a cell without surface has 0. */
function elementCodes({ data, shape: [nz, ny, nx] }: MaskPair, bit: number): Uint8Array {
  const [my, mx] = [ny + 1, nx + 1];
  const codes = new Uint8Array((nz + 1) * my * mx);
  for (let z = 0, voxel = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++, voxel++) {
        if (!(data[voxel] & bit)) continue;
        // The voxel is the last corner (1, 1, 1) of the cell at its own index, and the first of the cell one further.
        const cell = (z * my + y) * mx + x;
        codes[cell] |= 1;
        codes[cell + 1] |= 2;
        codes[cell + mx] |= 4;
        codes[cell + mx + 1] |= 8;
        const below = cell + my * mx;
        codes[below] |= 16;
        codes[below + 1] |= 32;
        codes[below + mx] |= 64;
        codes[below + mx + 1] |= 128;
      }
    }
  }
  for (let cell = 0; cell < codes.length; cell++) if (codes[cell] === 0xff) codes[cell] = 0;
  return codes;
}

/** @param areaAt area of the surface at each distance */
function summarizeAreas(areaAt: ReadonlyMap<number, number>, tolerance: number) {
  const ascending = Float64Array.from(areaAt.keys()).sort();
  let [area, sum, within] = [0, 0, 0];
  for (const distance of ascending) {
    const here = areaAt.get(distance)!;
    area += here;
    sum += here * distance;
    if (distance <= tolerance) within += here;
  }
  let cumulated = 0;
  const within95 = ascending.find((distance) => {
    cumulated += areaAt.get(distance)!;
    return cumulated / area >= 0.95;
  });
  return { area, sum, within, within95: within95 ?? Number.NaN, largest: ascending[ascending.length - 1] };
}

/**
 * Distance of each voxel with one of the bits `of` in `from`, in C order, to the nearest with one of the bits `to` in
 * `targets`.
 */
function distances(
  from: Uint8Array,
  of: number,
  targets: Uint8Array,
  to: number,
  shape: Vector3,
  spacing: Vector3,
): Float64Array {
  const [nz, ny, nx] = shape;
  const rows = new Uint32Array(nz * ny);
  let count = 0;
  for (let row = 0, voxel = 0; row < rows.length; row++) {
    for (let x = 0; x < nx; x++, voxel++) if (from[voxel] & of) rows[row]++;
    count += rows[row];
  }
  const found = new Float64Array(count);
  const slices = squaredDistances(targets, to, shape, spacing);
  let next = 0;
  for (let z = 0; z < nz; z++) {
    const isWanted = (y: number) => rows[z * ny + y] > 0;
    if (!rows.subarray(z * ny, (z + 1) * ny).some((each) => each > 0)) continue;
    const slice = slices(z, isWanted);
    for (let i = 0, voxel = z * slice.length; i < slice.length; i++, voxel++) {
      if (from[voxel] & of) found[next++] = Math.sqrt(slice[i]);
    }
  }
  return found;
}

function countUpTo(sorted: Float64Array, limit: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle] <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

function meanOf(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
