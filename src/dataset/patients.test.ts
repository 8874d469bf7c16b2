import { describe, expect, test } from 'vitest';
import { hasShared, sharedJson } from '../../test/shared.ts';
import { InputError } from '../errors.ts';
import { parsePatients, patientsByName } from './patients.ts';

describe('patients.json', () => {
  test('gives each case its patient, whatever else it says', () => {
    const json = [
      { patient: 'p2', group: 'NOR', cases: ['b', 'c'] },
      { patient: 'p1', cases: ['a', 'not here'] },
      { patient: 'p3', cases: [] },
    ];
    expect([...parsePatients(json, ['a', 'b', 'c'])]).toEqual([
      ['a', 'p1'],
      ['b', 'p2'],
      ['c', 'p2'],
    ]);
  });

  test.each([
    [
      'a case without a patient',
      [{ patient: 'p1', cases: ['a'] }],
      'names no patient for the case b; add it to the cases',
    ],
    [
      'a case of two patients',
      [
        { patient: 'p1', cases: ['a', 'b'] },
        { patient: 'p2', cases: ['a'] },
      ],
      'gives the case a to p1 and to p2; leave it with one of them.',
    ],
    ['another form', { p1: ['a', 'b'] }, 'it must be a list of records with "patient" and "cases".'],
    ['a record without cases', [{ patient: 'p1' }], 'patients.json at 0.cases'],
  ])('is refused for %s', (_, json, message) => {
    expect(() => parsePatients(json, ['a', 'b'])).toThrow(InputError);
    expect(() => parsePatients(json, ['a', 'b'])).toThrow(message);
  });
});

describe('names', () => {
  test('like those of ACDC tell the patient', () => {
    expect(patientsByName(['patient001_frame01', 'patient001_frame12'])?.get('patient001_frame12')).toBe('patient001');
  });

  test('of which one is another tell nothing', () => {
    expect(patientsByName(['patient001_frame01', 'scan_2'])).toBeUndefined();
    expect(patientsByName(['hippocampus_001'])).toBeUndefined();
  });

  test.skipIf(!hasShared)("of ACDC's cases tell what its patients.json says", () => {
    const json = sharedJson<{ patient: string; cases: string[] }[]>('data', 'Dataset027_ACDC', 'patients.json');
    const cases = json.flatMap((each) => each.cases);
    expect(patientsByName(cases)).toEqual(parsePatients(json, cases));
  });
});
