/**
 * The only names that a pickle may use, and what each makes. Everything here returns plain values or tagged records;
 * nothing looks up, imports or runs anything by name. These are the names that PyTorch's state dictionaries and the
 * UNETR++ and nnU-Net trainers' sidecars need; a name is added here or it is refused.
 */
import type { DataType } from '../tensor.ts';
import {
  type Construction,
  emptyNumpyArray,
  latin1Bytes,
  numpyArrayFromBuffer,
  numpyScalar,
  numpyType,
  setNumpyArrayState,
  setNumpyTypeState,
} from './numpy.ts';
import {
  isKind,
  isSizes,
  isWhole,
  nameKind,
  type PickleValue,
  type StorageRecord,
  type TensorRecord,
} from './pickleValue.ts';
import { quote } from './quote.ts';
import { viewEnd } from './strided.ts';

/** What a call of the name makes. */
export type Construct = (args: readonly PickleValue[], at: Construction) => PickleValue;

const storageTypes: Record<string, DataType> = {
  'torch.DoubleStorage': 'float64',
  'torch.FloatStorage': 'float32',
  'torch.HalfStorage': 'float16',
  'torch.BFloat16Storage': 'bfloat16',
  'torch.LongStorage': 'int64',
  'torch.IntStorage': 'int32',
  'torch.ShortStorage': 'int16',
  'torch.CharStorage': 'int8',
  'torch.ByteStorage': 'uint8',
  'torch.BoolStorage': 'bool',
};

/** `undefined`: a name that is only referred to, never called. */
export const allowList: ReadonlyMap<string, Construct | undefined> = new Map<string, Construct | undefined>([
  ['collections.OrderedDict', orderedDict],
  ['torch._utils._rebuild_tensor_v2', rebuildTensor],
  ['torch._utils._rebuild_parameter', rebuildParameter],
  ...Object.keys(storageTypes).map((name): [string, undefined] => [name, undefined]),
  ['numpy.dtype', numpyType],
  ['numpy.ndarray', undefined],
  // NumPy 2 renamed `core` to `_core`; files of both kinds are about.
  ...['numpy.core', 'numpy._core'].flatMap((core): [string, Construct][] => [
    [`${core}.multiarray.scalar`, numpyScalar],
    [`${core}.multiarray._reconstruct`, emptyNumpyArray],
    [`${core}.numeric._frombuffer`, numpyArrayFromBuffer],
  ]),
  ['_codecs.encode', encodeLatin1],
]);

/** Keys of dictionaries and sets: longer texts are no names, and comparing many of them would take time out of proportion. */
const keyLimit = 4096;

export function checkKey(key: PickleValue, at: Construction): PickleValue {
  if (typeof key === 'string' && key.length > keyLimit) {
    at.fail('unsupported', `a key of ${key.length} characters is longer than ${keyLimit}`);
  }
  return key;
}

/** `dictionary[key] = value` */
export function setItem(
  dictionary: Map<PickleValue, PickleValue>,
  key: PickleValue,
  value: PickleValue,
  at: Construction,
): void {
  dictionary.set(checkKey(key, at), value);
}

/** `OrderedDict()`, or `OrderedDict([[key, value], ...])` as Python 2 wrote it. */
function orderedDict([items]: readonly PickleValue[], at: Construction): Map<PickleValue, PickleValue> {
  const dictionary = new Map<PickleValue, PickleValue>();
  if (items === undefined) return dictionary;
  if (!Array.isArray(items)) return at.fail('damaged', `an OrderedDict is made of ${nameKind(items)}`);
  at.allocate(64 * items.length);
  for (const item of items) {
    if (!Array.isArray(item) || item.length !== 2) {
      return at.fail('damaged', `an OrderedDict is made of ${nameKind(item)}, not of pairs`);
    }
    setItem(dictionary, item[0], item[1], at);
  }
  return dictionary;
}

/** `encode(text, 'latin1')`: how Python 3 writes bytes for Python 2. */
function encodeLatin1([text, encoding]: readonly PickleValue[], at: Construction): Uint8Array {
  if (typeof text !== 'string' || (encoding !== 'latin1' && encoding !== 'latin-1')) {
    return at.fail('damaged', '_codecs.encode is asked for more than the bytes of a Latin-1 text');
  }
  return latin1Bytes(text, at);
}

/**
 * A persistent id: `('storage', type, key, device, elements)`, in the legacy container followed by None or
 * `(key of the part, first element, elements of the part)`.
 */
export function storageFromId(id: PickleValue, at: Construction): StorageRecord {
  if (!Array.isArray(id) || id[0] !== 'storage') {
    return at.fail(
      'damaged',
      `the id of data outside of the pickle is ${nameKind(id)}, not that of a tensor's storage`,
    );
  }
  const [, type, key, , numel, part] = id;
  const dtype = isKind(type, 'global') ? storageTypes[type.name] : undefined;
  if (dtype === undefined) return at.fail('damaged', `a storage has ${nameKind(type)} for its type`);
  if (typeof key !== 'string' || key.length > keyLimit || !isWhole(numel)) {
    return at.fail('damaged', `a storage has ${nameKind(key)} for its key and ${nameKind(numel)} for its size`);
  }
  if (part === null || part === undefined) return { kind: 'storage', key, dtype, numel };

  const [partKey, first, length] = Array.isArray(part) ? part : [];
  if (
    typeof partKey !== 'string' ||
    partKey.length > keyLimit ||
    !isWhole(first) ||
    !isWhole(length) ||
    first + length > numel
  ) {
    return at.fail('damaged', `a part of storage ${quote(key)} lies outside of its ${numel} elements`);
  }
  return { kind: 'storage', key: partKey, dtype, numel: length, partOf: { key, first, numel } };
}

/** `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)`; the last two concern training alone. */
function rebuildTensor([storage, offset, shape, stride]: readonly PickleValue[], at: Construction): TensorRecord {
  if (!isKind(storage, 'storage')) return at.fail('damaged', `a tensor has ${nameKind(storage)} for its storage`);
  if (!isWhole(offset) || !isSizes(shape) || !isSizes(stride) || shape.length !== stride.length) {
    return at.fail('damaged', `a tensor of storage ${quote(storage.key)} has no readable offset, shape and stride`);
  }
  const end = viewEnd(shape, stride, offset);
  if (end > storage.numel) {
    return at.fail(
      'damaged',
      `a tensor of shape [${shape.join(', ')}], stride [${stride.join(', ')}] and offset ${offset} reaches element ` +
        `${end} of storage ${quote(storage.key)}, which has ${storage.numel}`,
    );
  }
  // Copies: in the pickle both may be lists, and a list may still grow.
  return { kind: 'tensor', storage, offset, shape: [...shape], stride: [...stride] };
}

/** `_rebuild_parameter(data, requires_grad, hooks)` is its data. */
function rebuildParameter([data]: readonly PickleValue[], at: Construction): TensorRecord {
  return isKind(data, 'tensor') ? data : at.fail('damaged', `a parameter has ${nameKind(data)} for its data`);
}

/** Whether a value takes a state (BUILD) after it was made; sets it. */
export function setState(value: PickleValue, state: PickleValue, at: Construction): boolean {
  if (isKind(value, 'dtype')) setNumpyTypeState(value, state, at);
  else if (isKind(value, 'array')) setNumpyArrayState(value, state, at);
  // Attributes of an OrderedDict: `state_dict()` hangs the versions of its modules on it (`_metadata`).
  else return value instanceof Map;
  return true;
}
