/**
 * The published scores that an evaluation belongs beside, and what keeps them from being compared outright: other cases, other
 * distances, another rule for empty masks. From the table of data sets; no data set is known by name here.
 */
import { type Recipe, recipes } from '../dataset/index.ts';
import type { Evaluation, PublishedTable } from '../evaluate/index.ts';

/**
 * The table of the data set whose scored labels and cases these are; undefined for any other. Labels alone do not tell: many
 * data sets call 1 cancer.
 */
export function publishedScores(evaluation: Evaluation): PublishedTable | undefined {
  const found = Object.values(recipes).find(
    (recipe) => recipe.scores.length > 0 && hasLabels(evaluation, recipe) && ofSplit(evaluation, recipe).length > 0,
  );
  if (!found) return undefined;
  const { title, scoresSource, evaluated, scores } = found;
  return { title, source: scoresSource, evaluated, rows: scores, differences: differences(evaluation, found) };
}

function hasLabels({ labels, metrics }: Evaluation, { evaluated }: Recipe): boolean {
  const key = (label: { name: string; values: readonly number[] }) =>
    `${label.name.toLowerCase()} ${label.values.join()}`;
  const scored = new Set(labels.map(key));
  return metrics.includes('dice') && evaluated.every((label) => scored.has(key(label)));
}

function splitCases({ split }: Recipe): { train: readonly string[]; test: readonly string[] } {
  return 'none' in split ? { train: [], test: [] } : { train: split.train, test: split.validation };
}

function ofSplit({ cases }: Evaluation, recipe: Recipe): string[] {
  const { train, test } = splitCases(recipe);
  const known = new Set([...train, ...test]);
  return cases.map(({ name }) => name).filter((name) => known.has(name));
}

function differences(evaluation: Evaluation, recipe: Recipe): string[] {
  const { convention, unit, empty } = evaluation;
  const { train, test } = splitCases(recipe);
  const names = evaluation.cases.map(({ name }) => name);
  const [tested, trained] = [test, train].map((list) => names.filter((name) => list.includes(name)).length);
  const said: string[] = [];
  if (tested < test.length || tested < names.length) {
    const published = tested === 0 ? 'none' : tested === test.length ? `all ${test.length}` : String(tested);
    said.push(
      `Cases: ${published} of the ${test.length} published test cases ${tested === 1 ? 'is' : 'are'} scored here, and ${names.length - tested} other${names.length - tested === 1 ? '' : 's'}${trained > 0 ? `, ${trained} of which the published network was trained on` : ''}.`,
    );
  }
  if (test.length > 0) {
    said.push('The published code chooses its checkpoint by the cases that the published scores are of.');
  }
  const distances = recipe.scores.some(({ hd95 }) => hd95 !== undefined);
  if (distances && (convention !== 'unetrpp' || unit !== 'voxel')) {
    said.push(
      `The published HD95 is in voxels, whatever their size; here it is in ${unit === 'mm' ? 'mm' : 'voxels'}, as ${convention} defines it.`,
    );
  }
  if (empty !== 'paper') {
    const rule = distances ? ', and a missed one as a distance of 0' : '';
    said.push(
      `The published scripts count a label that neither mask has as Dice 1${rule}; here the rule is “${empty}”. --convention unetrpp scores as they do.`,
    );
  }
  return said;
}
