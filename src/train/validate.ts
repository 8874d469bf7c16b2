/**
 * Validation as prediction: cases go through the segmenter that `predict` uses, and the label maps are compared with the
 * reference on the scan's own grid. What it costs is a compiled network each time; what it gives is the number that a
 * user of the bundle will see.
 */
import type { CompileOptions, Engine } from '../engine/engine.ts';
import { dice, mean, regionOverlaps } from '../evaluate/index.ts';
import { createSegmenter, type Model } from '../predict/index.ts';
import type { Volume } from '../volume/index.ts';
import type { Scores } from './run.ts';

export interface ValidationCase {
  readonly name: string;
  read(): Promise<{ readonly image: Volume; readonly labels: Volume }>;
}

export interface CaseScores {
  readonly name: string;
  /** By the name of the label or region; NaN where neither the prediction nor the reference has it. */
  readonly dice: Readonly<Record<string, number>>;
}

export interface ValidationOptions extends Pick<CompileOptions, 'device' | 'threads'> {
  /** Value of references that says "not judged". */
  readonly ignoreLabel?: number;
  readonly onCase?: (scores: CaseScores) => void;
  readonly signal?: AbortSignal;
}

/**
 * Dice of every label but the background, or of every region, case by case, without mirroring.
 * @throws InputError when an image does not fit the model
 */
export async function validate(
  engine: Engine,
  model: Model,
  cases: readonly ValidationCase[],
  { onCase, signal, ignoreLabel, ...options }: ValidationOptions = {},
): Promise<CaseScores[]> {
  const segmenter = await createSegmenter(engine, model, options);
  try {
    const scores: CaseScores[] = [];
    const labelled = [...model.labels]
      .filter(([value]) => value !== 0)
      .map(([value, name]) => ({ name, labels: [value] }));
    const judged = model.plan.regions ?? labelled;
    const sets = judged.map((each) => each.labels);
    for (const { name, read } of cases) {
      signal?.throwIfAborted();
      const { image, labels } = await read();
      const predicted = await segmenter.segment(image, { signal });
      const counts = regionOverlaps(labels, predicted.labels, sets, ignoreLabel);
      const each = counts.map((count, index) => [judged[index].name, dice(count, 'nan')] as const);
      scores.push({ name, dice: Object.fromEntries(each) });
      onCase?.(scores.at(-1)!);
    }
    return scores;
  } finally {
    await segmenter.dispose();
  }
}

/** Means over the cases that have a label, and the mean of those over labels. */
export function summarize(cases: readonly CaseScores[]): Scores {
  const names = [...new Set(cases.flatMap((each) => Object.keys(each.dice)))];
  const defined = (values: readonly number[]) => values.filter((value) => !Number.isNaN(value));
  const meanOf = (values: readonly number[]) => (values.length === 0 ? Number.NaN : mean(values));
  const means = names.map((name) => [name, meanOf(defined(cases.map((each) => each.dice[name])))] as const);
  return { dice: Object.fromEntries(means), mean: meanOf(defined(means.map(([, value]) => value))) };
}
