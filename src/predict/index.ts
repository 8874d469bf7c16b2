/** Prediction: a model and a scan in, a label map out. */
export { type Imported, type ImportOptions, importCheckpoint } from './importCheckpoint.ts';
export { loadModel, type Model, type ModelDescription } from './model.ts';
export { type Progress, showDuration } from './progress.ts';
export {
  createSegmenter,
  networkMemory,
  type Segmentation,
  type Segmenter,
  type SegmenterOptions,
  type SegmentOptions,
  scanMemory,
  segmentOnce,
} from './segmenter.ts';
export { type Blending, blendTiles, type Head, importanceMap, tileStarts } from './tiles.ts';
