/**
 * Output that appears whole or not at all: it is written beside its place under a temporary name and renamed when it is
 * complete. And the question, asked before hours of work and not after them, whether a folder can be written.
 */
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readlinkSync, rmSync } from 'node:fs';
import { mkdir, open, readdir, realpath, rename, rm, rmdir, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { InputError, ResourceError } from './errors.ts';

/** Temporaries of this process that are not renamed yet; they go when the process ends, however it ends. */
const unfinished = new Set<string>();

process.on('exit', () => {
  for (const path of unfinished) rmSync(path, { force: true, recursive: true });
});

type Content = Uint8Array | string | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * Writes a file whole: after an error, of the disk or of whatever makes the chunks, the old file (or none) is there as
 * before. A device or a pipe, such as /dev/stdout, has no old content to keep and is written directly.
 * @throws InputError where the path cannot be written, ResourceError where the disk is full
 */
export function writeWhole(path: string, content: Content): Promise<void> {
  return writeTogether([{ path, content }]);
}

/**
 * Writes files that belong together: all of them, or none. They appear in the order given, when the last one is complete;
 * so the last should be the one that says that the rest is there.
 * @throws as `writeWhole`
 */
export async function writeTogether(files: readonly { readonly path: string; readonly content: Content }[]) {
  const staged: { readonly path: string; readonly target: string; readonly place: string }[] = [];
  try {
    for (const { path, content } of files) {
      // A link stays a link: what it points to is replaced.
      const place = await realpath(path).catch(() => path);
      const present = await stat(place).catch(() => undefined);
      if (present?.isDirectory()) throw new InputError(`cannot write ${path}: it is a folder; name a file in it`);
      const direct = present !== undefined && !present.isFile();
      const target = direct ? place : temporaryIn(dirname(place), basename(place));
      if (!direct) {
        staged.push({ path, target, place });
        unfinished.add(target);
      }
      await fill(target, content, path, direct);
    }
    for (const { path, target, place } of staged) await attempt(rename(target, place), path);
  } finally {
    for (const { target } of staged) {
      await rm(target, { force: true }).catch(() => undefined);
      unfinished.delete(target);
    }
  }
}

async function fill(target: string, content: Content, path: string, direct: boolean): Promise<void> {
  const chunks =
    typeof content === 'string'
      ? [new TextEncoder().encode(content)]
      : ArrayBuffer.isView(content)
        ? [content]
        : content;
  let bytes = 0;
  const file = await attempt(open(target, direct ? 'w' : 'wx'), path);
  try {
    for await (const chunk of chunks) {
      bytes += chunk.byteLength;
      await attempt(file.writeFile(chunk), path, bytes);
    }
    if (!direct) await attempt(file.sync(), path, bytes);
  } finally {
    await file.close();
  }
}

/** Only the file system's own complaints about a path become sentences; what makes the chunks has its own errors. */
async function attempt<T>(step: Promise<T>, path: string, bytes = 0): Promise<T> {
  try {
    return await step;
  } catch (error) {
    throw await explain(error, path, bytes);
  }
}

/**
 * Makes a folder whole: it is filled under another name, written to the disk, and renamed; one that is there already is
 * replaced.
 * @param fill makes the files; the folder exists when it is called
 * @throws as `writeWhole`, and what `fill` throws
 */
export async function writeFolderWhole(path: string, fill: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = temporaryIn(dirname(path), basename(path));
  unfinished.add(temporary);
  try {
    await attempt(mkdir(temporary), path);
    await attempt(fill(temporary), path);
    for (const entry of await readdir(temporary, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const file = await open(join(entry.parentPath, entry.name), 'r+');
      await file.sync().finally(() => file.close());
    }
    await attempt(rm(path, { force: true, recursive: true }), path);
    await attempt(rename(temporary, path), path);
  } finally {
    await rm(temporary, { force: true, recursive: true }).catch(() => undefined);
    unfinished.delete(temporary);
  }
}

/**
 * Makes sure, before long work, that files can be written into a folder: creates it if its parent exists, and tries. Removes
 * temporaries there of processes that were killed.
 * @returns what takes the folder away again if this call created it and nothing was written into it
 * @throws InputError or ResourceError, with one sentence that says why not
 */
export async function prepareOutputFolder(folder: string): Promise<() => Promise<void>> {
  const trial = temporaryIn(folder, 'trial');
  try {
    const present = await stat(folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
    if (present && !present.isDirectory()) {
      throw new InputError(`cannot write into ${folder}: it is a file, not a folder`);
    }
    if (!present) await mkdir(folder);
    unfinished.add(trial);
    await (await open(trial, 'wx')).close();
    await rm(trial);
    await removeAbandoned(folder);
    // A folder that holds something is not removed by rmdir, and that is as it should be.
    return async () => {
      if (!present) await rmdir(folder).catch(() => undefined);
    };
  } catch (error) {
    throw await explain(error, join(folder, '/'), 0);
  } finally {
    unfinished.delete(trial);
  }
}

/**
 * Where the number of a process means something: this machine, and in it the same name space of processes (containers
 * have their own). Eight digits of a hash.
 */
const processSpace = createHash('sha256')
  .update(`${hostname()} ${existsSync('/proc/self/ns/pid') ? readlinkSync('/proc/self/ns/pid') : ''}`)
  .digest('hex')
  .slice(0, 8);

/**
 * A free name beside the final one, `.NAME.SPACE-PROCESS-RANDOM.tmp`; cut, because the final name may be as long as names
 * can be.
 */
function temporaryIn(folder: string, name: string): string {
  return join(folder, `.${name.slice(0, 40)}.${processSpace}-${process.pid}-${randomUUID().slice(0, 8)}.tmp`);
}

const temporaryName = /^\..+\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.tmp$/;

/**
 * Removes what processes, or threads of this one, left that were killed before they could. Those of other machines may still be at work, and are
 * left alone.
 */
export async function removeAbandoned(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const [, space, id] = temporaryName.exec(name) ?? [];
    if (space !== processSpace || unfinished.has(join(folder, name))) continue;
    if (Number(id) === process.pid || !isRunning(Number(id))) {
      await rm(join(folder, name), { force: true, recursive: true }).catch(() => undefined);
    }
  }
}

function isRunning(id: number): boolean {
  try {
    // Signal 0 is none: it only asks whether one could be sent.
    process.kill(id, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** The reason, in a sentence, why a path could not be written; errors that are none of the file system's pass as they are. */
async function explain(error: unknown, path: string, bytes: number): Promise<unknown> {
  const code = error instanceof Error && 'syscall' in error ? (error as NodeJS.ErrnoException).code : undefined;
  if (code === undefined) return error;
  const cannot = `cannot write ${path}: `;
  const parent = dirname(path);
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new ResourceError(
        `${cannot}the disk has no room for its ${bytes} bytes; free some there, or choose another place`,
        { cause: error },
      );
    case 'EROFS':
      return new InputError(`${cannot}the file system is read-only; choose another place`, { cause: error });
    case 'EACCES':
    case 'EPERM':
      return new InputError(`${cannot}there is no permission to; choose another place, or ask for the right to write`, {
        cause: error,
      });
    case 'ENOTDIR':
      return new InputError(`${cannot}a part of the path is a file, not a folder`, { cause: error });
    case 'ENAMETOOLONG':
      return new InputError(`${cannot}the name is too long for the file system`, { cause: error });
    case 'ENOENT':
      return (await stat(parent).catch(() => undefined))
        ? new InputError(`${cannot}the file system of ${parent} takes no new files; choose another place`, {
            cause: error,
          })
        : new InputError(`${cannot}there is no folder ${parent}; create it first`, { cause: error });
    default:
      return error;
  }
}
