import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { gzipSync, zlibSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../../test/shared.ts';
import { InputError } from '../../errors.ts';
import { affineOf, identityDirection, rangeOf, swapLpsRas, type Volume, type VoxelData } from '../volume.ts';
import { isMetaImage, metaImageDataFile, readMetaImage, writeMetaImage, writeMetaImageLabels } from './metaImage.ts';

const sixVoxels = Int16Array.of(1, 2, 3, 4, 5, 6);

/**
 * A 2 x 3 x 1 image of shorts, written here by hand so that reader and writer do not check each other; `change` replaces
 * lines, adds some, or leaves them out.
 */
function six(
  change: Record<string, string | undefined> = {},
  voxels: ArrayBufferView | string = sixVoxels,
): Uint8Array {
  const { ElementDataFile = 'LOCAL', ...fields }: Record<string, string | undefined> = {
    ObjectType: 'Image',
    NDims: '3',
    BinaryData: 'True',
    BinaryDataByteOrderMSB: 'False',
    CompressedData: 'False',
    TransformMatrix: '1 0 0 0 1 0 0 0 1',
    Offset: '10 20 30',
    CenterOfRotation: '0 0 0',
    AnatomicalOrientation: 'RAI',
    ElementSpacing: '2 3 4',
    DimSize: '2 3 1',
    ElementType: 'MET_SHORT',
    ...change,
  };
  const lines = Object.entries({ ...fields, ElementDataFile })
    .filter(([, value]) => value !== undefined)
    .map(([field, value]) => `${field} = ${value}\n`);
  const head = new TextEncoder().encode(lines.join(''));
  const body =
    typeof voxels === 'string'
      ? new TextEncoder().encode(voxels)
      : new Uint8Array(voxels.buffer, voxels.byteOffset, voxels.byteLength);
  const file = new Uint8Array(head.length + body.length);
  file.set(head);
  file.set(body, head.length);
  return file;
}
const read = (bytes: Uint8Array, options: { data?: Uint8Array } = {}) =>
  readMetaImage(bytes, { name: 'scan.mha', ...options });

/** The sentence of an InputError. */
function refusal(bytes: Uint8Array, data?: Uint8Array): string {
  try {
    read(bytes, { data });
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return (error as Error).message;
  }
  return 'nothing';
}

const sixBytes = new Uint8Array(sixVoxels.buffer);
const deflated = { CompressedData: 'True' };

describe('readMetaImage: voxels', () => {
  test('the first axis runs fastest and becomes x', () => {
    expect(read(six())).toEqual({
      format: 'MetaImage',
      volume: {
        shape: [1, 3, 2],
        channels: 1,
        data: sixVoxels,
        spacing: [2, 3, 4],
        origin: [10, 20, 30],
        direction: identityDirection,
      },
      notices: [],
    });
  });

  test('fields that are not known, line ends of Windows and colons change nothing', () => {
    const text = `Comment = NDims = 7\r
ObjectType: Image\r
NDims=3\r
Modality = MET_MOD_MR\r
TransformMatrix =  1 0 0\t0 1 0 0 0 1\r
Position = 10 20 30\r
ElementSpacing = 2 3 4\r
DimSize = 2 3 1\r
ElementType = MET_SHORT\r
ElementDataFile = Local\r
`;
    const head = new TextEncoder().encode(text);
    expect(read(Uint8Array.of(...head, ...sixBytes))).toEqual(read(six()));
  });

  test.each<[string, VoxelData | BigInt64Array | BigUint64Array, VoxelData]>([
    ['MET_CHAR', Int8Array.of(-128, 0, 1, 2, 3, 127), Int8Array.of(-128, 0, 1, 2, 3, 127)],
    ['MET_UCHAR', Uint8Array.of(0, 1, 2, 3, 4, 255), Uint8Array.of(0, 1, 2, 3, 4, 255)],
    ['MET_USHORT', Uint16Array.of(0, 1, 2, 3, 4, 65535), Uint16Array.of(0, 1, 2, 3, 4, 65535)],
    ['MET_INT', Int32Array.of(-1, 1, 2, 3, 4, 70000), Int32Array.of(-1, 1, 2, 3, 4, 70000)],
    ['MET_LONG', Int32Array.of(-1, 1, 2, 3, 4, 70000), Int32Array.of(-1, 1, 2, 3, 4, 70000)],
    ['MET_ULONG', Uint32Array.of(0, 1, 2, 3, 4, 4e9), Uint32Array.of(0, 1, 2, 3, 4, 4e9)],
    ['MET_FLOAT', Float32Array.of(0.5, 1, 2, 3, 4, -1e30), Float32Array.of(0.5, 1, 2, 3, 4, -1e30)],
    ['MET_DOUBLE', Float64Array.of(0.1, 1, 2, 3, 4, 5), Float64Array.of(0.1, 1, 2, 3, 4, 5)],
    ['MET_DOUBLE', Float64Array.of(0.5, 1, 2, 3, 4, 5), Float32Array.of(0.5, 1, 2, 3, 4, 5)],
    ['MET_LONG_LONG', BigInt64Array.of(-1n, 1n, 2n, 3n, 4n, 5n), Float64Array.of(-1, 1, 2, 3, 4, 5)],
    ['MET_ULONG_LONG', BigUint64Array.of(0n, 1n, 2n, 3n, 4n, 5n), Float64Array.of(0, 1, 2, 3, 4, 5)],
  ])('%s, raw, deflated, big-endian and as text', (ElementType, stored, expected) => {
    const little = new Uint8Array(stored.buffer.slice(0));
    const size = little.length / 6;
    const big = little.slice();
    for (let voxel = 0; voxel < 6; voxel++) big.subarray(voxel * size, (voxel + 1) * size).reverse();
    const zlib = zlibSync(big);
    for (const [change, voxels] of [
      [{}, little],
      [{ BinaryDataByteOrderMSB: 'True' }, big],
      [{ BinaryDataByteOrderMSB: undefined, ElementByteOrderMSB: 'True' }, big],
      [{ ...deflated, BinaryDataByteOrderMSB: 'True' }, zlib],
      [{ ...deflated, BinaryDataByteOrderMSB: 'True', CompressedDataSize: String(zlib.length) }, zlib],
      [{ ...deflated, CompressedDataSize: '0' }, gzipSync(little)],
      [{ BinaryData: 'False', BinaryDataByteOrderMSB: 'True' }, `${[...stored].join(' ')}\n`],
    ] as [Record<string, string | undefined>, Uint8Array | string][]) {
      expect(read(six({ ElementType, ...change }, voxels)).volume.data).toEqual(expected);
    }
  });

  test('values that are not finite become 0, with a notice that counts them', () => {
    const { volume, notices } = read(six({ ElementType: 'MET_FLOAT' }, Float32Array.of(1, NaN, 3, -Infinity, 5, 6)));
    expect([...volume.data]).toEqual([1, 0, 3, 0, 5, 6]);
    expect(notices).toEqual(['scan.mha: 2 of 6 voxels were not finite (NaN or infinite) and are 0 now.']);
  });

  test('interleaved channels move outermost; a fourth axis is there already', () => {
    const expected = { shape: [1, 1, 3], channels: 2, data: sixVoxels, spacing: [2, 3, 4], origin: [10, 20, 30] };
    const interleaved = six({ DimSize: '3 1 1', ElementNumberOfChannels: '2' }, Int16Array.of(1, 4, 2, 5, 3, 6));
    expect(read(interleaved).volume).toMatchObject(expected);
    const fourth = six({
      NDims: '4',
      DimSize: '3 1 1 2',
      TransformMatrix: '1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1',
      Offset: '10 20 30 0',
      ElementSpacing: '2 3 4 1',
    });
    expect(read(fourth).volume).toMatchObject(expected);
  });

  test('voxels in a file of their own, behind a header of some length or at its end', () => {
    const head = (HeaderSize?: string, change = {}) => six({ ElementDataFile: 'scan.raw', HeaderSize, ...change }, '');
    expect(metaImageDataFile(head(), 'scan.mhd')).toBe('scan.raw');
    expect(metaImageDataFile(six(), 'scan.mha')).toBeUndefined();
    expect(metaImageDataFile(six({ ElementDataFile: 'Scan 1 é.zraw' }, ''), 'scan.mhd')).toBe('Scan 1 é.zraw');
    const expected = read(six());
    const padded = Uint8Array.of(7, 7, 7, ...sixBytes);
    expect(read(head(), { data: sixBytes })).toEqual(expected);
    expect(read(head('3'), { data: padded })).toEqual(expected);
    expect(read(head('-1'), { data: padded })).toEqual(expected);
    expect(read(six({ HeaderSize: '-1' }, padded))).toEqual(expected);
    const zlib = zlibSync(sixBytes);
    const packed = Uint8Array.of(7, 7, 7, ...zlib);
    expect(read(head('3', deflated), { data: packed })).toEqual(expected);
    const sized = { ...deflated, CompressedDataSize: String(zlib.length) };
    expect(read(head('-1', sized), { data: packed })).toEqual(expected);
    expect(refusal(head('-1', deflated), packed)).toMatch(/needs a CompressedDataSize/);
    expect(refusal(head())).toBe('scan.mha keeps its voxels in the file "scan.raw"; give that file too.');
    expect(refusal(head(), padded)).toMatch(/^the data file "scan.raw" of scan.mha holds more than it should/);
    expect(refusal(six(), sixBytes)).toMatch(/give it without a data file/);
  });

  test('does not keep or change the bytes that it was given', () => {
    const change = { ElementType: 'MET_FLOAT', BinaryDataByteOrderMSB: 'True' };
    const bytes = six(change, Float32Array.of(1, NaN, 3, 4, 5, 6));
    const before = bytes.slice();
    read(bytes).volume.data.fill(9);
    expect(bytes).toEqual(before);
  });
});

describe('readMetaImage: geometry', () => {
  test('each triple of the matrix is the direction of one voxel axis, in LPS', () => {
    const { volume } = read(six({ TransformMatrix: '0 0.6 0.8 1 0 0 0 0.8 -0.6' }));
    // x runs along (0, 0.6, 0.8): the first column.
    expect(volume.direction).toEqual([0, 1, 0, 0.6, 0, 0.8, 0.8, 0, -0.6]);
    expect(read(six({ TransformMatrix: undefined, Orientation: '0 1 0 1 0 0 0 0 1' })).volume.direction).toEqual([
      0, 1, 0, 1, 0, 0, 0, 0, 1,
    ]);
  });

  test('what is missing is taken as ITK takes it, with a notice; a missing voxel size is refused', () => {
    const { volume, notices } = read(six({ TransformMatrix: undefined, Offset: undefined }));
    expect(volume).toMatchObject({ direction: identityDirection, origin: [0, 0, 0] });
    expect(notices).toEqual([
      'scan.mha: its header gives no Offset: its first voxel is taken to lie at 0; its header gives no TransformMatrix: it is taken as x to the left, y to the back, z to the head, and left and right may be wrong.',
    ]);
    expect(read(six({ ElementSpacing: undefined, ElementSize: '5 6 7' })).volume.spacing).toEqual([5, 6, 7]);
    expect(read(six({ ElementSize: '5 6 7' })).volume.spacing).toEqual([2, 3, 4]);
    expect(refusal(six({ ElementSpacing: undefined }))).toMatch(/gives no voxel size/);
  });

  test('a direction that was rounded gets its length of 1 again; what is none is refused', () => {
    const { direction } = read(six({ TransformMatrix: '0.707 0.707 0 -0.707 0.707 0 0 0 1' })).volume;
    expect(direction[0]).toBeCloseTo(Math.SQRT1_2, 12);
    expect(refusal(six({ TransformMatrix: '1 0 0 0 2 0 0 0 1' }))).toMatch(
      /direction of its y axis \(TransformMatrix\) has a length of 2 instead of 1/,
    );
  });

  test('a 2-D image is one slice, its third axis at right angles', () => {
    const plane = { NDims: '2', DimSize: '2 3', Offset: '10 20', ElementSpacing: '2 3' };
    const { volume, notices } = read(six({ ...plane, TransformMatrix: '0 1 1 0' }));
    expect(volume).toMatchObject({ shape: [1, 3, 2], spacing: [2, 3, 1], origin: [10, 20, 0] });
    // y x x = -z.
    expect(volume.direction).toEqual([0, 1, 0, 1, 0, 0, 0, 0, -1]);
    expect(notices).toEqual(['scan.mha: it is a 2-D image, read as one slice of 1 mm thickness.']);
  });
});

describe('readMetaImage: what it refuses', () => {
  const four = { NDims: '4', Offset: '0 0 0 0', ElementSpacing: '1 1 1 1' };
  test.each<[string, Uint8Array, RegExp]>([
    ['nothing', new Uint8Array(0), /is no MetaImage file/],
    ['another text', new TextEncoder().encode('hello = world\n'), /is no MetaImage file/],
    ['another object', six({ ObjectType: 'Tube' }), /object of type "Tube"/],
    ['a header without end', new TextEncoder().encode('ObjectType = Image\nNDims = 3\n'), /no line ElementDataFile/],
    ['a missing field', six({ DimSize: undefined }), /has no field DimSize/],
    ['a field twice', six({ 'NDims = 3\nNDims': '3' }), /gives NDims twice/],
    ['a row', six({ NDims: '1' }), /with 1 axes/],
    ['five axes', six({ NDims: '5' }), /with 5 axes/],
    ['an axis of no length', six({ DimSize: '2 0 3' }), /axis 2 of 3 a length of 0 \(DimSize\)/],
    ['too few lengths', six({ DimSize: '2 3' }), /gives 2 numbers as its DimSize, not 3/],
    ['a word', six({ DimSize: '2 3 one' }), /"one" where its DimSize must give a number/],
    ['an unknown type', six({ ElementType: 'MET_HALF' }), /type "MET_HALF"/],
    ['arrays', six({ ElementType: 'MET_SHORT_ARRAY' }), /no single numbers/],
    ['colors', six({ ElementType: 'MET_UCHAR', ElementNumberOfChannels: '3' }), /colors \(MET_UCHAR with 3 channels\)/],
    ['no channels', six({ ElementNumberOfChannels: '0' }), /gives 0 as its ElementNumberOfChannels/],
    [
      'channels over time',
      six({ ...four, DimSize: '1 1 1 3', ElementNumberOfChannels: '2', TransformMatrix: undefined }),
      /1x1x1x3 with 2 channels in each voxel/,
    ],
    [
      'space mixed with time',
      six({ ...four, DimSize: '1 1 1 6', TransformMatrix: '1 0 0 1 0 1 0 0 0 0 1 0 0 0 0 1' }),
      /fourth axis that is not at right angles/,
    ],
    ['neither true nor false', six({ CompressedData: 'maybe' }), /"maybe" as its CompressedData/],
    ['more than memory', six({ DimSize: '2000000 3000000 1000000' }), /asks for 12000000000000000000 bytes/],
    [
      'more than memory, deflated',
      six({ ...deflated, DimSize: '200000 300000 1' }, zlibSync(sixBytes)),
      /cannot hold what/,
    ],
    ['voxels cut short', six().subarray(0, -1), /is cut short: its header asks for 12 bytes .* but there are 11/],
    ['bytes behind the voxels', six({}, new Uint8Array(13)), /holds more than it should.* but there are 13/],
    ['deflated data cut short', six(deflated, zlibSync(sixBytes).subarray(0, -1)), /zlib data of scan.mha/],
    ['deflated data of too little', six(deflated, zlibSync(sixBytes.subarray(1))), /but there are 11/],
    ['deflated data of too much', six(deflated, zlibSync(new Uint8Array(13))), /inflates to more than the 12 bytes/],
    ['raw data that are called deflated', six(deflated), /holds no zlib data/],
    [
      'fewer compressed bytes than it says',
      six({ ...deflated, CompressedDataSize: '99' }, zlibSync(sixBytes)),
      /asks for 99 bytes of compressed voxels/,
    ],
    [
      'more compressed bytes than it says',
      six({ ...deflated, CompressedDataSize: '5' }, zlibSync(sixBytes)),
      /holds more than it should: its header asks for 5 bytes of compressed/,
    ],
    ['sheared axes', six({ TransformMatrix: '1 0 0 0 1 0 0 0.6 0.8' }), /y and z axes 53\.13 degrees apart/],
    ['no thickness', six({ ElementSpacing: '1 1 0' }), /gives the z axis a voxel size of 0 mm/],
    ['a negative size', six({ ElementSpacing: '1 -1 1' }), /a negative voxel size of -1 mm/],
    ['an origin that is not finite', six({ Offset: '0 inf 0' }), /not finite/],
    ['a list of files', six({ ElementDataFile: 'LIST' }), /spreads its voxels over several files/],
    ['a pattern of files', six({ ElementDataFile: 'scan%03d.raw 1 9 1' }), /spreads its voxels over several files/],
    ['a file elsewhere', six({ ElementDataFile: '../scan.raw' }), /no name of a file in its own folder/],
  ])('%s', (_, bytes, message) => {
    expect(refusal(bytes)).toMatch(message);
    expect(refusal(bytes)).toMatch(/scan\.mha/);
  });

  test('what stands in a header is repeated only where it is a word or numbers, for names may have come there', () => {
    expect(refusal(six({ ElementType: 'MET_SHRT' }))).toContain('voxels of type "MET_SHRT"');
    for (const text of ['Image\0Comment = Doe^Jane', '1.2.840.113619.2']) {
      const said = refusal(six({ ElementType: text }));
      expect(said).toContain(`voxels of type a text of ${text.length} characters`);
      expect(said).not.toContain(text);
    }
  });

  test('whatever bytes are damaged or missing, it says so or reads them', () => {
    const whole = [six(), six({ BinaryData: 'False' }, '1 2 3 4 5 6'), writeMetaImage(drawnVolume)];
    const damage = fc.record({
      bytes: fc.constantFrom(...whole),
      at: fc.nat(420),
      value: fc.nat(255),
      length: fc.nat(840),
    });
    fc.assert(
      fc.property(damage, ({ bytes, at, value, length }) => {
        const damaged = bytes.slice(0, length);
        if (at < damaged.length) damaged[at] = value;
        try {
          const { data } = readMetaImage(damaged).volume;
          if (!data.every((voxel) => Number.isFinite(voxel))) throw new Error('a voxel that is not finite');
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

describe('writeMetaImage', () => {
  test('writes the fields of the definition', () => {
    expect(new TextDecoder('latin1').decode(writeMetaImage(drawnVolume, { compress: false }))).toBe(
      `ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = False
TransformMatrix = 0 1 0 0.6 0 -0.8 0.8 0 0.6
Offset = -100.3 20.7 900.1
CenterOfRotation = 0 0 0
AnatomicalOrientation = ASR
ElementSpacing = 0.7 0.8 5
DimSize = 3 2 1
ElementType = MET_SHORT
ElementDataFile = LOCAL
\x01\0\x02\0\x03\0\x04\0\x05\0\x06\0`,
    );
  });

  test('channels become a fourth axis', () => {
    const volume = { ...drawnVolume, shape: [1, 1, 3] as const, channels: 2 };
    const file = writeMetaImage(volume);
    expect(new TextDecoder('latin1').decode(file)).toContain('\nDimSize = 3 1 1 2\n');
    expect(read(file).volume).toEqual(volume);
  });

  test('the same volume gives the same bytes', () => {
    expect(writeMetaImage(drawnVolume)).toEqual(writeMetaImage(drawnVolume));
  });

  test('label maps go out in the smallest integer type', () => {
    const labels = { ...drawnVolume, data: Float32Array.of(0, 1, 2, 13, 0, 0) };
    expect(read(writeMetaImageLabels(labels)).volume.data).toEqual(Uint8Array.of(0, 1, 2, 13, 0, 0));
    expect(() => writeMetaImageLabels({ ...labels, data: Float32Array.of(0, 0.5, 0, 0, 0, 0) })).toThrow(RangeError);
  });

  test('refuses data that do not fill the shape', () => {
    expect(() => writeMetaImage({ ...drawnVolume, channels: 2 })).toThrow(
      '2 channels of 1x2x3 voxels are not 6 values',
    );
  });
});

test('isMetaImage looks at the first bytes alone', () => {
  expect(isMetaImage(six().subarray(0, 20))).toBe(true);
  expect(isMetaImage(six({ ObjectType: undefined }).subarray(0, 20))).toBe(true);
  expect(isMetaImage(new TextEncoder().encode('NRRD0004\nNDims = 3'))).toBe(false);
  expect(isMetaImage(new Uint8Array(400))).toBe(false);
});

describe.skipIf(!hasShared)('a real scan', () => {
  test('mr_brain_4mm.mha: voxels, geometry, and written and read again', () => {
    const { cases } = sharedJson<{ cases: Record<string, unknown>[] }>('data', 'volumes', 'expected.json');
    const expected = cases.find(({ file }) => file === 'mr_brain_4mm.mha')!;
    const bytes = sharedBytes('data', 'volumes', 'mr_brain_4mm.mha');
    const { volume, notices } = read(bytes);
    expect(notices).toEqual([]);
    expect([...volume.shape].reverse()).toEqual(expected.size_xyz);
    expect(volume.data).toBeInstanceOf(Int16Array);
    expect(rangeOf(volume.data)).toEqual([expected.min, expected.max]);
    expect(Array.from(volume.data).reduce((sum, value) => sum + value, 0)).toBe(expected.sum);
    const hash = (data: VoxelData) =>
      createHash('sha256')
        .update(new Uint8Array(Int32Array.from(data).buffer))
        .digest('hex');
    expect(hash(volume.data)).toBe(expected.sha256_int32le_xfastest);
    const affine = (expected.affine_ras as number[][]).flat();
    swapLpsRas(affineOf(volume)).forEach((value, i) => {
      expect(value).toBeCloseTo(affine[i], 6);
    });
    const again = writeMetaImage(volume);
    expect(read(again).volume).toEqual(volume);
    // Our header says what the scan's own says, AnatomicalOrientation included, and no digit less.
    const lines = (file: Uint8Array, field: string) =>
      new TextDecoder('latin1').decode(file.subarray(0, 600)).match(new RegExp(`^${field} = (.*)$`, 'm'))![1];
    expect(lines(again, 'AnatomicalOrientation')).toBe(lines(bytes, 'AnatomicalOrientation'));
    expect(lines(again, 'TransformMatrix')).toBe(lines(bytes, 'TransformMatrix'));
    expect(lines(again, 'Offset').split(' ').map(Number)).toEqual(lines(bytes, 'Offset').split(' ').map(Number));
  });
});
