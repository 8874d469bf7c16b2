/**
 * The frame of all passes: rebuild a program from its outputs, giving each operation the chance to become something else.
 */
import { type Operation, operationsBehind, type Program, type Value } from '../program.ts';

/**
 * @param replace sees an operation with its inputs already rewritten, and the operation as it was in `program`; it
 *   returns what stands for it. Operations that nothing reads any more fall away.
 */
export function rewrite(program: Program, replace: (operation: Operation, original: Operation) => Value): Program {
  const replaced = new Map<Value, Value>();
  for (const operation of program.operations) {
    const inputs = operation.inputs.map((value) => replaced.get(value) ?? value);
    const same = inputs.every((value, index) => value === operation.inputs[index]);
    replaced.set(operation, replace(same ? operation : { ...operation, inputs }, operation));
  }
  const outputs = new Map([...program.outputs].map(([name, value]) => [name, replaced.get(value) ?? value]));
  return { ...program, outputs, operations: operationsBehind(outputs.values()), taps: new Map() };
}

/** Whether a list among an operation's attributes holds one number throughout. */
export function holds(operation: Operation, attribute: string, number: number): boolean {
  return (operation.attributes[attribute] as readonly number[]).every((element) => element === number);
}

/** How many operations and outputs read each value: a pass must not fold a value that someone else still reads. */
export function countReaders(program: Program): Map<Value, number> {
  const readers = new Map<Value, number>();
  const read = (value: Value) => readers.set(value, (readers.get(value) ?? 0) + 1);
  for (const operation of program.operations) operation.inputs.forEach(read);
  for (const value of program.outputs.values()) read(value);
  return readers;
}
