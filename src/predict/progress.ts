/** How far a prediction is, and how a person is told. */

export interface Progress {
  readonly stage: 'preparing' | 'network' | 'restoring';
  /** Tiles; 0 of 0 in the other stages. */
  readonly done: number;
  readonly total: number;
}

/** What the time of a prediction is spent on. */
export type Stage = 'preparing' | 'network' | 'blending' | 'restoring';

export interface Clock {
  readonly seconds: Readonly<Record<Stage, number>>;
  /** The time since the last lap was spent on this. */
  lap(on: Stage): void;
}

/** Seconds by what they were spent on, from now on. */
export function stopwatch(): Clock {
  const seconds = { preparing: 0, network: 0, blending: 0, restoring: 0 };
  let last = performance.now();
  return {
    seconds,
    lap(on) {
      const now = performance.now();
      seconds[on] += (now - last) / 1000;
      last = now;
    },
  };
}

/** `8 s`, `3 min`, `2 h 5 min`: whole seconds below two minutes, whole minutes above; never nothing. */
export function showDuration(seconds: number): string {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
