/**
 * The finalizer of MurmurHash3 (Appleby), 32 bits to 32 bits: one to one, and every bit of the result depends on every bit
 * of the value, which is taken modulo 2^32.
 */
export function mixBits(value: number): number {
  let bits = value ^ (value >>> 16);
  bits = Math.imul(bits, 0x85ebca6b);
  bits ^= bits >>> 13;
  bits = Math.imul(bits, 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
