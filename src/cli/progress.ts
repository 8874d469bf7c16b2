/**
 * Progress of long work: of a prediction a bar with the time that is left in a terminal, a line now and then in a log; of a
 * training a line that changes, below the lines that stay.
 */
import { SingleBar } from 'cli-progress';
import { type Progress, showDuration } from '../predict/index.ts';
import type { Terminal } from './terminal.ts';

export interface ProgressBar {
  report(progress: Progress): void;
  /** Leaves the line; to be called however the work ended. */
  end(): void;
}

/** @param name of the case, at the beginning of the line */
export function progressBar({ bar: stream }: Terminal, name: string): ProgressBar {
  if (!stream) return { report: () => undefined, end: () => undefined };
  const bar = new SingleBar({
    stream,
    format: ({ barCompleteString = '', barIncompleteString = '', barsize = 0 }, { progress, value, total, eta }) => {
      const full = Math.round(progress * barsize);
      const drawn = barCompleteString.slice(0, full) + barIncompleteString.slice(0, barsize - full);
      // Before the first tile is done nobody knows.
      const left = value > 0 && value < total ? `, about ${showDuration(eta)} left` : '';
      return `${name} [${drawn}] tile ${value} of ${total}${left}`;
    },
    barsize: 24,
    // The time of a tile hardly changes: many of them give a steady estimate.
    etaBuffer: 50,
    noTTYOutput: true,
    notTTYSchedule: 5000,
    clearOnComplete: true,
  });
  let started = false;
  return {
    report({ stage, done, total }) {
      if (stage !== 'network') return;
      if (!started) bar.start(total, 0);
      started = true;
      bar.update(done);
    },
    end: () => bar.stop(),
  };
}

export interface StatusLine {
  /** @param done part of the work, from 0 to 1 */
  show(text: string, done: number): void;
  /** Prints above the line, and stays. */
  print(text: string): void;
  /** Takes the line away; to be called however the work ended. */
  end(): void;
}

/** A line that changes, where there is a terminal to draw it; elsewhere only what is printed is seen. */
export function statusLine({ bar: stream, err }: Terminal): StatusLine {
  if (!stream?.isTTY) return { show: () => undefined, print: err, end: () => undefined };
  let shown = '';
  const bar = new SingleBar({
    stream,
    format: ({ barCompleteString = '', barIncompleteString = '', barsize = 0 }, { progress }) => {
      const full = Math.round(progress * barsize);
      return `[${barCompleteString.slice(0, full)}${barIncompleteString.slice(0, barsize - full)}] ${shown}`;
    },
    barsize: 16,
    linewrap: false,
    clearOnComplete: true,
  });
  let started = false;
  const end = () => {
    if (started) bar.stop();
    started = false;
  };
  return {
    show(text, done) {
      shown = text;
      if (!started) bar.start(1, done);
      started = true;
      bar.update(done);
    },
    print(text) {
      end();
      err(text);
    },
    end,
  };
}
