import { describe, expect, it } from 'vitest';
import { tinyModel, tinyScan } from '../../test/bundle.ts';
import type { Engine, Executable } from '../engine/engine.ts';
import { nodeEngine } from '../engine/node.ts';
import { InputError } from '../errors.ts';
import { indexToWorld, reorient, worldToIndex } from '../volume/index.ts';
import type { Progress } from './progress.ts';
import { createSegmenter, segmentOnce } from './segmenter.ts';

const scan = tinyScan;

const histogram = (data: ArrayLike<number>) => {
  const counts: Record<number, number> = {};
  for (let i = 0; i < data.length; i++) counts[data[i]] = (counts[data[i]] ?? 0) + 1;
  return counts;
};

describe('segment', () => {
  it('gives a label map on the scan’s own grid, as the smallest integers, with names', async () => {
    const { labels, probabilities, notices } = await segmentOnce(nodeEngine, tinyModel(), scan);
    expect(labels).toMatchObject({
      shape: scan.shape,
      spacing: scan.spacing,
      origin: scan.origin,
      direction: scan.direction,
    });
    expect(labels.data).toBeInstanceOf(Uint8Array);
    expect(labels.labels.get(2)).toBe('part 2');
    // The random network must say more than one thing, or these tests see nothing.
    expect(Object.keys(histogram(labels.data)).length).toBe(3);
    expect(probabilities).toBeUndefined();
    expect(notices).toEqual([]);
  });

  it('gives probabilities that sum to 1 and whose largest is the label', async () => {
    for (const convention of ['nnunet-v1', 'nnunet-v2'] as const) {
      const { labels, probabilities } = await segmentOnce(nodeEngine, tinyModel({ convention }), scan, {
        probabilities: true,
      });
      const voxels = labels.data.length;
      const data = probabilities!.data;
      for (let i = 0; i < voxels; i++) {
        const values = [data[i], data[voxels + i], data[2 * voxels + i]];
        expect(values[0] + values[1] + values[2]).toBeCloseTo(1, 5);
        expect(values[labels.data[i]]).toBe(Math.max(...values));
      }
    }
  });

  it('does not depend on the orientation in which the scan is stored, when the plan names one', async () => {
    const segmenter = await createSegmenter(nodeEngine, tinyModel({ orientation: 'RAS' }));
    const expected = (await segmenter.segment(reorient(scan, 'RAS'))).labels;
    for (const code of ['LPS', 'SAR', 'PIL', 'IRA', 'ALS', 'RIP']) {
      const turned = reorient(scan, code);
      const { labels } = await segmenter.segment(turned);
      expect(labels).toMatchObject({ shape: turned.shape, origin: turned.origin, direction: turned.direction });
      const [depth, height, width] = labels.shape;
      for (let k = 0; k < depth; k++) {
        for (let j = 0; j < height; j++) {
          for (let i = 0; i < width; i++) {
            const [x, y, z] = worldToIndex(expected, indexToWorld(labels, [i, j, k])).map(Math.round);
            const there = expected.data[(z * expected.shape[1] + y) * expected.shape[2] + x];
            if (labels.data[(k * height + j) * width + i] !== there) throw new Error(`${code}: ${i}, ${j}, ${k}`);
          }
        }
      }
    }
    await segmenter.dispose();
  });

  it('follows the stored axes when the plan names no orientation', async () => {
    const segmenter = await createSegmenter(nodeEngine, tinyModel());
    const [one, other] = [
      await segmenter.segment(scan),
      await segmenter.segment({ ...scan, direction: [-1, 0, 0, 0, -1, 0, 0, 0, 1] }),
    ];
    expect(other.labels.data).toEqual(one.labels.data);
    await segmenter.dispose();
  });

  it('undoes a transposition of the plan: a transposed scan with transposed axes gives the transposed mask', async () => {
    const turned = reorient(scan, 'SPL');
    const [plain, transposed] = [
      await segmentOnce(nodeEngine, tinyModel({ transposeForward: [2, 1, 0] }), scan),
      await segmentOnce(nodeEngine, tinyModel(), turned),
    ];
    expect(reorient(transposed.labels, 'LPS').data).toEqual(plain.labels.data);
  });

  it('resamples to the plan’s spacing and back, and says so', async () => {
    const { labels, notices } = await segmentOnce(nodeEngine, tinyModel({ spacing: [1, 1, 1] }), scan);
    expect(labels.shape).toEqual(scan.shape);
    expect(notices).toEqual(['Resampled from 2 x 1 x 1.5 mm to 1 x 1 x 1 mm for the network, and back for the mask.']);
  });

  it('crops air away, and labels it background', async () => {
    const data = new Float32Array(10 * 9 * 24);
    for (let row = 0; row < 90; row++) data.set(scan.data.subarray(row * 12, row * 12 + 12), row * 24 + 5);
    const wide = { ...scan, shape: [10, 9, 24] as const, data };
    const [cropped, whole] = [
      await segmentOnce(nodeEngine, tinyModel(), wide),
      await segmentOnce(nodeEngine, tinyModel(), scan),
    ];
    for (let row = 0; row < 90; row++) {
      const line = [...cropped.labels.data.subarray(row * 24, row * 24 + 24)];
      expect(line.slice(5, 17)).toEqual([...whole.labels.data.subarray(row * 12, row * 12 + 12)]);
      expect([...line.slice(0, 5), ...line.slice(17)].every((label) => label === 0)).toBe(true);
    }
  });

  it('writes regions in their order, later over earlier', async () => {
    const regions = [
      { name: 'whole', labels: [1, 2] },
      { name: 'core', labels: [2] },
    ];
    const model = tinyModel({ regions, regionsClassOrder: [1, 2] }, 2);
    const { labels, probabilities } = await segmentOnce(nodeEngine, model, scan, { probabilities: true });
    const [whole, core] = [probabilities!.data.subarray(0, 1080), probabilities!.data.subarray(1080)];
    for (let i = 0; i < 1080; i++) expect(labels.data[i]).toBe(core[i] > 0.5 ? 2 : whole[i] > 0.5 ? 1 : 0);
  });

  it('keeps the largest component of the labels that the plan names', async () => {
    const { labels } = await segmentOnce(nodeEngine, tinyModel({ keepLargestComponents: [[1], [2]] }), scan);
    const before = histogram((await segmentOnce(nodeEngine, tinyModel(), scan)).labels.data);
    const after = histogram(labels.data);
    expect(after[1]).toBeLessThan(before[1]);
    expect(after[1]).toBeGreaterThan(0);
  });

  it('takes another patch, with a notice', async () => {
    const { labels, notices } = await segmentOnce(nodeEngine, tinyModel(), scan, { patch: [16, 16, 16] });
    expect(labels.shape).toEqual(scan.shape);
    expect(notices[0]).toContain('trained at a patch of 8x8x8; for 16x16x16');
  });

  it('gives the same mask whatever the batch, and both conventions with mirrors', async () => {
    for (const convention of ['nnunet-v1', 'nnunet-v2'] as const) {
      const model = tinyModel({ convention });
      const one = await segmentOnce(nodeEngine, model, scan, { mirror: true, probabilities: true });
      const three = await segmentOnce(nodeEngine, model, scan, { mirror: true, probabilities: true, batch: 3 });
      expect(three.labels.data).toEqual(one.labels.data);
      three.probabilities!.data.forEach((value, i) => {
        expect(value).toBeCloseTo(one.probabilities!.data[i], 5);
      });
    }
  });

  it('skips tiles of air when asked to: background there, and the network is not asked', async () => {
    const data = new Float32Array(10 * 9 * 60);
    for (let row = 0; row < 90; row++) data.set(scan.data.subarray(row * 12, row * 12 + 12), row * 60 + 48);
    // A voxel at the other end, so that nothing is cropped away.
    data[0] = 1;
    const wide = { ...scan, shape: [10, 9, 60] as const, data };
    let runs = 0;
    const counting: Engine = {
      ...nodeEngine,
      async compile(...given) {
        const executable = await nodeEngine.compile(...given);
        const run: Executable['run'] = (feeds) => {
          runs++;
          return executable.run(feeds);
        };
        return { ...executable, run };
      },
    };
    const plain = await segmentOnce(counting, tinyModel(), wide, { probabilities: true });
    const plainRuns = runs;
    runs = 0;
    let tiles = 0;
    const skipped = await segmentOnce(counting, tinyModel(), wide, {
      skipEmpty: true,
      probabilities: true,
      onProgress: ({ stage, done }) => {
        if (stage === 'network') tiles = done;
      },
    });
    // All tiles are counted: 2 x 2 x 14.
    expect(tiles).toBe(56);
    const voxels = 10 * 9 * 60;
    for (let row = 0; row < 90; row++) {
      // No tile of air reaches beyond 47.
      for (const x of [48, 50, 59]) {
        const at = row * 60 + x;
        expect(skipped.labels.data[at]).toBe(plain.labels.data[at]);
      }
      for (const x of [10, 30])
        expect(skipped.probabilities!.data.slice(row * 60 + x, row * 60 + x + 1)).toEqual(Float32Array.of(1));
    }
    expect(skipped.probabilities!.data[voxels + 30]).toBe(0);
    // Eleven of fourteen positions along x hold only air, in all four rows of tiles.
    expect(runs).toBe(plainRuns - 44);
  });

  it('passes on what the engine says of the device', async () => {
    const slow: Engine = {
      ...nodeEngine,
      compile: async (...given) => ({ ...(await nodeEngine.compile(...given)), notices: ['The GPU is asleep.'] }),
    };
    expect((await segmentOnce(slow, tinyModel(), scan, { step: 1 })).notices).toEqual(['The GPU is asleep.']);
  });

  it('reports every tile, and stops between two when it is aborted', async () => {
    const seen: Progress[] = [];
    await segmentOnce(nodeEngine, tinyModel(), scan, { onProgress: (progress) => seen.push(progress) });
    expect(seen[0]).toEqual({ stage: 'preparing', done: 0, total: 0 });
    expect(seen.filter(({ stage }) => stage === 'network').map(({ done, total }) => `${done}/${total}`)).toEqual(
      Array.from({ length: 9 }, (_, index) => `${index}/8`),
    );
    expect(seen.at(-1)).toEqual({ stage: 'restoring', done: 0, total: 0 });

    const stop = new AbortController();
    let tiles = 0;
    const aborted = segmentOnce(nodeEngine, tinyModel(), scan, {
      signal: stop.signal,
      onProgress: ({ stage, done }) => {
        if (stage === 'network') tiles = done;
        if (tiles === 3) stop.abort(new Error('enough'));
      },
    });
    await expect(aborted).rejects.toThrow('enough');
    expect(tiles).toBe(3);
  });
});

describe('what cannot be segmented', () => {
  it('is a scan with another number of channels', async () => {
    const two = { ...scan, channels: 2, data: new Float32Array(2 * 1080) };
    const attempt = segmentOnce(nodeEngine, tinyModel(), two);
    await expect(attempt).rejects.toThrow(InputError);
    await expect(attempt).rejects.toThrow('The scan has 2 channels and the model tiny takes 1 (MR)');
  });

  it('is an illegal patch or step, before anything is compiled', async () => {
    await expect(createSegmenter(nodeEngine, tinyModel(), { patch: [8, 8, 9] })).rejects.toThrow(
      'The nearest legal patches are 8x8x8',
    );
    await expect(createSegmenter(nodeEngine, tinyModel(), { step: 0 })).rejects.toThrow(InputError);
    await expect(createSegmenter(nodeEngine, tinyModel(), { batch: 1.5 })).rejects.toThrow(InputError);
  });

  it('is a device that is not there', async () => {
    await expect(createSegmenter(nodeEngine, tinyModel(), { device: 'wasm' })).rejects.toThrow(
      "There is no device 'wasm'",
    );
  });
});
