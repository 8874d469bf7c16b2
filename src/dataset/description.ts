/**
 * What a data set says of itself: the `dataset.json` of nnU-Net v2 (or of v1 and the Decathlon, whose words are older), as
 * a record. Its channels and labels, and what its files are called; where they lie is for folder.node.ts, how channels are
 * normalized for the plan.
 */
import { z } from 'zod';
import { InputError } from '../errors.ts';
import { imageEnding, imageEndings } from '../volume/read.ts';
import type { Plan } from './plan.ts';

export interface DatasetLabel {
  readonly name: string;
  /** One value, or those that a region is made of. */
  readonly values: readonly number[];
}

export interface DatasetDescription {
  /** What to call it in messages. */
  readonly name: string;
  /** Names in channel order. */
  readonly channels: readonly string[];
  /** Without the ignore label, the background first, the others in the order of their values; of regions, in their own. */
  readonly labels: readonly DatasetLabel[];
  /** Set where labels are regions, which may overlap: what each one after the background writes, in order. */
  readonly regionsClassOrder: readonly number[] | undefined;
  /** Voxels that nothing is learned from. */
  readonly ignoreLabel: number | undefined;
  /** Of images and label maps, with its dot. */
  readonly fileEnding: string;
  /** Files by case as paths from the data set's folder, where they are listed; else they are found by their names. */
  readonly files: ReadonlyMap<string, { readonly images: readonly string[]; readonly label: string }> | undefined;
}

const labelValue = z.int().nonnegative().max(0x7fff);
const channelNames = z.record(z.string().regex(/^\d+$/, 'channels are numbered, from "0" on'), z.string());

/** Cases give their names to files. */
const caseName = z.string().regex(/^(?!\.)[^/\\]+$/, 'a case needs a name without slashes that begins with no dot');

/** Other keys are for people. */
const datasetSchema = z
  .object({
    channel_names: channelNames.optional(),
    modality: channelNames.optional(),
    // Name to value; in the older files value to name.
    labels: z.union([
      z.record(z.string(), z.union([labelValue, z.array(labelValue).min(1)])),
      z.record(z.string().regex(/^\d+$/), z.string()),
    ]),
    regions_class_order: z.array(labelValue).optional(),
    file_ending: z.string().optional(),
    dataset: z.record(caseName, z.object({ images: z.array(z.string()).min(1), label: z.string() })).optional(),
  })
  .refine((json) => json.channel_names ?? json.modality, { path: ['channel_names'], error: 'is missing' });

/**
 * @param value parsed JSON
 * @param name of the data set, for messages
 * @throws InputError that names the first thing that is wrong
 */
export function parseDataset(value: unknown, name: string): DatasetDescription {
  const result = datasetSchema.safeParse(value);
  if (!result.success) {
    const [issue] = result.error.issues;
    const { path } = issue;
    const where = path.length > 0 ? ` at ${path.join('.')}` : '';
    // Of a key that is wrong, what is wrong lies one deeper.
    const { message } = issue.code === 'invalid_key' ? issue.issues[0] : issue;
    throw new InputError(`dataset.json of ${name}${where}: ${labelsHint(path) ?? message}.`);
  }
  const json = result.data;
  const fault = (text: string) => new InputError(`dataset.json of ${name}: ${text}`);

  const channelsByNumber = (json.channel_names ?? json.modality)!;
  const channels = Object.entries(channelsByNumber).sort(([a], [b]) => Number(a) - Number(b));
  if (channels.length === 0 || channels.some(([number], index) => Number(number) !== index)) {
    throw fault(
      `channels must be numbered from 0 on without a gap, not ${channels.map(([n]) => n).join(', ') || 'left out'}.`,
    );
  }

  const all = readLabels(json.labels);
  const ignore = all.find((label) => label.name === 'ignore');
  if (ignore && ignore.values.length > 1) throw fault('the label "ignore" must be a single number.');
  const labels = all.filter((label) => label !== ignore);
  const declared = [...new Set(all.flatMap(({ values }) => values))].sort((a, b) => a - b);
  if (declared.length < 2 || declared.some((each, index) => each !== index)) {
    throw fault(
      `labels must be 0 (background), 1, 2 and so on without a gap, not ${declared.join(', ')}; renumber them.`,
    );
  }
  if (ignore && ignore.values[0] !== declared.length - 1) {
    throw fault(`the label "ignore" must have the highest number, ${declared.length - 1}, not ${ignore.values[0]}.`);
  }
  const background = labels.find(({ values }) => values.length === 1 && values[0] === 0);
  if (!background) throw fault('a label of its own must be 0, the background.');
  const foreground = labels.filter((label) => label !== background);

  const ignoring = labels.find(({ values }) => ignore && values.includes(ignore.values[0]));
  if (ignoring) {
    throw fault(
      `${ignoring.name} has the number of the label "ignore", ${ignore!.values[0]}; take it out of one of them.`,
    );
  }

  const regions = foreground.some(({ values }) => values.length > 1);
  const order = json.regions_class_order;
  if (regions && order?.length !== foreground.length) {
    throw fault(
      `its labels are regions, so that "regions_class_order" must have ${foreground.length} numbers, one for each region.`,
    );
  }
  if (!regions) {
    foreground.sort((a, b) => a.values[0] - b.values[0]);
    const twice = foreground.find(({ values }, index) => values[0] === foreground[index + 1]?.values[0]);
    if (twice) throw fault(`two labels have the number ${twice.values[0]}; give each its own.`);
  }

  const fileEnding = json.file_ending ?? '.nii.gz';
  if (imageEnding(fileEnding) !== fileEnding) {
    throw fault(
      `"file_ending" is ${JSON.stringify(fileEnding)}; images that can be read end in ${imageEndings.join(', ')}.`,
    );
  }
  return {
    name,
    channels: channels.map(([, channel]) => channel),
    labels: [background, ...foreground],
    regionsClassOrder: regions ? order : undefined,
    ignoreLabel: ignore?.values[0],
    fileEnding,
    files: json.dataset && new Map(Object.entries(json.dataset)),
  };
}

/** A union's own message says nothing. */
function labelsHint([first, ...rest]: readonly PropertyKey[]): string | undefined {
  if (first !== 'labels' || rest.length > 0) return undefined;
  return 'labels must be a number for each name, such as {"background": 0, "liver": 1}, or a list of numbers for a region';
}

function readLabels(json: Record<string, number | number[]> | Record<string, string>): DatasetLabel[] {
  return Object.entries(json).map(([key, value]) =>
    typeof value === 'string'
      ? { name: value, values: [Number(key)] }
      : { name: key, values: typeof value === 'number' ? [value] : value },
  );
}

/** Labels that are regions, as a plan has them: all but the background. Without regions nothing. */
export function plannedRegions({
  labels,
  regionsClassOrder,
}: DatasetDescription): Pick<Plan, 'regions' | 'regionsClassOrder'> {
  if (!regionsClassOrder) return {};
  const regions = labels.slice(1).map(({ name, values }) => ({ name, labels: [...values] }));
  return { regions, regionsClassOrder: [...regionsClassOrder] };
}

/**
 * The values that a network of this data set writes, with names. A region's value is what later regions leave of it:
 * `whole tumor without tumor core`.
 */
export function writtenLabels({ labels, regionsClassOrder }: DatasetDescription): { value: number; name: string }[] {
  if (!regionsClassOrder) return labels.map(({ name, values }) => ({ value: values[0], name }));
  const [background, ...regions] = labels;
  const written = new Map([[0, background.name]]);
  for (const [index, { name, values }] of regions.entries()) {
    const later = regions.slice(index + 1).filter((other) => other.values.some((value) => values.includes(value)));
    // Of regions within each other, the outer one says it all.
    const outer = later.filter((one) => !later.some((other) => other !== one && contains(other.values, one.values)));
    const without = outer.length > 0 ? ` without ${outer.map((each) => each.name).join(' and ')}` : '';
    written.set(regionsClassOrder[index], `${name}${without}`);
  }
  return [...written].map(([value, name]) => ({ value, name }));
}

/** Whether the first is more than the second. */
const contains = (outer: readonly number[], inner: readonly number[]) =>
  outer.length > inner.length && inner.every((value) => outer.includes(value));

/** Every value that a label map may hold, in ascending order. */
export function declaredValues({ labels, ignoreLabel }: DatasetDescription): number[] {
  const values = labels.flatMap((label) => label.values);
  return [...new Set(ignoreLabel === undefined ? values : [...values, ignoreLabel])].sort((a, b) => a - b);
}
