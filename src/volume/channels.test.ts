import { describe, expect, it } from 'vitest';
import { stackChannels } from './channels.ts';
import { identityDirection, type Volume } from './volume.ts';

const scan = (value: number, changes: Partial<Volume> = {}): Volume => ({
  shape: [1, 1, 2],
  spacing: [1, 1, 1],
  origin: [0, 0, 0],
  direction: identityDirection,
  channels: 1,
  data: Int16Array.of(value, value + 1),
  ...changes,
});
const named = (...volumes: Volume[]) => volumes.map((volume, index) => ({ volume, name: `scan${index}.nii` }));

describe('channels of one scan', () => {
  it('are put one after the other', () => {
    const { channels, data, shape } = stackChannels(named(scan(1), scan(5)), 'case');
    expect({ channels, shape, data: [...data] }).toEqual({ channels: 2, shape: [1, 1, 2], data: [1, 2, 5, 6] });
  });

  it('may differ by what headers round, and by no more', () => {
    expect(stackChannels(named(scan(1), scan(5, { origin: [0.01, 0, 0] })), 'case').channels).toBe(2);
    expect(() => stackChannels(named(scan(1), scan(5, { origin: [0, 3, 4] })), 'case')).toThrow(
      'case: scan1.nii and scan0.nii lie up to 5.00 mm apart',
    );
    const turned = scan(5, { direction: [-1, 0, 0, 0, 1, 0, 0, 0, 1] });
    expect(() => stackChannels(named(scan(1), turned), 'case')).toThrow('2.00 mm apart');
  });

  it('must have the same number of voxels', () => {
    const long = scan(1, { shape: [1, 1, 3], data: Int16Array.of(1, 2, 3) });
    expect(() => stackChannels(named(scan(1), long), 'case')).toThrow(
      'scan1.nii has 1x1x3 voxels (z, y, x) and scan0.nii 1x1x2',
    );
  });
});
