/**
 * The commands as a shell sees them: exit codes, what is written and what is not, sentences for bad input.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../src/cli/run.ts';
import { nodeEngine } from '../src/engine/node.ts';
import { unetrpp } from '../src/nets/index.ts';
import { openModel } from '../src/predict/model.node.ts';
import { readNifti } from '../src/volume/index.ts';
import { tinyCheckpoint, tinyScan, tinySettings, tinyWeights, writeScan, writeTinyBundle } from './bundle.ts';
import { hasShared, sharedJson, sharedPath } from './shared.ts';
import { shell } from './shell.ts';

let folder: string;
let bundle: string;
let scan: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'unetrpp-commands-'));
  bundle = await writeTinyBundle(join(folder, 'bundle'));
  scan = writeScan(join(folder, 'scan.nii.gz'));
});

afterAll(() => rmSync(folder, { recursive: true }));

const read = (path: string) => readNifti(new Uint8Array(readFileSync(path))).volume;
const fresh = (name: string) => join(folder, name);

describe('predict', () => {
  it('writes the mask of one scan into a folder, with the scan’s geometry, and prints volumes', async () => {
    const { code, out } = await shell('predict', '-m', bundle, '-i', scan, '-o', fresh('one'));
    expect(code).toBe(0);
    expect(readdirSync(fresh('one'))).toEqual(['predictions.json', 'scan.nii.gz']);
    const { data, ...grid } = read(join(fresh('one'), 'scan.nii.gz'));
    const { data: _, ...expected } = read(scan);
    expect(grid).toEqual(expected);
    expect(data).toBeInstanceOf(Uint8Array);
    expect(new Set(data)).toEqual(new Set([0, 1, 2]));
    const voxels = data.filter((value) => value === 2).length;
    expect(out).toMatch(new RegExp(`2 dots +${((voxels * 3) / 1000).toFixed(2)} mL +${voxels} voxels`));
  });

  it('writes into a file that is named, uncompressed where its name says so', async () => {
    const { code } = await shell('predict', '-m', bundle, '-i', scan, '-o', fresh('mask.nii'));
    expect(code).toBe(0);
    expect(readFileSync(fresh('mask.nii')).readInt32LE(0)).toBe(348);
  });

  it('goes through a folder of scans, reports a bad one at the end and goes on with the others', async () => {
    mkdirSync(fresh('scans'));
    for (const name of ['a_0000.nii.gz', 'c.nii']) writeScan(join(fresh('scans'), name));
    writeFileSync(join(fresh('scans'), 'b.nii.gz'), 'no image');
    const { code, out, err } = await shell('predict', '-m', bundle, '-i', fresh('scans'), '-o', fresh('masks'));
    expect(readdirSync(fresh('masks')).sort()).toEqual(['a.nii.gz', 'c.nii.gz', 'predictions.json']);
    expect(out).toContain('a: ');
    expect(err).toContain('b failed: b.nii.gz');
    expect(err).toContain('error: 1 of 3 scans failed: b; the others are done.');
    expect(code).toBe(2);
  });

  it('leaves finished masks alone, unless told to overwrite them', async () => {
    const before = readFileSync(join(fresh('one'), 'scan.nii.gz'));
    writeFileSync(join(fresh('one'), 'scan.nii.gz'), 'finished');
    expect((await shell('predict', '-m', bundle, '-i', scan, '-o', fresh('one'))).out).toContain('is there already');
    expect(readFileSync(join(fresh('one'), 'scan.nii.gz'), 'utf8')).toBe('finished');
    await shell('predict', '-m', bundle, '-i', scan, '-o', fresh('one'), '--overwrite');
    expect(readFileSync(join(fresh('one'), 'scan.nii.gz'))).toEqual(before);
  });

  it('keeps no mask of another model, or one that was made in another way, for its own', async () => {
    const other = await writeTinyBundle(fresh('another'), 1, 'another');
    const words = ['-i', scan, '-o', fresh('whose')];
    expect((await shell('predict', '-m', bundle, ...words)).code).toBe(0);
    const made = readFileSync(join(fresh('whose'), 'scan.nii.gz'));
    const refused = async (...more: string[]) => {
      const { code, err } = await shell('predict', ...words, ...more);
      expect(readFileSync(join(fresh('whose'), 'scan.nii.gz'))).toEqual(made);
      return [code, err];
    };
    expect(await refused('-m', other)).toEqual([
      2,
      expect.stringMatching(
        /are not by tiny but by another model of that name; name another folder for these, or make all/,
      ),
    ]);
    expect(await refused('-m', bundle, '-m', other)).toEqual([
      2,
      expect.stringMatching(/are not by \S.* but by tiny;/),
    ]);
    expect(await refused('-m', bundle, '--mirror')).toEqual([2, expect.stringContaining('made with other settings')]);
    expect((await refused('-m', bundle, '--threads', '1'))[0]).toBe(0);
    writeFileSync(join(fresh('whose'), 'predictions.json'), '{}');
    expect(await refused('-m', bundle)).toEqual([2, expect.stringContaining('does not say which model')]);
    expect((await shell('predict', '-m', other, ...words, '--overwrite')).code).toBe(0);
    expect((await shell('predict', '-m', other, ...words)).out).toContain('is there already');
  });

  it('prints one JSON document with --json, and probabilities go beside the mask', async () => {
    const { code, out } = await shell(
      'predict',
      '-m',
      bundle,
      '-i',
      scan,
      '-o',
      fresh('json'),
      '--json',
      '--save-probabilities',
      '--mirror',
      '--overlap',
      '0.25',
    );
    expect(code).toBe(0);
    const { cases, device, failures } = JSON.parse(out);
    expect({ device, failures }).toEqual({ device: 'cpu', failures: [] });
    expect(cases[0].labels.map(({ name }: { name: string }) => name)).toEqual(['stripes', 'dots']);
    expect(read(cases[0].probabilities).channels).toBe(3);
  });

  it('lets several bundles, or the folder of an ensemble, decide together by averaged probabilities', async () => {
    const other = await writeTinyBundle(fresh('other'), 1, 'other');
    const words = (out: string, ...models: string[]) => ['predict', ...models, '-i', scan, '-o', fresh(out), '--json'];
    const both = await shell(...words('both', '-m', bundle, '-m', other, '--save-probabilities'));
    expect(both.code, both.err).toBe(0);
    expect(JSON.parse(both.out)).toMatchObject({ model: 'tiny + tiny', models: 2 });
    for (const each of [bundle, other]) {
      await shell(...words(`alone-${each === bundle ? 0 : 1}`, '-m', each, '--save-probabilities'));
    }
    const values = (out: string) => read(join(fresh(out), 'scan_probabilities.nii.gz')).data;
    const [first, second] = [values('alone-0'), values('alone-1')];
    expect(values('both')).toEqual(Float32Array.from(first, (value, i) => Math.fround(value + second[i]) / 2));
    const file = { format: 'unetrpp-ensemble', version: 1, name: 'two', bundles: ['bundle', 'other'] };
    writeFileSync(fresh('ensemble.json'), JSON.stringify({ ...file, keepLargestComponents: [] }));
    const named = await shell(...words('named', '-m', folder));
    expect(named.code, named.err).toBe(0);
    expect(read(join(fresh('named'), 'scan.nii.gz'))).toEqual(read(join(fresh('both'), 'scan.nii.gz')));
    const two = await shell(...words('unlike', '-m', bundle, await writeTinyBundle(fresh('pair'), 2)));
    expect(two).toMatchObject({
      code: 2,
      err: 'error: An ensemble needs models of the same channels: the first model tiny has MR, the other model tiny has MR, MR 2; give models of one task.\n',
    });
    expect(existsSync(fresh('unlike'))).toBe(false);
  });

  it('takes one file for each channel, or a folder in nnU-Net’s naming, and gives one mask', async () => {
    const two = await writeTinyBundle(fresh('two-channels'), 2);
    mkdirSync(fresh('pairs'));
    const other = { data: tinyScan.data.map((value) => 100 - value) };
    const files = [writeScan(join(fresh('pairs'), 'x_0000.nii')), writeScan(join(fresh('pairs'), 'x_0001.nii'), other)];
    const named = await shell('predict', '-m', two, '-i', ...files, '-o', fresh('named'));
    const folder = await shell('predict', '-m', two, '-i', fresh('pairs'), '-o', fresh('by-folder'));
    expect([named.code, folder.code]).toEqual([0, 0]);
    const masks = [join(fresh('named'), 'x.nii.gz'), join(fresh('by-folder'), 'x.nii.gz')];
    expect(readFileSync(masks[0])).toEqual(readFileSync(masks[1]));
    // The order of the channels matters, so both were read.
    await shell('predict', '-m', two, '-i', files[1], files[0], '-o', fresh('swapped.nii.gz'));
    expect(read(fresh('swapped.nii.gz')).data).not.toEqual(read(masks[0]).data);
    rmSync(files[0]);
    const lonely = await shell('predict', '-m', two, '-i', fresh('pairs'), '-o', fresh('lonely'));
    expect(lonely).toMatchObject({
      code: 2,
      err: expect.stringContaining('The scan has 1 channel and the model tiny takes 2 (MR, MR 2)'),
    });
    expect(existsSync(fresh('lonely'))).toBe(false);
  });

  it('takes another patch with a notice', async () => {
    const { out } = await shell('predict', '-m', bundle, '-i', scan, '-o', fresh('patch'), '--patch', '16x16x16');
    expect(out).toContain('note: The weights were trained at a patch of 8x8x8; for 16x16x16');
  });

  it('is interrupted without leaving anything behind', async () => {
    const stop = new AbortController();
    const terminal = { out: () => '', err: () => stop.abort(), signal: stop.signal, columns: 80 };
    const code = await run(['predict', '-m', bundle, '-i', scan, '-o', fresh('stopped')], terminal);
    expect(code).toBe(130);
    expect(existsSync(fresh('stopped'))).toBe(false);
  });
});

describe('bad input gets one sentence, exit code 2, and nothing is written', () => {
  async function refused(...argv: string[]): Promise<string> {
    const before = readdirSync(folder, { recursive: true }).sort();
    const { code, out, err } = await shell(...argv);
    expect(code, err).toBe(2);
    expect(out).toBe('');
    const errors = err.split('\n').filter((line) => line.startsWith('error: '));
    expect(errors).toHaveLength(1);
    expect(err).not.toContain('    at ');
    expect(readdirSync(folder, { recursive: true }).sort()).toEqual(before);
    return errors[0];
  }
  const predict = (...argv: string[]) => refused('predict', '-o', fresh('bad'), ...argv);

  it('a scan that is not there, a folder without scans, a file of another kind', async () => {
    expect(await predict('-m', bundle, '-i', fresh('no.nii'))).toContain('There is no file');
    mkdirSync(fresh('empty'));
    expect(await predict('-m', bundle, '-i', fresh('empty'))).toContain('holds no image');
    expect(await predict('-m', bundle, '-i', join(bundle, 'model.json'))).toContain(
      'none of the images that can be read',
    );
  });

  it('a scan with the wrong number of channels', async () => {
    const two = writeScan(fresh('two.nii'), { channels: 2, data: new Float32Array(2 * tinyScan.data.length).fill(1) });
    expect(await predict('-m', bundle, '-i', two)).toContain('has 2 channels and the model tiny takes 1 (MR)');
    expect(await predict('-m', bundle, '-i', scan, scan)).toContain('2 files were given for one scan');
  });

  it('a bundle that is not there, is none, was changed, or is damaged', async () => {
    expect(await predict('-m', fresh('nowhere'), '-i', scan)).toContain('There is no model bundle');
    expect(await predict('-m', fresh('empty'), '-i', scan)).toContain('it has no model.json');
    expect(await predict('-m', scan, '-i', scan)).toContain('a model bundle is a folder');
    const changed = await writeTinyBundle(fresh('changed'));
    const weights = readFileSync(join(changed, 'weights.safetensors'));
    weights[weights.length - 1] ^= 1;
    writeFileSync(join(changed, 'weights.safetensors'), weights);
    expect(await predict('-m', changed, '-i', scan)).toContain('SHA-256 differ');
    writeFileSync(join(changed, 'model.json'), '{"format": "unetrpp-model"');
    expect(await predict('-m', changed, '-i', scan)).toContain('is no JSON text');
    writeFileSync(join(changed, 'model.json'), '{"format": "unetrpp-model", "version": 2}');
    expect(await predict('-m', changed, '-i', scan)).toContain('is no model description: version');
  });

  it('an illegal patch, a step that is none, a device that is not there', async () => {
    expect(await predict('-m', bundle, '-i', scan, '--patch', '8x8x12')).toContain(
      'The nearest legal patches are 8x8x8 and 8x8x16',
    );
    const { code, err } = await shell('predict', '-m', bundle, '-i', scan, '-o', fresh('bad'), '--overlap', '1');
    expect(code).toBe(2);
    expect(err).toContain('from 0 up, below 1');
    expect(await predict('-m', bundle, '-i', scan, '--device', 'cuda')).toMatch(
      /'cuda' is not available: .* Available here: cpu/,
    );
  });

  it('an output that cannot be written', async () => {
    expect(await refused('predict', '-m', bundle, '-i', scan, '-o', join(scan, 'masks'))).toContain(
      'a part of the path is a file',
    );
    expect(await refused('predict', '-m', bundle, '-i', scan, '-o', '/proc/masks')).toContain('cannot write /proc');
    expect(await refused('predict', '-m', bundle, '-i', scan, '-o', fresh('mask.png.img'))).toContain(
      'Images are written as .nii.gz, .nrrd, .nii, .mha, not as mask.png.img',
    );
  });

  describe.skipIf(!hasShared)('every odd NIfTI file', () => {
    const odd = hasShared
      ? sharedJson<{ files: Record<string, { refuse: boolean }> }>('data', 'nifti', 'odd', 'expected.json').files
      : {};
    for (const [name, { refuse }] of Object.entries(odd)) {
      // Of these two, reading with a notice is allowed too, and is what happens.
      const read = ['singular_sform.nii.gz', 'not_gzipped_named_gz.nii.gz'].includes(name);
      if (refuse && !read)
        it(`${name} is refused`, async () => {
          expect(await predict('-m', bundle, '-i', sharedPath('data', 'nifti', 'odd', name))).toContain(name);
        });
    }
  });

  describe.skipIf(!hasShared)('every checkpoint that must be refused', () => {
    const files = hasShared
      ? readdirSync(sharedPath('golden', 'checkpoints')).filter((name) => name.startsWith('refuse-'))
      : [];
    for (const name of files) {
      it(`${name} is no bundle`, async () => {
        const error = await refused('import', sharedPath('golden', 'checkpoints', name), '-o', fresh('bad'));
        expect(error).toContain(name);
        if (name.includes('malicious')) expect(error).toMatch(/posix\.system|eval/);
      });
    }

    it('weights of another network are refused by name, and tensors that do not fit are listed', async () => {
      const other = sharedPath('golden', 'checkpoints', 'zip-ordereddict.pt');
      expect(await refused('import', other, '-o', fresh('bad'))).toContain('are no UNETR++');
    });
  });
});

describe.skipIf(!hasShared)('import', () => {
  it('says so when the plan is for another number of classes than the network gives', async () => {
    writeFileSync(fresh('tiny.model'), tinyCheckpoint({ ...tinySettings, classes: 2 }));
    const plans = sharedPath('golden', 'checkpoints', 'model_final_checkpoint.model.pkl');
    const { code, out, err } = await shell('import', fresh('tiny.model'), '--plans', plans, '-o', fresh('two-classes'));
    expect(code, err).toBe(0);
    expect(out).toContain('is for 3 classes and the network gives 2; make sure that it belongs to this model.');
  });

  const checkpoint = hasShared ? sharedPath('golden', 'checkpoints', 'model_final_checkpoint.model') : '';

  it('makes a bundle of a checkpoint, with the plan that lies beside it, and says what it found', async () => {
    const { code, out } = await shell(
      'import',
      checkpoint,
      '-o',
      fresh('imported'),
      '--half',
      '--name',
      'small',
      '--license',
      'none',
    );
    expect(code).toBe(0);
    expect(out).toContain('UNETR++ of its own sizes, 3 outputs, 1 channel(s), patch 32x32x32');
    expect(out).toContain('plan: ');
    const { manifest } = JSON.parse((await shell('info', fresh('imported'), '--json')).out);
    expect(manifest).toMatchObject({
      name: 'small',
      weights: { dtype: 'float16' },
      provenance: { source: 'model_final_checkpoint.model', license: 'none' },
      plan: { channels: [{ normalization: 'ct' }], spacing: [3, 1.5, 1.5] },
    });
  });

  it('does not write over a bundle, and wants as many labels as there are outputs', async () => {
    await shell('import', checkpoint, '-o', fresh('again'));
    const second = await shell('import', checkpoint, '-o', fresh('again'));
    expect(second).toMatchObject({ code: 2, err: expect.stringContaining('holds a model bundle already') });
    const labels = await shell('import', checkpoint, '-o', fresh('labels'), '--labels', 'background,organ');
    expect(labels).toMatchObject({
      code: 2,
      err: expect.stringContaining('2 labels were named and the network has 3 outputs'),
    });
    expect(existsSync(fresh('labels'))).toBe(false);
    const patch = await shell('import', checkpoint, '-o', fresh('labels'), '--patch', '64x64x64');
    expect(patch).toMatchObject({ code: 2, err: expect.stringContaining('The patch 64x64x64 gives') });
  });
});

describe('export', () => {
  const feeds = { image: new ort.Tensor('float32', tinyScan.data.slice(0, 512), [1, 1, 8, 8, 8]) };

  async function expected() {
    const executable = await nodeEngine.compile(unetrpp(tinySettings, { outputs: 'first' }), tinyWeights());
    const image = { dtype: 'float32', shape: [1, 1, 8, 8, 8], data: tinyScan.data.slice(0, 512) } as const;
    return (await executable.run(new Map([['image', image]]))).get('out1')!.data;
  }

  it('writes a file that runs in ONNX Runtime at every level of optimization, weights inside or beside it', async () => {
    const wanted = await expected();
    for (const options of [[], ['--external'], ['--lowered', '--all-heads']]) {
      const file = fresh(`net${options.join('')}.onnx`);
      const { code, out } = await shell('export', bundle, '-o', file, ...options);
      expect(code).toBe(0);
      expect(out).toContain('takes image [1,1,8,8,8]');
      expect(existsSync(`${file}.weights`)).toBe(options.includes('--external'));
      for (const graphOptimizationLevel of ['disabled', 'basic', 'extended', 'all'] as const) {
        const session = await ort.InferenceSession.create(file, { graphOptimizationLevel });
        const { out1, ...others } = await session.run(feeds);
        expect(Object.keys(others)).toEqual(options.includes('--all-heads') ? ['out2', 'out3'] : []);
        const data = out1.data as Float32Array;
        wanted.forEach((value, i) => {
          if (!(Math.abs(data[i] - value) < 1e-4))
            throw new Error(`${options} ${graphOptimizationLevel}: ${data[i]}, not ${value}`);
        });
        await session.release();
      }
    }
  });

  it('wants the name of an .onnx file', async () => {
    const { code, err } = await shell('export', bundle, '-o', fresh('net.bin'));
    expect(code).toBe(2);
    expect(err).toContain('does not end in .onnx');
  });

  it('writes a bundle into a folder: half the size, what it says about itself changed only where told', async () => {
    const given = ['--half', '--name', 'mine', '--license', 'CC0', '--attribution', 'me', '--json'];
    const { code, out } = await shell('export', bundle, '-o', fresh('given-away'), ...given);
    expect(code).toBe(0);
    const [before, after] = [await openModel(bundle), await openModel(fresh('given-away'))];
    const { bytes } = after.manifest.weights;
    expect(JSON.parse(out)).toEqual({ bundle: fresh('given-away'), name: 'mine', dtype: 'float16', bytes });
    expect(bytes / before.manifest.weights.bytes).toBeLessThan(0.7);
    expect(after.manifest).toEqual({
      ...before.manifest,
      name: 'mine',
      provenance: { ...before.manifest.provenance, license: 'CC0', attribution: 'me' },
      weights: { ...after.manifest.weights, dtype: 'float16' },
    });
    for (const [name, { data }] of before.weights) {
      const stored = after.weights.get(name)!.data;
      // 11 bits, and steps of 2^-24 near zero.
      expect(data.every((value, i) => Math.abs(stored[i] - value) <= Math.abs(value) * 2 ** -11 + 2 ** -25)).toBe(true);
    }
    // 16-bit floats are not made 32-bit ones again, and no bundle is written over.
    expect((await shell('export', fresh('given-away'), '-o', fresh('given-twice'))).out).toContain('mine, ');
    expect((await openModel(fresh('given-twice'))).manifest).toEqual(after.manifest);
    const over = await shell('export', bundle, '-o', fresh('given-twice'));
    expect(over).toMatchObject({ code: 2, err: expect.stringContaining('holds a model bundle already') });
  });

  it('refuses an option of the other kind of output', async () => {
    const onnx = await shell('export', bundle, '-o', fresh('net.onnx'), '--half');
    expect(onnx).toMatchObject({ code: 2, err: expect.stringContaining('--half is for a bundle') });
    const folder = await shell('export', bundle, '-o', fresh('net'), '--lowered');
    expect(folder).toMatchObject({ code: 2, err: expect.stringContaining('--lowered is for an ONNX file') });
    expect(existsSync(fresh('net'))).toBe(false);
  });
});

describe('info', () => {
  it('says what a network costs, by stage and kind', async () => {
    const { code, out } = await shell('info', '-n', 'synapse', '--cost');
    expect(code).toBe(0);
    expect(out).toContain('42,952,850 parameters, 47.4685 G multiply-adds');
    expect(out).toMatch(/total +.*41\.9011/);
    expect(out).toMatch(/encoder stage 1 +/);
    const { byKind } = JSON.parse((await shell('info', '-n', 'brats', '--cost', '--json')).out);
    expect(byKind['3x3x3 convolutions'] / 1e9).toBeCloseTo(66.8153, 4);
  });

  it('says what a bundle, a safetensors file and an image are', async () => {
    expect((await shell('info', bundle)).out).toContain('labels: 0 background, 1 stripes, 2 dots');
    expect((await shell('info', join(bundle, 'weights.safetensors'))).out).toContain('out1.conv.conv.weight');
    const image = JSON.parse((await shell('info', scan, '--json')).out);
    expect(image).toMatchObject({
      sizeXyz: [12, 9, 10],
      spacingMm: [1.5, 1, 2],
      originLpsMm: [-4, 7, 3],
      orientation: 'LPS',
      storedType: 'float32',
    });
  });

  it.skipIf(!hasShared)('lists every tensor of a checkpoint with its sum, first and last', async () => {
    const { out } = await shell('info', sharedPath('golden', 'checkpoints', 'zip-ordereddict.pt'));
    expect(out).toContain('PyTorch checkpoint (zip, pickle protocol 2), 4 tensors');
    expect(out).toMatch(/a\.weight +float32 \[3, 4\] {2}sum 2\.801233 {2}first 0\.6745032 {2}last 0\.6976655/);
  });

  it.skipIf(!hasShared)('lists the series of a DICOM folder', async () => {
    const { code, out } = await shell('info', sharedPath('data', 'dicom', 'mr_hippocrop_axial'));
    expect(code).toBe(0);
    expect(out).toMatch(/series 1: MR, 32 files, 35 x 51 x 32/);
  });

  it('wants one thing, and one that exists', async () => {
    expect((await shell('info')).code).toBe(2);
    expect((await shell('info', '-n', 'vnet')).err).toContain(
      "There is no network 'vnet'; there are synapse, acdc, lung, brats",
    );
    expect((await shell('info', fresh('nowhere'))).err).toContain('There is no file or folder');
  });
});

describe('demo', () => {
  it('segments the shipped example with the shipped model and draws a picture', async () => {
    const { code, out } = await shell('demo', '-o', fresh('demo'));
    expect(code).toBe(0);
    expect(out).toMatch(/Anterior +\d\.\d\d mL {2}orange\n +Posterior +\d\.\d\d mL {2}light blue/);
    const [mask, picture] = readdirSync(fresh('demo')).sort().reverse();
    expect(read(join(fresh('demo'), mask)).data.some((value) => value > 0)).toBe(true);
    expect(
      readFileSync(join(fresh('demo'), picture))
        .subarray(1, 4)
        .toString(),
    ).toBe('PNG');
  });
});
