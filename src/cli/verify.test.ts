import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { hasShared, sharedPath } from '../../test/shared.ts';
import { run } from './run.ts';
import { passed } from './verify/deviation.ts';
import { tapOf } from './verify/unetrpp.ts';

async function shell(...argv: string[]) {
  let out = '';
  let err = '';
  const terminal = {
    out: (text: string) => (out += text),
    err: (text: string) => (err += text),
    signal: new AbortController().signal,
    columns: 100,
  };
  return { code: await run(argv, terminal), out, err };
}

describe('names of the reference files', () => {
  it('are found as taps of the program', () => {
    expect(tapOf('encoder.stem')).toBe('unetr_pp_encoder.downsample_layers.0.out');
    expect(tapOf('encoder.down2')).toBe('unetr_pp_encoder.downsample_layers.2.out');
    expect(tapOf('encoder.stage1.block0.epa.x_SA')).toBe('unetr_pp_encoder.stages.0.0.epa_block.x_SA');
    expect(tapOf('encoder.stage1.block0.epa')).toBe('unetr_pp_encoder.stages.0.0.epa_block.out');
    expect(tapOf('encoder.stage4')).toBe('unetr_pp_encoder.stages.3.out');
    expect(tapOf('decoder2.transp_conv')).toBe('decoder2.transp_conv.out');
    expect(tapOf('out2')).toBe('out2');
  });
});

describe.skipIf(!hasShared)('unetrpp verify', () => {
  const folder = sharedPath('golden', 'unetrpp');

  it("makes nnU-Net's plans, plain and residual, of 14 data sets", async () => {
    const { code, out } = await shell('verify', sharedPath('golden', 'planning.json'), '--json');
    const { comparisons } = JSON.parse(out) as { comparisons: { set: string }[] };
    expect(new Set(comparisons.map(({ set }) => set)).size).toBe(14 + 1);
    expect(code).toBe(0);
  });

  it('reproduces the attention block and the four small networks in both layouts', async () => {
    for (const only of ['attention', 'small']) {
      const { code, out } = await shell('verify', folder, '--only', only, '--json');
      expect(code).toBe(0);
      const found = JSON.parse(out) as { passed: boolean; comparisons: unknown[] };
      expect(found.passed).toBe(true);
      expect(found.comparisons.length).toBeGreaterThan(100);
    }
  });

  interface Comparison {
    readonly set: string;
    readonly tensor: string;
    readonly family?: string;
    readonly bound?: { readonly taken: number };
  }

  it('reproduces a training: the first step element by element, three steps in float64, each of them in float32', async () => {
    const { code, out } = await shell('verify', folder, '--only', 'training', '--json');
    const { comparisons } = JSON.parse(out) as { comparisons: (Comparison & Parameters<typeof passed>[0])[] };
    expect(comparisons.filter((row) => !passed(row)).map(({ set, tensor }) => `${set}: ${tensor}`)).toEqual([]);
    expect(code).toBe(0);
    const gradients = comparisons.filter(({ family }) => family === 'gradients');
    // Of 259, 155, 230 and 195 parameters, lowered and plain.
    expect(gradients).toHaveLength(2 * (259 + 155 + 230 + 195));
    expect(gradients.every(({ bound }) => bound !== undefined)).toBe(true);
    const ofFamily = (name: string) => comparisons.filter(({ family }) => family === name);
    expect(ofFamily('losses of steps, float64')).toHaveLength(2 * 4 * (3 + 1));
    // A momentum for every gradient, of three steps and the one after.
    expect(ofFamily('momenta after a step, float32')).toHaveLength(3 * gradients.length);
    // Samples and the whole.
    expect(ofFamily('parameters after three steps, float64')).toHaveLength(2 * gradients.length);
  }, 300_000);

  it('reproduces the gradients of the attention block, inner tensors too', async () => {
    const { out } = await shell('verify', folder, '--only', 'attention', '--json');
    const { comparisons } = JSON.parse(out) as { comparisons: Comparison[] };
    const gradients = comparisons.filter(({ family }) => family === 'gradients');
    const names = new Set(gradients.map(({ tensor }) => tensor));
    for (const name of ['tokens', 'qkvv.weight', 'temperature', 'EF', 'F.weight', 'q', 'k_proj', 'attn_SA', 'x_SA']) {
      expect(names).toContain(`gradient of ${name}`);
    }
    expect(gradients.every(({ bound }) => bound!.taken <= 1)).toBe(true);
  });

  it('reproduces the 78 losses, values and gradients, in float32', async () => {
    const { code, out } = await shell('verify', sharedPath('golden', 'losses.json'));
    expect(out).toContain('322 comparisons in 1 sets: all within their limits.');
    expect(out).toContain('worst: gradient of nnunet.topk50 for logits 0');
    expect(code).toBe(0);
  });

  it('reproduces the four published networks at full size, every intermediate, lowered and plain', async () => {
    const { code, out } = await shell('verify', folder, '--only', 'full');
    expect(out).toContain('704 comparisons in 4 sets: all within their limits.');
    expect(code).toBe(0);
  }, 600_000);

  it('fails with exit code 1 and names the tensor when a value is off', async () => {
    const copy = mkdtempSync(join(tmpdir(), 'unetrpp-verify-'));
    try {
      const set = JSON.parse(readFileSync(join(folder, 'small-synapse.json'), 'utf8'));
      set.eval_outputs.out2.samples.values[3] *= 1.01;
      writeFileSync(join(copy, 'small-synapse.json'), JSON.stringify(set));
      const { code, out, err } = await shell('verify', copy, '--only', 'small');
      expect(code).toBe(1);
      expect(out).toMatch(/out2 \(reference layout\) .* FAILED/);
      expect(err).toContain('2 of 48 comparisons failed');
      const training = await shell('verify', copy, '--only', 'training');
      expect(training).toMatchObject({ code: 2, err: expect.stringContaining('small-synapse.safetensors') });
    } finally {
      rmSync(copy, { recursive: true });
    }
  });
});

describe('unetrpp verify, asked for what is not there,', () => {
  it('says so', async () => {
    expect(await shell('verify', '/nowhere')).toMatchObject({
      code: 2,
      err: expect.stringContaining('no folder /nowhere'),
    });
    expect(await shell('verify', 'src')).toMatchObject({
      code: 2,
      err: expect.stringContaining('no reference values'),
    });
  });
});
