/**
 * The compiled network of a model, and its answers to the tiles of a prepared scan. Which scan that is, and what becomes of
 * the blended answers, is for the segmenters.
 */
import type { Plan } from '../dataset/index.ts';
import type { CompileOptions, Engine, Executable } from '../engine/engine.ts';
import { InputError } from '../errors.ts';
import { changePatch, type UnetrppSettings, unetrpp } from '../nets/index.ts';
import { type Program, replaceOutputs, sigmoid, softmax } from '../program/index.ts';
import type { Shape, Tensor } from '../tensor.ts';
import { airDetector } from './air.ts';
import type { BlendedPart } from './cells.ts';
import type { Model, ModelDescription } from './model.ts';
import type { Prepared } from './prepare.ts';
import type { Clock } from './progress.ts';
import { blendingSteps, tileStarts } from './tiles.ts';

export interface SegmenterOptions extends CompileOptions {
  /** Average over mirror images too: up to 8 times the work, slightly better masks. Default false. */
  readonly mirror?: boolean;
  /** Distance of two tiles as a fraction of the patch. Default: the plan's. */
  readonly step?: number;
  /** Another input size than the network was trained at; its token tables are interpolated, with a notice. */
  readonly patch?: Shape;
  /** Tiles in one run of the network; more than 1 pays on a GPU. Default 1. */
  readonly batch?: number;
  /** Do not ask the network about tiles that hold only air (air.ts says what that is). Default false. */
  readonly skipEmpty?: boolean;
}

export interface OpenNetwork {
  /** The weights are the runtime's now; who lets go of the model frees its copy of them. */
  readonly model: ModelDescription;
  /** The model's, with the patch that is used. */
  readonly plan: Plan;
  readonly device: Executable['device'];
  readonly notices: readonly string[];
  /**
   * Asks the network about every tile and blends its answers: probabilities in v1, logits in v2. A step is one run of the
   * network; nothing happens until it is asked for.
   * @param take gets the parts as `blendTiles` gives them
   */
  blend(
    prepared: Prepared,
    take: (part: BlendedPart) => void,
    clock: Clock,
    signal?: AbortSignal,
  ): ReturnType<typeof blendingSteps>;
  dispose(): Promise<void>;
}

/** @throws InputError for an illegal patch, a step that is none, or a device that is not there */
export async function openNetwork(
  engine: Engine,
  { weights: given, ...model }: Model,
  options: SegmenterOptions = {},
): Promise<OpenNetwork> {
  const { settings, weights, notice } = changePatch(model.settings, given, options.patch ?? model.settings.patch);
  const plan: Plan = { ...model.plan, patch: settings.patch as unknown as Plan['patch'] };
  const { classes } = settings;
  const step = options.step ?? plan.inference.step;
  // Throws for a step that is none, before anything is compiled.
  tileStarts(1, 1, step);
  const { batch = 1 } = options;
  if (!(Number.isInteger(batch) && batch > 0)) {
    throw new InputError(`The batch is ${batch}; give the number of tiles in one run of the network, 1 or more.`);
  }
  const program = predictionProgram(settings, plan, batch);
  const executable = await engine.compile(program, weights, options);
  const output = [...program.outputs.keys()][0];
  const input = program.inputs[0];

  const forward = async (tile: Float32Array) => {
    const image: Tensor = { dtype: 'float32', shape: input.shape, data: tile };
    return (await executable.run(new Map([[input.name, image]]))).get(output)!.data;
  };

  return {
    model,
    plan,
    device: executable.device,
    notices: [...(notice ? [notice] : []), ...executable.notices],
    blend({ image, shape }, take, clock, signal) {
      return blendingSteps(
        {
          image,
          shape,
          patch: plan.patch,
          step,
          mirrorAxes: options.mirror ? plan.inference.mirrorAxes : [],
          classes,
          weights: plan.convention === 'nnunet-v1' ? 'v1' : 'v2',
          batch,
          skip: options.skipEmpty
            ? { isEmpty: airDetector(image, shape), answer: airAnswer(plan, classes) }
            : undefined,
        },
        async (tiles) => {
          clock.lap('blending');
          const answer = await forward(tiles);
          clock.lap('network');
          return answer;
        },
        (part) => {
          clock.lap('blending');
          take(part);
          clock.lap('restoring');
        },
        signal,
      );
    },
    dispose: () => executable.dispose(),
  };
}

/** The network, ending in what tiles are averaged by: probabilities in nnU-Net v1, logits in v2. */
export function predictionProgram(settings: UnetrppSettings, plan: Plan, batch = 1): Program {
  const program = unetrpp(settings, { outputs: 'first', batch });
  if (plan.convention === 'nnunet-v2') return program;
  return replaceOutputs(program, ({ out1 }) => ({ out1: plan.regions ? sigmoid(out1) : softmax(out1, 1) }));
}

/** What a tile of air is answered with: background for certain. */
function airAnswer(plan: Plan, classes: number): number[] {
  if (plan.convention === 'nnunet-v1')
    return Array.from({ length: classes }, (_, k) => (k === 0 && !plan.regions ? 1 : 0));
  // Logits: a probability of 1 - 2e-9.
  return Array.from({ length: classes }, (_, k) => (plan.regions ? -20 : k === 0 ? 20 : 0));
}
