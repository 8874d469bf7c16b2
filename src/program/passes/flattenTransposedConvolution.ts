/**
 * A transposed convolution over three axes whose windows do not overlap (kernel = stride) as one over two axes: depth
 * goes to the batch, the kernel's depth to the output channels. ONNX Runtime's three-axis form is many times slower on the
 * CPU and does not exist on WebGPU.
 *
 *   [n, c, D, H, W] -> [n D, c, H, W] -> [n D, kd o, H kh, W kw] -> [n, D kd, o, H kh, W kw] -> [n, o, D kd, H kh, W kw]
 */
import { transposedConvolution, transposedConvolutionOperator } from '../operators/convolution.ts';
import { reshape, transpose } from '../operators/movement.ts';
import type { Operation, Program } from '../program.ts';
import { holds, rewrite } from './rewrite.ts';

function applies(operation: Operation): boolean {
  const { operator, inputs, attributes } = operation;
  if (operator !== transposedConvolutionOperator || inputs.length !== 2) return false;
  const kernel = inputs[1].shape.slice(2);
  const strides = attributes.strides as readonly number[];
  return (
    kernel.length === 3 &&
    attributes.groups === 1 &&
    kernel.every((length, axis) => length === strides[axis]) &&
    holds(operation, 'padsBegin', 0) &&
    holds(operation, 'padsEnd', 0)
  );
}

export function flattenTransposedConvolution(program: Program): Program {
  return rewrite(program, (operation) => {
    if (!applies(operation)) return operation;
    const [x, weight] = operation.inputs;
    const [n, c, depth, height, width] = x.shape;
    const [, o, kd, kh, kw] = weight.shape;
    const slices = reshape(transpose(x, [0, 2, 1, 3, 4]), [n * depth, c, height, width]);
    const flat = reshape(transpose(weight, [0, 2, 1, 3, 4]), [c, kd * o, kh, kw]);
    const raised = transposedConvolution(slices, flat, undefined, { strides: [kh, kw] });
    return transpose(reshape(raised, [n, depth * kd, o, height * kh, width * kw]), [0, 2, 1, 3, 4]);
  });
}
