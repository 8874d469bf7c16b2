/**
 * Whole scans, 14 classes, patches of 64 x 128 x 128, half a patch apart: where the time goes and the peak memory. A scan of
 * 512 x 512 x 300 voxels by a small network, on its own grid and resampled for the network and back; a smaller one by the
 * Synapse network, whose time counts. Each in a process of its own. `npm run bench -- scan [NETWORK SIZE GRID [MODELS]]`, such
 * as `small 512x512x100 own` (x, y, z), runs one of them; `small 512x512x100 resampled 5` an ensemble of five.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Plan } from '../src/dataset/index.ts';
import { nodeEngine } from '../src/engine/node.ts';
import { type UnetrppSettings, unetrpp, unetrppPresets } from '../src/nets/index.ts';
import {
  createSegmenter,
  type Ensemble,
  ensembleOf,
  type Model,
  networkMemory,
  scanMemory,
} from '../src/predict/index.ts';
import type { Tensor } from '../src/tensor.ts';
import { encodeLabels, readVolumeFile } from '../src/volume/files.node.ts';
import { identityDirection, type Vector3, writeNifti } from '../src/volume/index.ts';
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
const networks: Record<string, UnetrppSettings> = { small, synapse: unetrppPresets.synapse };

function modelOf(settings: UnetrppSettings, spacing: Plan['spacing'], seed: number): Model {
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
  const labels = Array.from({ length: settings.classes }, (_, value) => ({ value, name: `organ ${value}` }));
  return {
    name: 'random',
    manifest: {
      format: 'unetrpp-model',
      version: 1,
      name: 'random',
      description: 'random weights',
      network: { name: 'unetrpp', settings: { ...settings } },
      labels,
      plan: {},
      weights: { file: 'weights.safetensors', dtype: 'float32', bytes: 1, sha256: '0'.repeat(64) },
      provenance: { source: 'random', madeBy: 'bench' },
    },
    settings,
    plan,
    labels: new Map(labels.map(({ value, name }) => [value, name])),
    weights: initialize(unetrpp(settings), seed) as Map<string, Tensor<'float32'>>,
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

async function segmentHere(path: string, network: string, grid: string, models: number, out: string) {
  const start = performance.now();
  const { volume, header } = await readVolumeFile(path);
  const read = performance.now();
  const spacing: Plan['spacing'] = grid === 'resampled' ? [1.5, 1.5, 1.5] : null;
  const one = (_: unknown, index: number) => modelOf(networks[network], spacing, index + 1);
  let model: Model | Ensemble | undefined = models === 1 ? one(0, 0) : ensembleOf(Array.from({ length: models }, one));
  const estimate = networkMemory(nodeEngine, model) + scanMemory(model, volume);
  const drawn = performance.now();
  const opening = createSegmenter(nodeEngine, model, { device: 'cpu' });
  model = undefined;
  const segmenter = await opening;
  const ready = performance.now();
  const { labels, seconds } = await segmenter.segment(volume);
  const segmented = performance.now();
  writeFileSync(out, await encodeLabels(labels, '.nii.gz', header));
  const written = performance.now();
  return {
    seconds: {
      reading: (read - start) / 1000,
      compiling: (ready - drawn) / 1000,
      ...seconds,
      writing: (written - segmented) / 1000,
    },
    estimate,
    // maxRSS is in kilobytes of 1024 bytes.
    peak: process.resourceUsage().maxRSS * 1024,
  };
}

function report(network: string, size: string, grid: string, models = '1'): void {
  const folder = mkdtempSync(join(tmpdir(), 'unetrpp-bench-'));
  try {
    const scan = join(folder, 'scan.nii.gz');
    drawScan(scan, size.split('x').map(Number) as unknown as Vector3);
    const child = spawnSync(
      process.execPath,
      [...process.execArgv, fileURLToPath(import.meta.url), scan, network, grid, models, join(folder, 'mask.nii.gz')],
      // As the program itself is started, see cli/main.ts.
      { encoding: 'utf8', env: { ...process.env, MALLOC_TRIM_THRESHOLD_: '131072' } },
    );
    if (child.status !== 0) throw new Error(child.stderr);
    const { seconds, estimate, peak } = JSON.parse(child.stdout) as Awaited<ReturnType<typeof segmentHere>>;
    const total = Object.values(seconds).reduce((sum, value) => sum + value, 0);
    console.log(
      `${size} voxels, ${models === '1' ? '' : `${models} models of the `}${network} network, ${grid} grid: ${total.toFixed(1)} s`,
    );
    for (const [name, value] of Object.entries(seconds)) {
      console.log(`  ${name.padEnd(12)}${value.toFixed(1).padStart(7)} s  ${((100 * value) / total).toFixed(1)} %`);
    }
    console.log(`  peak memory ${(peak / 1e9).toFixed(2)} GB, estimated ${(estimate / 1e9).toFixed(2)} GB`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const [first, network, grid, models, out] = process.argv.slice(2);
if (out !== undefined) {
  process.stdout.write(JSON.stringify(await segmentHere(first, network, grid, Number(models), out)));
} else if (grid !== undefined) {
  report(first, network, grid, models);
} else {
  report('synapse', '256x256x128', 'own');
  report('synapse', '384x384x128', 'resampled');
  report('small', '512x512x300', 'own');
  report('small', '512x512x300', 'resampled');
  report('small', '512x512x300', 'resampled', '5');
}
