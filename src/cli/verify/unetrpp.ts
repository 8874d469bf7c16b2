/**
 * Replays the reference values of UNETR++: the four networks at full size, four small ones, and the attention block alone.
 *
 * Every weight and input is made from its name (fill.ts); the JSON files say what must come out. One row a tensor.
 */
import type { CompileOptions, Engine } from '../../engine/engine.ts';
import { type UnetrppPreset, type UnetrppSettings, unetrpp, unetrppPresets } from '../../nets/index.ts';
import { pairedAttention } from '../../nets/unetrpp/attention.ts';
import { buildProgram, input, type Program, tap, transposeLast, withOutputs } from '../../program/index.ts';
import { elementCount, type Shape, type Tensor } from '../../tensor.ts';
import { fill, fillInteger } from './fill.ts';

export interface Deviation {
  readonly set: string;
  readonly tensor: string;
  /** |a - b| / |b| in the L2 norm over the compared values. */
  readonly relativeL2: number;
  /** Largest |a - b| over the largest |b|. */
  readonly relativeMaximum: number;
  readonly limit: number;
}

export const passed = (row: Deviation) => row.relativeL2 <= row.limit && row.relativeMaximum <= row.limit;

/** Forward values of a float32 engine: relative L2 and largest deviation over largest magnitude (docs/ARCHITECTURE.md). */
const forwardLimit = 1e-4;

interface FilledTensor {
  readonly name: string;
  readonly shape: Shape;
  readonly kind: string;
  readonly lo: number;
  readonly hi: number;
  readonly of?: string;
}

interface ExpectedTensor {
  readonly shape: Shape;
  readonly sum: number;
  readonly mean: number;
  readonly l2: number;
  readonly min: number;
  readonly max: number;
  readonly per_channel?: { readonly mean: readonly number[]; readonly l2: readonly number[] };
  readonly samples: { readonly index_name: string; readonly count: number; readonly values: readonly number[] };
}

interface FullSet {
  readonly variant: UnetrppPreset;
  readonly input: { readonly name: string; readonly lo: number; readonly hi: number; readonly shape: Shape };
  readonly parameters: readonly FilledTensor[];
  readonly tensors: Readonly<Record<string, ExpectedTensor>>;
}

interface SmallSet {
  readonly variant: UnetrppPreset;
  readonly config: {
    readonly inc: number;
    readonly cls: number;
    readonly patch: number[];
    readonly stem: number[];
    readonly feature_size: number;
    readonly dims: number[];
    readonly heads: number;
    readonly proj: number[];
    readonly proj_dec: number;
    readonly depths: number[];
    readonly depth_dec: number;
  };
  readonly input: FullSet['input'];
  readonly parameters: readonly FilledTensor[];
  readonly eval_outputs: Readonly<Record<string, ExpectedTensor>>;
  readonly eval_outputs_clean_layout: Readonly<Record<string, ExpectedTensor>>;
}

interface AttentionSet {
  readonly B: number;
  readonly N: number;
  readonly C: number;
  readonly heads: number;
  readonly p: number;
  readonly input: { readonly name: string; readonly lo: number; readonly hi: number };
  readonly parameters: readonly FilledTensor[];
  readonly out: readonly number[];
  readonly out_clean_layout: readonly number[];
}

function weightsOf(parameters: readonly FilledTensor[], rename = (name: string) => name): Map<string, Tensor> {
  const weights = new Map<string, Tensor>();
  for (const { name, shape, kind, lo, hi } of parameters) {
    if (kind === 'alias' || lo === undefined) continue;
    weights.set(rename(name), { dtype: 'float32', shape, data: fill(name, elementCount(shape), lo, hi) });
  }
  return weights;
}

/** The worst of the compared groups: relative L2 of the vector, and largest deviation over largest magnitude. */
function compare(got: ArrayLike<number>, wanted: ArrayLike<number>): Pick<Deviation, 'relativeL2' | 'relativeMaximum'> {
  let squares = 0;
  let norm = 0;
  let worst = 0;
  let largest = 0;
  for (let i = 0; i < wanted.length; i++) {
    const deviation = Math.abs(got[i] - wanted[i]);
    squares += deviation ** 2;
    norm += wanted[i] ** 2;
    // A NaN must fail, and every comparison with NaN is false: make it the worst.
    worst = deviation >= worst || Number.isNaN(deviation) ? deviation : worst;
    largest = Math.max(largest, Math.abs(wanted[i]));
  }
  return { relativeL2: Math.sqrt(squares / norm), relativeMaximum: worst / largest };
}

/** Samples, and the statistics that see every element: per channel or whole. */
function deviations(set: string, name: string, got: Tensor<'float32'>, expected: ExpectedTensor): Deviation[] {
  const { data, shape } = got;
  if (elementCount(shape) !== elementCount(expected.shape)) {
    throw new Error(`${set} ${name} has shape [${shape}], expected [${expected.shape}]`);
  }
  const indices = fillInteger(expected.samples.index_name, expected.samples.count, data.length);
  const rows: Deviation[] = [
    {
      set,
      tensor: name,
      limit: forwardLimit,
      ...compare(
        indices.map((i) => data[i]),
        expected.samples.values,
      ),
    },
  ];
  let squares = 0;
  let least = Infinity;
  let largest = -Infinity;
  for (const value of data) {
    squares += value * value;
    if (value < least) least = value;
    if (value > largest) largest = value;
  }
  rows.push({
    set,
    tensor: `${name} (whole: l2, min, max)`,
    limit: forwardLimit,
    ...compare([Math.sqrt(squares), least, largest], [expected.l2, expected.min, expected.max]),
  });
  if (expected.per_channel) {
    const [n, channels] = expected.shape;
    const voxels = data.length / (n * channels);
    const means = new Float64Array(channels);
    const norms = new Float64Array(channels);
    for (let block = 0; block < n * channels; block++) {
      for (let i = block * voxels; i < (block + 1) * voxels; i++) {
        means[block % channels] += data[i] / (n * voxels);
        norms[block % channels] += data[i] ** 2;
      }
    }
    // A mean may be far smaller than the values it averages: deviations count against the root mean square.
    const rms = expected.per_channel.l2.map((l2) => l2 / Math.sqrt(n * voxels));
    const shifted = [...means].map((mean, c) => mean - expected.per_channel!.mean[c] + rms[c]);
    rows.push({ set, tensor: `${name} (channel means)`, limit: forwardLimit, ...compare(shifted, rms) });
    const l2 = [...norms].map(Math.sqrt);
    rows.push({ set, tensor: `${name} (channel l2)`, limit: forwardLimit, ...compare(l2, expected.per_channel.l2) });
  }
  return rows;
}

/** `encoder.stage2.block0.epa.x_SA` of the reference files is the tap `unetr_pp_encoder.stages.1.0.epa_block.x_SA`. */
export function tapOf(name: string): string {
  const down = /^encoder\.(stem|down(\d))$/.exec(name);
  if (down) return `unetr_pp_encoder.downsample_layers.${down[2] ?? 0}.out`;
  const stage = /^encoder\.stage(\d)(?:\.block(\d))?(?:\.(.+))?$/.exec(name);
  if (!stage) return /^out\d$/.test(name) ? name : `${name}.out`;
  const [, number, block, inner] = stage;
  const path = [`unetr_pp_encoder.stages.${Number(number) - 1}`, block, inner?.replace(/^epa/, 'epa_block')];
  const joined = path.filter((part) => part !== undefined).join('.');
  return /\.x_[SC]A$/.test(joined) ? joined : `${joined}.out`;
}

export async function verifyFull(set: FullSet, engine: Engine, options: CompileOptions): Promise<Deviation[]> {
  const settings = unetrppPresets[set.variant];
  const names = Object.keys(set.tensors);
  const program = withOutputs(unetrpp(settings), names.map(tapOf));
  const results = await runOnce(engine, program, weightsOf(set.parameters), options, imageOf(set));
  const label = `full ${set.variant}`;
  return names.flatMap((name) => deviations(label, name, results.get(tapOf(name))!, set.tensors[name]));
}

const imageOf = ({ input: { name, shape, lo, hi } }: Pick<FullSet, 'input'>): Map<string, Tensor> =>
  new Map([['image', { dtype: 'float32', shape, data: fill(name, elementCount(shape), lo, hi) }]]);

function smallSettings({ variant, config }: SmallSet): UnetrppSettings {
  return {
    ...unetrppPresets[variant],
    inputChannels: config.inc,
    classes: config.cls,
    patch: config.patch,
    stem: config.stem,
    featureSize: config.feature_size,
    dims: config.dims,
    heads: config.heads,
    projections: config.proj,
    decoderProjections: [config.proj_dec, config.proj_dec, config.proj_dec],
    depths: config.depths,
    decoderDepths: [config.depth_dec, config.depth_dec, config.depth_dec],
  };
}

export async function verifySmall(set: SmallSet, engine: Engine, options: CompileOptions): Promise<Deviation[]> {
  const weights = weightsOf(set.parameters);
  const rows: Deviation[] = [];
  for (const layout of ['reference', 'clean'] as const) {
    const program = unetrpp({ ...smallSettings(set), layout }, { batch: set.input.shape[0] });
    const results = await runOnce(engine, program, weights, options, imageOf(set));
    const expected = layout === 'reference' ? set.eval_outputs : set.eval_outputs_clean_layout;
    for (const [name, tensor] of Object.entries(expected)) {
      rows.push(...deviations(`small ${set.variant}`, `${name} (${layout} layout)`, results.get(name)!, tensor));
    }
  }
  return rows;
}

const attentionKinds = {
  shared: { tokenProjection: 'shared', fusion: 'concatenate' },
  separate: { tokenProjection: 'separate', fusion: 'concatenate' },
  brats: { tokenProjection: 'sharedNoBias', fusion: 'add' },
} as const;

export type AttentionKind = keyof typeof attentionKinds;

/** @param inner the stored inner tensors of this kind by name */
export async function verifyAttention(
  kind: AttentionKind,
  set: AttentionSet,
  inner: ReadonlyMap<string, Tensor>,
  engine: Engine,
  options: CompileOptions,
): Promise<Deviation[]> {
  const label = `attention ${kind}`;
  const prefix = `epa.${kind}.`;
  const weights = weightsOf(set.parameters, (name) => (name.startsWith(prefix) ? name.slice(prefix.length) : name));
  const shape = [set.B, set.N, set.C];
  const image: Tensor = {
    dtype: 'float32',
    shape,
    data: fill(set.input.name, elementCount(shape), set.input.lo, set.input.hi),
  };
  const rows: Deviation[] = [];
  for (const layout of ['reference', 'clean'] as const) {
    const built = buildProgram('attention', () => {
      const tokens = input('tokens', shape);
      const attention = {
        heads: set.heads,
        projection: set.p,
        layout,
        initialization: 'normal',
        dropout: 0,
        ...attentionKinds[kind],
      } as const;
      tap('input', tokens);
      return { out: transposeLast(pairedAttention(transposeLast(tokens), attention)) };
    });
    const inside =
      layout === 'clean' ? [] : [...inner.keys()].filter((name) => built.taps.has(name) && name !== 'input');
    const program = withOutputs(built, [...inside, 'out']);
    const results = await runOnce(engine, program, weights, options, new Map([['tokens', image]]));
    for (const name of inside) {
      const difference = compare(results.get(name)!.data, inner.get(name)!.data as Float32Array);
      rows.push({ set: label, tensor: name, limit: forwardLimit, ...difference });
    }
    const wanted = layout === 'clean' ? set.out_clean_layout : set.out;
    rows.push({
      set: label,
      tensor: `out (${layout} layout)`,
      limit: forwardLimit,
      ...compare(results.get('out')!.data, wanted),
    });
  }
  return rows;
}

async function runOnce(
  engine: Engine,
  program: Program,
  weights: ReadonlyMap<string, Tensor>,
  options: CompileOptions,
  feeds: ReadonlyMap<string, Tensor>,
): Promise<Map<string, Tensor<'float32'>>> {
  const executable = await engine.compile(program, weights, options);
  try {
    return await executable.run(feeds);
  } finally {
    await executable.dispose();
  }
}

export type { AttentionSet, FullSet, SmallSet };
