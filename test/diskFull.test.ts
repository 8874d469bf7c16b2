/**
 * The commands on a disk that is full, for real: a file system of one megabyte, filled. Whatever a command has begun
 * there is gone when it ends, and once there is room again the same command completes.
 */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { fill } from '../src/cli/verify/fill.ts';
import { ResourceError } from '../src/errors.ts';
import { lastCheckpoint } from '../src/train/checkpoint.node.ts';
import { beginning } from '../src/train/run.ts';
import { openRunFolder } from '../src/train/runFolder.node.ts';
import { tinyCheckpoint, writeScan, writeTinyBundle } from './bundle.ts';
import { drawnSettings, drawnSplit } from './drawnRun.ts';
import { shell } from './shell.ts';

const scratch = mkdtempSync(join(tmpdir(), 'unetrpp-full-'));
const disk = join(scratch, 'disk');

function mount(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  mkdirSync(disk);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=0755', 'tmpfs', disk], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const mounted = mount();
if (!mounted) console.warn('Skipped: tests on a full disk, because mounting a small file system takes root on Linux.');

let bundle: string;
let scan: string;
let checkpoint: string;

beforeAll(async () => {
  bundle = await writeTinyBundle(join(scratch, 'bundle'));
  scan = writeScan(join(scratch, 'scan.nii.gz'));
  checkpoint = join(scratch, 'tiny.pt');
  writeFileSync(checkpoint, tinyCheckpoint());
});

afterEach(() => {
  if (mounted) for (const name of readdirSync(disk)) rmSync(join(disk, name), { recursive: true });
});

afterAll(() => {
  if (mounted) execFileSync('umount', [disk]);
  rmSync(scratch, { recursive: true });
});

const free = () => {
  const { bavail, bsize } = statfsSync(disk);
  return bavail * bsize;
};
const filler = join(disk, 'filler');

/** Fills the disk up to so many bytes, rounded up to whole pages. */
function leave(room: number): void {
  rmSync(filler, { force: true });
  const file = openSync(filler, 'w');
  const page = new Uint8Array(4096);
  while (free() >= room + page.length) writeSync(file, page);
  closeSync(file);
}

const everything = () => readdirSync(disk, { recursive: true, encoding: 'utf8' }).sort();
const contentOf = (path: string) => (existsSync(path) ? readFileSync(path) : undefined);

interface Case {
  readonly name: string;
  /** Words of the command, writing to `out` in the full disk. */
  argv(out: string): string[];
  /** Names that it writes, in the order in which it fills them. */
  readonly written: readonly string[];
}

const cases: readonly Case[] = [
  {
    name: 'predict',
    argv: (out) => ['predict', '-m', bundle, '-i', scan, '-o', join(out, 'masks'), '--threads', '1'],
    written: ['masks/scan.nii.gz'],
  },
  {
    name: 'predict --save-probabilities',
    argv: (out) => [
      'predict',
      '-m',
      bundle,
      '-i',
      scan,
      '-o',
      join(out, 'masks'),
      '--threads',
      '1',
      '--save-probabilities',
    ],
    written: ['masks/scan_probabilities.nii.gz', 'masks/scan.nii.gz'],
  },
  {
    name: 'demo',
    argv: (out) => ['demo', scan, '-m', bundle, '-o', join(out, 'demo')],
    written: ['demo/scan_mask.nii.gz', 'demo/scan.png'],
  },
  {
    name: 'import',
    argv: (out) => ['import', checkpoint, '-o', join(out, 'imported')],
    written: ['imported/weights.safetensors', 'imported/model.json'],
  },
  { name: 'export', argv: (out) => ['export', bundle, '-o', join(out, 'net.onnx')], written: ['net.onnx'] },
  {
    name: 'export --external',
    argv: (out) => ['export', bundle, '-o', join(out, 'net.onnx'), '--external'],
    written: ['net.onnx.weights', 'net.onnx'],
  },
];

describe.skipIf(!mounted).each(cases)('$name on a full disk', ({ argv, written }) => {
  async function refused(): Promise<void> {
    const { code, out, err } = await shell(...argv(disk));
    expect(code, err).toBe(3);
    expect(out).toBe('');
    const errors = err.split('\n').filter((line) => line.startsWith('error: '));
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(/^error: cannot write .*the disk has no room for its \d+ bytes; free some there/);
    expect(err).not.toContain('    at ');
  }

  it('ends with code 3 and a sentence, leaves nothing, and completes when there is room', async () => {
    const elsewhere = join(scratch, 'elsewhere');
    rmSync(elsewhere, { recursive: true, force: true });
    mkdirSync(elsewhere);
    expect((await shell(...argv(elsewhere))).code).toBe(0);
    const wanted = written.map((name) => readFileSync(join(elsewhere, name)));

    // Room for nothing; for half of the first file; for all but the last one.
    const upToLast = wanted.slice(0, -1).reduce((sum, { length }) => sum + Math.ceil(length / 4096) * 4096, 0);
    for (const room of [0, wanted[0].length / 2, upToLast]) {
      leave(Math.floor(room / 4096) * 4096);
      await refused();
      expect(everything()).toEqual(['filler']);
    }

    rmSync(filler);
    const again = await shell(...argv(disk));
    expect(again.code, again.err).toBe(0);
    expect(written.map((name) => contentOf(join(disk, name)))).toEqual(wanted);
    expect(everything().filter((name) => name.includes('.tmp'))).toEqual([]);
  });
});

describe.skipIf(!mounted)('a run of training on a full disk', () => {
  const run = join(disk, 'run');
  const position = (step: number) => ({ ...beginning, step });
  const state = new Map([['w', { dtype: 'float32' as const, shape: [50_000], data: fill('w', 50_000, -1, 1) }]]);

  it('keeps the checkpoints that it has, says so, and goes on when there is room', async () => {
    const folder = await openRunFolder(run, drawnSettings, drawnSplit);
    await folder.save(state, position(5), true);
    await folder.save(state, position(10), false);
    // Room for nothing, and for a half.
    for (const room of [0, 100_000]) {
      leave(room);
      const refused = folder.save(state, position(15), false);
      await expect(refused).rejects.toThrow(ResourceError);
      await expect(refused).rejects.toThrow(
        /^The checkpoint of step 15 was not written \(the checkpoint before it is whole\): cannot write .*no room for its/,
      );
      await expect(refused).rejects.toThrow(/then run the same command again, and it goes on from there\.$/);
      expect(everything().filter((name) => /tmp|next/.test(name))).toEqual([]);
      const { checkpoint } = await lastCheckpoint(run, drawnSettings);
      expect(checkpoint).toEqual({ state, position: position(10) });
    }
    rmSync(filler);
    await folder.save(state, position(15), false);
    expect((await openRunFolder(run, drawnSettings, drawnSplit)).checkpoint?.position.step).toBe(15);
  });

  it('says so where the log finds no room, and drops the torn line afterwards', async () => {
    const folder = await openRunFolder(run, drawnSettings, drawnSplit);
    await folder.save(state, position(5), false);
    leave(0);
    const event = { kind: 'event', step: 5, text: 'x'.repeat(10_000) } as const;
    await expect(folder.record(event)).rejects.toThrow(/^cannot write .*log.jsonl: the disk is full; make room there/);
    rmSync(filler);
    expect((await openRunFolder(run, drawnSettings, drawnSplit)).records).toEqual([]);
  });
});
