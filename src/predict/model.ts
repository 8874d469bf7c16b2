/**
 * A model ready to predict: a bundle whose network settings, plan and labels have been checked and agree.
 */
import { type Plan, parsePlan } from '../dataset/index.ts';
import { InputError } from '../errors.ts';
import { checkSettings, type UnetrppSettings, unetrpp, unetrppSettings } from '../nets/index.ts';
import { sameShape, showShape, type Tensor } from '../tensor.ts';
import { type Bundle, type Manifest, readBundle } from '../weights/index.ts';

/** A model without its weights: all that a scan's way to and from the network needs. */
export interface ModelDescription {
  readonly name: string;
  readonly manifest: Manifest;
  readonly settings: UnetrppSettings;
  readonly plan: Plan;
  /** Name of each label value that the model writes; 0 is the background. */
  readonly labels: ReadonlyMap<number, string>;
}

export interface Model extends ModelDescription {
  readonly weights: ReadonlyMap<string, Tensor<'float32'>>;
}

/**
 * @param files the bytes of `model.json` and `weights.safetensors`
 * @param name what to call the bundle in messages
 * @throws InputError when the bundle is damaged, changed, or does not hold together
 */
export async function loadModel(
  files: { readonly manifest: Uint8Array; readonly weights: Uint8Array },
  name = 'the bundle',
): Promise<Model> {
  return modelFrom(await readBundle(files.manifest, files.weights, name), name);
}

/** @throws InputError */
function modelFrom({ manifest, weights }: Bundle, name: string): Model {
  if (manifest.network.name !== 'unetrpp') {
    throw new InputError(`${name} holds the network '${manifest.network.name}'; this version knows unetrpp.`);
  }
  const parsed = unetrppSettings.safeParse(manifest.network.settings);
  if (!parsed.success) {
    const [{ path, message }] = parsed.error.issues;
    throw new InputError(`${name}: the network's settings are not valid: ${path.join('.')}: ${message}.`);
  }
  const settings = parsed.data;
  checkSettings(settings);
  const plan = parsePlan(manifest.plan, `the plan of ${name}`);
  if (!sameShape(plan.patch, settings.patch)) {
    throw new InputError(
      `${name}: the plan's patch ${showShape(plan.patch)} is not the network's ${showShape(settings.patch)}.`,
    );
  }
  if (plan.channels.length !== settings.inputChannels) {
    throw new InputError(
      `${name}: the plan describes ${plan.channels.length} channels, the network takes ${settings.inputChannels}.`,
    );
  }
  const outputs = plan.regions?.length ?? manifest.labels.length;
  if (outputs !== settings.classes) {
    throw new InputError(
      `${name}: the network has ${settings.classes} outputs, but ${outputs} labels or regions are named.`,
    );
  }
  for (const { name: tensor, shape } of unetrpp(settings).parameters) {
    const found = weights.get(tensor)?.shape;
    if (!found || !sameShape(found, shape)) {
      const what = found ? `is ${showShape(found)}, not ${showShape(shape)}` : 'is missing';
      throw new InputError(`${name}: the weight ${tensor} ${what}; the bundle does not hold together.`);
    }
  }
  const labels = new Map(manifest.labels.map(({ value, name: label }) => [value, label]));
  return { name: manifest.name, manifest, settings, plan, labels, weights };
}
