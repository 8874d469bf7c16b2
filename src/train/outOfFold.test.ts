import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { DatasetDescription } from '../dataset/index.ts';
import { identityDirection, writeNifti } from '../volume/index.ts';
import { foregroundDice, type HeldOut, maskOf, scoreOutOfFold } from './outOfFold.node.ts';

const scratch = mkdtempSync(join(tmpdir(), 'unetrpp-held-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const description: DatasetDescription = {
  name: 'drawn',
  channels: ['T1'],
  labels: ['background', 'liver', 'spleen'].map((name, value) => ({ name, values: [value] })),
  regionsClassOrder: undefined,
  ignoreLabel: undefined,
  fileEnding: '.nii.gz',
  files: undefined,
};

/** A slice a fold, drawn: a digit a voxel; its reference, and the mask of a model that has not seen it. */
function held(fold: number, name: string, reference: string, mask: string): HeldOut {
  const of: HeldOut = {
    fold,
    bundles: [],
    cases: [{ name, images: [], label: join(scratch, `${name}-${fold}.nii.gz`) }],
    masks: join(scratch, `fold_${fold}`),
    records: '',
  };
  mkdirSync(of.masks, { recursive: true });
  const write = (path: string, text: string) =>
    writeFileSync(
      path,
      writeNifti(
        {
          shape: [1, 1, text.length],
          channels: 1,
          spacing: [1, 1, 1],
          origin: [0, 0, 0],
          direction: identityDirection,
          data: Uint8Array.from(text, Number),
        },
        { gzip: true },
      ),
    );
  write(of.cases[0].label, reference);
  write(maskOf(of, of.cases[0]), mask);
  return of;
}

describe('masks of cases that were held back', () => {
  test('are filtered where that is better, and scored as filtered', async () => {
    const folds = [held(0, 'a', '110022000', '110022001'), held(1, 'b', '110022000', '110020000')];
    const seen: string[] = [];
    const work = { connectivity: 26, onCase: (done: number, total: number) => seen.push(`${done}/${total}`) } as const;
    const { components, evaluation } = await scoreOutOfFold(description, folds, work);
    // All foreground would leave one label in each case; the speck of liver in a goes by itself.
    expect(components.keep).toEqual([[1]]);
    expect(components.before[0]).toBeCloseTo((0.8 + 1) / 2, 12);
    expect(components.after[0]).toBe(1);
    expect(evaluation.cases.map(({ name }) => name)).toEqual(['a', 'b']);
    const [liver, spleen] = evaluation.summary.labels;
    expect(liver.metrics.dice).toMatchObject({ mean: 1, low: 1, high: 1 });
    // 2 * 1 / (2 + 1) in b.
    expect(spleen.metrics.dice!.mean).toBeCloseTo((1 + 2 / 3) / 2, 12);
    expect(seen).toEqual(['0/4', '1/4', '2/4', '3/4']);
  });

  test('have their own names where a case is held back twice', async () => {
    const folds = [held(2, 'c', '1100', '1100'), held(3, 'c', '1100', '1000')];
    const { evaluation } = await scoreOutOfFold(description, folds, { connectivity: 26 });
    expect(evaluation.cases.map(({ name }) => name)).toEqual(['c, fold 2', 'c, fold 3']);
  });

  test('of regions are scored as they are, each region by its own voxels, without those that are ignored', async () => {
    const regions = {
      ...description,
      labels: [
        { name: 'background', values: [0] },
        { name: 'whole', values: [1, 2] },
        { name: 'core', values: [2] },
      ],
      regionsClassOrder: [1, 2],
      ignoreLabel: 3,
    };
    const { components, evaluation } = await scoreOutOfFold(regions, [held(4, 'd', '1122003', '1220012')], {
      connectivity: 26,
    });
    // Whole: 3 of 4 and 4, and one apart; core: 1 of 2 and 2.
    expect(components).toEqual({ keep: [], steps: [], before: [0.75, 0.5], after: [0.75, 0.5] });
    expect(evaluation.summary.labels.map(({ metrics }) => metrics.dice!.mean)).toEqual([0.75, 0.5]);
  });

  test('have a mean over the labels that some case has', () => {
    expect(foregroundDice([0.5, null, 1])).toBe(0.75);
    expect(foregroundDice([null])).toBeNull();
  });
});
