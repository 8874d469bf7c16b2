/**
 * The package as a stranger gets it: built, packed, installed in an empty project, every entry imported, its types
 * used, its program run. Built in a folder of its own, so that nothing old in `dist` can hide a missing file.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'unetrpp-package-'));
const project = join(scratch, 'project');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  version: string;
  files: string[];
  exports: Record<string, string | Record<string, string>>;
};
const tsc = join(root, 'node_modules/typescript/bin/tsc');

/** Runs a program; what it printed is part of the error when it fails. */
function run(cwd: string, command: string, ...args: string[]): string {
  try {
    return execFileSync(command, args, {
      cwd,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' },
    });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${command} ${args.join(' ')} failed:\n${stdout}${stderr}`);
  }
}

let packed: string[];

beforeAll(() => {
  const stage = join(scratch, 'stage');
  mkdirSync(stage);
  for (const entry of ['package.json', ...manifest.files.filter((name) => name !== 'dist')]) {
    if (existsSync(join(root, entry))) cpSync(join(root, entry), join(stage, entry), { recursive: true });
  }
  run(root, process.execPath, tsc, '-p', 'tsconfig.build.json', '--outDir', join(stage, 'dist'));
  const [{ filename, files }] = JSON.parse(run(stage, 'npm', 'pack', '--ignore-scripts', '--json')) as {
    filename: string;
    files: { path: string }[];
  }[];
  packed = files.map(({ path }) => path);

  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{ "name": "stranger", "private": true, "type": "module" }');
  run(project, 'npm', 'install', join(stage, filename), '--prefer-offline', '--no-audit', '--no-fund');
}, 300_000);

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

test('holds what users need and no tests', () => {
  expect(packed).toEqual(
    expect.arrayContaining(['package.json', 'LICENSE', 'NOTICE', 'CHANGELOG.md', 'dist/cli/main.js']),
  );
  expect(packed.filter((path) => /\.test\.|^(src|test|web|bench)\//.test(path))).toEqual([]);
});

test('every entry can be imported in Node and exports something', () => {
  const entries = Object.keys(manifest.exports).filter((entry) => entry !== './package.json');
  const script = `
    const counts = {};
    for (const entry of ${JSON.stringify(entries)}) {
      counts[entry] = Object.keys(await import('unetrpp' + entry.slice(1))).length;
    }
    console.log(JSON.stringify(counts));
  `;
  const counts = JSON.parse(run(project, process.execPath, '--input-type=module', '-e', script)) as Record<
    string,
    number
  >;
  expect(Object.keys(counts)).toEqual(entries);
  expect(Object.entries(counts).filter(([, names]) => names === 0)).toEqual([]);
});

test('the types that ship fit a program that uses them, and fail one that misuses them', () => {
  const check = (source: string) => {
    writeFileSync(join(project, 'use.ts'), source);
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023'];
    return run(project, process.execPath, tsc, ...options, 'use.ts');
  };
  check(`import { type Volume, voxelVolumeMl } from 'unetrpp';
    import type { Plan } from 'unetrpp/dataset';
    export const report = (volume: Volume, plan: Plan): string => voxelVolumeMl(volume) + ' ' + plan.patch[0];`);
  expect(() => check(`import { voxelVolumeMl } from 'unetrpp'; voxelVolumeMl('no volume');`)).toThrow('TS2345');
});

test('the program runs', () => {
  expect(run(project, 'npx', '--no-install', 'unetrpp', '--version')).toBe(`${manifest.version}\n`);
  expect(run(project, 'npx', '--no-install', 'unetrpp', '--help')).toContain('Usage: unetrpp');
});
