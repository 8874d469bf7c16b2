import { describe, expect, test } from 'vitest';
import { crc32 } from '../crc32.ts';
import { indexToWorld, type Vector3, type Volume } from '../volume/volume.ts';
import { type Phantom, phantom } from './phantom.ts';
import { phantomOrgans } from './phantomAnatomy.ts';
import { randomStream } from './randomStream.ts';

const coarse: Vector3 = [24, 48, 48];
const drawn = (seed: number) => phantom(randomStream(seed), { shape: coarse });
const patients = Array.from({ length: 24 }, (_, seed) => drawn(seed));

/** Flat indices of an organ's voxels. */
function voxelsOf({ labels }: Phantom, name: (typeof phantomOrgans)[number]): number[] {
  const value = phantomOrgans.indexOf(name) + 1;
  const found: number[] = [];
  for (let i = 0; i < labels.data.length; i++) if (labels.data[i] === value) found.push(i);
  return found;
}

const bytes = ({ data }: Volume<Int16Array | Uint8Array>) => new Uint8Array(data.buffer);

function center(patient: Phantom, name: (typeof phantomOrgans)[number]): Vector3 {
  const voxels = voxelsOf(patient, name);
  const [, ny, nx] = patient.labels.shape;
  const mean = (of: (i: number) => number) => voxels.reduce((sum, i) => sum + of(i), 0) / voxels.length;
  return indexToWorld(patient.labels, [
    mean((i) => i % nx),
    mean((i) => Math.floor(i / nx) % ny),
    mean((i) => Math.floor(i / nx / ny)),
  ]);
}

function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

describe('phantom', () => {
  test('one seed gives one phantom, bit for bit, and another seed another', () => {
    const again = drawn(3);
    expect(again).toEqual(patients[3]);
    expect(bytes(drawn(4).image)).not.toEqual(bytes(again.image));
    // The same in every engine and at every time: a change of this number is a change of every phantom.
    expect([crc32(bytes(again.image)), crc32(bytes(again.labels))]).toMatchInlineSnapshot(`
      [
        2439279004,
        1904702558,
      ]
    `);
  });

  test('the voxels are those that were asked for, on one grid, and labels are named', () => {
    const { image, labels } = phantom(randomStream(1), { shape: [5, 7, 6], spacing: [50, 45, 40] });
    expect([image.shape, image.spacing, image.data.length]).toEqual([[5, 7, 6], [50, 45, 40], 210]);
    const { data: _, labels: names, ...grid } = labels;
    const { data, ...expected } = image;
    expect(grid).toEqual(expected);
    expect(data).toBeInstanceOf(Int16Array);
    expect(labels.data).toBeInstanceOf(Uint8Array);
    expect([...names]).toEqual([
      [0, 'background'],
      [1, 'spleen'],
      [2, 'right kidney'],
      [3, 'left kidney'],
      [4, 'gallbladder'],
      [5, 'liver'],
      [6, 'stomach'],
      [7, 'aorta'],
      [8, 'pancreas'],
    ]);
  });

  test('every patient has every organ, at about its size', () => {
    const volumes: Record<string, readonly [least: number, most: number]> = {
      spleen: [50, 320],
      'right kidney': [70, 300],
      'left kidney': [70, 300],
      gallbladder: [8, 60],
      liver: [900, 2500],
      stomach: [150, 700],
      aorta: [30, 130],
      pancreas: [30, 160],
    };
    for (const [seed, patient] of patients.entries()) {
      const [x, y, z] = patient.labels.spacing;
      for (const name of phantomOrgans) {
        const ml = (voxelsOf(patient, name).length * x * y * z) / 1000;
        expect(ml, `${name} of patient ${seed}`).toBeGreaterThan(volumes[name][0]);
        expect(ml, `${name} of patient ${seed}`).toBeLessThan(volumes[name][1]);
      }
    }
  });

  test('organs lie where they do: LPS, so the liver has the smaller x', () => {
    for (const patient of patients) {
      const at = (name: (typeof phantomOrgans)[number]) => {
        const [left, posterior, superior] = center(patient, name);
        return { left, posterior, superior };
      };
      const inOrder = (...values: number[]) => expect(values).toEqual(values.toSorted((a, b) => a - b));
      inOrder(at('liver').left, at('aorta').left, at('stomach').left, at('spleen').left);
      inOrder(at('right kidney').left, at('aorta').left, at('left kidney').left, at('spleen').left);
      inOrder(at('right kidney').left, at('pancreas').left, at('left kidney').left);
      inOrder(at('stomach').posterior, at('pancreas').posterior, at('aorta').posterior, at('left kidney').posterior);
      inOrder(at('gallbladder').posterior, at('right kidney').posterior);
      inOrder(at('right kidney').superior, at('liver').superior);
      inOrder(at('gallbladder').superior, at('liver').superior);
    }
  });

  test('contrast is as in the portal venous phase: kidneys, aorta, spleen, liver, pancreas, stomach, bile', () => {
    const whole = [0, 1, 2, 3].map((seed) => phantom(randomStream(seed)));
    const hu = (name: (typeof phantomOrgans)[number]) =>
      middle(whole.flatMap((patient) => voxelsOf(patient, name).map((i) => patient.image.data[i])));
    const order = (['gallbladder', 'stomach', 'pancreas', 'liver', 'spleen', 'aorta', 'left kidney'] as const).map(hu);
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(Math.abs(hu('liver') - 107)).toBeLessThan(8);
    expect(Math.abs(hu('right kidney') - hu('left kidney'))).toBeLessThan(8);
  });

  test('the pooled foreground is like that of the Synapse training set: median 96 HU', () => {
    const pooled = patients.flatMap(({ image, labels }) => [...image.data].filter((_, i) => labels.data[i] > 0));
    expect(Math.abs(middle(pooled) - 96)).toBeLessThan(12);
  });

  test('around the trunk is air, and of the patient more than a third of what is scanned', () => {
    for (const { image } of patients) {
      const corner = image.data.subarray(0, 3);
      for (const hu of corner) expect(Math.abs(hu + 1000)).toBeLessThan(80);
      const share = image.data.filter((hu) => hu > -300).length / image.data.length;
      expect(share).toBeGreaterThan(1 / 3);
      expect(share).toBeLessThan(0.75);
    }
  });

  test('neighbors in a slice share noise, neighbors in other slices do not', () => {
    const { image } = phantom(randomStream(5), { shape: [12, 40, 40], spacing: [0.5, 0.5, 0.5] });
    // 20 mm inside of the patient, a few voxels of which are one tissue: differences are noise.
    const deviation = (step: number) => {
      const differences = [...image.data.keys()]
        .slice(0, 10 * 1600)
        .map((i) => Math.abs(image.data[i + step] - image.data[i]));
      return middle(differences);
    };
    expect(deviation(1)).toBeLessThan(0.75 * deviation(1600));
    expect(deviation(1)).toBeGreaterThan(0);
  });

  test('sizes that no volume has are refused, in a sentence', () => {
    const refused = (options: Parameters<typeof phantom>[1]) => () => phantom(randomStream(0), options);
    expect(refused({ shape: [0, 8, 8] })).toThrow('a phantom of 0x8x8 voxels (z, y, x) cannot be made');
    expect(refused({ shape: [4096, 4096, 4096] })).toThrow('at most 134217728');
    expect(refused({ shape: [8, 8, 8], spacing: [1, 0, 1] })).toThrow('voxels of 1 x 0 x 1 mm cannot be made');
  });

  test('one voxel, or one slice, is a phantom too', () => {
    expect(phantom(randomStream(2), { shape: [1, 1, 1] }).image.data).toHaveLength(1);
    const { labels } = phantom(randomStream(2), { shape: [1, 64, 64] });
    expect(new Set(labels.data)).toContain(phantomOrgans.indexOf('liver') + 1);
  });
});
