/**
 * PyTorch checkpoints drawn by hand, in both containers, for tests: pickles are texts, one character a byte.
 */
import { zipSync } from 'fflate';
import { bytesOf, stridesOf, type Tensor } from '../src/tensor.ts';

export const latin1 = (text: string) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
export const str = (text: string) => `X${String.fromCharCode(text.length)}\0\0\0${text}`;
const tuple = (values: readonly number[]) => `(${values.map((value) => `I${value}\n`).join('')}t`;
/** A dictionary whose values are pickle code. */
export const dict = (entries: Record<string, string>) =>
  `}(${Object.entries(entries)
    .map(([key, value]) => str(key) + value)
    .join('')}u`;

interface DrawnTensor {
  readonly key?: string;
  readonly type?: string;
  readonly numel: number;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  readonly offset?: number;
  /** What stands behind the number of elements in the storage's id. */
  readonly part?: string;
  /** In place of a tuple for the shape. */
  readonly shapeCode?: string;
}

/** Pickle code of a tensor. */
export function drawTensor({
  key = '0',
  type = 'FloatStorage',
  numel,
  shape,
  stride,
  offset = 0,
  part = '',
  shapeCode,
}: DrawnTensor): string {
  const storage = `(${str('storage')}ctorch\n${type}\n${str(key)}${str('cpu')}I${numel}\n${part}tQ`;
  const view = `I${offset}\n${shapeCode ?? tuple(shape)}${tuple(stride)}`;
  return `ctorch._utils\n_rebuild_tensor_v2\n(${storage}${view}\x89}tR`;
}

export const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

/**
 * A zip container.
 * @param object pickle code
 */
export function drawZip(object: string, storages: Record<string, Uint8Array>, byteorder = 'little'): Uint8Array {
  const entries: Record<string, Uint8Array> = { 'r/data.pkl': latin1(`\x80\x02${object}.`) };
  for (const [key, content] of Object.entries(storages)) entries[`r/data/${key}`] = content;
  return zipSync({ ...entries, 'r/byteorder': latin1(byteorder) }, { level: 0 });
}

/**
 * A state dictionary in a zip container, each tensor a storage of its own, as `torch.save` writes it.
 * @param aliases second names of tensors
 */
export function drawCheckpoint(
  weights: ReadonlyMap<string, Tensor>,
  aliases: ReadonlyMap<string, string> = new Map(),
): Uint8Array {
  const storages: Record<string, Uint8Array> = {};
  const entries: Record<string, string> = {};
  for (const [index, [name, value]] of [...weights].entries()) {
    const { shape, data } = value;
    storages[index] = bytesOf(value);
    entries[name] = drawTensor({ key: String(index), numel: data.length, shape, stride: stridesOf(shape) });
  }
  for (const [name, of] of aliases) entries[name] = entries[of];
  return drawZip(dict({ state_dict: dict(entries) }), storages);
}

/**
 * A legacy container.
 * @param object pickle code
 * @param storages key, bytes and number of elements of each
 */
export function drawLegacy(object: string, storages: [string, Uint8Array, number][], littleEndian = true): Uint8Array {
  const system = dict({ little_endian: littleEndian ? '\x88' : '\x89' });
  const magic = '\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.';
  const keys = `](${storages.map(([key]) => str(key)).join('')}e.`;
  const head = latin1(`${magic}\x80\x02M\xe9\x03.${system}.${object}.${keys}`);
  const parts = storages.flatMap(([, content, count]) => [
    new Uint8Array(BigInt64Array.of(BigInt(count)).buffer),
    content,
  ]);
  return Uint8Array.from([head, ...parts].flatMap((part) => [...part]));
}
