/** The bytes with each element of `size` bytes turned around: big-endian <-> little-endian. A copy. */
export function swapBytes(bytes: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(bytes.length);
  for (let at = 0; at < bytes.length; at += size) {
    for (let i = 0; i < size; i++) out[at + i] = bytes[at + size - 1 - i];
  }
  return out;
}
