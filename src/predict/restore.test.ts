import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Plan } from '../dataset/index.ts';
import { elementCount } from '../tensor.ts';
import { identityDirection, resampleChannel, type Vector3, type Volume } from '../volume/index.ts';
import type { BlendedPart } from './cells.ts';
import { type Prepared, transposeAxes } from './prepare.ts';
import { restoration } from './restore.ts';
import { blendTiles, largestClass, toProbabilities } from './tiles.ts';

const plan: Plan = {
  format: 'unetrpp-plan',
  version: 1,
  configuration: '3d_fullres',
  transposeForward: [0, 1, 2],
  spacing: [1, 1, 1],
  patch: [4, 4, 4],
  channels: [{ name: 'MR', normalization: 'zScore', useMask: false }],
  convention: 'nnunet-v1',
  resampling: { image: 3, imageZ: 0, probabilities: 1, probabilitiesZ: 0, anisotropyThreshold: 3 },
  orientation: null,
  inference: { step: 0.5, mirrorAxes: [] },
};

interface Case {
  readonly prepared: Prepared;
  readonly scan: Volume;
  readonly classes: number;
}

/** A scan that is its own crop box, on another grid than the network's. */
function caseOf(own: Vector3, network: Vector3, classes: number, thickness = 1): Case {
  const spacing: Vector3 = [thickness, 1, 1];
  const newSpacing = own.map((length, axis) => (spacing[axis] * length) / network[axis]) as unknown as Vector3;
  const prepared: Prepared = {
    image: Float32Array.from({ length: elementCount(network) }, (_, i) => Math.sin(i * 12.9898) * 43758.5453),
    shape: network,
    box: { start: [0, 0, 0], end: own },
    croppedShape: own,
    spacing,
    newSpacing,
    notices: [],
  };
  const scan: Volume = {
    shape: own,
    spacing: [1, 1, thickness],
    origin: [0, 0, 0],
    direction: identityDirection,
    channels: 1,
    data: new Float32Array(elementCount(own)),
  };
  return { prepared, scan, classes };
}

/** The same as probabilities, some of them small everywhere, as of organs that are elsewhere. */
function probabilityAnswers(classes: number) {
  const raw = answers(classes);
  return async (tile: Float32Array): Promise<Float32Array> => {
    const values = (await raw(tile)).map((value, i) => 4 * value - 9 * (Math.floor(i / tile.length) % 3));
    return toProbabilities(values, classes, 'softmax');
  };
}

/** Answers to tiles that differ from class to class and from voxel to voxel. */
function answers(classes: number) {
  return async (tile: Float32Array): Promise<Float32Array> => {
    const out = new Float32Array(classes * tile.length);
    for (let k = 0; k < classes; k++) {
      for (let i = 0; i < tile.length; i++) out[k * tile.length + i] = Math.sin(tile[i] * (k + 1) + i);
    }
    return out;
  };
}

async function partsOf({ prepared, classes }: Case, step: number, answer = answers): Promise<BlendedPart[]> {
  const parts: BlendedPart[] = [];
  const { image, shape } = prepared;
  const blending = { image, shape, patch: plan.patch, step, mirrorAxes: [], classes, weights: 'v1' as const };
  await blendTiles(blending, answer(classes), (part) => parts.push({ ...part, values: part.values.slice() }));
  return parts;
}

/** Every class whole: what the slabs must equal. */
function allAtOnce(parts: readonly BlendedPart[], { prepared, classes }: Case, settings: Plan) {
  const { shape, croppedShape, spacing, newSpacing } = prepared;
  const { probabilities: order, probabilitiesZ: orderZ, anisotropyThreshold } = settings.resampling;
  const whole = Array.from({ length: classes }, () => new Float32Array(elementCount(shape)));
  for (const { start, shape: size, values } of parts) {
    let from = 0;
    for (let k = 0; k < classes; k++) {
      for (let z = 0; z < size[0]; z++) {
        for (let y = 0; y < size[1]; y++, from += size[2]) {
          const to = ((start[0] + z) * shape[1] + start[1] + y) * shape[2] + start[2];
          whole[k].set(values.subarray(from, from + size[2]), to);
        }
      }
    }
  }
  const [first, second] = settings.convention === 'nnunet-v1' ? [spacing, newSpacing] : [newSpacing, spacing];
  const regrid = { shape, newShape: croppedShape, spacing: first, newSpacing: second };
  const resampled = whole.map((values) => resampleChannel(values, regrid, { order, orderZ, anisotropyThreshold }));
  return { resampled, labels: largestClass([...resampled.keys()], (k) => resampled[k]) };
}

const length = fc.integer({ min: 1, max: 14 });
const shape = fc.tuple(length, length, length);

describe('restoring part by part', () => {
  test('gives every label that all values at once give, whatever the grids', async () => {
    const property = fc.asyncProperty(
      shape,
      shape,
      fc.integer({ min: 1, max: 5 }),
      fc.constantFrom(0.3, 0.5, 1),
      fc.constantFrom(1, 5),
      fc.constantFrom<['nnunet-v1' | 'nnunet-v2', 0 | 1 | 3, 0 | 1]>(
        ['nnunet-v1', 1, 0],
        ['nnunet-v2', 1, 1],
        ['nnunet-v2', 0, 0],
        ['nnunet-v1', 3, 0],
      ),
      async (own, network, classes, step, thickness, [convention, order, orderZ]) => {
        const one = caseOf(own, network, classes, thickness);
        const resampling = { ...plan.resampling, probabilities: order, probabilitiesZ: orderZ };
        const settings: Plan = { ...plan, convention, resampling };
        const parts = await partsOf(one, step, convention === 'nnunet-v1' ? probabilityAnswers : answers);
        const expected = allAtOnce(parts, one, settings);
        const restoring = restoration(one.prepared, one.scan, settings, classes);
        for (const part of parts) restoring.take(part);
        expect(restoring.finish().labels.data).toEqual(expected.labels);
      },
    );
    await fc.assert(property, { numRuns: 150 });
  });

  test('gives the same probabilities too, to the last bit', async () => {
    const one = caseOf([11, 9, 7], [8, 12, 7], 3);
    const parts = await partsOf(one, 0.5, probabilityAnswers);
    const { resampled, labels } = allAtOnce(parts, one, plan);
    const restoring = restoration(one.prepared, one.scan, plan, 3, { probabilities: true });
    for (const part of parts) restoring.take(part);
    const { probabilities, labels: decided } = restoring.finish();
    expect(decided.data).toEqual(labels);
    resampled.forEach((values, k) => {
      expect(probabilities!.data.slice(k * values.length, (k + 1) * values.length)).toEqual(values);
    });
  });

  test('turns the axes back that the plan turned', async () => {
    const transposeForward: Plan['transposeForward'] = [2, 0, 1];
    const one = caseOf([4, 5, 6], [4, 5, 6], 2);
    const parts = await partsOf(one, 0.5);
    const { labels } = allAtOnce(parts, one, plan);
    // The network's axes d, h, w are the scan's x, z, y.
    const own: Vector3 = [5, 6, 4];
    const scan = { ...one.scan, shape: own };
    const prepared = { ...one.prepared, box: { start: [0, 0, 0] as const, end: own } };
    const restoring = restoration(prepared, scan, { ...plan, transposeForward }, 2);
    for (const part of parts) restoring.take(part);
    expect(restoring.finish().labels.data).toEqual(transposeAxes(labels, [4, 5, 6], [1, 2, 0]));
  });
});
