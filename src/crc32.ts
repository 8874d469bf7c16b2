/**
 * CRC-32 as gzip (RFC 1952, section 8), zip and PNG use it: polynomial 0xEDB88320, eight bytes at a time (Kounavis and
 * Berry, "slicing by 8").
 */

const tables = Array.from({ length: 8 }, () => new Uint32Array(256));
for (let byte = 0; byte < 256; byte++) {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  tables[0][byte] = value;
}
for (let slice = 1; slice < 8; slice++) {
  for (let byte = 0; byte < 256; byte++) {
    const value = tables[slice - 1][byte];
    tables[slice][byte] = (value >>> 8) ^ tables[0][value & 0xff];
  }
}

/** @param before the CRC of the bytes that come before these; 0 at the start */
export function crc32(bytes: Uint8Array, before = 0): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables;
  let crc = ~before;
  let i = 0;
  for (; i + 8 <= bytes.length; i += 8) {
    const low = crc ^ (bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24));
    crc =
      t7[low & 0xff] ^
      t6[(low >>> 8) & 0xff] ^
      t5[(low >>> 16) & 0xff] ^
      t4[low >>> 24] ^
      t3[bytes[i + 4]] ^
      t2[bytes[i + 5]] ^
      t1[bytes[i + 6]] ^
      t0[bytes[i + 7]];
  }
  for (; i < bytes.length; i++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[i]) & 0xff];
  return ~crc >>> 0;
}
