/**
 * The contract of an engine: list the devices that are really there, compile a program for one, run it, let it go.
 *
 * plain.ts runs the float64 definitions (for tests), node.ts and web.ts run ONNX Runtime. One suite of tests runs for all
 * (test/engine-contract.ts).
 */
import { InputError } from '../errors.ts';
import { type Lowerings, type Target, usedParameters } from '../program/index.ts';
import type { Program } from '../program/program.ts';
import { elementCount, type Tensor } from '../tensor.ts';

export type DeviceName = Target;

export interface DeviceReport {
  readonly device: DeviceName;
  readonly available: boolean;
  /** What it is; or what is missing and how to get it. */
  readonly detail: string;
}

export interface CompileOptions {
  /** Default: the first device that is available, in the order of `devices()`. */
  readonly device?: DeviceName;
  /**
   * Threads of one operator. Default: the machine's cores; in a browser at most 8 of them, and 1 unless the page is
   * cross-origin isolated. A page's first program fixes it for all that follow on the device.
   */
  readonly threads?: number;
  /** How far ONNX Runtime may rewrite the graph. Default: all. */
  readonly optimization?: 'none' | 'basic' | 'extended' | 'all';
  /**
   * Keep freed memory for the next operators and runs. Without it every large tensor is fresh memory that the system must
   * clear page by page: a quarter more time; the process then holds its peak between runs. Default: true.
   */
  readonly memoryArena?: boolean;
  /** Let idle threads spin between operators: faster alone, wasteful on a shared machine. Default: false. */
  readonly spinning?: boolean;
  /** Which rewrites may be applied before emission. Default: all that pay on the device. */
  readonly lowerings?: Partial<Lowerings>;
  /**
   * Parameters whose memory stays the caller's. Each run reads them and writes the program's output `next.NAME` over
   * them, without a copy where the runtime can: so every read of a parameter must come before its update by the program's
   * own order of computation. They are not among `weights`.
   */
  readonly state?: State;
}

export type State = ReadonlyMap<string, Tensor<'float32'>>;

export type Feeds = ReadonlyMap<string, Tensor>;

export interface Executable {
  readonly device: DeviceName;
  readonly program: Program;
  /** What the user should know of how it runs: operators that another device computes. Whole sentences. */
  readonly notices: readonly string[];
  /**
   * Runs once, and updates the state where there is one. The tensors returned are the executable's own buffers: the next run may overwrite them.
   * @throws Error when an input is missing or has another shape or type than the program declares
   */
  run(feeds: Feeds): Promise<Map<string, Tensor<'float32'>>>;
  dispose(): Promise<void>;
}

export interface Engine {
  readonly name: string;
  /** Best first. */
  devices(): Promise<readonly DeviceReport[]>;
  /**
   * Peak resident bytes of the whole process that holds the weights, compiles the program and runs it, known before
   * anything is compiled.
   */
  memoryEstimate(program: Program, options?: CompileOptions): number;
  /**
   * @throws InputError when the device is not there, saying what is missing and how to get it
   * @throws ResourceError when a GPU computes one of the program's operators wrongly (selfTest.ts)
   */
  compile(program: Program, weights: ReadonlyMap<string, Tensor>, options?: CompileOptions): Promise<Executable>;
}

/** The device asked for, or the best one there is. @throws InputError */
export function chooseDevice(reports: readonly DeviceReport[], wanted: DeviceName | undefined): DeviceName {
  if (wanted === undefined) {
    const best = reports.find((report) => report.available);
    if (!best) throw new InputError('This engine has no device at all on this machine.');
    return best.device;
  }
  const report = reports.find(({ device }) => device === wanted);
  const there = reports.filter(({ available }) => available).map(({ device }) => device);
  const instead = `Available here: ${there.join(', ')}.`;
  if (!report) throw new InputError(`There is no device '${wanted}' in this engine. ${instead}`);
  if (!report.available) throw new InputError(`The device '${wanted}' is not available: ${report.detail} ${instead}`);
  return wanted;
}

/** @throws Error naming the first input that is missing, superfluous or of another shape or type */
export function checkFeeds(program: Program, feeds: Feeds): void {
  for (const { name, shape, dtype } of program.inputs) {
    const fed = feeds.get(name);
    if (!fed) throw new Error(`input '${name}' of program ${program.name} is missing`);
    if (fed.dtype !== dtype || fed.shape.length !== shape.length || fed.shape.some((n, axis) => n !== shape[axis])) {
      throw new Error(
        `input '${name}' of program ${program.name} is ${fed.dtype} [${fed.shape}], declared ${dtype} [${shape}]`,
      );
    }
  }
  for (const name of feeds.keys()) {
    if (!program.inputs.some((input) => input.name === name)) {
      throw new Error(`program ${program.name} has no input '${name}'`);
    }
  }
}

/** The executable's own output tensors, filled anew by every run; without those that are written over the state. */
export function outputBuffers(program: Program, state: State): Map<string, Tensor<'float32'>> {
  const buffers = new Map<string, Tensor<'float32'>>();
  for (const [name, { shape }] of program.outputs) {
    if (updatedBy(name, state)) continue;
    buffers.set(name, { dtype: 'float32', shape, data: new Float32Array(elementCount(shape)) });
  }
  return buffers;
}

/** Name of the output that is written over a parameter of the state. */
export const updateOf = (name: string) => `next.${name}`;

/** The tensor of the state that an output is written over. */
export function updatedBy(output: string, state: State): Tensor<'float32'> | undefined {
  const name = output.startsWith('next.') ? output.slice('next.'.length) : undefined;
  return name === undefined ? undefined : state.get(name);
}

/** The part of the state that a program reads: what it must be fed besides its inputs. */
export function stateRead(program: Program, state: State): Map<string, Tensor<'float32'>> {
  const read = new Map<string, Tensor<'float32'>>();
  for (const { name } of usedParameters(program)) {
    const held = state.get(name);
    if (held) read.set(name, held);
  }
  return read;
}

/** The session options that ONNX Runtime has alike in Node and on the web. */
export function sessionOptions({ optimization = 'all', memoryArena = true }: CompileOptions) {
  return {
    graphOptimizationLevel: optimization === 'none' ? ('disabled' as const) : optimization,
    enableCpuMemArena: memoryArena,
    // One block for all tensors of a run, planned after the first. Beside an arena, which keeps what the first run took, it
    // would be memory twice; without one it saves the system from clearing thousands of small ones in each run.
    enableMemPattern: !memoryArena,
    // Errors alone: warnings are about its own choice of kernels.
    logSeverityLevel: 3 as const,
  };
}
