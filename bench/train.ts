/**
 * Steps of training on the CPU, one thread: the Synapse network at batch 1 against its forward pass, for each level of
 * memory, with the estimate of the peak against the measured one; and the Hippocampus recipe with its loader, on all cores:
 * examples a second, and the share of the time for which a step waits for data. Each in a process of its own, the smallest
 * of several rounds. `npm run bench -- train`.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { foregroundLocations, randomStream, standardNormal, trainingAugmentation } from '../src/dataset/index.ts';
import { nodeEngine } from '../src/engine/node.ts';
import { type UnetrppSettings, unetrpp, unetrppPresets } from '../src/nets/index.ts';
import type { Tensor } from '../src/tensor.ts';
import type { TrainingCase } from '../src/train/batches.ts';
import { inSharedMemory } from '../src/train/cases.node.ts';
import { openLoader } from '../src/train/loader.node.ts';
import { adamW, nesterovSgd } from '../src/train/optimizers.ts';
import { type MemoryLevel, memoryLevels } from '../src/train/recomputation.ts';
import { createTrainer, stepProgram, type TrainerSettings } from '../src/train/trainer.ts';
import type { Vector3 } from '../src/volume/index.ts';
import { initialize } from '../src/weights/initialization.ts';

const common = { clipNorm: 12, dropout: true, seed: 1 } as const;
const synapseRecipe: TrainerSettings = {
  ...common,
  batch: 1,
  loss: { of: { kind: 'softDiceCrossEntropy', batch: true }, lowestHead: 'kept' },
  optimizer: nesterovSgd,
  average: null,
};
const recipe = JSON.parse(readFileSync(new URL('../recipes/hippocampus.json', import.meta.url), 'utf8')) as {
  network: Partial<UnetrppSettings>;
};
const hippocampus: UnetrppSettings = { ...unetrppPresets.synapse, classes: 3, ...recipe.network };
const hippocampusRecipe: TrainerSettings = { ...synapseRecipe, batch: 2, optimizer: adamW, average: 0.999 };

interface Measured {
  readonly cpu: number;
  readonly wall: number;
  readonly peak: number;
  readonly estimate: number;
}

/** The smallest of some rounds. */
async function measure(
  rounds: number,
  run: (round: number) => Promise<unknown>,
): Promise<{ cpu: number; wall: number }> {
  const best = { cpu: Number.POSITIVE_INFINITY, wall: Number.POSITIVE_INFINITY };
  for (let round = 0; round < rounds; round++) {
    const [cpu, wall] = [process.cpuUsage(), performance.now()];
    await run(round);
    const { user, system } = process.cpuUsage(cpu);
    best.cpu = Math.min(best.cpu, (user + system) / 1e6);
    best.wall = Math.min(best.wall, (performance.now() - wall) / 1000);
  }
  return best;
}

const voxels = (network: UnetrppSettings) => network.patch.reduce((product, length) => product * length, 1);

async function measureForward(network: UnetrppSettings): Promise<Measured> {
  const program = unetrpp(network, { outputs: 'first' });
  const estimate = nodeEngine.memoryEstimate(program, { device: 'cpu' });
  const executable = await nodeEngine.compile(program, initialize(program, 1), { device: 'cpu', threads: 1 });
  const data = Float32Array.from({ length: voxels(network) }, (_, i) => Math.cos(i));
  const image: Tensor = { dtype: 'float32', shape: program.inputs[0].shape, data };
  const best = await measure(5, () => executable.run(new Map([['image', image]])));
  return { ...best, estimate, peak: process.resourceUsage().maxRSS * 1024 };
}

async function measureStep(
  network: UnetrppSettings,
  settings: TrainerSettings,
  { recomputation, memoryArena }: MemoryLevel,
): Promise<Measured> {
  const program = stepProgram(network, settings, recomputation);
  const estimate = nodeEngine.memoryEstimate(program, { device: 'cpu', memoryArena });
  const trainer = await createTrainer(nodeEngine, network, settings, {
    initial: initialize(unetrpp(network), 1),
    recomputation,
    memoryArena,
    device: 'cpu',
    threads: 1,
  });
  const length = settings.batch * voxels(network);
  const image = Float32Array.from({ length }, (_, i) => Math.cos(i));
  const target = Float32Array.from({ length }, (_, i) => i % network.classes);
  const best = await measure(4, (round) => trainer.step({ image, target }, round, 0.001));
  await trainer.dispose();
  return { ...best, estimate, peak: process.resourceUsage().maxRSS * 1024 };
}

/** A block with a ball of two labels in noise, of the size of the data set's scans. */
function drawnCase(index: number): TrainingCase {
  const shape: Vector3 = [36, 50, 35];
  const length = shape[0] * shape[1] * shape[2];
  const labels = Int16Array.from({ length }, (_, i) => {
    const [z, y, x] = [Math.floor(i / (50 * 35)), Math.floor(i / 35) % 50, i % 35];
    return Math.hypot(z - 18, y - 25, x - 17) > 9 ? 0 : y < 25 ? 1 : 2;
  });
  const image = standardNormal(randomStream(index), length).map((value, i) => value + 2 * labels[i]);
  const locations = foregroundLocations(labels, randomStream(index));
  return inSharedMemory({ name: `drawn ${index}`, patch: { shape, channels: 1, image, labels }, locations });
}

async function measureWithLoader() {
  const cases = Array.from({ length: 20 }, (_, index) => drawnCase(index));
  const patch = hippocampus.patch as unknown as Vector3;
  const augmentation = { ...trainingAugmentation(patch), mirror: [0, 0, 0.5] as Vector3 };
  const { batch, seed } = hippocampusRecipe;
  const batches = openLoader(cases, { patch, batch, seed, augmentation, zeroOutside: false }, { workers: 1 });
  const initial = initialize(unetrpp(hippocampus), 1);
  const trainer = await createTrainer(nodeEngine, hippocampus, hippocampusRecipe, { initial, device: 'cpu' });
  const [warm, steps] = [5, 60];
  let [start, waitedBefore] = [0, 0];
  for (let step = 0; step < warm + steps; step++) {
    if (step === warm) [start, waitedBefore] = [performance.now(), batches.waited];
    await trainer.step(await batches.next(), step, 0.001);
  }
  const milliseconds = performance.now() - start;
  const waited = batches.waited - waitedBefore;
  await batches.close();
  await trainer.dispose();
  return { examplesPerSecond: (1000 * steps * batch) / milliseconds, waitingShare: waited / milliseconds };
}

/** Those that training chooses from, and the one that they leave out. */
const levels: readonly MemoryLevel[] = [...memoryLevels, { recomputation: 'none', memoryArena: false }];

const jobs: Record<string, () => Promise<unknown>> = {
  forward: () => measureForward(unetrppPresets.synapse),
  loader: measureWithLoader,
  ...Object.fromEntries(
    levels.flatMap((level, index) => [
      [`synapse ${index}`, () => measureStep(unetrppPresets.synapse, synapseRecipe, level)],
      [`hippocampus ${index}`, () => measureStep(hippocampus, hippocampusRecipe, level)],
    ]),
  ),
};

function inOwnProcess<T>(job: string): T {
  const child = spawnSync(process.execPath, [...process.execArgv, fileURLToPath(import.meta.url), job], {
    encoding: 'utf8',
    // As the program itself is started, see cli/main.ts.
    env: { ...process.env, MALLOC_TRIM_THRESHOLD_: '131072' },
  });
  if (child.status !== 0) throw new Error(child.stderr);
  return JSON.parse(child.stdout) as T;
}

const [job] = process.argv.slice(2);
if (job) {
  process.stdout.write(JSON.stringify(await jobs[job]()));
  process.exit(0);
}
const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`;
const forward = inOwnProcess<Measured>('forward');
console.log(`forward pass of the Synapse network, one thread: ${forward.cpu.toFixed(2)} s, ${gigabytes(forward.peak)}`);
for (const name of ['synapse', 'hippocampus']) {
  console.log(`\na step, ${name}, one thread\nrecomputed  arena     CPU time           peak  estimate / peak`);
  levels.forEach(({ recomputation, memoryArena }, index) => {
    const { cpu, peak, estimate } = inOwnProcess<Measured>(`${name} ${index}`);
    const ratio = name === 'synapse' ? `, ${(cpu / forward.cpu).toFixed(2)} forward` : '';
    const row = [
      recomputation.padEnd(11),
      (memoryArena ? 'on' : 'off').padEnd(5),
      `${cpu.toFixed(2)} s${ratio}`.padEnd(22),
    ];
    console.log(`${row.join(' ')} ${gigabytes(peak)}  ${(estimate / peak).toFixed(2)}`);
  });
}
const { examplesPerSecond, waitingShare } = inOwnProcess<{ examplesPerSecond: number; waitingShare: number }>('loader');
console.log(
  `\nHippocampus recipe with its loader, all cores: ${examplesPerSecond.toFixed(1)} examples a second, ` +
    `waits for data ${(100 * waitingShare).toFixed(2)} % of the time`,
);
