/**
 * One damaged input through one parser, and whether it did as it must: a value that holds together, or a sentence for the
 * user; soon; and without taking memory that the file's own size does not justify.
 */
import fc from 'fast-check';
import { InputError, ResourceError } from '../../src/errors.ts';
import { allocatedBytes } from './allocation.ts';
import { type Mutation, mutate, mutations } from './mutate.ts';
import type { Parser } from './parsers.ts';
import type { NamedBytes } from './specimens.ts';

/** For one input, on any machine. */
const mostSeconds = 2;
/** Bytes that any input may take, and bytes for each of its own: float64 of each byte, some times over. */
const mostBytes = 256 * 2 ** 20;
const bytesForEach = 64;

interface Input {
  readonly specimen: number;
  /** The specimen that foreign pieces come from. */
  readonly donor: number;
  readonly damage: readonly Mutation[];
}

function inputs({ specimens, kinds }: Parser): fc.Arbitrary<Input> {
  return fc.record({
    specimen: fc.nat(specimens.length - 1),
    donor: fc.nat(specimens.length - 1),
    damage: mutations(kinds),
  });
}

function filesOf({ specimens }: Parser, { specimen, donor, damage }: Input): NamedBytes[] {
  const { parts, pack } = specimens[specimen];
  return pack(mutate(parts, specimens[donor].parts[0], damage));
}

export interface Verdict {
  readonly outcome: 'value' | 'refused';
  /** Of the processor. */
  readonly seconds: number;
  /** Bytes of all arrays that were made; and by how much the resident size passed its largest so far, where more. */
  readonly bytes: number;
  /** What is wrong, undefined when nothing is. */
  readonly fault?: string;
  /** The same for faults of one cause. */
  readonly signature?: string;
}

/** @param limit in seconds */
export async function examine(parser: Parser, files: readonly NamedBytes[], limit = mostSeconds): Promise<Verdict> {
  const first = await measure(parser, files, limit);
  // A busy machine may have been slow once.
  return first.seconds > limit ? measure(parser, files, limit) : first;
}

async function measure(parser: Parser, files: readonly NamedBytes[], limit: number): Promise<Verdict> {
  const resident = process.resourceUsage().maxRSS;
  const allocated = allocatedBytes();
  const began = process.cpuUsage();
  let outcome: Verdict['outcome'] = 'value';
  let fault: string | undefined;
  let signature: string | undefined;
  try {
    fault = await parser.read(files);
    signature = fault?.replace(/[-\d.e+]+/g, '#');
  } catch (error) {
    outcome = 'refused';
    if (!(error instanceof InputError || error instanceof ResourceError)) {
      const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
      fault = stack;
      signature = `${stack.split('\n', 1)[0].replace(/\d+/g, '#')} ${/\/src\/\S+?:\d+/.exec(stack)?.[0] ?? ''}`;
    } else if (error.message === '' || error.message.length > 5000) {
      fault = `a message of ${error.message.length} characters: ${error.message.slice(0, 300)}`;
      signature = `long message: ${error.message.replace(/[^a-z ]/gi, '').slice(0, 60)}`;
    }
  }
  const { user, system } = process.cpuUsage(began);
  const seconds = (user + system) / 1e6;
  const bytes = Math.max(allocatedBytes() - allocated, 1024 * (process.resourceUsage().maxRSS - resident));
  const size = files.reduce((sum, file) => sum + file.bytes.length, 0);
  if (!fault && seconds > limit) [fault, signature] = [`it took ${seconds.toFixed(1)} s`, 'slow'];
  if (!fault && bytes > mostBytes + bytesForEach * size) {
    [fault, signature] = [`it took ${bytes} bytes of memory for ${size} bytes of file`, 'memory'];
  }
  return { outcome, seconds, bytes, fault, signature };
}

interface Failure {
  readonly seed: number;
  readonly path: string;
  readonly fault: string;
  readonly files: readonly NamedBytes[];
  readonly specimen: string;
  readonly damage: readonly Mutation[];
}

export interface Summary {
  readonly runs: number;
  readonly values: number;
  readonly slowestSeconds: number;
  readonly mostBytes: number;
  readonly failures: readonly Failure[];
}

/**
 * Runs one parser over damaged inputs; each cause of failure is shrunk and listed once, and the runs go on behind it.
 * @param path of fast-check, to repeat one run of a seed
 * @param before is shown each input before the parser is
 */
export async function fuzz(
  parser: Parser,
  { runs, seed, path }: { readonly runs: number; readonly seed: number; readonly path?: string },
  before: (files: readonly NamedBytes[]) => void = () => undefined,
): Promise<Summary> {
  const known = new Set<string>();
  const failures: Failure[] = [];
  let [done, values, slowestSeconds, most] = [0, 0, 0, 0];
  while (done < runs) {
    let last: Verdict | undefined;
    const property = fc.asyncProperty(inputs(parser), async (input) => {
      const files = filesOf(parser, input);
      before(files);
      const verdict = await examine(parser, files);
      if (verdict.outcome === 'value') values += 1;
      slowestSeconds = Math.max(slowestSeconds, verdict.seconds);
      most = Math.max(most, verdict.bytes);
      if (verdict.fault !== undefined && !known.has(verdict.signature!)) {
        last = verdict;
        throw new Error(verdict.fault);
      }
    });
    const used = seed + done;
    const found = await fc.check(property, { seed: used, path, numRuns: runs - done });
    if (!found.failed) {
      done = runs;
      break;
    }
    if (!last) throw found.errorInstance;
    done += found.numRuns;
    const [input] = found.counterexample!;
    known.add(last.signature!);
    failures.push({
      seed: used,
      path: found.counterexamplePath!,
      fault: last.fault!,
      files: filesOf(parser, input),
      specimen: parser.specimens[input.specimen].name,
      damage: input.damage,
    });
    if (path !== undefined) break;
  }
  return { runs: done, values, slowestSeconds, mostBytes: most, failures };
}
