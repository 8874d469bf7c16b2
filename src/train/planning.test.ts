import { describe, expect, test } from 'vitest';
import type { CaseFingerprint, Fingerprint } from '../dataset/index.ts';
import { InputError } from '../errors.ts';
import { checkSettings, unetrppPresets } from '../nets/index.ts';
import { elementCount } from '../tensor.ts';
import type { Vector3 } from '../volume/index.ts';
import { planFile, planPart } from './planFile.ts';
import { planTraining, shrunk, sized, withPatch } from './planning.ts';
import { checkTrainSettings } from './settings.ts';

const measured = (shape: Vector3, spacing: Vector3 = [1, 1, 1], changes: Partial<CaseFingerprint> = {}) => ({
  name: 'drawn',
  shape,
  spacing,
  relativeSize: 1,
  orientation: 'LPS',
  foregroundShape: shape,
  labelCenters: {},
  ...changes,
});

const statistics = { mean: 50, std: 35, median: 50, min: 0, max: 100, percentile005: 0.5, percentile995: 99.5 };

const fingerprint = (cases: CaseFingerprint[], medianRelativeSize = 1): Fingerprint => ({
  format: 'unetrpp-fingerprint',
  version: 1,
  dataset: { name: 'Drawn', sha256: '0'.repeat(64) },
  cases,
  medianRelativeSize,
  foreground: [statistics],
});

const plan = (
  cases: CaseFingerprint[],
  { channels = ['MRI'], patch, relativeSize }: { channels?: string[]; patch?: number[]; relativeSize?: number } = {},
) =>
  planTraining({
    dataset: { name: 'Drawn', path: 'nowhere', sha256: '0'.repeat(64) },
    fold: 0,
    channels,
    labels: ['background', 'a', 'b'],
    fingerprint: fingerprint(cases, relativeSize),
    patch,
  });

describe('a plan', () => {
  test('is complete and legal for any size of scan', () => {
    for (const shape of [
      [1, 1, 1],
      [1, 556, 720],
      [10, 300, 300],
      [36, 50, 35],
      [148, 512, 512],
      [7, 900, 12],
    ] as const) {
      const { settings, focusedPatch } = plan([measured(shape)]);
      expect(() => checkSettings(settings.network)).not.toThrow();
      expect(() => checkTrainSettings(settings, 'the plan')).not.toThrow();
      expect(() => checkSettings(withPatch(settings, focusedPatch).network)).not.toThrow();
      expect(elementCount(settings.network.patch)).toBeLessThanOrEqual(1_250_000);
    }
  });

  test('of regions has a class for each, and ignores what the data set does, whatever the size', () => {
    const regions = {
      regions: [
        { name: 'whole', labels: [1, 2, 3] },
        { name: 'core', labels: [2, 3] },
      ],
      regionsClassOrder: [1, 2],
    };
    for (const shape of [
      [36, 50, 35],
      [148, 512, 512],
    ] as const) {
      const { settings, explanation } = planTraining({
        dataset: { name: 'Drawn', path: 'nowhere', sha256: '0'.repeat(64) },
        fold: 0,
        channels: ['MRI'],
        labels: ['background', 'whole', 'core'],
        regions,
        ignoreLabel: 4,
        fingerprint: fingerprint([measured(shape)]),
      });
      expect(checkTrainSettings(settings, 'the plan').network.classes).toBe(2);
      expect(settings.plan).toMatchObject(regions);
      for (const size of ['published', 'compact'] as const) {
        const { of } = sized(settings, size).loss;
        expect(of).toMatchObject({
          kind: 'softDiceRegions',
          regions: [
            [1, 2, 3],
            [2, 3],
          ],
          ignoredLabel: 4,
        });
      }
      expect(explanation.map(({ key }) => key)).toEqual(
        expect.arrayContaining(['loss.of.kind', 'loss.of.ignoredLabel']),
      );
    }
  });

  test('says of every entry that it explains why', () => {
    const { explanation } = plan([measured([36, 50, 35])]);
    expect(explanation.map(({ key }) => key)).toEqual(
      expect.arrayContaining(['plan.spacing', 'network.stem', 'network.patch', 'batch', 'augmentation.mirror']),
    );
    for (const { because } of explanation) expect(because.length).toBeGreaterThan(10);
  });

  test.each([
    ['Synapse', [148, 512, 512], [3, 0.76, 0.76], 'synapse', [2, 4, 4]],
    ['ACDC', [17, 231, 242], [5, 1.56, 1.56], 'acdc', [1, 4, 4]],
    // The published lung network takes stride 1 across slices, though they are hardly thicker than voxels are wide.
    ['lung', [252, 512, 512], [1.245, 0.785, 0.785], 'lung', [2, 4, 4]],
    ['BraTS', [138, 171, 137], [1, 1, 1], 'brats', [4, 4, 4]],
  ] as const)('of scans like those of %s is near the published network', (_, shape, spacing, preset, stem) => {
    const { network, batch } = plan([measured(shape, spacing)], { channels: ['CT'] }).settings;
    const published = unetrppPresets[preset];
    expect(network.stem).toEqual(stem);
    expect(network.dims).toEqual(published.dims);
    network.patch.forEach((length, axis) => {
      expect(length / published.patch[axis]).toBeGreaterThanOrEqual(0.6);
      expect(length / published.patch[axis]).toBeLessThanOrEqual(2);
    });
    expect(batch).toBe(preset === 'acdc' ? 4 : 2);
  });

  test('of small scans is the recipe that was found on the hippocampus', () => {
    const { settings } = plan([measured([36, 50, 35])]);
    expect(settings.network).toMatchObject({ patch: [32, 48, 32], stem: [2, 2, 2], dims: [32, 64, 64, 64] });
    expect(settings).toMatchObject({
      optimizer: { kind: 'adamW' },
      schedule: { rate: 0.003, per: 'step' },
      average: 0.999,
    });
  });

  test('keeps a patch that was given, with a stem that divides it', () => {
    const { network } = plan([measured([9, 9, 9])], { patch: [64, 128, 80] }).settings;
    expect(network).toMatchObject({ patch: [64, 128, 80], stem: [2, 4, 2] });
  });

  test('puts the axis of the largest spacing first, patch and stem with it', () => {
    const { settings } = plan([measured([300, 300, 16], [1, 1, 5])]);
    expect(settings.plan).toMatchObject({ transposeForward: [2, 0, 1], spacing: [5, 1, 1], patch: [16, 192, 192] });
  });

  test('asks for as little as the foreground needs, half of the patch at least', () => {
    const heart = measured([8, 224, 224], [10, 1.5, 1.5], { foregroundShape: [8, 80, 85] });
    // 1.5 x 80 = 120 and 1.5 x 85 = 127.5, in multiples of 32.
    expect(plan([heart]).focusedPatch).toEqual([8, 128, 128]);
    const spot = { ...heart, foregroundShape: [1, 5, 5] as const };
    expect(plan([spot]).focusedPatch).toEqual([8, 96, 96]);
  });

  test('normalizes CT by the foreground, MR by each scan, over what is not zero where cropping takes much', () => {
    const ofChannel = (channel: string, relativeSize = 1) =>
      plan([measured([40, 40, 40])], { channels: [channel], relativeSize }).settings.plan.channels[0];
    expect(ofChannel('CT')).toEqual({
      name: 'CT',
      normalization: 'ct',
      useMask: false,
      intensities: { mean: 50, std: 35, percentile005: 0.5, percentile995: 99.5 },
    });
    expect(ofChannel('MRI', 0.5)).toEqual({ name: 'MRI', normalization: 'zScore', useMask: true });
    expect(() => ofChannel('computed')).toThrow(InputError);
  });
});

test('an nnU-Net plan decides spacing, axes, normalization and the patch to begin with', () => {
  const own = plan([measured([40, 100, 100], [3, 1, 1])]).settings.plan;
  const nnunet = {
    ...own,
    spacing: [2, 1, 1.5] as [number, number, number],
    patch: [32, 64, 64] as [number, number, number],
  };
  const { settings, medianShape } = planTraining({
    dataset: { name: 'Drawn', path: 'nowhere', sha256: '0'.repeat(64) },
    fold: 0,
    channels: ['MRI'],
    labels: ['background', 'a', 'b'],
    fingerprint: fingerprint([measured([40, 100, 100], [3, 1, 1])]),
    nnunet,
  });
  // 40 x 3 / 2 = 60 slices; 100 / 1.5 = 67 columns.
  expect(medianShape).toEqual([60, 100, 67]);
  expect(settings.plan).toMatchObject({ spacing: [2, 1, 1.5], patch: [32, 64, 64], channels: own.channels });
});

describe('the orientation', () => {
  test('is that of most cases, to which the others are turned', () => {
    const cases = [
      measured([10, 20, 30], [3, 2, 1]),
      measured([10, 20, 30], [3, 2, 1]),
      // Axes x, y, z of ASR are the second, third and first (backward) of LPS.
      measured([30, 10, 20], [1, 3, 2], { orientation: 'ASR' }),
    ];
    const { settings, explanation, medianShape } = plan(cases);
    expect(settings.plan).toMatchObject({ orientation: 'LPS', spacing: [3, 2, 1] });
    expect(medianShape).toEqual([10, 20, 30]);
    expect(explanation[0].because).toContain('2 of 3 cases');
  });

  // x runs from right to left.
  const organs = (a: Vector3, b: Vector3, changes: Partial<CaseFingerprint> = {}) =>
    measured([20, 20, 20], [1, 1, 1], { labelCenters: { 1: a, 2: b }, foregroundShape: [10, 10, 10], ...changes });

  test('tells which axis is mirrored: left-right, where labels have no order along it', () => {
    const { plan: own, augmentation } = plan([organs([5, 5, 9], [9, 9, 10]), organs([5, 5, 10], [9, 9, 9])]).settings;
    expect(augmentation!.mirror).toEqual([0, 0, 0.5]);
    expect(own.inference.mirrorAxes).toEqual([2]);
  });

  test('nothing is mirrored where one label is left of the other', () => {
    const { plan: own, augmentation } = plan([organs([9, 9, 5], [9, 9, 9]), organs([9, 9, 6], [9, 9, 9])]).settings;
    expect(augmentation!.mirror).toEqual([0, 0, 0]);
    expect(own.inference.mirrorAxes).toEqual([]);
  });

  test('a label is left of the other in a case that is stored the other way around, too', () => {
    const reversed = organs([9, 9, 19 - 5], [9, 9, 19 - 9], { orientation: 'RPS' });
    const cases = [organs([9, 9, 5], [9, 9, 9]), organs([9, 9, 5], [9, 9, 9]), reversed];
    expect(plan(cases).settings.augmentation!.mirror).toEqual([0, 0, 0]);
  });

  test('a single label that lies on one side is not mirrored; one in the middle is', () => {
    const single = (x: number) => measured([20, 20, 20], [1, 1, 1], { labelCenters: { 1: [9, 9, x] } });
    expect(plan([single(4)]).settings.augmentation!.mirror).toEqual([0, 0, 0]);
    expect(plan([single(9.5)]).settings.augmentation!.mirror).toEqual([0, 0, 0.5]);
  });
});

test('a patch gives way along the axis of which it covers most', () => {
  // 64 / 100, 128 / 512: the first axis first, by 8 times its stem, down to 2 voxels behind the last stage.
  expect(shrunk([64, 128, 128], [2, 4, 4], [100, 512, 512], 48 * 128 * 128)).toEqual([48, 128, 128]);
  expect(shrunk([16, 32, 32], [1, 4, 4], [16, 16, 16], 1)).toEqual([16, 32, 32]);
});

describe('the file of a plan', () => {
  const { settings, explanation } = plan([measured([36, 50, 35])]);
  const file = JSON.parse(planFile(settings, explanation, undefined)) as Record<string, unknown>;

  test('gives all settings but data set, fold and bundle', () => {
    const part = planPart(file, settings.dataset, 'plan.json') as object;
    const { format, version, dataset, fold, from } = settings;
    expect({ format, version, dataset, fold, from, ...part }).toEqual(settings);
  });

  test('is refused for another data set', () => {
    const other = { name: 'Other', sha256: '1'.repeat(64) };
    expect(() => planPart(file, other, 'plan.json')).toThrow(
      /^plan.json is a plan made for another data set \(Drawn\) .*, not for Other as it is; make one with unetrpp plan\.$/,
    );
    expect(() => planPart({ ...file, version: 2 }, settings.dataset, 'plan.json')).toThrow(/version 2/);
  });

  test('other parts pass as they are', () => {
    expect(planPart({ batch: 3 }, settings.dataset, 'x')).toEqual({ batch: 3 });
  });
});
