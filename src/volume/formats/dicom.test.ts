import { readdirSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hasShared, sharedBytes, sharedJson, sharedPath } from '../../../test/shared.ts';
import { InputError } from '../../errors.ts';
import { type DicomFile, readDicomHeader, seriesOf, transferSyntaxName } from './dicom.ts';

interface ExpectedSeries {
  readonly files_in_slice_order?: string[];
  readonly transfer_syntax: string;
  readonly modality: string;
  readonly size_xyz: number[];
  readonly spacing_xyz: number[];
  readonly slice_gaps_min_max?: number[];
  readonly origin_lps: number[];
  readonly direction_lps_columns: number[][];
  readonly rescale: number[];
  readonly refuse_as_volume?: boolean;
}

const expected = hasShared
  ? sharedJson<{ series: Record<string, ExpectedSeries> }>('data', 'dicom', 'expected.json').series
  : {};

function filesOf(name: string): DicomFile[] {
  const path = sharedPath('data', 'dicom', name);
  const names = statSync(path).isDirectory() ? readdirSync(path) : [''];
  return names.map((file) => ({
    path: file === '' ? basename(name) : file,
    folder: name,
    header: readDicomHeader(sharedBytes('data', 'dicom', name, ...(file === '' ? [] : [file])), file),
  }));
}

function expectClose(got: readonly number[], wanted: readonly (number | null)[]): void {
  // A single slice has no distance to the next: null there.
  for (const [i, value] of wanted.entries()) if (value !== null) expect(got[i]).toBeCloseTo(value, 4);
}

describe.skipIf(!hasShared)('a series', () => {
  const stacks = Object.entries(expected).filter(
    ([, { size_xyz, files_in_slice_order }]) => size_xyz && files_in_slice_order,
  );

  for (const [name, wanted] of stacks) {
    it(`${name} has the size, place, gaps and order that its file says`, () => {
      const series = seriesOf(filesOf(name));
      expect(series).toHaveLength(1);
      const [{ size, spacing, gaps, origin, direction, files, modality, transferSyntax, notes }] = series;
      expect(size).toEqual(wanted.size_xyz);
      expect(modality).toBe(wanted.modality);
      expect(transferSyntax).toBe(transferSyntaxName(wanted.transfer_syntax));
      expect(files.map(({ path }) => path)).toEqual(wanted.files_in_slice_order);
      if (name !== 'ct_gantry_tilt') expectClose(spacing!, wanted.spacing_xyz);
      if (wanted.slice_gaps_min_max) expectClose(gaps!, wanted.slice_gaps_min_max);
      expectClose(origin!, wanted.origin_lps);
      // Expected column by column: x, y, z axis.
      for (const axis of [0, 1]) {
        expectClose(
          [0, 1, 2].map((row) => direction![3 * row + axis]),
          wanted.direction_lps_columns[axis],
        );
      }
      const { slope, intercept } = files[0].header;
      expect([slope, intercept]).toEqual(wanted.rescale);
      if (wanted.refuse_as_volume) expect(notes.join()).toContain('no regular grid');
      else expect(notes).toEqual(wanted.size_xyz[2] === 1 ? ['a single slice'] : []);
    });
  }

  it('with a tilted gantry says by how much, and by how much its slices are shifted', () => {
    const [{ notes }] = seriesOf(filesOf('ct_gantry_tilt'));
    expect(notes).toContain('gantry tilted by 18.5 degrees');
    expect(notes.join()).toMatch(/uneven gaps of 1\.081 to 6\.999 mm/);
    expect(notes.join()).toMatch(/shifted sideways by up to 2\.\d+ mm/);
  });

  it('of enhanced frames has its geometry from the functional groups', () => {
    const [{ size, spacing, notes }] = seriesOf(filesOf('enhanced_mr/enh.dcm'));
    expect(size[2]).toBe(6);
    expect(spacing!.every((mm) => mm > 0)).toBe(true);
    expect(notes).toEqual([]);
  });
});

describe.skipIf(!hasShared)('single files', () => {
  it('of one slice are read in every coding', () => {
    for (const name of readdirSync(sharedPath('data', 'dicom', 'single')).filter((file) =>
      file.startsWith('MR_small'),
    )) {
      const [{ size, notes }] = seriesOf(filesOf(`single/${name}`));
      expect({ size, notes }, name).toEqual({ size: [64, 64, 1], notes: ['a single slice'] });
    }
  });

  it('that are no scan say what they are', () => {
    expect(seriesOf(filesOf('bad/test-SR.dcm'))[0].notes).toEqual(['holds no image (SR)']);
    expect(seriesOf(filesOf('bad/SC_rgb_small_odd.dcm'))[0].notes[0]).toBe('a color image, 3 samples a pixel');
    expect(seriesOf(filesOf('seg/seg_image_ct_binary.dcm'))[0].notes[0]).toBe('a segmentation, not a scan');
    expect(seriesOf(filesOf('single/image_dfl.dcm'))[0].notes.join()).toContain('no place in the patient');
  });

  it('that are no DICOM or damaged are refused in a sentence', () => {
    expect(() => filesOf('bad/not_dicom.dcm')).toThrow('is no DICOM file');
    expect(() => filesOf('bad/no_meta.dcm')).toThrow(InputError);
    expect(() => filesOf('bad/meta_missing_tsyntax.dcm')).toThrow('is a damaged DICOM file');
  });

  it('give a sentence, never another error, however they are damaged', () => {
    const contents = hasShared
      ? ['single/MR_small.dcm', 'single/MR_small_implicit.dcm', 'enhanced_mr/enh.dcm', 'bad/test-SR.dcm'].map((name) =>
          sharedBytes('data', 'dicom', name),
        )
      : [];
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
          seriesOf([{ path: 'x', folder: '.', header: readDicomHeader(bytes, 'x') }]);
        } catch (error) {
          if (!(error instanceof InputError)) throw error;
        }
      }),
      { numRuns: 300 },
    );
  });
});
