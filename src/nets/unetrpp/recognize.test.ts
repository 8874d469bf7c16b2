import { describe, expect, it } from 'vitest';
import { hasShared, sharedJson } from '../../../test/shared.ts';
import { unetrpp } from './network.ts';
import { type UnetrppPreset, unetrppPresets } from './presets.ts';
import { describeMismatch, recognizeUnetrpp, type WeightShapes } from './recognize.ts';
import type { UnetrppSettings } from './settings.ts';

function shapesOf(settings: UnetrppSettings): { shapes: Map<string, readonly number[]>; aliases: Map<string, string> } {
  const program = unetrpp(settings);
  const shapes = new Map(program.parameters.map(({ name, shape }) => [name, shape]));
  for (const [name, of] of program.aliases) shapes.set(name, shapes.get(of)!);
  return { shapes, aliases: new Map(program.aliases) };
}

describe('a UNETR++ is recognized from names and shapes', () => {
  for (const preset of Object.keys(unetrppPresets) as UnetrppPreset[]) {
    it(`${preset}: every setting, patch included`, () => {
      const { settings, patchGuessed, mismatch } = recognizeUnetrpp(shapesOf(unetrppPresets[preset]));
      expect(settings).toEqual(unetrppPresets[preset]);
      expect(patchGuessed).toBe(false);
      expect(describeMismatch(mismatch)).toBeUndefined();
    });
  }

  const small: UnetrppSettings = {
    ...unetrppPresets.synapse,
    patch: [32, 64, 64],
    featureSize: 8,
    dims: [16, 32, 64, 128],
    depths: [1, 2, 1, 3],
    decoderDepths: [2, 1, 1],
    deepSupervision: false,
  };

  it('one of other sizes: depths differ, and the patch is the most even that fits', () => {
    const recognized = recognizeUnetrpp(shapesOf(small));
    expect(recognized.settings).toEqual(small);
    expect(recognized.patchGuessed).toBe(true);
  });

  it('takes the patch that it is told when the tokens agree, and says so when they do not', () => {
    const flat = { ...small, patch: [16, 64, 128] };
    expect(recognizeUnetrpp(shapesOf(flat), [16, 64, 128]).settings.patch).toEqual([16, 64, 128]);
    expect(() => recognizeUnetrpp(shapesOf(small), [64, 128, 128])).toThrow(
      'The patch 64x128x128 gives 32768, 4096, 512, 64 tokens in the four stages; these weights have 4096, 512, 64, 8.',
    );
  });

  it('lists what is missing, unexpected and of another shape', () => {
    const { shapes, aliases } = shapesOf(small);
    shapes.delete('decoder2.decoder_block.0.conv2.conv.weight');
    shapes.set('extra.weight', [3]);
    shapes.set('out1.conv.conv.bias', [5]);
    expect(describeMismatch(recognizeUnetrpp({ shapes, aliases }).mismatch)).toBe(
      '1 missing: decoder2.decoder_block.0.conv2.conv.weight; 1 unexpected: extra.weight; ' +
        '1 of another shape: out1.conv.conv.bias (5, wanted 14)',
    );
  });

  it('refuses weights of another network by name', () => {
    const shapes = new Map([['swinViT.patch_embed.proj.weight', [48, 1, 2, 2, 2]]]);
    const weights: WeightShapes = { shapes, aliases: new Map() };
    expect(() => recognizeUnetrpp(weights)).toThrow(
      'These weights are no UNETR++: there is no tensor unetr_pp_encoder.downsample_layers.0.0.conv.weight among their 1 (the first are swinViT.patch_embed.proj.weight).',
    );
  });

  it('refuses names of a UNETR++ with shapes of none: empty tensors, missing axes, sizes without end', () => {
    const changed = (name: string, shape: readonly number[]) => {
      const weights = shapesOf(unetrppPresets.synapse);
      weights.shapes.set(`unetr_pp_encoder.${name}`, shape);
      return () => recognizeUnetrpp(weights);
    };
    // Before it is looked at: of 2^50 tokens all factors would be tried.
    expect(changed('stages.3.0.pos_embed', [1, 2 ** 50, 0])).toThrow(/pos_embed is empty \(1x1125899906842624x0\)/);
    expect(changed('stages.0.0.epa_block.temperature', [0, 1, 1])).toThrow(/temperature is empty/);
    expect(changed('downsample_layers.0.0.conv.weight', [32, 1])).toThrow(/those of no UNETR\+\+ .*: stem: /);
    expect(changed('downsample_layers.1.0.conv.weight', [1e6, 32, 2, 2, 2])).toThrow(/dims\.1: .*<=65536/);
  });

  it.skipIf(!hasShared)('the state_dict of each published network, running counts and aliases included', () => {
    for (const preset of Object.keys(unetrppPresets) as UnetrppPreset[]) {
      const { entries } = sharedJson<{ entries: { name: string; shape: number[]; kind: string }[] }>(
        'spec',
        'state-dicts',
        `unetr-plus-plus-${preset}.json`,
      );
      const shapes = new Map(entries.map(({ name, shape }) => [name, shape]));
      const aliases = new Map(
        entries.filter(({ kind }) => kind.startsWith('alias:')).map(({ name, kind }) => [name, kind.slice(6)]),
      );
      const recognized = recognizeUnetrpp({ shapes, aliases });
      expect(recognized.settings).toEqual(unetrppPresets[preset]);
      expect(describeMismatch(recognized.mismatch)).toBeUndefined();
    }
  });
});
