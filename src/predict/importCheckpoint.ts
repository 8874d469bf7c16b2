/**
 * A PyTorch checkpoint of UNETR++ as a model bundle: the network recognized from its tensors, the plan from nnU-Net's
 * pickle where it is given, else from what is known of the published network.
 */
import { type Plan, parsePlan, planFromV1Pickle, recipes } from '../dataset/index.ts';
import { InputError } from '../errors.ts';
import {
  describeMismatch,
  recognizeUnetrpp,
  type UnetrppPreset,
  type UnetrppSettings,
  unetrpp,
  unetrppPresets,
} from '../nets/index.ts';
import { type Shape, sameShape, type Tensor, toFloat32 } from '../tensor.ts';
import {
  type CheckpointTensor,
  type Manifest,
  readCheckpoint,
  readPickle,
  sha256,
  stateDict,
} from '../weights/index.ts';

export interface ImportOptions {
  /** What to call the checkpoint in messages and in the bundle's provenance. */
  readonly name: string;
  /** Bytes of the sidecar (`model_final_checkpoint.model.pkl`) or of `plans.pkl`. */
  readonly plans?: { readonly bytes: Uint8Array; readonly name: string };
  /** The network's input size, where shapes alone do not say it. */
  readonly patch?: Shape;
  /** Names of the outputs, background first. */
  readonly labels?: readonly string[];
  /** For a person: what the model does. */
  readonly description?: string;
  /** On what data the weights were trained, under what license, whom to name. */
  readonly provenance?: Pick<Manifest['provenance'], 'data' | 'license' | 'attribution'>;
  /** Read the tensors of a checkpoint that also names classes which are not allowed; nothing of them is constructed. */
  readonly tensorsOnly?: boolean;
}

export interface Imported {
  readonly manifest: Omit<Manifest, 'format' | 'version' | 'weights'>;
  readonly weights: ReadonlyMap<string, Tensor<'float32'>>;
  readonly settings: UnetrppSettings;
  /** The published network that this one has the sizes of, where it is one. */
  readonly preset: UnetrppPreset | undefined;
  readonly notices: readonly string[];
}

const presetNames = Object.keys(unetrppPresets) as UnetrppPreset[];

/**
 * The published Synapse preprocessing: spacing in mm and the Hounsfield statistics of the training foreground, from the
 * plan that lies in the authors' repository.
 */
const synapseChannel = {
  name: 'CT',
  normalization: 'ct',
  useMask: false,
  intensities: { mean: 82.95176696777344, std: 136.94818115234375, percentile005: -958, percentile995: 326 },
} as const;
const synapseSpacing = [3, 0.7578124403953552, 0.7578124403953552];

/**
 * @throws InputError when the file is no checkpoint, asks for a class, holds another network, or its tensors do not fit;
 *   the message lists what is missing, unexpected and of another shape
 */
export async function importCheckpoint(bytes: Uint8Array, options: ImportOptions): Promise<Imported> {
  const checkpoint = readCheckpoint(bytes, { name: options.name, tensorsOnly: options.tensorsOnly });
  const tensors = stateDict(checkpoint, options.name);
  const notices: string[] = [];

  const planned = options.plans && readPlans(options.plans);
  const shapes = new Map([...tensors].map(([name, { shape }]) => [name, shape]));
  const aliases = aliasesOf(tensors);
  const { settings, patchGuessed, mismatch } = recognize(shapes, aliases, options.patch, planned?.plan.patch);
  const complaint = describeMismatch(mismatch);
  if (complaint) throw new InputError(`${options.name} is a UNETR++ whose tensors do not fit together: ${complaint}.`);
  if (patchGuessed) {
    notices.push(
      `The patch ${settings.patch.join('x')} was chosen as the most even one with the right number of tokens; ` +
        'give --patch if the network was trained at another.',
    );
  }

  const program = unetrpp(settings);
  const weights = new Map(program.parameters.map(({ name }) => [name, toFloat32(tensors.get(name)!.read())]));
  const preset = presetNames.find((name) => samePublished(settings, unetrppPresets[name]));
  const plan = planned
    ? { ...planned.plan, patch: settings.patch as unknown as Plan['patch'] }
    : planFor(settings, preset, notices);
  if (plan.channels.length !== settings.inputChannels) {
    throw new InputError(
      `The plan ${options.plans?.name} describes ${plan.channels.length} channels, the network takes ${settings.inputChannels}; ` +
        'it belongs to another model.',
    );
  }

  // The authors set the number in their code too, so that a right plan may be off.
  if (planned && planned.classes !== settings.classes) {
    notices.push(
      `The plan ${options.plans?.name} is for ${planned.classes} classes and the network gives ${settings.classes}; make sure that it belongs to this model.`,
    );
  }

  const source = options.name;
  return {
    manifest: {
      name: preset ? `unetrpp-${preset}` : 'unetrpp',
      description: options.description ?? `UNETR++ imported from ${source}.`,
      network: { name: 'unetrpp', settings: { ...settings } },
      labels: labelNames(settings.classes, options.labels, preset).map((name, value) => ({ value, name })),
      plan: { ...plan },
      provenance: { source, sourceSha256: await sha256(bytes), madeBy: 'unetrpp import', ...options.provenance },
    },
    weights,
    settings,
    preset,
    notices,
  };
}

/** The dictionary is the file itself (`plans.pkl`) or its entry `plans` (the sidecar). */
function readPlans({ bytes, name }: NonNullable<ImportOptions['plans']>): { plan: Plan; classes: number } {
  const root = readPickle(bytes, { name });
  const inner = root instanceof Map ? root.get('plans') : undefined;
  return planFromV1Pickle(inner ?? root);
}

/** A told patch must fit; a planned one is only a hint, for the authors' code keeps the patch in its source. */
function recognize(
  shapes: ReadonlyMap<string, Shape>,
  aliases: ReadonlyMap<string, string>,
  told: Shape | undefined,
  planned: Shape | undefined,
) {
  if (told || !planned) return recognizeUnetrpp({ shapes, aliases }, told);
  try {
    return recognizeUnetrpp({ shapes, aliases }, planned);
  } catch {
    return recognizeUnetrpp({ shapes, aliases });
  }
}

/** Two names for one stretch of one storage. */
function aliasesOf(tensors: ReadonlyMap<string, CheckpointTensor>): Map<string, string> {
  const names = new Map([...tensors].map(([name, { path }]) => [path, name]));
  const aliases = new Map<string, string>();
  for (const [name, { aliasOf }] of tensors) {
    const first = aliasOf === undefined ? undefined : names.get(aliasOf);
    if (first !== undefined) aliases.set(name, first);
  }
  return aliases;
}

/** The same sizes, classes included: then names of labels and the plan are known too. */
function samePublished(settings: UnetrppSettings, published: UnetrppSettings): boolean {
  return (
    sameShape(settings.patch, published.patch) &&
    sameShape(settings.dims, published.dims) &&
    settings.classes === published.classes &&
    settings.inputChannels === published.inputChannels &&
    settings.tokenProjection === published.tokenProjection
  );
}

function planFor(settings: UnetrppSettings, preset: UnetrppPreset | undefined, notices: string[]): Plan {
  const published = preset === 'synapse';
  notices.push(
    published
      ? 'No plan was given: spacing and intensities are those of the published Synapse preprocessing.'
      : 'No plan was given: scans are taken at their own spacing and normalized to mean 0 and deviation 1, case by case; ' +
          'give --plans with the plans.pkl of the training if it did otherwise.',
  );
  const channel = (index: number) => ({ name: `channel ${index}`, normalization: 'zScore', useMask: false });
  return parsePlan({
    format: 'unetrpp-plan',
    version: 1,
    configuration: '3d_fullres',
    transposeForward: [0, 1, 2],
    spacing: published ? synapseSpacing : null,
    patch: settings.patch,
    channels: published
      ? [synapseChannel]
      : Array.from({ length: settings.inputChannels }, (_, index) => channel(index)),
    convention: 'nnunet-v1',
    resampling: { image: 3, imageZ: 0, probabilities: 1, probabilitiesZ: 0, anisotropyThreshold: 3 },
    orientation: null,
    inference: { step: 0.5, mirrorAxes: [0, 1, 2] },
  });
}

function labelNames(
  classes: number,
  told: readonly string[] | undefined,
  preset: UnetrppPreset | undefined,
): readonly string[] {
  if (told && told.length !== classes) {
    throw new InputError(
      `${told.length} labels were named and the network has ${classes} outputs, background included.`,
    );
  }
  if (told) return told;
  if (preset) return recipes[preset].labels;
  return Array.from({ length: classes }, (_, value) => (value === 0 ? 'background' : `label ${value}`));
}
