/**
 * Replays a training of the four small networks: the first forward and backward, element by element, in one program; then
 * three steps of the optimizer, on end in float64, and each by itself through the trainer.
 *
 * Dropout is off in the references. Weights and inputs are made from names as in unetrpp.ts.
 */
import { type CompileOptions, type Engine, updateOf } from '../../engine/engine.ts';
import { unetrpp } from '../../nets/index.ts';
import { differentiate, evaluate, lower, type Program, replaceOutputs, type Value } from '../../program/index.ts';
import { elementCount, type Shape, type Tensor } from '../../tensor.ts';
import { supervisedTarget } from '../../train/deepSupervision.ts';
import { crossEntropyLoss, softDiceLoss } from '../../train/losses.ts';
import type { LossSettings } from '../../train/lossSettings.ts';
import { nesterovSgd } from '../../train/optimizers.ts';
import { createTrainer, stepProgram, type TrainerSettings } from '../../train/trainer.ts';
import { lossProgram, runningStatistics } from '../../train/trainingProgram.ts';
import {
  compare,
  type Deviation,
  deviations,
  type ExpectedTensor,
  exactLimit,
  forwardLimit,
  gradientDeviation,
  gradientLimit,
  largestMagnitude,
  lossLimit,
  numbersOf,
} from './deviation.ts';
import { fillExactly, fillInteger } from './fill.ts';
import { imageOf, runOnce, type SmallSet, smallSettings, tapOf, weightsOf } from './unetrpp.ts';

interface LossParts {
  readonly ce: number;
  readonly dice_loss: number;
  readonly dice_loss_other_batch_dice: number;
}

interface FinalParameter {
  readonly sum: number;
  readonly l2: number;
  readonly index_name: string;
  readonly samples: readonly number[];
}

interface FinalBuffer {
  readonly sum: number;
  readonly l2: number;
  readonly first: readonly number[];
}

export interface TrainingSet extends SmallSet {
  readonly label: { readonly name: string; readonly shape: Shape; readonly classes: number };
  readonly batch_dice: boolean;
  readonly optimizer: { readonly lr: number; readonly clip_norm: number };
  readonly train_outputs: Readonly<Record<string, ExpectedTensor>>;
  readonly train_intermediates: Readonly<Record<string, ExpectedTensor>>;
  readonly loss_parts_step0: readonly LossParts[];
  readonly steps: readonly { readonly loss: number; readonly grad_norm_before_clip: number }[];
  readonly loss_after_3_steps_train_mode: number;
  readonly final_parameters: Readonly<Record<string, FinalParameter>>;
  /** `num_batches_tracked` is a number; no program keeps it. */
  readonly final_buffers: Readonly<Record<string, FinalBuffer | number>>;
}

type Stored = ReadonlyMap<string, Tensor>;

/** @param stored `train.outN`, `grad.NAME` and `running.NAME` of the set */
export async function verifyTraining(
  set: TrainingSet,
  stored: Stored,
  engine: Engine,
  options: CompileOptions,
): Promise<Deviation[]> {
  return [...(await firstStep(set, stored, engine, options)), ...(await threeSteps(set, engine, options))];
}

const labelOf = ({ variant }: TrainingSet) => `training ${variant}`;

const lossOfSet = ({ batch_dice }: TrainingSet): LossSettings => ({
  of: { kind: 'softDiceCrossEntropy', batch: batch_dice },
  lowestHead: 'kept',
});

const targetOf = ({ label: { name, shape, classes } }: TrainingSet): Tensor<'float32'> => ({
  dtype: 'float32',
  shape,
  data: Float32Array.from(fillInteger(name, elementCount(shape), classes)),
});

const lossParts: readonly (keyof LossParts)[] = ['ce', 'dice_loss', 'dice_loss_other_batch_dice'];

/** One run gives the heads, the inner tensors, the parts of the loss, every gradient and the running statistics. */
function firstStepProgram(set: TrainingSet): Program {
  const network = unetrpp(smallSettings(set), { batch: set.input.shape[0], training: 'withoutDropout' });
  const step = differentiate(lossProgram(network, lossOfSet(set)), 'loss');
  return replaceOutputs(step, (outputs) => {
    const wanted: Record<string, Value> = { ...outputs, ...runningStatistics(network) };
    const target = step.inputs.find(({ name }) => name === 'target')!;
    [...network.outputs].forEach(([name, logits], head) => {
      wanted[name] = logits;
      const labels = supervisedTarget(target, logits.shape.slice(2));
      wanted[`ce.${head}`] = crossEntropyLoss(logits, labels);
      wanted[`dice_loss.${head}`] = softDiceLoss(logits, labels, { batch: set.batch_dice });
      wanted[`dice_loss_other_batch_dice.${head}`] = softDiceLoss(logits, labels, { batch: !set.batch_dice });
    });
    for (const name of Object.keys(set.train_intermediates)) wanted[tapOf(name)] = step.taps.get(tapOf(name))!;
    return wanted;
  });
}

async function firstStep(
  set: TrainingSet,
  stored: Stored,
  engine: Engine,
  options: CompileOptions,
): Promise<Deviation[]> {
  const label = labelOf(set);
  const feeds = new Map([...imageOf(set), ['target', targetOf(set)]]);
  const results = await runOnce(engine, firstStepProgram(set), weightsOf(set.parameters), options, feeds);
  const found = (name: string) => results.get(name)!.data;
  const rows: Deviation[] = [];
  for (const [name, expected] of Object.entries({ ...set.train_outputs, ...set.train_intermediates })) {
    rows.push(...deviations(label, name, results.get(tapOf(name))!, expected));
  }
  for (const head of Object.keys(set.train_outputs)) {
    const part = stored.get(`train.${head}`)!;
    const got = storedPart(results.get(head)!, part.shape);
    rows.push({ set: label, tensor: `${head} (whole)`, limit: forwardLimit, ...compare(got, numbersOf(part)) });
  }

  const loss = (tensor: string, got: ArrayLike<number>, wanted: number) =>
    rows.push({ set: label, tensor, family: 'losses', limit: lossLimit, ...compare(got, [wanted]) });
  set.loss_parts_step0.forEach((parts, head) => {
    for (const part of lossParts) loss(`${part} of head ${head + 1}`, found(`${part}.${head}`), parts[part]);
  });
  loss('loss', found('loss'), set.steps[0].loss);

  const gradients = [...stored].filter(([name]) => name.startsWith('grad.'));
  const largest = largestMagnitude(gradients.map(([, tensor]) => numbersOf(tensor)));
  for (const [name, tensor] of gradients) {
    const parameter = name.slice('grad.'.length);
    const got = found(`gradient.${parameter}`);
    const deviation = gradientDeviation(got, numbersOf(tensor), largest);
    rows.push({ set: label, tensor: `gradient of ${parameter}`, family: 'gradients', ...deviation });
  }
  for (const [name, tensor] of stored) {
    if (!name.startsWith('running.')) continue;
    const deviation = compare(found(`next.${name.slice('running.'.length)}`), numbersOf(tensor));
    rows.push({
      set: label,
      tensor: `${name} after the first forward`,
      family: 'running statistics after the first forward',
      limit: forwardLimit,
      ...deviation,
    });
  }
  return rows;
}

/** The first sample of a batch, every second slice where the references keep half of them. [n, c, d, h, w] -> [1, c, d', h, w] */
function storedPart({ data, shape }: Tensor<'float32'>, part: Shape): Float32Array {
  if (part[0] === shape[0] && part[2] === shape[2]) return data;
  const [, channels, depth, ...plane] = shape;
  const size = elementCount(plane);
  const step = depth / part[2];
  const out = new Float32Array(elementCount(part));
  for (let row = 0; row < channels * part[2]; row++) {
    const slice = Math.floor(row / part[2]) * depth + (row % part[2]) * step;
    out.set(data.subarray(slice * size, (slice + 1) * size), row * size);
  }
  return out;
}

/** Every array that a step changes, by name. */
type State = ReadonlyMap<string, Float64Array>;

interface ExactStep {
  readonly before: State;
  readonly after: State;
  readonly loss: number;
  readonly gradientNorm: number;
}

/** The steps in float64, by the operators' definitions; and one step more, whose loss is that of the last state. */
function exactSteps(set: TrainingSet, lowerings: CompileOptions['lowerings']): ExactStep[] {
  const program = lower(stepProgram(smallSettings(set), trainerSettings(set)), 'cpu', lowerings);
  const { input: image, label } = set;
  const feeds = new Map<string, Tensor>([
    ['image', float64(image.shape, fillExactly(image.name, elementCount(image.shape), image.lo, image.hi))],
    ['target', float64(label.shape, fillInteger(label.name, elementCount(label.shape), label.classes))],
    ['learningRate', float64([1], [set.optimizer.lr])],
  ]);
  const ranges = new Map(set.parameters.map(({ name, lo, hi }) => [name, [lo, hi]]));
  let state: State = new Map(
    program.parameters.map(({ name, shape }) => {
      // The optimizer's own begin at 0.
      const [lo, hi] = ranges.get(name) ?? [0, 0];
      return [name, fillExactly(name, elementCount(shape), lo, hi)];
    }),
  );
  const shapes = new Map(program.parameters.map(({ name, shape }) => [name, shape]));
  return Array.from({ length: set.steps.length + 1 }, () => {
    const before = state;
    const given = [...before].map(([name, data]): [string, Tensor] => [name, float64(shapes.get(name)!, data)]);
    const results = evaluate(program, new Map([...given, ...feeds]));
    const found = (name: string) => results.get(name)!.data;
    state = new Map([...before.keys()].map((name) => [name, found(updateOf(name)) as Float64Array]));
    return { before, after: state, loss: found('loss')[0], gradientNorm: found('gradientNorm')[0] };
  });
}

const float64 = (shape: Shape, data: ArrayLike<number>): Tensor => ({
  dtype: 'float64',
  shape,
  data: Float64Array.from(data),
});

/**
 * The whole way in float64, against the references; and each step in the engine's float32 from where the way in float64
 * stood before it. Three steps of float32 on end would show how much this network magnifies rounding: see ARCHITECTURE.md.
 */
async function threeSteps(set: TrainingSet, engine: Engine, options: CompileOptions): Promise<Deviation[]> {
  const label = labelOf(set);
  const rows: Deviation[] = [];
  const row = (tensor: string, family: string, limit: number, got: ArrayLike<number>, wanted: ArrayLike<number>) =>
    rows.push({ set: label, tensor, family, limit, ...compare(got, wanted) });
  const way = exactSteps(set, options.lowerings);
  for (const [name, limits] of [
    ['float64', { loss: exactLimit, norm: exactLimit }],
    ['float32', { loss: lossLimit, norm: gradientLimit.relative }],
  ] as const) {
    const steps = name === 'float64' ? way : await stepsFrom(way, set, engine, options);
    for (const [index, { loss, grad_norm_before_clip }] of set.steps.entries()) {
      const step = steps[index];
      row(`loss of step ${index + 1}`, `losses of steps, ${name}`, limits.loss, [step.loss], [loss]);
      const norms = [[step.gradientNorm], [grad_norm_before_clip]] as const;
      row(`gradient norm of step ${index + 1}`, `gradient norms, ${name}`, limits.norm, ...norms);
      if (name === 'float32') rows.push(...changeDeviations(label, index, step.after, way[index].after));
    }
    const last = [[steps[set.steps.length].loss], [set.loss_after_3_steps_train_mode]] as const;
    row('loss after three steps', `losses of steps, ${name}`, limits.loss, ...last);
  }
  rows.push(...stateDeviations(set, way[set.steps.length].before));
  return rows;
}

/** Momenta are sums of gradients and as exact as these; weights and statistics are forward values. */
function changeDeviations(set: string, index: number, got: State, wanted: State): Deviation[] {
  return [...wanted].map(([name, data]) => {
    const [family, limit] = name.startsWith('momentum.')
      ? (['momenta after a step, float32', gradientLimit.relative] as const)
      : (['weights and statistics after a step, float32', forwardLimit] as const);
    return { set, tensor: `${name} after step ${index + 1}`, family, limit, ...compare(got.get(name)!, data) };
  });
}

/** Each step by the trainer, from where another way stood. */
async function stepsFrom(
  way: readonly ExactStep[],
  set: TrainingSet,
  engine: Engine,
  options: CompileOptions,
): Promise<ExactStep[]> {
  const initial = weightsOf(set.parameters);
  const trainer = await createTrainer(engine, smallSettings(set), trainerSettings(set), { ...options, initial });
  const batch = { image: imageOf(set).get('image')!.data, target: targetOf(set).data };
  try {
    const steps: ExactStep[] = [];
    for (const [index, { before }] of way.entries()) {
      for (const [name, { data }] of trainer.state) data.set(before.get(name)!);
      const { loss, gradientNorm } = await trainer.step(batch, index, set.optimizer.lr);
      const after = new Map([...trainer.state].map(([name, { data }]) => [name, Float64Array.from(data)]));
      steps.push({ before, after, loss, gradientNorm });
    }
    return steps;
  } finally {
    await trainer.dispose();
  }
}

const trainerSettings = (set: TrainingSet): TrainerSettings => ({
  batch: set.input.shape[0],
  loss: lossOfSet(set),
  optimizer: nesterovSgd,
  clipNorm: set.optimizer.clip_norm,
  average: null,
  dropout: false,
  seed: 0,
});

function stateDeviations(set: TrainingSet, state: State): Deviation[] {
  const rows: Deviation[] = [];
  const row = (family: string, name: string, got: readonly number[], wanted: readonly number[]) =>
    rows.push({ set: labelOf(set), tensor: name, family, limit: exactLimit, ...compare(got, wanted) });
  const parameters = 'parameters after three steps, float64';
  for (const [name, { index_name, samples, sum, l2 }] of Object.entries(set.final_parameters)) {
    const data = state.get(name)!;
    const sampled = fillInteger(index_name, samples.length, data.length).map((index) => data[index]);
    row(parameters, `${name} (samples)`, sampled, samples);
    row(parameters, `${name} (whole: l2, sum)`, ...whole(data, l2, sum));
  }
  const statistics = 'running statistics after three steps, float64';
  for (const [name, expected] of Object.entries(set.final_buffers)) {
    if (typeof expected === 'number') continue;
    const data = state.get(name)!;
    const { first, l2, sum } = expected;
    row(statistics, `${name} (first)`, [...data.slice(0, first.length)], first);
    row(statistics, `${name} (whole: l2, sum)`, ...whole(data, l2, sum));
  }
  return rows;
}

/** A sum may cancel: its deviation counts against sqrt(n) l2, which it cannot exceed. */
function whole(data: Float64Array, l2: number, sum: number): [number[], number[]] {
  let squares = 0;
  let total = 0;
  for (const value of data) {
    squares += value * value;
    total += value;
  }
  const scale = Math.sqrt(data.length) * l2;
  return [
    [Math.sqrt(squares) / l2, 1 + (total - sum) / scale],
    [1, 1],
  ];
}
