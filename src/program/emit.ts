/**
 * A program as an ONNX model: each operator writes its own nodes; parameters become initializers.
 */
import type { OnnxInitializer, OnnxModel, OnnxNode } from '../onnx/index.ts';
import { bytesOf, elementCount, sameShape, showShape, type Tensor, toFloat32 } from '../tensor.ts';
import type { OnnxEmitter } from './operator.ts';
import { type Program, usedParameters, type Value } from './program.ts';

/** LayerNormalization needs 17, reductions with axes as an input 18. */
const opset = 18;

/** Operators of ONNX Runtime's own are named with it. */
const runtimeDomain = 'com.microsoft.';

/**
 * @param weights parameters by name; a parameter that is not among them becomes an input of the graph
 * @throws Error when a weight has another shape than its parameter
 */
export function emit(
  program: Program,
  weights: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): OnnxModel {
  const nodes: OnnxNode[] = [];
  const initializers = new Map<string, OnnxInitializer>();
  const names = new Map<Value, string>();
  const inputs = program.inputs.map(({ name, dtype, shape }) => ({ name, dtype, shape }));
  const outputNames = new Map<Value, string>();
  for (const [name, value] of program.outputs) if (!outputNames.has(value)) outputNames.set(value, name);

  const initializer = (name: string, value: Tensor) => {
    initializers.set(name, { name, dtype: value.dtype, shape: value.shape, bytes: bytesOf(value) });
    return name;
  };

  for (const value of program.inputs) names.set(value, value.name);
  for (const value of usedParameters(program)) {
    const weight = weights.get(value.name);
    names.set(value, value.name);
    if (!weight) {
      inputs.push({ name: value.name, dtype: value.dtype, shape: value.shape });
      continue;
    }
    if (!sameShape(weight.shape, value.shape) || weight.dtype !== value.dtype) {
      throw new Error(
        `weight ${value.name} is ${weight.dtype} ${showShape(weight.shape)}, the program wants ${value.dtype} ${showShape(value.shape)}`,
      );
    }
    initializer(value.name, weight);
  }

  const nameOf = (value: Value): string => {
    const known = names.get(value);
    if (known !== undefined) return known;
    if (value.kind !== 'constant') throw new Error('a value is read before it is written');
    const exact = value.value.dtype === value.dtype ? value.value : toFloat32(value.value);
    const name = initializer(`constant_${initializers.size}`, exact);
    names.set(value, name);
    return name;
  };

  program.operations.forEach((operation, index) => {
    // The last node that an operator writes carries the operation's name; earlier ones count up from it.
    const stem = `${operation.scope === '' ? '' : `${operation.scope}/`}${operation.operator.name}_${index}`;
    let written = 0;
    const emitter: OnnxEmitter = {
      node(type, nodeInputs, attributes = {}, unread = 0) {
        const name = written++ === 0 ? stem : `${stem}_${written}`;
        const outputs = [name, ...Array.from({ length: unread }, (_, at) => `${name}_unread${at + 1}`)];
        const [domain, operator] = type.startsWith(runtimeDomain)
          ? [runtimeDomain.slice(0, -1), type.slice(runtimeDomain.length)]
          : ['', type];
        nodes.push({ type: operator, domain, name, inputs: [...nodeInputs], outputs, attributes });
        return name;
      },
      int64s(values) {
        return initializer(`int64_${values.join('_')}`, {
          dtype: 'int64',
          shape: [values.length],
          data: BigInt64Array.from(values, BigInt),
        });
      },
      float32(value) {
        return initializer(`float32_${value}`, { dtype: 'float32', shape: [], data: Float32Array.of(value) });
      },
      ones(shape) {
        const data = new Float32Array(elementCount(shape)).fill(1);
        return initializer(`ones_${shape.join('_')}`, { dtype: 'float32', shape, data });
      },
    };
    const result = operation.operator.onnx(emitter, operation.inputs.map(nameOf), {
      types: operation.inputs,
      shape: operation.shape,
      attributes: operation.attributes,
    });
    names.set(operation, result);
  });

  // Names of outputs are the user's; a copy node would cost a pass, so the writing node is renamed where it can be.
  const renamed = new Map<string, string>();
  for (const [value, name] of outputNames) if (value.kind === 'operation') renamed.set(names.get(value)!, name);
  const final = (name: string) => renamed.get(name) ?? name;
  const written = nodes.map((node) => ({
    ...node,
    inputs: node.inputs.map(final),
    outputs: node.outputs.map(final),
  }));
  const outputs = [...program.outputs].map(([name, value]) => {
    if (value.kind !== 'operation' || outputNames.get(value) !== name) {
      const inputs = [final(nameOf(value))];
      written.push({ type: 'Identity', domain: '', name: `output_${name}`, inputs, outputs: [name], attributes: {} });
    }
    return { name, dtype: value.dtype, shape: value.shape };
  });

  const initialized = [...initializers.values()];
  return { graphName: program.name, opset, nodes: written, initializers: initialized, inputs, outputs, metadata };
}
