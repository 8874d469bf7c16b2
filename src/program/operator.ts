/**
 * What an operator is: one record with its shape rule, its ONNX form, its slow float64 definition and its cost.
 *
 * All fields are required, so an operator that lacks a rule does not compile. A new operator is one record in a file of
 * operators/ and one line in operators/index.ts.
 */
import type { OnnxAttribute } from '../onnx/index.ts';
import type { DataType, Shape } from '../tensor.ts';

export interface TensorType {
  readonly shape: Shape;
  readonly dtype: DataType;
}

export type AttributeValue = number | string | boolean | readonly number[];
export type Attributes = Readonly<Record<string, AttributeValue>>;

/** Numbers of the slow reference, in C order. Arithmetic gives float64; movement gives the type that it was given. */
export type Numbers = Float64Array | Float32Array;

export interface Reference {
  readonly shape: Shape;
  readonly data: Numbers;
}

/** What an operator's ONNX form may write into the graph. Names of tensors go in and out. */
export interface OnnxEmitter {
  /** Adds a node with one output and returns the output's name. Empty input names are absent optional inputs. */
  node(type: string, inputs: readonly string[], attributes?: Record<string, OnnxAttribute>): string;
  /** An int64 vector as an initializer (shapes, axes, pads). */
  int64s(values: readonly number[]): string;
  /** A float32 scalar as an initializer. */
  float32(value: number): string;
}

/** Multiply-adds by what they are spent on; the rules of counting are in cost.ts. */
export interface OperatorCost {
  readonly kind: 'convolution' | 'transposedConvolution' | 'product';
  readonly multiplyAdds: number;
}

export interface Operator<A extends Attributes = Attributes> {
  readonly name: string;
  /** Shape of the result. Throws an Error whose message says which sizes disagree. */
  shape(inputs: readonly TensorType[], attributes: A): Shape;
  /** Writes the ONNX nodes and returns the name of the result. */
  onnx(emit: OnnxEmitter, inputs: readonly string[], node: OnnxNodeView<A>): string;
  /** The definition that the tests trust: plain loops in float64. */
  reference(inputs: readonly Reference[], attributes: A, shape: Shape): Numbers;
  /** Undefined where nothing is counted (additions, norms, activations, movement). */
  readonly cost: ((inputs: readonly TensorType[], shape: Shape, attributes: A) => OperatorCost) | undefined;
}

export interface OnnxNodeView<A extends Attributes> {
  readonly types: readonly TensorType[];
  readonly shape: Shape;
  readonly attributes: A;
}

/** Types an operator record by its own attributes and hands it to the graph, which holds operators of all kinds. */
export function operator<A extends Attributes>(record: Operator<A>): Operator {
  return record as unknown as Operator;
}
