/** The model and the scan that come with the page; fetched from its own server, and only when they are asked for. */
import { InputError } from '../../src/errors.ts';
import type { GivenFile } from './protocol.ts';

const example = new URL('../../examples/hippocampus_319.nii.gz', import.meta.url);
const manifest = new URL('../../models/hippocampus/model.json', import.meta.url);
const weights = new URL('../../models/hippocampus/weights.safetensors', import.meta.url);

export async function exampleScan(): Promise<GivenFile> {
  return { path: 'hippocampus_319.nii.gz', bytes: await fetched(example) };
}

export interface ModelFiles {
  readonly manifest: Blob;
  readonly weights: Blob;
}

export async function shippedModel(): Promise<ModelFiles> {
  return { manifest: await fetched(manifest), weights: await fetched(weights) };
}

/** @throws InputError when the page's server does not give the file */
async function fetched(url: URL): Promise<Blob> {
  const response = await fetch(url).catch(() => undefined);
  if (!response?.ok) {
    throw new InputError(`The page's server did not give ${url.pathname}; check the connection and try again.`);
  }
  return response.blob();
}
