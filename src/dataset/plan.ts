/**
 * The plan: all that inference must know of how a network's data were prepared, as a record that a person can read and
 * edit. Made once from a data set's fingerprint, or taken from an nnU-Net v1 plan; every later step reads only this.
 *
 * Says what is to be done, and does none of it. The network's own settings and the names of its labels lie beside it in
 * the model bundle.
 */
import { z } from 'zod';
import { InputError } from '../errors.ts';

const triple = <T extends z.ZodType>(each: T) => z.tuple([each, each, each]);
const axis = z.literal([0, 1, 2]);
const label = z.int().nonnegative();
const interpolationOrder = z.literal([0, 1, 3]);

const distinct = (values: readonly unknown[]) => new Set(values).size === values.length;

const channelSchema = z
  .strictObject({
    name: z.string(),
    /**
     * `ct`: clip to the training foreground's percentiles, then its mean and deviation. `zScore`: the case's own mean
     * and deviation. `rescale01`: the case's minimum and maximum. `rgb`: divided by 255.
     */
    normalization: z.enum(['ct', 'zScore', 'rescale01', 'rgb', 'none']),
    /** Whether statistics come from the non-zero part of the case only, and only that part is changed. */
    useMask: z.boolean(),
    /** Of the training set's foreground, in the image's own unit (HU for CT). */
    intensities: z
      .strictObject({
        mean: z.number(),
        std: z.number().positive(),
        percentile005: z.number(),
        percentile995: z.number(),
      })
      .optional(),
  })
  .refine(({ normalization, intensities }) => normalization !== 'ct' || intensities, {
    path: ['intensities'],
    error: 'CT normalization needs the mean, std and percentiles of the training foreground',
  });

/** Unknown keys are errors: a plan whose word is misspelt must not pass for one that leaves the word out. */
export const planSchema = z
  .strictObject({
    format: z.literal('unetrpp-plan'),
    version: z.literal(1),
    /** nnU-Net's name for training at full resolution on whole volumes, the only one that UNETR++ is used with. */
    configuration: z.literal('3d_fullres'),
    /** Array axes (0 z, 1 y, 2 x) of the image in the order d, h, w in which the network sees them. */
    transposeForward: triple(axis).refine(distinct, 'must name each of the axes 0, 1 and 2 once'),
    /** mm between voxels along d, h, w, that is after the transposition; null: as stored, nothing is resampled. */
    spacing: triple(z.number().positive()).nullable(),
    /** Voxels along d, h, w. */
    patch: triple(z.int().positive()),
    channels: z.array(channelSchema).min(1),
    /**
     * `nnunet-v1`: resample, then normalize; average probabilities over tiles and resample those. `nnunet-v2`:
     * normalize, then resample; average logits and resample those. They also guard divisions in different ways.
     */
    convention: z.enum(['nnunet-v1', 'nnunet-v2']),
    /** Interpolation orders: 0 nearest, 1 linear, 3 cubic spline. */
    resampling: z.strictObject({
      image: interpolationOrder,
      imageZ: z.literal([0, 1]),
      probabilities: interpolationOrder,
      probabilitiesZ: z.literal([0, 1]),
      /** Largest spacing over smallest; above it slices are resampled by themselves, and the Z orders apply between. */
      anisotropyThreshold: z.number().min(1),
    }),
    /** Axis code, such as LPS, that a scan is turned to before all else; null: its axes are taken as stored. */
    orientation: z
      .string()
      .refine((code) => /^[RLAPSI]{3}$/.test(code) && /[RL]/.test(code) && /[AP]/.test(code) && /[SI]/.test(code), {
        error: 'must be an axis code of three letters, one each of R or L, A or P, S or I, such as LPS',
      })
      .nullable(),
    inference: z.strictObject({
      /** Distance of two tiles at most, as a fraction of the patch. */
      step: z.number().positive().max(1),
      /** Axes (0 d, 1 h, 2 w) along which tiles are also shown mirrored. */
      mirrorAxes: z.array(axis).refine(distinct, 'must not name an axis twice'),
    }),
    /** For a network whose outputs are regions that may overlap: what labels each one is made of, in output order. */
    regions: z.array(z.strictObject({ name: z.string(), labels: z.array(label).min(1) })).optional(),
    /** The label that each region writes, in output order; a later one overwrites. */
    regionsClassOrder: z.array(label).optional(),
    /** Sets of labels, in order: taken as one object, all but its largest connected components become background. */
    keepLargestComponents: z.array(z.array(label).min(1)).optional(),
  })
  .refine(({ regions, regionsClassOrder }) => regions?.length === regionsClassOrder?.length, {
    path: ['regionsClassOrder'],
    error: 'must have one label for each of the regions',
  });

export type Plan = z.infer<typeof planSchema>;
export type Channel = Plan['channels'][number];

/**
 * Checks a plan that comes from outside, such as parsed JSON.
 * @param name what to call it in messages
 * @throws InputError that names the first entry that is wrong
 */
export function parsePlan(value: unknown, name = 'the plan'): Plan {
  const result = planSchema.safeParse(value);
  if (result.success) return result.data;
  const [{ path, message }] = result.error.issues;
  const where = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  throw new InputError(`${name}${where && ` at ${where.replace(/^\./, '')}`}: ${message}`);
}

/** What lies beside an nnU-Net v1 plan, where it does. */
export interface V1Surroundings {
  /** Names of the channels, where the plan's own (`modalities`) are to be replaced by better ones. */
  readonly channelNames?: readonly string[];
  /** `for_which_classes` of the postprocessing.json, which overrules the plan's own `keep_only_largest_region`. */
  readonly keepLargest?: readonly (number | readonly number[])[];
}

/**
 * The plan in an nnU-Net v1 dictionary (`plans.pkl`, or `plans` in a checkpoint's sidecar). Of several stages the last
 * one is taken, as `3d_fullres` does.
 * @param value the unpickled dictionary: a Map or an object, with arrays, typed arrays or tensors in it
 * @returns the plan, and the number of classes with the background
 * @throws InputError where something that inference depends on is missing or not supported
 */
export function planFromV1Pickle(
  value: unknown,
  { channelNames, keepLargest }: V1Surroundings = {},
): { plan: Plan; classes: number } {
  const plans = new V1Reader(value, 'the nnU-Net plan');
  const stages = plans.entry('plans_per_stage');
  const stage = stages.entry(stages.keys().reduce((last: number, key) => Math.max(last, Number(key)), 0));
  const schemes = plans.entry('normalization_schemes');
  const channels = schemes.keys().map((_, c): Channel => {
    const normalization = v1Normalization(schemes.entry(c).text());
    return {
      name: channelNames?.[c] ?? plans.entry('modalities').entry(c).text(),
      normalization,
      useMask: plans.entry('use_mask_for_norm').entry(c).boolean(),
      ...(normalization === 'ct' && { intensities: v1Intensities(plans, c) }),
    };
  });
  const keep = keepLargest?.map((labels) => (typeof labels === 'number' ? [labels] : [...labels])) ?? v1Largest(plans);
  const plan: unknown = {
    format: 'unetrpp-plan',
    version: 1,
    configuration: '3d_fullres',
    transposeForward: plans.find('transpose_forward')?.numbers() ?? [0, 1, 2],
    spacing: v1Resamples(plans) ? stage.entry('current_spacing').numbers() : null,
    patch: stage.entry('patch_size').numbers(),
    channels,
    convention: 'nnunet-v1',
    resampling: { image: 3, imageZ: 0, probabilities: 1, probabilitiesZ: 0, anisotropyThreshold: 3 },
    orientation: null,
    inference: { step: 0.5, mirrorAxes: [0, 1, 2] },
    ...(keep.length > 0 && { keepLargestComponents: keep }),
  };
  return { plan: parsePlan(plan, 'the nnU-Net plan'), classes: plans.entry('num_classes').number() + 1 };
}

function v1Normalization(scheme: string): Channel['normalization'] {
  switch (scheme) {
    case 'CT':
      return 'ct';
    case 'nonCT':
      return 'zScore';
    case 'noNorm':
      return 'none';
    default:
      throw new InputError(`the nnU-Net plan normalizes by "${scheme}"; only CT, nonCT and noNorm are supported`);
  }
}

function v1Intensities(plans: V1Reader, channel: number): Channel['intensities'] {
  const of = plans.entry('dataset_properties').entry('intensityproperties').entry(channel);
  return {
    mean: of.entry('mean').number(),
    std: of.entry('sd').number(),
    percentile005: of.entry('percentile_00_5').number(),
    percentile995: of.entry('percentile_99_5').number(),
  };
}

/** The preprocessor decides whether there is resampling; one that does something else again must not pass unseen. */
function v1Resamples(plans: V1Reader): boolean {
  const preprocessor = plans.find('preprocessor_name')?.text() ?? 'GenericPreprocessor';
  if (preprocessor === 'GenericPreprocessor') return true;
  if (preprocessor === 'PreprocessorFor3D_NoResampling') return false;
  throw new InputError(
    `the nnU-Net plan asks for the preprocessor ${preprocessor}; only GenericPreprocessor and PreprocessorFor3D_NoResampling are supported`,
  );
}

/** `keep_only_largest_region`: a dictionary from a label, or a tuple of labels, to whether it holds; or nothing. */
function v1Largest(plans: V1Reader): number[][] {
  const regions = plans.find('keep_only_largest_region');
  if (!regions) return [];
  return regions
    .keys()
    .filter((key) => regions.entry(key).boolean())
    .map((key) => new V1Reader([key].flat(), 'keep_only_largest_region').numbers());
}

/** Reads an unpickled value, which may be of any kind, and says which entry is missing or of another kind. */
class V1Reader {
  readonly value: unknown;
  readonly name: string;

  constructor(value: unknown, name: string) {
    this.value = value;
    this.name = name;
  }

  /** Keys of a dictionary, or indices of a list. */
  keys(): unknown[] {
    if (this.value instanceof Map || Array.isArray(this.value)) return [...this.value.keys()];
    if (typeof this.value === 'object' && this.value !== null) return Object.keys(this.value);
    throw this.unlike('a dictionary');
  }

  /** The entry of a key, undefined where it is missing or None. Whole numbers may be keys as number, bigint or text. */
  find(key: unknown): V1Reader | undefined {
    const present = this.keys().find((each) => each === key || (typeof key === 'number' && String(each) === `${key}`));
    if (present === undefined) return undefined;
    const value =
      this.value instanceof Map ? this.value.get(present) : (this.value as Record<string, unknown>)[present as string];
    return value === undefined || value === null ? undefined : new V1Reader(value, `${this.name}.${String(present)}`);
  }

  entry(key: unknown): V1Reader {
    const found = this.find(key);
    if (!found) throw new InputError(`${this.name} has no ${String(key)}, without which nothing can be predicted`);
    return found;
  }

  text(): string {
    if (typeof this.value !== 'string') throw this.unlike('a text');
    return this.value;
  }

  boolean(): boolean {
    if (typeof this.value === 'boolean') return this.value;
    const number = this.number();
    if (number !== 0 && number !== 1) throw this.unlike('true or false');
    return number === 1;
  }

  number(): number {
    const { value } = this;
    if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return Number(value);
    // A NumPy scalar is a tensor of one element.
    const numbers = typeof value === 'object' ? this.numbers() : [];
    if (numbers.length !== 1) throw this.unlike('a number');
    return numbers[0];
  }

  /** A list, a tuple, a typed array or a tensor. */
  numbers(): number[] {
    const { value } = this;
    const values = typeof value === 'object' && value !== null && 'data' in value ? value.data : value;
    if (ArrayBuffer.isView(values)) return Array.from(values as unknown as ArrayLike<number | bigint>, Number);
    if (!Array.isArray(values)) throw this.unlike('a list of numbers');
    return values.map((each, i) => new V1Reader(each, `${this.name}[${i}]`).number());
  }

  private unlike(what: string): InputError {
    return new InputError(`${this.name} is not ${what}`);
  }
}
