/**
 * Images of every format through the same door: what `predict` and `readVolumeFile` make of files and folders on a disk.
 */
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { zlibSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readVolumeFile } from '../src/index.node.ts';
import { affineOf, swapLpsRas, writeMetaImage, writeNifti, writeNiftiPair, writeNrrd } from '../src/volume/index.ts';
import { tinyScan, writeScan, writeTinyBundle } from './bundle.ts';
import { drawnSlice } from './drawnDicom.ts';
import { hasShared, sharedJson, sharedPath } from './shared.ts';
import { shell } from './shell.ts';

const hippocampus = fileURLToPath(new URL('../models/hippocampus', import.meta.url));

let folder: string;
const fresh = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'unetrpp-formats-'));
  await writeTinyBundle(fresh('bundle'));
});

afterAll(() => rmSync(folder, { recursive: true }));

describe('one scan in five formats', () => {
  // Spacings and origin are exact in float32, so that NIfTI keeps them too.
  const { data, ...grid } = tinyScan;

  it('is the same volume', async () => {
    writeFileSync(fresh('scan.nii'), writeNifti(tinyScan, { gzip: false }));
    writeFileSync(fresh('scan.nrrd'), writeNrrd(tinyScan));
    writeFileSync(fresh('scan.mha'), writeMetaImage(tinyScan));
    const pair = writeNiftiPair(tinyScan);
    writeFileSync(fresh('pair.hdr'), pair.header);
    writeFileSync(fresh('pair.img'), pair.image);
    for (const name of ['scan.nii', 'scan.nrrd', 'scan.mha', 'pair.hdr', 'pair.img']) {
      const { volume } = await readVolumeFile(fresh(name));
      expect(volume, name).toEqual({ ...grid, data });
    }
  });

  it('is read from a header with its voxels in a file beside it', async () => {
    const voxels = new Uint8Array(data.buffer);
    const nhdr = [
      'NRRD0004',
      'type: float',
      'dimension: 3',
      'sizes: 12 9 10',
      'space: left-posterior-superior',
      'space directions: (1.5,0,0) (0,1,0) (0,0,2)',
      'space origin: (-4,7,3)',
      'endian: little',
      'encoding: raw',
      'data file: ./voxels.raw',
    ];
    const mhd = [
      'ObjectType = Image',
      'NDims = 3',
      'BinaryData = True',
      'BinaryDataByteOrderMSB = False',
      'CompressedData = True',
      'TransformMatrix = 1 0 0 0 1 0 0 0 1',
      'Offset = -4 7 3',
      'ElementSpacing = 1.5 1 2',
      'DimSize = 12 9 10',
      'ElementType = MET_FLOAT',
      'ElementDataFile = voxels.zraw',
    ];
    writeFileSync(fresh('detached.nhdr'), `${nhdr.join('\n')}\n\n`);
    writeFileSync(fresh('detached.mhd'), `${mhd.join('\n')}\n`);
    await expect(readVolumeFile(fresh('detached.nhdr'))).rejects.toThrow('voxels.raw, which is not beside it');
    await expect(readVolumeFile(fresh('detached.mhd'))).rejects.toThrow('voxels.zraw, which is not beside it');
    writeFileSync(fresh('voxels.raw'), voxels);
    writeFileSync(fresh('voxels.zraw'), zlibSync(voxels));
    for (const name of ['detached.nhdr', 'detached.mhd']) {
      expect((await readVolumeFile(fresh(name))).volume, name).toEqual({ ...grid, data });
    }
  });

  it('is known by what it holds, not by its name', async () => {
    cpSync(fresh('scan.nrrd'), fresh('renamed.nii'));
    cpSync(fresh('scan.mha'), fresh('no-ending'));
    for (const name of ['renamed.nii', 'no-ending']) {
      expect((await readVolumeFile(fresh(name))).volume).toEqual({ ...grid, data });
    }
  });

  it('gives one mask, in the format that is asked for', async () => {
    const scan = writeScan(fresh('source.nii.gz'));
    const masks = [];
    for (const name of ['m.nii.gz', 'm.nii', 'm.nrrd', 'm.mha']) {
      const { code, err } = await shell('predict', '-m', fresh('bundle'), '-i', scan, '-o', fresh(name));
      expect(code, err).toBe(0);
      masks.push((await readVolumeFile(fresh(name))).volume);
    }
    expect(masks[0].data).toBeInstanceOf(Uint8Array);
    for (const mask of masks) expect(mask).toEqual(masks[0]);
    await shell('predict', '-m', fresh('bundle'), '-i', scan, '-o', fresh('many'), '--format', 'nrrd');
    expect(readdirSync(fresh('many'))).toEqual(['predictions.json', 'source.nrrd']);
    const odd = await shell('predict', '-m', fresh('bundle'), '-i', scan, '-o', fresh('many'), '--format', 'jpg');
    expect(odd).toMatchObject({ code: 2, err: expect.stringContaining('It must be one of nii.gz, nrrd, nii, mha') });
  });

  it('is found in a folder of mixed formats, and headers are not taken for scans of their own', async () => {
    mkdirSync(fresh('mixed'));
    for (const name of ['scan.nrrd', 'pair.hdr', 'pair.img', 'detached.mhd', 'voxels.zraw']) {
      cpSync(fresh(name), join(fresh('mixed'), name));
    }
    const { code, err } = await shell('predict', '-m', fresh('bundle'), '-i', fresh('mixed'), '-o', fresh('mixed-out'));
    expect(code, err).toBe(0);
    const names = readdirSync(fresh('mixed-out')).sort();
    const masks = ['detached.nii.gz', 'pair.nii.gz', 'scan.nii.gz'];
    expect(names).toEqual([...masks, 'predictions.json'].sort());
    const [first, ...others] = await Promise.all(masks.map((name) => readVolumeFile(join(fresh('mixed-out'), name))));
    for (const other of others) expect(other.volume.data).toEqual(first.volume.data);
  });
});

describe.skipIf(!hasShared)('the shared volumes', () => {
  interface Case {
    file: string;
    size_xyz: number[];
    affine_ras: number[][];
    min: number;
    max: number;
    sum: number;
    sha256_int32le_xfastest: string;
  }
  const cases = hasShared ? sharedJson<{ cases: Case[] }>('data', 'volumes', 'expected.json').cases : [];

  it.each(cases)('$file has the voxels and the place that another reader found', async (expected) => {
    const { volume } = await readVolumeFile(sharedPath('data', 'volumes', expected.file));
    expect([...volume.shape].reverse()).toEqual(expected.size_xyz);
    swapLpsRas(affineOf(volume)).forEach((value, i) => {
      // Six decimals are given.
      expect(Math.abs(value - expected.affine_ras[Math.floor(i / 4)][i % 4])).toBeLessThan(1e-6);
    });
    const values = Int32Array.from(volume.data);
    let [least, largest, sum] = [Infinity, -Infinity, 0];
    for (const value of values) {
      least = Math.min(least, value);
      largest = Math.max(largest, value);
      sum += value;
    }
    expect([least, largest, sum]).toEqual([expected.min, expected.max, expected.sum]);
    const hash = createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex');
    expect(hash).toBe(expected.sha256_int32le_xfastest);
  });
});

describe('a DICOM folder', () => {
  const drawSeries = (into: string, seriesUid: string, slices: number) => {
    mkdirSync(into, { recursive: true });
    for (let k = 0; k < slices; k++) {
      writeFileSync(
        join(into, `${seriesUid}-${k}`),
        drawnSlice({ seriesUid, position: `0\\0\\${2 * k}`, instanceNumber: k + 1 }),
      );
    }
  };

  it('with one series is a scan; the mask is called as the folder', async () => {
    drawSeries(fresh('ct'), '1.2.3', 4);
    const { code, err } = await shell('predict', '-m', fresh('bundle'), '-i', `${fresh('ct')}/`, '-o', fresh('ct-out'));
    expect(code, err).toBe(0);
    expect(readdirSync(fresh('ct-out'))).toEqual(['ct.nii.gz', 'predictions.json']);
  });

  it('with two series is refused with their numbers, and read with --series', async () => {
    drawSeries(fresh('two'), '1.2.3', 4);
    drawSeries(fresh('two'), '1.2.4', 3);
    const args = ['predict', '-m', fresh('bundle'), '-i', fresh('two'), '-o', fresh('two.nii.gz')];
    const refused = await shell(...args);
    expect(refused.code).toBe(2);
    expect(refused.err).toContain('There are 2 DICOM scans here and one is wanted; choose it with --series N');
    const { code, out, err } = await shell(...args, '--series', '2');
    expect(code, err).toBe(0);
    expect(out).toContain('note: DICOM series 2 was read');
    expect((await readVolumeFile(fresh('two.nii.gz'))).volume.shape[0]).toBe(3);
  });

  it('without anything is said to be empty of images', async () => {
    mkdirSync(fresh('texts'));
    writeFileSync(join(fresh('texts'), 'notes.txt'), 'none');
    const { code, err } = await shell('predict', '-m', fresh('bundle'), '-i', fresh('texts'), '-o', fresh('none'));
    expect(code).toBe(2);
    expect(err).toContain('holds no image (.nii.gz, .nrrd');
    expect(err).toContain('and no DICOM series; name an image, a folder of images or a DICOM folder.');
  });

  it.skipIf(!hasShared)(
    'that is no scan gets one sentence with numbers, exit code 2, and nothing is written',
    async () => {
      const cases: [string[], RegExp][] = [
        [['ct_gantry_tilt'], /uneven gaps of .* mm.*shifted sideways by up to .* mm each/],
        [['bad', 'MR_truncated.dcm'], /cut off: 8192 bytes of pixels are announced and 8130 are there/],
        [['bad', 'SC_rgb_small_odd.dcm'], /color image/],
        [['bad', 'meta_missing_tsyntax.dcm'], /does not say how it is encoded/],
        [['bad', 'no_meta.dcm'], /no_meta.dcm is none of the images that can be read/],
        [['bad', 'not_dicom.dcm'], /not_dicom.dcm is none of the images that can be read/],
        [['bad', 'rtdose.dcm'], /dose distribution/],
        [['bad', 'test-SR.dcm'], /holds no image/],
        [['bad'], /None of the 3 DICOM series here is a scan that can be read/],
        [['seg'], /None of the 6 DICOM series here is a scan that can be read/],
      ];
      for (const [path, sentence] of cases) {
        const input = sharedPath('data', 'dicom', ...path);
        const { code, out, err } = await shell('predict', '-m', fresh('bundle'), '-i', input, '-o', fresh('refused'));
        expect(code, `${path} ${err}`).toBe(2);
        expect(out).toBe('');
        const errors = err.split('\n').filter((line) => line.startsWith('error: '));
        expect(errors).toHaveLength(1);
        expect(errors[0]).toMatch(sentence);
        expect(existsSync(fresh('refused'))).toBe(false);
      }
    },
  );

  it.skipIf(!hasShared)(
    'of the hippocampus gives the mask that its voxels give as NIfTI, in its own geometry',
    async () => {
      const series = sharedPath('data', 'dicom', 'mr_hippocrop_axial');
      const { volume } = await readVolumeFile(series);
      writeFileSync(fresh('as-nifti.nii.gz'), writeNifti(volume));
      const run = (input: string, mask: string) => shell('predict', '-m', hippocampus, '-i', input, '-o', fresh(mask));
      for (const result of [await run(series, 'dicom.mha'), await run(fresh('as-nifti.nii.gz'), 'nifti.mha')]) {
        expect(result.code, result.err).toBe(0);
      }
      const [ofDicom, ofNifti] = [await readVolumeFile(fresh('dicom.mha')), await readVolumeFile(fresh('nifti.mha'))];
      expect(ofDicom.volume.data).toEqual(ofNifti.volume.data);
      expect(new Set(ofDicom.volume.data)).toEqual(new Set([0, 1, 2]));
      const { shape, spacing, origin, direction } = volume;
      expect(ofDicom.volume).toMatchObject({ shape, spacing, origin, direction });
      expect(readFileSync(fresh('dicom.mha')).includes('MET_UCHAR')).toBe(true);
    },
  );
});
