/** Weights: the safetensors file. */
export {
  readSafetensors,
  type Safetensors,
  type SafetensorsLayout,
  safetensorsHeader,
  type TensorSpec,
  writeSafetensors,
} from './safetensors.ts';
