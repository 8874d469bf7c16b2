import { describe, expect, test } from 'vitest';
import { boxOf, boxPlotFigure } from './boxPlot.ts';

const named = (...values: number[]) => values.map((value, i) => ({ name: `case ${i}`, value }));

describe('boxOf', () => {
  test('quartiles lie between values, whiskers end at values within one and a half boxes', () => {
    expect(boxOf([5, 1, 2, 4, 3])).toEqual({ low: 1, lowerQuartile: 2, median: 3, upperQuartile: 4, high: 5 });
    // The box is 2 long, so that 8 is out of reach: 4 + 3 < 8.
    expect(boxOf([1, 2, 3, 4, 8])).toMatchObject({ high: 4 });
    expect(boxOf([1, 2])).toMatchObject({ lowerQuartile: 1.25, median: 1.5, upperQuartile: 1.75, low: 1, high: 2 });
  });

  test('one value is all of them', () => {
    expect(boxOf([7])).toEqual({ low: 7, lowerQuartile: 7, median: 7, upperQuartile: 7, high: 7 });
  });
});

describe('boxPlotFigure', () => {
  const figure = boxPlotFigure({
    title: 'Dice <all>',
    groups: [
      { name: 'a & b', color: 'rgb(1 2 3)', values: named(0, 0.5, 1) },
      { name: 'nobody', color: 'red', values: [] },
    ],
  });

  test('has a point for each case, with its name, and rows from top to bottom', () => {
    expect([...figure.matchAll(/<circle cx="([\d.]+)"/g)].map(([, x]) => Number(x))).toEqual([8, 208, 408]);
    expect(figure).toContain('<title>case 1: 0.5</title>');
    expect(figure).toContain('>a &amp; b</text>');
    // Rows of 44: names at 12 and 56.
    expect([...figure.matchAll(/class="name" x="8" y="(\d+)"/g)].map(([, y]) => Number(y))).toEqual([12, 56]);
    expect(figure).toContain('no value');
    expect(figure).toContain('aria-label="Dice &lt;all&gt;; medians: a &amp; b 0.5"');
  });

  test('the box and its median are where the values are', () => {
    expect(figure).toContain('<rect class="box" x="108" y="17" width="200"');
    expect(figure).toContain('class="median" d="M208 17v18"');
  });
});
