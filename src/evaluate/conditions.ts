/** What scores depend on, in sentences that belong beside every table of them. */
import { type Evaluation, metrics } from './evaluation.ts';

/** Whose distances these are, in what unit: belongs above every table that has some; nothing where it has none. */
export function distancesSaid({ metrics: names, convention, unit, tolerance }: Evaluation): string {
  const distances = `; distances in ${unit === 'mm' ? unit : 'voxels'} as ${convention} defines them`;
  const surfaces = `NSD within ${tolerance} ${unit} as ${convention} defines it`;
  if (!names.some((name) => metrics[name].unit === 'distance')) return names.includes('nsd') ? `; ${surfaces}` : '';
  return names.includes('nsd') ? `${distances}, NSD within ${tolerance} ${unit}` : distances;
}

/** What intervals of means these are; part of a sentence. */
export function intervalsSaid({ bootstrap: { confidence, patients } }: Evaluation): string {
  const percent = Number((100 * confidence).toFixed(2));
  return `${percent} % bootstrap intervals${patients === null ? '' : `, which draw ${patients} patients with all of their scans`}`;
}

/** What the rule for empty masks did here, in a sentence. */
export function emptySaid({ empty, summary }: Evaluation): string {
  const sum = (which: 'missed' | 'invented' | 'absent') => summary.labels.reduce((all, label) => all + label[which], 0);
  const [missed, invented, absent] = [sum('missed'), sum('invented'), sum('absent')];
  const begin = `Empty masks (--empty ${empty}): `;
  if (missed + invented + absent === 0) return `${begin}none.`;
  const oneSided = {
    penalize: 'count as Dice 0 and the diagonal of the image',
    nan: 'count as Dice 0, their distances are left out',
    paper: 'count as Dice 0 and as distance 0, the best there is',
  }[empty];
  const neither = empty === 'paper' ? 'count as Dice 1' : 'are left out';
  return `${begin}${missed} missed and ${invented} invented ${oneSided}; ${absent} that neither has ${neither}.`;
}
