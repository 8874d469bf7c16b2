/**
 * The trunk that a phantom shows: shapes, places and Hounsfield units, drawn anew for every patient. How they become
 * voxels is phantom.ts's.
 *
 * Body coordinates are LPS in mm, about a point in front of the first lumbar vertebra. Sizes are an adult's as anatomy
 * books give them; of each organ place, size, tilt and HU vary a little. Only arithmetic that IEEE 754 fixes to the bit
 * (no sines, no powers) is used, so that every engine draws the same.
 */
import type { Vector3 } from '../volume/volume.ts';
import { type RandomStream, uniform } from './randomStream.ts';

/** Organs in the order of their labels, from 1: those of Synapse that articles report, by its names. */
export const phantomOrgans = [
  'spleen',
  'right kidney',
  'left kidney',
  'gallbladder',
  'liver',
  'stomach',
  'aorta',
  'pancreas',
] as const;

type Organ = (typeof phantomOrgans)[number];

/** Distance in mm from the surface at a body position: negative inside, right near the surface, a bound elsewhere. */
type Distance = (x: number, y: number, z: number) => number;

interface Shape {
  /** Box that holds everything inside. */
  readonly low: Vector3;
  readonly high: Vector3;
  readonly distance: Distance;
}

export interface Structure extends Shape {
  /** 0 takes labels away; undefined leaves them: vessels in the liver are liver. */
  readonly label: number | undefined;
  /** HU at a distance from the surface (negative inside) and a position; `texture` is a smooth random field, about -1 to 1. */
  readonly hu: (distance: number, y: number, texture: number) => number;
  /** Width of the fat around it, in mm. */
  readonly fat: number;
  /** How much the random field dents its surface, in mm. */
  readonly dents: number;
}

export interface Anatomy {
  /** HU of what the trunk itself is made of. */
  readonly tissues: { readonly fat: number; readonly muscle: number; readonly lung: number };
  /** Of the fat under the skin, in mm. */
  readonly fatThickness: number;
  /** Organs, vessels and bowel below the diaphragm, in the order in which they are drawn: later ones win. */
  readonly structures: readonly Structure[];
}

/**
 * HU about 70 s after the contrast medium (portal venous phase, 120 kV): mean, and deviation between patients. Typical
 * values, not those of one study: parenchyma is at its brightest, veins are about as bright as the aorta, the kidneys
 * brighter than everything. The check is the pooled foreground of the Synapse training set, as the plan file of UNETR++'s
 * repository has it: median 96 HU and percentile 0.5 at -958 (gas in the stomach), and here 104 and -960. Its percentile
 * 99.5, 326, comes from oral contrast and calcium, which phantoms lack: 214.
 */
const enhancement = {
  liver: [108, 10],
  spleen: [120, 10],
  kidney: [182, 14],
  pancreas: [92, 9],
  gallbladder: [8, 5],
  stomachWall: [80, 8],
  stomachContent: [28, 12],
  aorta: [148, 12],
  cava: [132, 12],
  portalVein: [162, 12],
  bowel: [55, 12],
  muscle: [60, 4],
  fat: [-104, 4],
  lung: [-845, 25],
  gas: [-960, 10],
} as const;

type Place = readonly [x: number, y: number, z: number];
type Course = readonly (readonly [x: number, y: number, z: number, radius: number])[];

/** Middle lines of what is tubular, from place to place. */
// biome-ignore format: a table
const courses = {
  // Large bowel: never labeled, and at places much like an organ.
  ascendingColon: [[-108, 18, -150, 22], [-112, 12, -90, 24], [-106, 8, -40, 22]],
  transverseColon: [[-95, -25, -42, 19], [-45, -62, -52, 18], [15, -66, -58, 17], [70, -50, -35, 17], [104, 5, -8, 15]],
  descendingColon: [[108, 25, -16, 14], [112, 32, -70, 14], [110, 30, -150, 15]],
  rightHepaticVein: [[-12, 18, 92, 4.5], [-60, 18, 76, 4], [-108, 15, 58, 2.5]],
  middleHepaticVein: [[-12, 18, 92, 4.5], [-40, -6, 80, 4], [-70, -35, 64, 2.5]],
  leftHepaticVein: [[-12, 18, 92, 4.5], [0, -16, 82, 4], [16, -46, 70, 2.5]],
  stomach: [[58, 16, 82, 22], [70, 0, 68, 29], [70, -32, 42, 27], [56, -54, 16, 22], [26, -58, 2, 18], [-8, -46, 4, 13], [-24, -34, 8, 10]],
  duodenum: [[-28, -32, 6, 11], [-52, -18, -6, 12], [-50, -2, -36, 12], [-18, -4, -50, 11], [20, -8, -44, 11]],
  cava: [[-18, 18, -150, 11], [-19, 18, -60, 11], [-21, 16, 0, 11], [-18, 18, 60, 12], [-10, 18, 105, 12]],
  portalVein: [[6, -16, -60, 6], [4, -14, 0, 7], [-14, -10, 28, 7], [-34, -8, 44, 6]],
  pancreas: [[-34, -14, -22, 13], [-28, -20, -4, 15], [-4, -28, 8, 10], [24, -18, 16, 11], [52, 4, 26, 12], [78, 22, 36, 10]],
  gallbladder: [[-46, -28, 16, 8], [-54, -42, 4, 13], [-58, -54, -10, 15]],
  aorta: [[12, 12, -150, 8.5], [12, 13, -70, 9], [9, 14, 0, 10], [9, 17, 60, 10.5], [14, 26, 110, 11], [18, 34, 170, 11.5]],
} satisfies Record<string, Course>;

/** A patient. */
export function drawAnatomy(stream: RandomStream): Anatomy {
  const near = (value: number, spread: number) => value + spread * uniform(stream, -1, 1);
  const hu = (tissue: keyof typeof enhancement) => {
    const [mean, deviation] = enhancement[tissue];
    // Two uniform numbers add up to a triangle about 0, of deviation 0.816.
    return mean + (deviation / 0.816) * (uniform(stream, -1, 1) + uniform(stream, -1, 1));
  };

  const tissues = { fat: hu('fat'), muscle: hu('muscle'), lung: hu('lung') };
  const gas = hu('gas');
  const structures: Structure[] = [];
  const add = (label: Organ | 'none' | 'kept', value: number | Structure['hu'], shape: Shape, fat = 0, dents = 1) => {
    structures.push({
      ...shape,
      label: label === 'kept' ? undefined : label === 'none' ? 0 : phantomOrgans.indexOf(label) + 1,
      hu: typeof value === 'number' ? () => value : value,
      fat,
      dents,
    });
  };
  /** An ellipsoid of one organ: moved, sized and tilted a little. */
  const organ = (center: Place, radii: Place, tilt: Place = [0, 0, 0], spread = 5) => {
    const size = near(1, 0.08);
    return ellipsoid(
      [near(center[0], spread), near(center[1], spread), near(center[2], spread)],
      [radii[0] * near(size, 0.06), radii[1] * near(size, 0.06), radii[2] * near(size, 0.06)],
      [near(tilt[0], 0.06), near(tilt[1], 0.06), near(tilt[2], 0.06)],
    );
  };
  /** A tube through places, each with its radius. */
  const vessel = (places: Course, spread: number) => {
    const [x, y, z, size] = [near(0, spread), near(0, spread), near(0, spread), near(1, 0.1)];
    return tube(
      places.map((place) => [
        near(place[0] + x, spread / 2),
        near(place[1] + y, spread / 2),
        near(place[2] + z, spread / 2),
        place[3] * near(size, 0.06),
      ]),
    );
  };

  const bowel = hu('bowel');
  /** Gas where the random field is high, more of it in front, where it rises to. */
  const withGas =
    (share: number): Structure['hu'] =>
    (distance, y, texture) =>
      distance > -5 ? bowel : blend(bowel - 25 + 40 * texture, gas, 3 * (texture - 0.55 + share - y / 200));
  add('none', withGas(0.3), vessel(courses.ascendingColon, 5), 2);
  add('none', withGas(0.35), vessel(courses.transverseColon, 6), 2);
  add('none', withGas(0.15), vessel(courses.descendingColon, 5), 2);
  for (let loop = 0; loop < 14; loop++) {
    const [x, y, z] = [near(0, 82), near(-28, 34), near(-88, 38)];
    const [right, front, down] = [near(0, 32), near(0, 20), near(0, 14)];
    const places: Course = [
      [x - right, y - front, z - down, 12],
      [x, y, z, 13],
      [x + right, y + front, z + down, 12],
    ];
    add('none', loop % 4 === 0 ? withGas(0.15) : bowel, vessel(places, 8), 1);
  }

  const liver = hu('liver');
  const portal = hu('portalVein');
  // Right lobe, left lobe across the midline, and what reaches to the cava.
  add('liver', liver, organ([-72, 0, 40], [76, 76, 78], [0, 0.12, -0.05], 4), 1);
  add('liver', liver, organ([-2, -42, 62], [72, 34, 36], [0, -0.12, 0.12], 4));
  add('liver', liver, organ([-30, 0, 45], [36, 32, 40], [0, 0, 0], 3));
  for (const course of [courses.rightHepaticVein, courses.middleHepaticVein, courses.leftHepaticVein]) {
    add('kept', portal - 6, vessel(course, 5), 0, 0);
  }
  add('spleen', hu('spleen'), organ([106, 38, 40], [32, 47, 54], [0.1, -0.1, 0.1], 5), 2);

  const kidney = hu('kidney');
  for (const side of ['right kidney', 'left kidney'] as const) {
    const sign = side === 'right kidney' ? -1 : 1;
    const [x, y, z] = [sign * near(60, 4), near(38, 4), near(side === 'right kidney' ? -24 : -8, 8)];
    const size = near(1, 0.1);
    // The upper pole lies toward the spine and the back.
    const tilt: Place = [0.1, sign * 0.12, 0];
    add(side, kidney, ellipsoid([x, y, z], [27 * size, 25 * size, 53 * size], tilt), 4);
    // The sinus, which opens toward the spine, is fat and vessels.
    const sinus: Place = [x - sign * 17 * size, y - 4, z];
    add('none', tissues.fat + 55, ellipsoid(sinus, [13 * size, 8 * size, 20 * size], tilt));
  }

  const [wall, content] = [hu('stomachWall'), hu('stomachContent')];
  const gasLevel = near(-58, 14);
  const filled: Structure['hu'] = (distance, y) => (distance > -4 ? wall : blend(content, gas, (gasLevel - y) / 4));
  add('stomach', filled, vessel(courses.stomach, 6), 2);
  add('none', bowel, vessel(courses.duodenum, 3), 1);
  add('none', hu('cava'), vessel(courses.cava, 2), 1, 0.5);
  add('none', portal, vessel(courses.portalVein, 2), 1, 0.5);
  add('pancreas', hu('pancreas'), vessel(courses.pancreas, 4), 2, 1.5);
  add('gallbladder', hu('gallbladder'), vessel(courses.gallbladder, 5), 0, 0.5);
  add('aorta', hu('aorta'), vessel(courses.aorta, 2), 2, 0.3);

  return { tissues, fatThickness: near(20, 11), structures };
}

function ellipsoid(center: Place, radii: Place, tilt: Place): Shape {
  const m = rotation(tilt);
  const reach = Math.max(...radii);
  const [cx, cy, cz] = center;
  const [rx, ry, rz] = radii;
  const smallest = Math.min(...radii);
  return {
    low: [cx - reach, cy - reach, cz - reach],
    high: [cx + reach, cy + reach, cz + reach],
    distance: (x, y, z) => {
      const [dx, dy, dz] = [x - cx, y - cy, z - cz];
      const u = (m[0] * dx + m[3] * dy + m[6] * dz) / rx;
      const v = (m[1] * dx + m[4] * dy + m[7] * dz) / ry;
      const w = (m[2] * dx + m[5] * dy + m[8] * dz) / rz;
      const k = Math.sqrt(u * u + v * v + w * w);
      if (k < 1e-6) return -smallest;
      // k - 1 by its slope: exact to first order at the surface.
      const slope = Math.sqrt((u / rx) * (u / rx) + (v / ry) * (v / ry) + (w / rz) * (w / rz));
      return (k * (k - 1)) / slope;
    },
  };
}

/** Small turns about x, y and z, in radians, as one row-major matrix: that of the quaternion (1, tilt / 2). */
export function rotation(tilt: Vector3): number[] {
  const [a, b, c] = [tilt[0] / 2, tilt[1] / 2, tilt[2] / 2];
  const s = 2 / (1 + a * a + b * b + c * c);
  return [
    1 - s * (b * b + c * c),
    s * (a * b - c),
    s * (a * c + b),
    s * (a * b + c),
    1 - s * (a * a + c * c),
    s * (b * c - a),
    s * (a * c - b),
    s * (b * c + a),
    1 - s * (a * a + b * b),
  ];
}

/** From one value to another as `along` goes from -0.5 to 0.5. */
function blend(from: number, to: number, along: number): number {
  return from + Math.max(0, Math.min(1, along + 0.5)) * (to - from);
}

const piecesBetweenPlaces = 3;

/** Through places (x, y, z, radius), rounded between them as Catmull and Rom do. */
function tube(places: Course): Shape {
  const path: number[][] = [];
  for (let i = 0; i + 1 < places.length; i++) {
    const [before, from, to, after] = [i - 1, i, i + 1, i + 2].map(
      (index) => places[Math.min(places.length - 1, Math.max(0, index))],
    );
    for (let piece = 0; piece < piecesBetweenPlaces; piece++) {
      const t = piece / piecesBetweenPlaces;
      path.push(
        from.map(
          (value, axis) =>
            value +
            (t / 2) *
              (to[axis] -
                before[axis] +
                t *
                  (2 * before[axis] -
                    5 * value +
                    4 * to[axis] -
                    after[axis] +
                    t * (3 * (value - to[axis]) + after[axis] - before[axis]))),
        ),
      );
    }
  }
  path.push([...places[places.length - 1]]);
  const nodes = Float64Array.from(path.flat());
  const low = [0, 1, 2].map((axis) => Math.min(...path.map((node) => node[axis] - node[3])));
  const high = [0, 1, 2].map((axis) => Math.max(...path.map((node) => node[axis] + node[3])));
  return {
    low: [low[0], low[1], low[2]],
    high: [high[0], high[1], high[2]],
    distance: (x, y, z) => {
      let nearest = Number.POSITIVE_INFINITY;
      for (let i = 0; i + 4 < nodes.length; i += 4) {
        const [ax, ay, az] = [nodes[i + 4] - nodes[i], nodes[i + 5] - nodes[i + 1], nodes[i + 6] - nodes[i + 2]];
        const [bx, by, bz] = [x - nodes[i], y - nodes[i + 1], z - nodes[i + 2]];
        const along = (ax * bx + ay * by + az * bz) / (ax * ax + ay * ay + az * az);
        const t = Math.max(0, Math.min(1, along));
        const [dx, dy, dz] = [bx - t * ax, by - t * ay, bz - t * az];
        const distance = Math.sqrt(dx * dx + dy * dy + dz * dz) - nodes[i + 3] - t * (nodes[i + 7] - nodes[i + 3]);
        if (distance < nearest) nearest = distance;
      }
      return nearest;
    },
  };
}
