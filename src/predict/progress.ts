/** How far a prediction is, and how a person is told. */

export interface Progress {
  readonly stage: 'preparing' | 'network' | 'restoring';
  /** Tiles; 0 of 0 in the other stages. */
  readonly done: number;
  readonly total: number;
}

/** `8 s`, `3 min`, `2 h 5 min`: whole seconds below two minutes, whole minutes above; never nothing. */
export function showDuration(seconds: number): string {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
