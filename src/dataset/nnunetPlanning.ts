/**
 * nnU-Net v2's planners: from a data set's fingerprint to target spacing, patch, batch and the shape of a U-Net, by the
 * rules of `ExperimentPlanner` (plain) and of the residual-encoder planners (M, L, XL), quirks included, so that its plans
 * come out number for number. What UNETR++ makes of these rules is decided in train/planning.ts.
 *
 * Spacings and shapes are in the reader's axis order (z, y, x for files of images), and along d, h, w after the plan's
 * transposition. Source: nnU-Net 2, `experiment_planning`; the memory unit is the number of elements that convolutions give.
 */
import { elementCount } from '../tensor.ts';
import { percentile } from '../volume/intensities.ts';
import { roundEven } from '../volume/volume.ts';

/** What a planner sees of a data set. */
export interface PlannedData {
  /** mm, one entry a case. */
  readonly spacings: readonly (readonly number[])[];
  /** Voxels after cropping to what is not zero, one entry a case. */
  readonly shapes: readonly (readonly number[])[];
  readonly medianRelativeSize: number;
  readonly channels: readonly string[];
  /** Classes of the network's output: labels with the background, or regions. */
  readonly classes: number;
  /** `numTraining` of dataset.json. */
  readonly trainingCases: number;
}

export type NnunetPlanner = 'plain' | 'resEncM' | 'resEncL' | 'resEncXL';

export interface NnunetPlanOptions {
  /** In the reader's axis order; replaces the rule. */
  readonly targetSpacing?: readonly number[];
  /** GB that the network may take, by the planners' estimate. */
  readonly memoryTarget?: number;
}

type NnunetScheme =
  | 'CTNormalization'
  | 'NoNormalization'
  | 'ZScoreNormalization'
  | 'RescaleTo01Normalization'
  | 'RGBTo01Normalization';

export interface NnunetConfiguration {
  /** Name of the folder with the prepared cases. */
  readonly dataIdentifier: string;
  readonly batch: number;
  /** Whether the Dice loss sums over the samples of a batch. */
  readonly batchDice: boolean;
  readonly patch: readonly number[];
  readonly medianShape: readonly number[];
  readonly spacing: readonly number[];
  readonly schemes: readonly NnunetScheme[];
  readonly useMask: readonly boolean[];
  /** By stage, from the full resolution down. */
  readonly strides: readonly (readonly number[])[];
  readonly kernels: readonly (readonly number[])[];
  readonly features: readonly number[];
  /** Convolutions (plain) or residual blocks of an encoder stage. */
  readonly blocks: readonly number[];
  readonly decoderConvolutions: readonly number[];
  /** Elements that the network's convolutions give for one sample. */
  readonly featureMapSize: number;
  readonly nextStage?: '3d_cascade_fullres';
}

export interface NnunetPlan {
  readonly plansName: string;
  readonly medianSpacing: readonly number[];
  readonly medianShape: readonly number[];
  readonly transposeForward: readonly number[];
  readonly transposeBackward: readonly number[];
  /** Before the transposition. */
  readonly targetSpacing: readonly number[];
  readonly configurations: {
    readonly '2d': NnunetConfiguration;
    readonly '3d_lowres'?: NnunetConfiguration;
    readonly '3d_fullres'?: NnunetConfiguration;
  };
}

interface PlannerRules {
  readonly plansName: string;
  readonly residual: boolean;
  readonly memoryTarget: number;
  /** GB at which `reference` was measured, and feature map sizes that fill them, of 3-D and 2-D networks. */
  readonly referenceMemory: number;
  readonly reference: { readonly 3: number; readonly 2: number };
  /** Share of the data set's voxels that a batch may have. */
  readonly coverage: number;
}

const planners: Readonly<Record<NnunetPlanner, PlannerRules>> = {
  plain: {
    plansName: 'nnUNetPlans',
    residual: false,
    memoryTarget: 8,
    referenceMemory: 8,
    reference: { 3: 560e6, 2: 85e6 },
    coverage: 0.05,
  },
  resEncM: {
    plansName: 'nnUNetResEncUNetMPlans',
    residual: true,
    memoryTarget: 8,
    referenceMemory: 8,
    reference: { 3: 680e6, 2: 135e6 },
    coverage: 1,
  },
  resEncL: {
    plansName: 'nnUNetResEncUNetLPlans',
    residual: true,
    memoryTarget: 24,
    referenceMemory: 24,
    reference: { 3: 2100e6, 2: 380e6 },
    coverage: 1,
  },
  resEncXL: {
    plansName: 'nnUNetResEncUNetXLPlans',
    residual: true,
    memoryTarget: 40,
    referenceMemory: 40,
    reference: { 3: 3600e6, 2: 560e6 },
    coverage: 1,
  },
};

/** A spacing this many times another is anisotropic. */
const anisotropy = 3;
/** An axis is halved while its half has as many voxels. */
const smallestEdge = 4;
const referenceBatch = { 3: 2, 2: 12 } as const;
const leastBatch = 2;
const firstFeatures = 32;
const mostFeatures = { 3: 320, 2: 512 } as const;
/** Blocks of a residual encoder's stages; deeper stages have as many as the last. */
const residualBlocks = [1, 3, 4, 6];
/** A patch that covers less of the median case asks for a network at low resolution, .. */
const lowResolutionBelow = 0.25;
/** .. found by widening the spacing in steps of this factor, .. */
const wideningFactor = 1.03;
/** .. which is left out when it saves less than this factor in voxels. */
const lowResolutionGain = 2;

const columnOf = (rows: readonly (readonly number[])[], axis: number, p: number) =>
  percentile(Float64Array.from(rows, (row) => row[axis]).sort(), p);
const medians = (rows: readonly (readonly number[])[]) => rows[0].map((_, axis) => columnOf(rows, axis, 50));
const largest = (values: readonly number[]) => values.indexOf(Math.max(...values));
const product = elementCount;

/**
 * The spacing that 3-D networks at full resolution see: the median of each axis; of slices that are both few and far apart
 * the 10th percentile.
 * @returns mm, in the axis order of the spacings
 */
export function nnunetTargetSpacing(
  spacings: readonly (readonly number[])[],
  shapes: readonly (readonly number[])[],
): number[] {
  const target = medians(spacings);
  const size = medians(shapes);
  const worst = largest(target);
  const others = (values: readonly number[]) => values.filter((_, axis) => axis !== worst);
  const coarsestOther = Math.max(...others(target));
  if (target[worst] > anisotropy * coarsestOther && size[worst] * anisotropy < Math.min(...others(size))) {
    const fine = columnOf(spacings, worst, 10);
    target[worst] = fine < coarsestOther ? coarsestOther + 1e-5 : fine;
  }
  return target;
}

export interface Topology {
  /** Halvings of each axis. */
  readonly halvings: readonly number[];
  readonly strides: readonly (readonly number[])[];
  readonly kernels: readonly (readonly number[])[];
  /** The patch, padded to a multiple of `divisors`. */
  readonly patch: readonly number[];
  readonly divisors: readonly number[];
}

/**
 * How often each axis is halved and where kernels are 3 wide: axes whose spacing is within a factor 2 of the finest are
 * halved together; an axis's kernel is 1 until it belongs to them.
 * @param patch voxels; may be fractions, as medians are
 */
export function nnunetTopology(spacing: readonly number[], patch: readonly number[]): Topology {
  const axes = spacing.map((_, axis) => axis);
  const [mm, size] = [[...spacing], [...patch]];
  const halvings = axes.map(() => 0);
  const kernel = axes.map(() => 1);
  const strides = [axes.map(() => 1)];
  const kernels: number[][] = [];
  for (;;) {
    const long = axes.filter((axis) => size[axis] >= 2 * smallestEdge);
    const finest = Math.min(...long.map((axis) => mm[axis]));
    const halved = long.filter((axis) => mm[axis] / finest < 2);
    if (halved.length === 0 || (halved.length === 1 && size[halved[0]] < 3 * smallestEdge)) break;
    for (const axis of axes) if (mm[axis] / Math.min(...mm) < 2) kernel[axis] = 3;
    kernels.push([...kernel]);
    strides.push(axes.map((axis) => (halved.includes(axis) ? 2 : 1)));
    for (const axis of halved) {
      halvings[axis]++;
      mm[axis] *= 2;
      size[axis] = Math.ceil(size[axis] / 2);
    }
  }
  kernels.push(axes.map(() => 3));
  const divisors = halvings.map((count) => 2 ** count);
  return { halvings, strides, kernels, patch: padded(patch, divisors), divisors };
}

const padded = (patch: readonly number[], divisors: readonly number[]) =>
  patch.map((length, axis) => Math.ceil(length / divisors[axis]) * divisors[axis]);

interface Encoder {
  readonly features: readonly number[];
  readonly blocks: readonly number[];
  readonly decoderConvolutions: readonly number[];
}

function encoderFor(residual: boolean, stages: number, dimensions: 2 | 3): Encoder {
  const perStage = <T>(value: (stage: number) => T, count = stages) =>
    Array.from({ length: count }, (_, stage) => value(stage));
  return {
    features: perStage((stage) => Math.min(mostFeatures[dimensions], firstFeatures * 2 ** stage)),
    blocks: perStage((stage) => (residual ? (residualBlocks[stage] ?? residualBlocks[residualBlocks.length - 1]) : 2)),
    decoderConvolutions: perStage(() => (residual ? 1 : 2), stages - 1),
  };
}

/** Elements that all convolutions of a U-Net give for one sample; heads of deep supervision are not counted. */
function featureMapSize(
  residual: boolean,
  { patch, strides }: Topology,
  { features, blocks, decoderConvolutions }: Encoder,
  classes: number,
): number {
  const grids: number[][] = [];
  for (const [stage, stride] of strides.entries()) {
    grids.push((grids[stage - 1] ?? patch).map((length, axis) => length / stride[axis]));
  }
  const elements = grids.map((grid, stage) => features[stage] * product(grid));
  let sum = residual ? features[0] * product(patch) : 0;
  for (const [stage, count] of blocks.entries()) {
    const changes =
      strides[stage].some((stride) => stride > 1) || (stage > 0 && features[stage] !== features[stage - 1]);
    sum += elements[stage] * (residual ? 2 * count + (changes ? 1 : 0) : count);
  }
  for (const [stage, convolutions] of decoderConvolutions.entries()) sum += elements[stage] * (1 + convolutions);
  return sum + classes * product(grids[0]);
}

function configurationFor(
  rules: PlannerRules,
  options: NnunetPlanOptions,
  data: PlannedData,
  spacing: readonly number[],
  medianShape: readonly number[],
  dataIdentifier: string,
  datasetVoxels: number,
): NnunetConfiguration {
  const { residual } = rules;
  const dimensions = spacing.length as 2 | 3;
  const finesse = spacing.map((mm) => 1 / mm);
  const volume = dimensions === 3 ? 256 ** 3 : 2048 ** 2;
  const scale = (volume / product(finesse)) ** (1 / dimensions);
  const first = finesse.map((each, axis) => Math.min(roundEven(each * scale), medianShape[axis]));

  const measured = (topology: Topology) => {
    const encoder = encoderFor(residual, topology.strides.length, dimensions);
    return { topology, encoder, size: featureMapSize(residual, topology, encoder, data.classes) };
  };
  let found = measured(nnunetTopology(spacing, first));
  const reference =
    rules.reference[dimensions] * ((options.memoryTarget ?? rules.memoryTarget) / rules.referenceMemory);
  const batchOf = referenceBatch[dimensions];
  // The plain planner shrinks until two samples fit, the residual ones until the reference batch does: in 2-D they differ.
  const tooLarge = (size: number) => (residual ? size : (size / batchOf) * 2) > reference;
  while (tooLarge(found.size)) {
    const { patch, divisors } = found.topology;
    const filled = patch.map((length, axis) => length / medianShape[axis]);
    const axis = filled.lastIndexOf(Math.max(...filled));
    const less = (by: readonly number[]) => patch.map((length, each) => (each === axis ? length - by[axis] : length));
    // The smaller patch may be halved less often and so have a smaller step: that one is taken.
    found = measured(nnunetTopology(spacing, less(nnunetTopology(spacing, less(divisors)).divisors)));
  }
  const { topology, encoder, size } = found;
  const { patch, strides, kernels } = topology;
  const fitting = roundEven((reference / size) * batchOf);
  const covering = roundEven((datasetVoxels * rules.coverage) / product(patch));
  const schemes = data.channels.map(nnunetScheme);
  return {
    dataIdentifier,
    batch: Math.max(Math.min(fitting, covering), leastBatch),
    batchDice: dimensions === 2,
    patch,
    medianShape,
    spacing,
    schemes,
    useMask: schemes.map((scheme) => scheme === 'ZScoreNormalization' && data.medianRelativeSize < 0.75),
    strides,
    kernels,
    ...encoder,
    featureMapSize: size,
  };
}

/** nnU-Net's own: a name that it does not know is z-score. */
function nnunetScheme(channel: string): NnunetScheme {
  switch (channel.toLowerCase()) {
    case 'ct':
      return 'CTNormalization';
    case 'nonorm':
      return 'NoNormalization';
    case 'rescale_to_0_1':
      return 'RescaleTo01Normalization';
    case 'rgb_to_0_1':
      return 'RGBTo01Normalization';
    default:
      return 'ZScoreNormalization';
  }
}

/**
 * The plan that an nnU-Net v2 planner makes. With a configuration at low resolution there is `3d_cascade_fullres` too, which
 * inherits all of `3d_fullres`.
 * @throws RangeError when there are no cases
 */
export function nnunetPlan(planner: NnunetPlanner, data: PlannedData, options: NnunetPlanOptions = {}): NnunetPlan {
  const { spacings, shapes } = data;
  if (spacings.length === 0) throw new RangeError('a data set without cases has no plan');
  const rules = planners[planner];
  const targetSpacing = [...(options.targetSpacing ?? nnunetTargetSpacing(spacings, shapes))];
  const first = largest(targetSpacing);
  const transposeForward = [first, ...targetSpacing.keys()].filter((axis, at) => at === 0 || axis !== first);
  const turned = (values: readonly number[]) => transposeForward.map((axis) => values[axis]);

  const target = turned(targetSpacing);
  const medianShape = turned(
    medians(
      shapes.map((shape, index) =>
        shape.map((length, axis) => roundEven((spacings[index][axis] / targetSpacing[axis]) * length)),
      ),
    ),
  );
  const voxels = product(medianShape) * data.trainingCases;
  const configure = (mm: readonly number[], shape: readonly number[], identifier: string, dataset = voxels) =>
    configurationFor(rules, options, data, mm, shape, identifier, dataset);
  // The prepared cases are the same for all planners, and named alike.
  const fullData = planners.plain.plansName;
  const flat = configure(target.slice(1), medianShape.slice(1), `${fullData}_2d`);
  const whole = medianShape[0] === 1 ? undefined : configure(target, medianShape, `${fullData}_3d_fullres`);
  const low =
    whole &&
    lowResolution(whole, medianShape, data.trainingCases, (mm, shape, dataset) =>
      configure(mm, shape, `${rules.plansName}_3d_lowres`, dataset),
    );
  return {
    plansName: rules.plansName,
    medianSpacing: turned(medians(spacings)),
    medianShape: turned(medians(shapes)).map(roundEven),
    transposeForward,
    transposeBackward: transposeForward.map((_, axis) => transposeForward.indexOf(axis)),
    targetSpacing,
    configurations: {
      '2d': flat,
      ...(low && { '3d_lowres': { ...low, nextStage: '3d_cascade_fullres' } }),
      ...(whole && { '3d_fullres': { ...whole, batchDice: low !== undefined } }),
    },
  };
}

/** The configuration of a spacing so wide that a patch covers enough of the median case; undefined where none is worth it. */
function lowResolution(
  { patch, spacing }: NnunetConfiguration,
  medianShape: readonly number[],
  trainingCases: number,
  configure: (spacing: readonly number[], shape: readonly number[], datasetVoxels: number) => NnunetConfiguration,
): NnunetConfiguration | undefined {
  let low: NnunetConfiguration | undefined;
  let mm = [...spacing];
  let [covered, voxels] = [product(patch), product(medianShape)];
  while (covered / voxels < lowResolutionBelow) {
    // Axes that are more than twice as fine as the coarsest widen first.
    const coarsest = Math.max(...mm);
    const fine = mm.map((each) => coarsest / each > 2);
    const widens = fine.some(Boolean) ? fine : mm.map(() => true);
    mm = mm.map((each, axis) => (widens[axis] ? each * wideningFactor : each));
    const shape = medianShape.map((length, axis) => (spacing[axis] / mm[axis]) * length);
    voxels = product(shape);
    low = configure(mm, shape.map(roundEven), voxels * trainingCases);
    covered = product(low.patch);
  }
  return low && product(medianShape) / voxels >= lowResolutionGain ? low : undefined;
}
