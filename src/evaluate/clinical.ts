/**
 * What a clinic reads off a mask: how much there is, how long it is, how a heart pumps, and what changed since the last
 * scan. Volumes of all labels are in labels.ts of `volume`. Masks in, plain numbers with their units in the names out; none
 * of it is a diagnosis, and every value is that of the mask, right or wrong.
 */
import { connectedComponents } from '../volume/components.ts';
import { type Geometry, type Vector3, type Volume, voxelVolumeMl } from '../volume/volume.ts';

/** 1 where the value is one of `values`; z x y x x. */
export function maskOf({ data }: Volume, values: readonly number[]): Uint8Array {
  const mask = new Uint8Array(data.length);
  for (let i = 0; i < mask.length; i++) if (values.includes(data[i])) mask[i] = 1;
  return mask;
}

export interface Burden {
  readonly volumeMl: number;
  /** Components of voxels that share at least a corner. */
  readonly lesions: number;
  readonly largestMl: number;
}

/** Tumor burden: the volume of all lesions together, in mL (voxels x voxel volume / 1000), and how many they are. */
export function burdenOf(mask: Uint8Array, grid: Geometry): Burden {
  const { sizes } = connectedComponents(mask, grid.shape, 26);
  const each = voxelVolumeMl(grid);
  const [voxels, largest] = sizes.reduce(([sum, most], size) => [sum + size, Math.max(most, size)], [0, 0]);
  return { volumeMl: voxels * each, lesions: sizes.length, largestMl: largest * each };
}

export interface Change {
  readonly absolute: number;
  /** Of the earlier value, in percent; NaN where that is 0. */
  readonly percent: number;
}

/** later - earlier, in the unit that both have. */
export function changeOf(earlier: number, later: number): Change {
  return { absolute: later - earlier, percent: earlier === 0 ? Number.NaN : (100 * (later - earlier)) / earlier };
}

/** From which points a diameter is measured: `corner`, the outer corners of voxels; `center`, their centers. */
export type DiameterConvention = 'corner' | 'center';

export interface AxialDiameters {
  /** The longest distance between two points of one connected piece in one slice. */
  readonly longMm: number;
  /** Extent of the same piece at right angles to that line, in the slice. */
  readonly shortMm: number;
  /** Index of the slice. */
  readonly z: number;
  /** Index (y, x) of the ends of the long axis; halves in the convention `corner`. */
  readonly ends: readonly [readonly [number, number], readonly [number, number]];
}

/** In mm^2: pairs this close are equally far apart. */
const sameSquare = 1e-9;

/**
 * Longest axial diameter and the short axis at right angles to it, as RECIST 1.1 measures lesions: in the slices of axis 0
 * (give a volume whose first axis is cranial), in each of them over the pieces of pixels that share at least a corner. Of
 * equal ones the first holds: slice, piece, then the ends in the order of (y, x). The line may leave a piece with a dent.
 *
 * Eisenhauer et al., "New response evaluation criteria in solid tumours", Eur. J. Cancer 45, 2009, section 3.
 * @returns undefined for an empty mask
 */
export function axialDiameters(
  mask: Uint8Array,
  { shape: [nz, ny, nx], spacing: [sx, sy] }: Geometry,
  convention: DiameterConvention = 'corner',
): AxialDiameters | undefined {
  let longest: AxialDiameters | undefined;
  for (let z = 0; z < nz; z++) {
    const slice = mask.subarray(z * ny * nx, (z + 1) * ny * nx);
    if (!slice.includes(1)) continue;
    // In a single slice, 26 neighbors are the 8 of a pixel.
    const { labels, sizes } = connectedComponents(slice, [1, ny, nx], 26);
    for (const points of outlines(labels, sizes.length, [ny, nx], convention)) {
      const hull = convexHull(points);
      const { square, ends } = farthest(hull, [sy, sx]);
      if (longest && square <= longest.longMm ** 2 + sameSquare) continue;
      longest = { longMm: Math.sqrt(square), shortMm: widthAcross(hull, ends, [sy, sx]), z, ends };
    }
  }
  return longest;
}

/** (y, x) */
type Point = readonly [number, number];

/** Of each component, the points at both ends of its rows: all that the hull can have. */
function outlines(
  labels: Int32Array,
  count: number,
  [ny, nx]: readonly [number, number],
  convention: DiameterConvention,
): Point[][] {
  const points: Point[][] = Array.from({ length: count }, () => []);
  const first = new Int32Array(count);
  const last = new Int32Array(count);
  for (let y = 0; y < ny; y++) {
    first.fill(-1);
    for (let x = 0; x < nx; x++) {
      const component = labels[y * nx + x] - 1;
      if (component < 0) continue;
      if (first[component] < 0) first[component] = x;
      last[component] = x;
    }
    for (let component = 0; component < count; component++) {
      const [left, right] = [first[component], last[component]];
      if (left < 0) continue;
      if (convention === 'center') points[component].push([y, left], [y, right]);
      else {
        for (const edge of [y - 0.5, y + 0.5]) points[component].push([edge, left - 0.5], [edge, right + 0.5]);
      }
    }
  }
  return points;
}

/** Corners of the convex hull in the order of (y, x), without those on its edges. Andrew's monotone chain, 1979. */
function convexHull(points: readonly Point[]): Point[] {
  const sorted = [...points].sort(([ya, xa], [yb, xb]) => ya - yb || xa - xb);
  const distinct = sorted.filter(([y, x], i) => i === 0 || y !== sorted[i - 1][0] || x !== sorted[i - 1][1]);
  const chain = (turn: 1 | -1) => {
    const corners: Point[] = [];
    for (const point of distinct) {
      while (corners.length > 1 && turn * turnOf(corners.at(-2)!, corners.at(-1)!, point) <= 0) corners.pop();
      corners.push(point);
    }
    return corners;
  };
  const corners = new Set([...chain(1), ...chain(-1)]);
  return distinct.filter((point) => corners.has(point));
}

function turnOf(a: Point, b: Point, c: Point): number {
  return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
}

/** @param points in the order of (y, x), so that the first of equal pairs is found first */
function farthest(points: readonly Point[], [sy, sx]: Point): { square: number; ends: readonly [Point, Point] } {
  let best: { square: number; ends: readonly [Point, Point] } = { square: 0, ends: [points[0], points[0]] };
  for (let i = 0; i < points.length; i++) {
    for (let j = i + 1; j < points.length; j++) {
      const [p, q] = [points[i], points[j]];
      const square = ((q[0] - p[0]) * sy) ** 2 + ((q[1] - p[1]) * sx) ** 2;
      if (square > best.square + sameSquare) best = { square, ends: [p, q] };
    }
  }
  return best;
}

/** Between the two lines along the long axis that the points lie between. */
function widthAcross(points: readonly Point[], [p, q]: readonly [Point, Point], [sy, sx]: Point): number {
  const [dy, dx] = [(q[0] - p[0]) * sy, (q[1] - p[1]) * sx];
  const length = Math.sqrt(dy * dy + dx * dx);
  if (length === 0) return 0;
  const across = points.map(([y, x]) => (x * sx * dy - y * sy * dx) / length);
  return Math.max(...across) - Math.min(...across);
}

export interface Lesion {
  readonly volumeMl: number;
  /** Of the lesion's own voxels. */
  readonly diameters: AxialDiameters;
}

/** Each component of a mask (voxels that share at least a corner), the longest diameter first. */
export function lesionsOf(mask: Uint8Array, grid: Geometry): Lesion[] {
  const { labels, sizes } = connectedComponents(mask, grid.shape, 26);
  const [nz, ny, nx] = grid.shape;
  const boxes = sizes.map(() => ({ start: [nz, ny, nx], end: [0, 0, 0] }));
  for (let z = 0, voxel = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++, voxel++) {
        if (labels[voxel] === 0) continue;
        const { start, end } = boxes[labels[voxel] - 1];
        for (const [axis, at] of [z, y, x].entries()) {
          start[axis] = Math.min(start[axis], at);
          end[axis] = Math.max(end[axis], at + 1);
        }
      }
    }
  }
  return sizes
    .map((size, index): Lesion => {
      const { start, end } = boxes[index];
      const shape: Vector3 = [end[0] - start[0], end[1] - start[1], end[2] - start[2]];
      const own = new Uint8Array(shape[0] * shape[1] * shape[2]);
      for (let z = start[0], to = 0; z < end[0]; z++) {
        for (let y = start[1]; y < end[1]; y++) {
          const row = (z * ny + y) * nx;
          for (let x = start[2]; x < end[2]; x++, to++) own[to] = Number(labels[row + x] === index + 1);
        }
      }
      const found = axialDiameters(own, { ...grid, shape })!;
      const [p, q] = found.ends.map(([y, x]): Point => [y + start[1], x + start[2]]);
      return { volumeMl: size * voxelVolumeMl(grid), diameters: { ...found, z: found.z + start[0], ends: [p, q] } };
    })
    .sort((a, b) => b.diameters.longMm - a.diameters.longMm);
}

/** Longest diameters in mm, from which on RECIST 1.1 calls a lesion measurable, and how many it follows in all. */
const measurableMm = 10;
const mostTargets = 5;

/**
 * Sum of the longest diameters of the largest measurable lesions (at least 10 mm, at most five), in mm: what RECIST 1.1
 * calls the sum of target lesions, if a reader chose by size alone. A reader also tells lymph nodes and organs apart (at
 * most two lesions in each), which a mask does not.
 * @param lesions the longest first
 */
export function sumOfDiameters(lesions: readonly Lesion[]): number {
  return lesions
    .map(({ diameters }) => diameters.longMm)
    .filter((long) => long >= measurableMm)
    .slice(0, mostTargets)
    .reduce((sum, long) => sum + long, 0);
}

/** Complete response, partial response, stable disease, progressive disease. */
export type Response = 'CR' | 'PR' | 'SD' | 'PD';

export interface ResponseSums {
  /** Sums of the target lesions' diameters in mm: before treatment, the smallest since, and now. */
  readonly baseline: number;
  readonly nadir: number;
  readonly current: number;
  readonly newLesion?: boolean;
}

/**
 * Response of target lesions that are no lymph nodes. PD: a new lesion, or at least 20 % and 5 mm above the smallest sum;
 * CR: nothing left; PR: at least 30 % below the baseline; else SD, each tested in this order but for CR, which goes before
 * a rise. Eisenhauer et al., 2009, section 4.3.
 */
export function recistResponse({ baseline, nadir, current, newLesion = false }: ResponseSums): Response {
  if (newLesion) return 'PD';
  if (current === 0) return 'CR';
  if (current - nadir >= 5 && current >= 1.2 * nadir) return 'PD';
  return current <= 0.7 * baseline ? 'PR' : 'SD';
}

/** Of heart muscle, in g/mL: what cardiac imaging uses; Schulz-Menger et al., J. Cardiovasc. Magn. Reson. 22, 2020. */
const myocardialDensity = 1.05;

/** Values of the label maps; those of ACDC. */
export interface HeartLabels {
  readonly rightVentricle: number;
  readonly myocardium: number;
  readonly leftVentricle: number;
}
export const acdcLabels: HeartLabels = { rightVentricle: 1, myocardium: 2, leftVentricle: 3 };

export interface VentricleFunction {
  /** Volumes of the cavity at the end of diastole and of systole. */
  readonly edvMl: number;
  readonly esvMl: number;
  /** EDV - ESV. */
  readonly strokeVolumeMl: number;
  /** 100 (EDV - ESV) / EDV; NaN where EDV is 0. */
  readonly ejectionFractionPercent: number;
}

export interface HeartFunction {
  readonly leftVentricle: VentricleFunction;
  readonly rightVentricle: VentricleFunction;
  /** Of the myocardium at the end of diastole: its volume, and that times 1.05 g/mL. */
  readonly myocardialVolumeMl: number;
  readonly myocardialMassG: number;
}

/** Of one frame. */
export interface HeartVolumes {
  readonly leftVentricleMl: number;
  readonly rightVentricleMl: number;
  readonly myocardiumMl: number;
}

/** Function of both ventricles from the volumes of a pair of frames. Source: as `heartFunction`. */
export function functionOf(endDiastole: HeartVolumes, endSystole: HeartVolumes): HeartFunction {
  const ventricle = (edvMl: number, esvMl: number): VentricleFunction => {
    const strokeVolumeMl = edvMl - esvMl;
    return { edvMl, esvMl, strokeVolumeMl, ejectionFractionPercent: (100 * strokeVolumeMl) / edvMl };
  };
  return {
    leftVentricle: ventricle(endDiastole.leftVentricleMl, endSystole.leftVentricleMl),
    rightVentricle: ventricle(endDiastole.rightVentricleMl, endSystole.rightVentricleMl),
    myocardialVolumeMl: endDiastole.myocardiumMl,
    myocardialMassG: endDiastole.myocardiumMl * myocardialDensity,
  };
}

/**
 * Function of both ventricles from the label maps of a pair of frames, end of diastole and of systole. Petitjean and Dacher,
 * "A review of segmentation methods in short axis cardiac MR images", Med. Image Anal. 15, 2011, section 2.
 */
export function heartFunction(
  endDiastole: Volume,
  endSystole: Volume,
  labels: HeartLabels = acdcLabels,
): HeartFunction {
  const volumeMl = (map: Volume, value: number) => {
    let voxels = 0;
    for (const each of map.data) if (each === value) voxels++;
    return voxels * voxelVolumeMl(map);
  };
  const volumes = (map: Volume): HeartVolumes => ({
    leftVentricleMl: volumeMl(map, labels.leftVentricle),
    rightVentricleMl: volumeMl(map, labels.rightVentricle),
    myocardiumMl: volumeMl(map, labels.myocardium),
  });
  return functionOf(volumes(endDiastole), volumes(endSystole));
}

/** Stroke volume (mL) times heart rate (beats a minute), in L/min. */
export function cardiacOutput({ strokeVolumeMl }: VentricleFunction, beatsPerMinute: number): number {
  return (strokeVolumeMl * beatsPerMinute) / 1000;
}
