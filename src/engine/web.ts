/**
 * ONNX Runtime in the browser: WebAssembly everywhere, WebGPU where the browser has it. Also runs in Node (WebAssembly, one
 * thread), where the tests use it.
 *
 * The runtime's two builds are loaded when they are needed: `onnxruntime-web/webgpu` is the native WebGPU provider; the
 * package's default entry is an older one that gives silently wrong results for grouped convolutions.
 */
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-common';
import { InputError } from '../errors.ts';
import { foldParameters, lower, memoryNeed } from '../program/index.ts';
import type { Tensor } from '../tensor.ts';
import {
  type CompileOptions,
  checkFeeds,
  chooseDevice,
  type DeviceReport,
  type Engine,
  sessionOptions,
  stateRead,
  updatedBy,
} from './engine.ts';
import { type Load, placementOptions, selfTester } from './selfTest.ts';
import { sessionModel } from './sessionModel.ts';

type Runtime = typeof import('onnxruntime-web/wasm');
type WebDevice = 'wasm' | 'webgpu';

/**
 * The most threads that are asked for unasked. Each takes a worker and its stack; the network's lower levels are too small
 * to feed more, and what browsers call a core is often half of one.
 */
const mostThreads = 8;

/** Several threads need memory that is shared between them, which browsers give only to cross-origin isolated pages. */
function threadsHere(): number {
  const isolated = typeof crossOriginIsolated !== 'undefined' && crossOriginIsolated;
  return isolated ? Math.min(navigator.hardwareConcurrency ?? 1, mostThreads) : 1;
}

/** Threads of each build of the runtime that has been started: they are given to it once. */
const threadsOf = new Map<WebDevice, number>();

/** @throws InputError when the runtime's script cannot be loaded, or has been started with another number of threads */
async function loadRuntime(device: WebDevice, wanted: number | undefined): Promise<Runtime> {
  const started = threadsOf.get(device);
  if (started !== undefined && wanted !== undefined && wanted !== started) {
    throw new InputError(
      `${wanted} threads were asked for, but the runtime of this page has been started with ${started}, and keeps them until the page is loaded again; ask for ${started} or leave the number out.`,
    );
  }
  try {
    const runtime = device === 'webgpu' ? await import('onnxruntime-web/webgpu') : await import('onnxruntime-web/wasm');
    if (started === undefined) {
      runtime.env.wasm.numThreads = wanted ?? threadsHere();
      threadsOf.set(device, runtime.env.wasm.numThreads);
    }
    return runtime;
  } catch (cause) {
    throw cannotStart(cause);
  }
}

/** What the runtime says when it itself could not be started, as against a model that it refuses. */
const startFailure = /no available backend found|initializeWebAssembly|initWasm|dynamically imported module/i;

function cannotStart(cause: unknown): InputError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new InputError(
    `The runtime could not be started (${why}). Its files ort-wasm-*.wasm and ort-wasm-*.mjs, from the package onnxruntime-web, must lie where the page's scripts look for them; the browser's network log names what is missing. Then load the page again.`,
    { cause },
  );
}

interface GpuAdapter {
  readonly info?: { readonly vendor: string; readonly architecture: string; readonly isFallbackAdapter?: boolean };
}

async function webgpuReport(): Promise<DeviceReport> {
  const { gpu } = (globalThis.navigator ?? {}) as { gpu?: { requestAdapter(): Promise<GpuAdapter | null> } };
  if (!gpu) {
    const detail =
      'this browser does not offer WebGPU; use a current Chrome, Edge, Safari or Firefox over https or localhost.';
    return { device: 'webgpu', available: false, detail };
  }
  const adapter = await gpu.requestAdapter().catch(() => null);
  if (!adapter) {
    const detail = 'the browser found no GPU; turn hardware acceleration on in its settings.';
    return { device: 'webgpu', available: false, detail };
  }
  const { vendor = '', architecture = '', isFallbackAdapter = false } = adapter.info ?? {};
  const name = [vendor, architecture].filter((word) => word !== '').join(' ');
  const what = isFallbackAdapter ? 'WebGPU in software, slower than WebAssembly' : 'GPU through WebGPU';
  return { device: 'webgpu', available: true, detail: name === '' ? what : `${what} (${name})` };
}

const loadChecked = selfTester();

export const webEngine: Engine = {
  name: 'ONNX Runtime for the web',

  async devices() {
    const threads = threadsOf.get('wasm') ?? threadsHere();
    const detail = threads === 1 ? 'WebAssembly, 1 thread' : `WebAssembly, ${threads} threads`;
    return [{ device: 'wasm', available: true, detail }, await webgpuReport()];
  },

  /**
   * Fitted to the peaks of the four published networks, in Chromium's process of the page and in Node: 13 % over to 10 %
   * under. Weights stand four times: the caller's, folded, as the runtime reads them, and in the order of its kernels.
   */
  memoryEstimate(program, options = {}) {
    const need = memoryNeed(lower(program, 'wasm', options.lowerings));
    return 400e6 + 3.9 * need.parameters + 1.3 * need.activations + need.interface;
  },

  /**
   * The number of threads is fixed by the first program that is compiled for a device.
   * @throws InputError also when the runtime's own files cannot be fetched, or it has started with other threads
   */
  async compile(program, weights, options: CompileOptions = {}) {
    const device = chooseDevice(await this.devices(), options.device) as WebDevice;
    const load = loader(await loadRuntime(device, options.threads), device, options);
    const lowered = foldParameters(lower(program, device, options.lowerings), weights);
    const executable =
      device === 'wasm'
        ? await load(lowered.program, lowered.weights, 'cpuAllowed')
        : await loadChecked(lowered.program, lowered.weights, device, 'wasm', load);
    return { ...executable, program };
  },
};

/** Makes sessions of one build of the runtime. */
function loader(runtime: Runtime, device: WebDevice, options: CompileOptions): Load {
  return async (program, weights, placement) => {
    const { model, externalData } = sessionModel(program, weights);
    const { logSeverityLevel, session } = placementOptions(placement);
    let made: InferenceSession;
    try {
      made = await runtime.InferenceSession.create(model, {
        externalData,
        executionProviders: [device],
        ...sessionOptions(options),
        logSeverityLevel,
        extra: { session },
      });
    } catch (error) {
      throw error instanceof Error && startFailure.test(error.message) ? cannotStart(error) : error;
    }
    const state = options.state ?? new Map();
    const held = stateRead(program, state);
    let disposed = false;
    return {
      device,
      program,
      notices: [],
      async run(feeds) {
        if (disposed) throw new Error('this executable has been disposed of');
        checkFeeds(program, feeds);
        const inputs: Record<string, OrtTensor> = {};
        for (const [name, value] of [...held, ...feeds]) {
          inputs[name] = new runtime.Tensor('float32', value.data as Float32Array, value.shape as number[]);
        }
        // The runtime copies results out of its own memory into new arrays, and cannot fill given ones; these are handed on.
        const outputs = await made.run(inputs);
        const given = new Map<string, Tensor<'float32'>>();
        for (const [name, { shape }] of program.outputs) {
          const data = outputs[name].data as Float32Array;
          const updated = updatedBy(name, state);
          if (updated) updated.data.set(data);
          else given.set(name, { dtype: 'float32', shape, data });
        }
        return given;
      },
      async dispose() {
        if (disposed) return;
        disposed = true;
        await made.release();
      },
    };
  };
}
