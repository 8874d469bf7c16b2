/**
 * One forward pass of the Synapse network, plainly emitted against lowered, each lowering alone and all together: CPU time
 * on one thread, interleaved, the smallest of several rounds. And the rate of the machine's own matrix product, measured
 * between the rounds, which gives the time below which nothing can go.
 */
import { nodeEngine } from '../src/engine/node.ts';
import { unetrpp, unetrppPresets } from '../src/nets/index.ts';
import {
  buildProgram,
  costBy,
  input,
  type Lowerings,
  lowerings,
  matmul,
  noLowerings,
  type Program,
  parameter,
} from '../src/program/index.ts';
import type { Tensor } from '../src/tensor.ts';
import { initialize } from '../src/weights/initialization.ts';

const rounds = 5;

function cosines(shape: readonly number[]): Tensor {
  const count = shape.reduce((a, b) => a * b, 1);
  return { dtype: 'float32', shape, data: Float32Array.from({ length: count }, (_, i) => Math.cos(i)) };
}

async function prepare(program: Program, switches: Partial<Lowerings>): Promise<() => Promise<number>> {
  const executable = await nodeEngine.compile(program, initialize(program, 1), {
    device: 'cpu',
    threads: 1,
    lowerings: switches,
  });
  const feeds = new Map(program.inputs.map(({ name, shape }) => [name, cosines(shape)]));
  return async () => {
    const start = process.cpuUsage();
    await executable.run(feeds);
    const { user, system } = process.cpuUsage(start);
    return (user + system) / 1e6;
  };
}

const side = 1024;
const product = buildProgram('product', () => {
  const factor = parameter('factor', [side, side], { kind: 'uniform', bound: 1 });
  return { y: matmul(input('x', [side, side]), factor) };
});
const network = unetrpp(unetrppPresets.synapse);
const multiplyAdds = [...costBy(network, () => 'all').values()][0];

const candidates: [string, () => Promise<number>][] = [
  ['plain', await prepare(network, noLowerings)],
  ...(await Promise.all(
    lowerings.map(
      async (name): Promise<[string, () => Promise<number>]> => [
        `${name} alone`,
        await prepare(network, { ...noLowerings, [name]: true }),
      ],
    ),
  )),
  ['all lowerings', await prepare(network, {})],
];
const multiply = await prepare(product, {});

const best = new Map<string, number>();
let fastestProduct = Infinity;
for (let round = 0; round < rounds; round++) {
  for (const [name, run] of candidates) best.set(name, Math.min(best.get(name) ?? Infinity, await run()));
  fastestProduct = Math.min(fastestProduct, await multiply());
}
const rate = side ** 3 / fastestProduct;
console.log(`matrix product of ${side} x ${side}: ${(rate / 1e9).toFixed(1)} G multiply-adds a second`);
console.log(`the network at that rate: ${(multiplyAdds / rate).toFixed(3)} s`);
const plain = best.get('plain')!;
for (const [name, seconds] of best) {
  const ratio = `${(plain / seconds).toFixed(2)} times as fast as plain`;
  const floor = `${((seconds * rate) / multiplyAdds).toFixed(2)} times the floor`;
  console.log(`${name.padEnd(36)}${seconds.toFixed(3)} s  ${ratio}, ${floor}`);
}
