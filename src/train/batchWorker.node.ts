/** The thread that draws batches for loader.node.ts: a number in, that batch out, in turn. Its cases come at its start. */
import { parentPort, workerData } from 'node:worker_threads';
import { type AnyCase, type Batch, type BatchSettings, readBatch } from './batches.ts';
import { patchReader } from './caseCache.node.ts';

export interface WorkerData {
  readonly cases: readonly AnyCase[];
  readonly settings: BatchSettings;
}

/** What comes back for a number. */
export type Answer =
  | { readonly index: number; readonly batch: Batch }
  | { readonly index: number; readonly error: unknown };

const { cases, settings } = workerData as WorkerData;
const read = patchReader();

parentPort!.on('message', async (index: number) => {
  try {
    const batch = await readBatch(cases, settings, index, read);
    parentPort!.postMessage({ index, batch } satisfies Answer, [
      batch.image.buffer as ArrayBuffer,
      batch.target.buffer as ArrayBuffer,
    ]);
  } catch (error) {
    parentPort!.postMessage({ index, error } satisfies Answer);
  }
});
