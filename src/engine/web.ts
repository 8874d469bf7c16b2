/**
 * ONNX Runtime in the browser: WebAssembly everywhere, WebGPU where the browser has it. Also runs in Node (WebAssembly, one
 * thread), where the tests use it.
 *
 * The runtime's two builds are loaded when they are needed: `onnxruntime-web/webgpu` is the native WebGPU provider; the
 * package's default entry is an older one that gives silently wrong results for grouped convolutions.
 */
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-common';
import { encodeModel } from '../onnx/index.ts';
import { emit, foldParameters, lower, memoryNeed } from '../program/index.ts';
import {
  type CompileOptions,
  checkFeeds,
  chooseDevice,
  type DeviceReport,
  type Engine,
  outputBuffers,
  sessionOptions,
} from './engine.ts';

type Runtime = typeof import('onnxruntime-web/wasm');

async function loadRuntime(device: 'wasm' | 'webgpu', threads: number): Promise<Runtime> {
  const runtime = device === 'webgpu' ? await import('onnxruntime-web/webgpu') : await import('onnxruntime-web/wasm');
  runtime.env.wasm.numThreads = threads;
  return runtime;
}

/** Several threads need memory that is shared between them, which browsers give only to cross-origin isolated pages. */
function threadsHere(): number {
  const isolated = typeof crossOriginIsolated !== 'undefined' && crossOriginIsolated;
  return isolated ? navigator.hardwareConcurrency : 1;
}

async function webgpuReport(): Promise<DeviceReport> {
  const gpu = (globalThis.navigator as { gpu?: { requestAdapter(): Promise<unknown> } } | undefined)?.gpu;
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
  return { device: 'webgpu', available: true, detail: 'GPU through WebGPU' };
}

export const webEngine: Engine = {
  name: 'ONNX Runtime for the web',

  async devices() {
    const threads = threadsHere();
    const detail = threads === 1 ? 'WebAssembly, 1 thread' : `WebAssembly, ${threads} threads`;
    return [{ device: 'wasm', available: true, detail }, await webgpuReport()];
  },

  memoryEstimate(program, options = {}) {
    // Measured only roughly: weights as parsed and as held by the runtime, activations, the module itself.
    const need = memoryNeed(lower(program, 'wasm', options.lowerings));
    return 100e6 + 3 * need.parameters + 2 * need.activations + need.interface;
  },

  async compile(program, weights, options: CompileOptions = {}) {
    const device = chooseDevice(await this.devices(), options.device) as 'wasm' | 'webgpu';
    const runtime = await loadRuntime(device, options.threads ?? threadsHere());
    const lowered = foldParameters(lower(program, device, options.lowerings), weights);
    const session: InferenceSession = await runtime.InferenceSession.create(
      encodeModel(emit(lowered.program, lowered.weights)),
      {
        executionProviders: device === 'webgpu' ? ['webgpu', 'wasm'] : ['wasm'],
        ...sessionOptions(options),
      },
    );
    const results = outputBuffers(program);
    let disposed = false;
    return {
      device,
      program,
      async run(feeds) {
        if (disposed) throw new Error('this executable has been disposed of');
        checkFeeds(program, feeds);
        const inputs: Record<string, OrtTensor> = {};
        for (const [name, value] of feeds) {
          inputs[name] = new runtime.Tensor('float32', value.data as Float32Array, value.shape as number[]);
        }
        const outputs = await session.run(inputs);
        for (const [name, { data }] of results) data.set(outputs[name].data as Float32Array);
        return results;
      },
      async dispose() {
        if (disposed) return;
        disposed = true;
        await session.release();
      },
    };
  },
};
