/**
 * Surface distances of 13 labels on 512 x 512 x 150 voxels of 0.8 x 0.8 x 3 mm: drawn ellipsoids of the sizes of organs and,
 * as the prediction, the same ones moved by some voxels, with a stray voxel far away. Wall time and peak resident size of
 * this process. `npm run bench -- surfaces`.
 */
import { maskPair, surfaceConventions, surfaceScores, valueBoxes } from '../src/evaluate/surface.ts';
import { identityDirection, type Vector3, type Volume } from '../src/volume/index.ts';

const shape: Vector3 = [150, 512, 512];

/** Half axes (z, y, x) in voxels: a liver, two lungs, organs down to the adrenal glands. */
const halfAxes: readonly Vector3[] = [
  [40, 100, 130],
  [55, 110, 80],
  [55, 110, 80],
  [25, 60, 40],
  [20, 45, 40],
  [20, 45, 40],
  [18, 60, 70],
  [60, 20, 20],
  [60, 22, 22],
  [10, 25, 80],
  [9, 25, 18],
  [5, 8, 18],
  [5, 8, 18],
];

function drawnOrgans(shift: number): Volume {
  const data = new Uint8Array(shape[0] * shape[1] * shape[2]);
  for (const [index, [rz, ry, rx]] of halfAxes.entries()) {
    const [cz, cy, cx] = [45 + ((index * 37) % 60), 150 + ((index * 71) % 220) + shift, 140 + ((index * 113) % 240)];
    for (let z = Math.max(0, cz - rz); z <= Math.min(shape[0] - 1, cz + rz); z++) {
      for (let y = Math.max(0, cy - ry); y <= Math.min(shape[1] - 1, cy + ry); y++) {
        const rest = 1 - ((z - cz) / rz) ** 2 - ((y - cy) / ry) ** 2;
        if (rest < 0) continue;
        const half = Math.floor(rx * Math.sqrt(rest));
        const row = (z * shape[1] + y) * shape[2];
        data.fill(index + 1, row + Math.max(0, cx - half), row + Math.min(shape[2], cx + half + 1));
      }
    }
    // One stray voxel stretches the box over most of the image.
    if (shift !== 0) data[(2 * shape[1] + 3 + index) * shape[2] + 5] = index + 1;
  }
  return { data, shape, channels: 1, spacing: [0.8, 0.8, 3], origin: [0, 0, 0], direction: identityDirection };
}

const [reference, prediction] = [drawnOrgans(0), drawnOrgans(4)];
// maxRSS is in kilobytes of 1024 bytes.
const peak = () => `${((process.resourceUsage().maxRSS * 1024) / 1e6).toFixed(0)} MB`;
console.log(`two label maps in memory: ${peak()}`);
for (const convention of surfaceConventions) {
  const start = performance.now();
  const boxes = valueBoxes(reference, prediction);
  const found = halfAxes.map((_, index) =>
    surfaceScores(maskPair(reference, prediction, [index + 1], { boxes })!, { convention }),
  );
  const worst = Math.max(...found.map(({ hd95 }) => hd95));
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${convention.padEnd(9)}${seconds.padStart(6)} s, peak ${peak()}, largest HD95 ${worst.toFixed(2)}`);
}
