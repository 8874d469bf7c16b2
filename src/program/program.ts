/**
 * A program: a graph of operators with named inputs, parameters and outputs, all of static shape.
 *
 * Values are immutable records that point at the values they are computed from; a program is what its outputs reach.
 * Networks are plain functions that call operators inside `buildProgram`; scopes give parameters their dotted names and
 * errors their place. What an operator means stands in its own record (operator.ts, operators/).
 */
import { type DataType, elementCount, type Shape, sameShape, showShape, type Tensor } from '../tensor.ts';
import type { Attributes, Constant, Initializer, Input, Operation, Operator, Parameter, Value } from './operator.ts';

export type { Constant, Initializer, Input, Operation, Parameter, Value } from './operator.ts';

export interface Program {
  readonly name: string;
  readonly inputs: readonly Input[];
  /** Every parameter that was declared, reached by the outputs or not, in the network's order. */
  readonly parameters: readonly Parameter[];
  /** Second names of parameters, as a checkpoint lists them: name -> name of the parameter it shares. */
  readonly aliases: ReadonlyMap<string, string>;
  readonly outputs: ReadonlyMap<string, Value>;
  /** Values that were named while building, so that `withOutputs` can ask for them. They cost nothing unasked. */
  readonly taps: ReadonlyMap<string, Value>;
  /** What the outputs reach, each after the operations it reads. */
  readonly operations: readonly Operation[];
}

/** A shape or type that an operator cannot take. The message names the operator, the scope and the shapes. */
export class ShapeError extends Error {
  override readonly name = 'ShapeError';
}

interface Builder {
  readonly scopes: string[];
  readonly inputs: Input[];
  readonly parameters: Map<string, Parameter>;
  readonly aliases: Map<string, string>;
  readonly taps: Map<string, Value>;
}

// Building is synchronous, so one stack of builders serves: the innermost buildProgram is the current one.
const builders: Builder[] = [];

function currentBuilder(what: string): Builder {
  const builder = builders.at(-1);
  if (!builder) throw new Error(`${what} is only possible inside buildProgram(...)`);
  return builder;
}

/** Opens a scope: parameters declared inside are named `path.name`, errors say where they arose. */
export function scope<T>(name: string, body: () => T): T {
  const builder = currentBuilder(`scope '${name}'`);
  builder.scopes.push(name);
  try {
    return body();
  } finally {
    builder.scopes.pop();
  }
}

function qualified(builder: Builder, name: string): string {
  return [...builder.scopes, name].join('.');
}

export function input(name: string, shape: Shape, dtype: DataType = 'float32'): Input {
  const builder = currentBuilder(`input '${name}'`);
  if (builder.inputs.some((other) => other.name === name)) throw new Error(`input '${name}' is declared twice`);
  const value: Input = { kind: 'input', name, shape, dtype };
  builder.inputs.push(value);
  return value;
}

/** An input named after the current scope, `NAME.SCOPE`: for what every place of its kind needs for itself. */
export function scopedInput(name: string, shape: Shape): Input {
  return input([name, ...currentBuilder(`input '${name}'`).scopes].join('.'), shape);
}

/** Declares a parameter under the current scope. Declared again with the same shape, it is the same parameter. */
export function parameter(
  name: string,
  shape: Shape,
  initializer: Initializer,
  options: { trainable?: boolean } = {},
): Parameter {
  const builder = currentBuilder(`parameter '${name}'`);
  const path = qualified(builder, name);
  const known = builder.parameters.get(path);
  if (known) {
    if (sameShape(known.shape, shape)) return known;
    throw new ShapeError(`parameter ${path} is declared as ${showShape(known.shape)} and again as ${showShape(shape)}`);
  }
  const value: Parameter = {
    kind: 'parameter',
    name: path,
    shape,
    dtype: 'float32',
    initializer,
    trainable: options.trainable ?? true,
  };
  builder.parameters.set(path, value);
  return value;
}

/** Gives a parameter a second name under the current scope. */
export function alias(name: string, of: Parameter): void {
  const builder = currentBuilder(`alias '${name}'`);
  builder.aliases.set(qualified(builder, name), of.name);
}

export function constant(value: Tensor): Constant {
  return { kind: 'constant', value, shape: value.shape, dtype: value.dtype };
}

/** A float32 scalar, or `shape` filled with one number. The number itself stays exact for the float64 reference. */
export function filled(number: number, shape: Shape = []): Constant {
  return exactConstant(shape, new Float64Array(elementCount(shape)).fill(number));
}

/** A float32 constant whose numbers stay exact for the float64 reference. */
export function exactConstant(shape: Shape, data: Float64Array): Constant {
  return { kind: 'constant', value: { dtype: 'float64', shape, data }, shape, dtype: 'float32' };
}

/** Names a value under the current scope for `withOutputs`; returns it. */
export function tap<V extends Value>(name: string, value: V): V {
  const builder = currentBuilder(`tap '${name}'`);
  builder.taps.set(qualified(builder, name), value);
  return value;
}

/**
 * Builds a program from a function that declares inputs and parameters and returns the outputs by name.
 * @param order sorts the parameter list (stable): lower numbers first. Default: order of declaration.
 */
export function buildProgram(
  name: string,
  body: () => Record<string, Value>,
  order: (parameterName: string) => number = () => 0,
): Program {
  const builder: Builder = { scopes: [], inputs: [], parameters: new Map(), aliases: new Map(), taps: new Map() };
  const outputs = new Map(Object.entries(building(builder, body)));
  return {
    name,
    inputs: builder.inputs,
    parameters: [...builder.parameters.values()].sort((a, b) => order(a.name) - order(b.name)),
    aliases: builder.aliases,
    outputs,
    taps: builder.taps,
    operations: operationsBehind(outputs.values()),
  };
}

function building<T>(builder: Builder, body: () => T): T {
  builders.push(builder);
  try {
    return body();
  } finally {
    builders.pop();
  }
}

/**
 * Applies an operator to values.
 * @throws ShapeError naming the operator, the scope path and the shapes when the shape rule refuses.
 */
export function apply(record: Operator, inputs: readonly Value[], attributes: Attributes = {}): Operation {
  const path = builders.at(-1)?.scopes.join('.') ?? '';
  let shape: Shape;
  try {
    const mixed = inputs.find((value) => value.dtype !== inputs[0].dtype);
    if (mixed) throw new Error(`types ${inputs[0].dtype} and ${mixed.dtype} do not mix`);
    shape = record.shape(inputs, attributes);
  } catch (cause) {
    const shapes = inputs.map((value) => showShape(value.shape)).join(', ');
    const where = path === '' ? '' : ` in ${path}`;
    throw new ShapeError(`${record.name}${where}: ${(cause as Error).message} (inputs: ${shapes})`, { cause });
  }
  return { kind: 'operation', operator: record, inputs, attributes, shape, dtype: inputs[0].dtype, scope: path };
}

/** Every operation that the values reach, inputs before their readers. Iterative: programs are thousands deep. */
export function operationsBehind(values: Iterable<Value>): Operation[] {
  const order: Operation[] = [];
  const seen = new Set<Value>();
  for (const root of values) {
    const stack: { value: Value; next: number }[] = [{ value: root, next: 0 }];
    while (stack.length > 0) {
      const frame = stack[stack.length - 1];
      const { value } = frame;
      if (value.kind !== 'operation' || (frame.next === 0 && seen.has(value))) {
        stack.pop();
        continue;
      }
      seen.add(value);
      if (frame.next < value.inputs.length) {
        stack.push({ value: value.inputs[frame.next++], next: 0 });
      } else {
        order.push(value);
        stack.pop();
      }
    }
  }
  return order;
}

/** The same program with other outputs, each an output or a tap of the old one. */
export function withOutputs(program: Program, names: readonly string[]): Program {
  const outputs = new Map<string, Value>();
  for (const name of names) {
    const value = program.outputs.get(name) ?? program.taps.get(name);
    if (!value) throw new Error(`program ${program.name} has no output or tap '${name}'`);
    outputs.set(name, value);
  }
  return { ...program, outputs, operations: operationsBehind(outputs.values()) };
}

/** The parameters that the outputs really read, in the program's order. */
export function usedParameters(program: Program): Parameter[] {
  const used = new Set<Value>(program.outputs.values());
  for (const operation of program.operations) for (const value of operation.inputs) used.add(value);
  return program.parameters.filter((value) => used.has(value));
}

/**
 * The same program with its outputs replaced by values computed from them. `change` may declare inputs and parameters, as
 * inside `buildProgram`.
 */
export function replaceOutputs(
  program: Program,
  change: (outputs: Readonly<Record<string, Value>>) => Record<string, Value>,
): Program {
  const builder: Builder = {
    scopes: [],
    inputs: [...program.inputs],
    parameters: new Map(program.parameters.map((each) => [each.name, each])),
    aliases: new Map(program.aliases),
    taps: new Map(program.taps),
  };
  const outputs = new Map(Object.entries(building(builder, () => change(Object.fromEntries(program.outputs)))));
  const { inputs, aliases, taps } = builder;
  const parameters = [...builder.parameters.values()];
  return { ...program, inputs, parameters, aliases, taps, outputs, operations: operationsBehind(outputs.values()) };
}
