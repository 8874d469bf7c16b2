import fc from 'fast-check';
import { expect, test } from 'vitest';
import { mirror } from './mirror.ts';
import type { Patch } from './patch.ts';

const patch: Patch = {
  shape: [2, 1, 3],
  channels: 2,
  image: Float32Array.of(1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60),
  labels: Int16Array.of(1, 2, 3, 4, 5, -1),
};

test('the axes that are named run backwards, in every channel and in the labels', () => {
  const x = mirror(patch, [false, false, true]);
  expect([...x.image]).toEqual([3, 2, 1, 6, 5, 4, 30, 20, 10, 60, 50, 40]);
  expect([...x.labels]).toEqual([3, 2, 1, -1, 5, 4]);
  const z = mirror(patch, [true, false, false]);
  expect([...z.image]).toEqual([4, 5, 6, 1, 2, 3, 40, 50, 60, 10, 20, 30]);
  expect([...z.labels]).toEqual([4, 5, -1, 1, 2, 3]);
});

test('twice is nothing, and the patch that went in stays', () => {
  fc.assert(
    fc.property(fc.tuple(fc.boolean(), fc.boolean(), fc.boolean()), (axes) => {
      const before = structuredClone(patch);
      expect(mirror(mirror(patch, axes), axes)).toEqual(before);
      expect(patch).toEqual(before);
    }),
  );
});
