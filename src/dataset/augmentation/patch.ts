/** What augmentation works on: a piece of a prepared case, on its way into the network. */
import type { FloatData, Vector3 } from '../../volume/volume.ts';

/** Array types of labels; signed, for -1 marks voxels outside the case or its mask. */
export type LabelData = Int8Array | Int16Array | Int32Array;

export interface Patch<T extends FloatData = Float32Array, L extends LabelData = Int16Array> {
  /** Voxels along z, y, x: d, h, w of the network. */
  readonly shape: Vector3;
  readonly channels: number;
  /** `[c, z, y, x]` */
  readonly image: T;
  /** `[z, y, x]` */
  readonly labels: L;
}
