import { describe, expect, it } from 'vitest';
import { fill, fillInteger } from '../cli/verify/fill.ts';
import { randomInputs, randomSteps, type UnetrppSettings, unetrppPresets } from '../nets/index.ts';
import { evaluate, lower, memoryNeed, type Program } from '../program/index.ts';
import { elementCount, type Tensor } from '../tensor.ts';
import { nesterovSgd } from './optimizers.ts';
import { fittingLevel, memoryLevels, type Recomputation } from './recomputation.ts';
import { stepProgram, type TrainerSettings } from './trainer.ts';

const network: UnetrppSettings = {
  ...unetrppPresets.synapse,
  classes: 3,
  patch: [16, 32, 32],
  featureSize: 4,
  dims: [8, 8, 16, 16],
  heads: 2,
  projections: [4, 4, 2, 2],
  decoderProjections: [2, 4, 4],
  depths: [1, 1, 1, 1],
  decoderDepths: [1, 1, 1],
};
const settings: TrainerSettings = {
  batch: 1,
  loss: { of: { kind: 'softDiceCrossEntropy' }, lowestHead: 'kept' },
  optimizer: nesterovSgd,
  clipNorm: 12,
  average: null,
  dropout: true,
  seed: 1,
};

function feedsOf(program: Program): Map<string, Tensor> {
  const keys = new Set(randomInputs(program).map(({ name }) => name));
  return new Map(
    [...program.inputs, ...program.parameters].map(({ name, shape }) => {
      const count = elementCount(shape);
      const [lo, hi] = name.endsWith('running_var') ? [0.5, 2] : [-0.5, 0.5];
      const whole = name === 'target' ? network.classes : keys.has(name) ? randomSteps : undefined;
      const data = Float32Array.from(whole ? fillInteger(name, count, whole) : fill(name, count, lo, hi));
      return [name, { dtype: 'float32', shape, data }];
    }),
  );
}

describe('recomputation', () => {
  const plain = stepProgram(network, settings);

  it('changes no bit of a step', () => {
    const feeds = feedsOf(plain);
    const wanted = evaluate(plain, feeds);
    const got = evaluate(stepProgram(network, settings, 'blocks'), feeds);
    for (const [name, { data }] of wanted) expect(got.get(name)!.data, name).toEqual(data);
  });

  it('takes less memory from level to level, lowered too', () => {
    // Of a size at which results of the forward pass outweigh gradients.
    const large = { ...unetrppPresets.synapse, depths: [1, 1, 1, 1], decoderDepths: [1, 1, 1] };
    const unmasked = { ...settings, dropout: false };
    const bytes = (of: TrainerSettings, level: Recomputation) =>
      memoryNeed(lower(stepProgram(large, of, level), 'cpu')).activations;
    const [none, blocks] = [bytes(settings, 'none'), bytes(settings, 'blocks')];
    expect(blocks).toBeLessThan(0.65 * none);
    // Masks are made again, so dropout costs next to nothing.
    expect(none).toBeLessThan(1.05 * bytes(unmasked, 'none'));
  });

  it('picks the fastest level that fits, or the smallest', () => {
    const bytes = new Map(memoryLevels.map((level, index) => [level, 100 - 10 * index]));
    const estimate = (level: (typeof memoryLevels)[number]) => bytes.get(level)!;
    expect(fittingLevel(estimate)).toEqual({ level: memoryLevels[0], bytes: 100 });
    expect(fittingLevel(estimate, 95)).toEqual({ level: memoryLevels[1], bytes: 90 });
    expect(fittingLevel(estimate, 1)).toEqual({ level: memoryLevels[2], bytes: 80 });
  });
});
