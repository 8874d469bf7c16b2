/**
 * Scan in, label map out, in the scan's own grid: the whole way of prediction in one place.
 *
 *   turn to the plan's orientation -> crop to the non-zero box -> transpose -> resample and normalize
 *   -> tiles -> [ resample back -> decide ], part by part as tiles are finished
 *   -> transpose back -> keep largest components -> paste -> turn back
 *
 * A segmenter holds one compiled network and takes any number of scans; `segmentOnce` is the short way for one.
 */
import type { Plan } from '../dataset/index.ts';
import type { CompileOptions, Engine, Executable } from '../engine/engine.ts';
import { InputError } from '../errors.ts';
import { changePatch, type UnetrppSettings, unetrpp } from '../nets/index.ts';
import { type Program, replaceOutputs, sigmoid, softmax } from '../program/index.ts';
import { elementCount, type Shape, showShape, type Tensor } from '../tensor.ts';
import {
  type LabelMap,
  newShape,
  reorient,
  reorientLike,
  type Vector3,
  type Volume,
  voxelCount,
} from '../volume/index.ts';
import { airDetector } from './air.ts';
import type { Model, ModelDescription } from './model.ts';
import { permuted, prepare } from './prepare.ts';
import type { Progress } from './progress.ts';
import { restoration } from './restore.ts';
import { blendTiles, tileStarts } from './tiles.ts';

export interface SegmenterOptions extends CompileOptions {
  /** Average over mirror images too: up to 8 times the work, slightly better masks. Default false. */
  readonly mirror?: boolean;
  /** Distance of two tiles as a fraction of the patch. Default: the plan's. */
  readonly step?: number;
  /** Another input size than the network was trained at; its token tables are interpolated, with a notice. */
  readonly patch?: Shape;
  /** Tiles in one run of the network; more than 1 pays on a GPU. Default 1. */
  readonly batch?: number;
  /** Do not ask the network about tiles that hold only air (air.ts says what that is). Default false. */
  readonly skipEmpty?: boolean;
}

export interface SegmentOptions {
  readonly onProgress?: (progress: Progress) => void;
  /** Aborting ends the work before the next run of the network, with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Also give the probability of every output on the scan's grid; memory for as many volumes of float32. */
  readonly probabilities?: boolean;
}

export interface Segmentation {
  /** On the scan's grid, with the scan's geometry, as the smallest integers. */
  readonly labels: LabelMap<Uint8Array | Uint16Array>;
  /** Channels are the model's outputs: its labels in order, or its regions. */
  readonly probabilities: Volume<Float32Array> | undefined;
  /** What was assumed or changed, for the user to see. */
  readonly notices: readonly string[];
  /** Seconds spent on cropping, resampling and normalizing; in the network; on blending; on the way back to the scan. */
  readonly seconds: Readonly<Record<'preparing' | 'network' | 'blending' | 'restoring', number>>;
}

export interface Segmenter {
  /** The weights are the runtime's now; who lets go of the model frees its copy of them. */
  readonly model: ModelDescription;
  readonly device: Executable['device'];
  segment(volume: Volume, options?: SegmentOptions): Promise<Segmentation>;
  dispose(): Promise<void>;
}

/** Bytes that the arrays of one scan take at their fullest: scan, network's image, sums that are open, labels. */
export function scanMemory(
  model: ModelDescription,
  volume: Volume,
  { step, patch: wanted, probabilities = false }: SegmenterOptions & SegmentOptions = {},
): number {
  const { plan, settings } = model;
  const spacing: Vector3 = [volume.spacing[2], volume.spacing[1], volume.spacing[0]];
  const turned = permuted(spacing, plan.transposeForward);
  const own = permuted(volume.shape, plan.transposeForward);
  const shape = newShape(own, turned, plan.spacing ?? turned);
  const patch = (wanted ?? plan.patch) as unknown as Vector3;
  const [d, h, w] = shape;
  // Sums stay open where the next row of tiles reaches, and for the row at work; slices that are to be resampled wait for
  // each other.
  const depth = Math.min(d, patch[0]);
  const resampled = shape.some((length, axis) => length !== own[axis]);
  const rows = tileStarts(Math.max(d, patch[0]), patch[0], step ?? plan.inference.step);
  const waiting = resampled || rows.length === 1 ? depth : patch[0] - (rows[1] - rows[0]);
  const open = waiting * h * w + depth * Math.min(h, patch[1]) * w;
  // While it is prepared a scan stands there twice, with two masks of bytes and two more arrays for a channel.
  const preparing = volume.data.byteLength + voxelCount(volume) * 6 + 4 * elementCount(shape);
  const blending = 4 * open * (settings.classes + 1) + voxelCount(volume) * 3;
  const kept = volume.data.byteLength + 4 * elementCount(shape) * volume.channels;
  return kept + Math.max(preparing, blending) + (probabilities ? 8 * settings.classes * voxelCount(volume) : 0);
}

/** Peak bytes of compiling and running the network, before anything is compiled; a scan's arrays come on top (`scanMemory`). */
export function networkMemory(engine: Engine, model: ModelDescription, options: SegmenterOptions = {}): number {
  const settings = { ...model.settings, patch: [...(options.patch ?? model.settings.patch)] };
  return engine.memoryEstimate(predictionProgram(settings, model.plan, options.batch), options);
}

/** The network, ending in what tiles are averaged by: probabilities in nnU-Net v1, logits in v2. */
function predictionProgram(settings: UnetrppSettings, plan: Plan, batch = 1): Program {
  const program = unetrpp(settings, { outputs: 'first', batch });
  if (plan.convention === 'nnunet-v2') return program;
  return replaceOutputs(program, ({ out1 }) => ({ out1: plan.regions ? sigmoid(out1) : softmax(out1, 1) }));
}

/** What a tile of air is answered with: background for certain. */
function airAnswer(plan: Plan, classes: number): number[] {
  if (plan.convention === 'nnunet-v1')
    return Array.from({ length: classes }, (_, k) => (k === 0 && !plan.regions ? 1 : 0));
  // Logits: a probability of 1 - 2e-9.
  return Array.from({ length: classes }, (_, k) => (plan.regions ? -20 : k === 0 ? 20 : 0));
}

/** @throws InputError for an illegal patch, a step that is none, or a device that is not there */
export async function createSegmenter(
  engine: Engine,
  { weights: given, ...model }: Model,
  options: SegmenterOptions = {},
): Promise<Segmenter> {
  const { settings, weights, notice } = changePatch(model.settings, given, options.patch ?? model.settings.patch);
  const plan: Plan = { ...model.plan, patch: settings.patch as unknown as Plan['patch'] };
  const step = options.step ?? plan.inference.step;
  // Throws for a step that is none, before anything is compiled.
  tileStarts(1, 1, step);
  const { batch = 1 } = options;
  if (!(Number.isInteger(batch) && batch > 0)) {
    throw new InputError(`The batch is ${batch}; give the number of tiles in one run of the network, 1 or more.`);
  }
  const program = predictionProgram(settings, plan, batch);
  const executable = await engine.compile(program, weights, options);
  const output = [...program.outputs.keys()][0];
  const input = program.inputs[0];

  const forward = async (tile: Float32Array) => {
    const image: Tensor = { dtype: 'float32', shape: input.shape, data: tile };
    return (await executable.run(new Map([[input.name, image]]))).get(output)!.data;
  };

  return {
    model,
    device: executable.device,

    async segment(volume, { onProgress, signal, probabilities: wanted = false } = {}) {
      signal?.throwIfAborted();
      checkChannels(model, volume);
      const clock = stopwatch();
      onProgress?.({ stage: 'preparing', done: 0, total: 0 });
      const turned = plan.orientation === null ? volume : reorient(volume, plan.orientation);
      const prepared = prepare(turned, plan);
      clock.lap('preparing');

      const { image, shape } = prepared;
      const restoring = restoration(prepared, turned, plan, settings.classes, { probabilities: wanted });
      await blendTiles(
        {
          image,
          shape,
          patch: plan.patch,
          step,
          mirrorAxes: options.mirror ? plan.inference.mirrorAxes : [],
          classes: settings.classes,
          weights: plan.convention === 'nnunet-v1' ? 'v1' : 'v2',
          batch,
          skip: options.skipEmpty
            ? { isEmpty: airDetector(image, shape), answer: airAnswer(plan, settings.classes) }
            : undefined,
        },
        async (tiles) => {
          clock.lap('blending');
          const answer = await forward(tiles);
          clock.lap('network');
          return answer;
        },
        (part) => {
          clock.lap('blending');
          restoring.take(part);
          clock.lap('restoring');
        },
        { onTile: (done, total) => onProgress?.({ stage: 'network', done, total }), signal },
      );
      clock.lap('blending');

      signal?.throwIfAborted();
      onProgress?.({ stage: 'restoring', done: 0, total: 0 });
      const { labels, probabilities } = restoring.finish();
      const result = { ...reorientLike(labels, volume), labels: model.labels };
      clock.lap('restoring');
      return {
        labels: result,
        probabilities: probabilities && reorientLike(probabilities, volume),
        notices: [...prepared.notices, ...(notice ? [notice] : []), ...executable.notices],
        seconds: clock.seconds,
      };
    },

    dispose: () => executable.dispose(),
  };
}

/** Seconds by what they were spent on. */
function stopwatch() {
  const seconds = { preparing: 0, network: 0, blending: 0, restoring: 0 };
  let last = performance.now();
  return {
    seconds,
    /** The time since the last lap was spent on this. */
    lap(on: keyof typeof seconds) {
      const now = performance.now();
      seconds[on] += (now - last) / 1000;
      last = now;
    },
  };
}

function checkChannels(model: ModelDescription, volume: Volume): void {
  const wanted = model.plan.channels;
  if (volume.channels === wanted.length) return;
  const names = wanted.map(({ name }) => name).join(', ');
  throw new InputError(
    `The scan has ${volume.channels} channel${volume.channels === 1 ? '' : 's'} and the model ${model.name} takes ` +
      `${wanted.length} (${names}), on one grid of ${showShape(volume.shape)}; give one file for each channel.`,
  );
}

/** Compiles, segments one scan and lets go. */
export async function segmentOnce(
  engine: Engine,
  model: Model,
  volume: Volume,
  options: SegmenterOptions & SegmentOptions = {},
): Promise<Segmentation> {
  checkChannels(model, volume);
  const segmenter = await createSegmenter(engine, model, options);
  try {
    return await segmenter.segment(volume, options);
  } finally {
    await segmenter.dispose();
  }
}
