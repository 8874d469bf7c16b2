/**
 * The package as a browser sees it: what every user of it meets first. Each subject has an entry of its own besides
 * (`unetrpp/volume`, `unetrpp/program`, …). A test pins this list, so that a new name is a decision.
 */
export { InputError, ResourceError } from './errors.ts';
export { type DataType, type Shape, type Tensor, tensor } from './tensor.ts';
export { encodePng, threePlanes } from './volume/picture.ts';
export { type Geometry, type LabelMap, type Volume, voxelCount, voxelVolumeMl } from './volume/volume.ts';
