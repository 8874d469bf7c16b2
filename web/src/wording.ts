/** Numbers and progress as the page says them. */
import { type Progress, showDuration } from '../../src/predict/progress.ts';

/** `35 × 51 × 35` */
export function by(values: readonly number[]): string {
  return values.map((value) => String(Number(value.toFixed(3)))).join(' × ');
}

/** `1.2 GB`, in powers of ten. */
export function memory(bytes: number): string {
  return bytes < 1e9 ? `${Math.max(1, Math.round(bytes / 1e6))} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

/** Milliliters with two decimals. */
export function milliliters(volume: number): string {
  return volume.toFixed(2);
}

/** @param left seconds that the tiles at work and to come will take, where that can be said */
export function progressText({ stage, done, total }: Progress, left: number | undefined): string {
  if (stage === 'preparing') return 'Preparing the scan';
  if (stage === 'restoring') return 'Bringing the mask back to the scan’s grid';
  const tile = `Tile ${Math.min(done + 1, total)} of ${total}`;
  return left === undefined ? tile : `${tile}, about ${showDuration(left)} left`;
}

export interface Moment {
  readonly done: number;
  /** In seconds, from any beginning. */
  readonly time: number;
}

/**
 * Seconds that the rest will take.
 * @param start when the work began
 * @param first when the first of it was done: what came before, as preparing, is not counted once there is more to go by
 */
export function timeLeft(start: Moment, first: Moment, now: Moment, total: number): number | undefined {
  const since = now.done > first.done ? first : start;
  if (now.done <= since.done) return undefined;
  return ((now.time - since.time) / (now.done - since.done)) * (total - now.done);
}

/** `a`, `a and b`, `a, b and c` */
export function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}
