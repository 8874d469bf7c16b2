import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { InputError, ResourceError } from './errors.ts';
import { prepareOutputFolder, writeTogether, writeWhole } from './wholeFiles.node.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'unetrpp-output-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const at = (name: string) => join(folder, name);
const text = (name: string) => readFileSync(at(name), 'utf8');
const bytes = (...values: number[]) => Uint8Array.from(values);

async function failure(step: Promise<unknown>): Promise<Error> {
  try {
    await step;
  } catch (error) {
    return error as Error;
  }
  throw new Error('it did not fail');
}

describe('writeWhole', () => {
  test('writes text, bytes and chunks, and leaves nothing beside them', async () => {
    await writeWhole(at('text'), 'µm');
    await writeWhole(at('bytes'), bytes(1, 2, 3));
    await writeWhole(
      at('chunks'),
      (async function* () {
        yield bytes(1, 2);
        yield bytes(3);
      })(),
    );
    expect(text('text')).toBe('µm');
    expect([...readFileSync(at('bytes'))]).toEqual([1, 2, 3]);
    expect([...readFileSync(at('chunks'))]).toEqual([1, 2, 3]);
    expect(readdirSync(folder).sort()).toEqual(['bytes', 'chunks', 'text']);
  });

  test('replaces a file only when the new one is complete', async () => {
    writeFileSync(at('mask'), 'old');
    const seen: string[] = [];
    await writeWhole(
      at('mask'),
      (function* () {
        yield bytes(110, 101);
        seen.push(text('mask'));
        yield bytes(119);
      })(),
    );
    expect(seen).toEqual(['old']);
    expect(text('mask')).toBe('new');
  });

  test('keeps the old file, passes the error on as it is and cleans up when the chunks fail', async () => {
    writeFileSync(at('mask'), 'old');
    const broken = Object.assign(new Error('EACCES: another file'), { code: 'EACCES', syscall: 'read' });
    const error = await failure(
      writeWhole(
        at('mask'),
        (function* () {
          yield bytes(1);
          throw broken;
        })(),
      ),
    );
    expect(error).toBe(broken);
    expect(text('mask')).toBe('old');
    expect(readdirSync(folder)).toEqual(['mask']);
  });

  test('writes through a link and leaves the link', async () => {
    writeFileSync(at('real'), 'old');
    symlinkSync(at('real'), at('link'));
    await writeWhole(at('link'), 'new');
    expect(text('real')).toBe('new');
    expect(readlinkSync(at('link'))).toBe(at('real'));
  });

  test('takes a name as long as names can be', async () => {
    await writeWhole(at('n'.repeat(255)), 'x');
    expect(readdirSync(folder)).toHaveLength(1);
  });

  test('says that the path is a folder', async () => {
    const error = await failure(writeWhole(folder, 'x'));
    expect(error).toBeInstanceOf(InputError);
    expect(error.message).toBe(`cannot write ${folder}: it is a folder; name a file in it`);
  });

  test('says which folder is missing', async () => {
    const error = await failure(writeWhole(at('no/mask.nii'), 'x'));
    expect(error).toBeInstanceOf(InputError);
    expect(error.message).toBe(`cannot write ${at('no/mask.nii')}: there is no folder ${at('no')}; create it first`);
  });

  test('says that a part of the path is a file', async () => {
    writeFileSync(at('scan'), '');
    const error = await failure(writeWhole(at('scan/mask.nii'), 'x'));
    expect(error).toBeInstanceOf(InputError);
    expect(error.message).toContain('a part of the path is a file, not a folder');
  });

  test.skipIf(!existsSync('/dev/full'))('a full disk is a ResourceError with path and bytes', async () => {
    const error = await failure(writeWhole('/dev/full', [bytes(1, 2), bytes(3)]));
    expect(error).toBeInstanceOf(ResourceError);
    expect(error.message).toMatch(/^cannot write \/dev\/full: the disk has no room for its 2 bytes; /);
    expect(existsSync('/dev/full')).toBe(true);
  });
});

describe('prepareOutputFolder', () => {
  test('gives what removes the folder again, as long as it made it and nothing is in it', async () => {
    const abandon = await prepareOutputFolder(at('fresh'));
    await abandon();
    expect(existsSync(at('fresh'))).toBe(false);
    const keep = await prepareOutputFolder(at('kept'));
    writeFileSync(join(at('kept'), 'mask'), '');
    await keep();
    const again = await prepareOutputFolder(at('kept'));
    await again();
    expect(existsSync(join(at('kept'), 'mask'))).toBe(true);
  });

  test('creates the folder and leaves it empty', async () => {
    await prepareOutputFolder(at('out'));
    await prepareOutputFolder(at('out'));
    expect(readdirSync(at('out'))).toEqual([]);
  });

  test('leaves what is there alone', async () => {
    writeFileSync(at('mask'), 'old');
    await prepareOutputFolder(folder);
    expect(readdirSync(folder)).toEqual(['mask']);
    expect(text('mask')).toBe('old');
  });

  test.each([
    ['no/out', 'there is no folder PARENT; create it first'],
    ['file', 'it is a file, not a folder'],
    ['file/out', 'a part of the path is a file, not a folder'],
    ['n'.repeat(300), 'the name is too long for the file system'],
  ])('%.10s: %s', async (name, reason) => {
    writeFileSync(at('file'), '');
    const error = await failure(prepareOutputFolder(at(name)));
    expect(error).toBeInstanceOf(InputError);
    expect(error.message).toContain(reason.replace('PARENT', at('no')));
    expect(error.message).not.toContain('\n');
  });

  test.skipIf(!existsSync('/proc/self'))('a file system that takes no files of anybody', async () => {
    for (const path of ['/proc', '/proc/out']) {
      const error = await failure(prepareOutputFolder(path));
      expect(error).toBeInstanceOf(InputError);
      expect(error.message).toMatch(/cannot write \/proc.*choose another place$/);
    }
  });
});

describe('writeTogether', () => {
  test('leaves every old file as it was when the last new one fails', async () => {
    writeFileSync(at('a'), 'old a');
    const broken = (function* () {
      yield bytes(1);
      throw new Error('no more');
    })();
    const files = [
      { path: at('a'), content: 'new a' },
      { path: at('b'), content: 'new b' },
      { path: at('c'), content: broken },
    ];
    expect((await failure(writeTogether(files))).message).toBe('no more');
    expect(readdirSync(folder)).toEqual(['a']);
    expect(text('a')).toBe('old a');
    await writeTogether(files.slice(0, 2));
    expect([text('a'), text('b')]).toEqual(['new a', 'new b']);
    expect(readdirSync(folder).sort()).toEqual(['a', 'b']);
  });
});

describe('temporaries of killed processes', () => {
  /** The name that a temporary of `mask` has here, and its process's number. */
  async function nameOfTemporary(): Promise<{ name: string; id: string }> {
    let name = '';
    await writeWhole(
      at('mask'),
      (function* () {
        name = readdirSync(folder).find((each) => each.endsWith('.tmp'))!;
        yield bytes(1);
      })(),
    );
    return { name, id: /-(\d+)-/.exec(name)![1] };
  }

  test('go when the folder is next prepared', async () => {
    const { name, id } = await nameOfTemporary();
    expect(id).toBe(String(process.pid));
    const ended = spawn(process.execPath, ['-e', '']);
    await new Promise((resolve) => ended.on('close', resolve));
    const abandoned = name.replace(id, String(ended.pid));
    // One of this process's number, too: in containers programs often have the same.
    for (const each of [abandoned, name]) writeFileSync(at(each), 'half');
    await prepareOutputFolder(folder);
    expect(readdirSync(folder)).toEqual(['mask']);
  });

  test('stay when the process runs, is of another machine, or the name is another', async () => {
    const { name, id } = await nameOfTemporary();
    const others = [
      name.replace(`-${id}-`, `-${process.ppid}-`),
      name.replace(/[0-9a-f]{8}-\d+/, '00000000-999999999'),
      '.scan.tmp',
      name.slice(1),
    ];
    for (const each of others) writeFileSync(at(each), 'half');
    await prepareOutputFolder(folder);
    expect(readdirSync(folder).sort()).toEqual([...others, 'mask'].sort());
  });
});

describe('an interrupted process', () => {
  // A process of its own, because signals and exits are the process's: it writes a chunk, says so, and waits.
  const program = `
    import { run } from './cli/run.ts';
    import { writeWhole } from './wholeFiles.node.ts';
    import { openTerminal } from './cli/terminal.ts';
    const slow = (program, { err, signal }) => {
      program.command('slow <path>').option('--deaf').action((path, { deaf }) => writeWhole(path, (async function* () {
        yield new Uint8Array(1000);
        err('started\\n');
        await new Promise((resolve, reject) => {
          setTimeout(resolve, 60_000);
          if (!deaf) signal.addEventListener('abort', () => reject(signal.reason));
          else signal.addEventListener('abort', () => err('deaf\\n'));
        });
      })()));
    };
    run(process.argv.slice(2), openTerminal(), [slow]).then((code) => process.exit(code));
  `;

  async function interrupt(...options: string[]) {
    // Two folders below package.json, as `cli` is in the built package, and where the dependencies can be found.
    const bundle = fileURLToPath(new URL(`../node_modules/.cache/slow-${process.pid}.mjs`, import.meta.url));
    const out = at('out');
    mkdirSync(out);
    await build({
      stdin: { contents: program, resolveDir: fileURLToPath(new URL('.', import.meta.url)), loader: 'ts' },
      outfile: bundle,
      bundle: true,
      packages: 'external',
      platform: 'node',
      format: 'esm',
    });
    const child = spawn(process.execPath, [bundle, 'slow', join(out, 'mask'), ...options], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let err = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      err += chunk;
      if (/^(started|deaf)\n$/m.test(chunk)) child.kill('SIGINT');
    });
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
    rmSync(bundle);
    return { code, err, left: readdirSync(out) };
  }

  test('ends with 130 and leaves nothing half-written', async () => {
    expect(await interrupt()).toEqual({ code: 130, err: 'started\ninterrupted\n', left: [] });
  });

  test('ends at the second signal where the work does not listen, and still leaves nothing', async () => {
    expect(await interrupt('--deaf')).toEqual({ code: 130, err: 'started\ndeaf\n', left: [] });
  });
});
