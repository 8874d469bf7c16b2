import { beforeAll, describe, expect, it } from 'vitest';
import { compare, gradientDeviation, largestMagnitude } from '../cli/verify/deviation.ts';
import { fill, fillInteger } from '../cli/verify/fill.ts';
import type { Engine } from '../engine/engine.ts';
import { nodeEngine } from '../engine/node.ts';
import { plainEngine } from '../engine/plain.ts';
import { unetrpp, unetrppPresets } from '../nets/index.ts';
import { elementCount, type Tensor } from '../tensor.ts';
import { initialize } from '../weights/initialization.ts';
import { nesterovSgd } from './optimizers.ts';
import { createTrainer, type StepResult, stepProgram, type Trainer, type TrainerSettings } from './trainer.ts';

const network = {
  ...unetrppPresets.synapse,
  classes: 2,
  stem: [1, 2, 2],
  // At the lowest stage 2x2x1 voxels are left; a batch norm of two values would magnify rounding without end.
  patch: [16, 32, 16],
  featureSize: 4,
  dims: [4, 4, 4, 4],
  heads: 2,
  projections: [3, 3, 3, 2],
  decoderProjections: [3, 3, 3],
  depths: [1, 1, 1, 1],
  decoderDepths: [1, 1, 1],
};

const settings: TrainerSettings = {
  batch: 2,
  loss: { of: { kind: 'softDiceCrossEntropy', batch: true }, lowestHead: 'kept' },
  optimizer: nesterovSgd,
  clipNorm: 0.5,
  average: 0.9,
  dropout: true,
  seed: 7,
};

const initial = initialize(unetrpp(network), 3);
const batch = {
  image: fill('image', elementCount([2, 1, ...network.patch]), -1, 1),
  target: Float32Array.from(fillInteger('target', elementCount([2, 1, ...network.patch]), 2)),
};

const trainerOf = (engine: Engine, changed: Partial<TrainerSettings> = {}, from = initial) =>
  createTrainer(engine, network, { ...settings, ...changed }, { initial: from, device: 'cpu', threads: 1 });

const copied = (state: Trainer['state']) =>
  new Map([...state].map(([name, tensor]) => [name, { ...tensor, data: tensor.data.slice() }]));

interface Run {
  readonly results: StepResult[];
  /** Before the first step, and after each. */
  readonly states: Map<string, Tensor<'float32'>>[];
}

async function train(engine: Engine, steps: number, changed: Partial<TrainerSettings> = {}): Promise<Run> {
  const trainer = await trainerOf(engine, changed);
  const results: StepResult[] = [];
  const states = [copied(trainer.state)];
  for (let index = 0; index < steps; index++) {
    results.push(await trainer.step(batch, index, 0.01));
    states.push(copied(trainer.state));
  }
  await trainer.dispose();
  return { results, states };
}

/** The tensor that takes the largest share of its bound: of what is learned or averaged 1e-4 of its largest value. */
function worst(got: Trainer['state'], wanted: Trainer['state']): { name: string; taken: number } {
  const momenta = [...wanted].filter(([name]) => name.startsWith('momentum.'));
  const largest = largestMagnitude(momenta.map(([, { data }]) => data));
  const taken = [...wanted].map(([name, { data }]): [string, number] => {
    const other = got.get(name)!.data;
    // Sums of gradients, so the gradients' rule.
    if (name.startsWith('momentum.')) return [name, gradientDeviation(other, data, largest).bound!.taken];
    return [name, compare(other, data).relativeMaximum / 1e-4];
  });
  const [name, most] = taken.reduce((so, each) => (each[1] <= so[1] ? so : each));
  return { name, taken: most };
}

const before = copied(initial);
let inPlace: Run;
beforeAll(async () => {
  inPlace = await train(nodeEngine, 2);
});

describe('state written in place', () => {
  it('is what plain loops give, which compute all before they write, after two steps with dropout and averages', async () => {
    const fresh = await train(plainEngine, 2);
    for (const [index, { loss, gradientNorm }] of fresh.results.entries()) {
      expect(Math.abs(inPlace.results[index].loss / loss - 1)).toBeLessThan(1e-5);
      expect(Math.abs(inPlace.results[index].gradientNorm / gradientNorm - 1)).toBeLessThan(1e-3);
    }
    expect([...inPlace.states[2].keys()]).toEqual([...fresh.states[2].keys()]);
    const { name, taken } = worst(inPlace.states[2], fresh.states[2]);
    expect(taken, name).toBeLessThan(1);
  }, 60_000);

  it('is what the same runtime gives with state as weights and results in arrays of their own', async () => {
    const program = stepProgram(network, { ...settings, dropout: false, average: null });
    const trainer = await trainerOf(nodeEngine, { dropout: false, average: null });
    const executable = await nodeEngine.compile(program, copied(trainer.state), { device: 'cpu', threads: 1 });
    const { shape } = program.inputs.find(({ name }) => name === 'image')!;
    const results = await executable.run(
      new Map<string, Tensor>([
        ['image', { dtype: 'float32', shape, data: batch.image }],
        ['target', { dtype: 'float32', shape: [2, 1, ...network.patch], data: batch.target }],
        ['learningRate', { dtype: 'float32', shape: [1], data: Float32Array.of(0.01) }],
      ]),
    );
    await trainer.step(batch, 0, 0.01);
    const fresh = new Map(
      [...results]
        .filter(([name]) => name.startsWith('next.'))
        .map(([name, tensor]) => [name.slice('next.'.length), tensor]),
    );
    expect(new Set(fresh.keys())).toEqual(new Set(trainer.state.keys()));
    const { name, taken } = worst(trainer.state, fresh);
    expect(taken, name).toBeLessThan(1);
    // Without averages the parameters themselves are handed out.
    expect(new Set(trainer.weights().keys())).toEqual(new Set(initial.keys()));
    for (const [each, tensor] of trainer.weights()) expect(tensor).toBe(trainer.state.get(each));
    await executable.dispose();
    await trainer.dispose();
  });

  it('goes on from a copy to the same bits as if it had not been interrupted', async () => {
    const resumed = await trainerOf(nodeEngine, {}, inPlace.states[1]);
    expect(await resumed.step(batch, 1, 0.01)).toEqual(inPlace.results[1]);
    expect(worst(resumed.state, inPlace.states[2]).taken).toBe(0);
    // With averages these are handed out, under the parameters' names.
    expect(new Set(resumed.weights().keys())).toEqual(new Set(initial.keys()));
    for (const [each, tensor] of resumed.weights()) expect(tensor).toBe(resumed.state.get(`average.${each}`));
    await resumed.dispose();
  });
});

describe('a trainer', () => {
  it('does not write over the weights that it begins from', () => {
    expect(worst(initial, before).taken).toBe(0);
  });

  it('begins with momenta of 0 and averages of the weights', () => {
    const [start] = inPlace.states;
    const momenta = [...start].filter(([name]) => name.startsWith('momentum.'));
    expect(momenta.length).toBeGreaterThan(100);
    expect(momenta.every(([, { data }]) => data.every((value) => value === 0))).toBe(true);
    for (const [name, { data }] of initial) expect(start.get(`average.${name}`)!.data).toEqual(data);
  });

  it('begins its average low: after the first step 0.9 of the way to the new value', () => {
    // (1 + 0) / (10 + 0) = 0.1 stays.
    const name = 'out1.conv.conv.bias';
    const start = initial.get(name)!.data[0];
    const now = inPlace.states[1].get(name)!.data[0];
    expect(now).not.toBe(start);
    expect(inPlace.states[1].get(`average.${name}`)!.data[0]).toBeCloseTo(start + 0.9 * (now - start), 6);
  });

  it('drops something else in another step and with another seed', async () => {
    const trainer = await trainerOf(nodeEngine);
    const losses: number[] = [];
    for (const index of [0, 1, 0]) losses.push((await trainer.step(batch, index, 0)).loss);
    await trainer.dispose();
    // Of the running statistics, which a step of rate 0 moves too, a training step reads none.
    expect(losses[2]).toBe(losses[0]);
    expect(losses[1]).not.toBe(losses[0]);
    const [other] = (await train(nodeEngine, 1, { seed: 8 })).results;
    expect(other.loss).not.toBe(losses[0]);
  });

  it('says which weight is missing or has another shape', async () => {
    const { 'out1.conv.conv.bias': _, ...rest } = Object.fromEntries(initial);
    await expect(trainerOf(nodeEngine, {}, new Map(Object.entries(rest)))).rejects.toThrow(
      'the parameter out1.conv.conv.bias has no first value',
    );
    const three: Tensor<'float32'> = { dtype: 'float32', shape: [3], data: new Float32Array(3) };
    await expect(trainerOf(nodeEngine, {}, new Map(initial).set('out1.conv.conv.bias', three))).rejects.toThrow(
      'the first value of out1.conv.conv.bias is 3, not 2',
    );
  });
});
