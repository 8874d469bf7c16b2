/**
 * The plan in nnU-Net v2's `plans.json`: how its configuration `3d_fullres` prepares data, as a plan of this package. Its
 * network is left to others. (Version 1, `plans.pkl`: plan.ts; making such plans: nnunetPlanning.ts.)
 */
import { z } from 'zod';
import { InputError } from '../errors.ts';
import { type Channel, type Plan, parsePlan } from './plan.ts';

const triple = z.array(z.number()).length(3);
const kwargs = z.object({ order: z.number(), order_z: z.number().default(0), force_separate_z: z.boolean().nullish() });

/** Of the configuration, after inheritance. Other keys are nnU-Net's own affair. */
const configurationSchema = z.object({
  patch_size: triple,
  spacing: triple,
  normalization_schemes: z.array(z.string()).min(1),
  use_mask_for_norm: z.array(z.boolean()).min(1),
  preprocessor_name: z.string().default('DefaultPreprocessor'),
  resampling_fn_data: z.string(),
  resampling_fn_data_kwargs: kwargs,
  resampling_fn_probabilities: z.string(),
  resampling_fn_probabilities_kwargs: kwargs,
});

const intensities = z.object({
  mean: z.number(),
  std: z.number(),
  percentile_00_5: z.number(),
  percentile_99_5: z.number(),
});

const plansSchema = z.object({
  transpose_forward: triple,
  configurations: z.record(z.string(), z.record(z.string(), z.unknown())),
  foreground_intensity_properties_per_channel: z.record(z.string(), intensities).default({}),
});

const normalizations: Readonly<Record<string, Channel['normalization']>> = {
  CTNormalization: 'ct',
  ZScoreNormalization: 'zScore',
  RescaleTo01Normalization: 'rescale01',
  RGBTo01Normalization: 'rgb',
  NoNormalization: 'none',
};

/** The functions that resample as this package does. */
const resamplingFunction = 'resample_data_or_seg_to_shape';

/**
 * @param value parsed JSON
 * @param channelNames in order; nnU-Net's plan does not have them
 * @param name what to call the file in messages
 * @throws InputError where something that preparing depends on is missing or not supported
 */
export function planFromV2Json(value: unknown, channelNames: readonly string[], name = 'plans.json'): Plan {
  const plans = checked(plansSchema, value, name);
  const inherited = configurationOf(plans.configurations, '3d_fullres', name);
  const configuration = checked(configurationSchema, inherited, `${name} at configurations.3d_fullres`);
  const { normalization_schemes: schemes, use_mask_for_norm: useMask } = configuration;
  const only = (what: string, found: string, wanted: string) => {
    if (found !== wanted) throw new InputError(`${name} asks for the ${what} ${found}; only ${wanted} is supported.`);
  };
  only('preprocessor', configuration.preprocessor_name, 'DefaultPreprocessor');
  only('resampling function', configuration.resampling_fn_data, resamplingFunction);
  only('resampling function', configuration.resampling_fn_probabilities, resamplingFunction);
  const { resampling_fn_data_kwargs: image, resampling_fn_probabilities_kwargs: probabilities } = configuration;
  const forced = image.force_separate_z ?? probabilities.force_separate_z;
  if (forced !== undefined && forced !== null) {
    throw new InputError(
      `${name} forces or forbids resampling slice by slice; only force_separate_z null is supported.`,
    );
  }
  if (channelNames.length !== schemes.length || useMask.length !== schemes.length) {
    throw new InputError(
      `${name} is for ${schemes.length} channels and there are ${channelNames.length} (${channelNames.join(', ')}); give the plan of this data set.`,
    );
  }
  const channels = channelNames.map((channel, index) => {
    const scheme = schemes[index];
    if (!Object.hasOwn(normalizations, scheme)) {
      throw new InputError(
        `${name} normalizes by ${JSON.stringify(scheme)}; only ${Object.keys(normalizations).join(', ')} are supported.`,
      );
    }
    const normalization = normalizations[scheme];
    const of = plans.foreground_intensity_properties_per_channel[String(index)];
    return {
      name: channel,
      normalization,
      useMask: useMask[index],
      ...(normalization === 'ct' &&
        of && {
          intensities: {
            mean: of.mean,
            std: Math.max(of.std, 1e-8),
            percentile005: of.percentile_00_5,
            percentile995: of.percentile_99_5,
          },
        }),
    };
  });
  return parsePlan(
    {
      format: 'unetrpp-plan',
      version: 1,
      configuration: '3d_fullres',
      transposeForward: plans.transpose_forward,
      spacing: configuration.spacing,
      patch: configuration.patch_size,
      channels,
      convention: 'nnunet-v2',
      resampling: {
        image: image.order,
        imageZ: image.order_z,
        probabilities: probabilities.order,
        probabilitiesZ: probabilities.order_z,
        anisotropyThreshold: 3,
      },
      orientation: null,
      inference: { step: 0.5, mirrorAxes: [0, 1, 2] },
    },
    name,
  );
}

function checked<T>(schema: z.ZodType<T>, value: unknown, name: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [{ path, message }] = result.error.issues;
  throw new InputError(
    `${name}: ${path.join('.') || 'the whole'}: ${message}; give the plans.json of an nnU-Net v2 data set.`,
  );
}

type Configurations = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** A configuration with what it inherits; its own entries win. */
function configurationOf(configurations: Configurations, wanted: string, name: string): Record<string, unknown> {
  const line: Readonly<Record<string, unknown>>[] = [];
  const seen = new Set<string>();
  for (let next: unknown = wanted; next !== undefined; next = line.at(-1)!['inherits_from']) {
    if (typeof next !== 'string' || !Object.hasOwn(configurations, next)) {
      throw new InputError(
        `${name} has no configuration ${String(next)} (${Object.keys(configurations).join(', ')}), without which nothing can be prepared.`,
      );
    }
    if (seen.has(next))
      throw new InputError(`${name}: the configuration ${next} inherits from itself; correct inherits_from.`);
    seen.add(next);
    line.push(configurations[next]);
  }
  return Object.assign({}, ...line.toReversed());
}
