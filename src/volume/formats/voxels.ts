/**
 * Stored voxels <-> the typed array of a volume, for every format with plain numbers: element types, byte order, 64-bit
 * integers, values that are not finite, and channels that lie in the way. What a header says of them is for the readers.
 */
import { InputError } from '../../errors.ts';
import { showShape } from '../../tensor.ts';
import { emptyLike, type Volume, type VoxelData, voxelCount } from '../volume.ts';
import { allocate } from './gzip.ts';

/** Types of stored voxels that a volume can be made of. */
export type StoredType =
  | 'int8'
  | 'uint8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'uint32'
  | 'int64'
  | 'uint64'
  | 'float32'
  | 'float64';

export type ByteOrder = 'little' | 'big';

export const bytesPerVoxel: Record<StoredType, number> = {
  int8: 1,
  uint8: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  uint32: 4,
  int64: 8,
  uint64: 8,
  float32: 4,
  float64: 8,
};

/** The stored type that keeps the values of an array as they are. */
export function storedTypeOf(data: VoxelData): StoredType {
  if (data instanceof Int8Array) return 'int8';
  if (data instanceof Uint8Array) return 'uint8';
  if (data instanceof Int16Array) return 'int16';
  if (data instanceof Uint16Array) return 'uint16';
  if (data instanceof Int32Array) return 'int32';
  if (data instanceof Uint32Array) return 'uint32';
  return data instanceof Float32Array ? 'float32' : 'float64';
}

/**
 * The bytes of a volume's voxels, little-endian, without a copy.
 * @throws RangeError when the data do not fill the shape
 */
export function bytesOfVoxels(volume: Volume): Uint8Array {
  const { shape, channels, data } = volume;
  if (data.length !== voxelCount(volume) * channels) {
    throw new RangeError(`${channels} channels of ${showShape(shape)} voxels are not ${data.length} values`);
  }
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/**
 * Stored bytes as numbers; 64-bit integers as float64. Reverses big-endian bytes in place, and is a view of the bytes
 * where they are aligned.
 * @param stored a whole number of voxels, in bytes that may be changed and kept
 * @throws InputError when a 64-bit integer is beyond 2^53
 */
export function storedNumbers(stored: Uint8Array, type: StoredType, byteOrder: ByteOrder, name: string): VoxelData {
  const size = bytesPerVoxel[type];
  const bytes = stored.byteOffset % size === 0 ? stored : copied(stored, name);
  if (byteOrder === 'big') reverseBytes(bytes, size);
  const { buffer, byteOffset, byteLength } = bytes;
  const count = byteLength / size;
  switch (type) {
    case 'int8':
      return new Int8Array(buffer, byteOffset, count);
    case 'uint8':
      return new Uint8Array(buffer, byteOffset, count);
    case 'int16':
      return new Int16Array(buffer, byteOffset, count);
    case 'uint16':
      return new Uint16Array(buffer, byteOffset, count);
    case 'int32':
      return new Int32Array(buffer, byteOffset, count);
    case 'uint32':
      return new Uint32Array(buffer, byteOffset, count);
    case 'float32':
      return new Float32Array(buffer, byteOffset, count);
    case 'float64':
      return new Float64Array(buffer, byteOffset, count);
    case 'int64':
      return exactNumbers(new BigInt64Array(buffer, byteOffset, count), name);
    case 'uint64':
      return exactNumbers(new BigUint64Array(buffer, byteOffset, count), name);
  }
}

/**
 * The values of a file that stores intensities themselves: what is not finite becomes 0 with a notice, and float64 becomes
 * float32 where nothing is lost. Changes the array that it is given.
 */
export function intensitiesOf(values: VoxelData, type: StoredType, name: string, notices: string[]): VoxelData {
  if (values instanceof Float32Array) return withoutInfinities(values, name, notices);
  // 64-bit integers are float64 here too, and stay so.
  if (!(values instanceof Float64Array && type === 'float64')) return values;
  const finite = withoutInfinities(values, name, notices);
  return fitsFloat32(finite) ? Float32Array.from(finite) : finite;
}

/** @throws ResourceError when there is not so much memory */
export function copied(bytes: Uint8Array, name: string): Uint8Array {
  const copy = allocate(bytes.length, name);
  copy.set(bytes);
  return copy;
}

/** Whether every value is the same in float32 (what is not finite counts as the same). */
export function fitsFloat32(values: VoxelData): boolean {
  if (!(values instanceof Int32Array || values instanceof Uint32Array || values instanceof Float64Array)) return true;
  for (let i = 0; i < values.length; i++) {
    if (!Object.is(Math.fround(values[i]), values[i])) return false;
  }
  return true;
}

/** Replaces what is not finite by 0, in place, and says how many there were. */
export function withoutInfinities<T extends Float32Array | Float64Array>(
  values: T,
  name: string,
  notices: string[],
): T {
  let replaced = 0;
  for (let i = 0; i < values.length; i++) {
    if (Number.isFinite(values[i])) continue;
    values[i] = 0;
    replaced++;
  }
  if (replaced > 0) {
    notices.push(`${name}: ${replaced} of ${values.length} voxels were not finite (NaN or infinite) and are 0 now.`);
  }
  return values;
}

/**
 * Moves an axis of channels outermost: [outer, channels, inner] -> [channels, outer, inner], inner fastest. Interleaved
 * channels have an `inner` of 1. Gives the same array when they lie outermost already.
 */
export function channelsOutermost<T extends VoxelData>(data: T, inner: number, channels: number): T {
  const outer = data.length / (inner * channels);
  if (outer === 1 || channels === 1) return data;
  const moved = emptyLike(data, data.length);
  for (let channel = 0, to = 0; channel < channels; channel++) {
    for (let slab = 0; slab < outer; slab++) {
      const from = (slab * channels + channel) * inner;
      for (let i = 0; i < inner; i++, to++) moved[to] = data[from + i];
    }
  }
  return moved;
}

function exactNumbers(values: BigInt64Array | BigUint64Array, name: string): Float64Array {
  const numbers = new Float64Array(values.length);
  for (let i = 0; i < values.length; i++) {
    numbers[i] = Number(values[i]);
    if (!Number.isSafeInteger(numbers[i])) {
      throw new InputError(
        `${name} holds 64-bit integers such as ${values[i]} that no float64 can hold exactly; save it as float64 or with smaller numbers.`,
      );
    }
  }
  return numbers;
}

/** Reverses the bytes of each element of `size` bytes, in place. */
function reverseBytes(bytes: Uint8Array, size: number): void {
  for (let start = 0; start < bytes.length; start += size) {
    for (let low = start, high = start + size - 1; low < high; low++, high--) {
      const byte = bytes[low];
      bytes[low] = bytes[high];
      bytes[high] = byte;
    }
  }
}
