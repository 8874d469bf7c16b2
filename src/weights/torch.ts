/**
 * PyTorch checkpoints without Python: the zip container of today, the container of old (five pickles and raw storages),
 * and a plain pickle. The pickle inside is read by pickle.ts, which executes nothing; storages are views of the file.
 */
import { bytesPerElement, type DataType, type Shape, type Tensor, viewBytes } from '../tensor.ts';
import { swapBytes } from './byteOrder.ts';
import { CheckpointError } from './checkpointError.ts';
import { type PickleOptions, unpickle } from './pickle.ts';
import { isKind, type PickleValue, type StorageRecord, type TensorRecord } from './pickleValue.ts';
import { quote } from './quote.ts';
import { gather, isContiguous, viewCount, viewEnd } from './strided.ts';
import { isZip, readZipDirectory } from './zipDirectory.ts';

export interface CheckpointTensor {
  /** Keys from the root, each after a slash: `/state_dict/out1.conv.conv.weight`. */
  readonly path: string;
  readonly shape: Shape;
  readonly dtype: DataType;
  /** In elements. */
  readonly stride: Shape;
  /** First element in the storage. */
  readonly offset: number;
  readonly storage: StorageRecord;
  /** Path of the first tensor that is the same view of the same storage. */
  readonly aliasOf: string | undefined;
  /** A view of the file where the tensor lies in C order there, else a copy. */
  read(): Tensor;
}

export interface Checkpoint {
  readonly container: 'zip' | 'legacy' | 'pickle';
  readonly pickleProtocol: number;
  readonly root: PickleValue;
  /** Every tensor, in the order of the file. */
  readonly tensors: readonly CheckpointTensor[];
}

export interface CheckpointOptions {
  /** What to call the file in messages. */
  readonly name?: string;
  /** Skip what is not allowed in place of refusing the file: the tensors beside it can be read. */
  readonly tensorsOnly?: boolean;
}

type ReadStorage = (storage: StorageRecord) => Uint8Array;

/** @throws CheckpointError, whose `kind` says why */
export function readCheckpoint(bytes: Uint8Array, options: CheckpointOptions = {}): Checkpoint {
  const name = options.name ?? 'the checkpoint';
  const pickle: PickleOptions = { name, unknown: options.tensorsOnly ? 'skip' : 'refuse' };
  if (bytes.length === 0) throw new CheckpointError('not-a-checkpoint', `${name} is empty; it is no checkpoint.`);
  if (isZip(bytes)) return fromZip(bytes, name, pickle);
  return beginsWithMagic(bytes) ? fromLegacy(bytes, name, pickle) : fromPickle(bytes, name, pickle);
}

// --- zip ---

function fromZip(bytes: Uint8Array, name: string, options: PickleOptions): Checkpoint {
  const entries = readZipDirectory(bytes, name);
  const pickled = [...entries.keys()].find((entry) => entry === 'data.pkl' || entry.endsWith('/data.pkl'));
  if (pickled === undefined) {
    throw new CheckpointError(
      'not-a-checkpoint',
      `${name} is a zip file without a data.pkl; it is no PyTorch checkpoint.`,
    );
  }
  const root = pickled.slice(0, -'data.pkl'.length);
  const order = entries.get(`${root}byteorder`)?.read();
  const bigEndian = order !== undefined && new TextDecoder().decode(order).trim() === 'big';
  const { value, protocol } = unpickle(entries.get(pickled)!.read(), 0, options);
  const readStorage: ReadStorage = ({ key, dtype, numel }) => {
    const entry = entries.get(`${root}data/${key}`);
    if (!entry) {
      throw new CheckpointError(
        'truncated',
        `${name} is incomplete: the record data/${key} of its weights is missing.`,
      );
    }
    const needed = numel * bytesPerElement[dtype];
    if (entry.size < needed) {
      throw new CheckpointError(
        'truncated',
        `${name} is truncated: the record data/${key} has ${entry.size} of ${needed} bytes.`,
      );
    }
    const content = entry.read();
    return bigEndian ? swapBytes(content, bytesPerElement[dtype]) : content;
  };
  return checkpoint('zip', protocol, value, name, readStorage);
}

// --- legacy ---

/** `torch.save` of old began every file with the pickle of the number 0x1950a86a20f9469cfc6c. */
const magic = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

function beginsWithMagic(bytes: Uint8Array): boolean {
  // PROTO n, (FRAME and its eight bytes,) LONG1 10 and the ten bytes of the number
  for (const at of [2, 11]) {
    if (bytes[at] === 0x8a && bytes[at + 1] === 10 && magic.every((byte, i) => bytes[at + 2 + i] === byte)) return true;
  }
  return false;
}

function fromLegacy(bytes: Uint8Array, name: string, options: PickleOptions): Checkpoint {
  // The magic number, the version of the format, what machine it was; then the object and the keys of its storages.
  let position = 0;
  const next = () => {
    const { value, protocol, end } = unpickle(bytes, position, options);
    position = end;
    return { value, protocol };
  };
  next();
  const version = next().value;
  if (version !== 1001) {
    throw new CheckpointError(
      'unsupported',
      `${name} has version ${String(version)} of PyTorch's old format; 1001 can be read.`,
    );
  }
  const machine = next().value;
  const bigEndian = machine instanceof Map && machine.get('little_endian') === false;
  const { value, protocol } = next();
  const keys = next().value;
  if (!Array.isArray(keys) || !keys.every((key) => typeof key === 'string')) {
    throw new CheckpointError('damaged', `${name} is damaged: the list of its storages is none.`);
  }

  const storages = new Map<string, StorageRecord>();
  for (const { storage } of recordsIn(value)) storages.set(storage.key, storage);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const contents = new Map<string, Uint8Array>();
  for (const key of keys as string[]) {
    const size = storages.get(key) && bytesPerElement[storages.get(key)!.dtype];
    // A storage that no tensor reads has an unknown type, and nothing behind it can be found.
    if (size === undefined) break;
    const left = bytes.length - position - 8;
    const count = left < 0 ? -1 : Number(view.getBigInt64(position, true));
    if (count < 0 || count * size > left) {
      throw new CheckpointError('truncated', `${name} is truncated: the storage ${quote(key)} reaches beyond its end.`);
    }
    contents.set(key, bytes.subarray(position + 8, position + 8 + count * size));
    position += 8 + count * size;
  }
  const readStorage: ReadStorage = ({ key, dtype }) => {
    const content = contents.get(key);
    if (!content)
      throw new CheckpointError('truncated', `${name} is incomplete: the storage ${quote(key)} is missing.`);
    return bigEndian ? swapBytes(content, bytesPerElement[dtype]) : content;
  };
  return checkpoint('legacy', protocol, value, name, readStorage);
}

// --- plain pickle ---

function fromPickle(bytes: Uint8Array, name: string, options: PickleOptions): Checkpoint {
  let found: ReturnType<typeof unpickle>;
  try {
    found = unpickle(bytes, 0, options);
  } catch (error) {
    // A file that is no pickle at all fails at its first bytes, in words about opcodes that nobody wants to read.
    if (error instanceof CheckpointError && error.kind !== 'global-not-allowed' && bytes[0] !== 0x80) {
      const cause = { cause: error };
      throw new CheckpointError(
        'not-a-checkpoint',
        `${name} is no PyTorch checkpoint: it is no zip file and no pickle.`,
        cause,
      );
    }
    throw error;
  }
  const readStorage: ReadStorage = ({ key }) => {
    throw new CheckpointError(
      'truncated',
      `${name} names the storage ${quote(key)} and is a pickle alone, without storages.`,
    );
  };
  return checkpoint('pickle', found.protocol, found.value, name, readStorage);
}

// --- tensors ---

function checkpoint(
  container: Checkpoint['container'],
  pickleProtocol: number,
  root: PickleValue,
  name: string,
  readStorage: ReadStorage,
): Checkpoint {
  const firsts = new Map<string, string>();
  const tensors = recordsIn(root).map(({ path, ...record }): CheckpointTensor => {
    const { storage, offset, shape, stride } = record;
    const identity = `${storage.key}|${storage.partOf?.first ?? 0}|${offset}|${shape}|${stride}`;
    const aliasOf = firsts.get(identity);
    if (aliasOf === undefined) firsts.set(identity, path);
    return {
      path,
      shape,
      dtype: storage.dtype,
      stride,
      offset,
      storage,
      aliasOf,
      read: () => readTensor(record, path, name, readStorage),
    };
  });
  // A storage that is missing or short is found now, not when half of the weights have been used.
  for (const storage of new Set(tensors.map((tensor) => tensor.storage))) readStorage(storage);
  return { container, pickleProtocol, root, tensors };
}

interface PlacedRecord extends TensorRecord {
  readonly path: string;
}

/** Every tensor in dictionaries and lists, with its path; containers that contain themselves are walked once. */
function recordsIn(root: PickleValue): PlacedRecord[] {
  const found: PlacedRecord[] = [];
  const open = new Set<PickleValue>();
  const walk = (value: PickleValue, path: string): void => {
    if (isKind(value, 'tensor')) {
      found.push({ ...value, path });
      return;
    }
    if (!(Array.isArray(value) || value instanceof Map) || open.has(value)) return;
    open.add(value);
    for (const [key, entry] of value.entries()) walk(entry, `${path}/${String(key)}`);
    open.delete(value);
  };
  walk(root, '');
  return found;
}

function readTensor(
  { storage, offset, shape, stride }: TensorRecord,
  path: string,
  name: string,
  readStorage: ReadStorage,
): Tensor {
  const { dtype } = storage;
  const content = readStorage(storage);
  const size = bytesPerElement[dtype];
  const start = storage.partOf?.first ?? 0;
  const available = Math.min(storage.numel, Math.floor(content.length / size) - start);
  if (viewEnd(shape, stride, offset) > available) {
    throw new CheckpointError('damaged', `${name} is damaged: the tensor ${quote(path)} reaches beyond its storage.`);
  }
  const count = viewCount(shape);
  const data = viewBytes(dtype, content.subarray(start * size, (start + available) * size));
  if (isContiguous(shape, stride)) return { dtype, shape, data: data.subarray(offset, offset + count) } as Tensor;
  const out = viewBytes(dtype, new Uint8Array(count * size));
  gather(data as ArrayLike<number>, shape, stride, offset, out as Float64Array);
  return { dtype, shape, data: out } as Tensor;
}

/** Keys under which trainers put the weights. */
const stateKeys = ['state_dict', 'network_weights', 'model_state_dict', 'model'];

/**
 * The weights by name, in the file's order: the root itself, or what trainers call it; `module.` is taken off.
 * @throws CheckpointError when no dictionary of tensors is there, naming the keys that are
 */
export function stateDict({ root, tensors }: Checkpoint, name = 'the checkpoint'): Map<string, CheckpointTensor> {
  const isState = (value: PickleValue | undefined) =>
    value instanceof Map && [...value.values()].some((entry) => isKind(entry, 'tensor'));
  const key = isState(root) ? '' : root instanceof Map ? stateKeys.find((each) => isState(root.get(each))) : undefined;
  if (key === undefined) {
    const keys = root instanceof Map ? [...root.keys()].slice(0, 8).map(String).join(', ') : 'none';
    throw new CheckpointError('not-a-checkpoint', `${name} holds no dictionary of weights; its keys are: ${keys}.`);
  }
  const prefix = key === '' ? '/' : `/${key}/`;
  const found = new Map<string, CheckpointTensor>();
  for (const tensor of tensors) {
    if (!tensor.path.startsWith(prefix)) continue;
    found.set(tensor.path.slice(prefix.length).replace(/^module\./, ''), tensor);
  }
  return found;
}
