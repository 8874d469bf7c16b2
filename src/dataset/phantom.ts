/**
 * Phantoms: labeled volumes that look like a coarse CT of the abdomen, made from a seed alone. For trying out training
 * and for tests, where no patient's scan may or can be used; a network that knows them knows nothing of patients.
 *
 * A patient (phantomAnatomy.ts) is bent by a smooth random field, drawn into voxels with soft edges (partial volume),
 * and covered with noise that neighbors in a slice share, as in reconstructed CT. One seed gives one phantom, bit for
 * bit, in every engine.
 */
import { InputError } from '../errors.ts';
import { showShape } from '../tensor.ts';
import { identityDirection, type LabelMap, type Vector3, type Volume } from '../volume/volume.ts';
import { type Anatomy, drawAnatomy, phantomOrgans, rotation, type Structure } from './phantomAnatomy.ts';
import { nextBits, type RandomStream, uniform } from './randomStream.ts';

export interface PhantomOptions {
  /** Voxels along z, y, x. */
  shape?: Vector3;
  /** Along x, y, z, in mm. Left out: another for each phantom, so that the whole trunk is seen. */
  spacing?: Vector3;
}

export interface Phantom {
  /** HU. */
  readonly image: Volume<Int16Array>;
  /** 0 the background, 1 to 8 the organs of `phantomOrgans`. */
  readonly labels: LabelMap<Uint8Array>;
}

const voxelLimit = 2 ** 27;

/**
 * @param stream drawn from; one made of a seed and the phantom's number gives each its own
 * @throws InputError when the shape or the spacing is none that a volume can have
 */
export function phantom(stream: RandomStream, { shape = [48, 96, 96], spacing }: PhantomOptions = {}): Phantom {
  const voxels = shape[0] * shape[1] * shape[2];
  if (!(shape.every((length) => Number.isInteger(length) && length > 0) && voxels <= voxelLimit)) {
    throw new InputError(
      `a phantom of ${showShape(shape)} voxels (z, y, x) cannot be made; take whole numbers from 1 up, in all at most ${voxelLimit}`,
    );
  }
  if (spacing && !spacing.every((mm) => mm >= 0.1 && mm <= 100)) {
    throw new InputError(`a phantom with voxels of ${spacing.join(' x ')} mm cannot be made; take 0.1 to 100 mm`);
  }
  const anatomy = drawAnatomy(stream);
  const grid = drawGrid(stream, anatomy, shape, spacing);
  const body = bend(stream, grid);
  const image = new Float32Array(voxels);
  const labels = new Uint8Array(voxels);
  const below = drawTrunk(image, body, anatomy);
  for (const structure of anatomy.structures) draw(image, labels, body, below, structure, anatomy.tissues.fat);
  const geometry = { shape, spacing: grid.spacing, origin: grid.origin, direction: identityDirection, channels: 1 };
  return {
    image: { ...geometry, data: withNoise(stream, image, shape) },
    labels: {
      ...geometry,
      data: labels,
      labels: new Map<number, string>([[0, 'background'], ...phantomOrgans.map((name, i) => [i + 1, name] as const)]),
    },
  };
}

/** Half widths of the trunk without the fat under its skin, left to right and front to back, in mm. */
const [halfWidth, halfDepth] = [148, 100];
/** Of what is inside of the wall; its center lies in front of the trunk's. */
const [cavityHalfWidth, cavityHalfDepth, cavityCenter] = [130, 80, -8];

interface Grid {
  readonly shape: Vector3;
  readonly spacing: Vector3;
  readonly origin: Vector3;
  /** Body coordinates are turn * (world / size), before they are bent. */
  readonly size: Vector3;
  readonly turn: readonly number[];
}

/** How large the patient is, how they lie, and what of them is scanned. */
function drawGrid(stream: RandomStream, { fatThickness }: Anatomy, shape: Vector3, spacing?: Vector3): Grid {
  const overall = uniform(stream, 0.93, 1.07);
  const size: Vector3 = [0, 1, 2].map(() => overall * uniform(stream, 0.96, 1.04)) as unknown as Vector3;
  const turn = rotation([uniform(stream, -0.06, 0.06), uniform(stream, -0.06, 0.06), uniform(stream, -0.08, 0.08)]);
  const field = 2 * (halfWidth + fatThickness) * size[0] * uniform(stream, 1.05, 1.18);
  const height = uniform(stream, 228, 252) * size[2];
  const inPlane = thousandth(field / Math.max(shape[1], shape[2]));
  const mm = spacing ?? [inPlane, inPlane, thousandth(height / shape[0])];
  const center = [uniform(stream, -9, 9), uniform(stream, -9, 9), 6 + uniform(stream, -8, 8)];
  const origin = center.map((middle, axis) => thousandth(middle - ((shape[2 - axis] - 1) / 2) * mm[axis]));
  return { shape, spacing: mm, origin: [origin[0], origin[1], origin[2]], size, turn };
}

const thousandth = (mm: number) => Math.round(mm * 1000) / 1000;

/** Every voxel's place in the body, in mm, and a random field to dent surfaces and to make texture with. */
interface Body {
  readonly shape: Vector3;
  readonly x: Float32Array;
  readonly y: Float32Array;
  readonly z: Float32Array;
  /** About -1 to 1. */
  readonly texture: Float32Array;
  /** Smallest and largest x, y, z of each row of voxels. */
  readonly rows: Float32Array;
  /** Edge of a cube as large as a voxel, in the body's mm: over this width a surface goes from outside to inside. */
  readonly edge: number;
}

/** Knots of the field that bends the body, and of the one that dents it, in mm; and how far a knot may pull. */
const [bendKnots, bendMm, textureKnots] = [60, 17, 20];

function bend(stream: RandomStream, { shape, spacing, origin, size, turn }: Grid): Body {
  const [nz, ny, nx] = shape;
  const axes = [0, 1, 2].map(() => smoothField(stream, shape, spacing, bendKnots));
  const texture = smoothField(stream, shape, spacing, textureKnots);
  for (let i = 0; i < texture.length; i++) texture[i] *= 2.5;
  const [x, y, z] = axes;
  const rows = new Float32Array(nz * ny * 6);
  for (let k = 0, i = 0, row = 0; k < nz; k++) {
    const c = (origin[2] + k * spacing[2]) / size[2];
    for (let j = 0; j < ny; j++, row += 6) {
      const b = (origin[1] + j * spacing[1]) / size[1];
      for (let axis = 0; axis < 3; axis++) [rows[row + 2 * axis], rows[row + 2 * axis + 1]] = [Infinity, -Infinity];
      for (let end = i + nx, column = 0; i < end; i++, column++) {
        const a = (origin[0] + column * spacing[0]) / size[0];
        for (let axis = 0; axis < 3; axis++) {
          const to = axes[axis];
          to[i] = turn[3 * axis] * a + turn[3 * axis + 1] * b + turn[3 * axis + 2] * c + bendMm * to[i];
          if (to[i] < rows[row + 2 * axis]) rows[row + 2 * axis] = to[i];
          if (to[i] > rows[row + 2 * axis + 1]) rows[row + 2 * axis + 1] = to[i];
        }
      }
    }
  }
  return {
    shape,
    x,
    y,
    z,
    texture,
    rows,
    edge: cubeRoot((spacing[0] * spacing[1] * spacing[2]) / (size[0] * size[1] * size[2])),
  };
}

/** By Newton's steps: `Math.cbrt` may differ between engines in the last bit. */
function cubeRoot(value: number): number {
  let root = 1 + value / 3;
  for (let step = 0; step < 60; step++) root -= (root - value / (root * root)) / 3;
  return root;
}

/** A cubic B-spline whose coefficients are uniform from -1 to 1, one every `knots` mm. */
function smoothField(stream: RandomStream, shape: Vector3, spacing: Vector3, knots: number): Float32Array {
  const counts = shape.map((length, axis) => Math.floor(((length - 1) * spacing[2 - axis]) / knots) + 4);
  let field = Float32Array.from({ length: counts[0] * counts[1] * counts[2] }, () => uniform(stream, -1, 1));
  field = expand(field, counts[0] * counts[1], counts[2], 1, shape[2], spacing[0] / knots);
  field = expand(field, counts[0], counts[1], shape[2], shape[1], spacing[1] / knots);
  return expand(field, 1, counts[0], shape[1] * shape[2], shape[0], spacing[2] / knots);
}

/** Along one axis, of n coefficients to `length` samples, `step` knots apart; `inner` neighbors in memory. */
function expand(coefficients: Float32Array, outer: number, n: number, inner: number, length: number, step: number) {
  const out = new Float32Array(outer * length * inner);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < length; i++) {
      const first = Math.min(n - 4, Math.floor(i * step));
      const t = i * step - first;
      const s = 1 - t;
      const weights = [
        (s * s * s) / 6,
        (3 * t * t * t - 6 * t * t + 4) / 6,
        (3 * s * s * s - 6 * s * s + 4) / 6,
        (t * t * t) / 6,
      ];
      const to = (o * length + i) * inner;
      const from = (o * n + first) * inner;
      for (let c = 0; c < inner; c++) {
        out[to + c] =
          weights[0] * coefficients[from + c] +
          weights[1] * coefficients[from + inner + c] +
          weights[2] * coefficients[from + 2 * inner + c] +
          weights[3] * coefficients[from + 3 * inner + c];
      }
    }
  }
  return out;
}

/** How much of a voxel is inside of a surface at this distance. */
function share(distance: number, edge: number): number {
  const inside = 0.5 - distance / edge;
  return Math.max(0, Math.min(1, inside));
}

/** Distance from an oval, along the ray from its center; squarer than an ellipse, as trunks are. */
function fromOval(x: number, y: number, a: number, b: number): number {
  const [u, v] = [(x / a) * (x / a), (y / b) * (y / b)];
  const k = Math.sqrt(0.5 * (u + v) + 0.5 * Math.sqrt(u * u + v * v));
  return k < 0.01 ? -b : Math.sqrt(x * x + y * y) * (1 - 1 / k);
}

function fromEllipse(x: number, y: number, a: number, b: number): number {
  const k = Math.sqrt((x / a) * (x / a) + (y / b) * (y / b));
  return k < 0.01 ? -Math.min(a, b) : Math.sqrt(x * x + y * y) * (1 - 1 / k);
}

const vertebraHeight = 35;
const ribDistance = 27;

/**
 * Air, skin, fat, the wall with ribs, spine, psoas, lungs and heart.
 * @returns distance of every voxel from the space below the diaphragm that organs lie in, negative inside
 */
function drawTrunk(image: Float32Array, body: Body, { tissues, fatThickness }: Anatomy): Float32Array {
  const { fat, muscle, lung } = tissues;
  const { edge, texture } = body;
  const below = new Float32Array(image.length);
  for (let i = 0; i < image.length; i++) {
    const [x, y, z] = [body.x[i], body.y[i], body.z[i]];
    const outline = fromOval(x, y, halfWidth + fatThickness, halfDepth + fatThickness);
    let hu = -1000;
    const paint = (value: number, distance: number) => {
      const part = share(distance, edge);
      hu += part * (value - hu);
    };
    const cavity = fromOval(x, y - cavityCenter, cavityHalfWidth, cavityHalfDepth);
    const diaphragm = domeHeight(x, y);
    below[i] = Math.max(cavity, 0.7 * (z - diaphragm));
    if (outline < edge) {
      paint(fat, outline);
      paint(20, Math.max(outline, -2 - outline));
      paint(muscle, fromOval(x, y, halfWidth, halfDepth) - 1.5 * texture[i]);
      // Two layers of muscle with a little fat between them.
      if (y < 60) paint(fat + 60, (cavity - 9 > 0 ? cavity - 9 : 9 - cavity) - 1);
      if (cavity > 0 && z - 0.45 * y > -38) {
        const turn = (z - 0.45 * y) / ribDistance;
        const across = (turn - Math.round(turn)) * ribDistance;
        const rib = Math.sqrt((cavity - 9) * (cavity - 9) + across * across) - 5;
        paint(y < -55 ? 110 : rib > -2 ? 420 : 240, rib);
      }
      paint(fat, cavity);
      if (cavity < edge && z > diaphragm - edge) {
        paint(muscle, Math.max(cavity + 1, 0.7 * (diaphragm - z - 3)));
        paint(lung + 45 * texture[i], Math.max(cavity + 2, 0.7 * (diaphragm - z)));
        const [a, b, c] = [(x - 14) / 58, (y + 34) / 44, (z - diaphragm - 22) / 32];
        paint(130, 36 * (Math.sqrt(a * a + b * b + c * c) - 1));
      }
      const psoas = 19 - Math.max(0, z + 40) / 6;
      if (psoas > 4) paint(muscle, fromEllipse((x < 0 ? -x : x) - 38, y - 46, psoas * 0.9, psoas));
      hu = withSpine(hu, x, y, z, edge);
    }
    image[i] = hu;
  }
  return below;
}

/** Two domes, the right one higher; at the wall the lungs reach down. */
function domeHeight(x: number, y: number): number {
  const q = (x / cavityHalfWidth) * (x / cavityHalfWidth) + ((y + 20) / 85) * ((y + 20) / 85);
  return 112 - (7 * x) / (40 + (x < 0 ? -x : x)) - 42 * Math.min(1.25, q) * Math.min(1.25, q);
}

function withSpine(hu: number, x: number, y: number, z: number, edge: number): number {
  if (y < 20 || x > 60 || x < -60) return hu;
  const turn = z / vertebraHeight;
  const fromMiddle = (turn - Math.floor(turn) - 0.5) * vertebraHeight;
  const disc = Math.abs(fromMiddle) > vertebraHeight / 2 - 4;
  const paint = (value: number, distance: number) => {
    hu += share(distance, edge) * (value - hu);
  };
  const arch = Math.abs(fromMiddle) < 11;
  const muscle = 58;
  paint(muscle, fromEllipse((x < 0 ? -x : x) - 28, y - 82, 25, 17));
  if (arch) {
    paint(300, fromEllipse((x < 0 ? -x : x) - 24, y - 68, 18, 6));
    paint(330, fromEllipse(x, y - 93, 4.5, 16));
  }
  paint(arch ? 380 : 70, fromEllipse(x, y - 70, 17, 14));
  paint(25, fromEllipse(x, y - 70, 10, 8.5));
  const vertebra = fromEllipse(x, y - 46, 22, 17);
  paint(disc ? 95 : vertebra > -3 || Math.abs(fromMiddle) > vertebraHeight / 2 - 6.5 ? 400 : 190, vertebra);
  return hu;
}

/** Draws a structure over what is there. Below the diaphragm and within the wall is where it may be. */
function draw(
  image: Float32Array,
  labels: Uint8Array,
  body: Body,
  below: Float32Array,
  { low, high, distance, label, hu, fat, dents }: Structure,
  fatHu: number,
): void {
  const { rows, edge, texture } = body;
  const nx = body.shape[2];
  const margin = fat + edge + 2 * dents;
  const [x0, y0, z0] = low.map((value) => value - margin);
  const [x1, y1, z1] = high.map((value) => value + margin);
  for (let row = 0, first = 0; first < image.length; row += 6, first += nx) {
    if (rows[row] > x1 || rows[row + 1] < x0 || rows[row + 2] > y1 || rows[row + 3] < y0) continue;
    if (rows[row + 4] > z1 || rows[row + 5] < z0) continue;
    for (let i = first; i < first + nx; i++) {
      const [x, y, z] = [body.x[i], body.y[i], body.z[i]];
      if (x < x0 || x > x1 || y < y0 || y > y1 || z < z0 || z > z1 || below[i] > edge) continue;
      const surface = distance(x, y, z) + dents * texture[i];
      if (surface > fat + edge) continue;
      const inside = Math.max(surface, below[i] + 2);
      if (fat > 0) {
        const around = Math.max(surface - fat, below[i] + 1);
        image[i] += share(around, edge) * (fatHu - image[i]);
        if (around < 0) labels[i] = 0;
      }
      const part = share(inside, edge);
      if (part > 0) image[i] += part * (hu(inside, y, texture[i]) - image[i]);
      if (inside < 0 && label !== undefined) labels[i] = label;
    }
  }
}

/** Rounded to whole HU, from -1024 up, with noise that neighbors in a slice share; its deviation differs between scans. */
function withNoise(stream: RandomStream, image: Float32Array, [nz, ny, nx]: Vector3): Int16Array<ArrayBuffer> {
  const deviation = uniform(stream, 9, 17);
  const noise = new Float32Array(image.length);
  for (let i = 0; i < noise.length; i++) {
    // The sum of four bytes is nearly normal: mean 510, deviation 147.8.
    const bits = nextBits(stream);
    noise[i] = (bits & 255) + ((bits >>> 8) & 255) + ((bits >>> 16) & 255) + (bits >>> 24) - 510;
  }
  // A quarter, a half, a quarter along x and y makes the deviation 3/8 of what it was.
  const scale = deviation / (147.8 * 0.375);
  const out = new Int16Array(image.length);
  const across = new Float32Array(ny * nx);
  for (let k = 0; k < nz; k++) {
    const first = k * ny * nx;
    for (let j = 0; j < ny; j++) {
      for (let i = 0, at = first + j * nx; i < nx; i++, at++) {
        across[j * nx + i] = noise[at] / 2 + (noise[at - (i > 0 ? 1 : 0)] + noise[at + (i < nx - 1 ? 1 : 0)]) / 4;
      }
    }
    for (let j = 0; j < ny; j++) {
      const [up, down] = [j > 0 ? nx : 0, j < ny - 1 ? nx : 0];
      for (let i = 0; i < nx; i++) {
        const at = j * nx + i;
        const shared = across[at] / 2 + (across[at - up] + across[at + down]) / 4;
        out[first + at] = Math.max(-1024, Math.round(image[first + at] + scale * shared));
      }
    }
  }
  return out;
}
