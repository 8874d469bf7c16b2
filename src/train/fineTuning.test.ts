import { describe, expect, test } from 'vitest';
import { tinySettings, tinyWeights } from '../../test/bundle.ts';
import { InputError } from '../errors.ts';
import { unetrpp } from '../nets/index.ts';
import { fineTuningWeights } from './fineTuning.ts';

const from = { settings: tinySettings, weights: tinyWeights() };

describe('weights to begin from', () => {
  test('are those of the bundle where the network is the same', () => {
    const { weights, notices } = fineTuningWeights(from, tinySettings, 1);
    expect(notices).toEqual([]);
    expect([...weights.keys()]).toEqual(unetrpp(tinySettings).parameters.map(({ name }) => name));
    for (const [name, tensor] of weights) expect(tensor, name).toBe(from.weights.get(name));
  });

  test('of heads for another number of classes are new, all others kept', () => {
    const { weights, notices } = fineTuningWeights(from, { ...tinySettings, classes: 5 }, 1);
    const renewed = [...weights].filter(([name, tensor]) => tensor !== from.weights.get(name)).map(([name]) => name);
    expect(renewed).toEqual(
      ['out1', 'out2', 'out3'].flatMap((head) => [`${head}.conv.conv.weight`, `${head}.conv.conv.bias`]),
    );
    expect(notices).toEqual([`There are 5 classes in place of 3: ${renewed.join(', ')} are initialized anew.`]);
    expect(weights.get('out1.conv.conv.weight')?.shape).toEqual([5, 2, 1, 1, 1]);
  });

  test('that read the image are the mean over channels, so that equal channels give what one gave', () => {
    const three = { ...tinySettings, inputChannels: 3 };
    const weightsOfThree = tinyWeights(three);
    const { weights, notices } = fineTuningWeights(
      { settings: three, weights: weightsOfThree },
      { ...three, inputChannels: 4 },
      1,
    );
    expect(notices).toHaveLength(1);
    expect(notices[0]).toMatch(/^The image has 4 channels in place of 3: the weights that read it \(.*\) are the mean/);
    const changed = [...weights].filter(([name, tensor]) => tensor !== weightsOfThree.get(name));
    expect(changed.length).toBeGreaterThan(1);
    for (const [name, { shape, data }] of changed) {
      const old = weightsOfThree.get(name)!;
      expect(shape).toEqual(old.shape.with(1, 4));
      const kernel = data.length / shape[0] / 4;
      // Of the first output at the first place of the kernel: four times a quarter of the sum of three.
      const sum = old.data[0] + old.data[kernel] + old.data[2 * kernel];
      for (let c = 0; c < 4; c++) expect(data[c * kernel]).toBeCloseTo(sum / 4, 6);
    }
  });

  test('at another patch are interpolated where they lie on a grid', () => {
    const { weights, notices } = fineTuningWeights(from, { ...tinySettings, patch: [16, 8, 8] }, 1);
    expect(notices).toEqual([expect.stringContaining('were trained at a patch of 8x8x8; for 16x8x8')]);
    expect([...weights.keys()]).toHaveLength(from.weights.size);
  });

  test('of a network of another build are refused by what differs', () => {
    const other = { ...tinySettings, heads: 4 };
    expect(() => fineTuningWeights(from, other, 1)).toThrow(InputError);
    expect(() => fineTuningWeights(from, other, 1)).toThrow(/The network's heads is 4, and that of the bundle .* 2;/);
  });
});
