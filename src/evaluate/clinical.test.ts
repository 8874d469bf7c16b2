import { describe, expect, test } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../test/shared.ts';
import type { Tensor } from '../tensor.ts';
import { identityDirection, type Vector3, type Volume } from '../volume/volume.ts';
import { readSafetensors } from '../weights/safetensors.ts';
import {
  axialDiameters,
  burdenOf,
  cardiacOutput,
  changeOf,
  type DiameterConvention,
  heartFunction,
  lesionsOf,
  maskOf,
  type Response,
  recistResponse,
  sumOfDiameters,
} from './clinical.ts';

/** Slices, drawn, with a word for each row; 3 mm a column, 4 mm a row, 5 mm a slice. */
function drawn(...slices: string[]): Volume {
  const rows = slices.map((slice) => slice.split(' '));
  return {
    data: Uint8Array.from(rows.flat().join('').replaceAll('.', '0'), Number),
    channels: 1,
    shape: [slices.length, rows[0].length, rows[0][0].length],
    spacing: [3, 4, 5],
    origin: [0, 0, 0],
    direction: identityDirection,
  };
}

describe('axialDiameters', () => {
  test('one voxel of 3 x 4 mm: its diagonal from corner to corner, nothing from center to center', () => {
    const grid = drawn('... .1. ...');
    expect(axialDiameters(maskOf(grid, [1]), grid)).toMatchObject({
      longMm: 5,
      z: 0,
      ends: [
        [0.5, 0.5],
        [1.5, 1.5],
      ],
    });
    expect(axialDiameters(maskOf(grid, [1]), grid)!.shortMm).toBeCloseTo((2 * 12) / 5, 12);
    expect(axialDiameters(maskOf(grid, [1]), grid, 'center')).toMatchObject({ longMm: 0, shortMm: 0 });
  });

  test('pieces that touch at a corner are one, pieces apart are not, and the longest slice holds', () => {
    const grid = drawn('1..1 .... ....', '.1.. ..1. ....');
    expect(axialDiameters(maskOf(grid, [1]), grid, 'center')).toMatchObject({ longMm: 5, z: 1 });
  });

  test('an empty mask has none', () => {
    const grid = drawn('..');
    expect(axialDiameters(maskOf(grid, [1]), grid)).toBeUndefined();
  });
});

describe('lesions and burden', () => {
  const grid = drawn('11.. .... ...2', '.... .... ...2');

  test('two lesions of two voxels of 0.06 mL; the one along a row of 6 x 4 mm is the longer one', () => {
    expect(burdenOf(maskOf(grid, [1, 2]), grid)).toEqual({ volumeMl: 4 * 0.06, lesions: 2, largestMl: 2 * 0.06 });
    const [first, second] = lesionsOf(maskOf(grid, [1, 2]), grid);
    expect(first).toMatchObject({ volumeMl: 2 * 0.06, diameters: { longMm: Math.sqrt(36 + 16), z: 0 } });
    expect(second.diameters).toMatchObject({
      longMm: 5,
      z: 0,
      ends: [
        [1.5, 2.5],
        [2.5, 3.5],
      ],
    });
    expect(lesionsOf(maskOf(grid, [3]), grid)).toEqual([]);
  });

  test('the sum takes the five longest of at least 10 mm', () => {
    const lesions = [30, 20, 15, 12, 11, 10].map((longMm) => ({
      volumeMl: 1,
      diameters: { longMm, shortMm: 5, z: 0, ends: [[0, 0] as const, [0, 0] as const] as const },
    }));
    expect(sumOfDiameters(lesions)).toBe(88);
    expect(sumOfDiameters([{ ...lesions[0], diameters: { ...lesions[0].diameters, longMm: 9.9 } }])).toBe(0);
  });

  test('a change is in the unit, and in percent of what was before', () => {
    expect(changeOf(8, 6)).toEqual({ absolute: -2, percent: -25 });
    expect(changeOf(0, 6)).toEqual({ absolute: 6, percent: Number.NaN });
  });
});

test('a ventricle of 4 voxels that empties to 1 ejects 75 %', () => {
  const [diastole, systole] = [drawn('33 33 21'), drawn('3. .. 21')];
  const { leftVentricle, rightVentricle, myocardialMassG } = heartFunction(diastole, systole);
  expect(leftVentricle.ejectionFractionPercent).toBe(75);
  expect(leftVentricle.edvMl).toBe(4 * 0.06);
  expect(rightVentricle.ejectionFractionPercent).toBe(0);
  expect(myocardialMassG).toBeCloseTo(0.06 * 1.05, 12);
  expect(heartFunction(drawn('..'), drawn('..')).leftVentricle.ejectionFractionPercent).toBeNaN();
});

interface Diameters {
  readonly slice: number;
  readonly long_axis_mm: number;
  readonly short_axis_mm: number;
  readonly end_points_index: readonly (readonly number[])[];
}
interface Golden {
  readonly clinical: {
    readonly cardiac: Record<string, number> & { readonly ed: string; readonly es: string; readonly spacing: Vector3 };
    readonly recist: readonly {
      readonly name: string;
      readonly mask: string;
      readonly spacing: Vector3;
      readonly volume_ml: number;
      readonly corner: Diameters;
      readonly centre: Diameters;
    }[];
    readonly recist_response: readonly {
      readonly baseline_sum: number;
      readonly nadir_sum: number;
      readonly current_sum: number;
      readonly new_lesion: boolean;
      readonly response: Response;
    }[];
  };
}

describe.skipIf(!hasShared)('reference values', () => {
  const { cardiac, recist, recist_response } = hasShared
    ? sharedJson<Golden>('golden', 'volumes', 'statistics_clinical.json').clinical
    : ({ recist: [], recist_response: [] } as unknown as Golden['clinical']);
  const { tensors } = hasShared
    ? readSafetensors(sharedBytes('golden', 'volumes', 'statistics_clinical.safetensors'))
    : { tensors: new Map<string, Tensor>() };
  const volume = (name: string, [z, y, x]: Vector3): Volume => {
    const { data, shape } = tensors.get(name) as Tensor<'uint8'>;
    return { ...drawn('.'), data, shape: shape as unknown as Vector3, spacing: [x, y, z] };
  };

  test('a heart: volumes, ejection fractions, mass and output', () => {
    const { spacing } = cardiac;
    const found = heartFunction(volume(cardiac.ed, spacing), volume(cardiac.es, spacing));
    const { leftVentricle: left, rightVentricle: right } = found;
    const values: Record<string, number> = {
      lv_edv_ml: left.edvMl,
      lv_esv_ml: left.esvMl,
      lv_stroke_volume_ml: left.strokeVolumeMl,
      lv_ejection_fraction_percent: left.ejectionFractionPercent,
      rv_edv_ml: right.edvMl,
      rv_esv_ml: right.esvMl,
      rv_ejection_fraction_percent: right.ejectionFractionPercent,
      myocardial_volume_ed_ml: found.myocardialVolumeMl,
      myocardial_mass_ed_g: found.myocardialMassG,
      cardiac_output_l_per_min: cardiacOutput(left, cardiac.heart_rate),
      lv_edv_index_ml_m2: left.edvMl / cardiac.bsa_m2,
    };
    for (const [name, value] of Object.entries(values)) expect(value, name).toBeCloseTo(cardiac[name], 10);
  });

  test.each(recist)('diameters of a lesion: $name', ({ mask: name, spacing, volume_ml, ...conventions }) => {
    const lesion = volume(name, spacing);
    const mask = maskOf(lesion, [1]);
    expect(burdenOf(mask, lesion).volumeMl).toBeCloseTo(volume_ml, 12);
    for (const [convention, expected] of [
      ['corner', conventions.corner],
      ['center', conventions.centre],
    ] as readonly [DiameterConvention, Diameters][]) {
      const found = axialDiameters(mask, lesion, convention)!;
      expect(found.longMm, convention).toBeCloseTo(expected.long_axis_mm, 10);
      expect(found.shortMm, convention).toBeCloseTo(expected.short_axis_mm, 10);
      expect(found.z).toBe(expected.slice);
      expect(found.ends, convention).toEqual(expected.end_points_index);
    }
  });

  test.each(recist_response)('response: $baseline_sum, $nadir_sum, $current_sum is $response', (each) => {
    const { baseline_sum: baseline, nadir_sum: nadir, current_sum: current, new_lesion: newLesion } = each;
    expect(recistResponse({ baseline, nadir, current, newLesion })).toBe(each.response);
  });
});
