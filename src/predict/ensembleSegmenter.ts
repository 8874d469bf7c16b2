/**
 * Scan in, label map out, by several models together: the mean of their probabilities on the scan's grid decides, as
 * nnU-Net's ensembles do. Each model has its own plan (spacing, patch, normalization, convention) and brings its answers to
 * the scan's grid as it would alone; logits become probabilities there, before they are averaged.
 *
 * Models whose plans name the same axes go through the scan side by side, the one that is furthest behind first, and slices
 * are decided as they are finished: a scan of any size fits (averaging.ts). Where axes differ, so do slices, and the
 * probabilities of the whole scan are held.
 */
import type { Plan } from '../dataset/index.ts';
import type { Engine } from '../engine/engine.ts';
import { keepLargestComponent, reorient, reorientLike, type Volume } from '../volume/index.ts';
import { averaging } from './averaging.ts';
import type { Ensemble } from './ensemble.ts';
import { type OpenNetwork, openNetwork, type SegmenterOptions } from './network.ts';
import { type Prepared, prepare } from './prepare.ts';
import { type Clock, stopwatch } from './progress.ts';
import { connectivityOf, decidedScan, decideRegions, type Restored, restoration } from './restore.ts';
import { checkChannels, type Segmenter, type SegmentOptions } from './segmentation.ts';
import { largestClass } from './tiles.ts';

/** A network with the scan as it sees it. */
interface Ready {
  readonly network: OpenNetwork;
  readonly turned: Volume;
  readonly prepared: Prepared;
}

/** @throws InputError as `createSegmenter` */
export async function createEnsembleSegmenter(
  engine: Engine,
  { members, ...description }: Ensemble,
  options: SegmenterOptions = {},
): Promise<Segmenter> {
  const networks: OpenNetwork[] = [];
  const dispose = async () => {
    for (const network of networks) await network.dispose();
  };
  try {
    for (const member of members) networks.push(await openNetwork(engine, member, options));
  } catch (error) {
    await dispose();
    throw error;
  }
  const plans = networks.map(({ plan }) => plan);
  const { classes } = networks[0].model.settings;
  const { keepLargestComponents: largest, labels: names } = description;

  return {
    model: { ...description, members: networks.map(({ model }) => model) },
    device: networks[0].device,

    async segment(volume, { onProgress, signal, probabilities: wanted = false } = {}) {
      signal?.throwIfAborted();
      for (const { model } of networks) checkChannels(model, volume);
      const clock = stopwatch();
      onProgress?.({ stage: 'preparing', done: 0, total: 0 });
      const ready = prepareAll(networks, volume);
      clock.lap('preparing');
      const segmentTogether = sameAxes(plans) ? sideBySide : oneAfterTheOther;
      const { labels, probabilities } = await segmentTogether(ready, volume, { onProgress, signal }, clock, {
        classes,
        wanted,
        largest,
      });
      clock.lap('restoring');
      const notices = [
        ...ready.flatMap(({ prepared }) => prepared.notices),
        ...networks.flatMap((network) => network.notices),
      ];
      return {
        labels: { ...labels, labels: names },
        probabilities,
        notices: [...new Set([...description.notices, ...notices])],
        seconds: clock.seconds,
      };
    },

    dispose,
  };
}

/** Whether slices of the cropped grid are the same ones in all plans. */
export const sameAxes = (plans: readonly Plan[]): boolean =>
  new Set(plans.map(({ orientation, transposeForward }) => JSON.stringify([orientation, transposeForward]))).size === 1;

/** Models whose plans prepare a scan in the same way share it. */
function prepareAll(networks: readonly OpenNetwork[], volume: Volume): Ready[] {
  const known = new Map<string, Omit<Ready, 'network'>>();
  return networks.map((network) => {
    const { orientation, transposeForward, spacing, channels, convention, resampling } = network.plan;
    const key = JSON.stringify([orientation, transposeForward, spacing, channels, convention, resampling]);
    let ready = known.get(key);
    if (!ready) {
      const turned = orientation === null ? volume : reorient(volume, orientation);
      ready = { turned, prepared: prepare(turned, network.plan) };
      known.set(key, ready);
    }
    return { ...ready, network };
  });
}

interface Deciding {
  readonly classes: number;
  readonly wanted: boolean;
  readonly largest: readonly (readonly number[])[];
}

/** Labels, and probabilities where they are wanted, on the scan's grid. */
type Together = (
  ready: readonly Ready[],
  volume: Volume,
  callbacks: Pick<SegmentOptions, 'onProgress' | 'signal'>,
  clock: Clock,
  deciding: Deciding,
) => Promise<Restored>;

const sideBySide: Together = async (ready, volume, { onProgress, signal }, clock, { classes, wanted, largest }) => {
  const [{ prepared, turned, network }] = ready;
  const decided = decidedScan(prepared, turned, network.plan, classes, wanted);
  const members = ready.map((each) => ({ prepared: each.prepared, plan: each.network.plan }));
  const averages = averaging(members, classes, (start, size, means) => {
    decided.set(start, size, decideMeans(means, network.plan, classes), means);
  });
  const steps = ready.map((each, index) => each.network.blend(each.prepared, averages.takes[index], clock, signal));
  await runAll(steps, averages.ready, onProgress, () => {
    clock.lap('blending');
    averages.advance();
    clock.lap('restoring');
  });
  clock.lap('blending');
  signal?.throwIfAborted();
  onProgress?.({ stage: 'restoring', done: 0, total: 0 });
  const restored = decided.finish(largest, connectivityOf(members.map(({ plan }) => plan)));
  return {
    labels: reorientLike(restored.labels, volume),
    probabilities: restored.probabilities && reorientLike(restored.probabilities, volume),
  };
};

type Steps = ReturnType<OpenNetwork['blend']>;

/** Runs all to their ends, always the one that is furthest behind, so that no slice waits long for the others. */
async function runAll(
  steps: readonly Steps[],
  ready: (index: number) => number,
  onProgress: SegmentOptions['onProgress'],
  afterStep: () => void,
): Promise<void> {
  const counts: { done: number; total: number }[] = [];
  const report = () => {
    const sum = (of: 'done' | 'total') => counts.reduce((all, each) => all + each[of], 0);
    onProgress?.({ stage: 'network', done: sum('done'), total: sum('total') });
  };
  // Before its first run a network says how many tiles there are.
  for (const each of steps) counts.push((await each.next()).value!);
  report();
  const running = new Set(steps.keys());
  while (running.size > 0) {
    const next = [...running].reduce((least, each) => (ready(each) < ready(least) ? each : least));
    const { value } = await steps[next].next();
    afterStep();
    if (!value) {
      running.delete(next);
      continue;
    }
    counts[next] = value;
    report();
  }
}

const oneAfterTheOther: Together = async (ready, volume, { onProgress, signal }, clock, deciding) => {
  const { classes, wanted, largest } = deciding;
  let mean: Volume<Float32Array> | undefined;
  const counts = ready.map(() => ({ done: 0, total: 0 }));
  for (const [index, { network, turned, prepared }] of ready.entries()) {
    const plan = { ...network.plan, keepLargestComponents: undefined };
    const restoring = restoration(prepared, turned, plan, classes, { probabilities: true });
    for await (const count of network.blend(prepared, restoring.take, clock, signal)) {
      counts[index] = count;
      const done = counts.reduce((sum, each) => sum + each.done, 0);
      // Of the models to come nobody knows; the first one is the best guess.
      const total = counts.reduce((sum, each) => sum + (each.total || counts[0].total), 0);
      onProgress?.({ stage: 'network', done, total });
    }
    clock.lap('blending');
    const own = reorientLike(restoring.finish().probabilities!, volume);
    if (mean) for (let i = 0; i < mean.data.length; i++) mean.data[i] += own.data[i];
    else mean = own;
    clock.lap('restoring');
  }
  signal?.throwIfAborted();
  onProgress?.({ stage: 'restoring', done: 0, total: 0 });
  const { data, ...grid } = mean!;
  for (let i = 0; i < data.length; i++) data[i] /= ready.length;
  const plans = ready.map(({ network }) => network.plan);
  let labels = decideMeans(data, plans[0], classes);
  for (const set of largest) {
    labels = keepLargestComponent(labels, grid.shape, set, { connectivity: connectivityOf(plans) }).data;
  }
  return { labels: { ...grid, channels: 1, data: labels }, probabilities: wanted ? mean : undefined };
};

/** @param means [classes, voxels], probabilities */
function decideMeans(means: Float32Array, { regionsClassOrder }: Plan, classes: number) {
  const voxels = means.length / classes;
  const all = [...Array(classes).keys()];
  const of = (k: number) => means.subarray(k * voxels, (k + 1) * voxels);
  return regionsClassOrder ? decideRegions(regionsClassOrder, 0.5, voxels, all, of) : largestClass(all, of);
}
