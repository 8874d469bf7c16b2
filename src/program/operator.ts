/**
 * What an operator is: one record with its shape rule, its gradient, its ONNX form, its slow float64 definition and its
 * cost. And the values of a program, which operators take and give.
 *
 * All fields are required, so an operator that lacks a rule does not compile. A new operator is one record in a file of
 * operators/ and one line in operators/index.ts.
 */
import type { OnnxAttribute } from '../onnx/index.ts';
import type { DataType, Shape, Tensor } from '../tensor.ts';

export interface TensorType {
  readonly shape: Shape;
  readonly dtype: DataType;
}

export interface Input extends TensorType {
  readonly kind: 'input';
  readonly name: string;
}

export interface Parameter extends TensorType {
  readonly kind: 'parameter';
  readonly name: string;
  readonly initializer: Initializer;
  /** False for running statistics: they are stored with the weights but no gradient reaches them. */
  readonly trainable: boolean;
}

export interface Constant extends TensorType {
  readonly kind: 'constant';
  /** May be kept in float64 where the program's type is float32: it is rounded when it is emitted. */
  readonly value: Tensor;
}

export interface Operation extends TensorType {
  readonly kind: 'operation';
  readonly operator: Operator;
  readonly inputs: readonly Value[];
  readonly attributes: Attributes;
  /** Dotted path of the scopes in which the operator was applied. */
  readonly scope: string;
}

export type Value = Input | Parameter | Constant | Operation;

/** How a fresh parameter is filled; carried out in weights/initialization.ts. */
export type Initializer =
  | { readonly kind: 'constant'; readonly value: number }
  /** Normal distribution of mean 0, cut at +-`cut` by redrawing. */
  | { readonly kind: 'truncatedNormal'; readonly deviation: number; readonly cut: number }
  /** Uniform in [-bound, bound). */
  | { readonly kind: 'uniform'; readonly bound: number };

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
  /**
   * Adds a node and returns the name of its first output. Empty input names are absent optional inputs.
   * @param type of ONNX; or `com.microsoft.NAME`, an operator of ONNX Runtime's own
   * @param unread outputs that the node must have besides the first and that nobody reads; default 0
   */
  node(type: string, inputs: readonly string[], attributes?: Record<string, OnnxAttribute>, unread?: number): string;
  /** An int64 vector as an initializer (shapes, axes, pads). */
  int64s(values: readonly number[]): string;
  /** A float32 scalar as an initializer. */
  float32(value: number): string;
  /** A float32 initializer full of ones. */
  ones(shape: Shape): string;
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
  /** Reverse mode: from the gradient of the result to those of the inputs; or why there is none. */
  readonly gradient: Gradient<A> | NoGradient;
  /** Writes the ONNX nodes and returns the name of the result. */
  onnx(emit: OnnxEmitter, inputs: readonly string[], node: OnnxNodeView<A>): string;
  /** The definition that the tests trust: plain loops in float64. */
  reference(inputs: readonly Reference[], attributes: A, shape: Shape): Numbers;
  /** Undefined where nothing is counted (additions, norms, activations, movement). */
  readonly cost: ((inputs: readonly TensorType[], shape: Shape, attributes: A) => OperatorCost) | undefined;
}

/**
 * @param dy gradient of a scalar with respect to the result, of its shape
 * @returns the gradient for each input, of the input's shape; undefined where none is to be had (statistics, indices)
 */
type Gradient<A extends Attributes> = (
  dy: Value,
  node: { readonly inputs: readonly Value[]; readonly output: Value; readonly attributes: A },
) => readonly (Value | undefined)[];

/** The reason why an operator has no gradient. */
interface NoGradient {
  readonly none: string;
}

interface OnnxNodeView<A extends Attributes> {
  readonly types: readonly TensorType[];
  readonly shape: Shape;
  readonly attributes: A;
}

/** Types an operator record by its own attributes and hands it to the graph, which holds operators of all kinds. */
export function operator<A extends Attributes>(record: Operator<A>): Operator {
  return record as unknown as Operator;
}
