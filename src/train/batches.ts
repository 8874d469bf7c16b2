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
  randomStream,
} from '../dataset/index.ts';
import type { Vector3 } from '../volume/index.ts';

/** A prepared case: what the network is trained on, in memory. */
export interface TrainingCase {
  readonly name: string;
  /** The prepared image and its labels on the same grid; labels are -1 outside of the non-zero mask. */
  readonly patch: Patch;
  readonly locations: ForegroundLocations;
  /** Some voxels that are not to be ignored, as flat indices; where a label is, and there are any. */
  readonly annotated?: Int32Array;
}

/** A prepared case whose voxels lie in files; patches of it are read when they are drawn. */
export interface StoredCase {
  readonly name: string;
  /** Voxels along d, h, w. */
  readonly shape: Vector3;
  readonly channels: number;
  readonly locations: ForegroundLocations;
  readonly annotated?: Int32Array;
  /** Where it is stored. */
  readonly folder: string;
}

/** Where a case's voxels are makes no difference to what is drawn. */
export type AnyCase = TrainingCase | StoredCase;

export const shapeOfCase = (each: AnyCase): Vector3 => ('patch' in each ? each.patch.shape : each.shape);
const channelsOf = (each: AnyCase): number => ('patch' in each ? each.patch.channels : each.channels);

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
  return joined(
    Array.from({ length: settings.batch }, (_, sample) => drawSample(cases, settings, index, sample)),
    settings,
  );
}

/**
 * The same batch of cases of which some are stored.
 * @param read gives the patch of a stored case that begins at a corner, as `cutPatch` does
 * @throws RangeError when there are no cases; Error with the case's name when something goes wrong with its patch
 */
export async function readBatch(
  cases: readonly AnyCase[],
  settings: BatchSettings,
  index: number,
  read: (stored: StoredCase, corner: Vector3, shape: Vector3) => Promise<Patch>,
): Promise<Batch> {
  const samples: Sample[] = [];
  for (let sample = 0; sample < settings.batch; sample++) {
    const place = choosePlace(cases, settings, index, sample);
    const { chosen, corner, cut } = place;
    try {
      const patch = 'patch' in chosen ? cutPatch(chosen.patch, corner, cut) : await read(chosen, corner, cut);
      samples.push({ name: chosen.name, patch: finish(patch, place, settings) });
    } catch (cause) {
      throw unmade(chosen.name, index, cause);
    }
  }
  return joined(samples, settings);
}

interface Sample {
  readonly name: string;
  readonly patch: Patch;
}

function joined(samples: readonly Sample[], { patch }: BatchSettings): Batch {
  const voxels = patch[0] * patch[1] * patch[2];
  const { channels } = samples[0].patch;
  const image = new Float32Array(samples.length * channels * voxels);
  const target = new Float32Array(samples.length * voxels);
  for (const [index, { patch: drawn }] of samples.entries()) {
    image.set(drawn.image, index * channels * voxels);
    target.set(drawn.labels, index * voxels);
  }
  return { image, target, cases: samples.map(({ name }) => name) };
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
): Sample {
  const place = choosePlace(cases, settings, index, sample);
  const { chosen, corner, cut } = place;
  try {
    return { name: chosen.name, patch: finish(cutPatch(chosen.patch, corner, cut), place, settings) };
  } catch (cause) {
    throw unmade(chosen.name, index, cause);
  }
}

const unmade = (name: string, index: number, cause: unknown) =>
  new Error(`a patch of the case ${name} for batch ${index} could not be made: ${cause}`, { cause });

/** What is drawn for a sample before a voxel is looked at. */
interface Place<C extends AnyCase> {
  readonly chosen: C;
  /** First voxel to cut out, and how many along each axis. */
  readonly corner: Vector3;
  readonly cut: Vector3;
  readonly augmentation: Augmentation;
}

function choosePlace<C extends AnyCase>(
  cases: readonly C[],
  { seed, batch, foregroundShare, patch: shape, augmentation: settings }: BatchSettings,
  index: number,
  sample: number,
): Place<C> {
  if (cases.length === 0) throw new RangeError('there are no cases to draw a batch from');
  const stream = randomStream(seed, index, sample);
  const chosen = cases[integer(stream, 0, cases.length - 1)];
  try {
    const loaded = settings ? loadedPatchShape(shape, settings) : shape;
    const place = { shape: shapeOfCase(chosen), loaded, patch: shape };
    const around = isForegroundSample(sample, batch, foregroundShare);
    const { locations, annotated } = chosen;
    const drawn = around
      ? drawForegroundCorner(stream, place, locations, annotated)
      : drawCorner(stream, place, annotated);
    const augmentation = settings ? drawAugmentation(stream, settings, channelsOf(chosen)) : unchanged;
    // Without a turn only the middle is looked at: of the loaded patch no more is cut out.
    const cut = augmentation.spatial ? loaded : shape;
    const [z, y, x] = drawn.map((at, axis) => at + Math.floor((loaded[axis] - cut[axis]) / 2));
    return { chosen, corner: [z, y, x], cut, augmentation };
  } catch (cause) {
    throw unmade(chosen.name, index, cause);
  }
}

function finish(cut: Patch, { augmentation }: Place<AnyCase>, { patch: shape, zeroOutside }: BatchSettings): Patch {
  return augment(cut, shape, augmentation, { zeroOutside });
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
