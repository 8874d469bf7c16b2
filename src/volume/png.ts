/**
 * A picture as a PNG file (ISO/IEC 15948): 8-bit RGB, every row stored as its difference from the one above (filter 2, "Up",
 * clause 9.2). Smooth pictures, as those of scans are, take half of what they take without a filter, which is all that
 * fast-png writes; reports are made of dozens of them.
 */
import { zlibSync } from 'fflate';
import { crc32 } from '../crc32.ts';
import type { Picture } from './picture.ts';

const signature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const [bitsPerChannel, rgb, upFilter] = [8, 2, 2];

export function encodePng({ width, height, data }: Picture): Uint8Array {
  const row = width * 3;
  const rows = new Uint8Array(height * (row + 1));
  for (let y = 0, at = 0; y < height; y++) {
    rows[at++] = upFilter;
    for (let i = y * row; i < (y + 1) * row; i++) rows[at++] = data[i] - (y > 0 ? data[i - row] : 0);
  }
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([bitsPerChannel, rgb], 8);
  const chunks = [chunk('IHDR', header), chunk('IDAT', zlibSync(rows, { level: 9 })), chunk('IEND', new Uint8Array())];
  return joined([Uint8Array.from(signature), ...chunks]);
}

/** Length, type, content, and the checksum of type and content (clause 5.3). */
function chunk(type: string, content: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + content.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, content.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(content, 8);
  view.setUint32(8 + content.length, crc32(bytes.subarray(4, 8 + content.length)));
  return bytes;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
