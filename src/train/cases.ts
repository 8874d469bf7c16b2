/**
 * Labelled scans as cases of a training: checked, and prepared as the plan says, to draw patches from. What a wrong label map
 * would spoil in silence is refused here, with the case's name. Where the scans come from is for others (cases.node.ts reads
 * a data set's files).
 */
import {
  type DatasetDescription,
  declaredValues,
  foregroundLocations,
  type Plan,
  randomStream,
} from '../dataset/index.ts';
import { InputError } from '../errors.ts';
import { prepare } from '../predict/prepare.ts';
import { sameShape, showShape } from '../tensor.ts';
import { farthestCorner } from '../volume/channels.ts';
import { reorient, type Vector3, type Volume } from '../volume/index.ts';
import type { TrainingCase } from './batches.ts';

export interface LabelledScan {
  readonly image: Volume;
  readonly labels: Volume;
  /** What the readers assumed or changed, such as voxels that were no numbers. */
  readonly notices?: readonly string[];
}

/** What a case must agree with, and by which words messages call it. */
export interface Declared {
  /** Names of the channels of the image, in order. */
  readonly channels: readonly string[];
  /** Every value that a label map may hold, in ascending order. */
  readonly values: readonly number[];
  /** Such as `dataset.json`. */
  readonly by: string;
  /** What to do about a value that is not among them. */
  readonly advice: string;
}

export const inDescription = (description: DatasetDescription): Declared => ({
  channels: description.channels,
  values: declaredValues(description),
  by: 'dataset.json',
  advice: 'correct the label map, or declare the label',
});

/** @throws InputError when image and labels lie on different grids, or do not agree with what is declared */
export function checkScan(name: string, { image, labels }: LabelledScan, declared: Declared): void {
  const { channels, by } = declared;
  if (image.channels !== channels.length) {
    throw new InputError(
      `The case ${name} has ${image.channels} channels and ${by} names ${channels.length} (${channels.join(', ')}); give one for each.`,
    );
  }
  checkGrid(name, image, labels);
  checkLabels(name, labels, declared);
}

/** Half a tenth of a millimeter, or a tenth of a voxel where that is more. */
const toleranceMm = (spacing: Vector3) => Math.max(0.05, Math.min(...spacing) / 10);

function checkGrid(name: string, image: Volume, labels: Volume): void {
  if (labels.channels !== 1) {
    throw new InputError(`The label map of ${name} has ${labels.channels} values for each voxel; give one.`);
  }
  if (!sameShape(image.shape, labels.shape)) {
    throw new InputError(
      `The label map of ${name} has ${showShape(labels.shape)} voxels (z, y, x) and its image ${showShape(image.shape)}; ` +
        "resample the labels onto the image's grid.",
    );
  }
  const away = farthestCorner(image, labels);
  if (away <= toleranceMm(image.spacing)) return;
  throw new InputError(
    `The label map of ${name} lies up to ${away.toFixed(2)} mm from its image in the patient ` +
      `(labels: ${showGrid(labels)}; image: ${showGrid(image)}); ` +
      "resample the labels onto the image's grid, or correct the header that is wrong.",
  );
}

/** Numbers as in the header, without rounding noise. */
function showGrid({ spacing, origin, direction }: Volume): string {
  const list = (numbers: readonly number[]) => numbers.map((each) => Number(each.toFixed(4))).join(', ');
  return `spacing ${list(spacing)} mm, origin ${list(origin)}, direction ${list(direction)}`;
}

function checkLabels(name: string, { data }: Volume, { values, by, advice }: Declared): void {
  const known = new Set(values);
  const others = new Map<number, number>();
  for (let i = 0; i < data.length; i++) {
    if (!known.has(data[i])) others.set(data[i], (others.get(data[i]) ?? 0) + 1);
  }
  if (others.size === 0) return;
  const [value, count] = [...others].reduce((a, b) => (b[1] > a[1] ? b : a));
  throw new InputError(
    `The label map of ${name} holds the value ${value} at ${count} voxel${count === 1 ? '' : 's'}, and ${by} declares ` +
      `${values.join(', ')}; ${advice}.`,
  );
}

/**
 * A case as training draws patches from it: turned, cropped, transposed, resampled and normalized like a scan for
 * prediction, its labels with it.
 * @param name decides which voxels of the foreground are remembered
 */
export function prepareCase(name: string, { image, labels }: LabelledScan, plan: Plan): TrainingCase {
  const turned = (volume: Volume) => (plan.orientation === null ? volume : reorient(volume, plan.orientation));
  const prepared = prepare(turned(image), plan, turned(labels));
  const stream = randomStream(...[...name].map((letter) => letter.codePointAt(0)!));
  const { shape, image: values, labels: map } = prepared;
  return {
    name,
    patch: { shape, channels: plan.channels.length, image: values, labels: Int16Array.from(map!) },
    locations: foregroundLocations(map!, stream),
  };
}

/** @throws InputError for what cannot be trained on yet */
export function checkSupported({ name, regionsClassOrder, ignoreLabel }: DatasetDescription): void {
  if (regionsClassOrder) {
    throw new InputError(
      `The labels of ${name} are regions, which training does not support; give each label a single number in dataset.json.`,
    );
  }
  if (ignoreLabel !== undefined) {
    throw new InputError(
      `${name} has an ignore label, which training does not support; give those voxels a label and remove it from dataset.json.`,
    );
  }
}

/**
 * What all cases of a training set together must have.
 * @param patch voxels along d, h, w
 * @returns what a user should know
 * @throws InputError when a class occurs in no case
 */
export function checkTrainingSet(
  cases: readonly TrainingCase[],
  { labels, name }: DatasetDescription,
  patch: Vector3,
): string[] {
  const present = new Set(cases.flatMap(({ locations }) => [...locations.keys()]));
  const absent = labels.slice(1).filter(({ values }) => !values.some((value) => present.has(value)));
  if (absent.length > 0) {
    const which = absent.map((label) => `${label.name} (${label.values.join(', ')})`).join(', ');
    throw new InputError(
      `No training case of ${name} has ${which}; take a fold whose training cases have it, or remove it from dataset.json.`,
    );
  }
  const notices = emptyCaseNotices(cases);
  const largest = [0, 1, 2].map((axis) => Math.max(...cases.map((each) => each.patch.shape[axis])));
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
export function emptyCaseNotices(cases: readonly TrainingCase[]): string[] {
  const empty = cases.filter(({ locations }) => locations.size === 0).map((each) => each.name);
  if (empty.length === 0) return [];
  const more = empty.length > 3 ? ` and ${empty.length - 3} more` : '';
  return [
    `Without foreground: ${empty.slice(0, 3).join(', ')}${more}; patches of ${empty.length === 1 ? 'it' : 'them'} are drawn from anywhere.`,
  ];
}
