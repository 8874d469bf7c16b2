/**
 * Lowering: which rewrites a program goes through before it is emitted for a device. Each has a switch, and each means
 * the same with and without (lower.test.ts); docs/decisions/lowerings.md has the measurements.
 */
import type { Program } from '../program.ts';

export interface Lowerings {
  readonly none: boolean;
}

export type Target = 'cpu' | 'cuda' | 'webgpu' | 'wasm';

export function lower(program: Program, _target: Target, _switches: Partial<Lowerings> = {}): Program {
  return program;
}
