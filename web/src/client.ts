/**
 * The page's end of the worker: questions as promises, progress, cancelling. A worker that is deep in the network hears
 * nothing until a tile is done; one that does not answer a cancel in time is ended, and the next question finds a new
 * one with the same scan, model and cases.
 */
import {
  type AnyProgress,
  type FailureKind,
  type FromWorker,
  type Kind,
  type Progresses,
  type Question,
  type Questions,
  type ToWorker,
  workerName,
} from './protocol.ts';
import workerUrl from './worker.ts?worker&url';

/** How long a worker may take to answer a cancel; what a training has learned is waited for. */
const patienceMs = (kind: Kind) => (kind === 'fineTune' ? Number.POSITIVE_INFINITY : 1000);

/** What the worker holds of answered questions, in the order in which a new worker must be told. */
const holding: readonly Kind[] = ['scan', 'model', 'cases'];

export class Failure extends Error {
  override readonly name = 'Failure';
  readonly kind: FailureKind;
  constructor(kind: FailureKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

interface AskOptions<K extends Kind> {
  readonly onProgress?: K extends keyof Progresses ? (progress: Progresses[K]) => void : never;
  readonly signal?: AbortSignal;
}

/** @throws Failure */
export type Ask = <K extends Kind>(
  kind: K,
  asked: Questions[K]['asks'],
  options?: AskOptions<K>,
) => Promise<Questions[K]['answer']>;

interface Waiting {
  resolve(answer: Questions[Kind]['answer']): void;
  reject(failure: Failure): void;
  onProgress?: (progress: AnyProgress) => void;
}

/**
 * A worker that loads another script alone heeds that script's headers, which not every host sends; one made of a blob is
 * under the page's own policy, wherever it is served.
 */
function startWorker(): Worker {
  const script = `import ${JSON.stringify(new URL(workerUrl, document.baseURI).href)};`;
  const url = URL.createObjectURL(new Blob([script], { type: 'text/javascript' }));
  return new Worker(url, { type: 'module', name: workerName });
}

export function startClient(): Ask {
  let worker: Worker | undefined;
  let lastId = 0;
  const waiting = new Map<number, Waiting>();
  /** The last scan, model and cases that were read: what a new worker must be told first. */
  const held = new Map<Kind, Question>();

  const end = (failure: Failure) => {
    worker?.terminate();
    worker = undefined;
    for (const each of waiting.values()) each.reject(failure);
    waiting.clear();
  };

  const post = (message: ToWorker) => {
    if (!worker) {
      worker = startWorker();
      worker.addEventListener('message', ({ data }: MessageEvent<FromWorker>) => hear(data));
      worker.addEventListener('error', (event) => {
        event.preventDefault();
        end(new Failure('bug', event.message || 'the worker could not be started'));
      });
      for (const kind of holding) if (held.has(kind)) worker.postMessage(held.get(kind));
    }
    worker.postMessage(message);
  };

  const hear = (message: FromWorker) => {
    // None waits for what a new worker was told to read again.
    const each = waiting.get(message.id);
    if (!each) return;
    if ('progress' in message) {
      each.onProgress?.(message.progress);
      return;
    }
    waiting.delete(message.id);
    if ('answer' in message) each.resolve(message.answer);
    else each.reject(new Failure(message.failure.kind, message.failure.message));
  };

  return async (kind, asked, { onProgress, signal } = {}) => {
    lastId += 1;
    const id = lastId;
    const question = { id, kind, ...asked } as Question;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const cancel = () => {
      post({ kind: 'cancel', id });
      const patience = patienceMs(kind);
      if (patience === Number.POSITIVE_INFINITY) return;
      timer = setTimeout(() => end(new Failure('cancelled', 'the run was cancelled')), patience);
    };
    try {
      const answer = await new Promise<Questions[Kind]['answer']>((resolve, reject) => {
        waiting.set(id, { resolve, reject, onProgress: onProgress as Waiting['onProgress'] });
        signal?.addEventListener('abort', cancel);
        post(question);
      });
      if (holding.includes(kind)) held.set(kind, question);
      return answer as Questions[typeof kind]['answer'];
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', cancel);
    }
  };
}
