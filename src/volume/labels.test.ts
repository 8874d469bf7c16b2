import { describe, expect, it } from 'vitest';
import { labelVolumes } from './labels.ts';
import { identityDirection, type LabelMap } from './volume.ts';

describe('label volumes', () => {
  it('count voxels of 2 x 1 x 0.5 mm as microliters, named labels without voxels included', () => {
    const map: LabelMap = {
      shape: [1, 2, 3],
      spacing: [2, 1, 0.5],
      origin: [0, 0, 0],
      direction: identityDirection,
      channels: 1,
      data: Uint8Array.of(0, 1, 1, 7, 0, 1),
      labels: new Map([
        [0, 'background'],
        [1, 'spleen'],
        [2, 'liver'],
      ]),
    };
    expect(labelVolumes(map)).toEqual([
      { value: 1, name: 'spleen', voxels: 3, volumeMl: 0.003 },
      { value: 2, name: 'liver', voxels: 0, volumeMl: 0 },
      { value: 7, name: 'label 7', voxels: 1, volumeMl: 0.001 },
    ]);
  });
});
