/**
 * Replays the reference values of UNETR++: the four networks at full size, four small ones, and the attention block alone.
 *
 * Every weight and input is made from its name (fill.ts); the JSON files say what must come out. One row a tensor.
 */
import type { CompileOptions, Engine } from '../../engine/engine.ts';
import { type UnetrppPreset, type UnetrppSettings, unetrpp, unetrppPresets } from '../../nets/index.ts';
import { pairedAttention } from '../../nets/unetrpp/attention.ts';
import {
  buildProgram,
  differentiate,
  input,
  multiply,
  type Program,
  replaceOutputs,
  sum,
  transposeLast,
  type Value,
  withOutputs,
} from '../../program/index.ts';
import { elementCount, type Shape, type Tensor } from '../../tensor.ts';
import {
  compare,
  type Deviation,
  deviations,
  type ExpectedTensor,
  forwardLimit,
  gradientDeviation,
  largestMagnitude,
  numbersOf,
} from './deviation.ts';
import { fill } from './fill.ts';

interface FilledTensor {
  readonly name: string;
  readonly shape: Shape;
  readonly kind: string;
  readonly lo: number;
  readonly hi: number;
  readonly of?: string;
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
  readonly cotangent: AttentionSet['input'];
  readonly parameters: readonly FilledTensor[];
  readonly out: readonly number[];
  readonly out_clean_layout: readonly number[];
}

export function weightsOf(
  parameters: readonly FilledTensor[],
  rename = (name: string) => name,
): Map<string, Tensor<'float32'>> {
  const weights = new Map<string, Tensor<'float32'>>();
  for (const { name, shape, kind, lo, hi } of parameters) {
    if (kind === 'alias' || lo === undefined) continue;
    weights.set(rename(name), { dtype: 'float32', shape, data: fill(name, elementCount(shape), lo, hi) });
  }
  return weights;
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

export const imageOf = ({ input: { name, shape, lo, hi } }: Pick<FullSet, 'input'>): Map<string, Tensor<'float32'>> =>
  new Map([['image', { dtype: 'float32', shape, data: fill(name, elementCount(shape), lo, hi) }]]);

export function smallSettings({ variant, config }: SmallSet): UnetrppSettings {
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

/** @param stored the inner tensors of this kind by name, and what the loss's gradient is for them (`dact.NAME`, `grad.NAME`) */
export async function verifyAttention(
  kind: AttentionKind,
  set: AttentionSet,
  stored: ReadonlyMap<string, Tensor>,
  engine: Engine,
  options: CompileOptions,
): Promise<Deviation[]> {
  const label = `attention ${kind}`;
  const prefix = `epa.${kind}.`;
  const weights = weightsOf(set.parameters, (name) => (name.startsWith(prefix) ? name.slice(prefix.length) : name));
  const shape = [set.B, set.N, set.C];
  const filled = ({ name, lo, hi }: AttentionSet['input']): Tensor<'float32'> => ({
    dtype: 'float32',
    shape,
    data: fill(name, elementCount(shape), lo, hi),
  });
  const tokens = filled(set.input);
  const rows: Deviation[] = [];
  for (const layout of ['reference', 'clean'] as const) {
    const built = attentionProgram(kind, set, layout);
    const inside = layout === 'clean' ? [] : [...stored.keys()].filter((name) => built.taps.has(name));
    const program = withOutputs(built, [...inside, 'out']);
    const results = await runOnce(engine, program, weights, options, new Map([['tokens', tokens]]));
    for (const name of inside) {
      const difference = compare(results.get(name)!.data, numbersOf(stored.get(name)!));
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

  const step = attentionStep(kind, set, stored);
  const feeds = new Map([
    ['tokens', tokens],
    ['cotangent', filled(set.cotangent)],
  ]);
  const results = await runOnce(engine, step.program, weights, options, feeds);
  const largest = largestMagnitude([...step.gradients.values()].map((name) => numbersOf(stored.get(name)!)));
  for (const [name, reference] of step.gradients) {
    const got = results.get(`gradient.${name}`)!.data;
    rows.push({
      set: label,
      tensor: `gradient of ${name}`,
      family: 'gradients',
      ...gradientDeviation(got, numbersOf(stored.get(reference)!), largest),
    });
  }
  return rows;
}

/** `tokens` [B, N, C] -> `out`, the same. */
function attentionProgram(kind: AttentionKind, set: AttentionSet, layout: 'reference' | 'clean'): Program {
  return buildProgram('attention', () => {
    const tokens = input('tokens', [set.B, set.N, set.C]);
    const attention = {
      heads: set.heads,
      projection: set.p,
      layout,
      initialization: 'normal',
      dropout: 0,
      ...attentionKinds[kind],
    } as const;
    return { out: transposeLast(pairedAttention(transposeLast(tokens), attention)) };
  });
}

/**
 * loss = sum(out * cotangent), and its gradients for the input, every parameter and every inner tensor on the way. Norms
 * are divided out elsewhere than in the references (attention.ts), so some of their inner tensors are not on it.
 * @returns besides the program, the references' names of the gradients by ours
 */
function attentionStep(
  kind: AttentionKind,
  set: AttentionSet,
  stored: ReadonlyMap<string, Tensor>,
): { program: Program; gradients: Map<string, string> } {
  const built = replaceOutputs(attentionProgram(kind, set, 'reference'), ({ out }) => ({
    loss: sum(multiply(out, input('cotangent', out.shape)), [0, 1, 2]),
  }));
  const onTheWay = new Set<Value>(built.operations);
  const gradients = new Map([
    ['tokens', 'grad.input'],
    ...built.parameters.map(({ name }) => [name, `grad.${name}`] as const),
    ...[...built.taps]
      .filter(([name, value]) => onTheWay.has(value) && stored.has(`dact.${name}`))
      .map(([name]) => [name, `dact.${name}`] as const),
  ]);
  return { program: differentiate(built, 'loss', [...gradients.keys()]), gradients };
}

export async function runOnce(
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
