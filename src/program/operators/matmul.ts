/**
 * Matrix products: [.., m, k] x [.., k, n] -> [.., m, n], leading axes broadcast.
 */
import { type Shape, showShape } from '../../tensor.ts';
import { type Operator, operator, type TensorType, type Value } from '../operator.ts';
import { apply } from '../program.ts';
import { broadcastShape, broadcastStrides, sumTo } from './broadcast.ts';
import { transposeLast } from './movement.ts';

function productShape([a, b]: readonly TensorType[]): Shape {
  if (a.shape.length < 2 || b.shape.length < 2) throw new Error('both operands need at least two axes');
  const [m, k] = a.shape.slice(-2);
  const [k2, n] = b.shape.slice(-2);
  if (k !== k2) throw new Error(`${showShape(a.shape)} has ${k} columns but ${showShape(b.shape)} has ${k2} rows`);
  return [...broadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2)), m, n];
}

export const matmulOperator: Operator = operator<Record<string, never>>({
  name: 'matmul',
  shape: productShape,
  gradient: (dy, { inputs: [a, b] }) => [
    sumTo(matmul(dy, transposeLast(b)), a.shape),
    sumTo(matmul(transposeLast(a), dy), b.shape),
  ],
  onnx: (emit, inputs) => emit.node('MatMul', inputs),
  reference: ([a, b], _, shape) => {
    const [m, k] = a.shape.slice(-2);
    const n = shape[shape.length - 1];
    const batch = shape.slice(0, -2);
    const batches = batch.reduce((product, length) => product * length, 1);
    const stridesA = broadcastStrides(a.shape.slice(0, -2), batch);
    const stridesB = broadcastStrides(b.shape.slice(0, -2), batch);
    const out = new Float64Array(batches * m * n);
    for (let at = 0; at < batches; at++) {
      let rest = at;
      let startA = 0;
      let startB = 0;
      for (let axis = batch.length - 1; axis >= 0; axis--) {
        const index = rest % batch[axis];
        rest = (rest - index) / batch[axis];
        startA += index * stridesA[axis] * m * k;
        startB += index * stridesB[axis] * k * n;
      }
      for (let row = 0; row < m; row++) {
        const target = (at * m + row) * n;
        for (let inner = 0; inner < k; inner++) {
          const factor = a.data[startA + row * k + inner];
          const source = startB + inner * n;
          for (let column = 0; column < n; column++) out[target + column] += factor * b.data[source + column];
        }
      }
    }
    return out;
  },
  cost: (inputs, shape) => ({
    kind: 'product',
    multiplyAdds: shape.reduce((product, length) => product * length, 1) * inputs[0].shape.at(-1)!,
  }),
});

export const matmul = (a: Value, b: Value) => apply(matmulOperator, [a, b]);
