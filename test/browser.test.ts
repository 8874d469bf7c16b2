/**
 * The library in a real browser: WebAssembly with threads, and WebGPU on a GPU that is made of software. Node's masks and
 * the operators' own definitions say what is right.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { nodeEngine } from '../src/engine/node.ts';
import { openModel, readVolumeFile, type Segmentation, type SegmenterOptions, segment } from '../src/index.node.ts';
import { tinyScan, writeScan, writeTinyBundle } from './bundle.ts';
import { contentType, hasBrowser, launchBrowser, listening, softwareWebgpu } from './chromium.ts';
import { caseName, operatorCases } from './operator-cases.ts';
import { tenSteps } from './tenSteps.ts';

type InBrowser = typeof import('./inBrowser.ts');

const root = fileURLToPath(new URL('../', import.meta.url));
const runtime = 'node_modules/onnxruntime-web/dist';

/** An import map in place of a bundler's own way to the runtime: a page of one line, whose network log is easy to read. */
const imports = Object.fromEntries(
  ['wasm', 'webgpu'].map((name) => [`onnxruntime-web/${name}`, `/root/${runtime}/ort.${name}.bundle.min.mjs`]),
);
const html = `<!doctype html><script type="importmap">${JSON.stringify({ imports })}</script>
<script type="module">import * as inBrowser from '/inBrowser.js'; Object.assign(globalThis, { inBrowser });</script>`;

async function bundled(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(root, 'test/inBrowser.ts')],
    bundle: true,
    platform: 'browser',
    format: 'esm',
    // The codecs' scripts ask for these behind a question whether they run in Node.
    external: ['onnxruntime-web/*', 'fs', 'path'],
    write: false,
    logLevel: 'silent',
  });
  return outputFiles[0].text;
}

/** How many voxels have another label, where Node's two largest probabilities are at least `tie` apart. */
function differences(
  found: Pick<Segmentation, 'labels'>['labels']['data'] | number[],
  { labels, probabilities }: Segmentation,
  tie = 1e-4,
) {
  const voxels = labels.data.length;
  let clear = 0;
  let different = 0;
  for (let at = 0; at < voxels; at++) {
    const classes = Array.from({ length: probabilities!.channels }, (_, k) => probabilities!.data[k * voxels + at]);
    const [best, second] = classes.sort((a, b) => b - a);
    if (best - second < tie) continue;
    clear++;
    if (found[at] !== labels.data[at]) different++;
  }
  return { voxels, clear, different };
}

const worstOf = (found: readonly number[], expected: readonly number[]) =>
  Math.max(...found.map((value, at) => Math.abs(value - expected[at])));

describe.skipIf(!hasBrowser)('in a real browser', () => {
  const folder = mkdtempSync(join(tmpdir(), 'unetrpp-browser-'));
  let script: string;
  let browser: Browser;
  let server: Awaited<ReturnType<typeof listening>>;
  /** Paths that the server says it does not have. */
  let missing: RegExp | undefined;

  beforeAll(async () => {
    script = await bundled();
    const places: Record<string, string> = { root, folder };
    server = await listening((request, response) => {
      response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
      response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
      const { pathname } = new URL(request.url!, 'http://localhost');
      const [, place, ...path] = pathname.split('/');
      response.setHeader('Content-Type', pathname === '/' ? 'text/html' : contentType(pathname));
      if (pathname === '/') response.end(html);
      else if (pathname === '/inBrowser.js') response.end(script);
      else if (!(place in places) || missing?.test(pathname)) response.writeHead(404).end();
      else response.end(readFileSync(join(places[place], ...path)));
    });
    browser = await launchBrowser(softwareWebgpu);
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** A fresh page: the runtime starts once in each. */
  async function withPage<T>(use: (page: Page) => Promise<T>): Promise<T> {
    const page = await browser.newPage();
    try {
      await page.goto(server.url);
      return await use(page);
    } finally {
      await page.close();
    }
  }

  function call<K extends keyof InBrowser>(
    page: Page,
    name: K,
    ...given: Parameters<InBrowser[K]>
  ): Promise<Awaited<ReturnType<InBrowser[K]>>> {
    const calling = ([name, given]: [string, unknown[]]) => {
      const { inBrowser } = globalThis as unknown as { inBrowser: Record<string, (...args: unknown[]) => unknown> };
      return inBrowser[name](...given);
    };
    return page.evaluate(calling, [name, given] as [string, unknown[]]) as Promise<Awaited<ReturnType<InBrowser[K]>>>;
  }

  /** Segments in the browser and in Node. */
  async function both(page: Page, bundle: [string, string], scan: [string, string], options: SegmenterOptions) {
    const path = ([place, name]: [string, string]) => join(place === 'root' ? root : folder, name);
    const found = await call(page, 'segmentScan', `/${bundle.join('/')}`, `/${scan.join('/')}`, options);
    const { device: _, ...alike } = options;
    const { volume } = await readVolumeFile(path(scan));
    const expected = await segment(await openModel(path(bundle)), volume, { ...alike, probabilities: true });
    const worst = found.probabilities.reduce(
      (so, value, at) => Math.max(so, Math.abs(value - expected.probabilities!.data[at])),
      0,
    );
    return { found, worst, ...differences(found.labels, expected) };
  }

  test('WebAssembly on two threads gives the mask of Node', async () => {
    await withPage(async (page) => {
      const options = { device: 'wasm', threads: 2 } as const;
      const result = await both(
        page,
        ['root', 'models/hippocampus'],
        ['root', 'examples/hippocampus_099.nii.gz'],
        options,
      );
      expect((await call(page, 'devices')).isolated).toBe(true);
      // One of the threads is the page's own.
      expect(page.workers()).toHaveLength(1);
      expect(result.clear / result.voxels).toBeGreaterThan(0.99);
      expect(result.different / result.clear).toBeLessThanOrEqual(1e-4);
      expect(result.worst).toBeLessThan(1e-4);
    });
  });

  test('ten steps of training have the losses of Node', async () => {
    const expected = await tenSteps(nodeEngine, { device: 'cpu', threads: 1 });
    // What is dropped shows in the losses: without it they are others.
    const undropped = await tenSteps(nodeEngine, { device: 'cpu', threads: 1 }, false);
    expect(worstOf(undropped.losses, expected.losses)).toBeGreaterThan(1e-3);
    await withPage(async (page) => {
      const found = await call(page, 'trainTenSteps', 2);
      expect(found.losses).toHaveLength(10);
      expect(worstOf(found.losses, expected.losses)).toBeLessThan(1e-4);
      expect(worstOf(found.gradientNorms, expected.gradientNorms)).toBeLessThan(1e-4);
      // AdamW makes whole steps of gradients that are but rounding, as those of biases before a norm: about 1e-5 here.
      expect(Math.abs(found.sumOfSquares / expected.sumOfSquares - 1)).toBeLessThan(1e-4);
    });
    expect(expected.losses[9]).toBeLessThan(expected.losses[0]);
  });

  test('WebGPU gives the mask of Node', async () => {
    await writeTinyBundle(join(folder, 'tiny'));
    writeScan(join(folder, 'tiny.nii.gz'));
    await withPage(async (page) => {
      const options = { device: 'webgpu', step: 1 } as const;
      const result = await both(page, ['folder', 'tiny'], ['folder', 'tiny.nii.gz'], options);
      expect(result.voxels).toBe(tinyScan.data.length);
      expect(result.different).toBe(0);
      expect(result.worst).toBeLessThan(1e-4);
      expect(result.found.notices).toEqual([]);
    });
  });

  test('unasked, WebAssembly takes a thread for each core, and no more than eight', async () => {
    await withPage(async (page) => {
      const session = await page.context().newCDPSession(page);
      const threadsOn = async (hardwareConcurrency: number) => {
        await session.send('Emulation.setHardwareConcurrencyOverride', { hardwareConcurrency });
        return (await call(page, 'devices')).reports[0].detail;
      };
      expect(await threadsOn(3)).toBe('WebAssembly, 3 threads');
      expect(await threadsOn(64)).toBe('WebAssembly, 8 threads');
      await session.send('Emulation.setHardwareConcurrencyOverride', { hardwareConcurrency: 3 });
      await call(page, 'compileWith', undefined);
      expect(page.workers()).toHaveLength(2);
    });
  });

  test('another number of threads than the runtime was started with is refused', async () => {
    await withPage(async (page) => {
      await call(page, 'compileWith', 2);
      await expect(call(page, 'compileWith', 3)).rejects.toThrow(/InputError: 3 threads .* started with 2/);
      await call(page, 'compileWith', undefined);
    });
  });

  test.each(['wasm', 'mjs'])('a runtime whose .%s file is not served is named as what is missing', async (ending) => {
    missing = new RegExp(`\\.${ending}$`);
    try {
      await withPage(async (page) => {
        for (let attempt = 0; attempt < 2; attempt++) {
          await expect(call(page, 'compileWith', undefined)).rejects.toThrow(
            /InputError: The runtime could not be started \(.*ort-wasm-\*\.wasm and ort-wasm-\*\.mjs, from the package onnxruntime-web/s,
          );
        }
      });
    } finally {
      missing = undefined;
    }
  });

  describe('on WebGPU', () => {
    let page: Page;

    beforeAll(async () => {
      page = await browser.newPage();
      await page.goto(server.url);
    });

    afterAll(() => page.close());

    test('says when the GPU is made of software', async () => {
      const { reports } = await call(page, 'devices');
      expect(reports[1]).toEqual({
        device: 'webgpu',
        available: true,
        detail: 'WebGPU in software, slower than WebAssembly (google swiftshader)',
      });
    });

    /** Made by a lowering that is off on WebGPU, which has no such operator. */
    const elsewhere = 'turnedMatmul';
    const here = operatorCases
      .map((one, index) => [caseName(one), index] as const)
      .filter(([, index]) => operatorCases[index].operator !== elsewhere);

    // Each passes the self-test of its class first.
    test.each(here)('%s', async (_, index) => {
      const { shape, expectedShape, got, expected, notices } = await call(page, 'runCase', index, 'webgpu');
      expect(shape).toEqual(expectedShape);
      expect(got).toBeCloseTo(expected, 5);
      expect(notices).toEqual([]);
    });

    test('an operator that is wrong is found before the program runs', async () => {
      await expect(call(page, 'runPlanted', 'wrongSoftmax')).rejects.toThrow(
        /ResourceError: The device 'webgpu' computes the operator 'softmax' wrongly: on operands 1x4/,
      );
    });

    test('an operator that it does not have runs on the CPU, and is named', async () => {
      const { result, notices } = await call(page, 'runPlanted', 'hardmax');
      expect(result).toEqual([0, 2, 0, 0]);
      expect(notices).toEqual([expect.stringMatching(/^The operators hardmax run on the CPU/)]);
    });
  });
});
