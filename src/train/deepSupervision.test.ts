import { describe, expect, it } from 'vitest';
import { hasShared, sharedBytes } from '../../test/shared.ts';
import { buildProgram, evaluate, filled, input } from '../program/index.ts';
import type { Shape } from '../tensor.ts';
import { readSafetensors } from '../weights/index.ts';
import { supervisedLoss, supervisedTarget, supervisionWeights } from './deepSupervision.ts';

function targetOf(shape: Shape, labels: ArrayLike<number>, space: Shape) {
  const program = buildProgram('target', () => ({ y: supervisedTarget(input('x', [1, 1, ...shape]), space) }));
  const data = Float64Array.from(labels);
  return evaluate(program, new Map([['x', { dtype: 'float64', shape: [1, 1, ...shape], data }]])).get('y')!;
}

describe('weights of the heads', () => {
  it('halve from head to head and sum to 1', () => {
    expect(supervisionWeights(3, 'kept')).toEqual([4 / 7, 2 / 7, 1 / 7]);
    expect(supervisionWeights(3, 'dropped')).toEqual([2 / 3, 1 / 3, 0]);
    expect(supervisionWeights(1, 'kept')).toEqual([1]);
    expect(supervisionWeights(1, 'dropped')).toEqual([1]);
  });

  it('weigh the losses, and a head without weight is not asked', () => {
    const asked: number[] = [];
    const program = buildProgram('sum', () => ({
      loss: supervisedLoss([0.75, 0.25, 0], (head) => {
        asked.push(head);
        return filled(10 + head);
      }),
    }));
    expect(evaluate(program, new Map()).get('loss')!.data[0]).toBe(0.75 * 10 + 0.25 * 11);
    expect(asked).toEqual([0, 1]);
    expect(() => supervisedLoss([0, 0], () => filled(1))).toThrow('All heads have weight 0');
  });
});

describe('the target of a lower head', () => {
  const line = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

  it('takes the voxel nearest to the center of each coarser one', () => {
    expect([...targetOf([12], line, [3]).data]).toEqual([2, 6, 10]);
    expect([...targetOf([12], line, [4]).data]).toEqual([1, 4, 7, 10]);
    expect([...targetOf([12], line, [6]).data]).toEqual([1, 3, 5, 7, 9, 11]);
    expect([...targetOf([12], line, [12]).data]).toEqual(line);
  });

  it('takes it where the scale is no whole number too', () => {
    // 2.4 (i + 1/2) = 1.2, 3.6, 6, 8.4, 10.8
    expect([...targetOf([12], line, [5]).data]).toEqual([1, 3, 6, 8, 10]);
  });

  it('is refused to a finer head', () => {
    expect(() => targetOf([12], line, [13])).toThrow('A target of 12 voxels has no smaller copy of 13.');
    expect(() => targetOf([12], line, [3, 3])).toThrow('no smaller copy of 3x3');
  });

  describe.skipIf(!hasShared)('is the reference’s', () => {
    it.each(['0.5x0.5x0.5', '0.25x0.25x0.25', '1x0.5x0.5', '0.125x0.25x0.25'])('at scale %s', (scale) => {
      const { tensors } = readSafetensors(sharedBytes('golden', 'volumes', 'augmentation.safetensors'));
      const [whole, expected] = ['segmentation', `ds_target_${scale}`].map((name) => tensors.get(name)!);
      const got = targetOf(whole.shape, whole.data as Int16Array, expected.shape);
      expect([...got.data]).toEqual([...(expected.data as Int16Array)]);
    });
  });
});
