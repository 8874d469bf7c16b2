/**
 * The parsers that meet files from elsewhere, each with its specimens and with what must hold of a value that it gives.
 */

import { parsePlan, planFromV1Pickle } from '../../src/dataset/index.ts';
import { InputError } from '../../src/errors.ts';
import { importCheckpoint, loadModel } from '../../src/predict/index.ts';
import { elementCount } from '../../src/tensor.ts';
import { listDicomSeries } from '../../src/volume/formats/dicomSeries.ts';
import {
  type ImageFile,
  identityDirection,
  type Volume,
  voxelCount,
  writeMetaImage,
  writeNifti,
  writeNiftiPair,
  writeNrrd,
} from '../../src/volume/index.ts';
import { readImage } from '../../src/volume/read.ts';
import { readCheckpoint, readPickle, readSafetensors, sha256, writeSafetensors } from '../../src/weights/index.ts';
import { packTinyBundle, tinyCheckpoint, tinyPlan, tinyScan } from '../bundle.ts';
import { dict, drawLegacy, drawTensor, drawZip, floats, latin1, str } from '../drawnCheckpoint.ts';
import { drawnRleSlice, drawnSlice, element } from '../drawnDicom.ts';
import { hasShared } from '../shared.ts';
import type { SpecialKind } from './mutate.ts';
import {
  deflatedDicom,
  filesAsTheyAre,
  gzipped,
  type NamedBytes,
  type Specimen,
  safetensors,
  sharedFile,
  sharedFiles,
  textHeaded,
  zipped,
} from './specimens.ts';

export interface Parser {
  /** Kinds of damage that mean something for this format. */
  readonly kinds: readonly SpecialKind[];
  readonly specimens: readonly Specimen[];
  /**
   * Reads files.
   * @returns what is wrong with the value, if anything is
   * @throws what the parser throws
   */
  read(files: readonly NamedBytes[]): Promise<string | undefined>;
}

const imageFile = ({ name, bytes }: NamedBytes): ImageFile => ({
  name,
  size: bytes.length,
  read: async (length) => bytes.slice(0, length),
});

async function readVolume(files: readonly NamedBytes[]): Promise<string | undefined> {
  const { volume } = await readImage(files.map(imageFile));
  return faultOf(volume);
}

function faultOf({ data, shape, channels, spacing, origin, direction }: Volume): string | undefined {
  const voxels = channels * voxelCount({ shape, spacing, origin, direction });
  if (data.length !== voxels) return `there are ${data.length} values for ${voxels} voxels`;
  if (voxels < 1) return 'the volume is empty';
  const geometry = [...spacing, ...origin, ...direction];
  if (geometry.length !== 15 || !geometry.every(Number.isFinite)) return `its geometry is ${geometry}`;
  if (spacing.some((mm) => mm <= 0)) return `its spacing is ${spacing}`;
  for (let i = 0; i < data.length; i++) if (!Number.isFinite(data[i])) return `voxel ${i} is ${data[i]}`;
  return undefined;
}

// --- Drawn specimens ---

const bytesOfText = (text: string) => new TextEncoder().encode(text);
const oblique: Volume<Int16Array> = {
  shape: [2, 3, 4],
  channels: 1,
  spacing: [0.7, 1.5, 3],
  origin: [-10.5, 20.25, 7],
  direction: [0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1],
  data: Int16Array.from({ length: 24 }, (_, i) => 100 * i - 1000),
};
const twoChannels: Volume<Float32Array> = {
  ...oblique,
  channels: 2,
  direction: identityDirection,
  data: Float32Array.from({ length: 48 }, (_, i) => i / 8),
};

function drawnPair(): NamedBytes[] {
  const { header, image } = writeNiftiPair(oblique);
  return [
    { name: 'pair.hdr', bytes: header },
    { name: 'pair.img', bytes: image },
  ];
}

const nrrdWith = (encoding: string, voxels: string) =>
  bytesOfText(
    `NRRD0005\n# a comment\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 3 2\nspace directions: (0.7,0,0) (0,1.5,0) (0,0,3)\nkinds: domain domain domain\nendian: little\nencoding: ${encoding}\nspace origin: (1,2,3)\nkey:=value\n${voxels}`,
  );
const metaWith = (fields: string, voxels: string) =>
  bytesOfText(
    `ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 1 2 3\nCenterOfRotation = 0 0 0\nElementSpacing = 0.7 1.5 3\nDimSize = 4 3 2\nElementType = MET_SHORT\n${fields}${voxels}`,
  );
const rawVoxels: NamedBytes = { name: 'voxels.raw', bytes: new Uint8Array(oblique.data.buffer.slice(0)) };
const numberText = [...oblique.data].join(' ');

const drawnSlices: NamedBytes[] = [0, 1, 2].map((index) => ({
  name: `${index}.dcm`,
  bytes: drawnSlice({ position: `0\\0\\${2 * index}`, instanceNumber: index + 1, intercept: '-1024' }),
}));

const smallObject = dict({
  a: drawTensor({ numel: 6, shape: [2, 3], stride: [3, 1] }),
  b: drawTensor({ numel: 6, shape: [3, 2], stride: [1, 3] }),
  c: drawTensor({ numel: 6, shape: [4], stride: [0], offset: 5 }),
  epoch: 'K\x07',
});
const smallStorage = floats(1, 2, 3, 4, 5, 6);

/** nnU-Net's dictionary of a plan, as pickle code. */
function drawnV1Plan(): Uint8Array {
  const list = (...items: string[]) => `](${items.join('')}e`;
  const number = (value: number) => (Number.isInteger(value) ? `I${value}\n` : `F${value}\n`);
  const numbers = (...values: number[]) => list(...values.map(number));
  const keyed = (...entries: [string, string][]) => `}(${entries.flat().join('')}u`;
  const intensities = dict({
    mean: 'F80.5\n',
    sd: 'F130.25\n',
    percentile_00_5: 'F-950.0\n',
    percentile_99_5: 'F320.0\n',
  });
  const stage = dict({ current_spacing: numbers(3, 1.5, 1.5), patch_size: numbers(32, 32, 32) });
  return latin1(
    `\x80\x02${dict({
      plans_per_stage: keyed([number(0), stage]),
      normalization_schemes: keyed([number(0), str('CT')]),
      modalities: keyed([number(0), str('CT')]),
      use_mask_for_norm: keyed([number(0), '\x89']),
      dataset_properties: dict({ intensityproperties: keyed([number(0), intensities]) }),
      num_classes: number(2),
      transpose_forward: numbers(0, 1, 2),
      keep_only_largest_region: keyed([`(${number(1)}t`, '\x88']),
    })}.`,
  );
}

const planText = JSON.stringify({
  ...tinyPlan(1),
  spacing: [3, 1.5, 1.5],
  orientation: 'LPS',
  regions: [{ name: 'whole', labels: [1, 2] }],
  regionsClassOrder: [1],
  keepLargestComponents: [[1], [1, 2]],
});

/** A bundle whose manifest fits the weights again after the damage, so that damage reaches what lies behind the hash. */
async function bundleFiles(files: readonly NamedBytes[]): Promise<readonly NamedBytes[]> {
  const [manifest, weights] = files;
  if (!manifest?.name.startsWith('rehash ')) return files;
  let text = Buffer.from(manifest.bytes).toString('utf8');
  text = text.replace(/"sha256":\s*"[0-9a-f]{64}"/, `"sha256": "${await sha256(weights?.bytes ?? new Uint8Array())}"`);
  text = text.replace(/"bytes":\s*\d+/, `"bytes": ${weights?.bytes.length ?? 0}`);
  return [{ name: 'model.json', bytes: bytesOfText(text) }, weights];
}

function bundleSpecimens({ manifest, weights }: { manifest: Uint8Array; weights: Uint8Array }): Specimen[] {
  const inner = safetensors({ name: 'weights.safetensors', bytes: weights })[1];
  const both = (name: string, files: NamedBytes[]) => filesAsTheyAre(name, files);
  return [
    both('bundle', [
      { name: 'model.json', bytes: manifest },
      { name: 'weights.safetensors', bytes: weights },
    ]),
    {
      name: 'bundle, manifest',
      parts: [manifest],
      pack: ([text]) => [
        { name: 'rehash model.json', bytes: text },
        { name: 'weights.safetensors', bytes: weights },
      ],
    },
    {
      name: 'bundle, weights',
      parts: [inner.parts[0]],
      pack: ([header]) => [{ name: 'rehash model.json', bytes: manifest }, ...inner.pack([header, inner.parts[1]])],
    },
  ];
}

// --- The parsers ---

const read = (parse: (bytes: Uint8Array, name: string) => void) => async (files: readonly NamedBytes[]) => {
  parse(files[0].bytes, files[0].name);
  return undefined;
};

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    // Whoever has the text parses it; `parsePlan` begins behind that.
    throw new InputError('no JSON text', { cause });
  }
}

const checkpoints = (wanted: RegExp) => sharedFiles(['golden', 'checkpoints'], wanted);
const odd = sharedFiles(['data', 'nifti', 'odd'], /\.nii(\.gz)?$/, 6000);
const orientations = sharedFiles(['data', 'nifti', 'orientations'], /(LPS|PIR_qfac_zero|RAS_uncompressed)\.nii/);
const pair = sharedFiles(['data', 'nifti', 'orientations'], /^RAS_pair/);
const syntaxes = [
  'explicit_be',
  'explicit_le',
  'implicit_le',
  'rle',
  'jpeg_extended_51_lossy',
  'jpeg_lossless_57',
  'jpeg_lossless_sv1_70',
  'jpegls_lossless_80',
  'jpegls_near_81_lossy',
  'j2k_lossless_90',
  'j2k_91_lossy',
];
const slicesOf = (...folder: string[]) => sharedFiles(['data', 'dicom', ...folder], /\.dcm$/, 200_000);

const { manifest, weights } = await packTinyBundle();

export const parsers: Readonly<Record<string, Parser>> = {
  nifti: {
    kinds: [],
    specimens: [
      ...[writeNifti(oblique, { gzip: false }), writeNifti(twoChannels, { gzip: false })].map((bytes, index) =>
        filesAsTheyAre(`drawn ${index}`, [{ name: 'drawn.nii', bytes }]),
      ),
      ...[...odd, ...orientations]
        .filter(({ name }) => name.endsWith('.nii'))
        .map((file) => filesAsTheyAre(file.name, [file])),
    ],
    read: readVolume,
  },
  niftiGz: {
    kinds: [],
    specimens: [
      { name: 'drawn.nii.gz', bytes: writeNifti(oblique) },
      { name: 'scan.nii.gz', bytes: writeNifti(tinyScan) },
      ...[...odd, ...orientations].filter(({ name }) => name.endsWith('.gz')),
    ].flatMap(gzipped),
    read: readVolume,
  },
  niftiPair: {
    kinds: [],
    specimens: [drawnPair(), ...(pair.length === 2 ? [pair] : [])].map((files) => filesAsTheyAre('pair', files)),
    read: readVolume,
  },
  nrrd: {
    kinds: ['number'],
    specimens: [
      { name: 'raw.nrrd', bytes: writeNrrd(oblique, { gzip: false }) },
      { name: 'gzip.nrrd', bytes: writeNrrd(oblique) },
      { name: 'channels.nrrd', bytes: writeNrrd(twoChannels) },
      { name: 'text.nrrd', bytes: nrrdWith('ascii', `\n${numberText}\n`) },
      { name: 'hex.nrrd', bytes: nrrdWith('hex', `\n${Buffer.from(rawVoxels.bytes).toString('hex')}\n`) },
    ]
      .flatMap((file) => textHeaded(file, '\n\n'))
      .concat(
        ['raw', 'gzip'].map((encoding) =>
          filesAsTheyAre(`detached ${encoding}`, [
            { name: 'head.nhdr', bytes: nrrdWith(encoding, 'line skip: 0\nbyte skip: 0\ndata file: voxels.raw\n') },
            rawVoxels,
          ]),
        ),
      ),
    read: readVolume,
  },
  metaImage: {
    kinds: ['number'],
    specimens: [
      { name: 'raw.mha', bytes: writeMetaImage(oblique, { compress: false }) },
      { name: 'deflated.mha', bytes: writeMetaImage(oblique) },
      { name: 'channels.mha', bytes: writeMetaImage(twoChannels) },
      { name: 'text.mha', bytes: metaWith('', `ElementDataFile = LOCAL\n${numberText}\n`) },
    ]
      .flatMap((file) => textHeaded(file, /ElementDataFile/))
      .concat(
        ['', 'HeaderSize = -1\n', 'CompressedData = True\n'].map((fields) =>
          filesAsTheyAre(`detached ${fields.trim()}`, [
            { name: 'head.mhd', bytes: metaWith(fields, 'ElementDataFile = voxels.raw\n') },
            rawVoxels,
          ]),
        ),
        hasShared ? textHeaded(sharedFile('data', 'volumes', 'mr_brain_4mm.mha'), /ElementDataFile/) : [],
      ),
    read: readVolume,
  },
  dicomHeader: {
    kinds: ['element', 'number'],
    specimens: [
      { name: 'drawn.dcm', bytes: drawnSlice({ groups: element('0028,1050', 'DS', '40\\80') }) },
      ...slicesOf('single'),
      ...slicesOf('bad'),
      ...slicesOf('seg'),
      ...slicesOf('enhanced_mr'),
    ].map((file) => filesAsTheyAre(file.name, [file])),
    async read(files) {
      const { series } = await listDicomSeries(files.map(imageFile));
      return series.some(({ spacingMm }) => spacingMm && !spacingMm.every(Number.isFinite))
        ? 'a spacing is not finite'
        : undefined;
    },
  },
  dicomSeries: {
    kinds: ['element', 'number'],
    specimens: [
      drawnSlices,
      slicesOf('mr_hippocrop_axial').slice(0, 4),
      slicesOf('seg', 'source_ct'),
      slicesOf('ct_gantry_tilt').slice(0, 3),
      ...syntaxes.map((syntax) => slicesOf('ct_syntaxes', syntax).slice(0, 3)),
    ]
      .filter((files) => files.length > 0)
      .map((files, index) => filesAsTheyAre(`series ${index}`, files)),
    read: readVolume,
  },
  dicomPixels: {
    kinds: ['element'],
    specimens: [
      filesAsTheyAre('drawn', [{ name: 'drawn.dcm', bytes: drawnSlice() }]),
      filesAsTheyAre('drawn RLE', [{ name: 'rle.dcm', bytes: drawnRleSlice() }]),
      ...syntaxes.flatMap((syntax) =>
        slicesOf('ct_syntaxes', syntax)
          .slice(0, 1)
          .map((file) => filesAsTheyAre(syntax, [file])),
      ),
      ...slicesOf('ct_syntaxes', 'deflated').slice(0, 1).flatMap(deflatedDicom),
      ...[...slicesOf('single'), ...slicesOf('enhanced_mr')].map((file) => filesAsTheyAre(file.name, [file])),
    ],
    read: readVolume,
  },
  safetensors: {
    kinds: ['json', 'number'],
    specimens: [
      { name: 'tiny.safetensors', bytes: weights },
      {
        name: 'types.safetensors',
        bytes: writeSafetensors(
          [
            ['half', { dtype: 'float16', shape: [2, 3], data: new Uint16Array(6) }],
            ['long', { dtype: 'int64', shape: [], data: BigInt64Array.of(5n) }],
            ['flag', { dtype: 'bool', shape: [3], data: new Uint8Array(3) }],
          ],
          { format: 'pt' },
        ),
      },
    ].flatMap(safetensors),
    read: read((bytes, name) => readSafetensors(bytes, name)),
  },
  checkpointZip: {
    kinds: ['number'],
    specimens: [
      { name: 'drawn.pt', bytes: drawZip(smallObject, { 0: smallStorage }) },
      ...checkpoints(/^(zip|refuse)-.*\.(pt|zip)$/),
    ].flatMap(zipped),
    read: read(readEveryTensor),
  },
  checkpointLegacy: {
    kinds: ['number'],
    specimens: [
      { name: 'drawn.pt', bytes: drawLegacy(smallObject, [['0', smallStorage, 6]]) },
      ...checkpoints(/^(legacy|refuse)-|\.pkl$/),
    ].map((file) => filesAsTheyAre(file.name, [file])),
    read: read(readEveryTensor),
  },
  importCheckpoint: {
    kinds: ['number'],
    specimens: zipped({ name: 'tiny.pt', bytes: tinyCheckpoint() }),
    async read([{ name, bytes }]) {
      await importCheckpoint(bytes, { name });
      return undefined;
    },
  },
  v1Plan: {
    kinds: ['number'],
    specimens: [
      { name: 'drawn.pkl', bytes: drawnV1Plan() },
      ...checkpoints(/^model_final_checkpoint\.model\.pkl$/),
    ].map((file) => filesAsTheyAre(file.name, [file])),
    read: read((bytes, name) => {
      const root = readPickle(bytes, { name });
      planFromV1Pickle((root instanceof Map ? root.get('plans') : undefined) ?? root);
    }),
  },
  plan: {
    kinds: ['json', 'number'],
    specimens: [filesAsTheyAre('plan.json', [{ name: 'plan.json', bytes: bytesOfText(planText) }])],
    read: read((bytes) => parsePlan(jsonOf(bytes))),
  },
  bundle: {
    kinds: ['json', 'number'],
    specimens: bundleSpecimens({ manifest, weights }),
    async read(files) {
      const [one, two] = await bundleFiles(files);
      await loadModel({ manifest: one?.bytes ?? new Uint8Array(), weights: two?.bytes ?? new Uint8Array() });
      return undefined;
    },
  },
};

function readEveryTensor(bytes: Uint8Array, name: string): void {
  for (const tensor of readCheckpoint(bytes, { name }).tensors) {
    const { shape, data } = tensor.read();
    if (data.length !== elementCount(shape)) throw new Error(`${data.length} numbers in a tensor [${shape}]`);
  }
}
