/**
 * Cases of a data set, read from their files, checked, and prepared as the plan says, to draw training patches from. What a
 * wrong label map would spoil in silence is refused here, with the case's name.
 */
import { type DatasetDescription, declaredValues } from '../dataset/description.ts';
import type { CaseFiles } from '../dataset/folder.node.ts';
import { foregroundLocations, type Plan, randomStream } from '../dataset/index.ts';
import { InputError } from '../errors.ts';
import { prepare } from '../predict/prepare.ts';
import { sameShape, showShape } from '../tensor.ts';
import { farthestCorner } from '../volume/channels.ts';
import { readVolumeFile } from '../volume/files.node.ts';
import { reorient, stackChannels, type Vector3, type Volume } from '../volume/index.ts';
import type { TrainingCase } from './batches.ts';

export interface LabelledScan {
  readonly image: Volume;
  readonly labels: Volume;
  /** What the readers assumed or changed, such as voxels that were no numbers. */
  readonly notices?: readonly string[];
}

/**
 * Image and labels of a case, as they lie in its files.
 * @throws InputError when a file is unreadable, the two lie on different grids, or a label is none of the declared
 * ones
 */
export async function readCase(files: CaseFiles, description: DatasetDescription): Promise<LabelledScan> {
  const { name } = files;
  const read = await Promise.all([...files.images, files.label].map((path) => readVolumeFile(path)));
  const volumes = read.map(({ volume }) => volume);
  const labels = volumes.pop()!;
  const image = stackChannels(
    volumes.map((volume, index) => ({ volume, name: files.images[index] })),
    name,
  );
  if (image.channels !== description.channels.length) {
    throw new InputError(
      `The case ${name} has ${image.channels} channels and dataset.json names ${description.channels.length} (${description.channels.join(', ')}); give one for each.`,
    );
  }
  checkGrid(name, image, labels);
  checkLabels(name, labels, declaredValues(description));
  return { image, labels, notices: read.flatMap(({ notices }) => notices) };
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

function checkLabels(name: string, { data }: Volume, declared: readonly number[]): void {
  const known = new Set(declared);
  const others = new Map<number, number>();
  for (let i = 0; i < data.length; i++) {
    if (!known.has(data[i])) others.set(data[i], (others.get(data[i]) ?? 0) + 1);
  }
  if (others.size === 0) return;
  const [value, count] = [...others].reduce((a, b) => (b[1] > a[1] ? b : a));
  throw new InputError(
    `The label map of ${name} holds the value ${value} at ${count} voxel${count === 1 ? '' : 's'}, and dataset.json declares ` +
      `${declared.join(', ')}; correct the label map, or declare the label.`,
  );
}

/**
 * A case as training draws patches from it: turned, cropped, transposed, resampled and normalized like a scan for
 * prediction, its labels with it. Image and labels lie in memory that threads can share.
 * @param name decides which voxels of the foreground are remembered
 */
export function prepareCase(name: string, { image, labels }: LabelledScan, plan: Plan): TrainingCase {
  const turned = (volume: Volume) => (plan.orientation === null ? volume : reorient(volume, plan.orientation));
  const prepared = prepare(turned(image), plan, turned(labels));
  const stream = randomStream(...[...name].map((letter) => letter.codePointAt(0)!));
  const { shape, image: values, labels: map } = prepared;
  return inSharedMemory({
    name,
    patch: { shape, channels: plan.channels.length, image: values, labels: Int16Array.from(map!) },
    locations: foregroundLocations(map!, stream),
  });
}

/** The same case, its arrays in memory that threads share instead of copying it; what lies there already stays. */
export function inSharedMemory({ name, patch, locations }: TrainingCase): TrainingCase {
  return {
    name,
    patch: {
      ...patch,
      image: shared(patch.image, (length) => new Float32Array(new SharedArrayBuffer(4 * length))),
      labels: shared(patch.labels, (length) => new Int16Array(new SharedArrayBuffer(2 * length))),
    },
    locations: new Map(
      [...locations].map(([label, voxels]) => [
        label,
        shared(voxels, (length) => new Int32Array(new SharedArrayBuffer(4 * length))),
      ]),
    ),
  };
}

function shared<T extends Float32Array | Int16Array | Int32Array>(values: T, allocate: (length: number) => T): T {
  if (values.buffer instanceof SharedArrayBuffer) return values;
  const out = allocate(values.length);
  out.set(values);
  return out;
}

export interface LoadOptions {
  /** After each case. */
  readonly onCase?: (done: number, total: number) => void;
  /** Aborting ends the work before the next case, with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * Reads, checks and prepares cases, one after the other.
 * @throws InputError at the first case that is wrong
 */
export async function loadCases(
  files: readonly CaseFiles[],
  description: DatasetDescription,
  plan: Plan,
  { onCase, signal }: LoadOptions = {},
): Promise<{ cases: TrainingCase[]; notices: string[] }> {
  checkSupported(description);
  const cases: TrainingCase[] = [];
  const notices: string[] = [];
  for (const each of files) {
    signal?.throwIfAborted();
    const scan = await readCase(each, description);
    notices.push(...(scan.notices ?? []));
    cases.push(prepareCase(each.name, scan, plan));
    onCase?.(cases.length, files.length);
  }
  return { cases, notices };
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
  const notices: string[] = [];
  const empty = cases.filter(({ locations }) => locations.size === 0).map((each) => each.name);
  if (empty.length > 0) {
    const more = empty.length > 3 ? ` and ${empty.length - 3} more` : '';
    notices.push(
      `Without foreground: ${empty.slice(0, 3).join(', ')}${more}; patches of ${empty.length === 1 ? 'it' : 'them'} are drawn from anywhere.`,
    );
  }
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
