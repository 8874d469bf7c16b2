/** Prediction: a model and a scan in, a label map out. */

export { type Ensemble, type EnsembleDescription, ensembleOf, membersOf } from './ensemble.ts';
export { type Imported, type ImportOptions, importCheckpoint } from './importCheckpoint.ts';
export { loadModel, type Model, type ModelDescription } from './model.ts';
export type { SegmenterOptions } from './network.ts';
export { type Progress, showDuration } from './progress.ts';
export type { Segmentation, Segmenter, SegmentOptions } from './segmentation.ts';
export { createSegmenter, networkMemory, scanMemory, segmentOnce } from './segmenter.ts';
export { type Blending, blendTiles, type Head, importanceMap, tileStarts } from './tiles.ts';
