/**
 * A real browser for tests: where it is, how it is started, and what serves pages to it. Tests that need it are skipped, and
 * say so, where there is none.
 */
import { existsSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Browser, chromium } from 'playwright-core';

const browserPath = process.env.UNETRPP_CHROMIUM ?? '/usr/bin/chromium';

export const hasBrowser = existsSync(browserPath);

if (!hasBrowser) {
  console.warn(
    `Skipped: tests in a browser, because there is no ${browserPath} (Debian: apt-get install chromium); UNETRPP_CHROMIUM names another Chromium.`,
  );
}

/** Draws with a GPU that is made of software: what the page's viewer needs. */
export const softwareWebgl = ['--use-angle=swiftshader', '--enable-unsafe-swiftshader'];

/** Computes with a GPU that is made of software, a hundred times slower than WebAssembly. */
export const softwareWebgpu = [
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--enable-features=Vulkan',
];

/** Chromium without a window, and without errands of its own on the network. */
export function launchBrowser(options: readonly string[]): Promise<Browser> {
  return chromium.launch({
    executablePath: browserPath,
    args: [
      '--headless=new',
      '--no-sandbox',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-quic',
      '--disable-sync',
      '--no-first-run',
      ...options,
    ],
  });
}

/** Serves on a free port of this machine alone. */
export async function listening(handler: RequestListener): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://localhost:${port}/`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const contentTypes: Readonly<Record<string, string>> = {
  html: 'text/html',
  js: 'text/javascript',
  mjs: 'text/javascript',
  css: 'text/css',
  wasm: 'application/wasm',
};

/** What a server says of a file, by its ending. */
export function contentType(path: string): string {
  return contentTypes[path.split('.').at(-1)!] ?? 'application/octet-stream';
}
