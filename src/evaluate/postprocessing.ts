/**
 * Whether masks are better with the largest component only, of everything or of single labels: decided on validation cases
 * by the rule of nnU-Net v2 (`determine_postprocessing`). What a decision does to a mask is for volume/components.ts.
 *
 * The rule filters all foreground first, then label by label what came of that. Filtering one label takes away voxels of
 * that label alone and leaves the Dice of the others as it is; so each case need be looked at once, and all that the rule
 * asks for later is four numbers for a label.
 */
import { type Connectivity, keepLargestComponent } from '../volume/components.ts';
import type { Volume } from '../volume/volume.ts';
import { dice, overlaps } from './overlap.ts';
import { mean } from './statistics.ts';

/** Dice of each label of a case, in the order of the labels; null where neither mask has it. */
type LabelDice = readonly (number | null)[];

/** Plain JSON. */
export interface ComponentScores {
  readonly raw: LabelDice;
  /** With the largest component of the label only. */
  readonly alone: LabelDice;
  /** With the largest component of all foreground together only. */
  readonly together: LabelDice;
  /** Of what is left of the label then, the largest component only. */
  readonly togetherAlone: LabelDice;
}

/**
 * @param labels all that may be in a mask, without the background
 * @throws InputError when the two do not lie on one grid
 */
export function componentScores(
  reference: Volume,
  prediction: Volume,
  labels: readonly number[],
  { connectivity, ignoreLabel }: { readonly connectivity: Connectivity; readonly ignoreLabel?: number },
): ComponentScores {
  const filtered = (volume: Volume, set: readonly number[]): Volume => ({
    ...volume,
    data: keepLargestComponent(volume.data, volume.shape, set, { connectivity }).data,
  });
  const diceOf = (volume: Volume, values: readonly number[]) => {
    const counts = overlaps(reference, volume, values, ignoreLabel);
    return values.map((value) => orNull(dice(counts.get(value)!, 'nan')));
  };
  // Labels do not touch each other's voxels, so all may be filtered in one copy.
  const oneByOne = (volume: Volume) => labels.reduce((left, label) => filtered(left, [label]), volume);
  const together = filtered(prediction, labels);
  return {
    raw: diceOf(prediction, labels),
    alone: diceOf(oneByOne(prediction), labels),
    together: diceOf(together, labels),
    togetherAlone: diceOf(oneByOne(together), labels),
  };
}

const orNull = (value: number) => (Number.isNaN(value) ? null : value);

interface ComponentStep {
  /** Taken as one object. */
  readonly labels: readonly number[];
  /** Mean Dice of these labels; a single label's where it is one. null: one of them is in no case. */
  readonly before: number | null;
  readonly after: number | null;
  readonly accepted: boolean;
}

/** Plain JSON. */
export interface ComponentDecision {
  /** Sets of labels to filter, in order: `keepLargestComponents` of a plan. */
  readonly keep: readonly (readonly number[])[];
  readonly steps: readonly ComponentStep[];
  /** Mean Dice over cases, by label in their order: of the masks as they were, and filtered. */
  readonly before: LabelDice;
  readonly after: LabelDice;
}

/**
 * nnU-Net v2's rule. All foreground: accepted where the mean over labels rises and that of no label falls. Then, where there
 * is more than one label, each by itself: accepted where its mean rises. Means are over the cases that have a label.
 */
export function decideComponents(cases: readonly ComponentScores[], labels: readonly number[]): ComponentDecision {
  const meansOf = (which: keyof ComponentScores): LabelDice =>
    labels.map((_, index) => {
      const values = cases.map((each) => each[which][index]).filter((value) => value !== null);
      return orNull(mean(values));
    });
  const before = meansOf('raw');
  const together = meansOf('together');
  const all = {
    labels,
    before: foregroundMean(before),
    after: foregroundMean(together),
    accepted:
      rises(foregroundMean(before), foregroundMean(together)) &&
      before.every((value, index) => !rises(together[index], value)),
  };
  const [start, filtered] = all.accepted ? [together, meansOf('togetherAlone')] : [before, meansOf('alone')];
  const single = labels.length < 2 ? [] : labels;
  const each = single.map((label, index) => ({
    labels: [label],
    before: start[index],
    after: filtered[index],
    accepted: rises(start[index], filtered[index]),
  }));
  const steps = [all, ...each];
  return {
    keep: steps.filter(({ accepted }) => accepted).map((step) => step.labels),
    steps,
    before,
    after: start.map((value, index) => (each[index]?.accepted ? filtered[index] : value)),
  };
}

/** The mean of no value is none, and neither is one in which a label has none: as in nnU-Net. */
function foregroundMean(means: LabelDice): number | null {
  return means.includes(null) ? null : orNull(mean(means as readonly number[]));
}

/** What has no value is neither above nor below another. */
const rises = (from: number | null, to: number | null) => from !== null && to !== null && to > from;
