/**
 * Scan in, label map out, in the scan's own grid: the whole way of prediction in one place.
 *
 *   turn to the plan's orientation -> crop to the non-zero box -> transpose -> resample and normalize
 *   -> tiles -> [ resample back -> decide ], part by part as tiles are finished
 *   -> transpose back -> keep largest components -> paste -> turn back
 *
 * A segmenter holds one compiled network and takes any number of scans; `segmentOnce` is the short way for one. Of an
 * ensemble it holds all networks (ensembleSegmenter.ts).
 */
import type { Engine } from '../engine/engine.ts';
import { elementCount } from '../tensor.ts';
import { newShape, reorient, reorientLike, type Vector3, type Volume, voxelCount } from '../volume/index.ts';
import { slicesTogether } from './averaging.ts';
import { type Ensemble, type EnsembleDescription, isEnsemble, membersOf } from './ensemble.ts';
import { createEnsembleSegmenter, sameAxes } from './ensembleSegmenter.ts';
import type { Model, ModelDescription } from './model.ts';
import { openNetwork, predictionProgram, type SegmenterOptions } from './network.ts';
import { permuted, prepare } from './prepare.ts';
import { stopwatch } from './progress.ts';
import { restoration } from './restore.ts';
import { checkChannels, type Segmentation, type Segmenter, type SegmentOptions } from './segmentation.ts';
import { tileStarts } from './tiles.ts';

/** Bytes that the arrays of one scan take at their fullest: scan, network's image, sums that are open, labels. */
export function scanMemory(
  model: ModelDescription | EnsembleDescription,
  volume: Volume,
  options: SegmenterOptions & SegmentOptions = {},
): number {
  const members = (isEnsemble(model) ? model.members : [model]).map((each) => memberMemory(each, volume, options));
  const { classes } = (isEnsemble(model) ? model.members[0] : model).settings;
  const voxels = voxelCount(volume);
  const most = (of: keyof (typeof members)[number]) => Math.max(...members.map((each) => each[of]));
  const sum = (of: keyof (typeof members)[number]) => members.reduce((all, each) => all + each[of], 0);
  const wanted = options.probabilities ? 8 * classes * voxels : 0;
  // An ensemble whose axes differ holds the mean and one model's probabilities, on two grids.
  const whole = isEnsemble(model) && !sameAxes(model.members.map(({ plan }) => plan)) ? 12 * classes * voxels : 0;
  // Side by side, answers wait on the networks' grids for the models that are behind, and few slices of the scan's are averaged.
  const together = isEnsemble(model) && whole === 0;
  const averaged = together ? 2 * most('slices') : 0;
  const blending = (together ? sum('sums') + sum('waiting') : most('sums')) + averaged + voxels * 3;
  return volume.data.byteLength + sum('image') + Math.max(most('preparing'), blending) + Math.max(wanted, whole);
}

/**
 * Bytes for one model: the network's image, what preparing it takes besides, open sums; and in an ensemble a row of answers
 * that wait for others, and the slices of the scan that are averaged at a time.
 */
function memberMemory(
  { plan, settings }: ModelDescription,
  volume: Volume,
  { step, patch: wanted }: SegmenterOptions,
): { image: number; preparing: number; sums: number; waiting: number; slices: number } {
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
  return {
    image: 4 * elementCount(shape) * volume.channels,
    preparing,
    sums: 4 * open * (settings.classes + 1),
    waiting: 4 * depth * h * w * settings.classes,
    slices: 4 * settings.classes * Math.min(own[0], slicesTogether) * own[1] * own[2],
  };
}

/** Peak bytes of compiling and running the network, before anything is compiled; a scan's arrays come on top (`scanMemory`). */
export function networkMemory(engine: Engine, model: Model | Ensemble, options: SegmenterOptions = {}): number {
  const estimate = (one: Model) => {
    const settings = { ...one.settings, patch: [...(options.patch ?? one.settings.patch)] };
    return engine.memoryEstimate(predictionProgram(settings, one.plan, options.batch), options);
  };
  return membersOf(model).reduce((sum, each) => sum + estimate(each), 0);
}

/** @throws InputError for an illegal patch, a step that is none, or a device that is not there */
export async function createSegmenter(
  engine: Engine,
  model: Model | Ensemble,
  options: SegmenterOptions = {},
): Promise<Segmenter> {
  if (isEnsemble(model)) return createEnsembleSegmenter(engine, model, options);
  const network = await openNetwork(engine, model, options);
  const { plan } = network;
  const { settings, labels: names } = network.model;
  return {
    model: network.model,
    device: network.device,

    async segment(volume, { onProgress, signal, probabilities: wanted = false } = {}) {
      signal?.throwIfAborted();
      checkChannels(network.model, volume);
      const clock = stopwatch();
      onProgress?.({ stage: 'preparing', done: 0, total: 0 });
      const turned = plan.orientation === null ? volume : reorient(volume, plan.orientation);
      const prepared = prepare(turned, plan);
      clock.lap('preparing');

      const restoring = restoration(prepared, turned, plan, settings.classes, { probabilities: wanted });
      for await (const { done, total } of network.blend(prepared, restoring.take, clock, signal)) {
        onProgress?.({ stage: 'network', done, total });
      }
      clock.lap('blending');

      signal?.throwIfAborted();
      onProgress?.({ stage: 'restoring', done: 0, total: 0 });
      const { labels, probabilities } = restoring.finish();
      const result = { ...reorientLike(labels, volume), labels: names };
      clock.lap('restoring');
      return {
        labels: result,
        probabilities: probabilities && reorientLike(probabilities, volume),
        notices: [...prepared.notices, ...network.notices],
        seconds: clock.seconds,
      };
    },

    dispose: network.dispose,
  };
}

/** Compiles, segments one scan and lets go. */
export async function segmentOnce(
  engine: Engine,
  model: Model | Ensemble,
  volume: Volume,
  options: SegmenterOptions & SegmentOptions = {},
): Promise<Segmentation> {
  for (const each of membersOf(model)) checkChannels(each, volume);
  const segmenter = await createSegmenter(engine, model, options);
  try {
    return await segmenter.segment(volume, options);
  } finally {
    await segmenter.dispose();
  }
}
