import { describe, expect, test } from 'vitest';
import { chartsImage } from './curves.ts';

const rising = { name: 'a & b', points: [0, 1, 2].map((i) => ({ x: i + 1, y: i / 2 })) };

describe('chartsImage', () => {
  const image = chartsImage([
    { title: 'Loss', curves: [rising] },
    { title: 'Dice <of> labels', curves: [rising, { name: 'none yet', points: [] }] },
  ]);

  test('is an SVG file by itself: it refers to nothing and runs nothing', () => {
    expect(image.startsWith('<svg xmlns="http://www.w3.org/2000/svg" ')).toBe(true);
    expect(image.replace('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:|url\(|@import|<script|href=/i);
    expect(image.match(/<g[ >]/g)).toHaveLength(image.match(/<\/g>/g)!.length);
  });

  test('charts stand side by side, each with its title and a line for every curve', () => {
    // 2 charts of 420, 3 margins of 12; 220 of chart, 26 of title, 2 lines of 18, 2 margins.
    expect(image).toContain('viewBox="0 0 876 306"');
    expect([...image.matchAll(/translate\((\d+) (\d+)\)/g)].map(([, x, y]) => [x, y])).toEqual([
      ['12', '38'],
      ['444', '38'],
    ]);
    expect(image).toContain('>Dice &lt;of&gt; labels</text>');
    expect(image.match(/a &amp; b, at the end 1</g)).toHaveLength(2);
    expect(image).toContain('none yet, at the end –');
    expect(image).toContain('d="M54 186L231 98L408 10"');
  });
});
