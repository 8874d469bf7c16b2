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
  /**
   * The same for a runtime that plans ahead: the memory of a result that nobody reads any more is kept for a later result of
   * the same shape, where there will be one.
   */
  readonly planned: number;
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
function executionOrder({ operations }: Program): Operation[] {
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
  const order = executionOrder(program);
  const sum = (types: Iterable<TensorType>) => [...types].reduce((so, type) => so + sizeOf(type), 0);
  return {
    parameters: sum(usedParameters(program)),
    interface: sum(program.inputs) + sum(program.outputs.values()),
    activations: fullest(buffersOf(program, order, false), order.length),
    planned: fullest(buffersOf(program, order, true), order.length),
  };
}

/** A piece of memory, and the first and last operation that needs it. */
interface Buffer {
  readonly bytes: number;
  readonly shape: string;
  readonly first: number;
  last: number;
}

/** @param planned whether a buffer is handed on to a later result of the same shape */
function buffersOf(program: Program, order: readonly Operation[], planned: boolean): Buffer[] {
  // A reshape is a view: its result is the same memory as its input.
  const storage = new Map<Value, Value>();
  const storageOf = (value: Value) => storage.get(value) ?? value;
  const readersLeft = new Map<Value, number>();
  for (const operation of order) {
    if (operation.operator === reshapeOperator) storage.set(operation, storageOf(operation.inputs[0]));
    for (const value of operation.inputs.map(storageOf)) readersLeft.set(value, (readersLeft.get(value) ?? 0) + 1);
  }
  const outputs = new Set([...program.outputs.values()].map(storageOf));
  const buffers: Buffer[] = [];
  const held = new Map<Value, Buffer>();
  const free = new Map<string, Buffer[]>();
  const take = (operation: Operation, now: number): Buffer => {
    const shape = operation.shape.join();
    const known = planned ? free.get(shape)?.pop() : undefined;
    const buffer = known ?? { bytes: sizeOf(operation), shape, first: now, last: now };
    if (!known) buffers.push(buffer);
    return buffer;
  };
  order.forEach((operation, now) => {
    const inputs = operation.inputs.map(storageOf);
    if (!storage.has(operation) && !outputs.has(operation)) {
      const dying = inPlace.has(operation.operator.name)
        ? inputs.find((value) => readersLeft.get(value) === 1 && held.get(value)?.bytes === sizeOf(operation))
        : undefined;
      held.set(operation, dying ? held.get(dying)! : take(operation, now));
      if (dying) held.delete(dying);
      held.get(operation)!.last = now;
    }
    for (const value of inputs) {
      readersLeft.set(value, readersLeft.get(value)! - 1);
      const buffer = held.get(value);
      if (!buffer) continue;
      buffer.last = now;
      if (readersLeft.get(value)! > 0) continue;
      held.delete(value);
      const others = free.get(buffer.shape);
      if (others) others.push(buffer);
      else free.set(buffer.shape, [buffer]);
    }
  });
  return buffers;
}

/** Bytes of all buffers at the moment at which they are most. */
function fullest(buffers: readonly Buffer[], moments: number): number {
  const change = new Float64Array(moments + 1);
  for (const { bytes, first, last } of buffers) {
    change[first] += bytes;
    change[last + 1] -= bytes;
  }
  let [live, most] = [0, 0];
  for (const each of change) {
    live += each;
    most = Math.max(most, live);
  }
  return most;
}
