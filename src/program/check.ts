/**
 * The grammar of a program, checked between passes in tests: order, shapes, types and names.
 */
import { sameShape, showShape } from '../tensor.ts';
import type { Program, Value } from './program.ts';

/** @throws Error that names the first operation that breaks a rule. */
export function check(program: Program): void {
  const known = new Set<Value>([...program.inputs, ...program.parameters]);
  const names = new Set<string>();
  for (const value of [...program.inputs, ...program.parameters]) {
    if (names.has(value.name)) throw new Error(`two inputs or parameters are named '${value.name}'`);
    names.add(value.name);
  }
  program.operations.forEach((operation, index) => {
    const where = `%${index} ${operation.operator.name}${operation.scope === '' ? '' : ` in ${operation.scope}`}`;
    for (const value of operation.inputs) {
      if (value.kind !== 'constant' && !known.has(value)) {
        const what = value.kind === 'operation' ? `a ${value.operator.name}` : `${value.kind} '${value.name}'`;
        throw new Error(`${where} reads ${what} that is not declared before it`);
      }
      if (value.dtype !== operation.inputs[0].dtype)
        throw new Error(`${where} mixes ${operation.inputs[0].dtype} and ${value.dtype}`);
    }
    const shape = operation.operator.shape(operation.inputs, operation.attributes);
    if (!sameShape(shape, operation.shape)) {
      throw new Error(`${where} is recorded as ${showShape(operation.shape)}, its rule gives ${showShape(shape)}`);
    }
    if (known.has(operation)) throw new Error(`${where} stands in the list twice`);
    known.add(operation);
  });
  for (const [name, value] of program.outputs) {
    if (value.kind !== 'constant' && !known.has(value)) throw new Error(`output '${name}' is not computed`);
  }
}
