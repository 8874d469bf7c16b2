/**
 * A model bundle: `model.json` (which network, its plan, its labels, where the weights come from, their hash) and
 * `weights.safetensors`. Bytes in, bytes out; files are for others (bundle.node.ts, a web page).
 *
 * The network's settings and the plan are plain JSON here: whoever builds the network or predicts checks them.
 */
import { z } from 'zod';
import { InputError } from '../errors.ts';
import { type Tensor, toFloat16, toFloat32 } from '../tensor.ts';
import { readSafetensors, writeSafetensors } from './safetensors.ts';

export const manifestFile = 'model.json';
export const weightsFile = 'weights.safetensors';

const json = z.record(z.string(), z.json());

const sha256Text = z.string().regex(/^[0-9a-f]{64}$/);

const manifestSchema = z.strictObject({
  format: z.literal('unetrpp-model'),
  version: z.literal(1),
  name: z.string().min(1),
  /** One or two sentences for a person. */
  description: z.string(),
  network: z.strictObject({ name: z.string(), settings: json }),
  /** Name of each output class, in order; 0 is the background. */
  labels: z.array(z.strictObject({ value: z.int().nonnegative(), name: z.string() })).min(2),
  plan: json,
  weights: z.strictObject({
    file: z.literal(weightsFile),
    dtype: z.enum(['float32', 'float16']),
    bytes: z.int().positive(),
    sha256: sha256Text,
  }),
  /** Where the weights come from: the file and its hash, who trained them on what, the license. */
  provenance: z.strictObject({
    source: z.string(),
    sourceSha256: z.string().optional(),
    madeBy: z.string(),
    data: z.string().optional(),
    license: z.string().optional(),
    attribution: z.string().optional(),
    /** Of weights that were trained here: what on, by the hash of its content, and how many cases it has in all. */
    dataset: z.strictObject({ name: z.string(), sha256: sha256Text, cases: z.int().positive() }).optional(),
    /** Which of them were trained on, and which were held back. */
    split: z
      .strictObject({
        fold: z.union([z.int().nonnegative(), z.literal('all')]),
        training: z.int().nonnegative(),
        validation: z.int().nonnegative(),
      })
      .optional(),
    seed: z.int().nonnegative().optional(),
    /** The settings of the training, but for network and plan, which stand above. */
    recipe: json.optional(),
    /** Of this package. */
    version: z.string().optional(),
    /** Dice of the validation cases, on the scans' own grids: means by label, and their mean. null: nobody has the label. */
    scores: z
      .strictObject({
        cases: z.int().positive(),
        dice: z.record(z.string(), z.number().nullable()),
        mean: z.number().nullable(),
      })
      .optional(),
    /**
     * Why the plan keeps largest components only, or none: mean Dice of validation cases by label, without and with them. Of a
     * cross-validation, each case predicted by the fold that had not seen it.
     */
    postprocessing: z
      .strictObject({
        cases: z.int().positive(),
        before: z.record(z.string(), z.number().nullable()),
        after: z.record(z.string(), z.number().nullable()),
      })
      .optional(),
  }),
});

export type Manifest = z.infer<typeof manifestSchema>;

export interface Bundle {
  readonly manifest: Manifest;
  /** Widened to float32. */
  readonly weights: ReadonlyMap<string, Tensor<'float32'>>;
}

/** Hexadecimal SHA-256. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * @param name what to call the bundle in messages: its folder
 * @throws InputError when the manifest is none, or the weights are not the ones it was written for
 */
export async function readBundle(manifest: Uint8Array, weights: Uint8Array, name: string): Promise<Bundle> {
  const parsed = parseManifest(manifest, name);
  if (weights.byteLength !== parsed.weights.bytes || (await sha256(weights)) !== parsed.weights.sha256) {
    throw new InputError(
      `The weights in ${name} are not those that its ${manifestFile} was written for: size or SHA-256 differ. ` +
        'The bundle was changed or damaged; get it again from where it came.',
    );
  }
  const { tensors } = readSafetensors(weights, `${name}/${weightsFile}`);
  return { manifest: parsed, weights: new Map([...tensors].map(([key, value]) => [key, toFloat32(value)])) };
}

/** @throws InputError when the bytes are no manifest */
export function parseManifest(bytes: Uint8Array, name: string): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new InputError(`${name}/${manifestFile} is no JSON text; is ${name} a model bundle?`, { cause });
  }
  if (nestsDeeper(value, nestingLimit)) {
    throw new InputError(
      `${name}/${manifestFile} is no model description: it nests lists or objects more than ${nestingLimit} deep.`,
    );
  }
  const result = manifestSchema.safeParse(value);
  if (result.success) return result.data;
  const [{ path, message }] = result.error.issues;
  throw new InputError(
    `${name}/${manifestFile} is no model description: ${path.join('.') || 'the whole'}: ${message}.`,
  );
}

/** Descriptions nest six deep. Checking them goes as deep as they do, and a stack has an end. */
const nestingLimit = 32;

function nestsDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((each) => nestsDeeper(each, levels - 1));
}

/** The text of `model.json`. @throws ZodError for a manifest that is none */
export const manifestText = (manifest: Manifest): string =>
  `${JSON.stringify(manifestSchema.parse(manifest), null, 2)}\n`;

/** False where a value is beyond the largest 16-bit float; such a tensor (a variance, say) stays in 32 bits. */
function fitsFloat16({ data }: Tensor<'float32'>): boolean {
  return data.every((value) => Math.abs(value) <= 65504);
}

/**
 * @param dtype `float16`: half the size, about three decimal digits
 * @returns the two files of the bundle, the manifest completed with size and hash of the weights
 */
export async function packBundle(
  manifest: Omit<Manifest, 'format' | 'version' | 'weights'>,
  weights: ReadonlyMap<string, Tensor<'float32'>>,
  dtype: Manifest['weights']['dtype'],
): Promise<{ manifest: Uint8Array; weights: Uint8Array }> {
  const stored = [...weights].map(([name, value]): [string, Tensor] => [
    name,
    dtype === 'float16' && fitsFloat16(value) ? toFloat16(value) : value,
  ]);
  const bytes = writeSafetensors(stored, { format: 'unetrpp' });
  const complete: Manifest = {
    format: 'unetrpp-model',
    version: 1,
    ...manifest,
    weights: { file: weightsFile, dtype, bytes: bytes.byteLength, sha256: await sha256(bytes) },
  };
  return { manifest: new TextEncoder().encode(manifestText(complete)), weights: bytes };
}
