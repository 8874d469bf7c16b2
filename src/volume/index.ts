/** Volumes: voxels with their place in the patient. */
export { stackChannels } from './channels.ts';
export {
  type Components,
  type Connectivity,
  connectedComponents,
  keepLargestComponent,
  type LargestComponent,
  type LargestComponentOptions,
} from './components.ts';
export {
  type Box,
  boundingBox,
  copyOverlap,
  crop,
  cropToNonZero,
  fillHoles,
  type NonZeroCrop,
  nonZeroMask,
  padTo,
  paste,
} from './cropping.ts';
export { distanceTransform } from './distanceTransform.ts';
export type { ImageFile, VolumeImage } from './formats/image.ts';
export {
  isMetaImage,
  type MetaImageReadOptions,
  type MetaImageWriteOptions,
  metaImageDataFile,
  readMetaImage,
  writeMetaImage,
  writeMetaImageLabels,
} from './formats/metaImage.ts';
export {
  type NiftiImage,
  type NiftiReadOptions,
  type NiftiWriteOptions,
  readNifti,
  writeNifti,
  writeNiftiLabels,
  writeNiftiPair,
} from './formats/nifti.ts';
export type { NiftiHeader } from './formats/niftiHeader.ts';
export {
  isNrrd,
  type NrrdReadOptions,
  type NrrdWriteOptions,
  nrrdDataFile,
  readNrrd,
  writeNrrd,
  writeNrrdLabels,
} from './formats/nrrd.ts';
export { type StoredType, storedTypeOf } from './formats/voxels.ts';
export {
  type ForegroundIntensities,
  type IntensityRange,
  type IntensityStatistics,
  intensityStatistics,
  type Normalization,
  type NormalizationOptions,
  type NormalizeIntensityOptions,
  normalize,
  normalizeIntensity,
  percentile,
  scaleIntensityRange,
} from './intensities.ts';
export { type LabelVolume, labelVolumes } from './labels.ts';
export { orientationOf, reorient, reorientLike } from './orientation.ts';
export { type Color, labelColor, type Picture, type PictureOptions, threePlanes } from './picture.ts';
export { encodePng } from './png.ts';
export { imageEnding, imageEndings, type ReadOptions, readImage } from './read.ts';
export {
  imageResampling,
  labelResampling,
  newShape,
  probabilityResampling,
  type Regrid,
  type ResamplingOptions,
  resample,
  resampleChannel,
  resampleLabelChannel,
  resampleLabels,
  resampleSlices,
  resize,
  type Slices,
  separateAxis,
  slicesRead,
} from './resampling.ts';
export { respace, respaceLabels } from './spacing.ts';
export {
  type Affine,
  affineOf,
  type FloatData,
  type Geometry,
  geometryFromAffine,
  identityDirection,
  indexToWorld,
  type LabelMap,
  type Matrix3,
  rangeOf,
  swapLpsRas,
  type Vector3,
  type Volume,
  type VoxelData,
  voxelCount,
  voxelVolumeMl,
  worldToIndex,
} from './volume.ts';
