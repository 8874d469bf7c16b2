import { expect, test } from 'vitest';
import { crc32 } from './crc32.ts';

const digits = new TextEncoder().encode('123456789');

test("gives the standard's check value, in one go and in two, and 0 for nothing", () => {
  expect(crc32(digits)).toBe(0xcbf43926);
  expect(crc32(digits.subarray(4), crc32(digits.subarray(0, 4)))).toBe(0xcbf43926);
  expect(crc32(new Uint8Array(0))).toBe(0);
});

test('is the same for a long text in one go and byte by byte', () => {
  const bytes = Uint8Array.from({ length: 1000 }, (_, i) => (i * 31) & 255);
  let crc = 0;
  for (const byte of bytes) crc = crc32(Uint8Array.of(byte), crc);
  expect(crc32(bytes)).toBe(crc);
});
