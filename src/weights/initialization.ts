/**
 * Fresh weights for a program, by the initializer that each parameter declares. One seed gives the same weights on every
 * machine; each parameter draws from a stream of its own, named after it, so that adding a layer changes no other.
 */
import type { Initializer, Parameter, Program } from '../program/index.ts';
import { elementCount, type Tensor } from '../tensor.ts';

/** @param seed any whole number */
export function initialize(program: Program, seed: number): Map<string, Tensor<'float32'>> {
  return new Map(program.parameters.map((parameter) => [parameter.name, initializeParameter(parameter, seed)]));
}

function initializeParameter({ name, shape, initializer }: Parameter, seed: number): Tensor<'float32'> {
  const data = new Float32Array(elementCount(shape));
  const draw = sampler(initializer, uniformStream(seed, name));
  for (let i = 0; i < data.length; i++) data[i] = draw();
  return { dtype: 'float32', shape, data };
}

function sampler(initializer: Initializer, uniform: () => number): () => number {
  switch (initializer.kind) {
    case 'constant':
      return () => initializer.value;
    case 'uniform':
      return () => (2 * uniform() - 1) * initializer.bound;
    case 'truncatedNormal':
      return () => {
        for (;;) {
          // Box and Muller (1958); 1 - u is never 0.
          const normal = Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
          if (Math.abs(normal * initializer.deviation) <= initializer.cut) return normal * initializer.deviation;
        }
      };
  }
}

/** The 32-bit hash FNV-1a of a text's UTF-8 bytes. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** Uniform numbers in [0, 1) with 32 random bits: the generator sfc32, seeded from a number and a name. */
function uniformStream(seed: number, name: string): () => number {
  let [a, b, c, counter] = [seed | 0, Math.floor(seed / 2 ** 32) | 0, fnv1a(name), 1];
  const next = () => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return sum >>> 0;
  };
  // The first rounds still show the seed.
  for (let i = 0; i < 12; i++) next();
  return () => next() / 2 ** 32;
}
