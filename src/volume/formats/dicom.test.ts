import { readdirSync, statSync } from 'node:fs';
import fc from 'fast-check';
import { deflateSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { type DrawnSlice, drawnSlice, element, part10, sequence, sliceDataSet } from '../../../test/drawnDicom.ts';
import { hasShared, sharedBytes, sharedJson, sharedPath } from '../../../test/shared.ts';
import { InputError } from '../../errors.ts';
import { type DicomFile, type DicomSeries, readDicomHeader, seriesOf } from './dicom.ts';

interface Expected {
  readonly files_in_slice_order?: string[];
  readonly transfer_syntax: string;
  readonly modality: string;
  readonly size_xyz: number[];
  readonly spacing_xyz: (number | null)[];
  readonly slice_gaps_min_max: number[] | null;
  readonly origin_lps: number[];
  readonly direction_lps_columns: number[][];
  readonly rescale: number[];
  readonly refuse_as_volume?: boolean;
  // Of files with several frames:
  readonly frames?: number;
  readonly size_xy?: number[];
  readonly bits_allocated?: number;
  readonly orientation?: number[];
  readonly pixel_spacing_row_col?: number[];
  readonly slice_thickness?: number;
  readonly frame_position_lps?: number[][];
  readonly per_frame_items?: number;
  readonly per_frame?: { readonly position_lps: number[] }[];
}

const expected = hasShared
  ? sharedJson<{ series: Record<string, Expected> }>('data', 'dicom', 'expected.json').series
  : {};

const syntaxNames: Record<string, string> = {
  '1.2.840.10008.1.2': 'implicit little endian',
  '1.2.840.10008.1.2.1': 'explicit little endian',
  '1.2.840.10008.1.2.1.99': 'deflated',
  '1.2.840.10008.1.2.2': 'explicit big endian',
  '1.2.840.10008.1.2.5': 'RLE',
  '1.2.840.10008.1.2.4.51': 'JPEG extended (lossy)',
  '1.2.840.10008.1.2.4.57': 'JPEG lossless',
  '1.2.840.10008.1.2.4.70': 'JPEG lossless, selection value 1',
  '1.2.840.10008.1.2.4.80': 'JPEG-LS lossless',
  '1.2.840.10008.1.2.4.81': 'JPEG-LS near-lossless (lossy)',
  '1.2.840.10008.1.2.4.90': 'JPEG 2000 lossless',
  '1.2.840.10008.1.2.4.91': 'JPEG 2000',
};

const dicomBytes = (...parts: string[]) => sharedBytes('data', 'dicom', ...parts);

/** The files of a folder of the reference data, or one file of it. */
function filesOf(name: string): DicomFile[] {
  const path = sharedPath('data', 'dicom', name);
  const names = statSync(path).isDirectory() ? readdirSync(path).map((file) => `${name}/${file}`) : [name];
  return names.map((file) => ({ file, header: readDicomHeader(dicomBytes(file), file) }));
}

const namesOf = ({ files }: DicomSeries) => files.map(({ file }) => file.slice(file.lastIndexOf('/') + 1));

/** To the last of the six decimals that the reference values have. */
function expectClose(got: readonly number[] | undefined, wanted: readonly (number | null)[]): void {
  expect(got).toHaveLength(wanted.length);
  // A single slice has no distance to the next: null there.
  for (const [i, value] of wanted.entries()) if (value !== null) expect(got![i]).toBeCloseTo(value, 5);
}

const column = (direction: readonly number[] | undefined, axis: number) =>
  [0, 3, 6].map((row) => direction![row + axis]);

describe.skipIf(!hasShared)('a series of the reference data', () => {
  const stacks = Object.entries(expected).filter(([, { direction_lps_columns }]) => direction_lps_columns);

  it('is tested in 12 transfer syntaxes, tilted, oblique, enhanced and alone', () => {
    expect(stacks.filter(([name]) => name.startsWith('ct_syntaxes/'))).toHaveLength(12);
    expect(stacks.map(([name]) => name)).toEqual(
      expect.arrayContaining([
        'ct_gantry_tilt',
        'mr_oblique',
        'ct_j2k_empty_uids',
        'seg/source_ct',
        'single/CT_small.dcm',
      ]),
    );
  });

  for (const [name, wanted] of stacks) {
    it(`${name} has the size, place, gaps and order that its file says`, () => {
      const series = seriesOf(filesOf(name));
      expect(series).toHaveLength(1);
      const [one] = series;
      const { size, spacing, gaps, origin, direction, modality, transferSyntax, faults } = one;
      expect(size).toEqual(wanted.size_xyz);
      expect(modality).toBe(wanted.modality);
      expect(one.files[0].header.transferSyntax).toBe(wanted.transfer_syntax);
      expect(transferSyntax).toBe(syntaxNames[wanted.transfer_syntax]);
      if (wanted.files_in_slice_order) expect(namesOf(one)).toEqual(wanted.files_in_slice_order);
      expectClose(spacing, wanted.spacing_xyz);
      if (wanted.slice_gaps_min_max) expectClose(gaps, wanted.slice_gaps_min_max);
      else expect(gaps).toBeUndefined();
      expectClose(origin, wanted.origin_lps);
      for (const axis of [0, 1, 2]) expectClose(column(direction, axis), wanted.direction_lps_columns[axis]);
      const [{ slope, intercept }] = one.files[0].header.frames;
      expect([slope, intercept]).toEqual(wanted.rescale);
      if (wanted.refuse_as_volume) expect(faults.join()).toContain('no regular grid');
      else expect(faults).toEqual([]);
      if (wanted.size_xyz[2] === 1) expect(one.notes).toEqual(['a single slice']);
    });
  }

  it('with a tilted gantry says by how much, and how far its slices are shifted', () => {
    const [{ notes }] = seriesOf(filesOf('ct_gantry_tilt'));
    // Positions move along z by 4.22, 1.14 and 7.38 mm (12.74 in all), 18.5 degrees off the normal: gaps are those times
    // cos 18.5° = 0.94832, shifts times sin 18.5° = 0.31730.
    expect(notes).toEqual([
      'uneven gaps of 1.081 to 6.999 mm between slices: no regular grid',
      'slices are shifted sideways by up to 2.342 mm each, 4.042 mm in all: a sheared stack',
      'gantry tilted by 18.5 degrees',
    ]);
  });

  it('with unequal gaps says their numbers', () => {
    expect(seriesOf(filesOf('seg/source_ct'))[0].notes).toEqual([
      'uneven gaps of 1.25 to 202.5 mm between slices: no regular grid',
    ]);
  });

  it('of enhanced frames has the geometry of its functional groups', () => {
    const wanted = expected['enhanced_mr/enh.dcm'];
    const [one] = seriesOf(filesOf('enhanced_mr/enh.dcm'));
    const { frames } = one.files[0].header;
    expect(one.size).toEqual([...wanted.size_xy!, wanted.frames!]);
    expect(frames).toHaveLength(wanted.frames!);
    for (const [i, frame] of frames.entries()) {
      expectClose(frame.position, wanted.frame_position_lps![i]);
      expectClose(frame.orientation, wanted.orientation!);
      expectClose(frame.spacing, [...wanted.pixel_spacing_row_col!].reverse());
      expect(frame.sliceThickness).toBe(wanted.slice_thickness);
      expect([[frame.slope, frame.intercept]]).toEqual(wanted.rescale);
    }
    expectClose(one.origin, wanted.frame_position_lps![0]);
    expectClose(one.spacing, [3.375, 3.375, 2.4]);
    expect(one.slices.map(({ frame }) => frame)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(one.notes).toEqual([]);
  });

  const segmentations = Object.entries(expected).filter(([, { per_frame }]) => per_frame);
  for (const [name, wanted] of segmentations) {
    it(`${name} is called a segmentation and has a place for each of its frames`, () => {
      const [one] = seriesOf(filesOf(name));
      const { header } = one.files[0];
      expect(header).toMatchObject({
        modality: 'SEG',
        numberOfFrames: wanted.frames,
        describedFrames: wanted.per_frame_items,
        bitsAllocated: wanted.bits_allocated,
      });
      expect(header.frames).toHaveLength(wanted.frames!);
      for (const [i, { position_lps }] of wanted.per_frame!.entries()) {
        expectClose(header.frames[i].position, position_lps);
      }
      expect(one.size).toEqual([...wanted.size_xy!, wanted.frames]);
      expect(one.faults[0]).toBe('a segmentation, not a scan');
      if (wanted.per_frame_items !== wanted.frames) expect(one.notes).toContain('3 frames are described and 1 stored');
    });
  }

  it('of two segments on four slices has two slices at each position', () => {
    const [{ faults }] = seriesOf(filesOf('seg/seg_image_ct_binary_overlap.dcm'));
    expect(faults).toContain('8 slices at 4 positions (copies, or taken several times): no regular grid');
  });
});

describe.skipIf(!hasShared)('files of the reference data', () => {
  it('of one slice are the same in every coding', () => {
    const names = readdirSync(sharedPath('data', 'dicom', 'single')).filter((file) => file.startsWith('MR_small'));
    expect(names).toHaveLength(8);
    for (const name of names) {
      const [{ size, notes, origin }] = seriesOf(filesOf(`single/${name}`));
      expect({ size, notes, origin }, name).toEqual({
        size: [64, 64, 1],
        notes: ['a single slice'],
        origin: [-83.9063, -91.2, 6.6406],
      });
    }
  });

  it('that are no scan are listed with what they are', () => {
    const one = (name: string) => {
      const [{ size, notes, spacing }] = seriesOf(filesOf(name));
      return { size, notes, spacing };
    };
    const unplaced = 'position, orientation or pixel spacing are missing: it has no place in the patient';
    expect(one('bad/test-SR.dcm')).toMatchObject({ size: [0, 0, 0], notes: ['holds no image (SR)'] });
    expect(one('bad/rtdose.dcm')).toEqual({
      size: [10, 10, 15],
      notes: ['a dose distribution, not a scan', unplaced],
      spacing: undefined,
    });
    expect(one('bad/SC_rgb_small_odd.dcm').notes).toEqual(['a color image, 3 samples a pixel', unplaced]);
    expect(one('single/image_dfl.dcm')).toMatchObject({ size: [512, 512, 1], notes: [unplaced] });
  });

  it('that are cut off or no DICOM are refused with the reason', () => {
    const refusal = (name: string) => {
      try {
        return readDicomHeader(dicomBytes('bad', name), name);
      } catch (error) {
        expect(error).toBeInstanceOf(InputError);
        return (error as InputError).message;
      }
    };
    expect(refusal('MR_truncated.dcm')).toBe(
      'MR_truncated.dcm is cut off: 8192 bytes of pixels are announced and 8130 are there; copy it again.',
    );
    expect(refusal('not_dicom.dcm')).toMatch('not_dicom.dcm is no DICOM file: the letters DICM are not at byte 128');
    expect(refusal('no_meta.dcm')).toMatch('no_meta.dcm is no DICOM file');
    expect(refusal('meta_missing_tsyntax.dcm')).toMatch('does not say how it is encoded (it has no transfer syntax)');
  });

  it('have the same header from their beginning alone', () => {
    for (const name of ['explicit_le', 'implicit_le', 'explicit_be', 'rle', 'jpegls_lossless_80', 'deflated']) {
      const bytes = dicomBytes('ct_syntaxes', name, 'im00.dcm');
      const whole = readDicomHeader(bytes, name);
      // 1 KB of deflated data inflates to the whole header of this file.
      const start = bytes.subarray(0, name === 'deflated' ? 4096 : whole.pixels!.offset);
      expect(readDicomHeader(start, name, bytes.length), name).toEqual(whole);
      expect(() => readDicomHeader(bytes.subarray(0, 400), name, bytes.length), name).toThrow(InputError);
    }
  });

  it('cut anywhere are refused, or, cut between two elements, hold no pixels', () => {
    let [kept, refused] = [0, 0];
    const taken: string[] = [];
    for (const name of ['single/MR_small.dcm', 'single/MR_small_implicit.dcm', 'ct_syntaxes/deflated/im00.dcm']) {
      const bytes = dicomBytes(name);
      // Padding may follow the pixels.
      const { pixels } = readDicomHeader(bytes, name);
      const end = name.includes('deflated') ? bytes.length : pixels!.offset + pixels!.length!;
      for (let length = 0; length < end; length += 23) {
        try {
          if (readDicomHeader(bytes.subarray(0, length), name).pixels) taken.push(`${name} cut to ${length}`);
          kept += 1;
        } catch (error) {
          expect(error, `${name} cut to ${length}`).toBeInstanceOf(InputError);
          refused += 1;
        }
      }
    }
    expect(taken).toEqual([]);
    expect(kept).toBeLessThan(refused / 50);
  });

  it('give a sentence, never another error, however they are damaged', () => {
    const contents = [
      'single/MR_small.dcm',
      'single/MR_small_implicit.dcm',
      'enhanced_mr/enh.dcm',
      'bad/test-SR.dcm',
    ].map((name) => dicomBytes(name));
    const damage = fc.tuple(
      fc.nat(3),
      fc.array(fc.tuple(fc.nat(4000), fc.nat(255)), { maxLength: 8 }),
      fc.option(fc.nat()),
    );
    fc.assert(
      fc.property(damage, ([which, flips, cut]) => {
        let bytes = contents[which].slice();
        for (const [at, value] of flips) bytes[at % bytes.length] = value;
        if (cut !== null) bytes = bytes.slice(0, cut % bytes.length);
        try {
          seriesOf([{ file: 'x', header: readDicomHeader(bytes, 'x') }]);
        } catch (error) {
          if (!(error instanceof InputError)) throw error;
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('a drawn header', () => {
  it('of 2 x 3 pixels has its columns, rows and spacing in this order, x first', () => {
    const header = readDicomHeader(drawnSlice({ spacing: '0.7\\0.5', thickness: '3', intercept: '-1024' }), 'x');
    expect(header).toMatchObject({ columns: 2, rows: 3, modality: 'CT', numberOfFrames: 1, bitsAllocated: 16 });
    // Stored: distance of rows, then of columns.
    expect(header.frames).toEqual([
      {
        position: [0, 0, 0],
        orientation: [1, 0, 0, 0, 1, 0],
        spacing: [0.5, 0.7],
        sliceThickness: 3,
        slope: 1,
        intercept: -1024,
      },
    ]);
    expect(header.pixels).toEqual({
      offset: drawnSlice({ spacing: '0.7\\0.5', thickness: '3', intercept: '-1024' }).length - 12,
      length: 12,
      stored: 'integers',
      words: true,
      frameOffsets: undefined,
    });
  });

  it('with 64-bit offsets before its pixels is read past them', () => {
    // Extended offset table (7FE0,0001), whose type OV is younger than the library; the offset's bytes look like lengths.
    const groups = element('7fe0,0001', 'OV', [0, 0, 0, 0, 1, 2, 3, 4]);
    expect(readDicomHeader(drawnSlice({ groups }), 'x').pixels?.length).toBe(12);
  });

  it('takes shared functional groups where a frame has none of its own', () => {
    const plane = (position: string) => sequence('0020,9113', element('0020,0032', 'DS', position));
    const groups = [
      ...sequence('5200,9229', [
        ...sequence('0020,9116', element('0020,0037', 'DS', '1\\0\\0\\0\\1\\0')),
        ...sequence('0028,9110', element('0028,0030', 'DS', '2\\2')),
        ...sequence('0028,9145', element('0028,1052', 'DS', '-10')),
      ]),
      // Stored from head to feet: frame 1 is the first slice along the normal.
      ...sequence('5200,9230', plane('0\\0\\5'), [
        ...plane('0\\0\\1'),
        ...sequence('0028,9145', element('0028,1052', 'DS', '-20')),
      ]),
    ];
    const drawn = drawnSlice({ frames: 2, position: '', orientation: '', spacing: '', groups });
    const [series] = seriesOf([{ file: 'x', header: readDicomHeader(drawn, 'x') }]);
    expect(series).toMatchObject({ size: [2, 3, 2], spacing: [2, 2, 4], origin: [0, 0, 1], notes: [] });
    expect(series.slices.map(({ frame }) => frame)).toEqual([1, 0]);
    expect(series.files[0].header.frames.map(({ intercept }) => intercept)).toEqual([-10, -20]);
  });

  it('refuses pixels that are fewer than rows, columns and frames announce', () => {
    const short = [...sliceDataSet().slice(0, -24), ...element('7fe0,0010', 'OW', new Array<number>(10).fill(0))];
    expect(() => readDicomHeader(part10(short), 'x')).toThrow(
      'x is damaged: 2 x 3 pixels in 1 frames need 12 bytes and 10 are there',
    );
    const many = [
      ...element('0028,0008', 'IS', '2000000000'),
      ...element('7fe0,0010', 'OB', new Array<number>(8).fill(0)),
    ];
    expect(() => readDicomHeader(part10(many, '1.2.840.10008.1.2.4.70'), 'x')).toThrow('in 2000000000 frames need');
  });

  it('refuses a sequence without its end, and a beginning that stops right before the pixels', () => {
    // Of undefined length, as its one item, with an element in it.
    const open = [0x08, 0, 0x40, 0x11, 0x53, 0x51, 0, 0, 255, 255, 255, 255, 0xfe, 0xff, 0, 0xe0, 255, 255, 255, 255];
    expect(() => readDicomHeader(part10([...open, ...element('0008,1150', 'UI', '1.2')]), 'x')).toThrow(
      'x is a damaged DICOM file: its header cannot be read to the end',
    );
    // The pixels' tag, type and length are 12 bytes.
    const bytes = drawnSlice();
    const header = readDicomHeader(bytes, 'x');
    const { offset } = header.pixels!;
    expect(readDicomHeader(bytes.subarray(0, offset), 'x', bytes.length)).toEqual(header);
    expect(() => readDicomHeader(bytes.subarray(0, offset - 12), 'x', bytes.length)).toThrow(InputError);
  });

  it('refuses a rescale intercept that is no number', () => {
    expect(() => readDicomHeader(drawnSlice({ intercept: '-1O24' }), 'x')).toThrow(
      'x is damaged: its rescale slope or intercept is no number',
    );
  });

  it('refuses a DICOMDIR', () => {
    const bytes = part10(element('0004,1130', 'CS', 'DISC'), undefined, '1.2.840.10008.1.3.10');
    expect(() => readDicomHeader(bytes, 'DICOMDIR')).toThrow('DICOMDIR is a DICOM directory');
  });

  it('refuses sequences that nest a million times', () => {
    const nested = [8, 0, 0x40, 0x11, 0x53, 0x51, 0, 0, 255, 255, 255, 255, 0xfe, 0xff, 0, 0xe0, 255, 255, 255, 255];
    const start = part10([]);
    const bytes = new Uint8Array(start.length + 1e6 * nested.length);
    bytes.set(start);
    for (let i = 0; i < 1e6; i++) bytes.set(nested, start.length + i * nested.length);
    expect(() => readDicomHeader(bytes, 'x')).toThrow('x is a damaged DICOM file');
  });

  it('stops inflating at 64 MB, where the header of a sound file has long ended', () => {
    const behind = (megabytes: number) => {
      const start = part10([], '1.2.840.10008.1.2.1.99');
      const slice = Uint8Array.from(sliceDataSet());
      const dataSet = new Uint8Array(12 + megabytes * 2 ** 20 + slice.length);
      // One private element (0007,1010) of type OB whose value is zeros.
      dataSet.set([0x07, 0, 0x10, 0x10, 0x4f, 0x42, 0, 0, 0, 0, megabytes << 4, megabytes >> 4]);
      dataSet.set(slice, dataSet.length - slice.length);
      const deflated = deflateSync(dataSet, { level: 1 });
      const bytes = new Uint8Array(start.length + deflated.length);
      bytes.set(start);
      bytes.set(deflated, start.length);
      return bytes;
    };
    expect(readDicomHeader(behind(4), 'x').rows).toBe(3);
    expect(() => readDicomHeader(behind(80), 'x')).toThrow('x is a damaged DICOM file');
  });

  it('names no patient, neither itself nor in what is said of it when it is damaged', () => {
    const bytes = drawnSlice({ patient: 'DOE^JANE' });
    expect(JSON.stringify(readDicomHeader(bytes, 'x'))).not.toContain('DOE');
    // Without the modality's first letter a name stands where a code word is read.
    const shifted = part10([...element('0008,0060', 'CS', 'Doe^Jane'), ...sliceDataSet({ modality: '' })]);
    expect(readDicomHeader(shifted, 'x').modality).toBe('unknown');
    const uid = part10(sliceDataSet(), 'DOE^JANE');
    const damaged = [uid, ...Array.from(bytes, (_, at) => bytes.map((value, i) => (i === at ? value ^ 0xff : value)))];
    for (const file of damaged) {
      try {
        readDicomHeader(file, 'x');
      } catch (error) {
        const { message, cause } = error as InputError;
        expect(message).not.toMatch(/DOE|JANE/);
        expect(cause).toBeUndefined();
      }
    }
  });
});

describe('drawn slices', () => {
  const file = (slice: DrawnSlice, index: number, folder = ''): DicomFile => ({
    file: `${folder}${index}.dcm`,
    header: readDicomHeader(drawnSlice(slice), String(index)),
  });
  const stack = (...slices: DrawnSlice[]) => seriesOf(slices.map((slice, index) => file(slice, index)));
  const at = (z: number, rest: DrawnSlice = {}): DrawnSlice => ({ position: `0\\0\\${z}`, ...rest });

  it('are sorted along their normal, whatever their numbers', () => {
    const [series] = stack(at(4, { instanceNumber: 1 }), at(0, { instanceNumber: 2 }), at(2, { instanceNumber: 3 }));
    expect(namesOf(series)).toEqual(['1.dcm', '2.dcm', '0.dcm']);
    expect(series).toMatchObject({ size: [2, 3, 3], gaps: [2, 2], origin: [0, 0, 0], notes: [] });
    expect(series.spacing).toEqual([0.7, 0.5, 2]);
  });

  it('run against z where their columns run anterior', () => {
    const orientation = '1\\0\\0\\0\\-1\\0';
    const [{ direction, origin }] = stack(at(0, { orientation }), at(2, { orientation }));
    expect(column(direction, 2)).toEqual([0, 0, -1]);
    expect(origin).toEqual([0, 0, 2]);
  });

  it('whose positions are rounded to 0.01 mm are a regular grid', () => {
    // Slices 0.625 mm apart: steps of 0.62 and 0.63.
    expect(stack(at(0), at(0.63), at(1.25), at(1.88), at(2.5))[0].notes).toEqual([]);
  });

  it('of which one is lost have uneven gaps', () => {
    const [{ notes, gaps }] = stack(at(0), at(2), at(4), at(8));
    expect(gaps).toEqual([2, 4]);
    expect(notes).toEqual(['uneven gaps of 2 to 4 mm between slices: no regular grid']);
  });

  it('taken twice have two slices at each position, and the spacing of the positions', () => {
    const [{ notes, spacing, size }] = stack(at(0), at(2), at(0), at(2));
    expect(size[2]).toBe(4);
    expect(spacing).toEqual([0.7, 0.5, 2]);
    expect(notes).toEqual(['4 slices at 2 positions (copies, or taken several times): no regular grid']);
  });

  it('shifted sideways a little each are a sheared stack', () => {
    const [{ notes }] = stack(...[0, 1, 2, 3].map((z) => ({ position: `0\\${z / 10}\\${z}` })));
    expect(notes).toEqual(['slices are shifted sideways by up to 0.1 mm each, 0.3 mm in all: a sheared stack']);
  });

  it('of other size, orientation or spacing share no grid', () => {
    const faults = (other: DrawnSlice) => {
      const [{ faults, spacing }] = stack(at(0), at(2, other));
      expect(spacing).toBeUndefined();
      return faults;
    };
    expect(faults({ size: [3, 3] })).toEqual(['its files have different sizes']);
    expect(faults({ orientation: '1\\0\\0\\0\\0\\1' })).toEqual(['its slices have different orientations']);
    expect(faults({ spacing: '0.5\\0.8' })).toEqual(['its slices have different pixel spacings']);
    expect(faults({ spacing: '0\\0' })).toEqual([
      'position, orientation or pixel spacing are missing: it has no place in the patient',
    ]);
  });

  it('whose row and column are not at right angles share no grid', () => {
    expect(stack({ orientation: '1\\0\\0\\1\\0\\0' })[0].faults).toEqual([
      'its row and column directions are not at right angles',
    ]);
    expect(stack({ orientation: '0\\0\\0\\0\\0\\0' })[0].spacing).toBeUndefined();
  });

  it('that are one have their thickness as spacing, and say so when it is unknown', () => {
    expect(stack({ thickness: '5' })[0]).toMatchObject({ spacing: [0.7, 0.5, 5], notes: ['a single slice'] });
    expect(stack({})[0].notes).toEqual(['a single slice', 'its slice thickness is unknown: 1 mm is assumed']);
  });

  it('of one UID in two folders are two series', () => {
    expect(seriesOf([file(at(0), 0, 'a/'), file(at(0), 0, 'b/'), file(at(2), 1, 'a/')]).map(namesOf)).toEqual([
      ['0.dcm', '1.dcm'],
      ['0.dcm'],
    ]);
  });

  it('of an empty UID are grouped by folder, size and orientation, to the noise of the cosines', () => {
    const seriesUid = '';
    const series = stack(
      at(0, { seriesUid }),
      at(0, { seriesUid, size: [4, 4] }),
      at(2, { seriesUid, orientation: '1\\0\\0\\0\\0.99999\\-0.0005' }),
      at(0, { seriesUid, orientation: '1\\0\\0\\0\\0\\1' }),
    );
    expect(series.map(namesOf)).toEqual([['0.dcm', '2.dcm'], ['1.dcm'], ['3.dcm']]);
  });

  it('of several frames without a place for each count their frames and have no place', () => {
    const [{ size, faults }] = stack({ frames: 4 });
    expect(size).toEqual([2, 3, 4]);
    expect(faults).toEqual(['position, orientation or pixel spacing are missing: it has no place in the patient']);
  });
});
