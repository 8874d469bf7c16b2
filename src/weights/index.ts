/** Weights: safetensors, PyTorch checkpoints, model bundles, fresh weights. */

export {
  type Bundle,
  type Manifest,
  manifestFile,
  manifestText,
  packBundle,
  parseManifest,
  readBundle,
  sha256,
  weightsFile,
} from './bundle.ts';
export { CheckpointError } from './checkpointError.ts';
export { initialize } from './initialization.ts';
export { readPickle } from './pickle.ts';
export type { PickleValue } from './pickleValue.ts';
export {
  readSafetensors,
  type Safetensors,
  type SafetensorsLayout,
  safetensorsHeader,
  type TensorSpec,
  writeSafetensors,
} from './safetensors.ts';
export { type Checkpoint, type CheckpointOptions, type CheckpointTensor, readCheckpoint, stateDict } from './torch.ts';
