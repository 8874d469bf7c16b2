/** The page as it ships, in a real browser: built, served with the headers of `npm run web`, and watched. */
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { build, preview } from 'vite';
import { launchBrowser, softwareWebgl } from './chromium.ts';

export interface BuiltPage {
  readonly browser: Browser;
  readonly page: Page;
  /** Requests to other servers. */
  readonly outside: readonly string[];
  /** Errors that nobody caught, and what was said on the console. */
  readonly complaints: readonly string[];
  /** Drops files and folders on the page from outside of the browser, as a hand with a mouse does. */
  drop(...paths: string[]): Promise<void>;
  /** The words of an element. */
  shown(selector: string): Promise<string | null>;
  close(): Promise<void>;
}

/** @param folder for the built files */
export async function openBuiltPage(folder: string): Promise<BuiltPage> {
  const configFile = fileURLToPath(new URL('../web/vite.config.ts', import.meta.url));
  const config = { configFile, build: { outDir: folder, emptyOutDir: true } };
  await build({ ...config, logLevel: 'error' });
  const server = await preview({ ...config, preview: { port: 0, host: 'localhost' } });
  const browser = await launchBrowser(softwareWebgl);
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  page.setDefaultTimeout(60_000);
  const [outside, complaints]: [string[], string[]] = [[], []];
  const [home] = server.resolvedUrls!.local;
  page.on('request', (request) => {
    if (!/^(blob|data):/.test(request.url()) && !request.url().startsWith(home)) outside.push(request.url());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  await page.goto(home);
  return {
    browser,
    page,
    outside,
    complaints,
    async drop(...paths) {
      const session = await page.context().newCDPSession(page);
      const data = { items: [], files: paths, dragOperationsMask: 1 };
      for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
        await session.send('Input.dispatchDragEvent', { type, x: 640, y: 400, data });
      }
      await session.detach();
    },
    shown: (selector) => page.locator(selector).textContent(),
    async close() {
      await browser.close();
      await server.close();
    },
  };
}
