import { describe, expect, test } from 'vitest';
import { recipes } from '../dataset/index.ts';
import { type Evaluation, type EvaluationSettings, evaluateCases, scoreCase } from '../evaluate/index.ts';
import { identityDirection, type Volume } from '../volume/index.ts';
import { publishedScores } from './publishedScores.ts';

const mask: Volume = {
  data: Uint8Array.of(1),
  channels: 1,
  shape: [1, 1, 1],
  spacing: [1, 1, 1],
  origin: [0, 0, 0],
  direction: identityDirection,
};

function evaluated(names: readonly string[], settings: EvaluationSettings): Evaluation {
  const cases = names.map((name) => scoreCase(name, mask, mask, settings));
  return evaluateCases(cases, settings, { resamples: 10 });
}

const { synapse, lung } = recipes;
const test12 = 'validation' in synapse.split ? synapse.split.validation : [];
const organs = { labels: synapse.evaluated };

describe('publishedScores', () => {
  test('the published cases scored as published differ in nothing but how the checkpoint was chosen', () => {
    const found = publishedScores(evaluated(test12, { ...organs, convention: 'unetrpp' }))!;
    expect([found.title, found.rows, found.evaluated]).toEqual([synapse.title, synapse.scores, synapse.evaluated]);
    expect(found.differences).toEqual([
      'The published code chooses its checkpoint by the cases that the published scores are of.',
    ]);
  });

  test('other cases, another distance and another rule for empty masks are said', () => {
    const { differences } = publishedScores(evaluated([test12[0], 'img0005', 'mine'], organs))!;
    expect(differences[0]).toBe(
      'Cases: 1 of the 12 published test cases is scored here, and 2 others, 1 of which the published network was trained on.',
    );
    expect(differences[2]).toBe(
      'The published HD95 is in voxels, whatever their size; here it is in mm, as medpy defines it.',
    );
    expect(differences[3]).toContain('a missed one as a distance of 0; here the rule is “penalize”');
  });

  test('without its cases, or without its labels, a data set is another one', () => {
    const cancer = { labels: lung.evaluated };
    expect(publishedScores(evaluated(['liver_012'], cancer))).toBeUndefined();
    const [first] = 'validation' in lung.split ? lung.split.validation : [];
    expect(publishedScores(evaluated([first], cancer))?.title).toBe(lung.title);
    expect(publishedScores(evaluated([first], { labels: [{ name: 'cancer', values: [2] }] }))).toBeUndefined();
    expect(publishedScores(evaluated(test12, { labels: organs.labels.slice(1) }))).toBeUndefined();
    expect(publishedScores(evaluated(test12, { ...organs, metrics: ['iou'] }))).toBeUndefined();
  });
});
