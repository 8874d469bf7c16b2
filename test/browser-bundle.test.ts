/** Every entry that browsers may import can be bundled for them: nothing of Node is behind it. */
import { readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));
const { exports } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  exports: Record<string, string | Record<string, string>>;
};

/** Entry -> source file, as a bundler for browsers reads `exports`. */
const entries = Object.entries(exports)
  .filter(([entry]) => entry !== './package.json' && entry !== './engine/node')
  .map(([entry, target]) => [entry, typeof target === 'string' ? target : target['default']])
  .map(([entry, built]) => [entry, built.replace('./dist/', 'src/').replace(/\.js$/, '.ts')]);

/**
 * Bundles for a browser; modules of Node are left as imports, so that they can be seen. All but `zlib`: dicom-parser says in
 * its package.json that browsers have none, and bundlers heed it only where nobody told them otherwise.
 */
async function importsOf(source: string | { contents: string }): Promise<string[]> {
  const { metafile } = await build({
    ...(typeof source === 'string'
      ? { entryPoints: [source] }
      : { stdin: { ...source, loader: 'ts' as const, resolveDir: root } }),
    absWorkingDir: root,
    bundle: true,
    platform: 'browser',
    format: 'esm',
    external: ['onnxruntime-web', ...builtinModules.filter((name) => name !== 'zlib'), 'node:*'],
    write: false,
    outdir: 'out',
    metafile: true,
    logLevel: 'silent',
  });
  return Object.entries(metafile.inputs)
    .filter(([file]) => !compiledCodec.test(file))
    .flatMap(([, { imports }]) => imports.filter(({ external }) => external).map(({ path }) => path));
}

/**
 * Scripts of codecs compiled from C++ ask for Node's `fs` and `path` behind a question whether they run in Node, so a browser
 * never gets there. Bundlers want to be told: esbuild with `external`, as below; Vite leaves them out by itself.
 */
const compiledCodec = /node_modules\/@cornerstonejs\/codec-(openjpeg|charls)\/dist\/\w+\.js$/;

describe('a bundle for the browser', () => {
  test.each(entries)('of %s (%s) imports at most the runtime for the web', async (_entry, file) => {
    expect((await importsOf(file)).filter((path) => !/^onnxruntime-web(\/|$)/.test(path))).toEqual([]);
  });

  test('of the DICOM reader holds its codecs and asks for nothing else', async () => {
    expect(await importsOf('src/volume/formats/dicomSeries.ts')).toEqual([]);
  });

  test('shows a module of Node where there is one', async () => {
    expect(await importsOf({ contents: "export * from './src/wholeFiles.node.ts'" })).toContain('node:fs/promises');
  });
});
