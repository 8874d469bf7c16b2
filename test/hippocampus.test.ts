/**
 * The whole way on real scans: a checkpoint that the authors' code trained and saved is imported, scans are predicted, and
 * the result is held against the authors' own predictions, probabilities and logits.
 */
import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { fillInteger } from '../src/cli/verify/fill.ts';
import { nodeEngine } from '../src/engine/node.ts';
import { unetrpp } from '../src/nets/index.ts';
import { createSegmenter, importCheckpoint, loadModel, type Model, type Segmenter } from '../src/predict/index.ts';
import { prepare } from '../src/predict/prepare.ts';
import { paddingFor, tileStarts } from '../src/predict/tiles.ts';
import { padTo, readNifti } from '../src/volume/index.ts';
import { packBundle, readSafetensors } from '../src/weights/index.ts';
import { hasShared, sharedBytes, sharedJson } from './shared.ts';

interface Prediction {
  readonly dice: readonly [number, number];
  readonly predicted_voxels: readonly number[];
  readonly 'near_ties_1e-4': number;
  readonly sha256_labels_zyx_uint8: string;
  readonly file?: string;
}

interface Expected {
  readonly network: Record<string, unknown>;
  readonly stored_predictions: readonly string[];
  readonly stored_probabilities: readonly string[];
  readonly mean_dice: Record<'plain' | 'mirrored', { readonly label_1: number; readonly label_2: number }>;
  readonly first_tile_logits: Record<
    string,
    { readonly index_name: string; readonly values_float64: readonly number[] }
  >;
  readonly cases: Record<
    string,
    { readonly pad_below: number[]; readonly plain: Prediction; readonly mirrored: Prediction }
  >;
  readonly state_dict: readonly {
    readonly name: string;
    readonly shape: number[];
    readonly sum: number;
    readonly l2: number;
  }[];
}

const golden = ['golden', 'hippocampus'];
const image = (name: string) =>
  readNifti(sharedBytes('data', 'Dataset004_Hippocampus', 'imagesTr', `${name}_0000.nii.gz`)).volume;
const labelsOf = (name: string) =>
  readNifti(sharedBytes('data', 'Dataset004_Hippocampus', 'labelsTr', `${name}.nii.gz`)).volume.data;

function dice(a: ArrayLike<number>, b: ArrayLike<number>, label: number): number {
  let [both, sum] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    if (a[i] === label) sum++;
    if (b[i] === label) sum++;
    if (a[i] === label && b[i] === label) both++;
  }
  return (2 * both) / sum;
}

const differing = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  let count = 0;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) count++;
  return count;
};

describe.skipIf(!hasShared)('a checkpoint of the authors', () => {
  let expected: Expected;
  let model: Model;
  let halfModel: Model;

  beforeAll(async () => {
    expected = sharedJson<Expected>(...golden, 'expected.json');
    const checkpoint = sharedBytes(...golden, 'checkpoint', 'model_final_checkpoint.model');
    const plans = { bytes: sharedBytes(...golden, 'checkpoint', 'plans.pkl'), name: 'plans.pkl' };
    const imported = await importCheckpoint(checkpoint, {
      name: 'model_final_checkpoint.model',
      plans,
      labels: ['background', 'anterior', 'posterior'],
    });
    expect(imported.notices.length).toBeLessThanOrEqual(1);
    model = await loadModel(await packBundle(imported.manifest, imported.weights, 'float32'));
    halfModel = await loadModel(await packBundle(imported.manifest, imported.weights, 'float16'));
  });

  it('is recognized from its tensors, with every size, and its patch', () => {
    expect(model.settings).toMatchObject({
      inputChannels: 1,
      classes: 3,
      patch: [32, 64, 64],
      stem: [2, 4, 4],
      featureSize: 8,
      dims: [16, 32, 64, 128],
      depths: [3, 3, 3, 3],
      heads: 4,
      projections: [64, 64, 64, 32],
      decoderProjections: [64, 64, 64],
      tokenProjection: 'shared',
      residualBlocks: 1,
      fusion: 'concatenate',
      layout: 'reference',
    });
    expect(model.plan).toMatchObject({
      convention: 'nnunet-v1',
      orientation: null,
      channels: [{ normalization: 'zScore', useMask: false }],
    });
  });

  it('keeps every tensor, name by name', () => {
    const stated = new Map(expected.state_dict.map((entry) => [entry.name, entry]));
    for (const [name, { shape, data }] of model.weights) {
      const { sum, l2, shape: wanted } = stated.get(name)!;
      expect(shape, name).toEqual(wanted);
      let [total, squares] = [0, 0];
      for (const value of data) {
        total += value;
        squares += value * value;
      }
      expect(Math.abs(total - sum), name).toBeLessThan(1e-6 * Math.max(1, Math.abs(sum)));
      expect(Math.abs(Math.sqrt(squares) - l2), name).toBeLessThan(1e-6 * l2);
    }
  });

  it('gives the authors’ logits on the first tile of the ten stored cases', async () => {
    const program = unetrpp(model.settings, { outputs: 'first' });
    const executable = await nodeEngine.compile(program, model.weights);
    for (const [name, { index_name, values_float64 }] of Object.entries(expected.first_tile_logits)) {
      const prepared = prepare(image(name), model.plan);
      const padding = paddingFor(prepared.shape, model.plan.patch);
      expect(padding.before).toEqual(expected.cases[name].pad_below);
      const { volume: padded } = padTo(
        { ...image(name), shape: prepared.shape, data: prepared.image },
        model.plan.patch,
      );
      expect(tileStarts(padded.shape[0], 32, 0.5)[0]).toBe(0);
      // The first tile begins at the corner, and the other axes are as long as the patch.
      const tile = padded.data.slice(0, 32 * 64 * 64);
      const feeds = new Map([['image', { dtype: 'float32', shape: [1, 1, 32, 64, 64], data: tile } as const]]);
      const { data } = (await executable.run(feeds)).get('out1')!;
      const indices = fillInteger(index_name, values_float64.length, data.length);
      for (const [i, index] of indices.entries()) {
        expect(Math.abs(data[index] - values_float64[i]), `${name} ${index}`).toBeLessThan(1e-4);
      }
    }
    await executable.dispose();
  });

  async function compareAll(names: readonly string[], kind: 'plain' | 'mirrored', segmenter: Segmenter) {
    let [voxels, different] = [0, 0];
    const scores: [number, number][] = [];
    for (const name of names) {
      const wanted = expected.cases[name][kind];
      const { labels } = await segmenter.segment(image(name));
      const ties = wanted['near_ties_1e-4'];
      voxels += labels.data.length;
      if (wanted.file) {
        const stored = readNifti(sharedBytes(...golden, wanted.file)).volume.data;
        const count = differing(labels.data, stored);
        expect(count, `${name} ${kind}`).toBeLessThanOrEqual(ties);
        different += count;
      }
      const hash = createHash('sha256').update(labels.data).digest('hex');
      if (ties === 0) expect(hash, `${name} ${kind}`).toBe(wanted.sha256_labels_zyx_uint8);
      const truth = labelsOf(name);
      const score = [1, 2].map((label) => dice(labels.data, truth, label)) as [number, number];
      for (const [i, value] of score.entries()) {
        expect(Math.abs(value - wanted.dice[i]), `${name} ${kind} ${i}`).toBeLessThan(1e-3);
      }
      scores.push(score);
    }
    expect(different / voxels).toBeLessThan(1e-4);
    return [0, 1].map((i) => scores.reduce((sum, score) => sum + score[i], 0) / scores.length);
  }

  it('predicts all 44 validation cases as the authors’ code does, plainly', async () => {
    const segmenter = await createSegmenter(nodeEngine, model);
    const [one, two] = await compareAll(Object.keys(expected.cases), 'plain', segmenter);
    expect(one).toBeCloseTo(expected.mean_dice.plain.label_1, 4);
    expect(two).toBeCloseTo(expected.mean_dice.plain.label_2, 4);
    await segmenter.dispose();
  });

  it('predicts the ten stored cases as the authors’ code does, mirrored', async () => {
    const segmenter = await createSegmenter(nodeEngine, model, { mirror: true });
    await compareAll(expected.stored_predictions, 'mirrored', segmenter);
    await segmenter.dispose();
  });

  it('gives the stored probabilities of both inferences', async () => {
    const { tensors } = readSafetensors(sharedBytes(...golden, 'probabilities.safetensors'));
    for (const mirror of [false, true]) {
      const segmenter = await createSegmenter(nodeEngine, model, { mirror });
      for (const name of expected.stored_probabilities) {
        const { probabilities } = await segmenter.segment(image(name), { probabilities: true });
        const stored = tensors.get(`${name}.${mirror ? 'mirrored' : 'plain'}.probabilities`)!.data as Float32Array;
        let worst = 0;
        probabilities!.data.forEach((value, i) => {
          worst = Math.max(worst, Math.abs(value - stored[i]));
        });
        expect(worst, name).toBeLessThan(2e-5);
      }
      await segmenter.dispose();
    }
  });

  it('loses no Dice that matters when it is stored in 16-bit floats', async () => {
    const segmenter = await createSegmenter(nodeEngine, halfModel);
    for (const name of expected.stored_predictions) {
      const { labels } = await segmenter.segment(image(name));
      const truth = labelsOf(name);
      for (const [i, wanted] of expected.cases[name].plain.dice.entries()) {
        expect(Math.abs(dice(labels.data, truth, i + 1) - wanted), name).toBeLessThan(1e-3);
      }
    }
    await segmenter.dispose();
  });
});
