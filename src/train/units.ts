/**
 * Units of work: what a long job is cut into. A unit reads the files that it names and makes the files that it names; what is
 * done stays done, what was interrupted goes on or begins again, and running it twice is running it once. Units know nothing
 * of each other but files, so a queue may run them on several machines that share a folder: a unit is ready when those are
 * done that make its inputs.
 */

export interface Unit {
  /** Of its own in a list of units. */
  readonly name: string;
  /** Files that are read. */
  readonly inputs: readonly string[];
  /** Files that are there, whole, when it is done. */
  readonly outputs: readonly string[];
  /** Whether its outputs are there and made of its inputs as they are. Asked when the inputs are there. */
  isDone(): Promise<boolean>;
  /** Makes the outputs. @throws the signal's reason once it is aborted; what went before is not lost where it takes long */
  run(signal?: AbortSignal): Promise<void>;
}

export interface UnitListeners {
  /** A unit was done already, or is now. */
  readonly onDone?: (unit: Unit, progress: UnitProgress) => void;
  /** A unit begins. */
  readonly onBegin?: (unit: Unit, progress: UnitProgress) => void;
  readonly signal?: AbortSignal;
}

interface UnitProgress {
  /** Position in the list, from 1. */
  readonly number: number;
  readonly total: number;
  /** Whether the unit was done before. */
  readonly skipped: boolean;
}

/**
 * Runs those that are not done, one after the other.
 * @throws RangeError when a unit comes before one that makes its inputs, or two make one file; what a unit throws
 */
export async function runUnits(units: readonly Unit[], { onDone, onBegin, signal }: UnitListeners = {}): Promise<void> {
  checkOrder(units);
  for (const [index, unit] of units.entries()) {
    signal?.throwIfAborted();
    const place = { number: index + 1, total: units.length };
    const skipped = await unit.isDone();
    if (!skipped) {
      onBegin?.(unit, { ...place, skipped });
      await unit.run(signal);
    }
    onDone?.(unit, { ...place, skipped });
  }
}

function checkOrder(units: readonly Unit[]): void {
  const makers = new Map<string, number>();
  for (const [index, { name, outputs }] of units.entries()) {
    for (const file of outputs) {
      if (makers.has(file)) throw new RangeError(`${units[makers.get(file)!].name} and ${name} both make ${file}`);
      makers.set(file, index);
    }
  }
  for (const [index, { name, inputs }] of units.entries()) {
    const late = inputs.find((file) => (makers.get(file) ?? -1) >= index);
    if (late !== undefined)
      throw new RangeError(`${name} comes before ${units[makers.get(late)!].name}, which makes ${late}`);
  }
}
