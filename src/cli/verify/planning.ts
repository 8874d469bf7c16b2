/**
 * Replays nnU-Net v2's planners on the fingerprints of reference plans: every number, name and switch of every
 * configuration. Numbers there have twelve digits.
 */
import {
  type NnunetConfiguration,
  type NnunetPlan,
  type NnunetPlanner,
  nnunetPlan,
  nnunetTopology,
} from '../../dataset/nnunetPlanning.ts';
import { compare, type Deviation } from './deviation.ts';

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

interface PlanningCase {
  readonly name: string;
  readonly fingerprint: {
    readonly spacings: number[][];
    readonly shapes: number[][];
    readonly median_relative_size_after_cropping: number;
  };
  readonly channel_names: string[];
  readonly num_labels_incl_background: number;
  readonly numTraining: number;
  readonly planner_args: { readonly overwrite_target_spacing?: number[]; readonly gpu_memory_target_in_gb?: number };
  readonly plans: Readonly<Record<string, { readonly [key: string]: Json }>>;
}

export interface PlanningSet {
  readonly cases: readonly PlanningCase[];
  readonly functions: {
    readonly pool_and_conv_props: readonly {
      readonly spacing: number[];
      readonly patch_size: number[];
      readonly min_feature_map_size: number;
      readonly [expected: string]: Json;
    }[];
  };
}

const planners: Readonly<Record<string, NnunetPlanner>> = {
  ExperimentPlanner: 'plain',
  nnUNetPlannerResEncM: 'resEncM',
  nnUNetPlannerResEncL: 'resEncL',
  nnUNetPlannerResEncXL: 'resEncXL',
};

/** Twelve digits, and sums of them. */
const limit = 1e-11;

/** A configuration in nnU-Net's words. */
function configurationJson(configuration: NnunetConfiguration, residual: boolean): Json {
  const { strides, kernels } = configuration;
  return {
    data_identifier: configuration.dataIdentifier,
    batch_size: configuration.batch,
    batch_dice: configuration.batchDice,
    patch_size: configuration.patch,
    median_image_size_in_voxels: configuration.medianShape,
    spacing: configuration.spacing,
    normalization_schemes: configuration.schemes,
    use_mask_for_norm: configuration.useMask,
    strides,
    kernel_sizes: kernels,
    architecture: {
      n_stages: strides.length,
      features_per_stage: configuration.features,
      kernel_sizes: kernels,
      strides,
      [residual ? 'n_blocks_per_stage' : 'n_conv_per_stage']: configuration.blocks,
      n_conv_per_stage_decoder: configuration.decoderConvolutions,
    },
    conv_feature_map_size: configuration.featureMapSize,
    ...(configuration.nextStage && { next_stage: configuration.nextStage }),
  };
}

function planJson({ configurations, ...plan }: NnunetPlan, residual: boolean): { readonly [key: string]: Json } {
  const cascade = { inherits_from: '3d_fullres', previous_stage: '3d_lowres' };
  return {
    plans_name: plan.plansName,
    original_median_spacing_after_transp: plan.medianSpacing,
    original_median_shape_after_transp: plan.medianShape,
    transpose_forward: plan.transposeForward,
    transpose_backward: plan.transposeBackward,
    fullres_target_spacing_before_transpose: plan.targetSpacing,
    configurations: {
      ...Object.fromEntries(
        Object.entries(configurations).map(([name, each]) => [name, configurationJson(each, residual)]),
      ),
      ...(configurations['3d_lowres'] && { '3d_cascade_fullres': cascade }),
    },
  };
}

/** Pairs of numbers, got and wanted, for every leaf of `wanted`; other leaves and missing ones are 1 where they agree. */
function pairs(got: Json | undefined, wanted: Json): [got: number, wanted: number][] {
  if (typeof wanted === 'number') return [[typeof got === 'number' ? got : Number.NaN, wanted]];
  if (typeof wanted !== 'object' || wanted === null) return [[got === wanted ? 1 : Number.NaN, 1]];
  if (typeof got !== 'object' || got === null) return [[Number.NaN, 1]];
  const [ours, theirs] = [got, wanted] as Readonly<Record<string, Json>>[];
  const counts: [number, number][] = Array.isArray(wanted) ? [[Object.keys(ours).length - wanted.length + 1, 1]] : [];
  return [...counts, ...Object.entries(theirs).flatMap(([key, each]) => pairs(ours[key], each))];
}

function deviation(set: string, what: string, got: Json | undefined, wanted: Json): Deviation {
  const found = pairs(got, wanted);
  const [ours, theirs] = [found.map(([each]) => each), found.map(([, each]) => each)];
  // Element by element, each against its own size: a batch of 2 beside a feature map of 10^9 must not pass unseen.
  const relative = ours.map((each, i) => (theirs[i] === 0 ? 1 + each : each / theirs[i]));
  return {
    set,
    tensor: what,
    limit,
    ...compare(
      relative,
      theirs.map(() => 1),
    ),
  };
}

function verifyPlans(each: PlanningCase): Deviation[] {
  const { fingerprint, planner_args: args } = each;
  const data = {
    spacings: fingerprint.spacings,
    shapes: fingerprint.shapes,
    medianRelativeSize: fingerprint.median_relative_size_after_cropping,
    channels: each.channel_names,
    classes: each.num_labels_incl_background,
    trainingCases: each.numTraining,
  };
  const options = { targetSpacing: args.overwrite_target_spacing, memoryTarget: args.gpu_memory_target_in_gb };
  return Object.entries(each.plans).flatMap(([planner, wanted]) => {
    const plan = planJson(nnunetPlan(planners[planner], data, options), planner !== 'ExperimentPlanner');
    const { configurations, ...head } = wanted as { [key: string]: Json; configurations: { [key: string]: Json } };
    const ours = plan['configurations'] as { [key: string]: Json };
    const named = (part: string) => `${planner} ${part}`;
    return [
      deviation(each.name, named('head'), plan, head),
      deviation(each.name, named('configurations'), Object.keys(ours).sort(), Object.keys(configurations).sort()),
      ...Object.entries(configurations).map(([name, configuration]) =>
        deviation(each.name, named(name), ours[name], configuration),
      ),
    ];
  });
}

function verifyTopologies({ functions }: PlanningSet): Deviation[] {
  return functions.pool_and_conv_props.map(({ spacing, patch_size: patch, min_feature_map_size, ...wanted }) => {
    if (min_feature_map_size !== 4) throw new Error('the reference has another smallest edge than 4');
    const { halvings, strides, kernels, patch: out, divisors } = nnunetTopology(spacing, patch);
    const got = {
      num_pool_per_axis: halvings,
      strides,
      kernel_sizes: kernels,
      patch_size_out: out,
      must_be_divisible_by: divisors,
    };
    return deviation('topology', `spacing ${spacing.join(' x ')}, patch ${patch.join(' x ')}`, got, wanted);
  });
}

export function verifyPlanning(set: PlanningSet): Deviation[] {
  return [...set.cases.flatMap(verifyPlans), ...verifyTopologies(set)];
}
