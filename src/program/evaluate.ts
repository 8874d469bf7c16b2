/**
 * Runs a program through the plain-loop definitions, in float64. Slow; it is what the tests trust and what folds
 * parameters when a program is compiled.
 */
import { sameShape, showShape, type Tensor, toFloat32 } from '../tensor.ts';
import type { Reference } from './operator.ts';
import type { Program, Value } from './program.ts';

/** A tensor of any type as float64 values. */
export function referenceOf(value: Tensor): Reference {
  const { shape } = value;
  const data = value.dtype === 'float16' || value.dtype === 'bfloat16' ? toFloat32(value).data : value.data;
  if (data instanceof Float64Array) return { shape, data };
  return { shape, data: data instanceof BigInt64Array ? Float64Array.from(data, Number) : new Float64Array(data) };
}

/**
 * @param feeds inputs and parameters by name
 * @returns outputs by name
 * @throws Error when a feed is missing or has another shape
 */
export function evaluate(program: Program, feeds: ReadonlyMap<string, Tensor>): Map<string, Reference> {
  const results = new Map<Value, Reference>();
  // A value is forgotten after its last reader, so a deep program holds only what is alive.
  const readersLeft = new Map<Value, number>();
  for (const operation of program.operations) {
    for (const value of operation.inputs) readersLeft.set(value, (readersLeft.get(value) ?? 0) + 1);
  }
  for (const value of program.outputs.values()) readersLeft.set(value, Infinity);

  const numbersOf = (value: Value): Reference => {
    const known = results.get(value);
    if (known) return known;
    if (value.kind === 'operation') throw new Error(`operation ${value.operator.name} is read before it is computed`);
    const fed = value.kind === 'constant' ? value.value : feeds.get(value.name);
    if (!fed) throw new Error(`${value.kind} '${(value as { name: string }).name}' is not fed`);
    if (!sameShape(fed.shape, value.shape)) {
      throw new Error(`a feed of shape ${showShape(fed.shape)} was given where ${showShape(value.shape)} is declared`);
    }
    const result = referenceOf(fed);
    results.set(value, result);
    return result;
  };

  for (const operation of program.operations) {
    const inputs = operation.inputs.map(numbersOf);
    const data = operation.operator.reference(inputs, operation.attributes, operation.shape);
    results.set(operation, { shape: operation.shape, data });
    for (const value of operation.inputs) {
      const left = readersLeft.get(value)! - 1;
      readersLeft.set(value, left);
      if (left === 0) results.delete(value);
    }
  }
  return new Map([...program.outputs].map(([name, value]) => [name, numbersOf(value)]));
}
