/**
 * ONNX Runtime in Node: CPU everywhere, CUDA where its libraries are installed, WebGPU where there is a GPU.
 *
 * One session at a time in one process is the safe way; several sessions in worker threads have crashed processes.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as ort from 'onnxruntime-node';
import { encodeModel } from '../onnx/index.ts';
import { foldParameters, lower, memoryNeed } from '../program/index.ts';
import { elementCount } from '../tensor.ts';
import {
  type CompileOptions,
  checkFeeds,
  chooseDevice,
  type DeviceName,
  type DeviceReport,
  type Engine,
  outputBuffers,
  sessionOptions,
  stateRead,
  updatedBy,
  updateOf,
} from './engine.ts';
import { type Load, placementOptions, selfTester } from './selfTest.ts';
import { sessionModel } from './sessionModel.ts';

function cudaReport(): DeviceReport {
  const libraries = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  const provider = join(
    libraries,
    'bin',
    'napi-v6',
    process.platform,
    process.arch,
    'libonnxruntime_providers_cuda.so',
  );
  const supported = ort.listSupportedBackends().some(({ name }) => name === 'cuda');
  if (!supported) {
    return {
      device: 'cuda',
      available: false,
      detail: 'ONNX Runtime for Node offers CUDA on Linux x64 and Windows x64 only.',
    };
  }
  if (process.platform === 'linux' && !existsSync(provider)) {
    const how =
      'Run `npm rebuild onnxruntime-node --onnxruntime-node-install=cuda12` (downloads about 300 MB) on a machine with CUDA 12 and cuDNN 9.';
    return { device: 'cuda', available: false, detail: `ONNX Runtime's CUDA library is not installed. ${how}` };
  }
  return { device: 'cuda', available: true, detail: 'NVIDIA GPU through CUDA 12' };
}

function withoutWebgpu(): DeviceReport[] {
  const cpu: DeviceReport = { device: 'cpu', available: true, detail: `${availableParallelism()} threads` };
  const cuda = cudaReport();
  return cuda.available ? [cuda, cpu] : [cpu, cuda];
}

let webgpuReport: Promise<DeviceReport> | undefined;

/** The only way to learn whether a GPU can be used is to make a session; it throws within milliseconds when not. */
function probeWebgpu(): Promise<DeviceReport> {
  webgpuReport ??= (async (): Promise<DeviceReport> => {
    const one = { name: 'x', dtype: 'float32', shape: [1] } as const;
    const model = encodeModel({
      graphName: 'probe',
      opset: 18,
      nodes: [{ type: 'Neg', domain: '', name: 'y', inputs: ['x'], outputs: ['y'], attributes: {} }],
      initializers: [],
      inputs: [one],
      outputs: [{ ...one, name: 'y' }],
      metadata: {},
    });
    try {
      const session = await ort.InferenceSession.create(model, { executionProviders: ['webgpu'], logSeverityLevel: 4 });
      await session.release();
      return { device: 'webgpu', available: true, detail: 'GPU through WebGPU (Dawn)' };
    } catch {
      const detail = 'no GPU with a Vulkan, Metal or Direct3D 12 driver was found; install the driver of your GPU.';
      return { device: 'webgpu', available: false, detail };
    }
  })();
  return webgpuReport;
}

const loadChecked = selfTester();

/** Bytes from which a collection, some milliseconds, is little beside a step and much is to be had. */
const largeState = 2 ** 26;

let collector: (() => void) | undefined;

/**
 * Compiling leaves copies of all weights behind, which the garbage collector sees no hurry to free: its own memory is hardly
 * touched by them. Before the runtime asks for the memory of the first run they should be gone.
 */
function collectGarbage(): void {
  if (!collector) {
    setFlagsFromString('--expose-gc');
    collector = runInNewContext('gc') as () => void;
  }
  collector();
}

/** Memory of arrays is given back a moment after their collection, and what a promise held goes in the next one only. */
async function collectAll(): Promise<void> {
  for (let round = 0; round < 2; round++) {
    collectGarbage();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export const nodeEngine: Engine = {
  name: 'ONNX Runtime for Node',

  async devices() {
    return [...withoutWebgpu(), await probeWebgpu()];
  },

  /**
   * The shape of the sum is known, its three factors are measured (bench/memory.ts): the process itself, the runtime's
   * copies of the weights (as given, as constants of its kernels, in its own order), and the live activations, which it
   * reorders for its convolution kernels.
   */
  memoryEstimate(program, options = {}) {
    const lowered = lower(program, options.device ?? 'cpu', options.lowerings);
    const need = memoryNeed(lowered);
    const state = program.parameters.filter(({ name }) => program.outputs.has(updateOf(name)));
    if (state.length > 0) {
      // A step of training, bench/train.ts: the process, the runtime's records of the operations, the state and the copies
      // of it that the runtime's binding hands out, and what the runtime plans for intermediate results. Its arena grows by
      // doubling, and keeps what it has.
      const bytes = state.reduce((sum, { shape }) => sum + 4 * elementCount(shape), 0);
      const growth = options.memoryArena === false ? 1 : 1.35;
      return 140e6 + 8e3 * lowered.operations.length + 2.23 * bytes + growth * need.planned;
    }
    return 100e6 + 3.7 * need.parameters + 1.85 * need.activations;
  },

  async compile(program, weights, options: CompileOptions = {}) {
    // Unasked, the WebGPU probe is left out: it is not chosen by itself, and its driver search prints warnings.
    const reports = options.device === 'webgpu' ? await this.devices() : withoutWebgpu();
    const device = chooseDevice(reports, options.device);
    const lowered = foldParameters(lower(program, device, options.lowerings), weights);
    const load = loader(device, options);
    const executable =
      device === 'cpu'
        ? await load(lowered.program, lowered.weights, 'cpuAllowed')
        : await loadChecked(lowered.program, lowered.weights, device, 'cpu', load);
    return { ...executable, program };
  },
};

/** Makes sessions for a device. */
function loader(device: DeviceName, options: CompileOptions): Load {
  return async (program, weights, placement) => {
    const { model, externalData } = sessionModel(program, weights);
    const { logSeverityLevel, session } = placementOptions(placement);
    const made = await ort.InferenceSession.create(model, {
      externalData,
      executionProviders: [device],
      intraOpNumThreads: options.threads ?? availableParallelism(),
      interOpNumThreads: 1,
      executionMode: 'sequential',
      ...sessionOptions(options),
      logSeverityLevel,
      extra: { session: { ...session, intra_op: { allow_spinning: options.spinning ? '1' : '0' } } },
    });

    const state = options.state ?? new Map();
    const results = outputBuffers(program, state);
    const outputs: Record<string, ort.Tensor> = {};
    for (const [name, { shape }] of program.outputs) {
      const { data } = results.get(name) ?? updatedBy(name, state)!;
      outputs[name] = new ort.Tensor('float32', data, shape);
    }
    const held: Record<string, ort.Tensor> = {};
    for (const [name, { data, shape }] of stateRead(program, state))
      held[name] = new ort.Tensor('float32', data, shape);
    const stateBytes = [...state.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
    let disposed = false;
    let fresh = true;
    return {
      device,
      program,
      notices: [],
      async run(feeds) {
        if (disposed) throw new Error('this executable has been disposed of');
        if (fresh) await collectAll();
        fresh = false;
        checkFeeds(program, feeds);
        const inputs: Record<string, ort.Tensor> = { ...held };
        for (const [name, value] of feeds) {
          inputs[name] = new ort.Tensor(value.dtype as 'float32', value.data as Float32Array, value.shape);
        }
        await made.run(inputs, outputs);
        // The runtime's binding also hands out a copy of every output; those of a large state would pile up.
        if (stateBytes > largeState) await collectAll();
        return results;
      },
      async dispose() {
        if (disposed) return;
        disposed = true;
        await made.release();
      },
    };
  };
}
