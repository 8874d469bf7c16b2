/**
 * Operators and devices with a fault, for tests of the self-test: in Node (src/engine/selfTest.test.ts) and in a real browser
 * (browser.test.ts).
 */
import { add, apply, buildProgram, input, type Operator, operators, type Program } from '../src/program/index.ts';

function known(name: string): Operator {
  return operators.find((operator) => operator.name === name)!;
}

/** A softmax whose ONNX form runs over the first axis in place of the last. */
export const wrongSoftmax: Operator = {
  ...known('softmax'),
  onnx: (emit, inputs) => emit.node('Softmax', inputs, { axis: { int: 0 } }),
};

/** A root whose ONNX form gives no number. */
export const noNumber: Operator = {
  ...known('sqrt'),
  onnx: (emit, [x]) => emit.node('Sqrt', [emit.node('Neg', [x])]),
};

/** The largest of the last axis as 1 and the others as 0: an operator that the WebGPU provider does not have. */
export const hardmax: Operator = {
  ...known('softmax'),
  name: 'hardmax',
  onnx: (emit, inputs) => emit.node('Hardmax', inputs, { axis: { int: -1 } }),
  reference: ([x]) => {
    const length = x.shape.at(-1)!;
    return x.data.map((value, at) => {
      const row = at - (at % length);
      return value === Math.max(...x.data.subarray(row, row + length)) ? 1 : 0;
    });
  },
};

/** One operator between two additions, from `x` to `y`. */
export function programOf(operator: Operator, shape: readonly number[] = [2, 3, 8], last = shape.length - 1): Program {
  return buildProgram('planted', () => {
    const x = input('x', shape);
    const y = apply(operator, [add(x, x)], { axis: last });
    return { y: add(y, y) };
  });
}
