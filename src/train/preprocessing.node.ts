/**
 * Prepares the cases of a data set ahead of training, in several threads, into a folder of files (caseCache.node.ts). What is
 * there already is left alone, so that a run that was stopped goes on, and a second one does nothing.
 */
import type { CaseFiles, Dataset } from '../dataset/folder.node.ts';
import type { DatasetDescription, Plan } from '../dataset/index.ts';
import { InputError, ResourceError } from '../errors.ts';
import { prepareOutputFolder, removeAbandoned } from '../wholeFiles.node.ts';
import { planFolder } from './caseCache.node.ts';
import { startWorker, usualWorkers } from './worker.node.ts';

export interface PreprocessOptions {
  /** Threads, each with one case at a time. Left out: all cores but one, at most 4. */
  readonly workers?: number;
  readonly onCase?: (done: number, total: number) => void;
  /** Aborting ends the work; what is complete stays. */
  readonly signal?: AbortSignal;
}

export interface Preprocessed {
  /** Where the plan's cases are. */
  readonly folder: string;
  /** Names, in the data set's order. */
  readonly prepared: readonly string[];
  readonly present: readonly string[];
  readonly notices: readonly string[];
}

/** What a thread is started with. */
export interface PreprocessWorkerData {
  readonly description: DatasetDescription;
  readonly plan: Plan;
  readonly folder: string;
}

/** What a thread answers about a case. */
export type PreprocessAnswer =
  | { readonly made: boolean; readonly notices: readonly string[] }
  | { readonly kind: string; readonly message: string; readonly stack?: string };

/**
 * @param folder of prepared cases; created if its parent exists
 * @throws InputError at the first case that is wrong, ResourceError where the disk is full
 */
export async function preprocess(
  { cases, description }: Dataset,
  plan: Plan,
  folder: string,
  { workers = usualWorkers(), onCase, signal }: PreprocessOptions = {},
): Promise<Preprocessed> {
  signal?.throwIfAborted();
  const own = planFolder(folder, plan);
  const abandonFolder = await prepareOutputFolder(folder);
  const abandonOwn = await prepareOutputFolder(own);
  const made = new Map<string, boolean>();
  const notices: string[] = [];
  const waiting = [...cases];
  const data: PreprocessWorkerData = { description, plan, folder };
  const threads = Array.from({ length: Math.min(workers, cases.length) }, () =>
    startWorker('preprocessWorker.node', data),
  );
  const ended = new AbortController();

  const work = async (thread: (typeof threads)[number]) => {
    for (let files = waiting.shift(); files !== undefined; files = waiting.shift()) {
      ended.signal.throwIfAborted();
      const { name } = files;
      const answer = await ask(thread, files, ended.signal);
      if ('kind' in answer) throw asError(answer);
      made.set(name, answer.made);
      notices.push(...answer.notices);
      onCase?.(made.size, cases.length);
    }
  };
  const interrupt = () => ended.abort(signal?.reason);
  signal?.addEventListener('abort', interrupt);
  try {
    await Promise.all(threads.map(work));
  } finally {
    ended.abort();
    signal?.removeEventListener('abort', interrupt);
    await Promise.all(threads.map((thread) => thread.terminate()));
    await removeAbandoned(own);
    await abandonOwn();
    await abandonFolder();
  }
  const names = cases.map(({ name }) => name);
  return {
    folder: own,
    prepared: names.filter((name) => made.get(name)),
    present: names.filter((name) => !made.get(name)),
    notices,
  };
}

function ask(thread: ReturnType<typeof startWorker>, files: CaseFiles, signal: AbortSignal): Promise<PreprocessAnswer> {
  return new Promise((resolve, reject) => {
    const finish = () => {
      thread.removeAllListeners('message').removeAllListeners('error').removeAllListeners('exit');
      signal.removeEventListener('abort', aborted);
    };
    const fail = (error: unknown) => {
      finish();
      reject(error);
    };
    const aborted = () => fail(signal.reason);
    thread.once('message', (answer: PreprocessAnswer) => {
      finish();
      resolve(answer);
    });
    thread.once('error', fail);
    thread.once('exit', (code) => fail(new Error(`a thread that prepares cases ended by itself (code ${code})`)));
    signal.addEventListener('abort', aborted);
    thread.postMessage(files);
  });
}

/** A class does not survive the way between threads. */
function asError({ kind, message, stack }: Extract<PreprocessAnswer, { kind: string }>): Error {
  if (kind === 'InputError') return new InputError(message);
  if (kind === 'ResourceError') return new ResourceError(message);
  return Object.assign(new Error(message), { stack });
}
