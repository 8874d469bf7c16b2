import { expect, test } from 'vitest';
import { showDuration } from './progress.ts';

test.each([
  [0, '1 s'],
  [47.6, '48 s'],
  [119, '119 s'],
  [150, '3 min'],
  [7500, '2 h 5 min'],
])('%d seconds are %s', (seconds, words) => expect(showDuration(seconds)).toBe(words));
