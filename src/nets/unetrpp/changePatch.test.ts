import { describe, expect, it } from 'vitest';
import { elementCount, type Tensor } from '../../tensor.ts';
import { changePatch } from './changePatch.ts';
import { unetrpp } from './network.ts';
import { unetrppPresets } from './presets.ts';

const base = {
  ...unetrppPresets.acdc,
  patch: [8, 32, 32],
  dims: [4, 4, 4, 4],
  heads: 2,
  depths: [1, 1, 1, 1],
  decoderDepths: [1, 1, 1],
};

function weightsOf(settings: typeof base, value: (index: number) => number): Map<string, Tensor<'float32'>> {
  return new Map(
    unetrpp(settings).parameters.map(({ name, shape }) => [
      name,
      { dtype: 'float32', shape, data: Float32Array.from({ length: elementCount(shape) }, (_, index) => value(index)) },
    ]),
  );
}

for (const tokenProjection of ['separate', 'sharedNoBias'] as const) {
  const settings = { ...base, tokenProjection };
  describe(`weights with ${tokenProjection} projection at another patch`, () => {
    const {
      settings: changed,
      weights,
      notice,
    } = changePatch(
      settings,
      weightsOf(settings, () => 2),
      [16, 32, 64],
    );

    it('have the shapes that the network wants there', () => {
      for (const { name, shape } of unetrpp(changed).parameters) expect(weights.get(name)!.shape, name).toEqual(shape);
    });

    it('keep a constant position table, and projections that sum to what they did', () => {
      const table = weights.get('unetr_pp_encoder.stages.0.0.pos_embed')!;
      expect(table.data.every((value) => value === 2)).toBe(true);
      const name = tokenProjection === 'separate' ? 'E.weight' : 'EF';
      const projection = weights.get(`unetr_pp_encoder.stages.0.0.epa_block.${name}`)!;
      expect(elementCount(projection.shape)).toBe(64 * 16 * 8 * 16);
      expect(projection.data.every((value) => value === 0.5)).toBe(true);
    });

    it('come with a notice', () => {
      expect(notice).toContain('trained at a patch of 8x32x32; for 16x32x64');
    });
  });
}

describe('a position table', () => {
  it('is interpolated along each axis, half voxels matched, edges kept', () => {
    const weights = weightsOf(base, (index) => index);
    const { weights: changed } = changePatch(base, weights, [16, 32, 32]);
    // Stage 4: a grid of 1 x 1 x 1 tokens of 4 channels becomes 2 x 1 x 1: the one value twice.
    expect([...changed.get('unetr_pp_encoder.stages.3.0.pos_embed')!.data]).toEqual([0, 1, 2, 3, 0, 1, 2, 3]);
    // Stage 3: depth 2 becomes 4; depth planes hold 2 x 2 tokens of 4 channels, so 16 numbers: 0, 0.25, 0.75, 1 of the way.
    const third = changed.get('unetr_pp_encoder.stages.2.0.pos_embed')!.data;
    expect([third[0], third[16], third[32], third[48]]).toEqual([0, 4, 12, 16]);
  });

  it('stays as it is at the same patch', () => {
    const weights = weightsOf(base, () => 1);
    expect(changePatch(base, weights, [8, 32, 32])).toEqual({ settings: base, weights, notice: undefined });
  });
});
