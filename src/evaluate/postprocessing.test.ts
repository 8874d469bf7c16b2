import { describe, expect, test } from 'vitest';
import { hasShared, sharedBytes, sharedJson } from '../../test/shared.ts';
import { identityDirection, keepLargestComponent, type Vector3, type Volume } from '../volume/index.ts';
import { readSafetensors } from '../weights/index.ts';
import { type ComponentScores, componentScores, decideComponents } from './postprocessing.ts';

const labels = [1, 2];

/** One slice, drawn: a digit a voxel. */
function drawn(...rows: string[]): Volume {
  return volumeOf([1, rows.length, rows[0].length], Uint8Array.from(rows.join(''), Number));
}

const volumeOf = (shape: Vector3, data: Volume['data']): Volume => ({
  shape,
  data,
  channels: 1,
  spacing: [1, 1, 1],
  origin: [0, 0, 0],
  direction: identityDirection,
});

const scores = (reference: Volume, prediction: Volume) =>
  componentScores(reference, prediction, labels, { connectivity: 26 });

describe('Dice of a case with largest components only', () => {
  test('of a label, of all foreground, of both', () => {
    const reference = drawn('1122000', '0000000', '0000000');
    const prediction = drawn('1122001', '0000000', '2000000');
    expect(scores(reference, prediction)).toEqual({
      // 2 * 2 / (2 + 3) each.
      raw: [0.8, 0.8],
      alone: [1, 1],
      together: [1, 1],
      togetherAlone: [1, 1],
    });
  });

  test('an island that touches another label is foreground with it, and a component of its own by itself', () => {
    const reference = drawn('1112200', '0000000');
    const prediction = drawn('1112210', '0000000');
    const { raw, alone, together, togetherAlone } = scores(reference, prediction);
    // 2 * 3 / (3 + 4).
    expect(raw).toEqual([6 / 7, 1]);
    expect(together).toEqual(raw);
    expect([alone, togetherAlone]).toEqual([
      [1, 1],
      [1, 1],
    ]);
  });

  test('a label that neither has has none', () => {
    expect(scores(drawn('110'), drawn('100')).raw).toEqual([2 / 3, null]);
  });
});

describe('what is decided', () => {
  /** A case in which filtering changes Dice of the two labels so. */
  const one = (raw: ComponentScores['raw'], changes: Partial<Omit<ComponentScores, 'raw'>> = {}): ComponentScores => ({
    raw,
    alone: raw,
    together: raw,
    togetherAlone: changes.together ?? raw,
    ...changes,
  });

  test('all foreground, where the mean rises and no label falls', () => {
    const decision = decideComponents([one([0.8, 0.9], { together: [0.9, 0.9] })], labels);
    expect(decision).toMatchObject({ keep: [[1, 2]], before: [0.8, 0.9], after: [0.9, 0.9] });
    expect(decision.steps.map(({ accepted }) => accepted)).toEqual([true, false, false]);
  });

  test('not where a label falls, though the mean rises; a label by itself, where its mean rises', () => {
    const scored = one([0.8, 0.9], { together: [0.95, 0.85], alone: [0.95, 0.9] });
    expect(decideComponents([scored], labels)).toMatchObject({ keep: [[1]], before: [0.8, 0.9], after: [0.95, 0.9] });
  });

  test('a label on top of all foreground', () => {
    const scored = one([0.8, 0.8], { together: [0.9, 0.9], togetherAlone: [0.9, 0.95] });
    expect(decideComponents([scored], labels)).toMatchObject({ keep: [[1, 2], [2]], after: [0.9, 0.95] });
  });

  test('nothing where all stays as it is', () => {
    expect(decideComponents([one([0.8, 0.9])], labels)).toMatchObject({ keep: [], after: [0.8, 0.9] });
  });

  test('means leave out cases without the label; a label that no case has keeps all foreground from being filtered', () => {
    const cases = [one([0.8, null], { together: [0.9, null] }), one([0.6, 0.5], { together: [0.9, 0.5] })];
    expect(decideComponents(cases, labels)).toMatchObject({ keep: [[1, 2]], before: [0.7, 0.5] });
    const decision = decideComponents([one([0.8, null], { together: [0.9, null], alone: [0.9, null] })], labels);
    expect(decision).toMatchObject({ keep: [[1]], before: [0.8, null], after: [0.9, null] });
  });

  test('of a single label there is one question', () => {
    const scored: ComponentScores = { raw: [0.8], alone: [0.9], together: [0.9], togetherAlone: [0.9] };
    expect(decideComponents([scored], [3])).toMatchObject({ keep: [[3]], steps: [{ labels: [3], accepted: true }] });
  });
});

interface Golden {
  postprocessing_decision: {
    name: string;
    cases: number;
    labels: number[];
    v2: {
      postprocessing: (number | number[])[];
      steps: { step: string; before: number | Means; after: number | Means; accepted: boolean }[];
    };
  }[];
}

interface Means {
  mean: Record<string, number>;
  foreground_mean: number;
}

describe.skipIf(!hasShared)('decisions of nnU-Net v2', () => {
  const decisions = hasShared ? sharedJson<Golden>('golden', 'volumes', 'components.json').postprocessing_decision : [];
  test.each(decisions)('$name', ({ name, cases: count, labels: values, v2 }) => {
    const { tensors } = readSafetensors(sharedBytes('golden', 'volumes', 'components.safetensors'), name);
    const volume = (index: number, what: string): Volume => {
      const { shape, data } = tensors.get(`pp_${name}_${index}_${what}`)!;
      return volumeOf(shape as unknown as Vector3, data as Uint8Array);
    };
    const cases = Array.from({ length: count }, (_, index) =>
      componentScores(volume(index, 'reference'), volume(index, 'prediction'), values, { connectivity: 26 }),
    );
    const decision = decideComponents(cases, values);
    expect(decision.keep).toEqual(v2.postprocessing.map((each) => [each].flat()));
    expect(decision.steps.map(({ accepted }) => accepted)).toEqual(v2.steps.map(({ accepted }) => accepted));
    v2.steps.forEach(({ before, after }, index) => {
      const foreground = (value: number | Means) => (typeof value === 'number' ? value : value.foreground_mean);
      expect(decision.steps[index].before).toBeCloseTo(foreground(before), 12);
      expect(decision.steps[index].after).toBeCloseTo(foreground(after), 12);
    });
    const [all] = v2.steps;
    values.forEach((value, index) => {
      expect(decision.before[index]).toBeCloseTo((all.before as Means).mean[value], 12);
      const together = cases.map((each) => each.together[index]!);
      const expected = (all.after as Means).mean[value];
      expect(together.reduce((sum, each) => sum + each, 0) / count).toBeCloseTo(expected, 12);
    });
    // What the decision does to the masks is what nnU-Net makes of them.
    for (let index = 0; index < count; index++) {
      let { data, shape } = volume(index, 'prediction');
      for (const set of decision.keep) data = keepLargestComponent(data, shape, set, { connectivity: 26 }).data;
      expect(data).toEqual(volume(index, 'v2_result').data);
    }
  });
});
