/**
 * A tensor value: element type, shape and data, in C order (last axis fastest). The one thing that all folders share.
 *
 * 16-bit floats are kept as their bit patterns in a Uint16Array; `toFloat32` widens them.
 */

export interface DataByType {
  float64: Float64Array;
  float32: Float32Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
  int64: BigInt64Array;
  int32: Int32Array;
  int16: Int16Array;
  int8: Int8Array;
  uint8: Uint8Array;
  bool: Uint8Array;
}

export type DataType = keyof DataByType;

export type Shape = readonly number[];

export interface Tensor<D extends DataType = DataType> {
  readonly dtype: D;
  readonly shape: Shape;
  readonly data: DataByType[D];
}

export const bytesPerElement: Record<DataType, number> = {
  float64: 8,
  float32: 4,
  float16: 2,
  bfloat16: 2,
  int64: 8,
  int32: 4,
  int16: 2,
  int8: 1,
  uint8: 1,
  bool: 1,
};

const arrayTypes: { [D in DataType]: new (buffer: ArrayBufferLike, offset: number, length: number) => DataByType[D] } =
  {
    float64: Float64Array,
    float32: Float32Array,
    float16: Uint16Array,
    bfloat16: Uint16Array,
    int64: BigInt64Array,
    int32: Int32Array,
    int16: Int16Array,
    int8: Int8Array,
    uint8: Uint8Array,
    bool: Uint8Array,
  };

/** Number of elements of a shape; 1 for a scalar (empty shape). */
export function elementCount(shape: Shape): number {
  let count = 1;
  for (const length of shape) count *= length;
  return count;
}

/** C-order strides in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((length, axis) => length === b[axis]);
}

/** `[2, 3]` as `2x3`; a scalar as `scalar`. */
export function showShape(shape: Shape): string {
  return shape.length === 0 ? 'scalar' : shape.join('x');
}

/** @throws RangeError when the data does not fill the shape exactly. */
export function tensor<D extends DataType>(dtype: D, shape: Shape, data: DataByType[D]): Tensor<D> {
  if (data.length !== elementCount(shape)) {
    throw new RangeError(
      `a ${dtype} tensor ${showShape(shape)} needs ${elementCount(shape)} elements, not ${data.length}`,
    );
  }
  return { dtype, shape, data };
}

/** The bytes of a tensor's data, without a copy, in this machine's byte order (little-endian wherever this package runs). */
export function bytesOf(value: Tensor): Uint8Array {
  return new Uint8Array(value.data.buffer, value.data.byteOffset, value.data.byteLength);
}

/** Typed view of bytes; copies only when the bytes are not aligned for the type. */
export function viewBytes<D extends DataType>(dtype: D, bytes: Uint8Array): DataByType[D] {
  const size = bytesPerElement[dtype];
  if (bytes.byteLength % size !== 0) {
    throw new RangeError(`${bytes.byteLength} bytes are no whole number of ${dtype} elements`);
  }
  // Not `slice`: that of a Node Buffer does not copy.
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new arrayTypes[dtype](aligned.buffer, aligned.byteOffset, aligned.byteLength / size);
}

/** The value of a 16-bit float (IEEE 754 binary16) from its bits. */
export function float16ToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const scratch32 = new Float32Array(1);
const scratchBits = new Uint32Array(scratch32.buffer);

/** The bits of the nearest 16-bit float, ties to even; too large becomes infinity. */
export function numberToFloat16(value: number): number {
  scratch32[0] = value;
  const bits = scratchBits[0];
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = Math.abs(scratch32[0]);
  if (Number.isNaN(magnitude)) return sign | 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00;
  if (magnitude < 2 ** -14) {
    // Subnormal: a whole multiple of 2^-24. Adding 2^52 and taking it away again rounds ties to even.
    return sign | (magnitude * 2 ** 24 + 2 ** 52 - 2 ** 52);
  }
  // Drop 13 of the 23 fraction bits, ties to even; a carry runs into the exponent as it should.
  const rounded = (bits & 0x7fffffff) + 0x0fff + ((bits >>> 13) & 1);
  return sign | ((rounded - ((127 - 15) << 23)) >>> 13);
}

/** Widens or narrows any numeric tensor to float32; returns the same tensor when it is float32 already. */
export function toFloat32(value: Tensor): Tensor<'float32'> {
  if (value.dtype === 'float32') return value as Tensor<'float32'>;
  const out = new Float32Array(value.data.length);
  if (value.dtype === 'float16') {
    const data = value.data as Uint16Array;
    for (let i = 0; i < out.length; i++) out[i] = float16ToNumber(data[i]);
  } else if (value.dtype === 'bfloat16') {
    // A bfloat16 is the upper half of a float32.
    const bits = new Uint32Array(out.buffer);
    const data = value.data as Uint16Array;
    for (let i = 0; i < out.length; i++) bits[i] = data[i] << 16;
  } else {
    for (let i = 0; i < out.length; i++) out[i] = Number(value.data[i]);
  }
  return { dtype: 'float32', shape: value.shape, data: out };
}

/** Rounds a float32 tensor to 16-bit floats (ties to even), for storage. */
export function toFloat16(value: Tensor<'float32'>): Tensor<'float16'> {
  const out = new Uint16Array(value.data.length);
  for (let i = 0; i < out.length; i++) out[i] = numberToFloat16(value.data[i]);
  return { dtype: 'float16', shape: value.shape, data: out };
}
