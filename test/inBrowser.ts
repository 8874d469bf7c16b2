/**
 * What browser.test.ts has a real browser do: bundled, loaded by an empty page, and called by name. Arguments and results
 * go through JSON.
 */
import { webEngine } from '../src/engine/web.ts';
import { loadModel, readNifti, type SegmenterOptions, segment } from '../src/index.ts';
import { operatorCase, operatorCases, worstAt } from './operator-cases.ts';
import { hardmax, programOf, wrongSoftmax } from './planted.ts';
import { tenSteps } from './tenSteps.ts';

async function fetched(path: string): Promise<Uint8Array> {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** Segments a scan through the public entry, as an application would. */
export async function segmentScan(bundle: string, scan: string, options: SegmenterOptions) {
  const manifest = await fetched(`${bundle}/model.json`);
  const model = await loadModel({ manifest, weights: await fetched(`${bundle}/weights.safetensors`) });
  const { volume } = readNifti(await fetched(scan));
  const start = performance.now();
  const { labels, probabilities, notices } = await segment(model, volume, { ...options, probabilities: true });
  return {
    labels: [...labels.data],
    probabilities: [...probabilities!.data],
    notices,
    milliseconds: performance.now() - start,
  };
}

export async function devices() {
  return { isolated: crossOriginIsolated, reports: await webEngine.devices() };
}

/** Runs a case of operator-cases.ts: the values where they differ most. */
export async function runCase(index: number, device: 'wasm' | 'webgpu') {
  const { program, feeds, weights, expected } = operatorCase(operatorCases[index]);
  const executable = await webEngine.compile(program, weights, { device });
  const { shape, data } = (await executable.run(feeds)).get('y')!;
  await executable.dispose();
  const at = worstAt(data, expected.data);
  return {
    shape,
    expectedShape: expected.shape,
    got: data[at],
    expected: expected.data[at],
    notices: executable.notices,
  };
}

/** Compiles a program with a planted fault for WebGPU, and runs it where it compiles. */
export async function runPlanted(name: 'hardmax' | 'wrongSoftmax') {
  const program = programOf({ hardmax, wrongSoftmax }[name], [1, 4]);
  const executable = await webEngine.compile(program, new Map(), { device: 'webgpu' });
  const feeds = new Map([['x', { dtype: 'float32', shape: [1, 4], data: Float32Array.of(1, 4, 2, 3) } as const]]);
  const result = [...(await executable.run(feeds)).get('y')!.data];
  await executable.dispose();
  return { result, notices: executable.notices };
}

export const trainTenSteps = (threads: number) => tenSteps(webEngine, { device: 'wasm', threads });

/** Compiles with a number of threads of its own. */
export async function compileWith(threads: number | undefined) {
  const { program, weights } = operatorCase(operatorCases[0]);
  const executable = await webEngine.compile(program, weights, { device: 'wasm', threads });
  await executable.dispose();
}
