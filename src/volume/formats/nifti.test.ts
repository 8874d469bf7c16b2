import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import fc from 'fast-check';
import { gunzipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { hasShared, sharedBytes, sharedJson, sharedPath } from '../../../test/shared.ts';
import { InputError } from '../../errors.ts';
import {
  affineOf,
  type Geometry,
  identityDirection,
  indexToWorld,
  type Matrix3,
  swapLpsRas,
  type Vector3,
  type Volume,
  type VoxelData,
  worldToIndex,
} from '../volume.ts';
import { readNifti, writeNifti, writeNiftiLabels, writeNiftiPair } from './nifti.ts';

const datatypes = { uint8: 2, int16: 4, int32: 8, float32: 16, float64: 64, int64: 1024, uint64: 1280 };

/** Fields of a NIfTI-1 header by their byte, written here by hand so that reader and writer do not check each other. */
interface Drawn {
  dim?: number[];
  datatype?: number;
  pixdim?: number[];
  slope?: number;
  intercept?: number;
  units?: number;
  qform?: { code: number; quaternion: Vector3; offset: Vector3 };
  sform?: { code: number; rows: number[] };
  voxels: ArrayLike<number> & { buffer: ArrayBufferLike; byteOffset: number; byteLength: number };
}

/** A 2 x 3 x 1 file of 1 mm voxels in RAS unless said. */
/** Voxel sizes as an sform gives them; 1 where it gives none. */
function columnsOf(rows: readonly number[] = []): number[] {
  return [0, 1, 2].map((axis) => Math.hypot(rows[axis] ?? 0, rows[4 + axis] ?? 0, rows[8 + axis] ?? 0) || 1);
}

function draw({ dim = [3, 2, 3, 1], datatype = 4, pixdim, voxels, ...rest }: Drawn): Uint8Array {
  const sizes = pixdim ?? [1, ...columnsOf(rest.sform?.rows)];
  const file = new Uint8Array(352 + voxels.byteLength);
  const view = new DataView(file.buffer);
  view.setInt32(0, 348, true);
  for (let i = 0; i < 8; i++) view.setInt16(40 + 2 * i, dim[i] ?? 1, true);
  view.setInt16(70, datatype, true);
  for (let i = 0; i < 4; i++) view.setFloat32(76 + 4 * i, sizes[i], true);
  view.setFloat32(108, 352, true);
  view.setFloat32(112, rest.slope ?? 1, true);
  view.setFloat32(116, rest.intercept ?? 0, true);
  view.setUint8(123, rest.units ?? 2);
  if (rest.qform) {
    view.setInt16(252, rest.qform.code, true);
    for (let i = 0; i < 3; i++) view.setFloat32(256 + 4 * i, rest.qform.quaternion[i], true);
    for (let i = 0; i < 3; i++) view.setFloat32(268 + 4 * i, rest.qform.offset[i], true);
  }
  const sform = rest.sform ?? (rest.qform ? undefined : { code: 1, rows: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0] });
  if (sform) {
    view.setInt16(254, sform.code, true);
    for (let i = 0; i < 12; i++) view.setFloat32(280 + 4 * i, sform.rows[i], true);
  }
  file.set([0x6e, 0x2b, 0x31, 0], 344);
  file.set(new Uint8Array(voxels.buffer, voxels.byteOffset, voxels.byteLength), 352);
  return file;
}

const sixVoxels = Int16Array.of(1, 2, 3, 4, 5, 6);
const rasOf = (geometry: Geometry) => swapLpsRas(affineOf(geometry));

describe('readNifti: voxels', () => {
  test('i runs fastest and becomes x; RAS becomes LPS', () => {
    const { volume, notices } = readNifti(
      draw({ voxels: sixVoxels, sform: { code: 1, rows: [2, 0, 0, 10, 0, 3, 0, 20, 0, 0, 4, 30] } }),
    );
    expect(volume).toEqual({
      shape: [1, 3, 2],
      channels: 1,
      data: sixVoxels,
      spacing: [2, 3, 4],
      origin: [-10, -20, 30],
      direction: [-1, 0, 0, 0, -1, 0, 0, 0, 1],
    });
    expect(notices).toEqual([]);
  });

  test('slope and intercept give float32; no slope leaves the stored integers', () => {
    const scaled = readNifti(draw({ voxels: sixVoxels, slope: 0.5, intercept: -10 })).volume.data;
    expect(scaled).toEqual(Float32Array.of(-9.5, -9, -8.5, -8, -7.5, -7));
    expect(readNifti(draw({ voxels: sixVoxels, slope: 0, intercept: 5 })).volume.data).toEqual(sixVoxels);
  });

  test('a slope that is not a number is ignored with a notice, an intercept that is none is refused', () => {
    const { volume, notices } = readNifti(draw({ voxels: sixVoxels, slope: NaN }), { name: 'scan.nii' });
    expect(volume.data).toEqual(sixVoxels);
    expect(notices).toEqual(['scan.nii: its scale (scl_slope) is no finite number and was ignored.']);
    expect(() => readNifti(draw({ voxels: sixVoxels, slope: 2, intercept: NaN }))).toThrow(/no finite intercept/);
  });

  test('values that are not finite become 0, with a notice that counts them', () => {
    const voxels = Float32Array.of(1, NaN, Infinity, 4, -Infinity, 6);
    const { volume, notices } = readNifti(draw({ voxels, datatype: datatypes.float32 }), { name: 'scan.nii' });
    expect([...volume.data]).toEqual([1, 0, 0, 4, 0, 6]);
    expect(notices).toEqual(['scan.nii: 3 of 6 voxels were not finite (NaN or infinite) and are 0 now.']);
    // 3e38 * 10 is beyond float32.
    const large = draw({ voxels: Float32Array.of(1, 2, 3, 4, 5, 3e38), datatype: datatypes.float32, slope: 10 });
    expect([...readNifti(large).volume.data]).toEqual([10, 20, 30, 40, 50, 0]);
  });

  test('float64 becomes float32 only where nothing is lost', () => {
    const read = (voxels: Float64Array) => readNifti(draw({ voxels, datatype: datatypes.float64 })).volume.data;
    expect(read(Float64Array.of(1, 2, 3, 4, 5, 0.5))).toEqual(Float32Array.of(1, 2, 3, 4, 5, 0.5));
    expect(read(Float64Array.of(1, 2, 3, 4, 5, 0.1))).toEqual(Float64Array.of(1, 2, 3, 4, 5, 0.1));
  });

  test('scaled int32 become float64 only from 2^24 on', () => {
    const read = (last: number) =>
      readNifti(draw({ voxels: Int32Array.of(1, 2, 3, 4, 5, last), datatype: datatypes.int32, slope: 2 })).volume.data;
    expect(read(2 ** 24)).toBeInstanceOf(Float32Array);
    expect(read(2 ** 24 + 1)).toEqual(Float64Array.of(2, 4, 6, 8, 10, 33554434));
  });

  test('64-bit integers are read while float64 holds them exactly', () => {
    const draw64 = (last: bigint) => {
      const voxels = BigInt64Array.of(1n, 2n, 3n, 4n, 5n, last);
      return draw({ voxels: new Uint8Array(voxels.buffer), datatype: datatypes.int64 });
    };
    expect(readNifti(draw64(-(2n ** 53n) + 1n)).volume.data).toEqual(Float64Array.of(1, 2, 3, 4, 5, -(2 ** 53) + 1));
    expect(() => readNifti(draw64(2n ** 53n))).toThrow(/64-bit integers such as 9007199254740992/);
  });

  test('a fourth axis is the channels, whole volumes one after the other', () => {
    const { volume } = readNifti(draw({ dim: [4, 3, 1, 1, 2], voxels: sixVoxels }));
    expect([volume.shape, volume.channels]).toEqual([[1, 1, 3], 2]);
    expect(volume.data).toEqual(sixVoxels);
    expect(readNifti(draw({ dim: [7, 2, 3, 1, 1, 1, 1, 1], voxels: sixVoxels })).volume.channels).toBe(1);
  });

  test('does not keep or change the bytes that it was given', () => {
    const bytes = draw({ voxels: Float32Array.of(1, NaN, 3, 4, 5, 6), datatype: datatypes.float32 });
    const before = bytes.slice();
    readNifti(bytes).volume.data.fill(9);
    expect(bytes).toEqual(before);
  });

  test('bytes in the middle of a larger buffer, at any offset', () => {
    const bytes = draw({ voxels: Float64Array.of(1, 2, 3, 4, 5, 0.1), datatype: datatypes.float64 });
    const larger = new Uint8Array(bytes.length + 3);
    larger.set(bytes, 3);
    expect([...readNifti(larger.subarray(3)).volume.data]).toEqual([1, 2, 3, 4, 5, 0.1]);
  });
});

describe('readNifti: geometry', () => {
  // A quarter turn about the head-foot axis: i runs to anterior (+y in RAS), j to the left (-x).
  const turn = { code: 1, quaternion: [0, 0, Math.SQRT1_2] as Vector3, offset: [7, 8, 9] as Vector3 };

  test('the qform turns by its quaternion', () => {
    const { volume } = readNifti(draw({ voxels: sixVoxels, pixdim: [1, 2, 3, 4], qform: turn }));
    rasOf(volume).forEach((value, i) => {
      expect(value).toBeCloseTo([0, -3, 0, 7, 2, 0, 0, 8, 0, 0, 4, 9][i], 6);
    });
  });

  test('qfac -1 turns the third axis round; 0 counts as 1', () => {
    const third = (qfac: number) =>
      readNifti(draw({ voxels: sixVoxels, pixdim: [qfac, 2, 3, 4], qform: turn })).volume.direction[8];
    expect([third(1), third(0), third(-1)]).toEqual([1, 1, -1]);
  });

  test('the sform goes before the qform', () => {
    const sform = { code: 2, rows: [1, 0, 0, 70, 0, 1, 0, 80, 0, 0, 1, 90] };
    expect(readNifti(draw({ voxels: sixVoxels, qform: turn, sform })).volume.origin).toEqual([-70, -80, 90]);
  });

  test('a singular sform gives way to a qform with a notice, and is refused without one', () => {
    const sform = { code: 1, rows: new Array(12).fill(0) };
    const { volume, notices } = readNifti(draw({ voxels: sixVoxels, qform: turn, sform }), { name: 'scan.nii' });
    expect(volume.origin).toEqual([-7, -8, 9]);
    expect(notices).toEqual(['scan.nii: its sform matrix is singular, so the qform is used.']);
    expect(() => readNifti(draw({ dim: [3, 1, 3, 2], voxels: sixVoxels, sform }), { name: 'scan.nii' })).toThrow(
      'scan.nii has no usable geometry: its sform gives the x axis a voxel size of 0 mm; resample it to a regular grid or mend the header.',
    );
  });

  test('microns and meters become mm', () => {
    const read = (units: number) => readNifti(draw({ voxels: sixVoxels, units, pixdim: [1, 2, 3, 4], qform: turn }));
    expect(read(3).volume.spacing).toEqual([0.002, 0.003, 0.004]);
    expect(read(3).volume.origin).toEqual([-0.007, -0.008, 0.009]);
    expect(read(1).volume.origin).toEqual([-7000, -8000, 9000]);
    expect(read(3).notices).toEqual(['the NIfTI file: its header measures in microns, which was converted to mm.']);
    // 10 also says that times are in seconds.
    expect(read(10).notices).toEqual([]);
  });

  test('no codes: voxel size only, x to the left, middle at 0, with a notice', () => {
    const bytes = draw({ voxels: sixVoxels, pixdim: [1, 2, 3, 4], sform: { code: 0, rows: new Array(12).fill(0) } });
    const { volume, notices } = readNifti(bytes);
    expect(rasOf(volume)).toEqual([-2, 0, 0, 1, 0, 3, 0, -3, 0, 0, 4, 0]);
    expect(notices[0]).toMatch(/gives no orientation/);
  });

  test('a single slice needs no third axis', () => {
    const rows = [0, 2, 0, 5, 3, 0, 0, 6, 0, 0, 0, 7];
    const { volume } = readNifti(draw({ dim: [2, 2, 3], voxels: sixVoxels, sform: { code: 1, rows } }));
    // Right-handed: (0, 3, 0) x (2, 0, 0) points to the feet.
    expect(rasOf(volume)).toEqual([0, 2, 0, 5, 3, 0, 0, 6, 0, 0, -1, 7]);
    const thin = draw({ dim: [2, 2, 3], voxels: sixVoxels, pixdim: [1, 2, 3, 0], qform: turn });
    expect(readNifti(thin).volume.spacing[2]).toBe(1);
  });

  test('sheared axes and a quaternion that is none are refused', () => {
    const sheared = { code: 1, rows: [1, 0, 0, 0, 0, 1, 0.5, 0, 0, 0, 1, 0] };
    expect(() => readNifti(draw({ voxels: sixVoxels, sform: sheared }))).toThrow(/y and z axes 63\.43 degrees apart/);
    const qform = { code: 1, quaternion: [1, 1, 0] as Vector3, offset: [0, 0, 0] as Vector3 };
    expect(() => readNifti(draw({ voxels: sixVoxels, qform }))).toThrow(/quaternion 1, 1, 0 is longer than 1/);
  });
});

function setAxes(view: DataView, dim: number[]): void {
  for (let i = 0; i < dim.length; i++) view.setInt16(40 + 2 * i, dim[i], true);
}

describe('readNifti: what it refuses', () => {
  const refused = (change: (view: DataView) => void, options?: { image?: Uint8Array }) => {
    const bytes = draw({ voxels: sixVoxels });
    change(new DataView(bytes.buffer));
    try {
      readNifti(bytes, { name: 'scan.nii', ...options });
    } catch (error) {
      expect(error).toBeInstanceOf(InputError);
      return (error as Error).message;
    }
    return 'nothing';
  };

  test.each<[string, (view: DataView) => void, RegExp]>([
    ['a row of values', (view) => view.setInt16(40, 1, true), /row of 2 values/],
    ['RGB', (view) => view.setInt16(70, 128, true), /colors \(rgb24\) \(datatype 128\)/],
    ['vectors', (view) => setAxes(view, [5, 1, 1, 1, 1, 3]), /1x1x1x1x3/],
    ['voxels inside the header', (view) => view.setFloat32(108, 348, true), /start at byte 348 \(vox_offset\)/],
    ['voxels at no whole byte', (view) => view.setFloat32(108, 352.5, true), /start at byte 352.5/],
    ['voxels nowhere', (view) => view.setFloat32(108, NaN, true), /start at byte NaN/],
    ['half a pair', (view) => view.setUint8(345, 0x69), /give its \.img file too/],
  ])('%s', (_, change, message) => {
    expect(refused(change)).toMatch(message);
  });

  test('an .img file that is not needed', () => {
    expect(refused(() => undefined, { image: new Uint8Array(12) })).toMatch(/give it without an \.img file/);
  });

  test('whatever bytes are damaged or missing, it says so or reads them', () => {
    const whole = writeNifti({ ...drawnVolume, data: Float32Array.of(1, 2, 3, 4, 5, 6) }, { gzip: false });
    const zipped = writeNifti(drawnVolume);
    const damage = fc.record({
      bytes: fc.constantFrom(whole, zipped),
      at: fc.nat(400),
      value: fc.nat(255),
      length: fc.nat(400),
    });
    fc.assert(
      fc.property(damage, ({ bytes, at, value, length }) => {
        const damaged = bytes.slice(0, length < 200 ? length * 2 : undefined);
        if (at < damaged.length) damaged[at] = value;
        try {
          const { volume } = readNifti(damaged);
          expect(volume.data.every((voxel) => Number.isFinite(voxel))).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

const drawnVolume: Volume = {
  shape: [1, 2, 3],
  channels: 1,
  data: sixVoxels,
  spacing: [0.7, 0.8, 5],
  origin: [-100.3, 20.7, 900.1],
  direction: [0, 0.6, 0.8, 1, 0, 0, 0, -0.8, 0.6],
};

/** The 48 directions along the world axes. */
function axisDirections(): Matrix3[] {
  const orders = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
  ];
  return orders.flatMap((order) =>
    Array.from({ length: 8 }, (_, signs) => {
      const direction = new Array<number>(9).fill(0);
      for (const column of [0, 1, 2]) direction[3 * order[column] + column] = (signs >> column) & 1 ? -1 : 1;
      return direction as unknown as Matrix3;
    }),
  );
}

/** The 76 bytes from qform_code to the end of srow_z of an uncompressed NIfTI-1 file, as hexadecimal digits. */
const forms = (file: Uint8Array) => [...file.subarray(252, 328)].map((b) => b.toString(16).padStart(2, '0')).join('');

describe('writeNifti', () => {
  test('writes the fields of the standard', () => {
    const file = writeNifti(drawnVolume, { gzip: false });
    const view = new DataView(file.buffer);
    expect(file.length).toBe(352 + 12);
    expect(view.getInt32(0, true)).toBe(348);
    expect([0, 1, 2, 3, 4].map((i) => view.getInt16(40 + 2 * i, true))).toEqual([3, 3, 2, 1, 1]);
    expect([view.getInt16(70, true), view.getInt16(72, true)]).toEqual([4, 16]);
    expect([1, 2, 3].map((i) => view.getFloat32(76 + 4 * i, true))).toEqual([0.7, 0.8, 5].map(Math.fround));
    expect([view.getFloat32(108, true), view.getFloat32(112, true), view.getUint8(123)]).toEqual([352, 1, 2]);
    expect([view.getInt16(252, true), view.getInt16(254, true)]).toEqual([1, 1]);
    expect([280, 292, 296].map((at) => view.getFloat32(at, true))).toEqual([0, 100.3, -0.7].map(Math.fround));
    expect(String.fromCharCode(...file.subarray(344, 347))).toBe('n+1');
    expect(new Int16Array(file.slice(352).buffer)).toEqual(sixVoxels);
  });

  /** The volume as the file's sform has it, and as its qform has it. */
  function byBothForms(volume: Volume): [Volume, Volume] {
    const file = writeNifti(volume, { gzip: false });
    const bySform = readNifti(file).volume;
    new DataView(file.buffer).setInt16(254, 0, true);
    return [bySform, readNifti(file).volume];
  }

  test('sform and qform say exactly the same for axes along the world axes', () => {
    for (const direction of axisDirections()) {
      const spacing = [0.5, 2, 3] as const;
      const [bySform, byQform] = byBothForms({ ...drawnVolume, spacing, origin: [1, 2, 3], direction });
      expect(bySform).toEqual({ ...drawnVolume, spacing, origin: [1, 2, 3], direction });
      affineOf(byQform).forEach((value, i) => {
        expect(value).toBeCloseTo(affineOf(bySform)[i], 6);
      });
    }
  });

  test('sform and qform say the same for every turn, mirrored or not', () => {
    const part = fc.double({ min: -1, max: 1, noNaN: true });
    fc.assert(
      fc.property(fc.tuple(part, part, part, part), fc.boolean(), (quaternion, mirrored) => {
        const length = Math.hypot(...quaternion);
        fc.pre(length > 0.01);
        const [a, b, c, d] = quaternion.map((value) => value / length);
        const s = mirrored ? -1 : 1;
        const direction: Matrix3 = [
          a * a + b * b - c * c - d * d,
          2 * (b * c - a * d),
          2 * (b * d + a * c) * s,
          2 * (b * c + a * d),
          a * a + c * c - b * b - d * d,
          2 * (c * d - a * b) * s,
          2 * (b * d - a * c),
          2 * (c * d + a * b),
          (a * a + d * d - c * c - b * b) * s,
        ];
        const volume = { ...drawnVolume, direction };
        const [bySform, byQform] = byBothForms(volume);
        const corner = [200, 100, 100] as const;
        const distance = (p: Vector3, q: Vector3) => Math.hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]);
        expect(distance(indexToWorld(bySform, corner), indexToWorld(volume, corner))).toBeLessThan(2e-4);
        // The sform is float32, 1e-7 of the distance. The qform can be worse by far: NIfTI stores no a, and what is left
        // of 1 - b^2 - c^2 - d^2 is uncertain to 4e-7, so near a half turn the angle is uncertain to 2 sqrt(4e-7).
        expect(distance(indexToWorld(byQform, corner), indexToWorld(volume, corner))).toBeLessThan(540 * 1.3e-3);
      }),
      { numRuns: 300 },
    );
  });

  test('what was read back is written the same again', () => {
    const once = readNifti(writeNifti(drawnVolume)).volume;
    const twice = readNifti(writeNifti(once)).volume;
    expect(twice).toEqual(once);
  });

  test.each<VoxelData>([
    Int8Array.of(-128, 127, 0, 1, 2, 3),
    Uint8Array.of(0, 255, 0, 1, 2, 3),
    Int16Array.of(-32768, 32767, 0, 1, 2, 3),
    Uint16Array.of(0, 65535, 0, 1, 2, 3),
    Int32Array.of(-(2 ** 31), 2 ** 31 - 1, 0, 1, 2, 3),
    Uint32Array.of(0, 2 ** 32 - 1, 0, 1, 2, 3),
    Float32Array.of(0.5, -1e30, 0, 1, 2, 3),
    Float64Array.of(0.1, -1e300, 0, 1, 2, 3),
  ])('voxels keep type and values: %s', (data) => {
    for (const gzip of [false, true]) {
      expect(readNifti(writeNifti({ ...drawnVolume, data }, { gzip })).volume.data).toEqual(data);
    }
  });

  test('channels become the fourth axis', () => {
    const volume = { ...drawnVolume, shape: [1, 1, 3] as const, channels: 2 };
    const { header, volume: back } = readNifti(writeNifti(volume));
    expect(header.dimensions).toEqual([3, 1, 1, 2]);
    expect([back.shape, back.channels, back.data]).toEqual([[1, 1, 3], 2, sixVoxels]);
  });

  test('an axis longer than 32767 needs NIfTI-2', () => {
    const long = { ...drawnVolume, shape: [1, 1, 40_000] as const, data: new Uint8Array(40_000).fill(7) };
    const { header, volume } = readNifti(writeNifti(long));
    expect(header.version).toBe(2);
    expect(volume.shape).toEqual([1, 1, 40_000]);
    expect(volume.data).toEqual(long.data);
    expect(volume.origin).toEqual(drawnVolume.origin);
  });

  test('the same volume gives the same bytes', () => {
    expect(writeNifti(drawnVolume)).toEqual(writeNifti(drawnVolume));
    expect(gunzipSync(writeNifti(drawnVolume))).toEqual(writeNifti(drawnVolume, { gzip: false }));
  });

  test('label maps go out in the smallest integer type', () => {
    const labels = { ...drawnVolume, data: Float32Array.of(0, 1, 2, 13, 0, 0) };
    expect(readNifti(writeNiftiLabels(labels)).header.storedType).toBe('uint8');
    expect(() => writeNiftiLabels({ ...labels, data: Float32Array.of(0, 0.5, 0, 0, 0, 0) })).toThrow(RangeError);
  });

  test('refuses data that do not fill the shape', () => {
    expect(() => writeNifti({ ...drawnVolume, channels: 2 })).toThrow('2 channels of 1x2x3 voxels are not 6 values');
  });
});

describe('writeNifti with the source of the grid', () => {
  const oblique = { code: 1, quaternion: [0.1, -0.2, 0.3] as Vector3, offset: [-100.3, 20.7, 900.1] as Vector3 };

  test('a grid from a qform keeps the qform alone, bit for bit, because a float32 sform would move it', () => {
    const file = draw({ voxels: sixVoxels, pixdim: [-1, 0.7, 0.8, 5], qform: oblique });
    const { volume, header } = readNifti(file);
    const again = writeNifti(volume, { gzip: false, source: header });
    expect(forms(again)).toBe(forms(file));
    expect(readNifti(again).volume).toEqual(volume);
  });

  test('a qform whose matrix float32 can hold gets an sform beside it', () => {
    const straight = { code: 2, quaternion: [0, 0, 1] as Vector3, offset: [5, 6, 7] as Vector3 };
    const { volume, header } = readNifti(draw({ voxels: sixVoxels, qform: straight }));
    const again = readNifti(writeNifti(volume, { source: header }));
    expect([again.header.sformCode, again.header.qformCode]).toEqual([2, 2]);
    expect(again.header.sform).toEqual([-1, 0, 0, 5, 0, -1, 0, 6, 0, 0, 1, 7]);
    expect(again.volume).toEqual(volume);
  });

  test('an sform without a qform gets one, with the same code', () => {
    const rows = [-0, 0.7, -0, 1, -0.7, 0, 0, 2, 0, -0, 5.1, 3];
    const file = draw({ voxels: sixVoxels, sform: { code: 4, rows } });
    const { volume, header } = readNifti(file);
    const again = writeNifti(volume, { gzip: false, source: header });
    expect([...again.subarray(280, 328)]).toEqual([...file.subarray(280, 328)]);
    expect(readNifti(again).header).toMatchObject({ sformCode: 4, qformCode: 4 });
    new DataView(again.buffer).setInt16(254, 0, true);
    rasOf(readNifti(again).volume).forEach((value, i) => {
      expect(value).toBeCloseTo(rows[i], 5);
    });
  });

  test('microns stay microns', () => {
    const file = draw({ voxels: sixVoxels, units: 3, pixdim: [1, 700, 800, 5000], qform: oblique });
    const { volume, header } = readNifti(file);
    const again = writeNifti(volume, { gzip: false, source: header });
    expect(forms(again)).toBe(forms(file));
    expect(readNifti(again).volume).toEqual(volume);
  });

  test('an unknown orientation stays unknown', () => {
    const file = draw({ voxels: sixVoxels, sform: { code: 0, rows: new Array(12).fill(0) } });
    const { volume, header } = readNifti(file);
    expect(readNifti(writeNifti(volume, { source: header }))).toMatchObject({
      volume,
      header: { sformCode: 0, qformCode: 0 },
    });
  });

  test('a changed grid is written anew under the code of the old one', () => {
    const { volume, header } = readNifti(draw({ voxels: sixVoxels, qform: { ...oblique, code: 3 } }));
    const moved = { ...volume, origin: [1, 2, 3] as const };
    const again = readNifti(writeNifti(moved, { source: header }));
    expect(again.header).toMatchObject({ sformCode: 3, qformCode: 3 });
    expect(again.volume.origin).toEqual([1, 2, 3]);
  });

  test('a pair of files comes back as it went in, in both versions', () => {
    const { volume, header } = readNifti(draw({ voxels: sixVoxels, pixdim: [1, 0.7, 0.8, 5], qform: oblique }));
    for (const source of [header, { ...header, version: 2 as const }]) {
      const pair = writeNiftiPair(volume, { source });
      expect(pair.header.length).toBe(source.version === 1 ? 348 : 540);
      const again = readNifti(pair.header, { name: 'scan.hdr', image: pair.image });
      expect(again.volume).toEqual(volume);
      expect(again.header).toMatchObject({ paired: true, version: source.version, voxelOffset: 0 });
    }
  });

  test('an sform of unit columns beside true voxel sizes keeps its directions and takes the sizes, and goes out as it came', () => {
    const rows = [-1, 0, 0, 5, 0, -1, 0, 6, 0, 0, 1, 7];
    const file = draw({ voxels: sixVoxels, pixdim: [1, 1.5, 1.5, 10], sform: { code: 2, rows } });
    const { volume, header, notices } = readNifti(file, { name: 'heart.nii' });
    expect(volume).toMatchObject({ spacing: [1.5, 1.5, 10], origin: [-5, -6, 7], direction: identityDirection });
    expect(notices).toEqual([
      'heart.nii: its sform gives voxels of 1 x 1 x 1 and its pixdim 1.5 x 1.5 x 10: the sizes of pixdim are taken, with the directions of the sform.',
    ]);
    const again = writeNifti(volume, { gzip: false, source: header });
    expect([...again.subarray(80, 92)]).toEqual([...file.subarray(80, 92)]);
    expect([...again.subarray(280, 328)]).toEqual([...file.subarray(280, 328)]);
  });

  test('any float32 sform goes through bit for bit, with and without the source', () => {
    const coordinate = fc.float({ min: -500, max: 500, noNaN: true, noDefaultInfinity: true });
    const angle = fc.float({ min: -3, max: 3, noNaN: true });
    const size = fc.float({ min: Math.fround(0.1), max: 10, noNaN: true });
    fc.assert(
      fc.property(
        angle,
        angle,
        fc.tuple(size, size, size),
        fc.tuple(coordinate, coordinate, coordinate),
        (u, v, s, t) => {
          const [cu, su, cv, sv] = [Math.cos(u), Math.sin(u), Math.cos(v), Math.sin(v)];
          const rotation = [cu, -su * cv, su * sv, su, cu * cv, -cu * sv, 0, sv, cv];
          const rows = [0, 1, 2].flatMap((row) => [
            ...[0, 1, 2].map((column) => rotation[3 * row + column] * s[column]),
            t[row],
          ]);
          const file = draw({ voxels: sixVoxels, sform: { code: 1, rows } });
          const { volume, header } = readNifti(file);
          const srow = (bytes: Uint8Array) => [...new Float32Array(bytes.slice(280, 328).buffer)].map((x) => x + 0);
          expect(srow(writeNifti(volume, { gzip: false }))).toEqual(srow(file));
          const again = writeNifti(volume, { gzip: false, source: header });
          expect([...again.subarray(280, 328)]).toEqual([...file.subarray(280, 328)]);
        },
      ),
    );
  });
});

interface OddFile {
  refuse: boolean;
  refuse_as_input?: boolean;
  may_read?: boolean;
  why: string;
  size: number[];
  spacing: number[];
  stored_dtype: string;
  affine_ras: number[][];
  qform_affine_ras?: number[][];
  scl_slope: number | null;
  scl_inter: number | null;
  vox_offset: number;
  min?: number;
  max?: number;
  sum?: number;
  not_finite?: number;
  probes?: [number, number, number, number][];
}

/** `>i2` and the like, as NumPy names big-endian types. */
const numpyNames: Record<string, string> = { '>i2': 'int16', '>f4': 'float32' };

describe.skipIf(!hasShared)('unusual and broken files', () => {
  const files = hasShared
    ? sharedJson<{ files: Record<string, OddFile> }>('data', 'nifti', 'odd', 'expected.json').files
    : {};
  const read = (name: string) => readNifti(sharedBytes('data', 'nifti', 'odd', name), { name });

  test('the list names every file', () => {
    expect(
      readdirSync(sharedPath('data', 'nifti', 'odd'))
        .filter((name) => name !== 'expected.json')
        .sort(),
    ).toEqual(Object.keys(files).sort());
  });

  for (const [name, file] of Object.entries(files)) {
    // Two files may be read after all, in the way that their text says.
    const refused = (file.refuse || file.refuse_as_input) && !file.may_read && !file.qform_affine_ras;
    test(`${name} is ${refused ? 'refused' : 'read'}: ${file.why}`, () => {
      if (refused) {
        expect(() => read(name)).toThrow(InputError);
        expect(() => read(name)).toThrow(name);
        return;
      }
      const { volume, header, notices } = read(name);
      const affine = file.affine_ras ?? file.qform_affine_ras;
      const perMm = name === 'units_micron.nii.gz' ? 1000 : 1;
      if (affine) {
        rasOf(volume).forEach((value, i) => {
          expect(value * perMm).toBeCloseTo(affine[Math.floor(i / 4)][i % 4], 5);
        });
      }
      const noticed = {
        'nan_and_inf.nii.gz': /3 of 960/,
        'no_orientation.nii.gz': /no orientation/,
        'units_micron.nii.gz': /micron/,
        'scl_nan.nii.gz': /scl_slope/,
        'singular_sform.nii.gz': /singular/,
      }[name];
      if (noticed) expect(notices.join()).toMatch(noticed);
      else expect(notices).toEqual([]);
      if (!file.size) return;
      expect(header.dimensions).toEqual(file.size);
      expect([...volume.shape].reverse()).toEqual([file.size[0], file.size[1], file.size[2] ?? 1]);
      expect(volume.channels).toBe(file.size[3] ?? 1);
      if (file.stored_dtype === undefined) return;
      expect(header.storedType).toBe(numpyNames[file.stored_dtype] ?? file.stored_dtype);
      expect(header.byteOrder).toBe(file.stored_dtype.startsWith('>') ? 'big' : 'little');
      expect(header.voxelOffset).toBe(file.vox_offset);
      expect(header.slope).toBe(file.scl_slope ?? NaN);
      expect(header.intercept).toBe(file.scl_inter ?? NaN);
      file.spacing.forEach((size, axis) => {
        expect(volume.spacing[axis] * perMm).toBeCloseTo(size, 5);
      });
      let [low, high, sum] = [Infinity, -Infinity, 0];
      for (const value of volume.data) {
        // What was not finite is 0 here and left out there; there are no other zeros in that file.
        if (value === 0 && file.not_finite) continue;
        low = Math.min(low, value);
        high = Math.max(high, value);
        sum += value;
      }
      expect([low, high]).toEqual([file.min, file.max]);
      expect(sum).toBeCloseTo(file.sum as number, 5);
      for (const [i, j, k, value] of file.probes ?? []) {
        expect(volume.data[(k * volume.shape[1] + j) * volume.shape[2] + i]).toBe(value);
      }
    });
  }

  test('the second of two channels is twice the first plus 1', () => {
    const { data } = read('four_d_two_channels.nii.gz').volume;
    const half = data.length / 2;
    expect(data.subarray(half)).toEqual(data.slice(0, half).map((value) => 2 * value + 1));
  });
});

interface Oriented {
  size_xyz: number[];
  spacing: number[];
  affine_ras: number[][];
  sform_code: number;
  qform_code: number;
}

describe.skipIf(!hasShared)('one volume under fifteen headers', () => {
  const expected = hasShared
    ? sharedJson<{
        world_points: { ras_mm: Vector3; value: number }[];
        canonical: { sum: number };
        files: Record<string, Oriented>;
      }>('data', 'nifti', 'orientations', 'expected.json')
    : { world_points: [], canonical: { sum: 0 }, files: {} };

  test.each(Object.entries(expected.files))('%s', (name, file) => {
    const bytes = sharedBytes('data', 'nifti', 'orientations', name);
    const image = name.endsWith('.hdr')
      ? sharedBytes('data', 'nifti', 'orientations', name.replace('.hdr', '.img'))
      : undefined;
    const { volume, header, notices } = readNifti(bytes, { name, image });
    expect(notices).toEqual([]);
    expect([...volume.shape].reverse()).toEqual(file.size_xyz);
    expect([header.sformCode, header.qformCode]).toEqual([file.sform_code, file.qform_code]);
    file.spacing.forEach((size, axis) => {
      expect(volume.spacing[axis]).toBeCloseTo(size, 5);
    });
    rasOf(volume).forEach((value, i) => {
      expect(value).toBeCloseTo(file.affine_ras[Math.floor(i / 4)][i % 4], 4);
    });
    let sum = 0;
    for (const value of volume.data) sum += value;
    expect(sum).toBe(expected.canonical.sum);
    for (const { ras_mm, value } of expected.world_points) {
      const [i, j, k] = worldToIndex(volume, [-ras_mm[0], -ras_mm[1], ras_mm[2]]).map(Math.round);
      expect(volume.data[(k * volume.shape[1] + j) * volume.shape[2] + i]).toBe(value);
    }
    // The grid goes out and comes back exactly.
    const again = readNifti(writeNifti(volume, { source: header }));
    expect(again.volume).toEqual(volume);
  });
});

describe.skipIf(!hasShared)('real scans', () => {
  test.each([
    ['Dataset027_ACDC', 'imagesTr', 'patient007_frame01_0000.nii.gz'],
    ['Dataset004_Hippocampus', 'labelsTr', 'hippocampus_001.nii.gz'],
    ['volumes', 'ct_abdomen_3mm.nii.gz'],
    ['volumes', 'flair_stroke_oblique_lesion.nii.gz'],
  ])('%s %s %s: read, written and read again is the same', (...parts) => {
    const bytes = sharedBytes('data', ...parts);
    const { volume, header } = readNifti(bytes);
    const written = writeNifti(volume, { gzip: false, source: header });
    const again = readNifti(written);
    expect(again.volume.origin).toEqual(volume.origin);
    expect(again.volume.direction).toEqual(volume.direction);
    expect(again.volume.spacing).toEqual(volume.spacing);
    expect(createHash('sha256').update(again.volume.data).digest('hex')).toBe(
      createHash('sha256').update(volume.data).digest('hex'),
    );
    // srow_x, srow_y, srow_z as they were.
    expect([...written.subarray(280, 328)]).toEqual([...gunzipSync(bytes).subarray(280, 328)]);
  });
});
