/** Volumes: voxels with their place in the patient. */
export {
  type Color,
  encodePng,
  labelColor,
  type Picture,
  type PictureOptions,
  threePlanes,
} from './picture.ts';
export {
  type Geometry,
  identityDirection,
  type LabelMap,
  type Matrix3,
  type Vector3,
  type Volume,
  type VoxelData,
  voxelCount,
  voxelVolumeMl,
} from './volume.ts';
