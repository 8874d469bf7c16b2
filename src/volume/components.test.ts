import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../test/shared.ts';
import type { Tensor } from '../tensor.ts';
import { readSafetensors } from '../weights/safetensors.ts';
import { type Connectivity, connectedComponents, keepLargestComponent } from './components.ts';
import type { Vector3 } from './volume.ts';

const digits = (rows: string) => Uint8Array.from([...rows.replace(/\s/g, '')].map(Number));
const connectivities: readonly Connectivity[] = [6, 18, 26];

describe('connectedComponents', () => {
  test('are numbered in the order of their first voxels', () => {
    const mask = digits(`
      10110
      00010
      11110
      00001`);
    const { labels, sizes } = connectedComponents(mask, [1, 4, 5], 6);
    expect(labels).toEqual(
      Int32Array.from(
        digits(`
          10220
          00020
          22220
          00003`),
      ),
    );
    expect(sizes).toEqual([1, 7, 1]);
  });

  test('voxels that share an edge join from 18 on, those that share a corner at 26', () => {
    const voxels = (second: [number, number, number]) => {
      const mask = new Uint8Array(8);
      mask[0] = 1;
      mask[second[0] * 4 + second[1] * 2 + second[2]] = 1;
      return connectivities.map((connectivity) => connectedComponents(mask, [2, 2, 2], connectivity).sizes.length);
    };
    for (const face of [
      [0, 0, 1],
      [0, 1, 0],
      [1, 0, 0],
    ] as [number, number, number][])
      expect(voxels(face)).toEqual([1, 1, 1]);
    for (const edge of [
      [0, 1, 1],
      [1, 0, 1],
      [1, 1, 0],
    ] as [number, number, number][])
      expect(voxels(edge)).toEqual([2, 1, 1]);
    expect(voxels([1, 1, 1])).toEqual([2, 2, 1]);
  });

  test('a spiral is one component', () => {
    const mask = digits(`
      11111
      00001
      11101
      10001
      11111`);
    expect(connectedComponents(mask, [1, 5, 5], 6).sizes).toEqual([mask.reduce((sum, voxel) => sum + voxel, 0)]);
  });

  test('an empty mask has none', () => {
    expect(connectedComponents(new Uint8Array(8), [2, 2, 2], 26).sizes).toEqual([]);
  });

  test('agree with spreading voxel by voxel', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 120, maxLength: 120 }),
        fc.constantFrom(...connectivities),
        (values, connectivity) => {
          const mask = values.map((value) => (value === 0 ? 1 : 0));
          const { labels } = connectedComponents(mask, [4, 5, 6], connectivity);
          expect([...labels]).toEqual(spreadSlowly(mask, [4, 5, 6], connectivity));
        },
      ),
      { numRuns: 200 },
    );
  });

  test('more runs than the first arrays hold', () => {
    const mask = Uint8Array.from({ length: 6000 }, (_, i) => (i + Math.floor(i / 60)) % 2);
    expect(connectedComponents(mask, [1, 100, 60], 6).sizes).toEqual(new Array(3000).fill(1));
    expect(connectedComponents(mask, [1, 100, 60], 18).sizes).toEqual([3000]);
  });
});

function spreadSlowly(mask: number[], [nz, ny, nx]: Vector3, connectivity: Connectivity): number[] {
  const labels = mask.map(() => 0);
  let next = 0;
  const visit = (z: number, y: number, x: number) => {
    const i = (z * ny + y) * nx + x;
    if (z < 0 || z >= nz || y < 0 || y >= ny || x < 0 || x >= nx || !mask[i] || labels[i]) return;
    labels[i] = next;
    for (const dz of [-1, 0, 1]) {
      for (const dy of [-1, 0, 1]) {
        for (const dx of [-1, 0, 1]) {
          const offsets = Math.abs(dz) + Math.abs(dy) + Math.abs(dx);
          if (offsets > 0 && offsets <= { 6: 1, 18: 2, 26: 3 }[connectivity]) visit(z + dz, y + dy, x + dx);
        }
      }
    }
  };
  mask.forEach((value, i) => {
    if (!value || labels[i]) return;
    next++;
    visit(Math.floor(i / (nx * ny)), Math.floor(i / nx) % ny, i % nx);
  });
  return labels;
}

describe('keepLargestComponent', () => {
  const shape: Vector3 = [1, 3, 6];
  const labels = digits(`
    110202
    110000
    001022`);

  test('removes the smaller components of the labels that are named, and nothing else', () => {
    const kept = keepLargestComponent(labels, shape, [2], { connectivity: 6 });
    expect(kept.data).toEqual(
      digits(`
        110000
        110000
        001022`),
    );
    expect(kept).toMatchObject({ removed: 2, keptSize: 2, largestRemovedSize: 1 });
  });

  test('takes several labels as one object', () => {
    const joined = keepLargestComponent(digits('112021'), [1, 1, 6], [1, 2], { connectivity: 6 });
    expect([...joined.data]).toEqual([1, 1, 2, 0, 0, 0]);
  });

  test('keeps all of the largest when several have that size', () => {
    const tied = keepLargestComponent(digits('110110100'), [1, 1, 9], [1], { connectivity: 6 });
    expect([...tied.data]).toEqual([1, 1, 0, 1, 1, 0, 0, 0, 0]);
  });

  test('keeps the corner neighbor at 26 and not at 6', () => {
    expect(keepLargestComponent(labels, shape, [1], { connectivity: 6 }).removed).toBe(1);
    expect(keepLargestComponent(labels, shape, [1], { connectivity: 26 }).removed).toBe(0);
  });

  test('with a minimum size keeps what reaches it', () => {
    const options = { connectivity: 6, minimumSize: 2 } as const;
    expect([...keepLargestComponent(digits('111011010'), [1, 1, 9], [1], options).data].join('')).toBe('111011000');
  });

  test('an absent label changes nothing', () => {
    const kept = keepLargestComponent(labels, shape, [5], { connectivity: 26 });
    expect(kept.data).toEqual(labels);
    expect(kept).toMatchObject({ removed: 0, keptSize: undefined, largestRemovedSize: undefined });
  });
});

interface V1Result {
  array: string;
  removed: number;
  volume_per_voxel: number;
  largest_removed_size: Record<string, number | null>;
  kept_size: Record<string, number | null>;
}

interface Golden {
  components: { by_connectivity: Record<string, { array: string; components: number; sizes: number[] }> };
  largest_component: {
    name: string;
    labels: number | number[];
    minimum_valid_object_size?: Record<string, number>;
    v1: V1Result;
    v2?: { array: string; removed: number };
  }[];
}

describe.skipIf(!hasShared)('reference values', () => {
  const { tensors } = hasShared
    ? readSafetensors(sharedBytes('golden', 'volumes', 'components.safetensors'))
    : { tensors: new Map<string, Tensor>() };
  const golden = hasShared
    ? sharedJson<Golden>('golden', 'volumes', 'components.json')
    : { components: { by_connectivity: {} }, largest_component: [] };
  const tensor = (name: string) => tensors.get(name) as Tensor<'uint8'>;

  test.each(connectivities)('components of noise at connectivity %i', (connectivity) => {
    const mask = tensor('noise_mask');
    const expected = golden.components.by_connectivity[connectivity];
    const { labels, sizes } = connectedComponents(mask.data, mask.shape as unknown as Vector3, connectivity);
    expect(labels).toEqual(tensors.get(expected.array)?.data);
    expect(sizes).toEqual(expected.sizes);
  });

  test.each(golden.largest_component)('$name', ({ labels, minimum_valid_object_size: minimum, v1, v2 }) => {
    const input = tensor('lcc_input');
    const shape = input.shape as unknown as Vector3;
    if (v2) {
      const kept = keepLargestComponent(input.data, shape, [labels].flat(), { connectivity: 26 });
      expect(kept.data).toEqual(tensor(v2.array).data);
      expect(kept.removed).toBe(v2.removed);
    }
    // With minimum sizes the labels are filtered one after the other, otherwise as one object.
    const groups = minimum ? [labels].flat().map((label) => [label]) : [[labels].flat()];
    let data = input.data;
    let removed = 0;
    for (const group of groups) {
      const name = group.length === 1 ? String(group[0]) : `(${group.join(', ')})`;
      const minimumSize = minimum && minimum[name] / v1.volume_per_voxel;
      const kept = keepLargestComponent(data, shape, group, { connectivity: 6, minimumSize });
      const volume = (size: number | undefined) => (size === undefined ? null : size * v1.volume_per_voxel);
      expect(volume(kept.largestRemovedSize)).toBe(v1.largest_removed_size[name]);
      expect(volume(kept.keptSize)).toBe(v1.kept_size[name]);
      data = kept.data;
      removed += kept.removed;
    }
    expect(data).toEqual(tensor(v1.array).data);
    expect(removed).toBe(v1.removed);
  });
});
