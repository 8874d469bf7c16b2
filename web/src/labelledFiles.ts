/**
 * Which of the files given are images, which label maps, and which belong together: by their names, as nnU-Net gives them
 * (`CASE_0000.nii.gz` with `CASE.nii.gz`), as the Decathlon does (the same name in a folder `labels…`), or as people do
 * (`CASE.nii.gz` with `CASE_mask.nii.gz`).
 */
import { InputError } from '../../src/errors.ts';
import { imageEnding } from '../../src/volume/read.ts';
import { baseName } from './files.ts';
import type { GivenFile, LabelledFiles } from './protocol.ts';

interface Case {
  readonly name: string;
  readonly images: { readonly file: GivenFile; readonly channel: number }[];
  readonly labels: GivenFile[];
}

const channelEnding = /^(.+)_(\d{4})$/;
const labelEnding = /^(.+)[_-](?:labels?|mask|seg|segmentation)$/i;

/** Cases in the order of their names; each has an image or a label map. */
function casesIn(files: readonly GivenFile[]): Case[] {
  const named = files
    .filter(({ path }) => imageEnding(path) !== undefined && !path.split('/').some((part) => part.startsWith('.')))
    .map((file) => {
      const name = baseName(file.path);
      return { file, stem: name.slice(0, name.length - imageEnding(name)!.length) };
    });
  const numbered = new Set(named.flatMap(({ stem }) => channelEnding.exec(stem)?.[1] ?? []));
  const cases = new Map<string, Case>();
  const caseOf = (name: string) => {
    const found = cases.get(name) ?? { name, images: [], labels: [] };
    cases.set(name, found);
    return found;
  };
  for (const { file, stem } of named) {
    const channel = channelEnding.exec(stem);
    const label = labelEnding.exec(stem);
    const folder = file.path.split('/').at(-2) ?? '';
    if (/^labels/i.test(folder)) caseOf(label?.[1] ?? stem).labels.push(file);
    else if (channel) caseOf(channel[1]).images.push({ file, channel: Number(channel[2]) });
    else if (label) caseOf(label[1]).labels.push(file);
    else if (numbered.has(stem)) caseOf(stem).labels.push(file);
    else caseOf(stem).images.push({ file, channel: 0 });
  }
  const order = new Intl.Collator('en', { numeric: true });
  return [...cases.values()].sort((a, b) => order.compare(a.name, b.name));
}

/** Whether there is any image with its label map. */
export function holdsLabels(files: readonly GivenFile[]): boolean {
  return casesIn(files).some(({ images, labels }) => images.length > 0 && labels.length > 0);
}

/** @throws InputError when there is no image, or one lacks its label map, or the other way round */
export function labelledFiles(files: readonly GivenFile[]): LabelledFiles[] {
  const cases = casesIn(files);
  if (cases.length === 0) {
    throw new InputError('There is no scan in what was given; give images with their label maps.');
  }
  return cases.map(({ name, images, labels }) => {
    if (labels.length === 0) {
      const { file } = images[0];
      const ending = imageEnding(file.path)!;
      throw new InputError(
        `The image ${baseName(file.path)} has no label map; give ${name}_mask${ending} with it, ` +
          `or name the two ${name}_0000${ending} and ${name}${ending}.`,
      );
    }
    if (images.length === 0) {
      const [file] = labels;
      throw new InputError(
        `The label map ${baseName(file.path)} has no image; give ${name}_0000${imageEnding(file.path)} with it.`,
      );
    }
    if (labels.length > 1) throw twice(name, 'label maps', labels);
    images.sort((a, b) => a.channel - b.channel);
    const same = images.findIndex(({ channel }, index) => channel === images[index + 1]?.channel);
    if (same >= 0) {
      throw twice(
        name,
        'images',
        images.slice(same, same + 2).map(({ file }) => file),
      );
    }
    return { name, images: images.map(({ file }) => file), labels: labels[0] };
  });
}

const twice = (name: string, what: string, files: readonly GivenFile[]) =>
  new InputError(`${name} has two ${what}, ${files[0].path} and ${files[1].path}; give one.`);
