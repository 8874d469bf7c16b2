/**
 * What a GPU must show before a program runs on it: each operator class of the lowered program (probes.ts) is computed on
 * the device and compared with the operator's own float64 definition. Drivers and runtimes have computed wrongly without a
 * word; a mask made that way looks like any other.
 *
 * Also finds out which operators the CPU computes in the device's place. ONNX Runtime does not list them, but it refuses to
 * make a session when it is told that the CPU may not stand in.
 */
import { InputError, ResourceError } from '../errors.ts';
import { evaluate, type Program } from '../program/index.ts';
import { operationsBehind } from '../program/program.ts';
import type { Tensor } from '../tensor.ts';
import type { DeviceName, Executable } from './engine.ts';
import { type Probe, probesOf } from './probes.ts';

/** `deviceOnly`: no session is made where the CPU would have to stand in for the device. */
export type Placement = 'deviceOnly' | 'cpuAllowed';

/** Makes a session of a lowered program. */
export type Load = (
  program: Program,
  weights: ReadonlyMap<string, Tensor>,
  placement: Placement,
) => Promise<Executable>;

/**
 * The largest difference allowed, over the largest value of the result. Float32 sums, roots and exponentials stay within
 * 1e-5 on every device tried; a kernel that is wrong is off by the size of the values. CUDA: its matrix units round factors
 * to 10 bits by default.
 */
const tolerances: Readonly<Record<DeviceName, number>> = { cpu: 1e-4, wasm: 1e-4, webgpu: 1e-4, cuda: 2e-3 };

/** ONNX Runtime's options for a placement: `session` are entries of its session configuration. */
export function placementOptions(placement: Placement) {
  return placement === 'deviceOnly'
    ? // Failing is an answer here, and is thrown; it need not be logged too.
      { logSeverityLevel: 4 as const, session: { disable_cpu_ep_fallback: '1' } }
    : { logSeverityLevel: 3 as const, session: {} };
}

const isRefusal = (error: unknown) => error instanceof Error && /fallback to CPU EP/.test(error.message);

/** One program of them all: making a session costs more than running a probe. */
function together(probes: readonly Probe[]): Pick<Probe, 'program' | 'weights' | 'feeds'> {
  const outputs = new Map(probes.flatMap(({ program }) => [...program.outputs]));
  return {
    program: {
      name: 'self-test',
      inputs: probes.flatMap(({ program }) => program.inputs),
      parameters: probes.flatMap(({ program }) => program.parameters),
      aliases: new Map(),
      taps: new Map(),
      outputs,
      operations: operationsBehind(outputs.values()),
    },
    weights: new Map(probes.flatMap(({ weights }) => [...weights])),
    feeds: new Map(probes.flatMap(({ feeds }) => [...feeds])),
  };
}

/** Largest difference from the definition over the largest value of it; NaN where the device gives NaN. */
function differenceOf({ program, weights, feeds }: Probe, results: ReadonlyMap<string, Tensor>): number {
  const [[name, expected]] = evaluate(program, new Map([...weights, ...feeds]));
  const got = results.get(name)!.data as Float32Array;
  let scale = 0;
  let difference = 0;
  for (let i = 0; i < expected.data.length; i++) {
    scale = Math.max(scale, Math.abs(expected.data[i]));
    // Math.max keeps a NaN.
    difference = Math.max(difference, Math.abs(got[i] - expected.data[i]));
  }
  return difference / Math.max(scale, 1e-30);
}

async function runOnce(load: Load, what: Pick<Probe, 'program' | 'weights' | 'feeds'>, placement: Placement) {
  const executable = await load(what.program, what.weights, placement);
  try {
    return await executable.run(what.feeds);
  } finally {
    await executable.dispose();
  }
}

/** Results of all probes, and whether each was computed by the CPU in the device's place. */
async function computeAll(probes: readonly Probe[], device: DeviceName, instead: DeviceName, load: Load) {
  try {
    const results = await runOnce(load, together(probes), 'deviceOnly');
    return probes.map((probe) => ({ probe, results, byCpu: false }));
  } catch (error) {
    // What the user can mend says nothing of operators: a runtime that is not there.
    if (error instanceof InputError) throw error;
    // Something among them cannot be run: one by one, to learn what.
  }
  const computed = [];
  for (const probe of probes) {
    try {
      computed.push({ probe, results: await runOnce(load, probe, 'deviceOnly'), byCpu: false });
    } catch (error) {
      if (!isRefusal(error)) throw cannotRun(probe, device, instead, error);
      computed.push({ probe, results: await runOnce(load, probe, 'cpuAllowed'), byCpu: true });
    }
  }
  return computed;
}

function cannotRun(
  { operator, shapes }: Probe,
  device: DeviceName,
  instead: DeviceName,
  cause: unknown,
): ResourceError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new ResourceError(
    `The device '${device}' cannot run the operator '${operator}' (operands ${shapes}): ${why} Choose another device, such as '${instead}'.`,
    { cause },
  );
}

/** Compiles a lowered program for a GPU, once its operators have been seen to work there. */
export type CheckedLoad = (
  program: Program,
  weights: ReadonlyMap<string, Tensor>,
  device: DeviceName,
  /** The device to recommend where this one fails. */
  instead: DeviceName,
  load: Load,
) => Promise<Executable>;

/**
 * Each engine has one: it remembers what has passed for as long as the process or page lives, so that an operator class is
 * tested once.
 *
 * The returned function throws a ResourceError that names the operator, the device and the largest difference.
 */
export function selfTester(): CheckedLoad {
  /** Class on a device -> whether the CPU computes it. */
  const passed = new Map<string, boolean>();
  const remembered = (device: DeviceName, { key }: Probe) => `${device} ${key}`;

  return async (program, weights, device, instead, load) => {
    const probes = probesOf(program);
    const fresh = probes.filter((probe) => !passed.has(remembered(device, probe)));
    const computed = fresh.length === 0 ? [] : await computeAll(fresh, device, instead, load);
    const judged = computed.map(({ probe, results }) => ({ probe, difference: differenceOf(probe, results) }));
    const wrong = judged.filter(({ difference }) => !(difference <= tolerances[device]));
    if (wrong.length > 0) throw computesWrongly(wrong, device, instead);
    for (const { probe, byCpu } of computed) passed.set(remembered(device, probe), byCpu);

    const byCpu = new Set(
      probes.filter((probe) => passed.get(remembered(device, probe))).map(({ operator }) => operator),
    );
    const notices = (what: string) => [
      `${what} run on the CPU, for ONNX Runtime has no form of them for '${device}'; '${instead}' may be faster.`,
    ];
    if (byCpu.size > 0) {
      const executable = await load(program, weights, 'cpuAllowed');
      return { ...executable, notices: notices(`The operators ${[...byCpu].join(', ')}`) };
    }
    try {
      return await load(program, weights, 'deviceOnly');
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return { ...(await load(program, weights, 'cpuAllowed')), notices: notices('Some operators') };
    }
  };
}

function computesWrongly(
  wrong: readonly { readonly probe: Probe; readonly difference: number }[],
  device: DeviceName,
  instead: DeviceName,
): ResourceError {
  const worst = wrong.reduce((so, each) => (each.difference <= so.difference ? so : each));
  const others = new Set(wrong.map(({ probe }) => probe.operator));
  others.delete(worst.probe.operator);
  const also = others.size === 0 ? '' : `, and also ${[...others].map((name) => `'${name}'`).join(', ')}`;
  return new ResourceError(
    `The device '${device}' computes the operator '${worst.probe.operator}' wrongly${also}: on operands ${worst.probe.shapes} ` +
      `the largest difference is ${worst.difference.toPrecision(2)} of the largest value, where ${tolerances[device]} is allowed. ` +
      `Choose another device, such as '${instead}', or update the driver of the GPU.`,
  );
}
