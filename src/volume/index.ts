/** Volumes: voxels with their place in the patient. */
export {
  type NiftiImage,
  type NiftiReadOptions,
  type NiftiWriteOptions,
  readNifti,
  writeNifti,
  writeNiftiLabels,
} from './formats/nifti.ts';
export type { NiftiHeader, StoredType } from './formats/niftiHeader.ts';
export { orientationOf, reorient, reorientLike } from './orientation.ts';
export {
  type Color,
  encodePng,
  labelColor,
  type Picture,
  type PictureOptions,
  threePlanes,
} from './picture.ts';
export {
  type FloatData,
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
  resize,
  separateAxis,
} from './resampling.ts';
export {
  type Affine,
  affineOf,
  type Geometry,
  geometryFromAffine,
  identityDirection,
  indexToWorld,
  type LabelMap,
  type Matrix3,
  swapLpsRas,
  type Vector3,
  type Volume,
  type VoxelData,
  voxelCount,
  voxelVolumeMl,
  worldToIndex,
} from './volume.ts';
