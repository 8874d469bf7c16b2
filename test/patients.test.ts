/**
 * Nobody's name leaves a file: names, identifiers and descriptions are planted wherever the formats keep them, and then
 * looked for in all that the commands print and write, for whole files and for damaged ones. What a user calls a file or a
 * folder is the user's own, and may be said.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, inflateSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fill } from '../src/cli/verify/fill.ts';
import { writeMetaImage, writeNifti, writeNrrd } from '../src/volume/index.ts';
import { tinyScan, writeTinyBundle } from './bundle.ts';
import { element, part10, sequence } from './drawnDicom.ts';
import { mutate, mutations, type SpecialKind } from './fuzz/mutate.ts';
import { shell } from './shell.ts';

const name = 'Planted^Person';
const uid = '1.2.840.7700123499';
/** What must never be seen, whole or in part, in any case. */
const traces = /planted|person|77001234/i;

let folder: string;
let bundle: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'unetrpp-private-'));
  bundle = await writeTinyBundle(join(folder, 'bundle'));
});
afterAll(() => rmSync(folder, { recursive: true }));

// --- Files with something planted ---

interface Planted {
  /** Name of the image: a file, or the folder of all of them. */
  readonly path: string;
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** Damage that means something for the format. */
  readonly kinds: readonly SpecialKind[];
}

const bytesOf = (text: string) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

/** Texts that identify somebody, by the attributes that PS3.15, annex E, removes; and private ones. */
const identifying: readonly (readonly [tag: string, type: string])[] = [
  ['0008,0050', 'SH'],
  ['0008,0080', 'LO'],
  ['0008,0081', 'ST'],
  ['0008,0090', 'PN'],
  ['0008,1010', 'SH'],
  ['0008,1030', 'LO'],
  ['0008,103e', 'LO'],
  ['0008,1040', 'LO'],
  ['0008,1048', 'PN'],
  ['0008,1050', 'PN'],
  ['0008,1060', 'PN'],
  ['0008,1070', 'PN'],
  ['0008,1090', 'LO'],
  ['0009,0010', 'LO'],
  ['0009,1001', 'LO'],
  ['0010,0010', 'PN'],
  ['0010,0020', 'LO'],
  ['0010,0021', 'LO'],
  ['0010,0030', 'DA'],
  ['0010,1000', 'LO'],
  ['0010,1001', 'PN'],
  ['0010,1040', 'LO'],
  ['0010,1060', 'PN'],
  ['0010,2154', 'SH'],
  ['0010,21b0', 'LT'],
  ['0010,4000', 'LT'],
  ['0018,1000', 'LO'],
  ['0018,1020', 'LO'],
  ['0018,1030', 'LO'],
  ['0020,0010', 'SH'],
  ['0020,4000', 'LT'],
  ['0029,0010', 'LO'],
  ['0029,1010', 'UN'],
  ['0032,1032', 'PN'],
  ['0032,1060', 'LO'],
  ['0040,0254', 'LO'],
  ['0040,a123', 'PN'],
];
const identifiers = ['0008,0014', '0008,0018', '0020,000d', '0020,000e', '0020,0052', '0008,3010'];

function plantedSlice(index: number): Uint8Array {
  const us = (value: number) => [value & 0xff, value >> 8];
  const [rows, columns] = [9, 12];
  const elements: Record<string, number[]> = {
    ...Object.fromEntries(identifying.map(([tag, type]) => [tag, element(tag, type, `${name} ${tag.slice(5)}`)])),
    ...Object.fromEntries(
      identifiers.map((tag) => [tag, element(tag, 'UI', `${uid}.${tag.slice(5, 9).replace(/\D/g, '1')}`)]),
    ),
    '0008,0016': element('0008,0016', 'UI', '1.2.840.10008.5.1.4.1.1.2'),
    '0008,0060': element('0008,0060', 'CS', 'CT'),
    '0008,1140': sequence('0008,1140', element('0008,1155', 'UI', `${uid}.9`)),
    '0010,1002': sequence('0010,1002', element('0010,0020', 'LO', name)),
    '0018,0050': element('0018,0050', 'DS', '2'),
    '0020,0013': element('0020,0013', 'IS', String(index + 1)),
    '0020,0032': element('0020,0032', 'DS', `0\\0\\${2 * index}`),
    '0020,0037': element('0020,0037', 'DS', '1\\0\\0\\0\\1\\0'),
    '0028,0002': element('0028,0002', 'US', us(1)),
    '0028,0004': element('0028,0004', 'CS', 'MONOCHROME2'),
    '0028,0010': element('0028,0010', 'US', us(rows)),
    '0028,0011': element('0028,0011', 'US', us(columns)),
    '0028,0030': element('0028,0030', 'DS', '0.5\\0.7'),
    '0028,0100': element('0028,0100', 'US', us(16)),
    '0028,0101': element('0028,0101', 'US', us(16)),
    '0028,0102': element('0028,0102', 'US', us(15)),
    '0028,0103': element('0028,0103', 'US', us(0)),
    '0028,1052': element('0028,1052', 'DS', '-1024'),
    '0028,1053': element('0028,1053', 'DS', '1'),
    '7fe0,0010': element(
      '7fe0,0010',
      'OW',
      [...fill(`slice ${index}`, rows * columns, 0, 2000)].flatMap((value) => us(Math.floor(value))),
    ),
  };
  const dataSet = Object.keys(elements)
    .sort()
    .flatMap((tag) => elements[tag]);
  const meta = [
    ...element('0002,0003', 'UI', `${uid}.3`),
    ...element('0002,0012', 'UI', `${uid}.12`),
    ...element('0002,0013', 'SH', name),
    ...element('0002,0016', 'AE', name),
    ...element('0002,0100', 'UI', `${uid}.100`),
    ...element('0002,0102', 'OB', [...bytesOf(name)]),
  ];
  return part10(dataSet, undefined, '1.2.840.10008.5.1.4.1.1.2', meta);
}

/** Texts of the header (nifti1.h: data_type, db_name, descrip, aux_file, intent_name) and an extension with a comment. */
function plantedNifti(): Uint8Array {
  const plain = writeNifti(tinyScan, { gzip: false });
  const extension = new Uint8Array(64);
  new DataView(extension.buffer).setInt32(0, extension.length, true);
  new DataView(extension.buffer).setInt32(4, 6, true);
  extension.set(bytesOf(`<subject>${name}</subject>`), 8);
  const file = new Uint8Array([...plain.subarray(0, 352), ...extension, ...plain.subarray(352)]);
  for (const [at, length] of [
    [4, 10],
    [14, 18],
    [148, 80],
    [228, 24],
    [328, 16],
  ]) {
    file.set(bytesOf(name).subarray(0, length), at);
  }
  file[348] = 1;
  new DataView(file.buffer).setFloat32(108, 352 + extension.length, true);
  return file;
}

/** The lines put behind the first one of a text header. */
function withLines(file: Uint8Array, lines: string): Uint8Array {
  const first = file.indexOf(10) + 1;
  return new Uint8Array([...file.subarray(0, first), ...bytesOf(lines), ...file.subarray(first)]);
}

const plantedNrrd = (gzip: boolean) =>
  withLines(
    writeNrrd(tinyScan, { gzip }),
    `# Subject: ${name}, ${uid}\ncontent: ${name}\nPatient:=${name}\n${name}:=${name}\nmeasurement frame: (1,0,0) (0,1,0) (0,0,1)\nsample units: "${name}"\n`,
  );

const plantedMetaImage = (compress: boolean) =>
  withLines(
    writeMetaImage(tinyScan, { compress }),
    `Comment = ${name}\nName = ${name}\nID = 7\nPatientName = ${name}\nSeriesDescription = ${name} ${uid}\n${name} = 1\n`,
  );

const one = (path: string, bytes: Uint8Array, kinds: readonly SpecialKind[] = []): Planted => ({
  path,
  files: { [path]: bytes },
  kinds,
});

const planted: Readonly<Record<string, Planted>> = {
  DICOM: {
    path: '',
    files: Object.fromEntries([0, 1, 2, 3].map((index) => [`${index}.dcm`, plantedSlice(index)])),
    kinds: ['element', 'number'],
  },
  NIfTI: one('scan.nii', plantedNifti()),
  NRRD: one('scan.nrrd', plantedNrrd(false), ['number']),
  'NRRD, gzip': one('scan.nrrd', plantedNrrd(true), ['number']),
  MetaImage: one('scan.mha', plantedMetaImage(false), ['number']),
  'MetaImage, deflated': one('scan.mha', plantedMetaImage(true), ['number']),
};

// --- What is seen of them ---

async function everythingOf(...argv: string[]) {
  const { code, out, err } = await shell(...argv);
  return { code, text: out + err };
}

/** The bytes of a file as one character each, and of what is compressed in it. */
function textOf(path: string): string {
  const bytes = readFileSync(path);
  const all: Uint8Array[] = [bytes];
  if (path.endsWith('.gz')) all.push(gunzipSync(bytes));
  if (path.endsWith('.nrrd')) all.push(gunzipSync(bytes.subarray(bytes.indexOf('\n\n') + 2)));
  if (path.endsWith('.mha'))
    all.push(inflateSync(bytes.subarray(bytes.indexOf('\n', bytes.indexOf('ElementDataFile')) + 1)));
  return all.map((each) => Buffer.from(each).toString('latin1')).join('\n');
}

let counter = 0;
const fresh = () => join(folder, String(counter++));

/** Writes the files into a folder of their own. */
function put({ path }: Planted, files: Readonly<Record<string, Uint8Array>>): { place: string; path: string } {
  const place = fresh();
  mkdirSync(place);
  for (const [file, bytes] of Object.entries(files)) writeFileSync(join(place, file), bytes);
  return { place, path: join(place, path) };
}

function expectNoTrace(text: string, what: string): void {
  const found = traces.exec(text);
  expect(found && `${what}: ...${text.slice(Math.max(0, found.index - 120), found.index + 40)}...`).toBeNull();
}

describe.each(Object.entries(planted))('%s', (_, image) => {
  it('holds what is looked for', () => {
    for (const bytes of Object.values(image.files)) expect(Buffer.from(bytes).toString('latin1')).toMatch(traces);
  });

  it('gives nothing away when it is whole', async () => {
    const { path } = put(image, image.files);
    const out = fresh();
    const commands = [
      ['info', path],
      ['info', path, '--json'],
      ...['nii.gz', 'nii', 'nrrd', 'mha'].map((format) => [
        ...['predict', '-m', bundle, '-i', path, '-o', `${out}-${format}`, '--format', format, '--threads', '1'],
        ...(format === 'nrrd' ? ['--json', '--save-probabilities'] : []),
      ]),
      ['demo', path, '-m', bundle, '-o', `${out}-demo`],
    ];
    for (const argv of commands) {
      const { code, text } = await everythingOf(...argv);
      expect(code, text).toBe(0);
      expectNoTrace(text, argv.join(' '));
    }
    const written = readdirSync(folder)
      .map((each) => join(folder, each))
      .filter((each) => each.startsWith(`${out}-`) && statSync(each).isDirectory())
      .flatMap((each) => readdirSync(each).map((file) => join(each, file)));
    // Four masks, each beside predictions.json, one with probabilities; mask and picture of the demo.
    expect(written).toHaveLength(11);
    for (const file of written) expectNoTrace(textOf(file), file);
  });

  it('gives nothing away when it is damaged', async () => {
    const names = Object.keys(image.files);
    const parts = Object.values(image.files);
    const outcomes = new Set<number>();
    let rounds = 0;
    for (const damage of fc.sample(mutations(image.kinds), {
      numRuns: 60,
      seed: 3,
    })) {
      const bytes = mutate(parts, parts[0], damage);
      const { place, path } = put(image, Object.fromEntries(names.map((each, index) => [each, bytes[index]])));
      const predict = ['predict', '-m', bundle, '-i', path, '-o', join(place, 'masks'), '--threads', '1'];
      for (const argv of [['info', path], ['info', path, '--json'], ...(rounds++ % 10 === 0 ? [predict] : [])]) {
        const { code, text } = await everythingOf(...argv);
        outcomes.add(code);
        expect([0, 2], text).toContain(code);
        expectNoTrace(text, `${argv[0]} after ${JSON.stringify(damage)}`);
      }
      rmSync(place, { recursive: true });
    }
    expect([...outcomes].sort()).toEqual([0, 2]);
  });
});
