/**
 * Scan in, label map out, in the scan's own grid: the whole way of prediction in one place.
 *
 *   turn to the plan's orientation -> crop to the non-zero box -> transpose -> resample and normalize -> pad -> tiles
 *   -> unpad -> resample back -> decide -> keep largest components -> paste -> transpose back -> turn back
 *
 * A segmenter holds one compiled network and takes any number of scans; `segmentOnce` is the short way for one.
 */
import type { Plan } from '../dataset/index.ts';
import type { CompileOptions, Engine, Executable } from '../engine/engine.ts';
import { InputError } from '../errors.ts';
import { changePatch, unetrpp } from '../nets/index.ts';
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
import type { Model } from './model.ts';
import { permuted, prepare } from './prepare.ts';
import { decide, restoreProbabilities } from './restore.ts';
import { type Blending, blendTiles, pad, paddedShape, paddingFor, tileStarts, unpad } from './tiles.ts';

export interface SegmenterOptions extends CompileOptions {
  /** Average over mirror images too: up to 8 times the work, slightly better masks. Default false. */
  readonly mirror?: boolean;
  /** Distance of two tiles as a fraction of the patch. Default: the plan's. */
  readonly step?: number;
  /** Another input size than the network was trained at; its token tables are interpolated, with a notice. */
  readonly patch?: Shape;
}

export interface Progress {
  readonly stage: 'preparing' | 'network' | 'restoring';
  /** Of the network's runs; 0 of 0 in the other stages. */
  readonly done: number;
  readonly total: number;
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
}

export interface Segmenter {
  readonly model: Model;
  readonly device: Executable['device'];
  segment(volume: Volume, options?: SegmentOptions): Promise<Segmentation>;
  dispose(): Promise<void>;
}

/** Bytes that the arrays of one scan take at their fullest: scan, network's image, sums of all classes, result. */
export function scanMemory(model: Model, volume: Volume): number {
  const { plan, settings } = model;
  const spacing: Vector3 = [volume.spacing[2], volume.spacing[1], volume.spacing[0]];
  const turned = permuted(spacing, plan.transposeForward);
  const shape = newShape(permuted(volume.shape, plan.transposeForward), turned, plan.spacing ?? turned);
  const padding = paddingFor(shape, plan.patch);
  const isPadded = padding.before.some((n) => n > 0) || padding.after.some((n) => n > 0);
  // Padded sums are copied once when the padding is taken off; labels and two classes are on the scan's own grid.
  const onNetworkGrid =
    elementCount(paddedShape(shape, padding)) * (2 * volume.channels + 1 + settings.classes * (isPadded ? 2 : 1));
  return volume.data.byteLength + 4 * (onNetworkGrid + voxelCount(volume) * (volume.channels + 3));
}

/** Peak bytes of compiling and running the network, before anything is compiled; a scan's arrays come on top (`scanMemory`). */
export function networkMemory(engine: Engine, model: Model, options: SegmenterOptions = {}): number {
  const settings = { ...model.settings, patch: [...(options.patch ?? model.settings.patch)] };
  return engine.memoryEstimate(unetrpp(settings, { outputs: 'first' }), options);
}

/** @throws InputError for an illegal patch, a step that is none, or a device that is not there */
export async function createSegmenter(
  engine: Engine,
  model: Model,
  options: SegmenterOptions = {},
): Promise<Segmenter> {
  const { settings, weights, notice } = changePatch(
    model.settings,
    model.weights,
    options.patch ?? model.settings.patch,
  );
  const plan: Plan = { ...model.plan, patch: settings.patch as unknown as Plan['patch'] };
  const step = options.step ?? plan.inference.step;
  // Throws for a step that is none, before anything is compiled.
  tileStarts(1, 1, step);
  const program = unetrpp(settings, { outputs: 'first' });
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
      onProgress?.({ stage: 'preparing', done: 0, total: 0 });
      const turned = plan.orientation === null ? volume : reorient(volume, plan.orientation);
      const prepared = prepare(turned, plan);

      const padding = paddingFor(prepared.shape, plan.patch);
      const shape = paddedShape(prepared.shape, padding);
      const head = plan.regions ? 'sigmoid' : 'softmax';
      const blending: Blending = {
        image: pad(prepared.image, prepared.shape, padding),
        shape,
        patch: plan.patch,
        step,
        mirrorAxes: options.mirror ? plan.inference.mirrorAxes : [],
        classes: settings.classes,
        head,
        average: plan.convention === 'nnunet-v1' ? 'probabilities' : 'logits',
        weights: plan.convention === 'nnunet-v1' ? 'v1' : 'v2',
      };
      const onTile = (done: number, total: number) => onProgress?.({ stage: 'network', done, total });
      const values = unpad(await blendTiles(blending, forward, { onTile, signal }), prepared.shape, padding);

      signal?.throwIfAborted();
      onProgress?.({ stage: 'restoring', done: 0, total: 0 });
      const labels = reorientLike(decide(values, prepared, turned, plan, settings.classes), volume);
      let probabilities: Volume<Float32Array> | undefined;
      if (wanted) {
        probabilities = reorientLike(restoreProbabilities(values, prepared, turned, plan, settings.classes), volume);
      }
      return {
        labels: { ...labels, labels: model.labels },
        probabilities,
        notices: [...prepared.notices, ...(notice ? [notice] : [])],
      };
    },

    dispose: () => executable.dispose(),
  };
}

function checkChannels(model: Model, volume: Volume): void {
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
