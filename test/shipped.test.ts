/** What ships works by itself: the model bundle, the example scans, and the same mask from both runtimes. */
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { nodeEngine } from '../src/engine/node.ts';
import { webEngine } from '../src/engine/web.ts';
import { openModel, readVolumeFile, segment } from '../src/index.node.ts';
import { segmentOnce } from '../src/predict/index.ts';

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
