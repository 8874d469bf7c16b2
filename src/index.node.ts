/** The package as Node sees it: the browser's list, with Node's engine, and what needs files. */
import { nodeEngine } from './engine/node.ts';
import {
  type Ensemble,
  type Model,
  type Segmentation,
  type SegmenterOptions,
  type SegmentOptions,
  segmentOnce,
} from './predict/index.ts';
import type { Volume } from './volume/index.ts';

export * from './index.ts';
export { openModel, openModels } from './predict/model.node.ts';
export {
  type CrossValidation,
  type CrossValidationListeners,
  type CrossValidationRequest,
  crossValidation,
} from './train/crossValidation.node.ts';
export { type RunListeners, type RunRequest, type Trained, trainInFolder } from './train/run.node.ts';
export { runUnits, type Unit, type UnitListeners } from './train/units.ts';
export { readVolumeFile } from './volume/files.node.ts';

/** As in the browser (see index.ts), on the CPU, or on a GPU where CUDA is installed. */
export function segment(
  model: Model | Ensemble,
  volume: Volume,
  options: SegmenterOptions & SegmentOptions = {},
): Promise<Segmentation> {
  return segmentOnce(nodeEngine, model, volume, options);
}
