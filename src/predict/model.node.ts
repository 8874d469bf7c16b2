/**
 * Models from the file system: a bundle's folder in, a model out.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../errors.ts';
import { readBytes } from '../volume/files.node.ts';
import { manifestFile, weightsFile } from '../weights/index.ts';
import { loadModel, type Model } from './model.ts';

/** @throws InputError when the folder is no bundle, or the bundle is damaged or changed */
export async function openModel(folder: string): Promise<Model> {
  const stats = statSync(folder, { throwIfNoEntry: false });
  if (!stats) throw new InputError(`There is no model bundle ${folder}; check the path.`);
  if (!stats.isDirectory()) {
    throw new InputError(
      `${folder} is a file, a model bundle is a folder; \`unetrpp import\` makes a bundle of a checkpoint.`,
    );
  }
  const path = (file: string) => join(folder, file);
  if (!statSync(path(manifestFile), { throwIfNoEntry: false })) {
    throw new InputError(`${folder} is no model bundle: it has no ${manifestFile}.`);
  }
  const [manifest, weights] = [await readBytes(path(manifestFile)), await readBytes(path(weightsFile))];
  return loadModel({ manifest, weights }, folder);
}
