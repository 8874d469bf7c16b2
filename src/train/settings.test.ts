import { describe, expect, test } from 'vitest';
import { drawnSettings } from '../../test/drawnRun.ts';
import { trainingAugmentation } from '../dataset/index.ts';
import { InputError } from '../errors.ts';
import { checkTrainSettings, completeSettings, firstDifference, mirroredAsTrained } from './settings.ts';

const regions = { regions: [[1, 2], [2]].map((labels) => ({ name: 'r', labels })), regionsClassOrder: [1, 2] };

const over = (...parts: unknown[]) => completeSettings(drawnSettings, parts, 'recipe.json');

describe('settings that are completed', () => {
  test('keep what no part names, key by key, and the last part wins', () => {
    const settings = over({ batch: 4, plan: { inference: { step: 0.25 } } }, { batch: 8 });
    expect(settings).toEqual({
      ...drawnSettings,
      batch: 8,
      plan: { ...drawnSettings.plan, inference: { ...drawnSettings.plan.inference, step: 0.25 } },
    });
  });

  test('take lists, and records of another kind, as a whole', () => {
    const schedule = { kind: 'constant', rate: 0.5, warmupSteps: 3 };
    expect(over({ schedule }).schedule).toEqual(schedule);
    expect(over({ schedule: { rate: 0.5 } }).schedule).toEqual({ ...drawnSettings.schedule, rate: 0.5 });
    expect(over({ plan: { inference: { mirrorAxes: [2] } } }).plan.inference.mirrorAxes).toEqual([2]);
    expect(() => over({ schedule: { kind: 'constant', rate: 0.5 } })).toThrow(/recipe.json: schedule.warmupSteps/);
  });

  test('mirror in prediction what training mirrors, unless a part says which axes', () => {
    const axesOf = (...parts: unknown[]) => mirroredAsTrained(over(...parts), parts).plan.inference.mirrorAxes;
    const mirrored = (mirror: number[]) => ({ augmentation: { ...trainingAugmentation([8, 8, 8]), mirror } });
    expect(axesOf(mirrored([0, 0.5, 0]))).toEqual([1]);
    expect(axesOf(mirrored([0.5, 0.5, 0.5]), { batch: 3 })).toEqual([0, 1, 2]);
    expect(axesOf({ augmentation: null })).toEqual([]);
    expect(axesOf({ augmentation: null, plan: { inference: { mirrorAxes: [2] } } }, undefined)).toEqual([2]);
  });

  test('may have a batch of 1 where the last grid has two voxels', () => {
    const patch = [16, 8, 8];
    expect(over({ batch: 1, network: { patch }, plan: { patch } }).batch).toBe(1);
  });

  test('may have a setting turned off', () => {
    expect(over({ clipNorm: null, average: null })).toMatchObject({ clipNorm: null, average: null });
  });
});

describe('settings are refused', () => {
  test.each([
    ['a key that nobody knows', { bacth: 2 }, /^recipe.json: .*bacth/],
    ['one deep inside', { plan: { inference: { stepp: 1 } } }, /^recipe.json: plan.inference: .*stepp/],
    ['no number', { batch: 'two' }, /^recipe.json: batch/],
    [
      'another patch in the plan than in the network',
      { plan: { patch: [16, 8, 8] } },
      /network.patch is 8x8x8 and plan.patch/,
    ],
    ['another number of channels', { network: { inputChannels: 2 } }, /plan has 1 channels and the network takes 2/],
    ['neither epochs nor a limit', { epochs: null }, /epochs: must be a number where there is no timeLimit/],
    ['nothing', null, /^recipe.json: the whole/],
    // 8 x 8 x 8 voxels are one after three halvings; its variance has the divisor 1 - 1.
    [
      'a last grid of one voxel in a batch of 1',
      { batch: 1 },
      /^recipe.json: with the patch 8x8x8 the network's last grid is a single voxel, .* give batch 2, or a larger patch/,
    ],
    [
      'regions with a loss of labels',
      { plan: regions, network: { classes: 2 } },
      /loss softDiceCrossEntropy is not of these; .* softDiceRegions with "regions" \[\[1,2\],\[2\]\]/,
    ],
    [
      'regions with a loss of others',
      { plan: regions, network: { classes: 2 }, loss: { of: { kind: 'softDiceRegions', regions: [[1, 2], [1]] } } },
      /is not of these/,
    ],
    [
      'a loss of regions where there are none',
      { loss: { of: { kind: 'softDiceRegions', regions: [[1, 2], [2]] } } },
      /the plan has none; take softDiceCrossEntropy/,
    ],
    ['other classes than regions', { plan: regions }, /has 2 regions and the network 3 classes/],
  ])('for %s', (_, part, message) => {
    expect(() => over(part)).toThrow(InputError);
    expect(() => over(part)).toThrow(message);
  });
});

describe('two settings', () => {
  test('are the same run where only its length, its place or its reports differ', () => {
    const longer = { ...drawnSettings, epochs: 9, validationCases: 1 };
    expect(firstDifference(drawnSettings, longer)).toBeUndefined();
    expect(
      firstDifference(drawnSettings, { ...drawnSettings, dataset: { ...drawnSettings.dataset, path: '/x' } }),
    ).toBeUndefined();
  });

  test('differ by the first entry, said as a path', () => {
    expect(firstDifference({ ...drawnSettings, seed: 4 }, drawnSettings)).toBe('seed is 4 there and 1 here');
    expect(firstDifference(drawnSettings, over({ schedule: { exponent: 1 } }))).toBe(
      'schedule.exponent is 0.9 there and 1 here',
    );
    const { clipNorm: _, ...without } = drawnSettings;
    expect(firstDifference(without, drawnSettings)).toBe('clipNorm is not given there and 12 here');
    expect(firstDifference([], drawnSettings)).toMatch(/^the whole is \[\] there/);
  });
});

test('settings survive being written as JSON', () => {
  expect(checkTrainSettings(JSON.parse(JSON.stringify(drawnSettings)), 'config.json')).toEqual(drawnSettings);
});
