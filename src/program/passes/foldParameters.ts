/**
 * Computes once, at compile time, what depends on parameters alone (folded norms, turned weights), so that the runtime
 * sees constants: its fastest kernels want constant weights.
 */
import type { Tensor } from '../../tensor.ts';
import { referenceOf } from '../evaluate.ts';
import type { Reference } from '../operator.ts';
import { type Operation, type Parameter, type Program, usedParameters, type Value } from '../program.ts';
import { rewrite } from './rewrite.ts';

export interface Folded {
  readonly program: Program;
  /** The parameters that the folded program reads, by name; unchanged ones are shared with the input. */
  readonly weights: ReadonlyMap<string, Tensor>;
}

/** Float32 weights without widening: most folding moves elements and computes nothing. */
function asIs(value: Tensor): Reference {
  return value.data instanceof Float32Array ? { shape: value.shape, data: value.data } : referenceOf(value);
}

/** Parameters that `weights` does not hold stay inputs, and nothing that reads them is folded. */
export function foldParameters(program: Program, weights: ReadonlyMap<string, Tensor>): Folded {
  const constants = new Set<Operation>();
  const isConstant = (value: Value) =>
    value.kind === 'constant' ||
    (value.kind === 'operation' && constants.has(value)) ||
    (value.kind === 'parameter' && weights.has(value.name));
  for (const operation of program.operations) if (operation.inputs.every(isConstant)) constants.add(operation);

  // A result is kept until its last constant reader has been computed: several folded weights may share a beginning.
  const results = new Map<Value, Reference>();
  const readersLeft = new Map<Value, number>();
  for (const operation of constants) {
    for (const value of operation.inputs) readersLeft.set(value, (readersLeft.get(value) ?? 0) + 1);
  }
  const compute = (value: Value): Reference => {
    if (value.kind === 'constant') return referenceOf(value.value);
    if (value.kind === 'parameter') return asIs(weights.get(value.name)!);
    if (value.kind === 'input') throw new Error(`input ${value.name} is no constant`);
    const known = results.get(value);
    if (known) return known;
    const data = value.operator.reference(value.inputs.map(compute), value.attributes, value.shape);
    for (const read of value.inputs) {
      const left = readersLeft.get(read)! - 1;
      readersLeft.set(read, left);
      if (left === 0) results.delete(read);
    }
    const result = { shape: value.shape, data };
    if (readersLeft.has(value)) results.set(value, result);
    return result;
  };

  const folded = new Map<string, Tensor>();
  const parameters: Parameter[] = [...program.parameters];
  const replacements = new Map<Operation, Parameter>();
  const readByOthers = new Set<Value>(program.outputs.values());
  for (const operation of program.operations) {
    if (!constants.has(operation)) for (const value of operation.inputs) readByOthers.add(value);
  }
  for (const operation of program.operations) {
    if (!constants.has(operation) || !readByOthers.has(operation)) continue;
    const name = `folded_${folded.size}`;
    const { shape, data } = compute(operation);
    folded.set(name, { dtype: 'float32', shape, data: data instanceof Float32Array ? data : new Float32Array(data) });
    const parameter: Parameter = {
      kind: 'parameter',
      name,
      shape,
      dtype: 'float32',
      initializer: { kind: 'constant', value: 0 },
      trainable: false,
    };
    replacements.set(operation, parameter);
    parameters.push(parameter);
  }

  const result = { ...rewrite(program, (operation, original) => replacements.get(original) ?? operation), parameters };
  const used = usedParameters(result);
  const kept = new Map<string, Tensor>();
  for (const { name } of used) {
    const value = folded.get(name) ?? weights.get(name);
    if (value) kept.set(name, value);
  }
  return { program: { ...result, parameters: used }, weights: kept };
}
