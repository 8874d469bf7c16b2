/** A drawn labelled scan that the tiny bundle (bundle.ts) can learn: noise, in it a bright box and a dark one. */
import { randomStream, standardNormal } from '../src/dataset/index.ts';
import { identityDirection, type Vector3, type Volume } from '../src/volume/index.ts';

const shape: Vector3 = [12, 14, 16];

/** @param index which scan: its noise, and where the boxes lie */
export function drawnLabelledScan(index: number): { readonly image: Volume<Float32Array>; readonly labels: Volume } {
  const [depth, height, width] = shape;
  const data = standardNormal(randomStream(index), depth * height * width);
  const labels = new Uint8Array(data.length);
  let at = 0;
  for (let z = 0; z < depth; z++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at++) {
        const inside = z >= 3 && z < 10 && y >= 2 + index && y < 11 + index;
        labels[at] = inside && x >= 2 && x < 7 ? 1 : inside && x >= 9 && x < 14 ? 2 : 0;
        data[at] = 100 + 5 * data[at] + [0, 60, -60][labels[at]];
      }
    }
  }
  const grid = { shape, spacing: [1, 1, 1], origin: [0, 0, 0], direction: identityDirection, channels: 1 } as const;
  return { image: { ...grid, data }, labels: { ...grid, data: labels } };
}
