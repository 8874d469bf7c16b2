import { deflateSync, zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import type { CheckpointError } from './checkpointError.ts';
import { readZipDirectory } from './zipDirectory.ts';

const text = (value: string) => new TextEncoder().encode(value);

interface Drawn {
  name: string;
  content: Uint8Array;
  method?: number;
  size?: number;
  crc?: number;
  flags?: number;
  /** Where the local header is said to be. */
  at?: number;
}

/** A zip file written by hand, header by header; with zip64 fields when asked. */
function draw(entries: Drawn[], { zip64 = false, comment = '' } = {}): Uint8Array {
  const bytes: number[] = [];
  const put = (value: number | bigint, length: number) => {
    for (let i = 0; i < length; i++) bytes.push(Number((BigInt(value) >> BigInt(8 * i)) & 0xffn));
  };
  const starts = entries.map(({ name, content }) => {
    const start = bytes.length;
    put(0x04034b50, 4);
    for (let i = 0; i < 22; i++) bytes.push(0);
    put(name.length, 2);
    put(3, 2);
    bytes.push(...text(name), 0, 0, 0, ...content);
    return start;
  });
  const directory = bytes.length;
  entries.forEach(({ name, content, method = 0, size = content.length, crc = 0, flags = 0, at }, i) => {
    put(0x02014b50, 4);
    put(0, 4);
    put(flags, 2);
    put(method, 2);
    put(0, 4);
    put(crc, 4);
    put(zip64 ? 0xffffffff : content.length, 4);
    put(zip64 ? 0xffffffff : size, 4);
    put(name.length, 2);
    put(zip64 ? 28 : 0, 2);
    put(0, 10);
    put(zip64 ? 0xffffffff : (at ?? starts[i]), 4);
    bytes.push(...text(name));
    if (!zip64) return;
    put(1, 2);
    put(24, 2);
    for (const value of [size, content.length, at ?? starts[i]]) put(value, 8);
  });
  const length = bytes.length - directory;
  if (zip64) {
    const record = bytes.length;
    put(0x06064b50, 4);
    put(44, 8);
    put(0, 12);
    for (const value of [entries.length, entries.length, length, directory]) put(value, 8);
    put(0x07064b50, 4);
    put(0, 4);
    put(record, 8);
    put(1, 4);
  }
  put(0x06054b50, 4);
  put(0, 4);
  for (let i = 0; i < 2; i++) put(zip64 ? 0xffff : entries.length, 2);
  put(zip64 ? 0xffffffff : length, 4);
  put(zip64 ? 0xffffffff : directory, 4);
  put(comment.length, 2);
  bytes.push(...text(comment));
  return Uint8Array.from(bytes);
}

const first = (file: Uint8Array) => [...readZipDirectory(file, 'a.pt').values()][0].read();

describe('a zip archive', () => {
  it('gives stored entries as views of the file, in the order of its directory', () => {
    const file = draw([
      { name: 'r/b', content: text('second') },
      { name: 'r/a', content: text('first') },
    ]);
    const entries = readZipDirectory(file, 'a.pt');
    expect([...entries].map(([name, { size }]) => [name, size])).toEqual([
      ['r/b', 6],
      ['r/a', 5],
    ]);
    const content = entries.get('r/a')!.read();
    expect(content).toEqual(text('first'));
    expect(content.buffer).toBe(file.buffer);
  });

  it('gives deflated entries inflated', () => {
    const content = text('aaaaaaaaaabbbbbbbbbb'.repeat(50));
    expect(first(zipSync({ x: content }, { level: 9 }))).toEqual(content);
    expect(first(draw([{ name: 'x', content: deflateSync(content), method: 8, size: 1000 }]))).toEqual(content);
  });

  it('may use 64-bit sizes and end with a comment', () => {
    expect(first(draw([{ name: 'x', content: text('zip64') }], { zip64: true }))).toEqual(text('zip64'));
    expect(first(draw([{ name: 'x', content: text('note') }], { comment: 'PK\x05\x06 is no end here' }))).toEqual(
      text('note'),
    );
  });

  it('may lie at an odd place of a larger buffer', () => {
    const file = draw([{ name: 'x', content: text('moved') }]);
    const larger = Buffer.alloc(file.length + 7);
    larger.set(file, 3);
    expect(first(larger.subarray(3, 3 + file.length))).toEqual(text('moved'));
  });
});

describe('an archive that lies is refused', () => {
  const content = text('aaaaaaaaaa'.repeat(100));
  const packed = deflateSync(content);
  const cases: [string, Uint8Array, string, RegExp][] = [
    ['without its end', draw([{ name: 'x', content }]).slice(0, -1), 'truncated', /a\.pt is cut short/],
    ['a wrong checksum', draw([{ name: 'x', content, crc: 1 }]), 'damaged', /the checksum of the entry "x" is wrong/],
    ['encrypted', draw([{ name: 'x', content, flags: 1 }]), 'unsupported', /"x" is encrypted/],
    ['method 12', draw([{ name: 'x', content, method: 12 }]), 'unsupported', /packed with zip method 12/],
    ['stored in another size', draw([{ name: 'x', content, size: 7 }]), 'damaged', /claims 7 bytes, but takes 1000/],
    ['an entry elsewhere', draw([{ name: 'x', content, at: 5 }]), 'damaged', /does not begin at 5/],
    ['an entry beyond the end', draw([{ name: 'x', content, at: 2 ** 31 }]), 'damaged', /does not begin/],
    [
      'one name twice',
      draw([
        { name: 'x', content },
        { name: 'x', content },
      ]),
      'damaged',
      /"x" is there twice/,
    ],
    [
      '2^40 bytes out of a few',
      draw([{ name: 'x', content: packed, method: 8, size: 2 ** 40 }], { zip64: true }),
      'damaged',
      /claims 1099511627776 bytes/,
    ],
    [
      'more than it claims',
      draw([{ name: 'x', content: packed, method: 8, size: 999 }]),
      'damaged',
      /does not inflate to the 999/,
    ],
    [
      'less than it claims',
      draw([{ name: 'x', content: packed, method: 8, size: 1001 }]),
      'damaged',
      /does not inflate/,
    ],
    [
      'no deflate stream',
      draw([{ name: 'x', content: text('\xff\xff\xff'), method: 8, size: 9 }]),
      'damaged',
      /does not inflate/,
    ],
  ];
  for (const [what, file, kind, message] of cases) {
    it(what, () => {
      expect(() => first(file)).toThrow(message);
      try {
        first(file);
      } catch (error) {
        expect((error as CheckpointError).kind).toBe(kind);
      }
    });
  }

  it('also when a hundred entries share one stream that inflates to 4 MiB each', () => {
    const stream = deflateSync(new Uint8Array(4 * 2 ** 20));
    const shared = Array.from({ length: 100 }, (_, i) => ({
      name: `${i}`,
      content: i === 0 ? stream : new Uint8Array(0),
      method: 8,
      size: 4 * 2 ** 20,
      at: 0,
    }));
    // The later entries claim the first one's bytes as theirs.
    const file = draw(shared);
    const view = new DataView(file.buffer);
    for (let at = 0, seen = 0; seen < 100; at++) {
      if (view.getUint32(at, true) !== 0x02014b50) continue;
      view.setUint32(at + 20, stream.length, true);
      seen++;
    }
    const entries = [...readZipDirectory(file, 'a.pt').values()];
    let read = 0;
    expect(() => {
      for (const entry of entries) {
        entry.read();
        read++;
      }
    }).toThrow(/inflates to more than/);
    expect(read).toBeLessThan(20);
  });
});
