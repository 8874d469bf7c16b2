/**
 * Labelled scans as cases of a training: checked, and prepared as the plan says, to draw patches from. What a wrong label map
 * would spoil in silence is refused here, with the case's name. Where the scans come from is for others (cases.node.ts reads
 * a data set's files).
 */
import { channelFault, type Declared, gridFault, labelFaults, valueCounts } from '../dataset/checking.ts';
import {
  annotatedVoxels,
  type DatasetDescription,
  foregroundLocations,
  type Plan,
  randomStream,
} from '../dataset/index.ts';
import { InputError, some } from '../errors.ts';
import { prepare } from '../predict/prepare.ts';
import { showShape } from '../tensor.ts';
import { reorient, type Vector3, type Volume } from '../volume/index.ts';
import { type AnyCase, shapeOfCase, type TrainingCase } from './batches.ts';

export interface LabelledScan {
  readonly image: Volume;
  readonly labels: Volume;
  /** What the readers assumed or changed, such as voxels that were no numbers. */
  readonly notices?: readonly string[];
}

/** @throws InputError when image and labels lie on different grids, or do not agree with what is declared */
export function checkScan(name: string, { image, labels }: LabelledScan, declared: Declared): void {
  const fault =
    channelFault(name, image.channels, declared) ??
    gridFault(name, image, labels) ??
    labelFaults(name, valueCounts(labels.data), declared)[0];
  if (fault) throw new InputError(`${fault.text}; ${fault.remedy}.`);
}

/**
 * A case as training draws patches from it: turned, cropped, transposed, resampled and normalized like a scan for
 * prediction, its labels with it.
 * @param name decides which voxels of the foreground are remembered
 * @param ignored label of voxels that nothing is learned from, around which nothing is drawn
 */
export function prepareCase(name: string, { image, labels }: LabelledScan, plan: Plan, ignored?: number): TrainingCase {
  const turned = (volume: Volume) => (plan.orientation === null ? volume : reorient(volume, plan.orientation));
  const prepared = prepare(turned(image), plan, turned(labels));
  const stream = randomStream(...[...name].map((letter) => letter.codePointAt(0)!));
  const { shape, image: values, labels: map } = prepared;
  const locations = foregroundLocations(map!, stream, {
    regions: plan.regions?.map((region) => region.labels),
    ignored,
  });
  const annotated = ignored === undefined ? undefined : annotatedVoxels(map!, stream, ignored);
  return {
    name,
    patch: { shape, channels: plan.channels.length, image: values, labels: Int16Array.from(map!) },
    locations,
    ...(annotated?.length && { annotated }),
  };
}

/**
 * What all cases of a training set together must have.
 * @param patch voxels along d, h, w
 * @returns what a user should know
 * @throws InputError when a class occurs in no case
 */
export function checkTrainingSet(
  cases: readonly AnyCase[],
  { labels, name }: DatasetDescription,
  patch: Vector3,
): string[] {
  const present = new Set(cases.flatMap(({ locations }) => [...locations.keys()]));
  const absent = labels.slice(1).filter((_, index) => !present.has(index + 1));
  if (absent.length > 0) {
    const which = absent.map((label) => `${label.name} (${label.values.join(', ')})`).join(', ');
    throw new InputError(
      `No training case of ${name} has ${which}; take a fold whose training cases have it, or remove it from dataset.json.`,
    );
  }
  const notices = emptyCaseNotices(cases);
  const largest = [0, 1, 2].map((axis) => Math.max(...cases.map((each) => shapeOfCase(each)[axis])));
  const short = ['d', 'h', 'w'].filter((_, axis) => patch[axis] > largest[axis]);
  if (short.length > 0) {
    notices.push(
      `The patch of ${showShape(patch)} voxels is larger than every case along ${short.join(' and ')} (at most ${showShape(largest)}); ` +
        'the rest is filled with zeros.',
    );
  }
  return notices;
}

/** Which cases have no foreground, in a sentence. */
export function emptyCaseNotices(cases: readonly AnyCase[]): string[] {
  const empty = cases.filter(({ locations }) => locations.size === 0).map((each) => each.name);
  if (empty.length === 0) return [];
  return [
    `Without foreground: ${some(empty)}; patches of ${empty.length === 1 ? 'it' : 'them'} are drawn from anywhere.`,
  ];
}
