/**
 * Batches drawn ahead of the training step by threads of their own. Cases lie in memory that all of them share; a batch is
 * handed over, not copied. Since a batch follows from its number, it makes no difference which thread drew it, or how many
 * there are.
 */
import type { Worker } from 'node:worker_threads';
import {
  type AnyCase,
  type Batch,
  type BatchSettings,
  type BatchSource,
  inThisThread,
  readBatch,
  type TrainingCase,
} from './batches.ts';
import type { Answer, WorkerData } from './batchWorker.node.ts';
import { patchReader } from './caseCache.node.ts';
import { inSharedMemory } from './cases.node.ts';
import { startWorker, usualWorkers } from './worker.node.ts';

export interface LoaderOptions {
  /** Threads; 0: batches are drawn by the caller's own thread when asked for. Left out: all cores but one, at most 4. */
  readonly workers?: number;
  /** Batches that may be ready or under way, at most. */
  readonly ahead?: number;
  /** Number of the first batch. */
  readonly from?: number;
}

/**
 * Starts to draw at once. `close` must be called, also after an error, or the process never ends.
 * @throws RangeError for a number of threads that is none
 */
export function openLoader(
  cases: readonly AnyCase[],
  settings: BatchSettings,
  { workers = usualWorkers(), ahead = 4, from = 0 }: LoaderOptions = {},
): BatchSource {
  if (!(Number.isInteger(workers) && workers >= 0)) throw new RangeError(`${workers} threads cannot draw batches`);
  if (workers === 0)
    return cases.every(inMemory) ? inThisThread(cases, settings, from) : readHere(cases, settings, from);
  return new ThreadedSource(
    { cases: cases.map((each) => (inMemory(each) ? inSharedMemory(each) : each)), settings },
    workers,
    Math.max(1, ahead),
    from,
  );
}

const inMemory = (each: AnyCase): each is TrainingCase => 'patch' in each;

/** As `inThisThread`, of cases of which some are stored. */
function readHere(cases: readonly AnyCase[], settings: BatchSettings, from: number): BatchSource {
  const read = patchReader();
  let [index, waited] = [from, 0];
  return {
    next: async () => {
      const start = performance.now();
      const batch = await readBatch(cases, settings, index++, read);
      waited += performance.now() - start;
      return batch;
    },
    get waited() {
      return waited;
    },
    close: async () => {},
  };
}

class ThreadedSource implements BatchSource {
  waited = 0;
  readonly #workers: readonly Worker[];
  readonly #idle: Worker[];
  readonly #ahead: number;
  /** Number of the batch that `next` is asked for next, and of the one that a thread takes up next. */
  #wanted: number;
  #undrawn: number;
  readonly #ready = new Map<number, Answer>();
  readonly #asked = new Map<number, (answer: Answer) => void>();
  /** Why no more batches come. */
  #end: { readonly error: unknown } | undefined;

  constructor(data: WorkerData, workers: number, ahead: number, from: number) {
    this.#ahead = ahead;
    this.#wanted = from;
    this.#undrawn = from;
    this.#workers = Array.from({ length: workers }, () => startWorker('batchWorker.node', data));
    this.#idle = [...this.#workers];
    for (const worker of this.#workers) {
      worker.on('message', (answer: Answer) => this.#take(answer, worker));
      worker.on('error', (error) => this.#finish(error));
      worker.on('exit', (code) =>
        this.#finish(new Error(`a thread that draws batches ended by itself (code ${code})`)),
      );
    }
    this.#dispatch();
  }

  async next(): Promise<Batch> {
    const index = this.#wanted++;
    const start = performance.now();
    const answer = this.#ready.get(index) ?? (await this.#come(index));
    this.waited += performance.now() - start;
    this.#ready.delete(index);
    this.#dispatch();
    if ('error' in answer) throw answer.error;
    return answer.batch;
  }

  async close(): Promise<void> {
    this.#finish(new Error('no more batches come: their source was closed'));
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #come(index: number): Promise<Answer> | Answer {
    if (this.#end) return { index, ...this.#end };
    this.#dispatch();
    return new Promise((resolve) => this.#asked.set(index, resolve));
  }

  #take(answer: Answer, worker: Worker): void {
    const give = this.#asked.get(answer.index);
    this.#asked.delete(answer.index);
    if (give) give(answer);
    else this.#ready.set(answer.index, answer);
    this.#idle.push(worker);
    this.#dispatch();
  }

  #dispatch(): void {
    if (this.#end) return;
    // What was asked for is under way at least, however little may be drawn ahead.
    while (this.#idle.length > 0 && this.#undrawn < this.#wanted + this.#ahead) {
      this.#idle.pop()!.postMessage(this.#undrawn++);
    }
  }

  #finish(error: unknown): void {
    this.#end ??= { error };
    for (const [index, give] of this.#asked) give({ index, ...this.#end });
    this.#asked.clear();
  }
}
