/**
 * From what was dropped or chosen to files with paths, and which of them are a model and which a scan's channels. What is
 * inside the files is for the library.
 */
import { InputError } from '../../src/errors.ts';
import type { ImageFile } from '../../src/volume/formats/image.ts';
import { imageEnding } from '../../src/volume/read.ts';
import { manifestFile, weightsFile } from '../../src/weights/index.ts';
import type { GivenFile } from './protocol.ts';

/** More than any scan has; a home folder dropped by mistake ends here, not in an hour. */
const mostFiles = 20_000;
const deepestFolder = 12;

/** The files of a chooser, those of a chosen folder with their path in it. */
export function chosenFiles(list: Iterable<File>): GivenFile[] {
  return [...list].map((file) => ({ path: file.webkitRelativePath || file.name, bytes: file }));
}

/**
 * All files of a drop, folders walked through. Call it while the drop event is handled: afterwards the browser takes its
 * entries away.
 * @throws InputError when there are far too many, or one cannot be read
 */
export async function droppedFiles(transfer: DataTransfer): Promise<GivenFile[]> {
  const items = [...transfer.items].filter(({ kind }) => kind === 'file');
  const given = items.map((item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }));
  const files: GivenFile[] = [];
  for (const { entry, file } of given) {
    if (entry) await collect(entry, 0, files);
    // Files that a program made, not a folder of the system, have no entry.
    else if (file) files.push({ path: file.name, bytes: file });
  }
  return files;
}

async function collect(entry: FileSystemEntry, depth: number, files: GivenFile[]): Promise<void> {
  const path = entry.fullPath.replace(/^\//, '');
  const unreadable = (cause: unknown) =>
    new InputError(`${path} cannot be read; check that it is still there and that you may read it.`, { cause });
  if (entry.isFile) {
    if (files.length >= mostFiles) throw new InputError(`More than ${mostFiles} files; drop one scan's files alone.`);
    const file = await new Promise<File>((resolve, reject) =>
      (entry as FileSystemFileEntry).file(resolve, reject),
    ).catch((cause) => {
      throw unreadable(cause);
    });
    files.push({ path, bytes: file });
    return;
  }
  if (depth > deepestFolder) throw new InputError(`${path} lies too deep; drop the folder with the scan itself.`);
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    // Browsers give a folder in parts, and an empty part at its end.
    const part = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject)).catch(
      (cause) => {
        throw unreadable(cause);
      },
    );
    if (part.length === 0) return;
    for (const each of part) await collect(each, depth + 1, files);
  }
}

export interface Given {
  readonly model?: { readonly manifest: GivenFile; readonly weights: GivenFile };
  /** In the order of their paths, numbers by value; what systems hide in folders is left out. */
  readonly scan: readonly GivenFile[];
}

/** @throws InputError when there is nothing, or half a model, or several */
export function sortFiles(files: readonly GivenFile[]): Given {
  const seen = files.filter(({ path }) => !path.split('/').some((part) => part.startsWith('.')));
  if (seen.length === 0) throw new InputError('There is no file in what was given; give a scan, or its folder.');
  const manifests = seen.filter(({ path }) => baseName(path) === manifestFile);
  const weights = seen.filter(({ path }) => baseName(path).endsWith('.safetensors'));
  if (manifests.length > 1 || weights.length > 1) {
    throw new InputError(
      `There are several models in what was given; give one ${manifestFile} with its ${weightsFile}.`,
    );
  }
  if (manifests.length !== weights.length) {
    const [there, missing] = manifests.length ? [manifestFile, weightsFile] : [baseName(weights[0].path), manifestFile];
    throw new InputError(`${there} came without ${missing}; give both files of the model together, or their folder.`);
  }
  const model = manifests.length ? { manifest: manifests[0], weights: weights[0] } : undefined;
  // What lies beside a model and is no image by its name, such as a model card, is no scan.
  const rest = seen.filter(
    ({ path }) => !model || imageEnding(path) !== undefined || folderOf(path) !== folderOf(model.manifest.path),
  );
  const order = new Intl.Collator('en', { numeric: true });
  return { model, scan: [...rest].sort((a, b) => order.compare(a.path, b.path)) };
}

/**
 * The images that the files of a scan are: one for each channel when there are as many images as the model takes
 * channels, otherwise one that all of them make up.
 */
export function imagesOf(files: readonly GivenFile[], channels: number): GivenFile[][] {
  if (channels > 1 && files.length === channels && !files.some(isSlice)) return files.map((file) => [file]);
  return [[...files]];
}

/** Whether a file may be one slice of many, by its name: DICOM's often have no ending. */
function isSlice({ path }: GivenFile): boolean {
  const ending = imageEnding(path);
  return ending === undefined || ending === '.dcm';
}

/** What to call a scan: its file without the ending and channel number, or its folder. */
export function scanName(files: readonly GivenFile[]): string {
  const [first] = files;
  const folder = baseName(folderOf(first.path));
  if (files.length > 1 && isSlice(first) && folder) return folder;
  const name = baseName(first.path);
  return name.slice(0, name.length - (imageEnding(name)?.length ?? 0)).replace(/_\d{4}$/, '');
}

function folderOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

export function imageFile({ path, bytes }: GivenFile): ImageFile {
  return {
    name: path,
    size: bytes.size,
    async read(length = bytes.size) {
      try {
        return new Uint8Array(await bytes.slice(0, length).arrayBuffer());
      } catch (cause) {
        throw new InputError(`${path} cannot be read any more; it may have been moved or changed. Choose it again.`, {
          cause,
        });
      }
    },
  };
}
