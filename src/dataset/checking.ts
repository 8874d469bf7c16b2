/**
 * Whether a data set is fit to train on: each case against its label map, all cases against each other, and what
 * dataset.json says of them. Everything that is wrong is found, not the first thing only; training asks the same functions
 * about each case and stops at the first. Reading the files is for checking.node.ts.
 */
import { sameShape, showShape } from '../tensor.ts';
import { farthestCorner } from '../volume/channels.ts';
import { orientationOf, type Vector3, type Volume, type VoxelData } from '../volume/index.ts';
import { normalizationOf } from './channels.ts';
import { type DatasetDescription, declaredValues } from './description.ts';
import type { Fault } from './fault.ts';
import type { Patients } from './patients.ts';
import type { Split } from './split.ts';

/** `error`: training would fail, or learn something wrong. `warning`: it works, and perhaps not as meant. */
type Severity = 'error' | 'warning';

type ProblemGroup =
  | 'files'
  | 'channels'
  | 'grid'
  | 'labels'
  | 'values'
  | 'stored type'
  | 'header'
  | 'orientation'
  | 'duplicates'
  | 'patients and splits';

export interface Problem extends Fault {
  readonly severity: Severity;
  readonly group: ProblemGroup;
}

type Said = Pick<Fault, 'text' | 'remedy'>;

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

// --- one case ---

/** What is wrong with the number of channels of a case. */
export function channelFault(name: string, channels: number, declared: Declared): Said | undefined {
  const { channels: wanted, by } = declared;
  if (channels === wanted.length) return undefined;
  return {
    text: `The case ${name} has ${channels} channels and ${by} names ${wanted.length} (${wanted.join(', ')})`,
    remedy: 'give one for each',
  };
}

/** Half a tenth of a millimeter, or a tenth of a voxel where that is more. */
const toleranceMm = (spacing: Vector3) => Math.max(0.05, Math.min(...spacing) / 10);

/** What is wrong with the grid of a label map, on that of its image: voxels, spacing, origin, direction. */
export function gridFault(name: string, image: Volume, labels: Volume): Said | undefined {
  if (labels.channels !== 1) {
    return { text: `The label map of ${name} has ${labels.channels} values for each voxel`, remedy: 'give one' };
  }
  const remedy = "resample the labels onto the image's grid";
  if (!sameShape(image.shape, labels.shape)) {
    return {
      text: `The label map of ${name} has ${showShape(labels.shape)} voxels (z, y, x) and its image ${showShape(image.shape)}`,
      remedy,
    };
  }
  const away = farthestCorner(image, labels);
  if (away <= toleranceMm(image.spacing)) return undefined;
  return {
    text:
      `The label map of ${name} lies up to ${away.toFixed(2)} mm from its image in the patient ` +
      `(labels: ${showGrid(labels)}; image: ${showGrid(image)})`,
    remedy: `${remedy}, or correct the header that is wrong`,
  };
}

/** Numbers as in the header, without rounding noise. */
function showGrid({ spacing, origin, direction }: Volume): string {
  const list = (numbers: readonly number[]) => numbers.map((each) => Number(each.toFixed(4))).join(', ');
  return `spacing ${list(spacing)} mm, origin ${list(origin)}, direction ${list(direction)}`;
}

/** Values that a label map may have so many of before it is no label map, and counting them ends. */
const mostValues = 1024;

/** How often each value occurs; of a map with very many values, of the first of them. */
export function valueCounts(data: VoxelData): Map<number, number> {
  const small = new Float64Array(mostValues);
  const others = new Map<number, number>();
  for (let i = 0; i < data.length; i++) {
    const value = data[i];
    if (value >= 0 && value < mostValues && Number.isInteger(value)) small[value]++;
    else if (others.size < mostValues || others.has(value)) others.set(value, (others.get(value) ?? 0) + 1);
  }
  const counts = new Map<number, number>();
  for (const [value, count] of small.entries()) if (count > 0) counts.set(value, count);
  for (const [value, count] of others) counts.set(value, count);
  return counts;
}

/** Values that are not declared, the most frequent first. */
export function labelFaults(name: string, counts: ReadonlyMap<number, number>, declared: Declared): Said[] {
  const { values, by, advice } = declared;
  const known = new Set(values);
  return [...counts]
    .filter(([value]) => !known.has(value))
    .sort(([, a], [, b]) => b - a)
    .map(([value, count]) => ({
      text:
        `The label map of ${name} holds the value ${value} at ${count} voxel${count === 1 ? '' : 's'}, and ${by} declares ` +
        values.join(', '),
      remedy: Number.isInteger(value)
        ? advice
        : 'labels are whole numbers: resample label maps with nearest neighbors, not linearly',
    }));
}

/** An image or label map as it was read, with what its file says. */
export interface CheckedFile {
  /** Path from the data set's folder. */
  readonly file: string;
  readonly volume: Volume;
  /** As in the file, such as `float32`. */
  readonly storedType: string;
  /** What the reader assumed or changed. */
  readonly notices: readonly string[];
  /** How far the header's two affines, qform and sform, are apart, in mm; undefined where there are not both. */
  readonly formsApartMm: number | undefined;
  /** Whether voxels were NaN or infinite, as a notice says too. */
  readonly nonFinite: boolean;
}

/** What is kept of a case when the next one is read. */
export interface CaseSummary {
  readonly name: string;
  readonly image: string;
  readonly label: string;
  readonly orientation: string;
  readonly storedTypes: readonly string[];
  readonly labelCounts: ReadonlyMap<number, number>;
}

/** Undeclared values of one label map that are listed; more of them are one mistake, not many. */
const listedValues = 5;
const roundingMm = 0.05;

/**
 * @param images of the channels in order, or one with all of them
 * @returns all that is wrong with the case by itself
 */
export function checkCase(
  name: string,
  images: readonly CheckedFile[],
  label: CheckedFile,
  description: DatasetDescription,
): Problem[] {
  const declared = inDescription(description);
  const problems: Problem[] = [];
  const add = (severity: Severity, group: ProblemGroup, file: string, said: Said | undefined) => {
    if (said) problems.push({ severity, group, file, ...said });
  };
  const [first] = images;
  const channels = images.reduce((sum, { volume }) => sum + volume.channels, 0);
  add('error', 'channels', first.file, channelFault(name, channels, declared));
  for (const other of images.slice(1)) add('error', 'grid', other.file, apart(name, first, other));
  add('error', 'grid', label.file, gridFault(name, first.volume, label.volume));

  const counts = valueCounts(label.volume.data);
  const faults = labelFaults(name, counts, declared);
  for (const each of faults.slice(0, listedValues)) add('error', 'labels', label.file, each);
  if (faults.length > listedValues) {
    add('error', 'labels', label.file, {
      text: `The label map of ${name} holds ${faults.length - listedValues} more values that are not declared`,
      remedy: 'see whether it is a label map at all',
    });
  }
  if (counts.size === 1 && counts.has(0)) {
    add('warning', 'labels', label.file, {
      text: `The label map of ${name} is empty: it has background only`,
      remedy: 'make sure that this is meant',
    });
  }
  if (label.storedType.startsWith('float')) {
    add('warning', 'stored type', label.file, {
      text: `The label map of ${name} is stored as ${label.storedType}`,
      remedy: 'store label maps as whole numbers (uint8)',
    });
  }
  for (const each of [...images, label]) {
    for (const problem of readingProblems(each, each === label)) problems.push(problem);
  }
  for (const each of images) add('warning', 'values', each.file, valueFault(name, each));
  return problems;
}

function apart(name: string, first: CheckedFile, other: CheckedFile): Said | undefined {
  const [a, b] = [first.volume, other.volume];
  const remedy = 'register and resample the channels onto one grid';
  if (!sameShape(a.shape, b.shape)) {
    return {
      text: `Of the case ${name}, ${other.file} has ${showShape(b.shape)} voxels (z, y, x) and ${first.file} ${showShape(a.shape)}`,
      remedy,
    };
  }
  const away = farthestCorner(a, b);
  if (away <= roundingMm) return undefined;
  return {
    text: `Of the case ${name}, ${other.file} and ${first.file} lie up to ${away.toFixed(2)} mm apart in the patient`,
    remedy,
  };
}

function readingProblems({ file, notices, nonFinite, formsApartMm }: CheckedFile, isLabel: boolean): Problem[] {
  const own = `${file.slice(file.lastIndexOf('/') + 1)}: `;
  const problems = notices
    .map((notice) => (notice.startsWith(own) ? notice.slice(own.length) : notice))
    .map(
      (notice): Problem =>
        nonFinite && tellsOfNonFinite(notice)
          ? {
              severity: 'error',
              group: isLabel ? 'labels' : 'values',
              file,
              text: notice.replace(/ and are 0 now\.$|\.$/, ''),
              remedy: 'replace them by what belongs there',
            }
          : {
              severity: 'warning',
              group: 'header',
              file,
              text: notice.replace(/\.$/, ''),
              remedy: 'correct the header, unless what was taken is right',
            },
    );
  if (formsApartMm !== undefined && !(formsApartMm <= roundingMm)) {
    problems.push({
      severity: 'warning',
      group: 'header',
      file,
      text: `its qform and its sform put the same voxel up to ${formsApartMm.toFixed(2)} mm apart, and programs differ in which they believe`,
      remedy: 'set both to the right one (the sform is taken here)',
    });
  }
  return problems;
}

/** Of the notices of readers, the one about voxels that were no numbers. */
export const tellsOfNonFinite = (notice: string) => notice.includes('not finite (NaN or infinite)');

function valueFault(name: string, { file, volume }: CheckedFile): Said | undefined {
  const { data } = volume;
  const [first] = data;
  for (let i = 1; i < data.length; i++) if (data[i] !== first) return undefined;
  return {
    text: `${file} of the case ${name} holds the value ${first} everywhere`,
    remedy: 'see whether the export of this image failed',
  };
}

export function summaryOf(name: string, images: readonly CheckedFile[], label: CheckedFile): CaseSummary {
  const [first] = images;
  return {
    name,
    image: first.file,
    label: label.file,
    orientation: orientationOf(first.volume),
    storedTypes: images.map(({ storedType }) => storedType),
    labelCounts: valueCounts(label.volume.data),
  };
}

// --- all cases ---

export interface DatasetUnderCheck {
  readonly description: DatasetDescription;
  readonly splits: readonly Split[] | undefined;
  readonly patients: Patients | undefined;
}

/**
 * What shows only when all cases are known.
 * @param cases those that could be read
 * @param digests of the voxels of each case, by name: equal ones are equal images
 */
export function checkTogether(
  { description, splits, patients }: DatasetUnderCheck,
  cases: readonly CaseSummary[],
  digests: ReadonlyMap<string, string>,
): Problem[] {
  return [
    ...unknownChannels(description),
    ...absentLabels(description, cases),
    ...duplicates(cases, digests, splits, patients),
    ...mixedOrientations(cases),
    ...mixedTypes(cases),
  ];
}

function unknownChannels({ channels }: DatasetDescription): Problem[] {
  return channels.flatMap((name): Problem[] => {
    try {
      normalizationOf(name);
      return [];
    } catch (error) {
      const [text, remedy] = (error as Error).message.split(/; (.*)\.$/);
      return [{ severity: 'error', group: 'channels', file: 'dataset.json', text, remedy }];
    }
  });
}

function absentLabels({ labels }: DatasetDescription, cases: readonly CaseSummary[]): Problem[] {
  if (cases.length === 0) return [];
  return labels.slice(1).flatMap(({ name, values }): Problem[] => {
    const holders = cases.filter(({ labelCounts }) => values.some((value) => labelCounts.has(value)));
    if (holders.length > 0) return [];
    return [
      {
        severity: 'error',
        group: 'labels',
        file: 'dataset.json',
        text: `No case has ${name} (${values.join(', ')})`,
        remedy: 'remove it from dataset.json, or correct the label maps',
      },
    ];
  });
}

function duplicates(
  cases: readonly CaseSummary[],
  digests: ReadonlyMap<string, string>,
  splits: readonly Split[] | undefined,
  patients: Patients | undefined,
): Problem[] {
  const first = new Map<string, CaseSummary>();
  return cases.flatMap((each): Problem[] => {
    const digest = digests.get(each.name)!;
    const other = first.get(digest);
    if (other === undefined) {
      first.set(digest, each);
      return [];
    }
    const sides = (splits ?? []).flatMap(({ train, validation }, fold) =>
      (train.includes(each.name) && validation.includes(other.name)) ||
      (train.includes(other.name) && validation.includes(each.name))
        ? [fold]
        : [],
    );
    const onePatient = patients !== undefined && patients.get(each.name) === patients.get(other.name);
    // By the rules without a list, each case is validated by one fold that trains on all others.
    const apart = splits ? sides.length > 0 : !onePatient;
    const where = sides.length > 0 ? `, on both sides of fold ${sides.join(', ')}` : '';
    return [
      {
        severity: apart ? 'error' : 'warning',
        group: 'duplicates',
        file: each.image,
        text: `${each.name} and ${other.name} hold the same image${where}`,
        remedy: apart ? 'remove one of them, or a fold is validated on what it learned' : 'remove one of them',
      },
    ];
  });
}

function mixedOrientations(cases: readonly CaseSummary[]): Problem[] {
  return outsiders(cases, ({ orientation }) => orientation).map(({ each, kinds, usual }) => ({
    severity: 'warning',
    group: 'orientation',
    file: each.image,
    text: `${each.name} is stored in ${each.orientation}, and most cases (${kinds.get(usual)} of ${cases.length}) in ${usual}`,
    remedy: 'store all in one orientation, so that the network sees patients the same way round',
  }));
}

function mixedTypes(cases: readonly CaseSummary[]): Problem[] {
  const kinds = countsOf(cases, ({ storedTypes }) => storedTypes.join(', '));
  if (kinds.size < 2) return [];
  const list = [...kinds].sort(([, a], [, b]) => b - a).map(([kind, count]) => `${kind} (${count})`);
  return [
    {
      severity: 'warning',
      group: 'stored type',
      file: 'imagesTr',
      text: `Images are stored in different types: ${list.join(', ')} cases`,
      remedy: 'make sure that none was rescaled on export',
    },
  ];
}

function countsOf<T>(values: readonly T[], kindOf: (value: T) => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const each of values) counts.set(kindOf(each), (counts.get(kindOf(each)) ?? 0) + 1);
  return counts;
}

/** Those that are not of the most frequent kind. */
function outsiders(cases: readonly CaseSummary[], kindOf: (each: CaseSummary) => string) {
  const kinds = countsOf(cases, kindOf);
  const [usual] = [...kinds].reduce((a, b) => (b[1] > a[1] ? b : a), ['', 0]);
  return cases.filter((each) => kindOf(each) !== usual).map((each) => ({ each, kinds, usual }));
}

/** In the order in which a person reads them: errors first, then by group, in the order in which they were found. */
export function sortProblems(problems: readonly Problem[]): Problem[] {
  const groups: readonly ProblemGroup[] = [
    'files',
    'channels',
    'grid',
    'labels',
    'values',
    'duplicates',
    'patients and splits',
    'orientation',
    'header',
    'stored type',
  ];
  const rank = ({ severity, group }: Problem) => (severity === 'error' ? 0 : groups.length) + groups.indexOf(group);
  return [...problems].sort((a, b) => rank(a) - rank(b));
}
