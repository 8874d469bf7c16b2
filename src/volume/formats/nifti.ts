/**
 * NIfTI-1 and NIfTI-2: bytes <-> a volume. Reads single files and .hdr/.img pairs, plain or gzipped, in both byte
 * orders, with every real type of voxel; writes single little-endian files. Fields of the header are in
 * `niftiHeader.ts`, decoding of voxels in `voxels.ts`, inflation in `gzip.ts`.
 *
 * NIfTI's world is RAS; volumes are LPS. Stored axes i, j, k become x, y, z, a fourth axis becomes the channels, and the
 * voxels keep their order. How geometry survives reading and writing: docs/decisions/nifti-geometry.md.
 */
import { gzipSync } from 'fflate';
import { InputError } from '../../errors.ts';
import { showShape } from '../../tensor.ts';
import { cornersApart } from '../channels.ts';
import {
  type Affine,
  affineFault,
  affineOf,
  determinant,
  type Geometry,
  geometryFromAffine,
  type Matrix3,
  swapLpsRas,
  toSmallestIntegers,
  type Vector3,
  type Volume,
  type VoxelData,
  withThirdAxis,
} from '../volume.ts';
import { gunzip, isGzip } from './gzip.ts';
import type { VolumeImage } from './image.ts';
import { longestHeader, type NiftiFields, type NiftiHeader, readNiftiHeader, writeNiftiHeader } from './niftiHeader.ts';
import {
  bytesOfVoxels,
  bytesPerVoxel,
  copied,
  fitsFloat32,
  intensitiesOf,
  storedNumbers,
  storedTypeOf,
  withoutInfinities,
} from './voxels.ts';

export interface NiftiImage extends VolumeImage {
  /** What the file said, for showing and for writing the same geometry again. */
  readonly header: NiftiHeader;
}

export interface NiftiReadOptions {
  /** What to call the file in messages. */
  name?: string;
  /** The .img file when `bytes` are the .hdr file of a pair. */
  image?: Uint8Array;
}

export interface NiftiWriteOptions {
  /** Compress, for a name that ends in .nii.gz; true unless said. */
  gzip?: boolean;
  /**
   * Header of the NIfTI file that the volume's grid comes from. While the geometry is still the one that this header
   * gives, its numbers go out again bit for bit; otherwise only its form codes are used.
   */
  source?: NiftiHeader;
}

/**
 * Reads an image. The voxels keep their integer type when they are stored without scale and intercept; all else is
 * float32, or float64 where float32 would lose something of the stored values. Values that are not finite become 0.
 * @throws InputError when the bytes are no image, are damaged or cut short, or hold what no volume can (colors, complex
 * numbers, vectors, sheared axes, integers beyond 2^53)
 * @throws ResourceError when the voxels do not fit into memory
 */
export function readNifti(bytes: Uint8Array, options: NiftiReadOptions = {}): NiftiImage {
  const { name = 'the NIfTI file', image } = options;
  const notices: string[] = [];
  const { header, voxels, owned } = image ? readPair(bytes, image, name) : readSingle(bytes, name);
  const { shape, channels } = gridOf(header, name);
  const { geometry, notice } = readGeometry(header, shape, name);
  if (notice) notices.push(notice);
  const data = readVoxels(owned ? voxels : copied(voxels, name), header, name, notices);
  return { format: `NIfTI-${header.version}`, volume: { ...geometry, channels, data }, header, notices };
}

/**
 * Writes a volume as one file: NIfTI-1, or NIfTI-2 when `source` is one or an axis is longer than 32767. The type of
 * the voxels is that of the array; several channels become the fourth axis.
 * @throws RangeError when the data do not fill the shape
 */
export function writeNifti(volume: Volume, options: NiftiWriteOptions = {}): Uint8Array {
  const { gzip = true, source } = options;
  const voxels = bytesOfVoxels(volume);
  const header = writeNiftiHeader(fieldsOf(volume, source));
  const file = new Uint8Array(header.length + voxels.length);
  file.set(header);
  file.set(voxels, header.length);
  // No time stamp, so that the same volume gives the same bytes.
  return gzip ? gzipSync(file, { mtime: 0 }) : file;
}

/**
 * Writes a volume as a pair of files: `header` is the .hdr, `image` the .img (a view of the volume's own voxels). Otherwise
 * as `writeNifti`.
 */
export function writeNiftiPair(
  volume: Volume,
  { source }: Pick<NiftiWriteOptions, 'source'> = {},
): { header: Uint8Array; image: Uint8Array } {
  return { header: writeNiftiHeader(fieldsOf(volume, source), true), image: bytesOfVoxels(volume) };
}

function fieldsOf(volume: Volume, source: NiftiHeader | undefined): NiftiFields {
  const { shape, channels, data } = volume;
  const dimensions = [shape[2], shape[1], shape[0], ...(channels > 1 ? [channels] : [])];
  const version = source?.version === 2 || dimensions.some((length) => length > 0x7fff) ? 2 : 1;
  return {
    version,
    dimensions,
    storedType: storedTypeOf(data),
    slope: 1,
    intercept: 0,
    ...geometryFields(volume, version, source),
  };
}

/**
 * Writes a label map in the smallest integer type that holds its labels (uint8 for 0 to 255).
 * @throws RangeError when a value is no integer or does not fit 32 bits
 */
export function writeNiftiLabels(labels: Volume, options: NiftiWriteOptions = {}): Uint8Array {
  return writeNifti({ ...labels, data: toSmallestIntegers(labels.data) }, options);
}

// --- bytes ---

interface Found {
  header: NiftiHeader;
  /** Exactly the stored voxels. */
  voxels: Uint8Array;
  /** They are nobody else's, so that the volume may keep them. */
  owned: boolean;
}

function readSingle(bytes: Uint8Array, name: string): Found {
  const checked = (head: Uint8Array) => {
    const header = readNiftiHeader(head, name);
    if (header.paired) {
      throw new InputError(`${name} is the header of a pair (.hdr and .img); give its .img file too.`);
    }
    return header;
  };
  if (!isGzip(bytes)) {
    const header = checked(bytes);
    return { header, voxels: voxelBytes(bytes, header, name), owned: false };
  }
  let header: NiftiHeader | undefined;
  const inflated = gunzip(
    bytes,
    {
      headLength: longestHeader,
      wanted: (head) => {
        header = checked(head);
        return header.voxelOffset + storedBytes(header);
      },
    },
    name,
  );
  header ??= checked(inflated);
  return { header, voxels: voxelBytes(inflated, header, name), owned: true };
}

function readPair(bytes: Uint8Array, image: Uint8Array, name: string): Found {
  const plain = isGzip(bytes) ? gunzip(bytes, { headLength: longestHeader, wanted: () => longestHeader }, name) : bytes;
  const header = readNiftiHeader(plain, name);
  if (!header.paired) {
    throw new InputError(`${name} holds its voxels itself (single-file NIfTI); give it without an .img file.`);
  }
  const imageName = `the .img file of ${name}`;
  const wanted = header.voxelOffset + storedBytes(header);
  const voxels = isGzip(image) ? gunzip(image, { headLength: 0, wanted: () => wanted }, imageName) : image;
  return { header, voxels: voxelBytes(voxels, header, imageName, name), owned: voxels !== image };
}

function storedBytes(header: NiftiHeader): number {
  return header.dimensions.reduce((count, length) => count * length, bytesPerVoxel[header.storedType]);
}

/** @param name of the file with the voxels; its header may lie in another file, `headerName` */
function voxelBytes(file: Uint8Array, header: NiftiHeader, name: string, headerName = 'its header'): Uint8Array {
  const { voxelOffset, dimensions, storedType } = header;
  const needed = storedBytes(header);
  if (file.length - voxelOffset < needed) {
    throw new InputError(
      `${name} is cut short: ${headerName} asks for ${needed} bytes of voxels (${showShape(dimensions)}, ${storedType}) from byte ${voxelOffset} on, but there are ${Math.max(0, file.length - voxelOffset)}; copy or download it again.`,
    );
  }
  return file.subarray(voxelOffset, voxelOffset + needed);
}

// --- grid ---

function gridOf(header: NiftiHeader, name: string): { shape: Vector3; channels: number } {
  const [nx, ny, nz = 1, channels = 1, ...further] = header.dimensions;
  if (ny === undefined) {
    throw new InputError(`${name} is a row of ${nx} values with one axis; give an image with two or three axes.`);
  }
  if (further.some((length) => length > 1)) {
    throw new InputError(
      `${name} is an image of ${showShape(header.dimensions)} (${header.dimensions.length} axes), as of vectors; give a 3-D image, or a 4-D one whose last axis is the channels.`,
    );
  }
  return { shape: [nz, ny, nx], channels };
}

/** Which of NIfTI's three methods gave the affine: 3 (sform), 2 (qform) or 1 (voxel size alone). */
type Method = 'sform' | 'qform' | 'spacing';

function readGeometry(header: NiftiHeader, shape: Vector3, name: string): { geometry: Geometry; notice?: string } {
  const { method, affine } = chosenAffine(header, shape);
  if (method === 'qform' && !(squaredLength(header.quaternion) <= 1.001)) {
    throw new InputError(
      `${name} has no usable geometry: its qform quaternion ${header.quaternion.join(', ')} is longer than 1; mend the header.`,
    );
  }
  const fault = affineFault(affine);
  const form = method === 'spacing' ? 'voxel size (pixdim)' : method;
  if (fault) {
    throw new InputError(
      `${name} has no usable geometry: its ${form} ${fault}; resample it to a regular grid or mend the header.`,
    );
  }
  const sayings: string[] = [];
  if (method === 'spacing') {
    sayings.push(
      'its header gives no orientation (sform and qform codes are 0): it is taken as x to the left, y to the front, z to the head, with the middle of the grid at 0, and left and right may be wrong',
    );
  }
  if (method !== 'sform' && header.sformCode > 0) {
    sayings.push('its sform matrix is singular, so the qform is used');
  }
  if (method === 'sform' && sformContradictsPixdim(header, shape)) {
    const mm = (sizes: readonly number[]) => sizes.map((size) => Number(size.toPrecision(4))).join(' x ');
    sayings.push(
      `its sform gives voxels of ${mm(columnLengths(header.sform))} and its pixdim ${mm(voxelSizes(header, shape))}: the sizes of pixdim are taken, with the directions of the sform`,
    );
  }
  if (header.spatialUnit === 'meter' || header.spatialUnit === 'micron') {
    sayings.push(`its header measures in ${header.spatialUnit}s, which was converted to mm`);
  }
  if (method !== 'sform' && header.pixdim.slice(1).some((size) => size < 0)) {
    sayings.push('its header gives a negative voxel size (pixdim), which was taken without its sign');
  }
  return {
    geometry: geometryFromAffine(affine, shape),
    notice: sayings.length > 0 ? `${name}: ${sayings.join('; ')}.` : undefined,
  };
}

/** The affine to LPS in mm by the method that the codes choose; an sform without volume gives way to a qform. */
function chosenAffine(header: NiftiHeader, shape: Vector3): { method: Method; affine: Affine } {
  const methods: Method[] = [];
  if (header.sformCode > 0) methods.push('sform');
  if (header.qformCode > 0) methods.push('qform');
  if (methods.length === 0) methods.push('spacing');
  const found = methods.map((method) => ({ method, affine: affineBy(method, header, shape) }));
  return found.find(({ affine }) => volumeOf(affine) > 0) ?? found[0];
}

/**
 * How far the same voxel lies apart under the header's qform and its sform, in mm, at the corner where it is farthest;
 * undefined unless the header gives both.
 * @param shape z, y, x
 */
export function formsApartMm(header: NiftiHeader, shape: Vector3): number | undefined {
  if (!(header.sformCode > 0 && header.qformCode > 0)) return undefined;
  return cornersApart(affineBy('sform', header, shape), affineBy('qform', header, shape), shape);
}

function affineBy(method: Method, header: NiftiHeader, shape: Vector3): Affine {
  const stored =
    method === 'sform'
      ? sformAffine(header, shape)
      : method === 'qform'
        ? qformAffine(header, shape)
        : spacingAffine(voxelSizes(header, shape), shape);
  const { spatialUnit } = header;
  const mm = stored.map((value) =>
    spatialUnit === 'meter' ? value * 1000 : spatialUnit === 'micron' ? value / 1000 : value,
  ) as unknown as Affine;
  return swapLpsRas(shape[0] === 1 ? withThirdAxis(mm) : mm);
}

/** Relative difference from which on the two voxel sizes of a header contradict each other. */
const sizeTolerance = 0.01;

/** Whether the sform's columns have other lengths than the header's voxel sizes, where both say something. */
function sformContradictsPixdim(header: NiftiHeader, shape: Vector3): boolean {
  const sizes = voxelSizes(header, shape);
  return (
    sizes.every((size) => size > 0) &&
    columnLengths(header.sform).some((length, axis) => {
      return length > 0 && Math.abs(length - sizes[axis]) > sizeTolerance * sizes[axis];
    })
  );
}

/**
 * The sform; where its columns contradict the voxel sizes, its directions and origin with the voxel sizes of pixdim. The
 * ACDC challenge's files are so: unit columns, and the true 1.4 x 1.4 x 10 mm in pixdim. ITK and nnU-Net take pixdim too.
 */
function sformAffine(header: NiftiHeader, shape: Vector3): readonly number[] {
  if (!sformContradictsPixdim(header, shape)) return header.sform;
  const lengths = columnLengths(header.sform);
  if (lengths.some((length) => !(length > 0))) return header.sform;
  const factors = voxelSizes(header, shape).map((size, axis) => size / lengths[axis]);
  return header.sform.map((value, index) => (index % 4 === 3 ? value : value * factors[index % 4]));
}

const columnLengths = (a: readonly number[]) => [0, 1, 2].map((axis) => Math.hypot(a[axis], a[4 + axis], a[8 + axis]));

/** Absolute volume of a voxel; NaN when the affine holds one. */
function volumeOf(a: Affine): number {
  return Math.abs(determinant([a[0], a[1], a[2], a[4], a[5], a[6], a[8], a[9], a[10]]));
}

/** Voxel size along i, j, k without sign; a single slice of unknown thickness counts as 1. */
function voxelSizes({ pixdim }: NiftiHeader, shape: Vector3): Vector3 {
  return [Math.abs(pixdim[1]), Math.abs(pixdim[2]), shape[0] === 1 && pixdim[3] === 0 ? 1 : Math.abs(pixdim[3])];
}

function squaredLength([b, c, d]: Vector3): number {
  return b * b + c * c + d * d;
}

/** Method 2 of nifti1.h: rotation by the unit quaternion (a, b, c, d), third axis turned by qfac, then voxel sizes. */
function qformAffine(header: NiftiHeader, shape: Vector3): number[] {
  let [b, c, d] = header.quaternion;
  const square = squaredLength(header.quaternion);
  // a comes from a difference in which rounding of b, c, d may be all there is: a half turn in float32 would be off by
  // up to 6e-4 rad. So what is within three units of the last place of 1 counts as 1, and a as 0.
  const rounding = 3 * (header.version === 1 ? 2 ** -23 : Number.EPSILON);
  let a = Math.sqrt(Math.max(0, 1 - square));
  if (square > 1 - rounding) {
    a = 0;
    [b, c, d] = [b, c, d].map((part) => part / Math.sqrt(square));
  }
  const [x, y, z] = voxelSizes(header, shape);
  const k = header.pixdim[0] < 0 ? -z : z;
  const [tx, ty, tz] = header.qOffset;
  return [
    (a * a + b * b - c * c - d * d) * x,
    2 * (b * c - a * d) * y,
    2 * (b * d + a * c) * k,
    tx,
    2 * (b * c + a * d) * x,
    (a * a + c * c - b * b - d * d) * y,
    2 * (c * d - a * b) * k,
    ty,
    2 * (b * d - a * c) * x,
    2 * (c * d + a * b) * y,
    (a * a + d * d - c * c - b * b) * k,
    tz,
  ];
}

/**
 * Method 1: voxel sizes alone. The standard leaves the orientation open; as other readers do, x runs to the left (as in
 * ANALYZE's radiological order) and the middle of the grid lies at 0.
 */
function spacingAffine([x, y, z]: Vector3, shape: Vector3): number[] {
  const middle = (size: number, length: number) => (size * (length - 1)) / 2;
  return [-x, 0, 0, middle(x, shape[2]), 0, y, 0, -middle(y, shape[1]), 0, 0, z, -middle(z, shape[0])];
}

type GeometryFields = Pick<
  NiftiHeader,
  'spatialUnit' | 'pixdim' | 'qformCode' | 'sformCode' | 'quaternion' | 'qOffset' | 'sform'
>;

/** The header's geometry for a volume: the source's own numbers while they still tell the truth, otherwise new ones. */
function geometryFields(geometry: Geometry, version: 1 | 2, source: NiftiHeader | undefined): GeometryFields {
  if (!source) return formsOf(geometry, 1);
  const { method, affine } = chosenAffine(source, geometry.shape);
  const code = method === 'sform' ? source.sformCode : method === 'qform' ? source.qformCode : 1;
  const computed = formsOf(geometry, code);
  if (!sameGrid(geometryFromAffine(affine, geometry.shape), geometry)) return computed;

  const { spatialUnit, pixdim, qformCode, sformCode, quaternion, qOffset, sform } = source;
  const stored = { spatialUnit, pixdim, qformCode, sformCode, quaternion, qOffset, sform };
  if (spatialUnit === 'meter' || spatialUnit === 'micron') return stored;
  if (method === 'sform' && qformCode === 0) {
    // Readers that know only the qform get the right axes too.
    return { ...computed, sformCode, sform };
  }
  if (method === 'qform') {
    // The sform is what most readers look at, but it goes before the qform: only one that says the very same may be added.
    const added = { ...stored, sformCode: qformCode, sform: computed.sform.map(version === 1 ? Math.fround : Number) };
    const exact = sameGrid(
      geometryFromAffine(affineBy('sform', { ...source, ...added }, geometry.shape), geometry.shape),
      geometry,
    );
    return exact ? added : { ...stored, sformCode: 0 };
  }
  return stored;
}

function sameGrid(a: Geometry, b: Geometry): boolean {
  const numbers = ({ spacing, origin, direction }: Geometry) => [...spacing, ...origin, ...direction];
  const other = numbers(b);
  return numbers(a).every((value, index) => value === other[index]);
}

/** Both forms in mm, from the geometry alone. */
function formsOf(geometry: Geometry, code: number): GeometryFields {
  const sform = swapLpsRas(affineOf(geometry));
  const d = geometry.direction;
  const { quaternion, qfac } = quaternionOf([-d[0], -d[1], -d[2], -d[3], -d[4], -d[5], d[6], d[7], d[8]]);
  return {
    spatialUnit: 'mm',
    pixdim: [qfac, ...geometry.spacing],
    qformCode: code,
    sformCode: code,
    quaternion,
    qOffset: [sform[3], sform[7], sform[11]],
    sform,
  };
}

/**
 * b, c, d (with a >= 0) of a matrix whose columns are orthonormal up to rounding, and qfac: -1 when its third column
 * must be turned to make it a rotation. The largest of the four parts is found first, so that no small one is divided by.
 */
function quaternionOf(m: Matrix3): { quaternion: Vector3; qfac: 1 | -1 } {
  const qfac = determinant(m) < 0 ? -1 : 1;
  const [r00, r01, r10, r11, r20, r21] = [m[0], m[1], m[3], m[4], m[6], m[7]];
  const [r02, r12, r22] = [m[2] * qfac, m[5] * qfac, m[8] * qfac];
  /** Four times the squares of a, b, c, d. */
  const squares = [1 + r00 + r11 + r22, 1 + r00 - r11 - r22, 1 - r00 + r11 - r22, 1 - r00 - r11 + r22];
  const largest = squares.indexOf(Math.max(...squares));
  const part = Math.sqrt(squares[largest]) / 2;
  // Sums and differences of mirrored entries are four times the products of two parts.
  const [ab, ac, ad] = [r21 - r12, r02 - r20, r10 - r01];
  const [bc, bd, cd] = [r01 + r10, r02 + r20, r12 + r21];
  const times = [
    [4 * part * part, ab, ac, ad],
    [ab, 4 * part * part, bc, bd],
    [ac, bc, 4 * part * part, cd],
    [ad, bd, cd, 4 * part * part],
  ];
  const [a, b, c, d] = times[largest].map((product) => product / (4 * part));
  return { quaternion: a < 0 ? [-b, -c, -d] : [b, c, d], qfac };
}

// --- voxels ---

/** @param stored bytes that may be changed and kept */
function readVoxels(stored: Uint8Array, header: NiftiHeader, name: string, notices: string[]): VoxelData {
  const { storedType, slope, intercept } = header;
  const values = storedNumbers(stored, storedType, header.byteOrder, name);

  const scaled = Number.isFinite(slope) && slope !== 0;
  if (!Number.isFinite(slope)) notices.push(`${name}: its scale (scl_slope) is no finite number and was ignored.`);
  if (scaled && !Number.isFinite(intercept)) {
    throw new InputError(
      `${name} has a scale (scl_slope ${slope}) but no finite intercept (scl_inter), so its intensities are unknown; mend the header.`,
    );
  }
  if (!scaled || (slope === 1 && intercept === 0)) {
    return intensitiesOf(values, storedType, name, notices);
  }
  const result = fitsFloat32(values) ? new Float32Array(values.length) : new Float64Array(values.length);
  for (let i = 0; i < values.length; i++) result[i] = slope * values[i] + intercept;
  return withoutInfinities(result, name, notices);
}
