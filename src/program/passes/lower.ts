/**
 * Lowering: which rewrites a program goes through before it is emitted for a device. Each has a switch, and each means
 * the same with and without (lower.test.ts); docs/decisions/lowerings.md has the measurements.
 */
import type { Program } from '../program.ts';
import { depthWinograd } from './depthWinograd.ts';
import { flattenTransposedConvolution } from './flattenTransposedConvolution.ts';
import { foldBatchNormalization } from './foldBatchNormalization.ts';
import { foldPointwiseNormalization } from './foldPointwiseNormalization.ts';
import { fuseTurnedProducts } from './fuseTurnedProducts.ts';

const passes = {
  foldBatchNormalization,
  foldPointwiseNormalization,
  flattenTransposedConvolution,
  depthWinograd,
  fuseTurnedProducts,
};

export type Lowering = keyof typeof passes;
export type Lowerings = Readonly<Record<Lowering, boolean>>;
export type Target = 'cpu' | 'cuda' | 'webgpu' | 'wasm';

/** The names of all lowerings, in the order in which they are applied. */
export const lowerings = Object.keys(passes) as Lowering[];

/** Every switch off: the program as it was written. */
export const noLowerings = Object.fromEntries(lowerings.map((name) => [name, false])) as unknown as Lowerings;

/** What pays, or is needed, on each device. */
const defaults: Record<Target, Lowerings> = {
  cpu: {
    foldBatchNormalization: true,
    foldPointwiseNormalization: true,
    flattenTransposedConvolution: true,
    depthWinograd: true,
    fuseTurnedProducts: true,
  },
  // cuDNN has fast three-axis kernels of its own.
  cuda: {
    foldBatchNormalization: true,
    foldPointwiseNormalization: true,
    flattenTransposedConvolution: false,
    depthWinograd: false,
    fuseTurnedProducts: true,
  },
  // No transposed convolution over three axes on WebGPU.
  webgpu: {
    foldBatchNormalization: true,
    foldPointwiseNormalization: true,
    flattenTransposedConvolution: true,
    depthWinograd: false,
    fuseTurnedProducts: false,
  },
  wasm: {
    foldBatchNormalization: true,
    foldPointwiseNormalization: true,
    flattenTransposedConvolution: true,
    depthWinograd: true,
    fuseTurnedProducts: true,
  },
};

/** @param switches override the device's own choice, one by one */
export function lower(program: Program, target: Target, switches: Partial<Lowerings> = {}): Program {
  const chosen = { ...defaults[target], ...switches };
  return lowerings.reduce((so, name) => (chosen[name] ? passes[name](so) : so), program);
}
