/**
 * A program as text, one line an operation: what tests compare and what a person reads.
 */
import type { Attributes, TensorType } from './operator.ts';
import type { Program, Value } from './program.ts';

function showType(type: TensorType): string {
  return `${type.dtype}[${type.shape.join(',')}]`;
}

function showAttributes(attributes: Attributes): string {
  const parts = Object.entries(attributes).map(
    ([name, value]) => `${name}=${Array.isArray(value) ? `[${value}]` : value}`,
  );
  return parts.length === 0 ? '' : ` {${parts.join(' ')}}`;
}

/** Parameters are listed only when the outputs reach them. */
export function print(program: Program): string {
  const names = new Map<Value, string>();
  program.operations.forEach((operation, index) => {
    names.set(operation, `%${index}`);
  });
  const nameOf = (value: Value): string => {
    if (value.kind === 'operation') return names.get(value) ?? '%?';
    if (value.kind !== 'constant') return value.name;
    return value.value.data.length === 1 ? String(value.value.data[0]) : `constant ${showType(value)}`;
  };
  const reached = new Set(program.operations.flatMap((operation) => operation.inputs));
  const lines = [`program ${program.name}`];
  for (const value of program.inputs) lines.push(`  input ${value.name}: ${showType(value)}`);
  for (const value of program.parameters) {
    if (reached.has(value))
      lines.push(`  ${value.trainable ? 'parameter' : 'statistic'} ${value.name}: ${showType(value)}`);
  }
  for (const operation of program.operations) {
    const call = `${operation.operator.name}(${operation.inputs.map(nameOf).join(', ')})`;
    const where = operation.scope === '' ? '' : `  # ${operation.scope}`;
    lines.push(
      `  ${nameOf(operation)} = ${call}${showAttributes(operation.attributes)}: ${showType(operation)}${where}`,
    );
  }
  for (const [name, value] of program.outputs) lines.push(`  return ${name} = ${nameOf(value)}`);
  return `${lines.join('\n')}\n`;
}
