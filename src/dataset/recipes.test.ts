import { describe, expect, test } from 'vitest';
import { hasShared, sharedJson } from '../../test/shared.ts';
import { unetrppPresets } from '../nets/index.ts';
import { normalizationOf } from './channels.ts';
import { acdcSplit, bratsSplit, lungSplit, synapseSplit } from './publishedSplits.ts';
import { recipes } from './recipes.ts';

describe('the published splits', () => {
  test.each([
    ['synapse', synapseSplit, 18, 12],
    ['acdc', acdcSplit, 160, 40],
    ['lung', lungSplit, 50, 13],
    ['brats', bratsSplit, 387, 73],
  ])('of %s have their cases once, and none on both sides', (_, { train, validation }, trained, tested) => {
    expect([train.length, validation.length]).toEqual([trained, tested]);
    expect(new Set([...train, ...validation]).size).toBe(trained + tested);
  });

  test('begin and end as written', () => {
    expect(synapseSplit.train.slice(0, 4)).toEqual(['img0005', 'img0006', 'img0007', 'img0009']);
    expect(acdcSplit.validation.slice(-2)).toEqual(['patient095_frame01', 'patient095_frame12']);
    // The one patient whose heart cycle does not begin at end-diastole.
    expect(acdcSplit.train).toContain('patient090_frame04');
    expect(bratsSplit.train.at(-1)).toBe('BRATS_484');
  });

  test.skipIf(!hasShared)("are those of the authors' code", () => {
    const { datasets } = sharedJson<{ datasets: Record<string, { train: string[]; val: string[] }> }>(
      'spec',
      'unetr-plus-plus-splits.json',
    );
    for (const [name, split] of Object.entries({
      synapse: synapseSplit,
      acdc: acdcSplit,
      lung: lungSplit,
      brats: bratsSplit,
    })) {
      expect(split.train).toEqual([...datasets[name].train].sort());
      expect(split.validation).toEqual([...datasets[name].val].sort());
    }
  });
});

describe.each(Object.entries(recipes))('the recipe %s', (_, recipe) => {
  test('has the patch and the classes of its network', () => {
    const network = unetrppPresets[recipe.training.preset];
    expect(network.patch).toEqual(recipe.training.patch);
    expect(network.classes).toBe(recipe.labels.length);
    expect(network.inputChannels).toBe(recipe.channels.length);
  });

  test('names channels whose normalization is known', () => {
    for (const channel of recipe.channels) expect(() => normalizationOf(channel)).not.toThrow();
  });

  test('scores labels that it has', () => {
    for (const { values } of recipe.evaluated) {
      for (const value of values) expect(recipe.labels[value]).toBeDefined();
    }
  });

  test('has published scores whose mean is that of their parts', () => {
    const names = recipe.evaluated.map(({ name }) => name);
    for (const { dice, meanDice } of recipe.scores) {
      expect(Object.keys(dice)).toEqual(names);
      const mean = Object.values(dice).reduce((sum, each) => sum + each, 0) / names.length;
      // Rounded to two digits, each part by itself; tables were typed by hand.
      expect(Math.abs(mean - meanDice)).toBeLessThan(0.05);
    }
  });

  test('gives images, label maps and cases the same numbers', () => {
    const holes = (pattern: string) => [...new Set(pattern.match(/\{\w+\}/g))].sort().join();
    for (const layout of recipe.layouts) {
      for (const pattern of [...layout.images, layout.label]) expect(holes(pattern)).toBe(holes(layout.case));
    }
  });
});

test('of Synapse eight organs of thirteen are scored', () => {
  expect(recipes.synapse.evaluated.map(({ values }) => values[0])).toEqual([1, 2, 3, 4, 6, 7, 8, 11]);
});
