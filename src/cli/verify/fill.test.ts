import { describe, expect, it } from 'vitest';
import { fnv1a } from '../../weights/initialization.ts';
import { fill, fillInteger } from './fill.ts';

describe('the fill rule, on its published test vectors', () => {
  it('hashes the name', () => {
    expect(fnv1a('input')).toBe(4191711099);
  });

  it('fills with uniform values', () => {
    expect([...fill('input', 4, -1, 1)]).toEqual(
      [0.5980662722140551, 0.3703484949655831, 0.9605294466018677, -0.9915206991136074].map(Math.fround),
    );
  });

  it('fills with integers', () => {
    expect(fillInteger('label', 8, 5)).toEqual([0, 1, 2, 0, 2, 4, 2, 1]);
    expect(fillInteger('sample:out1', 4, 14680064)).toEqual([12337294, 12436618, 12544673, 14411708]);
  });
});
