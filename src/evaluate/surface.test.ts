import { describe, expect, test } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../test/shared.ts';
import type { Tensor } from '../tensor.ts';
import { identityDirection, type Vector3, type Volume } from '../volume/volume.ts';
import { readSafetensors } from '../weights/safetensors.ts';
import { maskPair, type SurfaceConvention, type SurfaceOptions, surfaceConventions, surfaceScores } from './surface.ts';
import { elementAreas } from './surfaceElements.ts';

/** One slice, drawn; rows 2 mm and columns 1 mm apart. */
function drawn(rows: string): Volume {
  const lines = rows.trim().split(/\s+/);
  return {
    data: Uint8Array.from(lines.join('').replaceAll('.', '0'), Number),
    channels: 1,
    shape: [1, lines.length, lines[0].length],
    spacing: [1, 2, 5],
    origin: [0, 0, 0],
    direction: identityDirection,
  };
}

const scores = (reference: string, prediction: string, options?: SurfaceOptions) =>
  surfaceScores(maskPair(drawn(reference), drawn(prediction), [1])!, options);

describe('surfaceScores', () => {
  test('two voxels, two rows of 2 mm and three columns of 1 mm apart', () => {
    const [reference, prediction] = ['1.... ..... .....', '..... ..... ...1.'];
    expect(scores(reference, prediction)).toMatchObject({ hd: 5, hd95: 5, assd: 5, nsd: 0 });
    expect(scores(reference, prediction, { unit: 'voxel' }).hd).toBe(Math.sqrt(13));
    expect(scores(reference, prediction, { convention: 'unetrpp', unit: 'mm' }).hd).toBe(Math.sqrt(13));
    expect(scores(reference, prediction, { tolerance: 5, convention: 'monai' }).nsd).toBe(1);
  });

  test('one voxel too many at one end: distances 0, 0, 0, 1 of the one and 0, 0, 0 of the other', () => {
    const [reference, prediction] = ['.111.', '.1111'];
    const medpy = scores(reference, prediction, { tolerance: 0 });
    expect(medpy.hd).toBe(1);
    expect(medpy.assd).toBe(1 / 7);
    // Rank 0.95 * 6 = 5.7 of 0 0 0 0 0 0 1.
    expect(medpy.hd95).toBeCloseTo(0.7, 12);
    expect(medpy.nsd).toBeCloseTo((3 / 4 + 1) / 2, 7);
    const monai = scores(reference, prediction, { tolerance: 0, convention: 'monai' });
    // Rank 0.95 * 3 = 2.85 of 0 0 0 1.
    expect(monai.hd95).toBeCloseTo(0.85, 12);
    expect(monai.nsd).toBe(6 / 7);
  });

  test('a mask against itself is at no distance, in every convention', () => {
    for (const convention of surfaceConventions) {
      const { hd, hd95, assd, nsd } = scores('.11. .11.', '.11. .11.', { convention });
      expect([hd, hd95, assd]).toEqual([0, 0, 0]);
      expect(nsd).toBeCloseTo(1, 7);
    }
  });

  test('a mask that fills the image has no distances in nnU-Net v1, and has them elsewhere', () => {
    expect(scores('11', '1.', { convention: 'nnunet' }).hd).toBeNaN();
    expect(scores('11', '1.', { convention: 'medpy' }).hd).toBe(1);
  });

  test('what the reference does not judge belongs to neither mask', () => {
    const pair = maskPair(drawn('1.9'), drawn('1.1'), [1], { ignored: 9 })!;
    expect([...pair.data]).toEqual([3]);
    expect(surfaceScores(pair).hd).toBe(0);
  });

  test('a region is the union of its labels', () => {
    const pair = maskPair(drawn('.12.'), drawn('.21.'), [1, 2])!;
    expect([...pair.data]).toEqual([3, 3]);
  });

  test('two empty masks are no pair, and one of them has no surface to measure', () => {
    expect(maskPair(drawn('..'), drawn('..'), [1])).toBeUndefined();
    for (const convention of surfaceConventions) {
      expect(() => scores('1.', '..', { convention })).toThrow('an empty mask has no surface');
      expect(() => scores('..', '1.', { convention })).toThrow('an empty mask has no surface');
    }
  });
});

interface Case {
  readonly name: string;
  readonly spacing: Vector3;
  readonly nnunet_v1_evaluator: Record<string, number | 'nan'>;
  readonly unetr_pp_scripts: { readonly hd95_in_voxels: number };
  readonly medpy: Record<string, number> & { readonly normalized_surface_dice_v1: Record<string, number> };
  readonly monai: Record<string, number> & { readonly surface_dice: Record<string, number> };
  readonly surface_distance: Record<string, number> & { readonly surface_dice: Record<string, number> };
}

describe.skipIf(!hasShared)('reference values', () => {
  const cases = hasShared
    ? sharedJson<{ cases: readonly Case[] }>('golden', 'volumes', 'metrics.json').cases.filter(
        ({ name }) => !/empty/.test(name),
      )
    : [];
  const { tensors } = hasShared
    ? readSafetensors(sharedBytes('golden', 'volumes', 'metrics.safetensors'))
    : { tensors: new Map<string, Tensor>() };
  const pairOf = ({ name, spacing: [z, y, x] }: Case) => {
    const volume = (which: string): Volume => {
      const { data, shape } = tensors.get(`${name}.${which}`) as Tensor<'uint8'>;
      const grid = { origin: [0, 0, 0], direction: identityDirection, channels: 1 } as const;
      return { ...grid, data, shape: shape as unknown as Vector3, spacing: [x, y, z] };
    };
    return maskPair(volume('reference'), volume('prediction'), [1])!;
  };
  const near = (found: number, expected: number | 'nan', what: string) => {
    if (expected === 'nan') expect(found, what).toBeNaN();
    else expect(Math.abs(found - expected), `${what}: ${found}, not ${expected}`).toBeLessThanOrEqual(1e-9);
  };
  const dicesAt = (
    pair: ReturnType<typeof pairOf>,
    convention: SurfaceConvention,
    expected: Record<string, number>,
  ) => {
    for (const [tolerance, dice] of Object.entries(expected)) {
      near(
        surfaceScores(pair, { convention, tolerance: Number(tolerance) }).nsd,
        dice,
        `${convention} ${tolerance} mm`,
      );
    }
  };

  test('there are cases', () => expect(cases.length).toBe(15));

  test.each(cases)('medpy, nnU-Net v1 and the scripts of UNETR++: $name', (each) => {
    const { medpy } = each;
    const pair = pairOf(each);
    const [mm, voxels] = [surfaceScores(pair), surfaceScores(pair, { unit: 'voxel' })];
    near(mm.hd, medpy.hd, 'hd');
    near(mm.hd95, medpy.hd95, 'hd95');
    near(mm.assd, medpy.assd, 'assd');
    near(mm.predictionToReference, medpy.asd_pred_to_ref, 'asd there');
    near(mm.referenceToPrediction, medpy.asd_ref_to_pred, 'asd back');
    near(voxels.hd, medpy.hd_voxels, 'hd in voxels');
    near(voxels.hd95, medpy.hd95_voxels, 'hd95 in voxels');
    near(voxels.assd, medpy.assd_voxels, 'assd in voxels');
    dicesAt(pair, 'medpy', medpy.normalized_surface_dice_v1);
    const v1 = surfaceScores(pair, { convention: 'nnunet' });
    near(v1.hd, each.nnunet_v1_evaluator['Hausdorff Distance'], 'v1 hd');
    near(v1.hd95, each.nnunet_v1_evaluator['Hausdorff Distance 95'], 'v1 hd95');
    near(v1.assd, each.nnunet_v1_evaluator['Avg. Symmetric Surface Distance'], 'v1 assd');
    near(v1.predictionToReference, each.nnunet_v1_evaluator['Avg. Surface Distance'], 'v1 asd');
    near(surfaceScores(pair, { convention: 'unetrpp' }).hd95, each.unetr_pp_scripts.hd95_in_voxels, 'scripts hd95');
  });

  test.each(cases)('MONAI: $name', (each) => {
    const { monai } = each;
    const pair = pairOf(each);
    const found = surfaceScores(pair, { convention: 'monai' });
    near(found.hd, monai.hd, 'hd');
    near(found.hd95, monai.hd95, 'hd95');
    near(found.assd, monai.assd, 'assd');
    near(found.predictionToReference, monai.asd_pred_to_ref, 'asd');
    dicesAt(pair, 'monai', monai.surface_dice);
  });

  test.each(cases)('surface-distance: $name', (each) => {
    const expected = each.surface_distance;
    const pair = pairOf(each);
    const found = surfaceScores(pair, { convention: 'deepmind' });
    near(found.hd, expected.hd100, 'hd');
    near(found.hd95, expected.hd95, 'hd95');
    near(found.predictionToReference, expected.average_pred_to_ref, 'average there');
    near(found.referenceToPrediction, expected.average_ref_to_pred, 'average back');
    dicesAt(pair, 'deepmind', expected.surface_dice);
  });

  test('areas of the 256 surface elements, for two voxel sizes', () => {
    const golden = sharedJson<Record<string, number[]>>('golden', 'volumes', 'surfel_table.json');
    for (const spacing of ['1_1_1', '3_0.8_0.8']) {
      const areas = elementAreas(spacing.split('_').map(Number) as unknown as Vector3);
      golden[`areas_spacing_${spacing}`].forEach((expected, code) => {
        near(areas[code], expected, `code ${code}`);
      });
    }
  });
});
