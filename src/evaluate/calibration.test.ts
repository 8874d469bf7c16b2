import { describe, expect, test } from 'vitest';
import { identityDirection, type Volume } from '../volume/volume.ts';
import { calibrationCounts, calibrationOf, countCase } from './calibration.ts';

/** A row of voxels of 1 mm, a channel after the other. */
function row(...channels: (readonly number[])[]): Volume {
  return {
    data: Float64Array.from(channels.flat()),
    channels: channels.length,
    shape: [1, 1, channels[0].length],
    spacing: [1, 1, 1],
    origin: [0, 0, 0],
    direction: identityDirection,
  };
}

const foreground = (...values: number[]) =>
  row(
    values.map((value) => 1 - value),
    values,
  );
const one = [{ name: 'one', values: [1] }];

describe('calibration', () => {
  test('four voxels of probability 0.75, three of which have the label, are calibrated', () => {
    const counts = calibrationCounts(one);
    countCase(counts, row([1, 1, 1, 0]), foreground(0.75, 0.75, 0.75, 0.75));
    const { labels, chosen, cases } = calibrationOf(counts);
    expect(labels[0]).toMatchObject({ name: 'one', voxels: 4, expectedError: 0 });
    expect(labels[0].bins[7]).toEqual({ voxels: 4, probability: 0.75, frequency: 0.75 });
    expect(labels[0].bins[0]).toEqual({ voxels: 0, probability: null, frequency: null });
    // The chosen class is the label each time, with the same probability.
    expect(chosen).toEqual({ ...labels[0], name: undefined });
    expect(cases).toBe(1);
  });

  test('bins count by their voxels, over all cases', () => {
    const counts = calibrationCounts(one);
    // Two voxels of 0.5 too low, one of 0.25 too high: (2 * 0.5 + 0.25) / 3.
    countCase(counts, row([1, 1]), foreground(0.5, 0.5));
    countCase(counts, row([0]), foreground(0.25));
    // All background in reference and choice: no box.
    expect(calibrationOf(counts).labels[0].expectedError).toBe(0.5);
    countCase(counts, row([0, 1]), foreground(0.25, 1));
    const { expectedError, averageError } = calibrationOf(counts).labels[0];
    expect(expectedError).toBeCloseTo((2 * 0.5 + 0.25 + 0) / 4, 12);
    // Each of the three bins once.
    expect(averageError).toBeCloseTo((0.5 + 0.25 + 0) / 3, 12);
  });

  test('far from both masks nothing is counted', () => {
    const counts = calibrationCounts(one);
    const reference = row([1, ...Array<number>(30).fill(0)]);
    countCase(counts, reference, foreground(1, ...Array<number>(30).fill(0)));
    expect(calibrationOf(counts).chosen!.voxels).toBe(1 + 10);
  });

  test('a region has the sum of its values, and ignored voxels count nowhere', () => {
    const counts = calibrationCounts([{ name: 'both', values: [1, 2] }], 3);
    countCase(counts, row([1, 2, 3]), row([0.5, 0.25, 0], [0.25, 0.25, 0], [0.25, 0.5, 1]));
    const { bins, voxels } = calibrationOf(counts).labels[0];
    expect(voxels).toBe(2);
    expect(bins[5]).toEqual({ voxels: 1, probability: 0.5, frequency: 1 });
    expect(bins[7]).toEqual({ voxels: 1, probability: 0.75, frequency: 1 });
  });

  test('what are no probabilities of these labels is refused', () => {
    const counts = calibrationCounts([{ name: 'liver', values: [6] }]);
    const some = foreground(0.5, 0.5);
    expect(() => countCase(counts, row([0]), some)).toThrow('have 1x1x2 voxels (z, y, x) and the reference 1x1x1');
    expect(() => countCase(counts, row([0, 6]), some)).toThrow('for the values 0 to 1, and none for liver (6)');
    expect(() => countCase(calibrationCounts(one), row([0, 1]), foreground(0.5, -3))).toThrow('is no probability');
  });

  test('of regions each channel is one, and no class is chosen', () => {
    const labels = [
      { name: 'whole', values: [1, 2] },
      { name: 'core', values: [2] },
    ];
    const counts = calibrationCounts(labels, undefined, [[2, 1], [2]]);
    countCase(counts, row([1, 2, 1, 0]), row([0.75, 0.75, 0.75, 0.75], [0.25, 0.25, 0.25, 0.25]));
    const { labels: found, chosen } = calibrationOf(counts);
    expect(found.map(({ bins, expectedError }) => [bins[7].frequency, bins[2].frequency, expectedError])).toEqual([
      [0.75, null, 0],
      [null, 0.25, 0],
    ]);
    expect(chosen).toBeNull();
    expect(() => countCase(counts, row([1]), row([0.5]))).toThrow('1 channels, and there are 2 regions');
    const other = calibrationCounts([{ name: 'edema', values: [1] }], undefined, [[1, 2], [2]]);
    expect(() => countCase(other, row([1]), row([0.5], [0.5]))).toThrow('2 regions, and none for edema (1)');
  });
});
