/**
 * How much memory a run of a program holds at its fullest moment, from lifetimes alone: each result lives from the
 * operation that writes it to the last one that reads it.
 */
import { bytesPerElement, elementCount } from '../tensor.ts';
import type { TensorType } from './operator.ts';
import { reshapeOperator } from './operators/movement.ts';
import { type Operation, type Program, usedParameters, type Value } from './program.ts';

export interface MemoryNeed {
  /** Bytes of the parameters that the outputs reach. */
  readonly parameters: number;
  /** Bytes of inputs and outputs. */
  readonly interface: number;
  /** Bytes of intermediate results at the fullest moment. */
  readonly activations: number;
}

const sizeOf = (type: TensorType) => elementCount(type.shape) * bytesPerElement[type.dtype];

/** Operators whose result may take the place of an input that nobody reads any more. */
const inPlace = new Set([
  'add',
  'subtract',
  'multiply',
  'divide',
  'maximum',
  'sqrt',
  'sigmoid',
  'leakyRelu',
  'softmax',
]);

/**
 * The order in which ONNX Runtime runs a graph whose nodes stand in the program's order: depth first from the last of the
 * nodes that nobody reads, of the inputs the last one first. Operations are computed when they are needed, not before.
 */
export function executionOrder({ operations }: Program): Operation[] {
  const position = new Map<Value, number>(operations.map((operation, index) => [operation, index]));
  const read = new Set<Value>(operations.flatMap(({ inputs }) => inputs));
  const stack = operations
    .filter((operation) => !read.has(operation))
    .map((operation) => ({ operation, leave: false }));
  const entered = new Set<Operation>();
  const order: Operation[] = [];
  for (let top = stack.pop(); top; top = stack.pop()) {
    const { operation, leave } = top;
    if (leave) order.push(operation);
    if (leave || entered.has(operation)) continue;
    entered.add(operation);
    stack.push({ operation, leave: true });
    const needed = operation.inputs.filter((value) => value.kind === 'operation');
    needed.sort((a, b) => position.get(a)! - position.get(b)!);
    for (const value of needed) if (!entered.has(value)) stack.push({ operation: value, leave: false });
  }
  return order;
}

export function memoryNeed(program: Program): MemoryNeed {
  const operations = executionOrder(program);
  // A reshape is a view: its result is the same memory as its input.
  const storage = new Map<Value, Value>();
  const storageOf = (value: Value) => storage.get(value) ?? value;
  const readersLeft = new Map<Value, number>();
  for (const operation of operations) {
    if (operation.operator === reshapeOperator) storage.set(operation, storageOf(operation.inputs[0]));
    for (const value of operation.inputs) {
      readersLeft.set(storageOf(value), (readersLeft.get(storageOf(value)) ?? 0) + 1);
    }
  }
  const outputs = new Set([...program.outputs.values()].map(storageOf));

  let live = 0;
  let peak = 0;
  const owned = new Map<Value, number>();
  for (const operation of operations) {
    if (storage.has(operation)) {
      release(operation);
      continue;
    }
    const size = sizeOf(operation);
    const dying = operation.inputs
      .map(storageOf)
      .find((value) => owned.get(value) === size && readersLeft.get(value) === 1);
    if (dying && inPlace.has(operation.operator.name)) {
      owned.delete(dying);
    } else if (!outputs.has(operation)) {
      live += size;
    }
    owned.set(operation, size);
    peak = Math.max(peak, live);
    release(operation);
  }

  function release(operation: Operation): void {
    for (const value of operation.inputs.map(storageOf)) {
      const left = readersLeft.get(value)! - 1;
      readersLeft.set(value, left);
      if (left > 0 || outputs.has(value)) continue;
      live -= owned.get(value) ?? 0;
      owned.delete(value);
    }
  }

  const sum = (types: Iterable<TensorType>) => [...types].reduce((so, type) => so + sizeOf(type), 0);
  return {
    parameters: sum(usedParameters(program)),
    interface: sum(program.inputs) + sum(program.outputs.values()),
    activations: peak,
  };
}
