import { describe, expect, it } from 'vitest';
import { buildProgram, type Initializer, input, parameter } from '../program/index.ts';
import { initialize } from './initialization.ts';

function draw(initializer: Initializer, seed = 1, name = 'p'): Float32Array {
  const program = buildProgram('fresh', () => {
    parameter(name, [20_000], initializer);
    return { x: input('x', [1]) };
  });
  return initialize(program, seed).get(name)!.data;
}

const mean = (data: Float32Array) => data.reduce((so, value) => so + value, 0) / data.length;
const deviation = (data: Float32Array) => {
  const middle = mean(data);
  return Math.sqrt(data.reduce((so, value) => so + (value - middle) ** 2, 0) / data.length);
};

describe('fresh weights', () => {
  it('are uniform within the bound: mean 0, deviation bound / sqrt 3', () => {
    const data = draw({ kind: 'uniform', bound: 0.5 });
    expect(Math.abs(mean(data))).toBeLessThan(0.01);
    expect(deviation(data)).toBeCloseTo(0.5 / Math.sqrt(3), 2);
    expect(Math.max(...data)).toBeLessThan(0.5);
    expect(Math.min(...data)).toBeGreaterThanOrEqual(-0.5);
  });

  it('are normal, and cut where asked', () => {
    expect(deviation(draw({ kind: 'truncatedNormal', deviation: 0.02, cut: 2 }))).toBeCloseTo(0.02, 3);
    expect(Math.max(...draw({ kind: 'truncatedNormal', deviation: 1, cut: 0.5 }))).toBeLessThanOrEqual(0.5);
  });

  it('are the same for the same seed and name, and others for another', () => {
    const one = draw({ kind: 'uniform', bound: 1 });
    expect(draw({ kind: 'uniform', bound: 1 })).toEqual(one);
    expect(draw({ kind: 'uniform', bound: 1 }, 2)).not.toEqual(one);
    expect(draw({ kind: 'uniform', bound: 1 }, 1, 'q')).not.toEqual(one);
  });
});
