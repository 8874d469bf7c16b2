/** The thread that draws batches for loader.node.ts: a number in, that batch out, in turn. Its cases come at its start. */
import { parentPort, workerData } from 'node:worker_threads';
import { type Batch, type BatchSettings, drawBatch, type TrainingCase } from './batches.ts';

export interface WorkerData {
  readonly cases: readonly TrainingCase[];
  readonly settings: BatchSettings;
}

/** What comes back for a number. */
export type Answer =
  | { readonly index: number; readonly batch: Batch }
  | { readonly index: number; readonly error: unknown };

const { cases, settings } = workerData as WorkerData;

parentPort!.on('message', (index: number) => {
  try {
    const batch = drawBatch(cases, settings, index);
    parentPort!.postMessage({ index, batch } satisfies Answer, [
      batch.image.buffer as ArrayBuffer,
      batch.target.buffer as ArrayBuffer,
    ]);
  } catch (error) {
    parentPort!.postMessage({ index, error } satisfies Answer);
  }
});
