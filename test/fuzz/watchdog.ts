/**
 * Ends the process when one input keeps a parser busy without end: a loop that never returns lets no timer of its own
 * thread fire, so a second thread watches. The input is in a file by then.
 */
import { Worker } from 'node:worker_threads';

export interface Watchdog {
  /** Another input begins. */
  next(): void;
  stop(): void;
}

/** @param message what to print before the end */
export function startWatchdog(seconds: number, message: string): Watchdog {
  const count = new Int32Array(new SharedArrayBuffer(4));
  const watch = `
    const { workerData } = require('node:worker_threads');
    let seen = 0;
    setInterval(() => {
      const now = Atomics.load(workerData.count, 0);
      if (now === seen) {
        require('node:fs').writeSync(2, workerData.message + '\\n');
        process.kill(process.pid, 'SIGKILL');
      }
      seen = now;
    }, workerData.seconds * 1000);
  `;
  const worker = new Worker(watch, { eval: true, workerData: { count, seconds, message } });
  worker.unref();
  return {
    next: () => Atomics.add(count, 0, 1),
    stop: () => void worker.terminate(),
  };
}
