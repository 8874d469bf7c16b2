/** A run's log as the pictures and sentences of a page. */
import { chartsImage } from '../../src/charts/curves.ts';
import { epochCurve, labelsOf } from '../../src/train/progressPage.ts';
import type { EpochRecord, RunRecord } from '../../src/train/run.ts';

/** The epochs of a run's log. */
export function epochsOf(log: string): EpochRecord[] {
  const records = log
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as RunRecord);
  return records.filter((record) => record.kind === 'epoch');
}

/** Loss, and Dice of the cases that the run looked at after each epoch, as an SVG image. */
export function curves(epochs: readonly EpochRecord[]): string {
  const labels = labelsOf(epochs);
  return chartsImage([
    { title: 'Loss, training', curves: [epochCurve(epochs, 'loss', ({ loss }) => loss)] },
    {
      title: 'Dice, validation',
      curves: labels.map((label) => epochCurve(epochs, label, ({ dice: scores }) => scores?.[label])),
    },
  ]);
}
