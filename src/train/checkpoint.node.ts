/**
 * A checkpoint: everything that a run needs to go on as if it had not stopped, in one safetensors file. The tensors are the
 * trainer's state; the header says where in the run that was, and with which settings. It holds no code and no pickle.
 *
 * A new checkpoint is complete on the disk before the one before it gives up its name, and that one is kept as `-previous`:
 *
 *     -next written whole  ->  -last becomes -previous  ->  -next becomes -last
 *
 * so that whatever ends the process, and wherever, one of the three can be read. What the tensors mean is the trainer's.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { InputError, ResourceError } from '../errors.ts';
import { bytesOf, type Tensor } from '../tensor.ts';
import { readBytes } from '../volume/files.node.ts';
import { readSafetensors, safetensorsHeader } from '../weights/index.ts';
import { writeWhole } from '../wholeFiles.node.ts';
import { type Position, positionSchema } from './run.ts';
import { firstDifference, type TrainSettings } from './settings.ts';

const format = 'unetrpp-checkpoint';
const version = 1;

export type State = ReadonlyMap<string, Tensor<'float32'>>;

export interface Checkpoint {
  readonly state: State;
  readonly position: Position;
}

const names = { next: 'checkpoint-next', last: 'checkpoint-last', previous: 'checkpoint-previous' } as const;

/** Path of a checkpoint in a run's folder. */
export function checkpointPath(run: string, which: keyof typeof names | 'best'): string {
  return join(run, `${which === 'best' ? 'checkpoint-best' : names[which]}.safetensors`);
}

/** The file, piece by piece: tensors are not copied. Valid while the trainer makes no step. */
function* contentOf({ state, position }: Checkpoint, settings: TrainSettings): Generator<Uint8Array> {
  // Where data lie in the file does not depend on the metadata, so their order is known before their hash.
  const { order } = safetensorsHeader(state);
  const { header } = safetensorsHeader(state, {
    format,
    version: String(version),
    position: JSON.stringify(position),
    settings: JSON.stringify(settings),
    sha256: hashOf(order.map((name) => state.get(name)!)),
  });
  yield header;
  for (const name of order) yield bytesOf(state.get(name)!);
}

function hashOf(tensors: readonly Tensor[]): string {
  const hash = createHash('sha256');
  for (const tensor of tensors) hash.update(bytesOf(tensor));
  return hash.digest('hex');
}

/**
 * Writes the last checkpoint of a run; the one before it becomes the previous one. Also the best one, where asked.
 * @throws ResourceError where the disk is full: the checkpoints that were there are still there
 */
export async function saveCheckpoint(
  run: string,
  checkpoint: Checkpoint,
  settings: TrainSettings,
  { best = false }: { best?: boolean } = {},
): Promise<void> {
  const [next, last, previous] = [
    checkpointPath(run, 'next'),
    checkpointPath(run, 'last'),
    checkpointPath(run, 'previous'),
  ];
  try {
    if (best) await writeWhole(checkpointPath(run, 'best'), contentOf(checkpoint, settings));
    await writeWhole(next, contentOf(checkpoint, settings));
  } catch (error) {
    if (!(error instanceof ResourceError || error instanceof InputError)) throw error;
    const there = existsSync(last) || existsSync(next);
    const kept = there ? 'the checkpoint before it is whole' : 'there is none before it';
    const Kind = error instanceof ResourceError ? ResourceError : InputError;
    throw new Kind(
      `The checkpoint of step ${checkpoint.position.step} was not written (${kept}): ${error.message}; ` +
        'then run the same command again, and it goes on from there.',
      { cause: error },
    );
  }
  if (existsSync(last)) await rename(last, previous);
  await rename(next, last);
}

/** @throws InputError when the file is no checkpoint of this version, or is damaged */
export async function readCheckpoint(path: string): Promise<Checkpoint & { readonly settings: unknown }> {
  const { tensors, metadata } = readSafetensors(await readBytes(path), path);
  if (metadata['format'] !== format) {
    throw new InputError(`${path} is no checkpoint of a training run; name the folder of a run that was begun here.`);
  }
  if (metadata['version'] !== String(version)) {
    throw new InputError(
      `${path} is a checkpoint of version ${metadata['version']}, and this program reads version ${version}; ` +
        'go on with the version of unetrpp that began the run.',
    );
  }
  const damaged = (what: string) => new InputError(`${path} is damaged: ${what}.`);
  const state = new Map<string, Tensor<'float32'>>();
  for (const [name, tensor] of tensors) {
    if (tensor.dtype !== 'float32') throw damaged(`the tensor ${name} is ${tensor.dtype}, not float32`);
    state.set(name, tensor as Tensor<'float32'>);
  }
  const { order } = safetensorsHeader(state);
  if (hashOf(order.map((name) => state.get(name)!)) !== metadata['sha256']) {
    throw damaged('its tensors are not those that were written');
  }
  const position = positionSchema.safeParse(parseJson(metadata['position']));
  if (!position.success) throw damaged('it does not say where in the run it was made');
  const settings = z.record(z.string(), z.unknown()).safeParse(parseJson(metadata['settings']));
  if (!settings.success) throw damaged('its settings are no record');
  return { state, position: position.data, settings: settings.data };
}

function parseJson(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '');
  } catch {
    return undefined;
  }
}

/**
 * The checkpoint that a run goes on from: the newest that is whole.
 * @returns undefined where there is none; and what was damaged, for the user to see
 * @throws InputError when it was made with other settings than these, naming the first that differs; or when there are
 *   checkpoints and all are damaged
 */
export async function lastCheckpoint(
  run: string,
  settings: TrainSettings,
): Promise<{ checkpoint: Checkpoint | undefined; notices: string[] }> {
  const failures: InputError[] = [];
  for (const which of ['next', 'last', 'previous'] as const) {
    const path = checkpointPath(run, which);
    if (!existsSync(path)) continue;
    try {
      const { settings: made, ...checkpoint } = await readCheckpoint(path);
      const difference = firstDifference(made, settings);
      if (difference) {
        throw new OtherSettings(
          `${path} was made with other settings: ${difference}; give the settings of the run, or another folder for a new one.`,
        );
      }
      const at = `step ${checkpoint.position.step}`;
      return {
        checkpoint,
        notices: failures.map(
          ({ message }) =>
            `${message.replace(/\.$/, '')}; the run goes on from ${which === 'previous' ? 'the checkpoint before it' : 'the next one that is whole'}, ${at}.`,
        ),
      };
    } catch (error) {
      if (error instanceof OtherSettings || !(error instanceof InputError)) throw error;
      failures.push(error);
    }
  }
  if (failures.length === 0) return { checkpoint: undefined, notices: [] };
  throw new InputError(
    `No checkpoint in ${run} can be read; remove the folder, or name another, to begin anew. ${failures[0].message}`,
  );
}

class OtherSettings extends InputError {}
