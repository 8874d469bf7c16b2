/**
 * The folder of a run:
 *
 *     config.json        the settings, complete
 *     split.json         the cases that are trained on ("train") and those that are not ("val")
 *     log.jsonl          a line of JSON for each epoch, and for what else happened
 *     progress.html      curves of it
 *     checkpoint-last.safetensors, checkpoint-previous, checkpoint-best
 *     bundle/            the model, when the run has ended
 *
 * A process may be killed while it writes any of them. All but the log are replaced whole; of the log the last line may be
 * torn, and lines may be there of steps that no checkpoint has. Opening the folder drops those: they are done again.
 */
import { existsSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Split } from '../dataset/split.ts';
import { InputError, ResourceError } from '../errors.ts';
import { showShape } from '../tensor.ts';
import { prepareOutputFolder, writeWhole } from '../wholeFiles.node.ts';
import { type Checkpoint, lastCheckpoint, type State, saveCheckpoint } from './checkpoint.node.ts';
import { progressPage } from './progressPage.ts';
import { beginning, type Position, type RunRecord } from './run.ts';
import { checkTrainSettings, firstDifference, type TrainSettings } from './settings.ts';

export interface RunFolder {
  readonly path: string;
  readonly settings: TrainSettings;
  /** undefined: the run begins. */
  readonly checkpoint: Checkpoint | undefined;
  /** The log up to the checkpoint. */
  readonly records: readonly RunRecord[];
  /** What was damaged or is different now, for the user to see. */
  readonly notices: readonly string[];
  save(state: State, position: Position, best: boolean): Promise<void>;
  record(record: RunRecord): Promise<void>;
  /** Writes progress.html for a run that is over, or was stopped. */
  end(): Promise<void>;
  /** Writes config.json anew. */
  changed(settings: TrainSettings): Promise<void>;
}

const configPath = (run: string) => join(run, 'config.json');
const splitPath = (run: string) => join(run, 'split.json');
const logPath = (run: string) => join(run, 'log.jsonl');

/** The settings of a run that was begun in this folder; undefined where there is none. @throws InputError */
export function readConfig(run: string): TrainSettings | undefined {
  const path = configPath(run);
  if (!existsSync(path)) return undefined;
  return checkTrainSettings(parseJson(readFileSync(path, 'utf8'), path), path);
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new InputError(`${path} is no JSON text; correct it, or name another folder for a new run.`, { cause });
  }
}

/**
 * The lines of a log that a run goes on from: whole, and not beyond its checkpoint.
 * @param text of the log; its last line may be torn
 */
export function keptRecords(text: string, { step, epoch }: Position): RunRecord[] {
  const lines = text.split('\n');
  // What follows the last end of a line is empty, or was being written.
  lines.pop();
  return lines.flatMap((line) => {
    let value: RunRecord;
    try {
      value = JSON.parse(line);
    } catch {
      return [];
    }
    const kept = value?.kind === 'epoch' ? value.epoch <= epoch : value?.kind === 'event' && value.step <= step;
    return kept ? [value] : [];
  });
}

/** @throws InputError naming the first setting in which a run differs from the one that was begun in its folder */
export function checkSameRun(run: string, begun: TrainSettings, settings: TrainSettings): void {
  const difference = firstDifference(begun, settings);
  if (!difference) return;
  throw new InputError(
    `${run} holds a run with other settings: ${difference}; give its settings to go on with it, or another folder for a new run.`,
  );
}

/**
 * A data set's folds may be edited, and another file of folds be named, while a run stands still: it would then learn from
 * cases that it is judged on.
 * @throws InputError where the run in this folder was begun with other cases on either side
 */
export function checkSameSplit(run: string, split: Split): void {
  const path = splitPath(run);
  if (!existsSync(path)) return;
  const begun = readFileSync(path, 'utf8');
  if (begun === splitText(split)) return;
  throw new InputError(
    `${run} holds a run with other cases to train on or to be validated on (${path}); give the same --split or the same splits_final.json to go on with it, or another folder for a new run.`,
  );
}

/** In the form of a fold of `splits_final.json`. */
const splitText = ({ train, validation }: Split) =>
  `${JSON.stringify({ train: [...train].sort(), val: [...validation].sort() }, null, 1)}\n`;

/**
 * Opens the folder of a run: a new one, or one that is to go on.
 * @param settings complete; where the run was begun, its epochs and time limit may differ, nothing else
 * @throws InputError naming the first setting that differs, or the checkpoints that cannot be read
 */
export async function openRunFolder(run: string, settings: TrainSettings, split: Split): Promise<RunFolder> {
  const begun = readConfig(run);
  if (begun) checkSameRun(run, begun, settings);
  checkSameSplit(run, split);
  await prepareOutputFolder(run);
  const { checkpoint, notices } = await lastCheckpoint(run, settings);
  if (checkpoint && settings.epochs !== null && settings.epochs < checkpoint.position.epoch) {
    throw new InputError(
      `${run} has done ${checkpoint.position.epoch} epochs already, more than the ${settings.epochs} that are asked for; ` +
        'give as many at least.',
    );
  }
  const position = checkpoint?.position ?? beginning;
  const log = checkpoint && existsSync(logPath(run)) ? readFileSync(logPath(run), 'utf8') : '';
  const records = keptRecords(log, position);
  let current = settings;
  await writeConfig(run, current);
  // After config.json: where it is, a run was begun.
  await writeWhole(splitPath(run), splitText(split));
  await writeWhole(logPath(run), records.map(asLine).join(''));
  const shown = [...records];
  const writePage = (running: boolean) =>
    writeWhole(join(run, 'progress.html'), progressPage(epochsOf(shown), { ...describe(current, shown), running }));
  await writePage(true);

  return {
    path: run,
    settings,
    checkpoint,
    records,
    notices,
    save: (state, at, best) => saveCheckpoint(run, { state, position: at }, current, { best }),
    record: async (record) => {
      await append(logPath(run), asLine(record));
      shown.push(record);
      await writePage(true);
    },
    end: () => writePage(false),
    changed: async (changed) => {
      current = changed;
      await writeConfig(run, changed);
    },
  };
}

const epochsOf = (records: readonly RunRecord[]) => records.filter((each) => each.kind === 'epoch');

/** Head of the page: what is trained on what, and what happened. */
function describe(settings: TrainSettings, records: readonly RunRecord[]): { title: string; lines: string[] } {
  const { dataset, fold, network, batch, epochs, batchesPerEpoch, optimizer, schedule } = settings;
  const until = epochs === null ? 'Epochs' : `${epochs} epochs`;
  const rate = `${schedule.kind} from ${schedule.rate}`;
  return {
    title: `${dataset.name}, fold ${fold}`,
    lines: [
      `UNETR++, patch ${showShape(network.patch)}, ${network.classes} classes. ${until} of ${batchesPerEpoch} batches of ${batch}; ` +
        `${optimizer.kind}, learning rate ${rate}.`,
      ...records.flatMap((each) => (each.kind === 'event' ? [`Step ${each.step}: ${each.text}`] : [])),
    ],
  };
}

const writeConfig = (run: string, settings: TrainSettings) =>
  writeWhole(configPath(run), `${JSON.stringify(settings, null, 2)}\n`);

/** JSON has no NaN: it is null there, and means that there was nothing to measure. */
const asLine = (record: RunRecord) => `${JSON.stringify(record)}\n`;

async function append(path: string, line: string): Promise<void> {
  const file = await open(path, 'a');
  try {
    await file.writeFile(line);
    await file.sync();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
    throw new ResourceError(
      `cannot write ${path}: the disk is full; make room there and run the same command again, and it goes on from the last checkpoint`,
      { cause: error },
    );
  } finally {
    await file.close();
  }
}
