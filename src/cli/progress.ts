/**
 * Progress of a long prediction as lines: the same in a terminal, a log and a pipe.
 */
import type { Progress } from '../predict/index.ts';
import type { Terminal } from './terminal.ts';

/** A line every five seconds at most, with the time that is left. */
export function reporter(terminal: Terminal, name: string): (progress: Progress) => void {
  const start = Date.now();
  let last = start;
  return ({ stage, done, total }) => {
    const now = Date.now();
    if (stage !== 'network' || done === 0 || now - last < 5000) return;
    last = now;
    const left = Math.round((((now - start) / done) * (total - done)) / 1000);
    terminal.err(`${name}: tile ${done} of ${total}, about ${left} s left\n`);
  };
}
