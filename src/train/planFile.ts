/**
 * `plan.json`: a plan with its reasons as a file that a person reads and edits, and that a training takes as a part of its
 * settings. It names the data set that it was made for, by the hash of its files, and is refused for any other.
 */
import { InputError } from '../errors.ts';
import type { Expected } from './budget.ts';
import type { Explanation } from './planning.ts';
import { checkTrainSettings, type TrainSettings } from './settings.ts';

const format = 'unetrpp-training-plan';

/** The text of a plan's file: all settings but the fold and the bundle to begin from, which `train` is given. */
export function planFile(
  settings: TrainSettings,
  explanation: readonly Explanation[],
  expected: Expected | undefined,
): string {
  const { format: _format, version: _version, dataset, fold: _fold, from: _from, ...rest } = settings;
  const { name, sha256 } = dataset;
  const file = { format, version: 1, dataset: { name, sha256 }, explanation, ...(expected && { expected }), ...rest };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/** Whether a part of settings is the content of a plan's file. */
export const isPlanFile = (part: unknown): boolean =>
  typeof part === 'object' && part !== null && (part as { format?: unknown }).format === format;

/**
 * What a part says of the training: of a plan's file all but its reasons, of others all.
 * @param dataset that is to be trained on
 * @param name what to call the part in messages
 * @throws InputError when it was made for another data set
 */
export function planPart(
  part: unknown,
  dataset: { readonly name: string; readonly sha256: string },
  name: string,
): unknown {
  if (!isPlanFile(part)) return part;
  const {
    format: _format,
    version,
    dataset: own,
    explanation: _explanation,
    expected: _expected,
    ...rest
  } = part as {
    readonly [key: string]: unknown;
  };
  if (version !== 1) {
    throw new InputError(`${name} is of version ${String(version)}, which is not known here; make the plan anew.`);
  }
  const madeFor = own as { readonly name?: unknown; readonly sha256?: unknown } | undefined;
  if (madeFor?.sha256 !== dataset.sha256) {
    throw new InputError(
      `${name} is a plan made for another data set (${String(madeFor?.name ?? 'unnamed')}) or for one whose files, labels or channels have changed ` +
        `since, not for ${dataset.name} as it is; make one with unetrpp plan.`,
    );
  }
  return rest;
}

/**
 * The settings that a plan's file gives for a fold.
 * @param file its content
 * @param name what to call it in messages
 * @throws InputError when it is no plan, one for another data set, or one that is not legal
 */
export function settingsInPlan(
  file: unknown,
  dataset: TrainSettings['dataset'],
  fold: TrainSettings['fold'],
  name: string,
): TrainSettings {
  if (!isPlanFile(file)) {
    throw new InputError(`${name} is no plan ("format": "${format}"); make one with unetrpp plan.`);
  }
  const own = { format: 'unetrpp-training', version: 1, dataset, fold, from: null };
  return checkTrainSettings({ ...(planPart(file, dataset, name) as object), ...own }, name);
}
