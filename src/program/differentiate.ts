/**
 * Reverse mode: from a program to one that also computes gradients. Walks the operations backwards and lets each operator's
 * own rule say what its inputs get; where a value is read several times, what it gets is added up.
 */
import { add } from './operators/arithmetic.ts';
import { operationsBehind, type Program, type Value } from './program.ts';

/**
 * @param loss name of an output with one element
 * @param names inputs, parameters and taps whose gradients are wanted; default: all trainable parameters that the loss reads
 * @returns the program with an output `gradient.NAME` for each of them besides its own outputs
 * @throws Error when the loss is no single number, a name is unknown or does not reach the loss, or an operator on the way
 *   has no gradient
 */
export function differentiate(program: Program, loss: string, names?: readonly string[]): Program {
  const root = program.outputs.get(loss);
  if (!root) throw new Error(`program ${program.name} has no output '${loss}'`);
  if (root.shape.some((length) => length !== 1)) {
    throw new Error(`output '${loss}' is [${root.shape}]; only a single number has a gradient`);
  }
  const gradients = new Map<Value, Value>([[root, ones(root)]]);
  const wanted = wantedValues(program, names);
  const relevant = valuesThatReach(program, wanted.values());

  for (const operation of [...program.operations].reverse()) {
    const dy = gradients.get(operation);
    if (!dy || !relevant.has(operation)) continue;
    const { gradient } = operation.operator;
    if ('none' in gradient) {
      throw new Error(
        `${operation.operator.name} in ${operation.scope || program.name} has no gradient: ${gradient.none}`,
      );
    }
    const { inputs, attributes } = operation;
    gradient(dy, { inputs, output: operation, attributes }).forEach((part, index) => {
      const input = inputs[index];
      if (!part || !relevant.has(input)) return;
      const known = gradients.get(input);
      gradients.set(input, known ? add(known, part) : part);
    });
  }

  const outputs = new Map(program.outputs);
  for (const [name, value] of wanted) {
    const found = gradients.get(value);
    if (found) outputs.set(`gradient.${name}`, found);
    else if (names) throw new Error(`output '${loss}' does not depend on '${name}'`);
  }
  return { ...program, outputs, operations: operationsBehind(outputs.values()) };
}

function wantedValues(program: Program, names: readonly string[] | undefined): Map<string, Value> {
  if (!names) return new Map(program.parameters.filter(({ trainable }) => trainable).map((each) => [each.name, each]));
  const declared = [...program.inputs, ...program.parameters];
  return new Map(
    names.map((name) => {
      const found = declared.find((value) => value.name === name) ?? program.taps.get(name);
      if (!found) throw new Error(`program ${program.name} has no input, parameter or tap '${name}'`);
      return [name, found];
    }),
  );
}

/** The wanted values and every operation that reads one of them, directly or not. */
function valuesThatReach(program: Program, wanted: Iterable<Value>): Set<Value> {
  const reached = new Set<Value>(wanted);
  for (const operation of program.operations) {
    if (operation.inputs.some((input) => reached.has(input))) reached.add(operation);
  }
  return reached;
}

function ones({ shape, dtype }: Value): Value {
  const value = { dtype: 'float64', shape, data: Float64Array.of(1) } as const;
  return { kind: 'constant', value, shape, dtype };
}
