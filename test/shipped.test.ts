/** What ships works by itself: the model bundle, the example scans, and the same mask from both runtimes. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { nodeEngine } from '../src/engine/node.ts';
import { webEngine } from '../src/engine/web.ts';
import { dice, overlaps } from '../src/evaluate/index.ts';
import { openModel, readVolumeFile, segment } from '../src/index.node.ts';
import { segmentOnce } from '../src/predict/index.ts';
import { hasShared, sharedPath } from './shared.ts';

const path = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url));

describe('the shipped model on the shipped scans', () => {
  for (const name of ['hippocampus_099', 'hippocampus_319']) {
    it(`${name}: finds both parts, of a plausible size, with WebAssembly as with the native runtime`, async () => {
      const model = await openModel(path('models/hippocampus'));
      const { volume } = await readVolumeFile(path(`examples/${name}.nii.gz`));
      const { labels } = await segment(model, volume);
      const voxels = [1, 2].map((label) => labels.data.filter((value) => value === label).length);
      for (const count of voxels) {
        expect(count).toBeGreaterThan(800);
        expect(count).toBeLessThan(3000);
      }
      const web = await segmentOnce(webEngine, model, volume);
      const different = labels.data.filter((value, i) => value !== web.labels.data[i]).length;
      expect(different / labels.data.length).toBeLessThan(1e-4);
    });
  }

  it('is the same network whether it is asked once or compiled by hand', async () => {
    const model = await openModel(path('models/hippocampus'));
    const { volume } = await readVolumeFile(path('examples/hippocampus_319.nii.gz'));
    const once = await segmentOnce(nodeEngine, model, volume);
    const twice = await segment(model, volume, { threads: 1 });
    expect(twice.labels.data).toEqual(once.labels.data);
  });
});

interface Scored {
  readonly name: string;
  readonly dice: Readonly<Record<string, number>>;
}

describe('the results that are published of the shipped model', () => {
  const results = JSON.parse(readFileSync(path('docs/results/hippocampus.json'), 'utf8')) as {
    readonly model: { readonly weights: { readonly sha256: string } };
    readonly labels: readonly string[];
    readonly landmarks: Readonly<Record<string, Scored>>;
    readonly mirrored: { readonly cases: readonly Scored[] };
  };

  it('are of these weights, which have 16 bits, a license, and the names of the data set', async () => {
    const { manifest, labels } = await openModel(path('models/hippocampus'));
    expect(results.model.weights.sha256).toBe(manifest.weights.sha256);
    expect(manifest.weights.dtype).toBe('float16');
    expect(manifest.weights.bytes).toBeLessThan(12e6);
    expect(manifest.provenance).toMatchObject({
      license: 'CC-BY-SA 4.0',
      dataset: { cases: 220 },
      split: { fold: 0, training: 176, validation: 44 },
    });
    expect([...labels.values()]).toEqual(['background', 'Anterior', 'Posterior']);
    expect(results.labels).toEqual(['Anterior', 'Posterior']);
  });

  it.skipIf(!hasShared).each([false, true])(
    'come out again for the best, the median and the worst case, mirrored: %s',
    async (mirror) => {
      const model = await openModel(path('models/hippocampus'));
      const scan = (...parts: string[]) => readVolumeFile(sharedPath('data', 'Dataset004_Hippocampus', ...parts));
      for (const { name, dice: plain } of Object.values(results.landmarks)) {
        const published = mirror ? results.mirrored.cases.find((each) => each.name === name)!.dice : plain;
        const { volume } = await scan('imagesTr', `${name}_0000.nii.gz`);
        const { volume: reference } = await scan('labelsTr', `${name}.nii.gz`);
        const { labels } = await segment(model, volume, { mirror });
        const counts = overlaps(reference, labels, [1, 2]);
        for (const value of [1, 2]) {
          // A voxel or two may fall otherwise on another processor.
          expect(Math.abs(dice(counts.get(value)!, 'nan') - published[model.labels.get(value)!]), name).toBeLessThan(
            1e-3,
          );
        }
      }
    },
  );
});
