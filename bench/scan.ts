/**
 * A whole scan of 512 x 512 x 300 voxels, 14 classes, patches of 64 x 128 x 128, half a patch apart, by a small network:
 * where the time goes and the peak memory of the process, on the scan's own grid and resampled for the network and back.
 * Each in a process of its own. `npm run bench -- scan 512x512x100` takes another size (x, y, z).
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Plan } from '../src/dataset/index.ts';
import { nodeEngine } from '../src/engine/node.ts';
import { type UnetrppSettings, unetrpp, unetrppPresets } from '../src/nets/index.ts';
import { createSegmenter, type Model, networkMemory, scanMemory } from '../src/predict/index.ts';
import type { Tensor } from '../src/tensor.ts';
import { readVolumeFile } from '../src/volume/files.node.ts';
import { identityDirection, type Vector3, writeNifti, writeNiftiLabels } from '../src/volume/index.ts';
import { initialize } from '../src/weights/initialization.ts';

const small: UnetrppSettings = {
  ...unetrppPresets.synapse,
  featureSize: 4,
  dims: [8, 8, 16, 16],
  heads: 2,
  projections: [16, 16, 8, 8],
  decoderProjections: [8, 16, 16],
  depths: [1, 1, 1, 1],
  decoderDepths: [1, 1, 1],
};

/** @param spacing that the network wants, mm; null for the scan's own */
function modelOf(spacing: Plan['spacing']): Model {
  const plan: Plan = {
    format: 'unetrpp-plan',
    version: 1,
    configuration: '3d_fullres',
    transposeForward: [0, 1, 2],
    spacing,
    patch: [64, 128, 128],
    channels: [{ name: 'CT', normalization: 'zScore', useMask: false }],
    convention: 'nnunet-v1',
    resampling: { image: 3, imageZ: 0, probabilities: 1, probabilitiesZ: 0, anisotropyThreshold: 3 },
    orientation: null,
    inference: { step: 0.5, mirrorAxes: [0, 1, 2] },
  };
  const labels = Array.from({ length: small.classes }, (_, value) => ({ value, name: `organ ${value}` }));
  return {
    name: 'small',
    manifest: {
      format: 'unetrpp-model',
      version: 1,
      name: 'small',
      description: 'random weights',
      network: { name: 'unetrpp', settings: { ...small } },
      labels,
      plan: {},
      weights: { file: 'weights.safetensors', dtype: 'float32', bytes: 1, sha256: '0'.repeat(64) },
      provenance: { source: 'random', madeBy: 'bench' },
    },
    settings: small,
    plan,
    labels: new Map(labels.map(({ value, name }) => [value, name])),
    weights: initialize(unetrpp(small), 1) as Map<string, Tensor<'float32'>>,
  };
}

/** A ball of tissue with shells of other intensities in noisy air. */
function drawScan(path: string, [nx, ny, nz]: Vector3): void {
  const data = new Int16Array(nx * ny * nz);
  for (let z = 0, at = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++, at++) {
        const r = Math.hypot((2 * x) / nx - 1, (2 * y) / ny - 1);
        const noise = ((at * 2654435761) >>> 24) / 8;
        data[at] = (r > 0.9 ? -1000 : 60 * Math.cos(12 * r) + 40 * Math.sin(z / 10)) + noise;
      }
    }
  }
  const volume = {
    shape: [nz, ny, nx] as const,
    spacing: [0.8, 0.8, 1.5] as const,
    origin: [0, 0, 0] as const,
    direction: identityDirection,
    channels: 1,
    data,
  };
  writeFileSync(path, writeNifti(volume));
}

async function segmentHere(path: string, resampled: boolean, out: string) {
  const start = performance.now();
  const { volume, header } = await readVolumeFile(path);
  const read = performance.now();
  const model = modelOf(resampled ? [1.5, 1.5, 1.5] : null);
  const estimate = networkMemory(nodeEngine, model) + scanMemory(model, volume);
  const segmenter = await createSegmenter(nodeEngine, model, { device: 'cpu' });
  const ready = performance.now();
  const { labels, seconds } = await segmenter.segment(volume);
  const segmented = performance.now();
  await writeFileSync(out, writeNiftiLabels(labels, { source: header }));
  const written = performance.now();
  const all = { reading: read - start, compiling: ready - read, writing: written - segmented };
  const rest = Object.fromEntries(Object.entries(seconds).map(([name, value]) => [name, value * 1000]));
  // maxRSS is in kilobytes of 1024 bytes.
  return { milliseconds: { ...all, ...rest }, estimate, peak: process.resourceUsage().maxRSS * 1024 };
}

const [first, path, out] = process.argv.slice(2);
if (path !== undefined) {
  process.stdout.write(JSON.stringify(await segmentHere(path, first === 'resampled', out)));
} else {
  const size = (first ?? '512x512x300').split('x').map(Number) as unknown as Vector3;
  const folder = mkdtempSync(join(tmpdir(), 'unetrpp-bench-'));
  try {
    const scan = join(folder, 'scan.nii.gz');
    drawScan(scan, size);
    for (const grid of ['own', 'resampled']) {
      const child = spawnSync(
        process.execPath,
        [...process.execArgv, fileURLToPath(import.meta.url), grid, scan, join(folder, 'mask.nii.gz')],
        { encoding: 'utf8' },
      );
      if (child.status !== 0) throw new Error(child.stderr);
      const { milliseconds, estimate, peak } = JSON.parse(child.stdout) as Awaited<ReturnType<typeof segmentHere>>;
      const total = Object.values(milliseconds).reduce((sum, value) => sum + value, 0);
      console.log(`${size.join(' x ')} voxels, ${grid} grid: ${(total / 1000).toFixed(1)} s`);
      for (const [name, value] of Object.entries(milliseconds)) {
        console.log(
          `  ${name.padEnd(12)}${(value / 1000).toFixed(1).padStart(7)} s  ${((100 * value) / total).toFixed(1)} %`,
        );
      }
      console.log(`  peak memory ${(peak / 1e9).toFixed(2)} GB, estimated ${(estimate / 1e9).toFixed(2)} GB`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}
