import { describe, expect, test } from 'vitest';
import { InputError } from '../errors.ts';
import { normalizationOf } from './channels.ts';

describe('the name of a channel', () => {
  test.each([
    ['CT', 'ct'],
    ['noNorm', 'none'],
    ['zscore', 'zScore'],
    ['rescale_to_0_1', 'rescale01'],
    ['rgb_to_0_1', 'rgb'],
  ])("is nnU-Net's word %s, and means %s", (name, normalization) => {
    expect(normalizationOf(name)).toBe(normalization);
    expect(normalizationOf(name.toUpperCase())).toBe(normalization);
  });

  test.each(
    'MRI MR mr cineMRI cine-MRI T1 T1w T1ce T1gd t1c t1n T2 T2w T2f T2* T2-FLAIR FLAIR Flair PD DWI ADC SWI bSSFP LGE T1_post'.split(
      ' ',
    ),
  )('is the MR sequence %s, whose values have no unit', (name) => {
    expect(normalizationOf(name)).toBe('zScore');
    expect(normalizationOf(`${name} fs`)).toBe('zScore');
  });

  test.each(['CTT', 'CT scan', 'computed', 'T3', 'T1x', 'post contrast', '', '0', 'constructor', 'PET'])(
    'is refused where it says nothing: %j',
    (name) => {
      expect(() => normalizationOf(name)).toThrow(InputError);
      expect(() => normalizationOf(name)).toThrow(
        `The channel name ${JSON.stringify(name)} does not say how its values are normalized; in dataset.json write CT (`,
      );
    },
  );
});
