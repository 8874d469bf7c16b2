/**
 * The package as a browser sees it: what every user of it meets first. Each subject has an entry of its own besides
 * (`unetrpp/volume`, `unetrpp/program`, ...). A test pins this list, so that a new name is a decision.
 */
import { webEngine } from './engine/web.ts';
import {
  type Ensemble,
  type Model,
  type Segmentation,
  type SegmenterOptions,
  type SegmentOptions,
  segmentOnce,
} from './predict/index.ts';
import type { Volume } from './volume/index.ts';

export { InputError, ResourceError } from './errors.ts';
export {
  createSegmenter,
  type Ensemble,
  ensembleOf,
  type Imported,
  type ImportOptions,
  importCheckpoint,
  loadModel,
  type Model,
  type Progress,
  type Segmentation,
  type Segmenter,
  type SegmenterOptions,
  type SegmentOptions,
} from './predict/index.ts';
export { type DataType, type Shape, type Tensor, tensor } from './tensor.ts';
export {
  encodePng,
  type Geometry,
  type ImageFile,
  type LabelMap,
  type LabelVolume,
  labelVolumes,
  type NiftiImage,
  readImage,
  readNifti,
  threePlanes,
  type Volume,
  type VolumeImage,
  voxelCount,
  voxelVolumeMl,
  writeMetaImage,
  writeMetaImageLabels,
  writeNifti,
  writeNiftiLabels,
  writeNrrd,
  writeNrrdLabels,
} from './volume/index.ts';

/**
 * Segments one scan: a label map on the scan's own grid.
 *
 * @param model from `loadModel` (or, in Node, `openModel`); several together from `ensembleOf`
 * @param volume intensities as scanned, one channel for each that the model takes; nothing need be prepared
 * @param options device, mirroring, tile step, progress callback, `AbortSignal`, probabilities
 * @throws InputError when scan and model do not fit, or the device is not there
 */
export function segment(
  model: Model | Ensemble,
  volume: Volume,
  options: SegmenterOptions & SegmentOptions = {},
): Promise<Segmentation> {
  return segmentOnce(webEngine, model, volume, options);
}
