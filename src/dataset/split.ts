/**
 * Which cases a fold trains on and which it is validated on: from a list that someone wrote (`splits_final.json`), or by
 * nnU-Net's own rule, or by patient where a data set says who its cases are of.
 */
import { z } from 'zod';
import { InputError } from '../errors.ts';
import { type Fault, sentenceOf } from './fault.ts';
import { legacyPermutation } from './mersenneTwister.ts';
import type { Patients } from './patients.ts';

export interface Split {
  readonly train: readonly string[];
  readonly validation: readonly string[];
}

/** A fold's number, from 0; `all`: every case is trained on and validated on. */
export type Fold = number | 'all';

const foldCount = 5;
const seed = 12345;
/** Share of the cases that a fold beyond the last one trains on. */
const trainShare = 0.8;

/**
 * nnU-Net's split of cases into five folds; the names may come in any order. A fold beyond the last one is a random part
 * of four fifths, in the order drawn.
 * @throws InputError when there are fewer cases than folds
 */
export function nnunetSplit(cases: readonly string[], fold: number): Split {
  const names = [...cases].sort();
  if (names.length < foldCount) {
    throw new InputError(
      `${names.length} cases are too few for ${foldCount} folds; take the fold "all", or write splits_final.json.`,
    );
  }
  if (fold >= foldCount) return randomSplit(names, fold);
  const order = legacyPermutation(names.length, seed);
  // The first folds take one more each of what does not divide.
  const startOf = (k: number) => k * Math.floor(names.length / foldCount) + Math.min(k, names.length % foldCount);
  const held = new Set(order.slice(startOf(fold), startOf(fold + 1)));
  return {
    train: names.filter((_, index) => !held.has(index)),
    validation: names.filter((_, index) => held.has(index)),
  };
}

function randomSplit(names: readonly string[], fold: number): Split {
  const order = legacyPermutation(names.length, seed + fold);
  const trained = order.slice(0, Math.floor(trainShare * names.length));
  const chosen = new Set(trained);
  return { train: trained.map((index) => names[index]), validation: names.filter((_, index) => !chosen.has(index)) };
}

/** Of the split by patient. */
const patientSeed = 1234;

/**
 * Five folds in which no patient is on both sides, by the rule of nnU-Net's conversion of ACDC: the patients in the order of
 * their names are shuffled (NumPy's legacy generator, seed 1234), and fold k is validated on every fifth from the k-th on.
 * Cases are in the order of their names.
 * @throws InputError when there are fewer patients than folds, or for a fold beyond the last one
 */
export function patientSplit(patients: Patients, fold: number): Split {
  const cases = [...patients.keys()].sort();
  const names = [...new Set(patients.values())].sort();
  if (names.length < foldCount) {
    throw new InputError(
      `${names.length} patients are too few for ${foldCount} folds; take the fold "all", or write splits_final.json.`,
    );
  }
  if (fold >= foldCount) {
    throw new InputError(
      `There is no fold ${fold}: a data set that names its patients has ${foldCount} (0 to ${foldCount - 1}); give one of them, or "all".`,
    );
  }
  const order = legacyPermutation(names.length, patientSeed);
  const held = new Set(order.filter((_, at) => at % foldCount === fold).map((index) => names[index]));
  const isHeld = (each: string) => held.has(patients.get(each)!);
  return { train: cases.filter((each) => !isHeld(each)), validation: cases.filter(isHeld) };
}

const splitsSchema = z.array(z.object({ train: z.array(z.string()), val: z.array(z.string()) })).min(1);

/** A single split as a list of folds; its cases to judge are called `val` or `test`. */
function listOfFolds(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || !('train' in value)) return value;
  const { train, val, test } = value as { train: unknown; val?: unknown; test?: unknown };
  return [{ train, val: val ?? test }];
}

/**
 * Checks the JSON of a `splits_final.json`, or of a single split (`train` with `val` or `test`), against the cases of its
 * data set.
 * @param name what to call it in messages
 * @param patients where they are known
 * @throws InputError for an unknown case, one that is named twice, a fold without cases, or a patient on both sides
 */
export function parseSplits(
  value: unknown,
  cases: readonly string[],
  name = 'splits_final.json',
  patients?: Patients,
): Split[] {
  const { splits, faults } = readSplits(value, cases, name, patients);
  if (faults.length > 0) throw new InputError(sentenceOf(faults[0]));
  return splits;
}

/** As `parseSplits`, with everything that is wrong in place of an error. */
export function readSplits(
  value: unknown,
  cases: readonly string[],
  name: string,
  patients?: Patients,
): { splits: Split[]; faults: Fault[] } {
  const fault = (text: string, remedy: string): Fault => ({
    file: 'splits_final.json',
    text: `${name}${text}`,
    remedy,
  });
  const result = splitsSchema.safeParse(listOfFolds(value));
  if (!result.success) {
    const [{ path, message }] = result.error.issues;
    const where = path.length > 0 ? ` at ${path.join('.')}` : '';
    return {
      splits: [],
      faults: [
        fault(`${where}: ${message}`, 'it must be a list of folds, each with "train" and "val", or a single one'),
      ],
    };
  }
  const known = new Set(cases);
  const splits = result.data.map(({ train, val }) => ({ train, validation: val }));
  const faults = splits.flatMap((split, fold) => [
    ...faultsOfFold(split, fold, known),
    ...(patients ? sharedPatients(split, fold, patients) : []),
  ]);
  return { splits, faults: faults.map(({ text, remedy }) => fault(`: ${text}`, remedy)) };
}

type Said = Pick<Fault, 'text' | 'remedy'>;

function faultsOfFold({ train, validation }: Split, fold: number, known: ReadonlySet<string>): Said[] {
  const faults: Said[] = [];
  const seen = new Map<string, string>();
  for (const [part, names] of [
    ['train', train],
    ['val', validation],
  ] as const) {
    if (names.length === 0) faults.push({ text: `"${part}" of fold ${fold} is empty`, remedy: 'name its cases' });
    for (const each of names) {
      if (!known.has(each)) {
        faults.push({
          text: `fold ${fold} names the case ${each}, which the data set does not have`,
          remedy: 'remove it or add its files',
        });
        continue;
      }
      const other = seen.get(each);
      if (other !== undefined) {
        const twice = other === part ? `twice in "${part}"` : 'in "train" and in "val"';
        faults.push({ text: `fold ${fold} names the case ${each} ${twice}`, remedy: 'remove one of them' });
      }
      seen.set(each, part);
    }
  }
  return faults;
}

function sharedPatients({ train, validation }: Split, fold: number, patients: Patients): Said[] {
  const trained = new Map(train.map((each) => [patients.get(each), each]));
  const shared = new Map<string, readonly [string, string]>();
  for (const each of validation) {
    const patient = patients.get(each);
    const other = patient === undefined ? undefined : trained.get(patient);
    // A case on both sides is another fault, and said as that.
    if (patient !== undefined && other !== undefined && other !== each) shared.set(patient, [other, each]);
  }
  return [...shared].map(([patient, [other, each]]) => ({
    text: `fold ${fold} trains on ${patient} (${other}) and is validated on the same patient (${each})`,
    remedy: 'move all cases of a patient to one side',
  }));
}

/**
 * The split of a fold.
 * @param splits from `splits_final.json` or a file of the user's, where there is one
 * @param patients where they are known, and `splits` are not: folds by patient
 * @throws InputError for a fold that is none
 */
export function splitOf(
  cases: readonly string[],
  splits: readonly Split[] | undefined,
  fold: Fold,
  patients?: Patients,
): Split {
  if (fold === 'all') return { train: [...cases].sort(), validation: [...cases].sort() };
  if (!(Number.isSafeInteger(fold) && fold >= 0)) {
    throw new InputError(`${fold} is no fold; give its number, from 0 on, or "all".`);
  }
  if (splits && fold >= splits.length) {
    throw new InputError(
      `There is no fold ${fold}: the split that is given has ${splits.length === 1 ? 'one, 0' : `${splits.length}, 0 to ${splits.length - 1}`}; give ${splits.length === 1 ? 'that' : 'one of them'}, or "all".`,
    );
  }
  return splits?.[fold] ?? (patients ? patientSplit(patients, fold) : nnunetSplit(cases, fold));
}
