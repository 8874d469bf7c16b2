/**
 * The ONNX file as plain records. Knows nothing of programs; encode.ts turns the records into bytes.
 * Fields and their meaning: onnx.proto3 of the ONNX standard (IR version 10).
 */
import type { DataType, Shape } from '../tensor.ts';

export type OnnxAttribute =
  | { readonly int: number }
  | { readonly float: number }
  | { readonly ints: readonly number[] }
  | { readonly string: string };

export interface OnnxNode {
  readonly type: string;
  /** Empty for the standard's own operators. */
  readonly domain: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

/** Where an initializer's bytes lie when not in the model itself: a file beside the model. */
export interface ExternalLocation {
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

export interface OnnxInitializer {
  readonly name: string;
  readonly dtype: DataType;
  readonly shape: Shape;
  /** Little-endian, C order. */
  readonly bytes: Uint8Array;
}

export interface OnnxValueInfo {
  readonly name: string;
  readonly dtype: DataType;
  readonly shape: Shape;
}

export interface OnnxModel {
  readonly graphName: string;
  readonly opset: number;
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxInitializer[];
  readonly inputs: readonly OnnxValueInfo[];
  readonly outputs: readonly OnnxValueInfo[];
  /** Free text beside the graph: what the model is, its settings, its license. */
  readonly metadata: Readonly<Record<string, string>>;
}
