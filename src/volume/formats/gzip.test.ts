import { gzipSync, zlibSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { InputError } from '../../errors.ts';
import { gunzip, isZlib, unzlib } from './gzip.ts';

const everything = { headLength: 0, wanted: () => 1000 };
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const zipped = (value: string) => gzipSync(new TextEncoder().encode(value));

function joined(...parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** gzip data of `length` zeros. */
const zeros = (length: number) => gzipSync(new Uint8Array(length));

describe('gunzip', () => {
  test('gives the first bytes and no more than are wanted', () => {
    expect(text(gunzip(zipped('a volume'), { headLength: 0, wanted: () => 3 }, 'x'))).toBe('a v');
    expect(text(gunzip(zipped('a volume'), everything, 'x'))).toBe('a volume');
  });

  test('asks for the length with the head in hand, or with all there is when the data are shorter than a head', () => {
    const heads: string[] = [];
    const demand = (headLength: number) => ({
      headLength,
      wanted: (head: Uint8Array) => {
        heads.push(text(head));
        return 5;
      },
    });
    expect(text(gunzip(zipped('a volume'), demand(2), 'x'))).toBe('a vol');
    expect(text(gunzip(zipped('abc'), demand(20), 'x'))).toBe('abc');
    expect(text(gunzip(zipped('a volume'), demand(8), 'x'))).toBe('a vol');
    expect(heads).toEqual(['a ', 'abc', 'a volume']);
  });

  test('reads members one after the other, empty ones and zeros as padding included', () => {
    const bytes = joined(zipped('one '), zipped(''), zipped('two'), new Uint8Array(100));
    expect(text(gunzip(bytes, everything, 'x'))).toBe('one two');
    expect(text(gunzip(joined(zipped('one'), zipped(''), new Uint8Array(7)), everything, 'x'))).toBe('one');
  });

  test('reads many members that lie across the steps', () => {
    const part = new Uint8Array(1000).map((_, i) => (i * i * 7919) >> 3);
    const members = Array.from({ length: 60 }, () => gzipSync(part));
    const inflated = gunzip(joined(...members), { headLength: 10, wanted: () => 60_000 }, 'x');
    expect(inflated.length).toBe(60_000);
    expect(inflated.subarray(59_000)).toEqual(part);
  });

  test('refuses data that end early, anywhere', () => {
    const whole = zipped('a volume of some size, a volume of some size');
    for (let length = 1; length < whole.length; length++) {
      expect(() => gunzip(whole.subarray(0, length), everything, 'scan.gz'), `${length} bytes`).toThrow(InputError);
    }
    expect(() => gunzip(whole.subarray(0, 20), everything, 'scan.gz')).toThrow(
      'The gzip data of scan.gz end too early; copy or download the file again.',
    );
  });

  test('refuses a wrong checksum or length of any member', () => {
    for (const fromEnd of [1, 8]) {
      const broken = zipped('a volume');
      broken[broken.length - fromEnd] ^= 1;
      expect(() => gunzip(broken, everything, 'x')).toThrow('do not match their checksum');
      expect(() => gunzip(joined(broken, zipped('b')), everything, 'x')).toThrow('do not match their checksum');
    }
  });

  test('refuses other data behind the last member', () => {
    expect(() => gunzip(joined(zipped('a volume'), Uint8Array.of(1, 2, 3, 4, 5)), everything, 'x')).toThrow(InputError);
  });

  test('stops soon when a small file inflates to far more than was wanted', () => {
    const bomb = zeros(20_000_000);
    expect(bomb.length).toBeLessThan(100_000);
    expect(() => gunzip(bomb, { headLength: 4, wanted: () => 1000 }, 'bomb.gz')).toThrow(
      'bomb.gz inflates to more than 1048576 bytes beyond the 1000 that its header asks for',
    );
  });

  test('passes over a trailer behind the wanted bytes', () => {
    expect(gunzip(zeros(1_000_000), { headLength: 4, wanted: () => 1000 }, 'x').length).toBe(1000);
  });

  test('reserves no memory for what the compressed bytes cannot hold', () => {
    expect(() => gunzip(zipped('a volume'), { headLength: 4, wanted: () => 2 ** 46 }, 'scan.gz')).toThrow(
      /^scan\.gz cannot hold what its header says: 70368744177664 bytes/,
    );
  });
});

describe('gunzip and unzlib', () => {
  test.each([
    ['gunzip', gunzip, gzipSync],
    ['unzlib', unzlib, zlibSync],
  ] as const)(
    '%s refuses one byte too many where the length is exact, and none where it is right',
    (_, inflate, deflate) => {
      const exactly = (length: number) => ({ headLength: 0, wanted: () => length, exact: true });
      const bytes = deflate(new TextEncoder().encode('a volume'));
      expect(text(inflate(bytes, exactly(8), 'x'))).toBe('a volume');
      expect(text(inflate(bytes, exactly(9), 'x'))).toBe('a volume');
      expect(() => inflate(bytes, exactly(7), 'scan')).toThrow(
        'scan inflates to more than the 7 bytes that its header asks for',
      );
    },
  );
});

describe('unzlib', () => {
  const deflated = (value: string) => zlibSync(new TextEncoder().encode(value));

  test('the text of RFC 1950: header 78 9c, checksum of "a" is 00620062', () => {
    // Stored block of one byte: final, length 1, its complement, "a".
    const bytes = Uint8Array.of(0x78, 0x9c, 1, 1, 0, 0xfe, 0xff, 0x61, 0, 0x62, 0, 0x62);
    expect(text(unzlib(bytes, everything, 'x'))).toBe('a');
    expect(() => unzlib(bytes.with(11, 0x63), everything, 'x')).toThrow('do not match their checksum');
    expect(isZlib(bytes)).toBe(true);
    expect(isZlib(bytes.with(1, 0x9d))).toBe(false);
    expect(() => unzlib(bytes.with(0, 0x1f), everything, 'scan.mha')).toThrow('scan.mha holds no zlib data');
  });

  test('keeps no more than is wanted, and passes over zeros behind the data', () => {
    expect(text(unzlib(deflated('a volume'), { headLength: 0, wanted: () => 3 }, 'x'))).toBe('a v');
    expect(text(unzlib(joined(deflated('a volume'), new Uint8Array(100)), everything, 'x'))).toBe('a volume');
  });

  test('reads data of any length across the steps', () => {
    for (const length of [0, 1, 16380, 16381, 16382, 16383, 16384, 16385, 16386, 16387, 40_000]) {
      // Level 0 stores the bytes, so that the checksum falls on every side of a step.
      const whole = new Uint8Array(length).map((_, i) => (i * i * 7919) >> 3);
      const demand = { headLength: 0, wanted: () => length, exact: true };
      expect(unzlib(zlibSync(whole, { level: 0 }), demand, 'x'), `${length} bytes`).toEqual(whole);
    }
  });

  test('refuses data that end early, anywhere, and a wrong checksum', () => {
    const whole = deflated('a volume of some size, a volume of some size');
    for (let length = 0; length < whole.length; length++) {
      expect(() => unzlib(whole.subarray(0, length), everything, 'scan.mha'), `${length} bytes`).toThrow(InputError);
    }
    expect(() => unzlib(whole.subarray(0, 20), everything, 'scan.mha')).toThrow(
      'The zlib data of scan.mha end too early; copy or download the file again.',
    );
  });

  test('stops soon when a small file inflates to far more than was wanted', () => {
    const bomb = zlibSync(new Uint8Array(20_000_000));
    expect(() => unzlib(bomb, { headLength: 4, wanted: () => 1000 }, 'bomb.mha')).toThrow(
      'bomb.mha inflates to more than 1048576 bytes beyond the 1000',
    );
  });
});
