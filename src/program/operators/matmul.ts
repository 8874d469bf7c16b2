/**
 * Matrix products: [.., m, k] x [.., k, n] -> [.., m, n], leading axes broadcast.
 */
import { elementCount, type Shape, showShape, stridesOf } from '../../tensor.ts';
import {
  type Operator,
  type OperatorCost,
  operator,
  type Reference,
  type TensorType,
  type Value,
} from '../operator.ts';
import { apply } from '../program.ts';
import { broadcastShape, broadcastStrides, sumTo } from './broadcast.ts';
import { gatherStrided, transposeLast } from './movement.ts';

function productShape([a, b]: readonly TensorType[]): Shape {
  if (a.shape.length < 2 || b.shape.length < 2) throw new Error('both operands need at least two axes');
  const [m, k] = a.shape.slice(-2);
  const [k2, n] = b.shape.slice(-2);
  if (k !== k2) throw new Error(`${showShape(a.shape)} has ${k} columns but ${showShape(b.shape)} has ${k2} rows`);
  return [...broadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2)), m, n];
}

function multiplyMatrices(a: Reference, b: Reference, shape: Shape): Float64Array {
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
}

function productCost(a: TensorType, shape: Shape): OperatorCost {
  return { kind: 'product', multiplyAdds: elementCount(shape) * a.shape.at(-1)! };
}

const turned = ({ shape, dtype }: TensorType): TensorType => ({
  shape: [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!],
  dtype,
});

function turnedCopy({ shape, data }: Reference): Reference {
  const to = [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!];
  const strides = stridesOf(shape);
  return { shape: to, data: gatherStrided(data, 0, [...strides.slice(0, -2), strides.at(-1)!, strides.at(-2)!], to) };
}

export const matmulOperator: Operator = operator<Record<string, never>>({
  name: 'matmul',
  shape: productShape,
  gradient: (dy, { inputs: [a, b] }) => [
    sumTo(matmul(dy, transposeLast(b)), a.shape),
    sumTo(matmul(transposeLast(a), dy), b.shape),
  ],
  onnx: (emit, inputs) => emit.node('MatMul', inputs),
  reference: ([a, b], _, shape) => multiplyMatrices(a, b, shape),
  cost: ([a], shape) => productCost(a, shape),
});

/**
 * The same product with the last two axes of an operand changed about first, without a copy. Made by a lowering; networks say
 * `transposeLast`. ONNX Runtime's own operator: its CPU and CUDA providers have it, in WebAssembly too.
 */
export const turnedMatmulOperator: Operator = operator<{ turnA: boolean; turnB: boolean }>({
  name: 'turnedMatmul',
  shape: ([a, b], { turnA, turnB }) => productShape([turnA ? turned(a) : a, turnB ? turned(b) : b]),
  gradient: { none: 'it is made by a lowering, after differentiation' },
  onnx: (emit, inputs, { attributes: { turnA, turnB } }) =>
    emit.node('com.microsoft.FusedMatMul', inputs, { transA: { int: Number(turnA) }, transB: { int: Number(turnB) } }),
  reference: ([a, b], { turnA, turnB }, shape) =>
    multiplyMatrices(turnA ? turnedCopy(a) : a, turnB ? turnedCopy(b) : b, shape),
  cost: ([a], shape, { turnA }) => productCost(turnA ? turned(a) : a, shape),
});

export const matmul = (a: Value, b: Value) => apply(matmulOperator, [a, b]);
