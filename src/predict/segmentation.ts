/**
 * What a segmenter gives, whether one model is behind it or several.
 */
import type { Executable } from '../engine/engine.ts';
import { InputError } from '../errors.ts';
import { showShape } from '../tensor.ts';
import type { LabelMap, Volume } from '../volume/index.ts';
import type { EnsembleDescription } from './ensemble.ts';
import type { ModelDescription } from './model.ts';
import type { Progress, Stage } from './progress.ts';

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
  /** Channels are the model's outputs: its labels in order, or its regions. Of an ensemble the means. */
  readonly probabilities: Volume<Float32Array> | undefined;
  /** What was assumed or changed, for the user to see. */
  readonly notices: readonly string[];
  /** Seconds spent on cropping, resampling and normalizing; in the network; on blending; on the way back to the scan. */
  readonly seconds: Readonly<Record<Stage, number>>;
}

export interface Segmenter {
  /** The weights are the runtime's now; who lets go of the model frees its copy of them. */
  readonly model: ModelDescription | EnsembleDescription;
  readonly device: Executable['device'];
  segment(volume: Volume, options?: SegmentOptions): Promise<Segmentation>;
  dispose(): Promise<void>;
}

/** @throws InputError when the scan has another number of channels than the model takes */
export function checkChannels(model: ModelDescription, volume: Volume): void {
  const wanted = model.plan.channels;
  if (volume.channels === wanted.length) return;
  const names = wanted.map(({ name }) => name).join(', ');
  throw new InputError(
    `The scan has ${volume.channels} channel${volume.channels === 1 ? '' : 's'} and the model ${model.name} takes ` +
      `${wanted.length} (${names}), on one grid of ${showShape(volume.shape)}; give one file for each channel.`,
  );
}
