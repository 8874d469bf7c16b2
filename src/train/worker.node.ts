/** Threads of Node that run a file of this folder, compiled or not. */
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';

/** All cores but one, at most 4. */
export const usualWorkers = () => Math.min(4, Math.max(1, availableParallelism() - 1));

/**
 * From compiled files as they are; from TypeScript, as in tests, through the loader that the repository is developed with.
 * @param name of the file without its ending, such as `batchWorker.node`
 */
export function startWorker(name: string, workerData: unknown): Worker {
  const { url } = import.meta;
  if (!url.endsWith('.ts')) return new Worker(new URL(`./${name}.js`, url), { workerData });
  // Node 20 hands `--import` to no thread, and tsx's interface for `require` does not find its own files.
  const tsx = new URL('esm/api/index.mjs', pathToFileURL(createRequire(url).resolve('tsx'))).href;
  const entry = new URL(`./${name}.ts`, url).href;
  const program = `import('${tsx}').then(({ register }) => register()).then(() => import('${entry}'))`;
  return new Worker(program, { eval: true, workerData });
}
