import { createHash } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  type DrawnSlice,
  drawnRleSlice,
  drawnSlice,
  element,
  part10,
  sequence,
  sliceDataSet,
} from '../../../test/drawnDicom.ts';
import { hasShared, sharedBytes, sharedJson, sharedPath } from '../../../test/shared.ts';
import { InputError } from '../../errors.ts';
import { affineOf, rangeOf, swapLpsRas, type VoxelData } from '../volume.ts';
import { listDicomSeries, readDicomSeries } from './dicomSeries.ts';
import type { ImageFile } from './image.ts';

function file(name: string, bytes: Uint8Array): ImageFile {
  return { name, size: bytes.length, read: async (length) => bytes.subarray(0, length) };
}

/** A slice of 2 x 3 pixels with these values, 16 bits each. */
function slice(name: string, z: number, values: readonly number[], drawn: DrawnSlice & Extra = {}): ImageFile {
  return file(name, withPixels({ position: `0\\0\\${z}`, ...drawn }, values));
}

interface Extra {
  readonly signed?: boolean;
  readonly slope?: string;
  readonly photometric?: string;
}

function withPixels({ signed, slope, photometric, ...drawn }: DrawnSlice & Extra, values: readonly number[]) {
  const groups = [
    ...(photometric ? element('0028,0004', 'CS', photometric) : element('0028,0004', 'CS', 'MONOCHROME2')),
    ...(signed ? element('0028,0103', 'US', [1, 0]) : []),
    ...(slope ? element('0028,1053', 'DS', slope) : []),
    ...(drawn.groups ?? []),
  ];
  const dataSet = sliceDataSet({ ...drawn, groups });
  const bytes = values.flatMap((value) => [value & 0xff, (value >> 8) & 0xff]);
  return part10([...dataSet.slice(0, dataSet.length - bytes.length), ...bytes]);
}

const sumOf = (data: VoxelData) => Float64Array.from(data).reduce((sum, value) => sum + value, 0);
const flat = (value: number) => new Array<number>(6).fill(value);

async function refusal(files: readonly ImageFile[], series?: string): Promise<string> {
  try {
    await readDicomSeries(files, { series });
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return (error as InputError).message;
  }
  throw new Error('nothing was refused');
}

describe('slices of one series', () => {
  it('become a volume in the order of their places, whatever their names, with files of other kinds among them', async () => {
    const { volume, notices } = await readDicomSeries([
      slice('a.dcm', 4, [31, 32, 33, 34, 35, 36]),
      file('notes.txt', new TextEncoder().encode('no image')),
      slice('c.dcm', 0, [11, 12, 13, 14, 15, 16]),
      file('DICOMDIR', part10(element('0004,1130', 'CS', 'DISC'), undefined, '1.2.840.10008.1.3.10')),
      slice('b.dcm', 2, [21, 22, 23, 24, 25, 26]),
    ]);
    expect(volume).toEqual({
      shape: [3, 3, 2],
      channels: 1,
      spacing: [0.7, 0.5, 2],
      origin: [0, 0, 0],
      direction: [1, 0, 0, 0, 1, 0, 0, 0, 1],
      data: Int16Array.of(11, 12, 13, 14, 15, 16, 21, 22, 23, 24, 25, 26, 31, 32, 33, 34, 35, 36),
    });
    expect(notices).toEqual([]);
  });

  it('lie along the normal of their rows and columns: with columns that run upward, toward the back', async () => {
    const orientation = '1\\0\\0\\0\\0\\1';
    const { volume } = await readDicomSeries([
      slice('a', 0, flat(1), { orientation, position: '0\\5\\0' }),
      slice('b', 0, flat(2), { orientation, position: '0\\8\\0' }),
    ]);
    expect({ origin: volume.origin, spacing: volume.spacing, direction: volume.direction }).toEqual({
      origin: [0, 8, 0],
      spacing: [0.7, 0.5, 3],
      direction: [1, 0, 0, 0, 0, -1, 0, 1, 0],
    });
    expect(volume.data[0]).toBe(2);
  });

  it('are read one file at a time', async () => {
    let open = 0;
    let most = 0;
    const files = [0, 2, 4].map((z) => {
      const { name, size, read } = slice(`${z}`, z, flat(z));
      return {
        name,
        size,
        async read(length?: number) {
          most = Math.max(most, ++open);
          await new Promise((resolve) => setTimeout(resolve, 1));
          open -= 1;
          return read(length);
        },
      };
    });
    await readDicomSeries(files);
    expect(most).toBe(1);
  });

  it('that are one have its thickness, and say so', async () => {
    const { volume, notices } = await readDicomSeries([slice('a', 0, flat(1), { thickness: '3' })]);
    expect([volume.shape, volume.spacing]).toEqual([
      [1, 3, 2],
      [0.7, 0.5, 3],
    ]);
    expect(notices).toEqual(['The DICOM series: a single slice.']);
  });

  it('that do not say which values are bright are read, with a notice', async () => {
    const { notices } = await readDicomSeries([0, 1].map((z) => file(`${z}`, drawnSlice({ position: `0\\0\\${z}` }))));
    expect(notices).toEqual([
      'The DICOM series does not say whether large values are bright; they are taken to be (MONOCHROME2).',
    ]);
  });

  it('in which small values are bright keep them, and say so', async () => {
    const { volume, notices } = await readDicomSeries([
      slice('a', 0, flat(5), { photometric: 'MONOCHROME1' }),
      slice('b', 1, flat(6), { photometric: 'MONOCHROME1' }),
    ]);
    expect(rangeOf(volume.data)).toEqual([5, 6]);
    expect(notices).toEqual([
      'Small values are bright in this DICOM series (MONOCHROME1); they are kept as stored, not inverted.',
    ]);
    expect(await refusal([slice('a', 0, flat(5), { photometric: 'MONOCHROME1' }), slice('b', 1, flat(6))])).toMatch(
      /differ in whether small values are bright/,
    );
  });
});

describe('intensities', () => {
  const read = async (...files: ImageFile[]) => (await readDicomSeries(files)).volume.data;

  it('are slope * value + intercept, each slice with its own', async () => {
    const data = await read(
      slice('a', 0, flat(10), { slope: '2', intercept: '-1024' }),
      slice('b', 1, flat(10), { slope: '3', intercept: '5' }),
    );
    expect(data).toEqual(Int16Array.from([...flat(-1004), ...flat(35)]));
  });

  it('that are integers take 16 bits, with or without a sign, and 32 where they need them', async () => {
    expect(await read(slice('a', 0, flat(-5), { signed: true }))).toEqual(Int16Array.from(flat(-5)));
    expect(await read(slice('a', 0, flat(1)), slice('b', 1, flat(40000)))).toEqual(
      Uint16Array.from([...flat(1), ...flat(40000)]),
    );
    const both = await read(slice('a', 0, flat(40000)), slice('b', 1, flat(-3), { signed: true }));
    expect(both).toEqual(Int32Array.from([...flat(40000), ...flat(-3)]));
    expect(await read(slice('a', 0, flat(60000), { slope: '60000' }))).toEqual(Uint32Array.from(flat(3.6e9)));
    expect(await read(slice('a', 0, flat(60000), { slope: '6000000' }))).toEqual(Float32Array.from(flat(3.6e11)));
  });

  it('of a broken slope are float32', async () => {
    expect(await read(slice('a', 0, flat(3)), slice('b', 1, flat(3), { slope: '0.1' }))).toEqual(
      Float32Array.from([...flat(3), ...flat(0.1 * 3)]),
    );
  });

  it('that the file leaves unknown are refused', async () => {
    expect(await refusal([slice('a', 0, flat(3), { slope: '0' })])).toBe(
      'a has a rescale slope of 0, so its intensities are unknown; export it again.',
    );
    const table = sequence('0028,3000', element('0028,3002', 'US', [1, 0, 0, 0, 16, 0]));
    expect(await refusal([slice('a', 0, flat(3), { groups: table })])).toMatch(/come from a table \(Modality LUT\)/);
  });

  it('that are not finite become 0, and it is said how many', async () => {
    const floats = [...new Uint8Array(Float32Array.of(1.5, NaN, -2, Infinity, 0, 3).buffer)];
    const dataSet = sliceDataSet();
    const end = element('7fe0,0010', 'OW', flat(0).concat(flat(0))).length;
    const thirtyTwo = [...element('0028,0100', 'US', [32, 0])];
    const head = dataSet.slice(0, dataSet.length - end);
    const at = head.findIndex((_, i) => [0x28, 0, 0, 1].every((byte, k) => head[i + k] === byte));
    const bytes = part10([
      ...head.slice(0, at),
      ...thirtyTwo,
      ...head.slice(at + 10),
      ...element('7fe0,0008', 'OF', floats),
    ]);
    const { volume, notices } = await readDicomSeries([file('a', bytes)]);
    expect(volume.data).toEqual(Float32Array.of(1.5, 0, -2, 0, 0, 3));
    expect(notices).toContain('2 of 6 voxels of the DICOM series were not finite and are 0 now.');
  });
});

describe('several series', () => {
  const first = [slice('a1', 0, flat(1), { seriesUid: '1.1' }), slice('a2', 2, flat(2), { seriesUid: '1.1' })];
  const second = [0, 5, 10].map((z) => slice(`b${z}`, z, flat(z), { seriesUid: '1.2', modality: 'MR' }));
  const lonely = [0, 1, 5].map((z) => slice(`c${z}`, z, flat(z), { seriesUid: '1.3' }));

  it('that are scans are listed, and one must be chosen', async () => {
    expect(await refusal([...first, ...second])).toBe(
      'There are 2 DICOM scans here and one is wanted; choose it with --series N: ' +
        'series 1 (CT, 2 x 3 x 2, 0.7 x 0.5 x 2 mm, 2 files); series 2 (MR, 2 x 3 x 3, 0.7 x 0.5 x 5 mm, 3 files).',
    );
  });

  it('are chosen by number in the order of names, or by UID', async () => {
    const shape = async (series: string) => (await readDicomSeries([...second, ...first], { series })).volume.shape;
    expect(await shape('1')).toEqual([2, 3, 2]);
    expect(await shape('2')).toEqual([3, 3, 2]);
    expect(await shape('1.2')).toEqual([3, 3, 2]);
    expect(await refusal([...first, ...second], '3')).toMatch(
      /^No DICOM series here has this number or UID; choose one with --series N: series 1 /,
    );
    expect(await refusal([...first, ...second], '1.9')).toMatch(/^No DICOM series here has this number or UID/);
  });

  it('of one UID in two folders are not chosen by it', async () => {
    const copies = ['x', 'y'].map((folder) => slice(`${folder}/a`, 0, flat(1)));
    expect(await refusal(copies, '1.2.3')).toMatch(/^2 DICOM series here have this UID; choose one with --series N/);
  });

  it('of which one is a regular grid are that one, and the others are named', async () => {
    const { volume, notices } = await readDicomSeries([...first, ...lonely]);
    expect(volume.shape).toEqual([2, 3, 2]);
    expect(notices).toEqual([
      'DICOM series 1 was read (CT, 2 x 3 x 2, 0.7 x 0.5 x 2 mm, 2 files), and not series 2 (CT, 2 x 3 x 3, 0.7 x 0.5 x 2.5 mm, 3 files, uneven gaps of 1 to 4 mm between slices: no regular grid).',
    ]);
    expect(await refusal([...first, ...lonely], '2')).toBe(
      'DICOM series 2 (CT, 2 x 3 x 3, 0.7 x 0.5 x 2.5 mm, 3 files) cannot be read as a volume: uneven gaps of 1 to 4 mm between slices: no regular grid. Give the files of one whole scan, all of its slices and nothing else.',
    );
  });

  it('of which none is a regular grid are refused with the fault of each', async () => {
    const copied = [slice('d1', 0, flat(1)), slice('d2', 0, flat(1))];
    expect(await refusal([...lonely, ...copied])).toMatch(
      /^None of the 2 DICOM series here is a scan that can be read: series 1 \(.*uneven gaps.*\); series 2 \(.*2 slices at one position.*\); give/,
    );
  });

  it('of which one lacks a slice because its file is damaged are refused, wherever the slice lies', async () => {
    const damaged = file('a3', drawnSlice({ seriesUid: '1.1', position: '0\\0\\4' }).subarray(0, -1));
    expect(await refusal([...first, damaged])).toBe(
      'a3 may be a slice of the DICOM series and cannot be read: it is cut off: 12 bytes of pixels are announced and 11 are there; copy it again. Without it the scan may be incomplete: mend the file, or take it out of the folder.',
    );
    const elsewhere = file('other/a3', drawnSlice().subarray(0, -1));
    expect((await readDicomSeries([...first, elsewhere])).volume.shape).toEqual([2, 3, 2]);
  });

  it('or none at all are said to be so', async () => {
    expect(await refusal([])).toMatch(/^There is no DICOM file among these files/);
    expect(await refusal([file('a', drawnSlice().subarray(0, -1))])).toMatch(
      /^There is no DICOM file that can be read; of a: it is cut off/,
    );
  });
});

describe('compressed slices', () => {
  it('are read when their size is what the header says', async () => {
    const { volume } = await readDicomSeries([file('rle.dcm', drawnRleSlice())]);
    expect([...volume.data]).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('that claim far more pixels than their bytes can hold are refused before memory is taken for them', async () => {
    expect(await refusal([file('rle.dcm', drawnRleSlice({ size: [65535, 65535] }))])).toMatch(
      /^The DICOM series claims 65535 x 65535 x 1 voxels, and its files have \d+ bytes, in which so many cannot be/,
    );
  });
});

describe('the listing', () => {
  it('numbers series in the order of names, and says what it skipped', async () => {
    const unreadable = { name: 'locked', size: 9, read: () => Promise.reject(new InputError('locked is locked.')) };
    const listing = await listDicomSeries([
      slice('z', 0, flat(1), { seriesUid: '9' }),
      unreadable,
      file('notes.txt', new Uint8Array(3)),
      slice('a', 0, flat(1), { seriesUid: '8', modality: 'MR', thickness: '4' }),
    ]);
    expect(listing.series.map(({ number, modality, spacingMm }) => [number, modality, spacingMm])).toEqual([
      [1, 'MR', [0.7, 0.5, 4]],
      [2, 'CT', [0.7, 0.5, 1]],
    ]);
    expect(listing.skipped).toEqual([
      { file: 'locked', reason: 'it is locked' },
      { file: 'notes.txt', reason: 'no DICOM file' },
    ]);
  });

  it('and every sentence leave out names, identifiers and descriptions', async () => {
    const planted = {
      patient: 'PLANTED^NAME',
      seriesUid: '1.2.77777',
      groups: [...element('0008,103e', 'LO', 'PLANTED series')],
    };
    const all = [
      [slice('a', 0, flat(1), planted), slice('b', 1, flat(1), planted)],
      [slice('a', 0, flat(1), planted), slice('b', 0, flat(1), { ...planted, modality: 'PLANTED^NAME' })],
      [slice('a', 0, flat(1), planted), slice('b', 0, flat(1), { ...planted, seriesUid: '1.2.77778' })],
      [file('a', withPixels(planted, flat(1)).subarray(0, -1))],
      [slice('a', 0, flat(1), { ...planted, slope: 'PLANTED' })],
      [slice('a', 0, flat(1), { ...planted, photometric: 'PLANTED^NAME' })],
    ];
    for (const files of all) {
      const said = [JSON.stringify(await listDicomSeries(files))];
      for (const series of [undefined, '1', '7']) {
        try {
          said.push(...(await readDicomSeries(files, { series })).notices);
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
          said.push((error as InputError).message);
        }
      }
      expect(said.join('\n')).not.toMatch(/PLANTED|77777/);
    }
  });
});

interface Expected {
  readonly size_xyz: readonly [number, number, number];
  readonly spacing_xyz: readonly (number | null)[];
  readonly origin_lps: readonly number[];
  readonly min: number;
  readonly max: number;
  readonly sum: number;
  readonly probes_ijk_value: readonly (readonly [number, number, number, number])[];
  readonly sha256_int32le_xfastest: string;
  readonly affine_ras?: readonly (readonly number[])[];
  readonly max_abs_difference_from_explicit_le?: number;
  readonly refuse_as_volume?: boolean;
}

interface ExpectedFrames {
  readonly frame_position_lps: readonly (readonly number[])[];
  readonly frame_sum: readonly number[];
  readonly min: number;
  readonly max: number;
}

describe.skipIf(!hasShared)('the reference data', () => {
  const expected = hasShared
    ? sharedJson<{ series: Record<string, Expected> }>('data', 'dicom', 'expected.json').series
    : {};
  const filesOf = (name: string): ImageFile[] => {
    const folder = sharedPath('data', 'dicom', name);
    if (!statSync(folder).isDirectory()) return [file(name, sharedBytes('data', 'dicom', name))];
    return readdirSync(folder).map((one) => file(`${name}/${one}`, sharedBytes('data', 'dicom', name, one)));
  };
  const scans = Object.entries(expected).filter(
    ([, { refuse_as_volume, sha256_int32le_xfastest }]) => sha256_int32le_xfastest && !refuse_as_volume,
  );

  const refused: readonly (readonly [string, RegExp])[] = [
    ['ct_gantry_tilt', /uneven gaps of 1\.081 to 6\.999 mm .* shifted sideways .*: a sheared stack/],
    ['seg/source_ct', /uneven gaps of 1\.25 to 202\.5 mm between slices: no regular grid/],
    ['single/image_dfl.dcm', /it has no place in the patient/],
    ['seg/liver_1frame.dcm', /SEG.* a segmentation, not a scan/],
    ['seg/liver_expb_1frame.dcm', /a segmentation, not a scan/],
    ['seg/seg_image_ct_binary.dcm', /a segmentation, not a scan/],
    ['seg/seg_image_ct_binary_fractional.dcm', /a segmentation, not a scan/],
    ['seg/seg_image_ct_binary_overlap.dcm', /a segmentation, not a scan/],
    ['seg/seg_image_ct_true_fractional.dcm', /a segmentation, not a scan/],
    ['bad/MR_truncated.dcm', /it is cut off: 8192 bytes of pixels are announced and 8130 are there/],
    ['bad/no_meta.dcm', /no DICOM file/],
    ['bad/meta_missing_tsyntax.dcm', /does not say how it is encoded/],
    ['bad/rtdose.dcm', /a dose distribution, not a scan/],
    ['bad/test-SR.dcm', /holds no image \(SR\)/],
    ['bad/SC_rgb_small_odd.dcm', /a color image, 3 samples a pixel/],
    ['bad/not_dicom.dcm', /no DICOM file/],
  ];

  /** Decoded with another rounding than libjpeg's integers, see the test below. */
  const rounded = 'ct_syntaxes/jpeg_extended_51_lossy';

  it('is all read or refused here', () => {
    const named = [...scans.map(([name]) => name), ...refused.map(([name]) => name), 'enhanced_mr/enh.dcm'];
    expect(named.sort()).toEqual(Object.keys(expected).sort());
  });

  it.each(scans)('%s has the voxels and the place that are stated', async (name, want) => {
    const { volume } = await readDicomSeries(filesOf(name));
    const [x, y, z] = want.size_xyz;
    expect(volume.shape).toEqual([z, y, x]);
    // Of a single slice the third is not stated.
    for (const [axis, spacing] of want.spacing_xyz.entries()) {
      expect(volume.spacing[axis]).toBeCloseTo(spacing ?? volume.spacing[axis], 5);
    }
    for (const [axis, value] of want.origin_lps.entries()) expect(volume.origin[axis]).toBeCloseTo(value, 5);
    const affine = swapLpsRas(affineOf(volume));
    // Stated to six decimals.
    const stated = want.affine_ras?.slice(0, 3).flat() ?? affine;
    expect(Math.max(...affine.map((value, i) => Math.abs(value - stated[i])))).toBeLessThan(2e-6);
    expect(rangeOf(volume.data)).toEqual([want.min, want.max]);
    if (name === rounded) return;
    expect(sumOf(volume.data)).toBe(want.sum);
    for (const [i, j, k, value] of want.probes_ijk_value) expect(volume.data[(k * y + j) * x + i]).toBe(value);
    const bytes = new Uint8Array(Int32Array.from(volume.data).buffer);
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(want.sha256_int32le_xfastest);
  });

  it('in lossy transfer syntaxes differs from the same scan by as much as is stated, and no more', async () => {
    const plain = (await readDicomSeries(filesOf('ct_syntaxes/explicit_le'))).volume.data;
    for (const name of ['jpeg_extended_51_lossy', 'jpegls_near_81_lossy', 'j2k_91_lossy']) {
      const { data } = (await readDicomSeries(filesOf(`ct_syntaxes/${name}`))).volume;
      const [, most] = rangeOf(Float64Array.from(data, (value, i) => Math.abs(value - plain[i])));
      expect(most, name).toBe(expected[`ct_syntaxes/${name}`].max_abs_difference_from_explicit_le);
    }
  });

  it('in JPEG of 12 bits is within 1 of what DCMTK decodes', async () => {
    // The transform here is in float64, DCMTK's in integers: 4 % of the voxels round to the other side.
    const { data } = (await readDicomSeries(filesOf(rounded))).volume;
    const { sum, probes_ijk_value } = expected[rounded];
    for (const [i, j, k, value] of probes_ijk_value) {
      expect(Math.abs(data[(k * 96 + j) * 96 + i] - value)).toBeLessThanOrEqual(1);
    }
    expect(Math.abs(sumOf(data) - sum) / data.length).toBeLessThan(0.01);
  });

  it('of an enhanced image has its frames as slices', async () => {
    const want = expected['enhanced_mr/enh.dcm'] as unknown as ExpectedFrames;
    const { volume } = await readDicomSeries(filesOf('enhanced_mr/enh.dcm'));
    expect(volume.shape).toEqual([6, 64, 64]);
    const [position] = want.frame_position_lps;
    expect(Math.max(...volume.origin.map((value, axis) => Math.abs(value - position[axis])))).toBeLessThan(1e-5);
    const sums = want.frame_sum.map((_, k) => sumOf(volume.data.subarray(k * 4096, (k + 1) * 4096)));
    expect(sums).toEqual(want.frame_sum);
    expect(rangeOf(volume.data)).toEqual([want.min, want.max]);
  });

  it.each(refused)('%s is refused, with the reason', async (name, reason) => {
    expect(await refusal(filesOf(name))).toMatch(reason);
  });
});
