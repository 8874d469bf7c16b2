/**
 * The pictures of the README, made anew with the model that ships: `npx tsx bench/pictures.ts` writes what `npm start` draws to
 * docs/images/hippocampus.png, and the page after a run on its example to page-desktop.png and page-phone.png beside it (needs
 * Chromium).
 */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { openBuiltPage } from '../test/builtPage.ts';
import { shell } from '../test/shell.ts';

const image = (name: string) => fileURLToPath(new URL(`../docs/images/${name}`, import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'unetrpp-pictures-'));

/** Segments the example, and looks away from what a mouse would point at. */
async function segmentExample(page: Page): Promise<void> {
  await page.locator('#take-example').click();
  await page.locator('#run:enabled').click();
  await page.locator('#result').waitFor();
  await page.mouse.move(0, 0);
  await page.evaluate('scrollTo(0, 0)');
  // The viewer draws with the next frames.
  await page.waitForTimeout(2000);
}

const { code, err } = await shell('demo', '-o', join(scratch, 'demo'));
if (code !== 0) throw new Error(err);
copyFileSync(join(scratch, 'demo', 'hippocampus_099.png'), image('hippocampus.png'));

const { browser, page, close } = await openBuiltPage(join(scratch, 'page'));
await segmentExample(page);
await page.screenshot({ path: image('page-desktop.png') });
const phone = await browser.newPage({ viewport: { width: 390, height: 844 }, deviceScaleFactor: 1.6 });
await phone.goto(page.url());
await segmentExample(phone);
await phone.screenshot({ path: image('page-phone.png') });
await close();
rmSync(scratch, { recursive: true });
