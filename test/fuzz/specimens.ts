/**
 * What is damaged: real files and drawn ones, small, whole and legal before the damage (or of those that must be
 * refused). A clone without the folder of reference data has the drawn ones.
 *
 * Content that is compressed, checked by a hash, or measured by a field in front of it, is a part of its own, and
 * `pack` makes files of the parts again: so damage reaches what lies behind the checksum.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { deflateRawSync, deflateSync, gunzipSync, gzipSync, inflateRawSync, inflateSync } from 'node:zlib';
import { unzipSync, zipSync } from 'fflate';
import { hasShared, sharedPath } from '../shared.ts';

export interface NamedBytes {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface Specimen {
  readonly name: string;
  /** What mutations change. */
  readonly parts: readonly Uint8Array[];
  /** The files of the parts; a part without bytes may be left out. */
  pack(parts: readonly Uint8Array[]): NamedBytes[];
}

/** Files as they are; one that damage emptied is not there, when there are several. */
export function filesAsTheyAre(name: string, files: readonly NamedBytes[]): Specimen {
  return {
    name,
    parts: files.map(({ bytes }) => bytes),
    pack: (parts) =>
      parts
        .map((bytes, index) => ({ name: files[index].name, bytes }))
        .filter(({ bytes }) => parts.length === 1 || bytes.length > 0),
  };
}

/** A gzipped file twice: as it is, and what it holds, compressed again after the damage. */
export function gzipped(file: NamedBytes): Specimen[] {
  const whole = filesAsTheyAre(file.name, [file]);
  let inflated: Uint8Array;
  try {
    inflated = gunzipSync(file.bytes);
  } catch {
    return [whole];
  }
  const pack = ([content]: readonly Uint8Array[]) => [{ name: file.name, bytes: plain(gzipSync(content, fast)) }];
  return [whole, { name: `${file.name}, inflated`, parts: [inflated], pack }];
}

const fast = { level: 1 };

/** The same, as no Node Buffer: those share memory with others and have another `slice`. */
const plain = (bytes: Uint8Array) => new Uint8Array(bytes);

function concatenated(...parts: readonly Uint8Array[]): Uint8Array {
  return plain(Buffer.concat(parts));
}

/** A NRRD or MetaImage file in two parts: the text of its header, and its voxels, deflated again where they were. */
export function textHeaded(file: NamedBytes, endOfHeader: string | RegExp): Specimen[] {
  const whole = filesAsTheyAre(file.name, [file]);
  const text = Buffer.from(file.bytes).toString('latin1');
  const found = typeof endOfHeader === 'string' ? text.indexOf(endOfHeader) : text.search(endOfHeader);
  if (found < 0) return [whole];
  const end = typeof endOfHeader === 'string' ? found + endOfHeader.length : text.indexOf('\n', found) + 1;
  const header = file.bytes.slice(0, end);
  const voxels = file.bytes.slice(end);
  const [unpack, packAgain] =
    voxels[0] === 0x1f && voxels[1] === 0x8b
      ? [gunzipSync, gzipSync]
      : /CompressedData = True/.test(text)
        ? [inflateSync, deflateSync]
        : [undefined, undefined];
  if (!unpack) return [whole];
  const pack = ([head, content]: readonly Uint8Array[]) => {
    const packed = packAgain(content, fast);
    const size = Buffer.from(head)
      .toString('latin1')
      .replace(/(CompressedDataSize = )\d+/, `$1${packed.length}`);
    return [{ name: file.name, bytes: concatenated(Buffer.from(size, 'latin1'), packed) }];
  };
  return [whole, { name: `${file.name}, inflated`, parts: [header, plain(unpack(voxels))], pack }];
}

/** A zip archive twice: as it is, and its members, with the checksums that fit. */
export function zipped(file: NamedBytes): Specimen[] {
  const whole = filesAsTheyAre(file.name, [file]);
  let members: Record<string, Uint8Array>;
  try {
    members = unzipSync(file.bytes);
  } catch {
    return [whole];
  }
  const names = Object.keys(members);
  if (names.length === 0) return [whole];
  const pack = (parts: readonly Uint8Array[]) => {
    const kept = names.map((name, index) => [name, parts[index]] as const);
    // Every third one deflated, as some programs write them.
    const level = parts.reduce((sum, { length }) => sum + length, 0) % 3 === 0 ? 6 : 0;
    return [{ name: file.name, bytes: zipSync(Object.fromEntries(kept), { level }) }];
  };
  // The pickle is what is read first; most damage should meet it.
  const pickle = names.findIndex((name) => name.endsWith('data.pkl'));
  const pickleOnly: Specimen = {
    name: `${file.name}, pickle`,
    parts: [members[names[pickle]]],
    pack: ([content]) => pack(names.map((name, index) => (index === pickle ? content : members[name]))),
  };
  const membersOf = { name: `${file.name}, members`, parts: names.map((name) => members[name]), pack };
  return pickle < 0 ? [whole, membersOf] : [whole, membersOf, pickleOnly];
}

/** A deflated DICOM file (PS3.5, annex A.5) in two parts: what lies in front, and the data set. */
export function deflatedDicom(file: NamedBytes): Specimen[] {
  const end = 144 + new DataView(file.bytes.buffer, file.bytes.byteOffset).getUint32(140, true);
  const dataSet = plain(inflateRawSync(file.bytes.subarray(end)));
  return [
    filesAsTheyAre(file.name, [file]),
    {
      name: `${file.name}, inflated`,
      parts: [file.bytes.slice(0, end), dataSet],
      pack: ([meta, content]) => [{ name: file.name, bytes: concatenated(meta, deflateRawSync(content, fast)) }],
    },
  ];
}

/** A safetensors file in two parts, header and data; its length in front is the header's after the damage. */
export function safetensors(file: NamedBytes): Specimen[] {
  const length = new DataView(file.bytes.buffer, file.bytes.byteOffset).getUint32(0, true);
  const pack = ([header, data]: readonly Uint8Array[]) => {
    const size = new Uint8Array(BigUint64Array.of(BigInt(header.length)).buffer);
    return [{ name: file.name, bytes: concatenated(size, header, data) }];
  };
  const parts = [file.bytes.slice(8, 8 + length), file.bytes.slice(8 + length)];
  return [filesAsTheyAre(file.name, [file]), { name: `${file.name}, header and data`, parts, pack }];
}

/** Files of the reference data; none where there is no such folder. */
export function sharedFiles(folder: readonly string[], wanted: RegExp, largest = 60_000): NamedBytes[] {
  if (!hasShared) return [];
  return readdirSync(sharedPath(...folder), { withFileTypes: true })
    .filter((entry) => entry.isFile() && wanted.test(entry.name))
    .map(({ name }) => sharedFile(...folder, name))
    .filter(({ bytes }) => bytes.length <= largest);
}

export function sharedFile(...path: readonly string[]): NamedBytes {
  return { name: basename(path.join('/')), bytes: plain(readFileSync(sharedPath(...path))) };
}
