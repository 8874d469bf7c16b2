/** Numbers and progress as the page says them. */
import type { Progress } from '../../src/index.ts';

/** `35 × 51 × 35` */
export function by(values: readonly number[]): string {
  return values.map((value) => String(Number(value.toFixed(3)))).join(' × ');
}

/** `1.2 GB`, in powers of ten. */
export function memory(bytes: number): string {
  return bytes < 1e9 ? `${Math.max(1, Math.round(bytes / 1e6))} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

/** `8 s`, `3 min`, `2 h 5 min`: whole seconds below two minutes, whole minutes above; never nothing. */
export function duration(seconds: number): string {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Milliliters with two decimals. */
export function milliliters(volume: number): string {
  return volume.toFixed(2);
}

/** @param left seconds that the tiles at work and to come will take, where that can be said */
export function progressText({ stage, done, total }: Progress, left: number | undefined): string {
  // The network tells of itself when its first tile is done.
  if (stage === 'preparing') return 'Preparing the scan';
  if (stage === 'restoring') return 'Bringing the mask back to the scan’s grid';
  const tile = `Tile ${Math.min(done + 1, total)} of ${total}`;
  return left === undefined ? tile : `${tile}, about ${duration(left)} left`;
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
