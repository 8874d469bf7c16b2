/**
 * Which cases a fold trains on and which it is validated on: from a list that someone wrote (`splits_final.json`), or by
 * nnU-Net's own rule.
 */
import { z } from 'zod';
import { InputError } from '../errors.ts';
import { legacyPermutation } from './mersenneTwister.ts';

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

const splitsSchema = z.array(z.object({ train: z.array(z.string()), val: z.array(z.string()) })).min(1);

/**
 * Checks the JSON of a `splits_final.json` against the cases of its data set.
 * @param name what to call it in messages
 * @throws InputError for an unknown case, one that is named twice, or a fold without cases
 */
export function parseSplits(value: unknown, cases: readonly string[], name = 'splits_final.json'): Split[] {
  const result = splitsSchema.safeParse(value);
  if (!result.success) {
    const [{ path, message }] = result.error.issues;
    const where = path.length > 0 ? ` at ${path.join('.')}` : '';
    throw new InputError(`${name}${where}: ${message}; it must be a list of folds, each with "train" and "val".`);
  }
  const known = new Set(cases);
  return result.data.map(({ train, val }, fold) => {
    const seen = new Map<string, string>();
    for (const [part, names] of [
      ['train', train],
      ['val', val],
    ] as const) {
      if (names.length === 0) throw new InputError(`${name}: "${part}" of fold ${fold} is empty; name its cases.`);
      for (const each of names) {
        if (!known.has(each)) {
          throw new InputError(
            `${name}: fold ${fold} names the case ${each}, which the data set does not have; remove it or add its files.`,
          );
        }
        const other = seen.get(each);
        if (other !== undefined) {
          const twice = other === part ? `twice in "${part}"` : 'in "train" and in "val"';
          throw new InputError(`${name}: fold ${fold} names the case ${each} ${twice}; remove one of them.`);
        }
        seen.set(each, part);
      }
    }
    return { train, validation: val };
  });
}

/**
 * The split of a fold.
 * @param splits from `splits_final.json`, where there is one
 * @throws InputError for a fold that is none
 */
export function splitOf(cases: readonly string[], splits: readonly Split[] | undefined, fold: Fold): Split {
  if (fold === 'all') return { train: [...cases].sort(), validation: [...cases].sort() };
  if (!(Number.isSafeInteger(fold) && fold >= 0)) {
    throw new InputError(`${fold} is no fold; give its number, from 0 on, or "all".`);
  }
  if (splits && fold >= splits.length) {
    throw new InputError(
      `There is no fold ${fold}: splits_final.json has ${splits.length} (0 to ${splits.length - 1}); give one of them, or "all".`,
    );
  }
  return splits?.[fold] ?? nnunetSplit(cases, fold);
}
