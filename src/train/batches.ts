/**
 * From prepared cases to what a training step takes: which cases a batch is made of, where its patches lie and how they are
 * augmented. A batch follows from the run's seed, its own number and the cases alone; so any thread can draw it, and a run
 * that was broken off goes on with the batches that it would have had.
 */
import {
  type Augmentation,
  type AugmentationSettings,
  augment,
  cutPatch,
  drawAugmentation,
  drawCorner,
  drawForegroundCorner,
  type ForegroundLocations,
  integer,
  isForegroundSample,
  loadedPatchShape,
  type Patch,
  type RandomStream,
  randomStream,
} from '../dataset/index.ts';
import type { Vector3 } from '../volume/index.ts';

/** A prepared case: what the network is trained on, in memory. */
export interface TrainingCase {
  readonly name: string;
  /** The prepared image and its labels on the same grid; labels are -1 outside of the non-zero mask. */
  readonly patch: Patch;
  readonly locations: ForegroundLocations;
}

export interface Batch {
  /** `[b, c, d, h, w]` */
  readonly image: Float32Array;
  /** `[b, 1, d, h, w]`: label values from 0 on. */
  readonly target: Float32Array;
  /** Names of the cases, one a sample. */
  readonly cases: readonly string[];
}

export interface BatchSettings {
  /** Voxels along d, h, w. */
  readonly patch: Vector3;
  /** Samples. */
  readonly batch: number;
  readonly seed: number;
  /** Undefined: no augmentation. */
  readonly augmentation: AugmentationSettings | undefined;
  /** The image is 0 outside the case's mask: where the plan normalizes by the mask. */
  readonly zeroOutside: boolean;
  /** Share of the samples that lie around the foreground; nnU-Net's 0.33 when left out. */
  readonly foregroundShare?: number;
}

/**
 * Batch number `index` of a run.
 * @throws RangeError when there are no cases
 */
export function drawBatch(cases: readonly TrainingCase[], settings: BatchSettings, index: number): Batch {
  if (cases.length === 0) throw new RangeError('there are no cases to draw a batch from');
  const { batch, patch } = settings;
  const voxels = patch[0] * patch[1] * patch[2];
  const { channels } = cases[0].patch;
  const image = new Float32Array(batch * channels * voxels);
  const target = new Float32Array(batch * voxels);
  const names = Array.from({ length: batch }, (_, sample) => {
    const { name, patch: drawn } = drawSample(cases, settings, index, sample);
    image.set(drawn.image, sample * channels * voxels);
    target.set(drawn.labels, sample * voxels);
    return name;
  });
  return { image, target, cases: names };
}

/**
 * One sample of a batch, as the network sees it: no label is below 0.
 * @throws Error with the case's name when something goes wrong with its patch
 */
export function drawSample(
  cases: readonly TrainingCase[],
  settings: BatchSettings,
  index: number,
  sample: number,
): { readonly name: string; readonly patch: Patch } {
  const stream = randomStream(settings.seed, index, sample);
  const chosen = cases[integer(stream, 0, cases.length - 1)];
  const { name } = chosen;
  try {
    return {
      name,
      patch: drawPatch(chosen, settings, isForegroundSample(sample, settings.batch, settings.foregroundShare), stream),
    };
  } catch (cause) {
    throw new Error(`a patch of the case ${name} for batch ${index} could not be made: ${cause}`, { cause });
  }
}

function drawPatch(
  { patch: whole, locations }: TrainingCase,
  { patch: shape, augmentation: settings, zeroOutside }: BatchSettings,
  foreground: boolean,
  stream: RandomStream,
): Patch {
  const loaded = settings ? loadedPatchShape(shape, settings) : shape;
  const place = { shape: whole.shape, loaded, patch: shape };
  const corner = foreground ? drawForegroundCorner(stream, place, locations) : drawCorner(stream, place);
  const augmentation = settings ? drawAugmentation(stream, settings, whole.channels) : unchanged;
  // Without a turn only the middle is looked at: of the loaded patch no more is cut out.
  const cut = augmentation.spatial ? loaded : shape;
  const [z, y, x] = corner.map((at, axis) => at + Math.floor((loaded[axis] - cut[axis]) / 2));
  return augment(cutPatch(whole, [z, y, x], cut), shape, augmentation, { zeroOutside });
}

/** What is done to a sample without augmentation: labels below 0 become background. */
const unchanged: Augmentation = { mirror: [false, false, false], inPlane: false };

/** Gives batches in the order of their numbers. */
export interface BatchSource {
  /** Rejects with what went wrong, and the case's name, when a batch could not be drawn. */
  next(): Promise<Batch>;
  /** Milliseconds that `next` had to wait for a batch, all together. */
  readonly waited: number;
  close(): Promise<void>;
}

/** Batches from number `from` on, drawn by the caller's own thread when they are asked for. */
export function inThisThread(cases: readonly TrainingCase[], settings: BatchSettings, from = 0): BatchSource {
  let index = from;
  let waited = 0;
  return {
    next: async () => {
      const start = performance.now();
      const batch = drawBatch(cases, settings, index++);
      waited += performance.now() - start;
      return batch;
    },
    get waited() {
      return waited;
    },
    close: async () => {},
  };
}
