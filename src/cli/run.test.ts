import { InvalidArgumentError } from 'commander';
import { describe, expect, test } from 'vitest';
import { InputError, ResourceError } from '../errors.ts';
import { run } from './run.ts';
import { example, printJson, type Register } from './terminal.ts';

/** Runs the command line over the real commands, or over drawn ones, and gives what a shell would see. */
async function shell(argv: string[], commands?: readonly Register[], signal = new AbortController().signal) {
  let out = '';
  let err = '';
  const terminal = { out: (text: string) => (out += text), err: (text: string) => (err += text), signal, columns: 100 };
  const code = await run(argv, terminal, commands);
  return { code, out, err };
}

const greet: Register = (program, terminal) => {
  const command = program
    .command('greet <name>')
    .description('Say hello.')
    .option('--times <count>', 'how often', (text) => {
      if (!/^\d+$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
      return Number(text);
    })
    .option('--json', 'print JSON')
    .action((name: string, { times = 1, json }: { times?: number; json?: boolean }) => {
      if (json) printJson(terminal, { name, times, volumeMl: Number.NaN });
      else terminal.out(`hello ${name}\n`.repeat(times));
    });
  example(command, 'unetrpp greet Ada --times 2');
};

/** A command that fails with what it is given. */
const failing =
  (error: unknown): Register =>
  (program) => {
    program.command('fail').action(() => {
      throw error;
    });
  };

describe('help and version', () => {
  test('--help lists the commands and exits with 0', async () => {
    const { code, out, err } = await shell(['--help'], [greet]);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toContain('Usage: unetrpp');
    expect(out).toMatch(/greet .*Say hello\./);
  });

  test('help of a command ends with an example that can be run', async () => {
    const { code, out } = await shell(['greet', '--help'], [greet]);
    expect(code).toBe(0);
    expect(out).toMatch(/\nExample:\n {2}\$ unetrpp greet Ada --times 2\n$/);
  });

  test('every command that ships has an example in its help', async () => {
    const { out } = await shell(['--help']);
    const listed = out.split(/^Commands:$/m)[1] ?? '';
    const names = [...listed.matchAll(/^ {2}(\w[\w-]*)/gm)].map(([, name]) => name).filter((name) => name !== 'help');
    const without: string[] = [];
    for (const name of names) {
      if (!/\nExample:\n {2}\$ unetrpp /.test((await shell([name, '--help'])).out)) without.push(name);
    }
    expect(without).toEqual([]);
  });

  test('--version prints the version of the package', async () => {
    expect(await shell(['--version'])).toEqual({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/), err: '' });
  });

  test('no command at all prints the help as a message and exits with 2', async () => {
    const { code, out, err } = await shell([], [greet]);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain('Usage: unetrpp');
  });
});

describe('a command line that cannot be run exits with 2 and one sentence', () => {
  test.each([
    [['gret', 'Ada'], "error: unknown command 'gret' (Did you mean greet?); unetrpp --help says what there is\n"],
    [['greet', 'Ada', '--tims', '2'], "error: unknown option '--tims' (Did you mean --times?); unetrpp --help"],
    [['greet'], "error: missing required argument 'name'; unetrpp --help"],
    [['greet', 'Ada', 'Grace'], "error: too many arguments for 'greet'. Expected 1 argument but got 2"],
    [['greet', 'Ada', '--times', 'two'], "argument 'two' is invalid. It must be a whole number.; unetrpp --help"],
  ])('%j', async (argv, sentence) => {
    const { code, out, err } = await shell(argv, [greet]);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(sentence);
    expect(err.match(/\n/g)).toHaveLength(1);
  });
});

describe('results', () => {
  test('go to out alone', async () => {
    expect(await shell(['greet', 'Ada', '--times', '2'], [greet])).toEqual({
      code: 0,
      out: 'hello Ada\nhello Ada\n',
      err: '',
    });
  });

  test('with --json are one document, in which a number that JSON lacks is a text', async () => {
    const { out } = await shell(['greet', 'Ada', '--json'], [greet]);
    expect(JSON.parse(out)).toEqual({ name: 'Ada', times: 1, volumeMl: 'NaN' });
  });
});

describe('errors', () => {
  test('an InputError exits with 2: one line, no stack', async () => {
    expect(await shell(['fail'], [failing(new InputError('scan.nii: no such file;\n  check the name'))])).toEqual({
      code: 2,
      out: '',
      err: 'error: scan.nii: no such file; check the name\n',
    });
  });

  test('a ResourceError exits with 3', async () => {
    expect(await shell(['fail'], [failing(new ResourceError('the disk is full'))])).toEqual({
      code: 3,
      out: '',
      err: 'error: the disk is full\n',
    });
  });

  test('an array that the memory has no room for exits with 3', async () => {
    // What V8 says when an allocation fails. An impossible length is worded otherwise, and is a bug.
    const { code, err } = await shell(['fail'], [failing(new RangeError('Array buffer allocation failed'))]);
    expect({ code, err }).toEqual({ code: 3, err: 'error: the memory of this machine is not enough for this input\n' });
  });

  test('anything else exits with 1, with its stack and a request to report it', async () => {
    const { code, err } = await shell(['fail'], [failing(new TypeError('x is not a function'))]);
    expect(code).toBe(1);
    expect(err).toMatch(/^TypeError: x is not a function\n {4}at /);
    expect(err).toMatch(/\nThis is a bug in unetrpp \d+\.\d+\.\d+; please report it with the lines above\.\n$/);
  });

  test('an interrupt exits with 130, whatever it made fail', async () => {
    const interrupted = new AbortController();
    const slow: Register = (program, { signal }) => {
      program.command('slow').action(async () => {
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      });
    };
    const running = shell(['slow'], [slow], interrupted.signal);
    interrupted.abort();
    expect(await running).toEqual({ code: 130, out: '', err: 'interrupted\n' });
  });
});
