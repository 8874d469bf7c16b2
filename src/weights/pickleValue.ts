/**
 * What a pickle may turn into: plain values, and a few tagged records for what PyTorch and NumPy write. Nothing here
 * has behavior; a value is safe to hold, whatever file it came from.
 */
import type { DataByType, DataType } from '../tensor.ts';

export type PickleValue =
  | null
  | boolean
  /** Python's int and float. */
  | number
  /** An int beyond 2^53. */
  | bigint
  | string
  /** bytes and bytearray; a view of the file. */
  | Uint8Array
  /** list and tuple. */
  | PickleValue[]
  /** dict and OrderedDict. */
  | Map<PickleValue, PickleValue>
  /** set and frozenset. */
  | Set<PickleValue>
  | PickleRecord;

export type PickleRecord = GlobalReference | Opaque | StorageRecord | TensorRecord | NumpyType | NumpyArray;

/** A name of the allow-list, as a value: a class or function that the file refers to. */
export interface GlobalReference {
  readonly kind: 'global';
  /** `module.name` */
  readonly name: string;
}

/** Stands for what was not constructed, because its class is not on the allow-list (`unknown: 'skip'`). */
export interface Opaque {
  readonly kind: 'opaque';
  readonly global: string;
}

/** Numbers that tensors share. Where their bytes are is the container's matter. */
export interface StorageRecord {
  readonly kind: 'storage';
  readonly key: string;
  readonly dtype: DataType;
  /** Elements. */
  readonly numel: number;
  /** A part of another storage (files before PyTorch 0.4), which begins at element `first` of it. */
  readonly partOf?: { readonly key: string; readonly first: number; readonly numel: number };
}

/** A strided view of a storage; offset and stride in elements. */
export interface TensorRecord {
  readonly kind: 'tensor';
  readonly storage: StorageRecord;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
}

/** A NumPy dtype: letter and bytes of its code, as `f` and 8 of `f8`, or `U` and 5 of `U5`. */
export interface NumpyType {
  readonly kind: 'dtype';
  readonly letter: string;
  readonly size: number;
  bigEndian: boolean;
}

export interface NumpyDataByType extends DataByType {
  uint16: Uint16Array;
  uint32: Uint32Array;
  uint64: BigUint64Array;
  text: string[];
}

/** A NumPy array in C order; a `Tensor` where `DataType` has its type. */
export interface NumpyArray<D extends keyof NumpyDataByType = keyof NumpyDataByType> {
  readonly kind: 'array';
  dtype: D;
  shape: readonly number[];
  data: NumpyDataByType[D];
}

export function isKind<K extends PickleRecord['kind']>(
  value: PickleValue | undefined,
  kind: K,
): value is Extract<PickleRecord, { kind: K }> {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind;
}

export function isWhole(value: PickleValue | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** A shape, a stride or the like: at most 64 whole numbers, as in PyTorch and NumPy. */
export function isSizes(value: PickleValue | undefined): value is number[] {
  return Array.isArray(value) && value.length <= 64 && value.every(isWhole);
}

/** What a value is, for messages. */
export function nameKind(value: PickleValue | undefined): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'None';
  if (typeof value === 'string') return 'a text';
  if (typeof value !== 'object') return `a ${typeof value}`;
  if (Array.isArray(value)) return 'a list';
  if (value instanceof Map) return 'a dictionary';
  if (value instanceof Set) return 'a set';
  if (value instanceof Uint8Array) return 'bytes';
  return value.kind === 'global' ? value.name : `a record of kind ${value.kind}`;
}
