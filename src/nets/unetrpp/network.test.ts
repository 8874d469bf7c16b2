import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { hasShared, sharedPath } from '../../../test/shared.ts';
import { InputError } from '../../errors.ts';
import { costBy, parameterCount } from '../../program/index.ts';
import { elementCount } from '../../tensor.ts';
import { costKind } from './cost.ts';
import { unetrpp } from './network.ts';
import { type UnetrppPreset, unetrppPresets } from './presets.ts';
import { checkSettings, stageGrids, unetrppSettings } from './settings.ts';

const presets = Object.keys(unetrppPresets) as UnetrppPreset[];

// Counted on the authors' code: parameters, running statistics, and G multiply-adds by kind at batch 1.
const published = {
  synapse: { parameters: 42_952_850, statistics: 8_448, split: [41.9011, 0.7859, 0.6543, 1.8245, 1.0601, 1.2426] },
  acdc: { parameters: 66_796_404, statistics: 16_896, split: [39.4592, 0.4268, 0.3015, 1.4254, 0.8282, 0.9708] },
  lung: { parameters: 121_174_798, statistics: 16_896, split: [113.6426, 1.1855, 0.8682, 4.1052, 2.3852, 2.7958] },
  brats: { parameters: 42_647_604, statistics: 8_448, split: [66.8153, 1.0245, 1.1912, 1.4596, 1.0601, 1.2426] },
};
const kinds = [
  '3x3x3 convolutions',
  'other convolutions',
  'transposed convolutions',
  'channel Linears',
  'token projections',
  'attention products',
];
const totals = { synapse: 47.4685, acdc: 43.4119, lung: 124.9825, brats: 72.7932 };

describe('the published networks', () => {
  for (const preset of presets) {
    const program = unetrpp(unetrppPresets[preset]);

    it(`${preset} has the published parameters and running statistics`, () => {
      expect(parameterCount(program)).toBe(published[preset].parameters);
      const statistics = program.parameters.filter(({ trainable }) => !trainable);
      expect(statistics.reduce((so, { shape }) => so + elementCount(shape), 0)).toBe(published[preset].statistics);
    });

    it(`${preset} costs the multiply-adds of the authors' code, kind by kind`, () => {
      const cost = costBy(program, costKind);
      expect(kinds.map((kind) => Number((cost.get(kind)! / 1e9).toFixed(4)))).toEqual(published[preset].split);
      const total = [...cost.values()].reduce((so, value) => so + value, 0);
      expect(Number((total / 1e9).toFixed(4))).toBe(totals[preset]);
    });

    it.skipIf(!hasShared)(`${preset} lists the parameters of the authors' state_dict, in its order`, () => {
      const path = sharedPath('spec', 'state-dicts', `unetr-plus-plus-${preset}.json`);
      const { entries } = JSON.parse(readFileSync(path, 'utf8')) as {
        entries: { name: string; shape: number[]; dtype: string; kind: string }[];
      };
      const floats = entries.filter(({ dtype }) => dtype === 'float32');
      const own = floats.filter(({ kind }) => !kind.startsWith('alias'));
      expect(program.parameters.map(({ name, shape }) => [name, shape])).toEqual(
        own.map(({ name, shape }) => [name, shape]),
      );
      expect(program.parameters.map(({ trainable }) => trainable)).toEqual(own.map(({ kind }) => kind === 'parameter'));
      const aliases = floats.filter(({ kind }) => kind.startsWith('alias:'));
      expect([...program.aliases]).toEqual(aliases.map(({ name, kind }) => [name, kind.slice('alias:'.length)]));
    });
  }
});

describe('a patch', () => {
  it('gives the grids of the four stages', () => {
    expect(stageGrids(unetrppPresets.acdc)).toEqual([
      [16, 40, 40],
      [8, 20, 20],
      [4, 10, 10],
      [2, 5, 5],
    ]);
  });

  it('is refused with the nearest legal ones when it does not fit the stem and the three halvings', () => {
    const build = () => unetrpp({ ...unetrppPresets.synapse, patch: [65, 128, 100] });
    expect(build).toThrow(InputError);
    expect(build).toThrow(
      'The patch 65x128x100 does not fit the network: each axis must be a multiple of 16x32x32 (8 times the stem 2x4x4). ' +
        'The nearest legal patches are 64x128x96 and 80x128x128.',
    );
  });

  it('may be any legal one: token counts follow', () => {
    const program = unetrpp({ ...unetrppPresets.synapse, patch: [32, 64, 96] });
    const table = program.parameters.find(({ name }) => name === 'unetr_pp_encoder.stages.0.0.pos_embed')!;
    expect(table.shape).toEqual([1, 16 * 16 * 24, 32]);
  });
});

describe('settings that cannot be built', () => {
  it('are refused with the numbers', () => {
    expect(() => checkSettings({ ...unetrppPresets.synapse, heads: 5 })).toThrow(
      '32 channels cannot be divided among 5 heads',
    );
    expect(() => checkSettings({ ...unetrppPresets.synapse, stem: [4, 4] })).toThrow('differ in their number of axes');
  });

  it('are refused when a number would make a network without end', () => {
    const issueOf = (changes: object) =>
      unetrppSettings.safeParse({ ...unetrppPresets.synapse, ...changes }).error?.issues[0].message;
    expect(issueOf({})).toBeUndefined();
    expect(issueOf({ depths: [3, 3, 1e6, 3] })).toContain('<=100');
    expect(issueOf({ featureSize: 2 ** 31 - 1 })).toContain('<=65536');
  });
});

describe('two spatial axes', () => {
  it('build from the same code', () => {
    const program = unetrpp({ ...unetrppPresets.synapse, patch: [64, 64], stem: [4, 4] }, { outputs: 'first' });
    expect(program.outputs.get('out1')!.shape).toEqual([1, 14, 64, 64]);
  });
});

describe('outputs', () => {
  it('are three heads, or the first alone', () => {
    const names = (outputs: 'first' | 'all', deepSupervision: boolean) => [
      ...unetrpp({ ...unetrppPresets.synapse, deepSupervision }, { outputs }).outputs.keys(),
    ];
    expect(names('all', true)).toEqual(['out1', 'out2', 'out3']);
    expect(names('first', true)).toEqual(['out1']);
    expect(names('all', false)).toEqual(['out1']);
  });
});

describe('initializers', () => {
  const initializers = (preset: UnetrppPreset) =>
    new Map(unetrpp(unetrppPresets[preset]).parameters.map(({ name, initializer }) => [name, initializer]));
  const uniform = (bound: number) => ({ kind: 'uniform', bound });
  const constant = (value: number) => ({ kind: 'constant', value });

  it('are the authors’: normal for the encoder’s Linears, PyTorch’s default elsewhere', () => {
    const found = initializers('synapse');
    const block = 'unetr_pp_encoder.stages.0.0';
    for (const linear of ['qkvv', 'E', 'out_proj', 'out_proj2']) {
      expect(found.get(`${block}.epa_block.${linear}.weight`)).toEqual({
        kind: 'truncatedNormal',
        deviation: 0.02,
        cut: 2,
      });
    }
    expect(found.get(`${block}.epa_block.E.bias`)).toEqual(constant(0));
    expect(found.get(`${block}.gamma`)).toEqual(constant(1e-6));
    expect(found.get(`${block}.pos_embed`)).toEqual(constant(0));
    expect(found.get(`${block}.epa_block.temperature`)).toEqual(constant(1));
    expect(found.get(`${block}.conv51.norm1.running_var`)).toEqual(constant(1));
    // The decoder never calls the initialization that it defines.
    expect(found.get('decoder5.decoder_block.0.0.epa_block.qkvv.weight')).toEqual(uniform(1 / Math.sqrt(128)));
    expect(found.get('decoder5.decoder_block.0.0.epa_block.E.bias')).toEqual(uniform(1 / Math.sqrt(512)));
    expect(found.get(`${block}.conv51.conv1.conv.weight`)).toEqual(uniform(1 / Math.sqrt(32 * 27)));
    expect(found.get(`${block}.conv8.1.bias`)).toEqual(uniform(1 / Math.sqrt(32)));
    // "Fan in" of a transposed weight is its second axis: the outputs.
    expect(found.get('decoder2.transp_conv.conv.weight')).toEqual(uniform(1 / Math.sqrt(16 * 32)));
  });

  it('of the matrix without bias go by its last axis', () => {
    const found = initializers('brats');
    expect(found.get('unetr_pp_encoder.stages.0.0.epa_block.EF')).toEqual(uniform(1 / 8));
    expect(found.get('unetr_pp_encoder.stages.3.0.epa_block.EF')).toEqual(uniform(1 / Math.sqrt(32)));
  });
});
