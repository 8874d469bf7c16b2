import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { gzipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../../test/shared.ts';
import { InputError } from '../../errors.ts';
import { affineOf, identityDirection, rangeOf, swapLpsRas, type Volume, type VoxelData } from '../volume.ts';
import { isNrrd, nrrdDataFile, readNrrd, writeNrrd, writeNrrdLabels } from './nrrd.ts';

/** Lines of a header, written here by hand so that reader and writer do not check each other, and voxels behind it. */
function drawn(lines: string, voxels: ArrayBufferView | string = new Uint8Array(0)): Uint8Array {
  const head = new TextEncoder().encode(`${lines.trim().replace(/^ +/gm, '')}\n\n`);
  const body =
    typeof voxels === 'string'
      ? new TextEncoder().encode(voxels)
      : new Uint8Array(voxels.buffer, voxels.byteOffset, voxels.byteLength);
  const file = new Uint8Array(head.length + body.length);
  file.set(head);
  file.set(body, head.length);
  return file;
}

const sixVoxels = Int16Array.of(1, 2, 3, 4, 5, 6);

/** A 2 x 3 x 1 image of shorts; `change` replaces lines by their beginning, or adds some. */
function six(
  change: Record<string, string | undefined> = {},
  voxels: ArrayBufferView | string = sixVoxels,
): Uint8Array {
  const lines: Record<string, string | undefined> = {
    type: 'short',
    dimension: '3',
    space: 'left-posterior-superior',
    sizes: '2 3 1',
    'space directions': '(2,0,0) (0,3,0) (0,0,4)',
    kinds: 'domain domain domain',
    endian: 'little',
    encoding: 'raw',
    'space origin': '(10,20,30)',
    ...change,
  };
  const text = Object.entries(lines)
    .filter(([, value]) => value !== undefined)
    .map(([field, value]) => `${field}: ${value}`);
  return drawn(['NRRD0004', ...text].join('\n'), voxels);
}
const read = (bytes: Uint8Array, options: { data?: Uint8Array } = {}) =>
  readNrrd(bytes, { name: 'scan.nrrd', ...options });

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

describe('readNrrd: voxels', () => {
  test('the first axis runs fastest and becomes x', () => {
    expect(read(six())).toEqual({
      format: 'NRRD',
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

  test('comments, keys of the user, line ends of Windows and fields in other spellings change nothing', () => {
    const text = `NRRD0005
      # made by hand
      Type: signed short int
      dimension: 3
      space: LPS
      content: a scan: the first
      sizes: 2 3 1
      spacedirections: (2, 0, 0) (0,3.0,0)  ( 0,0,4e0 )
      endian: little
      key of mine:=type: float
      centerings: cell cell cell
      encoding: raw
      space origin: (10,20,30)`.replace(/\n/g, '\r\n');
    const file = drawn(text, sixVoxels);
    const crlf = new Uint8Array(file.length + 2);
    const head = file.length - 12 - 2;
    crlf.set(file.subarray(0, head));
    crlf.set([13, 10, 13, 10], head);
    crlf.set(file.subarray(head + 2), head + 4);
    expect(read(crlf)).toEqual(read(six()));
  });

  test.each<[string, VoxelData | BigInt64Array | BigUint64Array, VoxelData]>([
    ['signed char', Int8Array.of(-128, 0, 1, 2, 3, 127), Int8Array.of(-128, 0, 1, 2, 3, 127)],
    ['unsigned char', Uint8Array.of(0, 1, 2, 3, 4, 255), Uint8Array.of(0, 1, 2, 3, 4, 255)],
    ['ushort', Uint16Array.of(0, 1, 2, 3, 4, 65535), Uint16Array.of(0, 1, 2, 3, 4, 65535)],
    ['int32_t', Int32Array.of(-1, 1, 2, 3, 4, 70000), Int32Array.of(-1, 1, 2, 3, 4, 70000)],
    ['unsigned int', Uint32Array.of(0, 1, 2, 3, 4, 4e9), Uint32Array.of(0, 1, 2, 3, 4, 4e9)],
    ['float', Float32Array.of(0.5, 1, 2, 3, 4, -1e30), Float32Array.of(0.5, 1, 2, 3, 4, -1e30)],
    ['double', Float64Array.of(0.1, 1, 2, 3, 4, 5), Float64Array.of(0.1, 1, 2, 3, 4, 5)],
    ['double', Float64Array.of(0.5, 1, 2, 3, 4, 5), Float32Array.of(0.5, 1, 2, 3, 4, 5)],
    [
      'long long int',
      BigInt64Array.of(-1n, 1n, 2n, 3n, 4n, 2n ** 53n - 1n),
      Float64Array.of(-1, 1, 2, 3, 4, 2 ** 53 - 1),
    ],
    ['uint64', BigUint64Array.of(0n, 1n, 2n, 3n, 4n, 5n), Float64Array.of(0, 1, 2, 3, 4, 5)],
  ])('type %s, raw, big-endian, as text and as hexadecimal digits', (type, stored, expected) => {
    const little = new Uint8Array(stored.buffer.slice(0));
    expect(read(six({ type }, little)).volume.data).toEqual(expected);
    const size = little.length / 6;
    const big = little.slice();
    for (let voxel = 0; voxel < 6; voxel++) big.subarray(voxel * size, (voxel + 1) * size).reverse();
    expect(read(six({ type, endian: 'big' }, big)).volume.data).toEqual(expected);
    expect(read(six({ type, encoding: 'gzip', endian: 'big' }, gzipSync(big))).volume.data).toEqual(expected);
    const hex = [...big].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    expect(read(six({ type, encoding: 'hex', endian: 'big' }, `${hex}\n`)).volume.data).toEqual(expected);
    const text = [...stored].join(' ');
    expect(read(six({ type, encoding: 'ascii', endian: undefined }, ` ${text}\n`)).volume.data).toEqual(expected);
  });

  test('64-bit integers beyond 2^53 are refused', () => {
    const voxels = BigInt64Array.of(1n, 2n, 3n, 4n, 5n, 2n ** 53n);
    expect(refusal(six({ type: 'int64' }, voxels))).toMatch(/64-bit integers such as 9007199254740992/);
  });

  test('values that are not finite become 0, with a notice that counts them', () => {
    const expected = ['scan.nrrd: 2 of 6 voxels were not finite (NaN or infinite) and are 0 now.'];
    const stored = read(six({ type: 'float' }, Float32Array.of(1, NaN, 3, -Infinity, 5, 6)));
    expect([[...stored.volume.data], stored.notices]).toEqual([[1, 0, 3, 0, 5, 6], expected]);
    const text = read(six({ type: 'double', encoding: 'text' }, '1 nan 3 -inf 5 6'));
    expect([[...text.volume.data], text.notices]).toEqual([[1, 0, 3, 0, 5, 6], expected]);
  });

  test('a list in front, behind or between becomes the channels; Slicer’s layered segmentation is one', () => {
    // Two channels of 3 x 1 x 1: 1 2 3 and 4 5 6.
    const channels = { shape: [1, 1, 3], channels: 2, data: sixVoxels };
    const common = { dimension: '4', kinds: undefined };
    const [x, y, z] = ['(2,0,0)', '(0,3,0)', '(0,0,4)'];
    const behind = six({ ...common, sizes: '3 1 1 2', 'space directions': `${x} ${y} ${z} none` });
    expect(read(behind).volume).toMatchObject(channels);
    const interleaved = Int16Array.of(1, 4, 2, 5, 3, 6);
    const front = {
      ...common,
      sizes: '2 3 1 1',
      'space directions': `none ${x} ${y} ${z}`,
      kinds: 'list domain domain domain',
    };
    expect(read(six(front, interleaved)).volume).toMatchObject(channels);
    const between = six({ ...common, sizes: '3 1 2 1', 'space directions': `${x}${y}none${z}` });
    expect(read(between).volume).toMatchObject(channels);
    const vector = { ...front, kinds: 'vector space space space' };
    expect(read(six(vector, interleaved)).volume).toMatchObject({ ...channels, spacing: [2, 3, 4] });
  });

  test('a space with time: the axis of time becomes the channels', () => {
    const directions = '(2,0,0,0) (0,3,0,0) (0,0,4,0) (0,0,0,1)';
    const common = {
      dimension: '4',
      sizes: '3 1 1 2',
      kinds: 'domain domain domain time',
      'space origin': '(10,20,30,0)',
    };
    const file = six({ ...common, space: 'left-posterior-superior-time', 'space directions': directions });
    expect(read(file).volume).toMatchObject({ channels: 2, origin: [10, 20, 30], spacing: [2, 3, 4], data: sixVoxels });
    const ras = read(six({ ...common, space: 'RAST', 'space directions': directions })).volume;
    expect(ras.origin).toEqual([-10, -20, 30]);
    const mixed = '(2,0,0,1) (0,3,0,0) (0,0,4,0) (0,0,0,1)';
    expect(refusal(six({ ...common, space: 'LPST', 'space directions': mixed }))).toMatch(/\(2,0,0,1\), which mixes/);
  });

  test('bytes and lines are skipped, from the end too', () => {
    const padded = (before: number) => {
      const bytes = new Uint8Array(before + 12);
      bytes.set(new Uint8Array(sixVoxels.buffer), before);
      return bytes;
    };
    const expected = read(six());
    expect(read(six({ 'byte skip': '5' }, padded(5)))).toEqual(expected);
    expect(read(six({ byteskip: '-1' }, padded(99)))).toEqual(expected);
    expect(read(six({ encoding: 'gz', 'byte skip': '5' }, gzipSync(padded(5))))).toEqual(expected);
    const lines = new Uint8Array(padded(8));
    lines.set([0x61, 0x0a, 0x0a, 0x0a, 0x62, 0x0d, 0x0a, 0x63]);
    expect(read(six({ 'line skip': '4', 'byte skip': '1' }, lines))).toEqual(expected);
    expect(refusal(six({ 'line skip': '9' }, lines))).toBe(
      'scan.nrrd has 4 lines, and its header skips 9 (line skip).',
    );
    expect(refusal(six({ encoding: 'gzip', 'byte skip': '-1' }, gzipSync(padded(0))))).toMatch(/raw encoding only/);
  });

  test('voxels in a file of their own', () => {
    const head = six({ 'data file': 'scan.raw' }, '');
    expect(nrrdDataFile(head, 'scan.nhdr')).toBe('scan.raw');
    expect(read(head, { data: new Uint8Array(sixVoxels.buffer) })).toEqual(read(six()));
    // A header alone needs no empty line.
    const open = head.subarray(0, head.length - 2);
    expect(nrrdDataFile(open, 'scan.nhdr')).toBe('scan.raw');
    expect(read(open, { data: new Uint8Array(sixVoxels.buffer) })).toEqual(read(six()));
    expect(nrrdDataFile(six(), 'scan.nrrd')).toBeUndefined();
    expect(nrrdDataFile(six({ datafile: './Scan 1 é.raw.gz' }), 'scan.nhdr')).toBe('Scan 1 é.raw.gz');
    expect(refusal(head)).toBe('scan.nrrd keeps its voxels in the file "scan.raw"; give that file too.');
    expect(refusal(head, new Uint8Array(11))).toMatch(/^the data file "scan.raw" of scan.nrrd is cut short/);
    expect(refusal(six(), new Uint8Array(12))).toMatch(/give it without a data file/);
  });

  test('does not keep or change the bytes that it was given', () => {
    const bytes = six({ type: 'float', endian: 'big' }, Float32Array.of(1, NaN, 3, 4, 5, 6));
    const before = bytes.slice();
    read(bytes).volume.data.fill(9);
    expect(bytes).toEqual(before);
  });
});

describe('readNrrd: geometry', () => {
  test.each([
    ['right-anterior-superior', [-1, -1, 1]],
    ['RAS', [-1, -1, 1]],
    ['left-anterior-superior', [1, -1, 1]],
    ['LAS', [1, -1, 1]],
    ['LPS', [1, 1, 1]],
  ])('%s becomes LPS', (space, [x, y, z]) => {
    const { volume, notices } = read(six({ space, 'space directions': '(0,2,0) (3,0,0) (0,0,4)' }));
    expect(affineOf(volume).map((value) => value + 0)).toEqual(
      [0, 3 * x, 0, 10 * x, 2 * y, 0, 0, 20 * y, 0, 0, 4 * z, 30 * z].map((value) => value + 0),
    );
    expect(notices).toEqual([]);
  });

  test('a space that says nothing of the patient is taken as LPS with a notice', () => {
    const notice = [
      'scan.nrrd: its header does not say how its space lies in the patient (field "space"): it is taken as x to the left, y to the back, z to the head, and left and right may be wrong.',
    ];
    const { volume } = read(six());
    expect(read(six({ space: 'scanner-xyz' }))).toEqual({ format: 'NRRD', volume, notices: notice });
    expect(read(six({ space: undefined, 'space dimension': '3' }))).toEqual({
      format: 'NRRD',
      volume,
      notices: notice,
    });
    expect(refusal(six({ space: undefined, 'space dimension': '2' }))).toMatch(/a space of 2 dimensions/);
    expect(refusal(six({ space: 'right-anterior-inferior' }))).toMatch(/unknown; write left-posterior-superior/);
  });

  test('spacings alone give sizes, with a notice', () => {
    const alone = { 'space directions': undefined, 'space origin': undefined, space: undefined, spacings: '2 3 4' };
    const { volume, notices } = read(six(alone));
    expect(volume).toMatchObject({ spacing: [2, 3, 4], origin: [0, 0, 0], direction: identityDirection });
    expect(notices[0]).toMatch(/does not say how its space lies.*first voxel is taken to lie at 0\.$/);
    const list = {
      ...alone,
      dimension: '4',
      sizes: '2 3 1 1',
      kinds: 'list domain domain domain',
      spacings: 'nan 2 3 4',
    };
    expect(read(six(list)).volume).toMatchObject({ channels: 2, shape: [1, 1, 3], spacing: [2, 3, 4] });
    const ras = read(six({ ...alone, space: 'RAS' }));
    expect(ras.volume.direction).toEqual([-1, 0, 0, 0, -1, 0, 0, 0, 1]);
    expect(ras.notices[0]).toMatch(/voxel sizes and no directions/);
    expect(refusal(six({ ...alone, spacings: undefined }))).toMatch(/gives no voxel size/);
  });

  test('other units become mm with a notice; different ones are refused', () => {
    const micron = read(six({ 'space units': '"um" "um" "um"' }));
    expect(micron.volume).toMatchObject({ spacing: [0.002, 0.003, 0.004], origin: [0.01, 0.02, 0.03] });
    expect(micron.notices).toEqual(['scan.nrrd: its header measures in um, which was converted to mm.']);
    expect(read(six({ 'space units': '"µm" "µm" "µm"' })).volume.spacing[0]).toBe(0.002);
    const meter = { 'space directions': undefined, spacings: '0.002 0.003 0.004', units: '"m" "m" "m"' };
    expect(read(six(meter)).volume.spacing).toEqual([2, 3, 4]);
    expect(read(six({ 'space units': '"mm" "mm" "mm"' })).notices).toEqual([]);
    expect(refusal(six({ 'space units': '"mm" "mm" "m"' }))).toMatch(/different units \(mm, mm, m\)/);
    expect(refusal(six({ 'space units': '"ms" "mm" "mm"' }))).toMatch(/measures its space in "ms"/);
  });

  test('a 2-D image is one slice, its third axis at right angles', () => {
    const plane = { dimension: '2', sizes: '2 3', kinds: 'domain domain', 'space directions': '(0,2,0) (0,0,3)' };
    const { volume, notices } = read(six(plane));
    // y x z = x.
    expect(volume).toMatchObject({ shape: [1, 3, 2], spacing: [2, 3, 1], direction: [0, 0, 1, 1, 0, 0, 0, 1, 0] });
    expect(notices).toEqual(['scan.nrrd: it is a 2-D image, read as one slice of 1 mm thickness.']);
    const meter = read(six({ ...plane, 'space units': '"m" "m" "m"' }));
    expect(meter.volume.spacing).toEqual([2000, 3000, 1]);
  });

  test('the affine of any grid is the stored numbers bit for bit, and a round spacing stays round', () => {
    const part = fc.double({ min: -1, max: 1, noNaN: true });
    const size = fc.double({ min: 0.01, max: 20, noNaN: true });
    fc.assert(
      fc.property(fc.tuple(part, part, part), part, fc.tuple(size, size, size), (w, angle, sizes) => {
        const [cu, su, cv, sv] = [Math.cos(angle), Math.sin(angle), Math.cos(3 * w[0]), Math.sin(3 * w[0])];
        const rotation = [cu, -su * cv, su * sv, su, cu * cv, -cu * sv, 0, sv, cv];
        const vectors = [0, 1, 2].map((axis) => [0, 3, 6].map((row) => rotation[row + axis] * sizes[axis]));
        const directions = vectors.map((vector) => `(${vector.join(',')})`).join(' ');
        const { volume } = read(six({ 'space directions': directions }));
        const a = affineOf(volume);
        expect([0, 1, 2].map((axis) => [a[axis] + 0, a[4 + axis] + 0, a[8 + axis] + 0])).toEqual(
          vectors.map((vector) => vector.map((value) => value + 0)),
        );
        for (const axis of [0, 1, 2]) expect(Math.abs(volume.spacing[axis] / sizes[axis] - 1)).toBeLessThan(1e-13);
      }),
      { numRuns: 1000 },
    );
    const tilted = read(six({ 'space directions': '(0.42,0.56,0) (-0.56,0.42,0) (0,0,4)' })).volume;
    expect(tilted.spacing).toEqual([0.7, 0.7, 4]);
  });
});

describe('readNrrd: what it refuses', () => {
  test.each<[string, Uint8Array, RegExp]>([
    ['no NRRD', new TextEncoder().encode('NRRD'), /is no NRRD file/],
    ['nothing', new Uint8Array(0), /is no NRRD file/],
    ['an unknown version', drawn('NRRD0006\ntype: short'), /NRRD of version 6/],
    ['a missing field', six({ sizes: undefined }), /has no field "sizes"/],
    [
      'a field that is none',
      six({ 'space orgin': '(1,2,3)' }),
      /in line \d+ of its header a field that NRRD does not know/,
    ],
    ['a line that is none', drawn('NRRD0004\nhello'), /in line 2 of its header no field/],
    ['a field twice', drawn('NRRD0004\ntype: short\ntype: float'), /gives "type" twice/],
    ['an unknown type', six({ type: 'char' }), /type "char"/],
    ['blocks', six({ type: 'block' }), /type "block"/],
    ['no axis', six({ dimension: '0' }), /gives 0 as its dimension/],
    ['too many axes', six({ dimension: '17' }), /17 axes/],
    ['an axis of no length', six({ sizes: '2 0 3' }), /gives axis 2 of 3 a length of 0 \(sizes\)/],
    ['half a voxel', six({ sizes: '2 1.5 3' }), /a length of 1.5/],
    ['too few sizes', six({ sizes: '2 3' }), /gives 2 numbers as its sizes, not 3/],
    [
      'more than memory',
      six({ sizes: '2000000 3000000 1000000' }),
      /is cut short: its header asks for 12000000000000000000 bytes/,
    ],
    [
      'more than memory, gzipped',
      six({ encoding: 'gzip', sizes: '200000 300000 1' }, gzipSync(new Uint8Array(9))),
      /cannot hold what its header says: 120000000000 bytes/,
    ],
    [
      'more than memory, as text',
      six({ encoding: 'text', sizes: '200000 300000 1' }, '1 2'),
      /holds fewer numbers than the 60000000000 voxels/,
    ],
    [
      'voxels cut short',
      six().subarray(0, -1),
      /is cut short: its header asks for 12 bytes of voxels \(2x3x1, int16\), but there are 11/,
    ],
    ['bytes behind the voxels', six({}, new Uint8Array(13)), /holds more than it should.* but there are 13/],
    [
      'gzip data cut short',
      six({ encoding: 'gzip' }, gzipSync(new Uint8Array(12)).subarray(0, -1)),
      /gzip data of scan.nrrd/,
    ],
    ['gzip data of too little', six({ encoding: 'gzip' }, gzipSync(new Uint8Array(11))), /but there are 11/],
    [
      'gzip data of too much',
      six({ encoding: 'gzip' }, gzipSync(new Uint8Array(13))),
      /inflates to more than the 12 bytes/,
    ],
    ['a number too few', six({ encoding: 'text' }, '1 2 3 4 5      '), /holds fewer numbers than the 6 voxels/],
    ['a number too many', six({ encoding: 'text' }, '1 2 3 4 5 6 7'), /holds more numbers than the 6 voxels/],
    ['a number too large', six({ encoding: 'text' }, '1 2 3 4 5 32768'), /"32768" as voxel 5, which is no int16/],
    ['a word for a number', six({ encoding: 'text' }, '1 2 3 4 5 six'), /"six" as voxel 5/],
    ['half a byte', six({ encoding: 'hex' }, '00'.repeat(11) + '0'), /is cut short.* but there are 11/],
    ['no hexadecimal digit', six({ encoding: 'hex' }, 'xx'.repeat(12)), /"x" among its hexadecimal voxels/],
    ['bzip2', six({ encoding: 'bzip2' }), /compressed with bzip2, which is not read; save it with gzip/],
    ['an unknown encoding', six({ encoding: 'zrl' }), /encoding "zrl"/],
    ['no byte order', six({ endian: undefined }), /does not say the byte order of its int16 voxels/],
    ['an odd byte order', six({ endian: 'middle' }), /byte order "middle"/],
    ['colors', six({ kinds: 'RGB-color domain domain' }), /voxels that are colors \(kind "rgb-color"\)/],
    ['complex numbers', six({ kinds: 'complex domain domain' }), /complex numbers/],
    ['matrices', six({ kinds: '3D-symmetric-matrix domain domain' }), /matrices/],
    ['kinds of other axes', six({ kinds: 'domain' }), /kinds of 1 axes and has 3/],
    [
      'a vector for too few axes',
      six({ 'space directions': '(2,0,0) (0,3,0)' }),
      /gives 2 space directions for 3 axes/,
    ],
    ['a vector that is none', six({ 'space directions': '2 3 4' }), /"2 3 4" in its space directions/],
    ['a vector without end', six({ 'space directions': '(2,0,0) (0,3,0) (0,0,4' }), /"\(0,0,4" in its space/],
    [
      'a vector in a plane',
      six({ 'space directions': '(2,0) (0,3) (0,0)' }),
      /gives 2 numbers as its space directions, not 3/,
    ],
    ['an origin that is none', six({ 'space origin': 'none' }), /no vector as its space origin/],
    ['one axis in space', six({ 'space directions': '(2,0,0) none none' }), /with 1 axes in space/],
    [
      'two lists',
      six({
        dimension: '5',
        sizes: '2 1 1 1 3',
        kinds: undefined,
        'space directions': 'none (2,0,0) (0,3,0) (0,0,4) none',
      }),
      /at most one more/,
    ],
    ['sheared axes', six({ 'space directions': '(1,0,0) (0,1,0) (0,0.5,1)' }), /y and z axes 63\.43 degrees apart/],
    [
      'an axis of no length',
      six({ 'space directions': '(1,0,0) (0,0,0) (0,0,1)' }),
      /gives the y axis a voxel size of 0 mm/,
    ],
    ['a grid that is not finite', six({ 'space origin': '(nan,0,0)' }), /holds numbers that are not finite/],
    ['many files', six({ 'data file': 'scan%03d.raw 1 9 1' }), /spreads its voxels over several files/],
    ['a list of files', drawn('NRRD0004\ntype: short\ndata file: LIST\na.raw\nb.raw'), /has no field "dimension"/],
    ['a file elsewhere', six({ 'data file': '../scan.raw' }), /no name of a file in its own folder/],
  ])('%s', (_, bytes, message) => {
    expect(refusal(bytes)).toMatch(message);
    expect(refusal(bytes)).toMatch(/scan\.nrrd/);
  });

  test.each(['LIST', 'LIST 2'])('data file %s, whatever follows', (value) => {
    const head = drawn(`NRRD0004\ntype: short\ndata file: ${value}\nslice 1.raw\nslice 2.raw`);
    expect(() => nrrdDataFile(head, 'scan.nhdr')).toThrow(/scan.nhdr spreads its voxels over several files/);
  });

  test.each(['/etc/passwd', 'C:\\scan.raw', 'C:scan.raw', 'a\\b.raw', 'a/b.raw', '..', '.', './', 'a\0b'])(
    'data file %j',
    (value) => {
      expect(() => nrrdDataFile(six({ 'data file': value }), 'scan.nhdr')).toThrow(InputError);
    },
  );

  test('a header without end', () => {
    const endless = drawn(`NRRD0004\n${'# nothing\n'.repeat(110_000)}`);
    expect(refusal(endless)).toMatch(/no empty line behind its header in its first 1048576 bytes/);
  });

  test('whatever bytes are damaged or missing, it says so or reads them', () => {
    const whole = [six(), six({ encoding: 'text' }, '1 2 3 4 5 6'), writeNrrd(drawnVolume)];
    const damage = fc.record({
      bytes: fc.constantFrom(...whole),
      at: fc.nat(320),
      value: fc.nat(255),
      length: fc.nat(640),
    });
    fc.assert(
      fc.property(damage, ({ bytes, at, value, length }) => {
        const damaged = bytes.slice(0, length);
        if (at < damaged.length) damaged[at] = value;
        try {
          expect(readNrrd(damaged).volume.data.every((voxel) => Number.isFinite(voxel))).toBe(true);
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

describe('writeNrrd', () => {
  test('writes the fields of the definition', () => {
    const volume = { ...drawnVolume, spacing: [0.5, 2, 5] as const };
    const text = new TextDecoder('latin1').decode(writeNrrd(volume, { gzip: false }));
    expect(text).toBe(
      `NRRD0004
type: int16
dimension: 3
space: left-posterior-superior
sizes: 3 2 1
space directions: (0,0.5,0) (1.2,0,-1.6) (4,0,3)
kinds: domain domain domain
space units: "mm" "mm" "mm"
endian: little
encoding: raw
space origin: (-100.3,20.7,900.1)

\x01\0\x02\0\x03\0\x04\0\x05\0\x06\0`,
    );
  });

  test('channels become a list behind the axes of space', () => {
    const volume = { ...drawnVolume, shape: [1, 1, 3] as const, channels: 2 };
    const file = writeNrrd(volume, { gzip: false });
    expect(new TextDecoder('latin1').decode(file)).toMatch(
      /sizes: 3 1 1 2\n.* none\nkinds: domain domain domain list\n/,
    );
    expect(read(file).volume).toMatchObject({ shape: [1, 1, 3], channels: 2, data: sixVoxels });
  });

  test('the same volume gives the same bytes', () => {
    expect(writeNrrd(drawnVolume)).toEqual(writeNrrd(drawnVolume));
  });

  test('label maps go out in the smallest integer type', () => {
    const labels = { ...drawnVolume, data: Float32Array.of(0, 1, 2, 13, 0, 0) };
    expect(read(writeNrrdLabels(labels)).volume.data).toEqual(Uint8Array.of(0, 1, 2, 13, 0, 0));
    expect(() => writeNrrdLabels({ ...labels, data: Float32Array.of(0, 0.5, 0, 0, 0, 0) })).toThrow(RangeError);
  });

  test('refuses data that do not fill the shape', () => {
    expect(() => writeNrrd({ ...drawnVolume, channels: 2 })).toThrow('2 channels of 1x2x3 voxels are not 6 values');
  });
});

test('isNrrd looks at the first bytes alone', () => {
  expect(isNrrd(six().subarray(0, 8))).toBe(true);
  expect(isNrrd(new TextEncoder().encode('NRRD'))).toBe(false);
  expect(isNrrd(new TextEncoder().encode('ObjectType = Image'))).toBe(false);
});

describe.skipIf(!hasShared)('a real scan', () => {
  test('flair_stroke_oblique.nrrd: voxels, affine, and written and read again', () => {
    const { cases } = sharedJson<{ cases: Record<string, unknown>[] }>('data', 'volumes', 'expected.json');
    const expected = cases.find(({ file }) => file === 'flair_stroke_oblique.nrrd')!;
    const { volume, notices } = read(sharedBytes('data', 'volumes', 'flair_stroke_oblique.nrrd'));
    expect(notices).toEqual([]);
    expect([...volume.shape].reverse()).toEqual(expected.size_xyz);
    expect(volume.data).toBeInstanceOf(Uint8Array);
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
    // The first vector of its header, bit for bit.
    const [a, , , , b, , , , c] = affineOf(volume);
    expect([a, b, c]).toEqual([-0.99359200921208746, 0.04970492721885441, -0.10151029228632795]);
    const again = read(writeNrrd(volume, { gzip: false })).volume;
    expect(hash(again.data)).toBe(expected.sha256_int32le_xfastest);
    expect(affineOf(again)).toEqual(affineOf(volume));
    expect(again.spacing).toEqual(volume.spacing);
  });
});
