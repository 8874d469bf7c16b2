/** What `npm run bench -- hippocampus` makes of scores and label maps, by pencil and paper. */
import { describe, expect, test } from 'vitest';
import { comparisonPicture } from '../bench/results/pictures.ts';
import { type CaseDice, compare, landmarks, summarize } from '../bench/results/scores.ts';
import { conclusion, withBlock } from '../bench/results/tables.ts';
import { identityDirection, labelColor, type Volume } from '../src/volume/index.ts';

const labels = ['front', 'back'];
const cases: CaseDice[] = [
  { name: 'one', dice: { front: 0.9, back: 0.7 } },
  { name: 'two', dice: { front: 0.8, back: 0.6 } },
  { name: 'three', dice: { front: 0.7, back: 0.95 } },
  { name: 'four', dice: { front: 0.6, back: 0.75 } },
];

describe('scores', () => {
  test('have mean, spread and worst case by label, and of the mean over labels', () => {
    const { front, back, mean } = summarize(cases, labels);
    expect(front.mean).toBeCloseTo(0.75, 12);
    // Deviations 0.15, 0.05, -0.05, -0.15: sum of squares 0.05, over 3.
    expect(front.standardDeviation).toBeCloseTo(Math.sqrt(0.05 / 3), 12);
    expect([front.worst.name, back.worst, mean.worst.name]).toEqual(['four', { name: 'two', dice: 0.6 }, 'four']);
    expect(mean.mean).toBeCloseTo(0.75, 12);
    expect(front.interval[0]).toBeGreaterThanOrEqual(0.6);
    expect(front.interval[0]).toBeLessThan(0.75);
    expect(front.interval[1]).toBeGreaterThan(0.75);
  });

  test('are the same each time they are resampled', () => {
    expect(summarize(cases, labels)).toEqual(summarize(cases, labels));
  });

  test('are compared in pairs: by label corrected for two labels, the mean not', () => {
    const other = cases.map(({ name, dice }) => ({ name, dice: { front: dice.front - 0.1, back: dice.back } }));
    const { front, back, mean } = compare(cases, other, labels);
    expect(front).toMatchObject({ higher: 4, lower: 0 });
    expect(front.difference).toBeCloseTo(0.1, 12);
    expect(front.interval[0]).toBeCloseTo(0.1, 12);
    expect(back).toMatchObject({ difference: 0, higher: 0, lower: 0, test: { pairs: 0, p: 1 }, p: 1 });
    expect(front.p).toBe(2 * front.test.p);
    expect(mean.p).toBe(mean.test.p);
  });

  test('have a best, a median and a worst case', () => {
    // Means 0.8, 0.7, 0.825, 0.675.
    const { best, median, worst } = landmarks(cases, labels);
    expect([best.name, median.name, worst.name]).toEqual(['three', 'two', 'four']);
  });
});

describe('what a comparison says', () => {
  const test_ = { pairs: 0, positive: 0, negative: 0, p: 0, distribution: 'exact' } as const;
  const row = (difference: number, p: number) => ({
    difference,
    interval: [difference - 0.01, difference + 0.01] as const,
    higher: difference > 0 ? 40 : 4,
    lower: difference > 0 ? 4 : 40,
    test: test_,
    p,
  });

  test('is above, below or nothing', () => {
    const rows = (mean: ReturnType<typeof row>) => ({ front: row(0.02, 0.01), back: row(0.03, 0.2), mean });
    expect(conclusion(labels, rows(row(0.025, 1e-5)), 'the old model', 44)).toBe(
      'Mean Dice is 0.025 above the old model, above in 40 of 44 cases; if the two models were equally good on such cases, ' +
        'so one-sided a result would come up with probability 1e-5. By label, p corrected for 2 labels: front +0.020 (p = 0.010), back +0.030 (p = 0.200).',
    );
    expect(conclusion(labels, rows(row(-0.025, 1e-5)), 'the old model', 44)).toContain('below in 40 of 44 cases');
    expect(conclusion(labels, rows(row(0.001, 0.5)), 'the old model', 44)).toContain('do not tell the model from');
  });
});

describe('a page', () => {
  const page = 'a\n<!-- x: written by npm run bench -- hippocampus -->\nold\n<!-- end of x -->\nb\n';

  test('gets a block anew, again and again, and keeps the rest', () => {
    const once = withBlock(page, 'x', 'hippocampus', 'new');
    expect(once).toBe(page.replace('\nold\n', '\n\nnew\n\n'));
    expect(withBlock(once, 'x', 'hippocampus', 'new')).toBe(once);
  });

  test('without the block is refused', () => {
    expect(() => withBlock(page, 'y', 'hippocampus', 'new')).toThrow('no block "y"');
  });
});

test('the third row of a picture shows what is missed, too much, and the wrong part', () => {
  const drawn = (data: number[]): Volume<Uint8Array> => ({
    data: Uint8Array.from(data),
    channels: 1,
    shape: [1, 1, 5],
    spacing: [1, 1, 1],
    origin: [0, 0, 0],
    direction: identityDirection,
  });
  const picture = comparisonPicture(drawn([0, 0, 0, 0, 0]), drawn([1, 1, 2, 0, 0]), drawn([1, 0, 1, 2, 0]));
  expect(picture.height % 3).toBe(0);
  const row = picture.height / 3;
  const colors = (from: number, to: number) =>
    new Set(
      Array.from({ length: (to - from) * picture.width }, (_, i) =>
        [...picture.data.subarray((from * picture.width + i) * 3, (from * picture.width + i) * 3 + 3)].join(),
      ),
    );
  const color = (label: number) => labelColor(label).join();
  const [first, second, third] = [colors(0, row), colors(row, 2 * row), colors(2 * row, 3 * row)];
  expect([first.has(color(1)), first.has(color(2)), second.has(color(1)), second.has(color(2))]).toEqual(
    Array(4).fill(true),
  );
  expect([4, 7, 8].map((label) => third.has(color(label)))).toEqual([true, true, true]);
  expect([1, 2].map((label) => third.has(color(label)))).toEqual([false, false]);
});
