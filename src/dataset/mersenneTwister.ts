/**
 * The random numbers of NumPy's legacy generator (`numpy.random.RandomState`), for what nnU-Net fixes by a seed: its
 * splits. What this package draws by itself comes from randomStream.ts.
 *
 * Generator: MT19937, Matsumoto and Nishimura, "Mersenne Twister: a 623-dimensionally equidistributed uniform
 * pseudorandom number generator", 1998, seeded as in the authors' revision of 2002.
 */
const size = 624;
const middle = 397;

/** Gives whole numbers in [0, 2^32), one a call. */
export function mersenneTwister(seed: number): () => number {
  const state = new Uint32Array(size);
  state[0] = seed;
  for (let i = 1; i < size; i++) state[i] = Math.imul(0x6c078965, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  let at = size;
  const twist = () => {
    for (let i = 0; i < size; i++) {
      const bits = (state[i] & 0x80000000) | (state[(i + 1) % size] & 0x7fffffff);
      state[i] = state[(i + middle) % size] ^ (bits >>> 1) ^ (bits & 1 ? 0x9908b0df : 0);
    }
    at = 0;
  };
  return () => {
    if (at === size) twist();
    let bits = state[at++];
    bits ^= bits >>> 11;
    bits ^= (bits << 7) & 0x9d2c5680;
    bits ^= (bits << 15) & 0xefc60000;
    return (bits ^ (bits >>> 18)) >>> 0;
  };
}

/** A whole number from 0 to `max`, as NumPy's legacy `randint(0, max + 1)` draws it. */
export function legacyInteger(next: () => number, max: number): number {
  // The smallest all-ones number that covers max; numbers beyond max are drawn again. Of a single number none is drawn.
  if (max === 0) return 0;
  const mask = 2 ** (32 - Math.clz32(max)) - 1;
  let value = (next() & mask) >>> 0;
  while (value > max) value = (next() & mask) >>> 0;
  return value;
}

/** 0 .. length - 1 in a random order, as `RandomState(seed).permutation(length)`. */
export function legacyPermutation(length: number, seed: number): number[] {
  const next = mersenneTwister(seed);
  const out = Array.from({ length }, (_, i) => i);
  for (let i = length - 1; i > 0; i--) {
    const other = legacyInteger(next, i);
    [out[i], out[other]] = [out[other], out[i]];
  }
  return out;
}
