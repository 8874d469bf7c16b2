/**
 * Models from the file system: a bundle's folder in, a model out; of an ensemble's folder, or several, an ensemble.
 */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../errors.ts';
import { readBytes } from '../volume/files.node.ts';
import { manifestFile, weightsFile } from '../weights/index.ts';
import {
  type Ensemble,
  type EnsembleFile,
  ensembleFile,
  ensembleOf,
  membersOf,
  parseEnsembleFile,
} from './ensemble.ts';
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
  if (!existsSync(path(manifestFile))) {
    if (existsSync(path(ensembleFile))) {
      const { bundles } = await readEnsembleFile(folder);
      throw new InputError(
        `${folder} is an ensemble, and one model is wanted here; name one of its bundles, such as ${path(bundles[0])}.`,
      );
    }
    throw new InputError(`${folder} is no model bundle: it has no ${manifestFile}.`);
  }
  const [manifest, weights] = [await readBytes(path(manifestFile)), await readBytes(path(weightsFile))];
  return loadModel({ manifest, weights }, folder);
}

/** @throws InputError when it cannot be read or is none */
export async function readEnsembleFile(folder: string): Promise<EnsembleFile> {
  const path = join(folder, ensembleFile);
  return parseEnsembleFile(new TextDecoder().decode(await readBytes(path)), path);
}

/**
 * The model of a bundle's folder; of an ensemble's folder (such as that of a cross-validation), or of several folders, an
 * ensemble. A folder that is named twice counts twice.
 * @throws InputError as `openModel`, and when the models are not of one task
 */
export async function openModels(folders: readonly string[]): Promise<Model | Ensemble> {
  const opened: (Model | Ensemble)[] = [];
  for (const folder of folders) {
    opened.push(existsSync(join(folder, ensembleFile)) ? await openEnsemble(folder) : await openModel(folder));
  }
  if (opened.length === 1) return opened[0];
  return ensembleOf(opened.flatMap(membersOf));
}

async function openEnsemble(folder: string): Promise<Ensemble> {
  const { name, bundles, keepLargestComponents } = await readEnsembleFile(folder);
  const models: Model[] = [];
  for (const bundle of bundles) models.push(await openModel(join(folder, bundle)));
  return ensembleOf(models, { name, keepLargestComponents });
}
