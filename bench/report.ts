/**
 * The report on the shipped model: `npm run bench -- report [DATASET]` predicts the validation cases of fold 0 as `unetrpp
 * predict` does, evaluates them as `unetrpp evaluate` does, and pictures the page in docs/results/report.png (needs Chromium).
 * Masks, scores and the page itself are in out/report.
 */
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { hasBrowser, launchBrowser } from '../test/chromium.ts';
import { sharedPath } from '../test/shared.ts';
import { shell } from '../test/shell.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
/** As a person would type it: the report shows the paths that it was given. */
const path = (...parts: string[]) => relative(process.cwd(), join(root, ...parts));
const [dataset = relative(process.cwd(), sharedPath('data', 'Dataset004_Hippocampus'))] = process.argv.slice(2);
const fold = '0';
const model = path('models/hippocampus');
const [masks, run, scores] = ['masks', 'run', 'scores'].map((name) => path('out/report', name));

if (existsSync(dataset)) await main();
else console.log(`There is no data set ${dataset}; give its folder: npm run bench -- report DATASET`);

async function main(): Promise<void> {
  // Masks of another model would be refused.
  rmSync(masks, { recursive: true, force: true });
  for (const folder of [masks, run]) mkdirSync(folder, { recursive: true });
  copyFileSync(path('docs/results/hippocampus-log.jsonl'), join(run, 'log.jsonl'));
  await command('predict', '-m', model, '-d', dataset, '-f', fold, '-o', masks, '--save-probabilities');
  const compared = ['-r', join(dataset, 'labelsTr'), '-p', masks, '--fold', fold];
  console.log(await command('evaluate', ...compared, '--model', model, '--run', run, '-o', scores));
  if (!hasBrowser) return;
  const picture = path('docs/results/report.png');
  const browser = await launchBrowser([]);
  const page = await browser.newPage({ viewport: { width: 1120, height: 900 }, colorScheme: 'light' });
  await page.goto(pathToFileURL(join(scores, 'report.html')).href);
  // Down to the first two cases.
  const { y, height } = (await page.locator('article').first().boundingBox())!;
  await page.screenshot({ path: picture, fullPage: true, clip: { x: 0, y: 0, width: 1120, height: y + height + 24 } });
  await browser.close();
  console.log(picture);
}

async function command(...words: string[]): Promise<string> {
  console.log(`unetrpp ${words.join(' ')}`);
  const { code, out, err } = await shell(...words);
  if (code !== 0) throw new Error(err);
  return out;
}
