/**
 * Strided views, as PyTorch and NumPy write them: which elements of an array a view takes, and their copy in C order.
 */
import { type Shape, stridesOf } from '../tensor.ts';

/** Elements of a shape; 0 wherever an axis is empty, even beside axes whose product no number holds. */
export function viewCount(shape: Shape): number {
  return shape.includes(0) ? 0 : shape.reduce((count, length) => count * length, 1);
}

/** One past the largest index that a view touches (strides are not negative); 0 for an empty view. */
export function viewEnd(shape: Shape, stride: Shape, offset: number): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((last, length, axis) => last + (length - 1) * stride[axis], offset) + 1;
}

/** Whether the elements lie behind each other in C order. The stride of an axis of length 1 does not matter. */
export function isContiguous(shape: Shape, stride: Shape): boolean {
  if (shape.includes(0)) return true;
  const expected = stridesOf(shape);
  return shape.every((length, axis) => length === 1 || stride[axis] === expected[axis]);
}

/**
 * Copies a view into `out` in C order.
 * @throws RangeError when the view reaches beyond `data` or does not fill `out`
 */
export function gather<T extends number | bigint | string>(
  data: ArrayLike<T>,
  shape: Shape,
  stride: Shape,
  offset: number,
  out: { [index: number]: T; readonly length: number },
): void {
  const count = viewCount(shape);
  if (viewEnd(shape, stride, offset) > data.length || count !== out.length) {
    throw new RangeError(`a view ${shape.join('x')} does not fit ${data.length} elements and ${out.length} places`);
  }
  if (count === 0) return;
  const index = new Array<number>(shape.length).fill(0);
  const inner = shape.length - 1;
  const length = inner < 0 ? 1 : shape[inner];
  const step = inner < 0 ? 0 : stride[inner];
  let position = offset;
  for (let at = 0; at < count; ) {
    for (let i = 0; i < length; i++, at++) out[at] = data[position + i * step];
    for (let axis = inner - 1; axis >= 0; axis--) {
      position += stride[axis];
      if (++index[axis] < shape[axis]) break;
      index[axis] = 0;
      position -= shape[axis] * stride[axis];
    }
  }
}
