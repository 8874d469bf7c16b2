import fc from 'fast-check';
import { decode } from 'fast-png';
import { describe, expect, test } from 'vitest';
import { encodePng } from './png.ts';

describe('encodePng', () => {
  test('every picture comes back from the file as it was', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 9 }),
        fc.infiniteStream(fc.nat(255)),
        (width, height, bytes) => {
          const data = Uint8Array.from({ length: width * height * 3 }, () => bytes.next().value);
          // The reader compares checksums when it is told to.
          const read = decode(encodePng({ width, height, data }), { checkCrc: true });
          expect([read.width, read.height, read.channels, read.depth]).toEqual([width, height, 3, 8]);
          expect(read.data).toEqual(data);
        },
      ),
      { numRuns: 30 },
    );
  });

  test('columns that do not change take next to nothing, however wild they are across', () => {
    const across = Uint8Array.from({ length: 300 }, (_, i) => (i * 7919) % 251);
    const data = Uint8Array.from({ length: 300 * 100 }, (_, i) => across[i % 300]);
    expect(encodePng({ width: 100, height: 100, data }).length).toBeLessThan(700);
  });
});
