/**
 * One forward pass of the Synapse network, all of it in one run: plainly emitted against lowered, each lowering alone and
 * all together, on one thread (CPU time) and on two (wall time); and the time below which no direct form can go, from the
 * fastest convolution that the machine shows between the rounds. Interleaved, the smallest of several rounds: a shared
 * machine is never faster than it is. `npm run bench -- forward`.
 */
import { nodeEngine } from '../src/engine/node.ts';
import { unetrpp, unetrppPresets } from '../src/nets/index.ts';
import {
  buildProgram,
  convolution,
  costBy,
  input,
  type Lowerings,
  lowerings,
  matmul,
  noLowerings,
  type Program,
  parameter,
  type Value,
} from '../src/program/index.ts';
import type { Tensor } from '../src/tensor.ts';
import { initialize } from '../src/weights/initialization.ts';

const rounds = 7;

function cosines(shape: readonly number[]): Tensor {
  const count = shape.reduce((a, b) => a * b, 1);
  return { dtype: 'float32', shape, data: Float32Array.from({ length: count }, (_, i) => Math.cos(i)) };
}

interface Seconds {
  readonly cpu: number;
  readonly wall: number;
}

async function prepare(program: Program, threads: number, switches: Partial<Lowerings> = {}) {
  const executable = await nodeEngine.compile(program, initialize(program, 1), {
    device: 'cpu',
    threads,
    lowerings: switches,
  });
  const feeds = new Map(program.inputs.map(({ name, shape }) => [name, cosines(shape)]));
  return async (): Promise<Seconds> => {
    const [cpu, wall] = [process.cpuUsage(), performance.now()];
    await executable.run(feeds);
    const { user, system } = process.cpuUsage(cpu);
    return { cpu: (user + system) / 1e6, wall: (performance.now() - wall) / 1000 };
  };
}

/** Ten in a row, so that handing the result over weighs little. */
function repeated(of: (x: Value, index: number) => Value, shape: readonly number[]): Program {
  return buildProgram('repeated', () => {
    let y: Value = input('x', shape);
    for (let index = 0; index < 10; index++) y = of(y, index);
    return { y };
  });
}
const weight = (name: string, shape: number[]) => parameter(name, shape, { kind: 'uniform', bound: 0.1 });
const kernels: readonly (readonly [string, Program])[] = [
  ['matrix product of 1024 x 1024', repeated((x, i) => matmul(x, weight(`w${i}`, [1024, 1024])), [1024, 1024])],
  ...[16, 32, 64].map((channels): readonly [string, Program] => [
    `3x3 convolution of ${channels} channels`,
    repeated(
      (x, i) => convolution(x, weight(`w${i}`, [channels, channels, 3, 3]), undefined, { pads: [1, 1] }),
      [1, channels, 4096 / channels, 128],
    ),
  ]),
];

const network = unetrpp(unetrppPresets.synapse, { outputs: 'first' });
const multiplyAdds = (program: Program) => [...costBy(program, () => 'all').values()][0];

const candidates = new Map<string, () => Promise<Seconds>>();
for (const [name, program] of kernels) candidates.set(name, await prepare(program, 1));
candidates.set('plain', await prepare(network, 1, noLowerings));
for (const name of lowerings) {
  candidates.set(`${name} alone`, await prepare(network, 1, { ...noLowerings, [name]: true }));
}
candidates.set('all lowerings', await prepare(network, 1));
candidates.set('plain, 2 threads', await prepare(network, 2, noLowerings));
candidates.set('all lowerings, 2 threads', await prepare(network, 2));

const best = new Map<string, Seconds>();
for (let round = 0; round < rounds; round++) {
  for (const [name, run] of candidates) {
    const { cpu, wall } = await run();
    const so = best.get(name) ?? { cpu: Infinity, wall: Infinity };
    best.set(name, { cpu: Math.min(so.cpu, cpu), wall: Math.min(so.wall, wall) });
  }
}

let rate = 0;
for (const [name, program] of kernels) {
  const reached = multiplyAdds(program) / best.get(name)!.cpu;
  rate = Math.max(rate, reached);
  console.log(`${name.padEnd(36)}${(reached / 1e9).toFixed(1)} G multiply-adds a second`);
}
const floor = multiplyAdds(network) / rate;
console.log(`the network's ${(multiplyAdds(network) / 1e9).toFixed(2)} G at the best rate: ${floor.toFixed(3)} s`);
console.log('\none thread, CPU time');
const plain = best.get('plain')!.cpu;
for (const [name, { cpu }] of best) {
  if (kernels.some(([kernel]) => kernel === name) || name.endsWith('threads')) continue;
  const ratio = `${(plain / cpu).toFixed(2)} times as fast as plain`;
  console.log(`${name.padEnd(36)}${cpu.toFixed(3)} s  ${ratio}, ${(cpu / floor).toFixed(2)} times the floor`);
}
console.log('\ntwo threads, wall time');
const [plain2, lowered2] = [best.get('plain, 2 threads')!.wall, best.get('all lowerings, 2 threads')!.wall];
console.log(`${'plain'.padEnd(36)}${plain2.toFixed(3)} s`);
console.log(
  `${'all lowerings'.padEnd(36)}${lowered2.toFixed(3)} s  ${(plain2 / lowered2).toFixed(2)} times as fast as plain`,
);
