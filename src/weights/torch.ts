/**
 * PyTorch's checkpoint files: the zip container (`torch.save` since 1.6), the legacy container before it, and a plain
 * pickle (the trainers' sidecars). Nothing in the file is executed; see pickle.ts for what it may construct.
 *
 * zip:     <root>/data.pkl names storages; <root>/data/<key> holds the bytes of each; <root>/byteorder says in which order.
 * legacy:  five pickles (magic number, protocol version, system, the object, the storage keys), then of each key the
 *          number of elements (int64) and their bytes, little-endian.
 *
 * A tensor is a strided view of a storage. Storages stay views of the file where alignment and byte order allow.
 */
import { bytesPerElement, type DataByType, type DataType, type Tensor, viewBytes } from '../tensor.ts';
import { swapBytes } from './byteOrder.ts';
import { CheckpointError } from './checkpointError.ts';
import { type PickleOptions, type Unpickled, unpickle } from './pickle.ts';
import { isKind, nameKind, type PickleValue, type StorageRecord, type TensorRecord } from './pickleValue.ts';
import { quote } from './quote.ts';
import { gather, isContiguous, viewCount } from './strided.ts';
import { isZip, readZipDirectory, type ZipEntry } from './zipDirectory.ts';

export interface CheckpointOptions {
  /** What to call the file in messages. */
  readonly name?: string;
  /**
   * Read the tensors of a file that also asks for names which are not on the allow-list: whatever those would make is
   * an `Opaque` in `root`. Still nothing of them is constructed.
   */
  readonly tensorsOnly?: boolean;
}

export interface Checkpoint {
  readonly container: 'zip' | 'legacy' | 'pickle';
  /** Of the pickle that holds the object. */
  readonly pickleProtocol: number;
  /** Everything that was saved; tensors in it are records of kind `tensor`. */
  readonly root: PickleValue;
  /** Every tensor of `root`, in the file's order. */
  readonly tensors: readonly CheckpointTensor[];
}

export interface CheckpointTensor {
  /** The keys from the root, each behind a slash: `/state_dict/conv.weight`. */
  readonly path: string;
  readonly shape: readonly number[];
  readonly dtype: DataType;
  /** Stride and offset in elements of the storage. */
  readonly stride: readonly number[];
  readonly offset: number;
  /** Tensors with one storage share its numbers. */
  readonly storage: StorageRecord;
  /** Path of the first tensor that is the same view of the same storage, where this one is not the first. */
  readonly aliasOf: string | undefined;
  /**
   * The tensor in C order: a view of the storage where it is contiguous, else a copy.
   * @throws CheckpointError when the storage's checksum is wrong
   */
  read(): Tensor;
}

/** A storage's numbers, read once. */
type ReadStorage = (storage: StorageRecord) => DataByType[DataType];

const magic = 0x1950a86a20f9469cfc6cn;
const legacyVersion = 1001;

/**
 * Reads what `torch.save` or `pickle.dump` wrote.
 * @throws CheckpointError (an InputError): not a checkpoint, cut short, damaged, or it asks to import something
 */
export function readCheckpoint(bytes: Uint8Array, options: CheckpointOptions = {}): Checkpoint {
  const name = options.name ?? 'the checkpoint';
  const file = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (file.length === 0) throw new CheckpointError('not-a-checkpoint', `${name} is not a checkpoint: it is empty.`);
  const pickle: PickleOptions = { name, unknown: options.tensorsOnly ? 'skip' : 'refuse' };
  if (isZip(file)) return readZipContainer(file, name, pickle);

  const first = readFirstPickle(file, name, pickle);
  if (first.value === magic) return readLegacyContainer(file, first.end, name, pickle);
  if (first.end !== file.length) {
    throw new CheckpointError(
      'not-a-checkpoint',
      `${name} is not a checkpoint: it begins with a pickle of ${first.end} bytes, but has ${file.length}.`,
    );
  }
  const readStorage = (storage: StorageRecord): never => missingStorage(storage, name);
  return checkpointOf('pickle', first, readStorage, () => undefined, file.length, name);
}

/** A file that does not begin like a pickle of protocol 2 or later, and is none, is some other kind of file. */
function readFirstPickle(file: Uint8Array, name: string, options: PickleOptions): Unpickled {
  try {
    return unpickle(file, 0, options);
  } catch (error) {
    const other = file[0] !== 0x80 && error instanceof CheckpointError && error.kind !== 'global-not-allowed';
    if (!other) throw error;
    throw new CheckpointError(
      'not-a-checkpoint',
      `${name} is not a checkpoint: it is neither a zip archive of torch.save nor a pickle.`,
      { cause: error },
    );
  }
}

function missingStorage(storage: StorageRecord, name: string): never {
  throw new CheckpointError(
    'truncated',
    `${name} is cut short: the numbers of storage ${quote(storage.key)}, which a tensor needs, are missing; copy or ` +
      'download it again.',
  );
}

function readZipContainer(file: Uint8Array, name: string, options: PickleOptions): Checkpoint {
  const entries = readZipDirectory(file, name);
  const pickleName = [...entries.keys()].find((entry) => /^[^/]+\/data\.pkl$/.test(entry));
  if (pickleName === undefined) {
    const found = [...entries.keys()].slice(0, 3).map(quote).join(', ') || 'nothing';
    throw new CheckpointError(
      'not-a-checkpoint',
      `${name} is not a checkpoint: it is a zip archive without the entry data.pkl (it holds ${found}).`,
    );
  }
  const root = pickleName.slice(0, -'data.pkl'.length);
  const bigEndian = isBigEndian(entries.get(`${root}byteorder`), name);
  const pickle = (entries.get(pickleName) as ZipEntry).read();

  const load = (storage: StorageRecord): Uint8Array => {
    const entry = entries.get(`${root}data/${storage.key}`) ?? missingStorage(storage, name);
    const raw = entry.read().subarray(0, storage.numel * bytesPerElement[storage.dtype]);
    return bigEndian ? swapBytes(raw, bytesPerElement[storage.dtype]) : raw;
  };
  const sizeOf = (storage: StorageRecord) => entries.get(`${root}data/${storage.key}`)?.size;
  return checkpointOf('zip', unpickle(pickle, 0, options), load, sizeOf, file.length, name);
}

/** Files before PyTorch 2.1 do not say; they come from little-endian machines. */
function isBigEndian(entry: ZipEntry | undefined, name: string): boolean {
  if (entry === undefined) return false;
  const order = entry.size > 16 ? '' : new TextDecoder().decode(entry.read()).trim();
  if (order !== 'little' && order !== 'big') {
    throw new CheckpointError('damaged', `${name} is damaged: its byte order is neither "little" nor "big".`);
  }
  return order === 'big';
}

function readLegacyContainer(file: Uint8Array, start: number, name: string, options: PickleOptions): Checkpoint {
  const version = unpickle(file, start, options);
  if (version.value !== legacyVersion) {
    const found = typeof version.value === 'number' ? `${version.value}` : nameKind(version.value);
    throw new CheckpointError(
      'unsupported',
      `${name} cannot be read: its legacy container has version ${found}; ${legacyVersion} is read.`,
    );
  }
  const system = unpickle(file, version.end, options);
  const object = unpickle(file, system.end, options);
  const keys = unpickle(file, object.end, options);
  if (!Array.isArray(keys.value)) {
    throw new CheckpointError(
      'damaged',
      `${name} is damaged: its storage keys are ${nameKind(keys.value)}, not a list.`,
    );
  }

  // The size of an element stands only with the tensors.
  const dtypes = new Map<string, DataType>();
  for (const { record } of findTensors(object.value, name)) {
    dtypes.set(record.storage.partOf?.key ?? record.storage.key, record.storage.dtype);
  }
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const places = new Map<string, Uint8Array>();
  let position = keys.end;
  let untyped: string | undefined;
  for (const key of keys.value) {
    const dtype = typeof key === 'string' ? dtypes.get(key) : undefined;
    if (dtype === undefined) {
      // Its tensors were skipped with the class that held them, so that no one knows where the next storage begins.
      untyped = typeof key === 'string' ? quote(key) : nameKind(key);
      break;
    }
    const left = file.length - position - 8;
    const length = left < 0 ? 0 : Number(view.getBigInt64(position, true)) * bytesPerElement[dtype];
    if (length < 0 || length > left) {
      const found = `${Math.max(left, 0)} bytes are left for storage ${quote(key as string)}, which has ${length}`;
      throw new CheckpointError('truncated', `${name} is cut short: ${found}; copy or download it again.`);
    }
    places.set(key as string, file.subarray(position + 8, position + 8 + length));
    position += 8 + length;
  }

  const load = (storage: StorageRecord): Uint8Array => {
    const place = places.get(storage.key);
    if (place === undefined && untyped !== undefined) {
      throw new CheckpointError(
        'unsupported',
        `${name} cannot be read: storage ${quote(storage.key)} lies behind storage ${untyped}, of whose type and size ` +
          'no tensor tells.',
      );
    }
    return place ?? missingStorage(storage, name);
  };
  return checkpointOf('legacy', object, load, (storage) => load(storage).length, file.length, name);
}

/**
 * @param load the bytes of a storage, little-endian
 * @param sizeOf how many they are, without reading them; undefined when the container lacks them
 */
function checkpointOf(
  container: Checkpoint['container'],
  { value, protocol }: Unpickled,
  load: (storage: StorageRecord) => Uint8Array,
  sizeOf: (storage: StorageRecord) => number | undefined,
  fileLength: number,
  name: string,
): Checkpoint {
  const storages = new Map<string, DataByType[DataType]>();
  const readWhole = (storage: StorageRecord) => {
    let data = storages.get(storage.key);
    if (data === undefined) {
      // Most bytes of a legacy file are not aligned; then this is the one copy, which all tensors of the storage share.
      data = viewBytes(storage.dtype, load(storage));
      storages.set(storage.key, data);
    }
    return data;
  };
  const readStorage: ReadStorage = ({ partOf, ...storage }) => {
    if (partOf === undefined) return readWhole(storage);
    return readWhole({ ...storage, ...wholeOf(partOf) }).subarray(partOf.first, partOf.first + storage.numel);
  };

  const found = findTensors(value, name);
  checkStorages(
    found.map(({ record }) => record.storage),
    sizeOf,
    name,
  );
  checkCopies(found, fileLength, name);

  const firstPaths = new Map<string, string>();
  const tensors = found.map(({ path, record }): CheckpointTensor => {
    const { storage, offset, shape, stride } = record;
    const view = JSON.stringify([storage.key, offset, shape, stride]);
    const aliasOf = firstPaths.get(view);
    if (aliasOf === undefined) firstPaths.set(view, path);
    const read = () => readTensor(record, readStorage);
    return { path, shape, dtype: storage.dtype, stride, offset, storage, aliasOf, read };
  });
  return { container, pickleProtocol: protocol, root: value, tensors };
}

function wholeOf({ key, numel }: NonNullable<StorageRecord['partOf']>): { key: string; numel: number } {
  return { key, numel };
}

function readTensor({ storage, offset, shape, stride }: TensorRecord, readStorage: ReadStorage): Tensor {
  const { dtype } = storage;
  const numbers = readStorage(storage);
  const count = viewCount(shape);
  if (isContiguous(shape, stride)) return { dtype, shape, data: numbers.subarray(offset, offset + count) };
  const data = viewBytes(dtype, new Uint8Array(count * bytesPerElement[dtype]));
  gather<number | bigint>(numbers, shape, stride, offset, data);
  return { dtype, shape, data };
}

interface FoundTensor {
  readonly path: string;
  readonly record: TensorRecord;
}

/** Dictionaries and lists may be referred to often, so that a small file can have very many paths. */
const pathLimit = 2_000_000;

/** Tensors by path, in the file's order. Nesting is bounded by `unpickle`. */
function findTensors(root: PickleValue, name: string): FoundTensor[] {
  const found = new Map<string, TensorRecord>();
  let visited = 0;
  const visit = (value: PickleValue, path: string): void => {
    if (++visited > pathLimit) {
      throw new CheckpointError('unsupported', `${name} cannot be read: it has more than ${pathLimit} values.`);
    }
    if (isKind(value, 'tensor')) {
      if (found.has(path)) {
        throw new CheckpointError('damaged', `${name} is damaged: it holds two tensors at ${quote(path)}.`);
      }
      found.set(path, value);
    } else if (value instanceof Map) {
      for (const [key, item] of value) visit(item, `${path}/${showKey(key)}`);
    } else if (Array.isArray(value)) {
      for (const [index, item] of value.entries()) visit(item, `${path}/${index}`);
    }
  };
  visit(root, '');
  return [...found].map(([path, record]) => ({ path, record }));
}

function showKey(key: PickleValue): string {
  return typeof key === 'object' ? nameKind(key) : String(key);
}

/** Every storage must be there, whole, and of one type. */
function checkStorages(
  storages: readonly StorageRecord[],
  sizeOf: (storage: StorageRecord) => number | undefined,
  name: string,
): void {
  const dtypes = new Map<string, DataType>();
  for (const { partOf, ...part } of storages) {
    const storage: StorageRecord = partOf === undefined ? part : { ...part, ...wholeOf(partOf) };
    const size = sizeOf(storage) ?? missingStorage(storage, name);
    const needed = storage.numel * bytesPerElement[storage.dtype];
    if (size < needed) {
      throw new CheckpointError(
        'truncated',
        `${name} is cut short: storage ${quote(storage.key)} has ${size} bytes, but ${storage.numel} elements of ` +
          `${storage.dtype} need ${needed}; copy or download it again.`,
      );
    }
    const known = dtypes.get(storage.key) ?? storage.dtype;
    if (known !== storage.dtype) {
      throw new CheckpointError(
        'damaged',
        `${name} is damaged: storage ${quote(storage.key)} is said to be ${known} and ${storage.dtype}.`,
      );
    }
    dtypes.set(storage.key, storage.dtype);
  }
}

/**
 * An expanded tensor (stride 0) has more elements than its storage, without bound; together, all that must be copied
 * may be some times the file, and no more.
 */
function checkCopies(found: readonly FoundTensor[], fileLength: number, name: string): void {
  const limit = 16 * 2 ** 20 + 4 * fileLength;
  let copied = 0;
  for (const { path, record } of found) {
    const { shape, stride, storage } = record;
    if (isContiguous(shape, stride)) continue;
    copied += viewCount(shape) * bytesPerElement[storage.dtype];
    if (copied > limit) {
      throw new CheckpointError(
        'unsupported',
        `${name} cannot be read: with tensor ${quote(path)} of shape [${shape.join(', ')}], stride [${stride.join(', ')}], ` +
          `its strided tensors take more than ${limit} bytes, far more than the file; save contiguous tensors.`,
      );
    }
  }
}

/** Where trainers put the state dictionary, besides the root itself. */
const stateDictKeys = ['state_dict', 'model_state_dict', 'network_weights', 'model'];

/**
 * The tensors of the network by name, in the file's order: those under `state_dict`, `model_state_dict`,
 * `network_weights` or `model`, else the root's. A leading `module.` (nn.DataParallel) is taken off.
 * @throws CheckpointError when there is none, naming the keys that are
 */
export function stateDict({ root, tensors }: Checkpoint, name = 'the checkpoint'): Map<string, CheckpointTensor> {
  const places: (readonly [string, PickleValue | undefined])[] = [['', root]];
  if (root instanceof Map) places.unshift(...stateDictKeys.map((key) => [`/${key}`, root.get(key)] as const));
  const byPath = new Map(tensors.map((tensor) => [tensor.path, tensor]));
  for (const [path, dictionary] of places) {
    if (!(dictionary instanceof Map)) continue;
    const found = new Map<string, CheckpointTensor>();
    for (const [key, value] of dictionary) {
      const stored = isKind(value, 'tensor') && typeof key === 'string' ? byPath.get(`${path}/${key}`) : undefined;
      if (stored === undefined) continue;
      const short = (key as string).replace(/^module\./, '');
      if (found.has(short)) {
        throw new CheckpointError(
          'damaged',
          `${name} holds the weights ${quote(short)} twice, with and without "module." before the name.`,
        );
      }
      found.set(short, stored);
    }
    if (found.size > 0) return found;
  }
  const keys = root instanceof Map ? [...root.keys()].slice(0, 8).map(showKey).join(', ').slice(0, 400) : 'none';
  throw new CheckpointError('not-a-checkpoint', `${name} holds no dictionary of weights; its keys are: ${keys}.`);
}
