/**
 * A program as ONNX Runtime takes it, in Node and on the web: a small model, and each large weight as a "file" of its own
 * in memory, so that no second copy of all weights is made.
 */
import { encodeModel } from '../onnx/index.ts';
import { emit, type Program } from '../program/index.ts';
import type { Tensor } from '../tensor.ts';

/** Below this many bytes a weight stays in the model: shapes must, and small ones are not worth a name. */
const smallWeight = 1024;

export interface SessionModel {
  readonly model: Uint8Array;
  readonly externalData: readonly { readonly path: string; readonly data: Uint8Array }[];
}

/** @param weights parameters by name; their memory is referenced by the result */
export function sessionModel(program: Program, weights: ReadonlyMap<string, Tensor>): SessionModel {
  const model = emit(program, weights);
  const external = model.initializers.filter(({ bytes }) => bytes.byteLength >= smallWeight);
  const locations = new Map(
    external.map(({ name, bytes }) => [name, { file: name, offset: 0, length: bytes.byteLength }]),
  );
  return {
    model: encodeModel(model, locations),
    externalData: external.map(({ name, bytes }) => ({ path: name, data: bytes })),
  };
}
