import { describe, expect, test } from 'vitest';
import { labelsOnGrid } from './onGrid.ts';
import { reorient } from './orientation.ts';
import { identityDirection, type Volume } from './volume.ts';

/** A row of voxels of 2 mm along x, the first at x = 0. */
const row: Volume = {
  data: Uint8Array.of(1, 2, 3),
  channels: 1,
  shape: [1, 1, 3],
  spacing: [2, 2, 2],
  origin: [0, 0, 0],
  direction: identityDirection,
};

describe('labelsOnGrid', () => {
  test('voxels of 1 mm take the nearest label, and 0 where there is none', () => {
    const grid = { ...row, shape: [1, 1, 8], spacing: [1, 2, 2], origin: [-1.6, 0, 0] } as const;
    // At -1.6, -0.6, 0.4, 1.4, 2.4, 3.4, 4.4 and 5.4 mm; the labels reach from -1 to 5.
    expect([...labelsOnGrid(row, grid).data]).toEqual([0, 1, 1, 2, 2, 3, 3, 0]);
  });

  test('the same grid stored in another order, and back', () => {
    const turned = reorient({ ...row, shape: [1, 3, 1] }, 'RSA');
    const back = labelsOnGrid(turned, { ...row, shape: [1, 3, 1] });
    expect([...back.data]).toEqual([1, 2, 3]);
    expect(back).toMatchObject({ shape: [1, 3, 1], spacing: row.spacing, origin: row.origin });
  });
});
