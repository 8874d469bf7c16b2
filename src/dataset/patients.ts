/**
 * Which patient each case is of, where a data set says so: scans of one patient (two phases of one heart) are alike, and a
 * fold that trains on one and is validated on the other measures nothing. Said by a `patients.json` beside dataset.json, or by
 * names like those of ACDC, `patient001_frame01`.
 */
import { z } from 'zod';
import { InputError } from '../errors.ts';
import { type Fault, sentenceOf } from './fault.ts';

/** The patient of each case. */
export type Patients = ReadonlyMap<string, string>;

/** Other keys, such as the group and the frames of ACDC, are for evaluation and for people. */
const patientsSchema = z.array(z.object({ patient: z.string().min(1), cases: z.array(z.string()) }));

/**
 * Checks the JSON of a `patients.json`: a list of records with "patient" and "cases". Patients and cases that the data set
 * does not have are of no concern: a part of a data set may keep the list of the whole.
 * @param name what to call it in messages
 * @throws InputError when a case has no patient, or two
 */
export function parsePatients(value: unknown, cases: readonly string[], name = 'patients.json'): Patients {
  const { patients, faults } = readPatients(value, cases, name);
  if (faults.length > 0) throw new InputError(sentenceOf(faults[0]));
  return patients;
}

/** As `parsePatients`, with everything that is wrong in place of an error. */
export function readPatients(
  value: unknown,
  cases: readonly string[],
  name: string,
): { patients: Patients; faults: Fault[] } {
  const faults: Fault[] = [];
  const fault = (text: string, remedy: string) => faults.push({ file: 'patients.json', text, remedy });
  const patients = new Map<string, string>();
  const result = patientsSchema.safeParse(value);
  if (!result.success) {
    const [{ path, message }] = result.error.issues;
    const where = path.length > 0 ? ` at ${path.join('.')}` : '';
    fault(`${name}${where}: ${message}`, 'it must be a list of records with "patient" and "cases"');
    return { patients, faults };
  }
  const own = new Map<string, string>();
  for (const record of result.data) {
    for (const each of record.cases) {
      const other = own.get(each);
      if (other !== undefined && other !== record.patient) {
        fault(`${name} gives the case ${each} to ${other} and to ${record.patient}`, 'leave it with one of them');
      }
      own.set(each, record.patient);
    }
  }
  for (const each of cases) {
    const patient = own.get(each);
    if (patient === undefined) fault(`${name} names no patient for the case ${each}`, 'add it to the cases of one');
    else patients.set(each, patient);
  }
  return { patients, faults };
}

/** The two frames of a heart, by the names of their cases. */
export interface HeartFrames {
  readonly patient: string;
  readonly endDiastole: string;
  readonly endSystole: string;
}

const framesSchema = z.array(
  z.object({ patient: z.string(), cases: z.array(z.string()), ED_frame: z.int(), ES_frame: z.int() }),
);

/**
 * The pairs of frames of a `patients.json` that names them (`ED_frame`, `ES_frame`): the cases whose names end in these
 * numbers. Patients of whom a frame is not among the cases are left out.
 * @throws InputError when the list does not name frames, or no patient has both among the cases
 */
export function heartFrames(value: unknown, cases: readonly string[], name = 'patients.json'): HeartFrames[] {
  const parsed = framesSchema.safeParse(value);
  if (!parsed.success) {
    const [{ path, message }] = parsed.error.issues;
    throw new InputError(
      `${name} at ${path.join('.') || 'its top'}: ${message}; to pair frames of hearts, each record must have "patient", "cases", "ED_frame" and "ES_frame".`,
    );
  }
  const known = new Set(cases);
  const pairs = parsed.data.flatMap(({ patient, cases: own, ED_frame, ES_frame }): HeartFrames[] => {
    const named = (frame: number) =>
      own.find((each) => known.has(each) && Number(/(\d+)$/.exec(each)?.[1] ?? Number.NaN) === frame);
    const [endDiastole, endSystole] = [named(ED_frame), named(ES_frame)];
    return endDiastole === undefined || endSystole === undefined ? [] : [{ patient, endDiastole, endSystole }];
  });
  if (pairs.length > 0) return pairs;
  throw new InputError(
    `${name} has no patient with both frames (ED_frame, ES_frame) among the cases that are scored; score both.`,
  );
}

/** By names alone: undefined unless every case is called like those of ACDC. */
export function patientsByName(cases: readonly string[]): Patients | undefined {
  const named = cases.map((each) => [each, /^(patient\d+)_frame\d+$/.exec(each)?.[1]] as const);
  if (cases.length === 0) return undefined;
  return named.every((entry): entry is readonly [string, string] => entry[1] !== undefined)
    ? new Map(named)
    : undefined;
}
