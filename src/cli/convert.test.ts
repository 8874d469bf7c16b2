import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import { shell } from '../../test/shell.ts';
import { openDataset } from '../dataset/folder.node.ts';
import { acdcSplit, bratsSplit, lungSplit, synapseSplit } from '../dataset/publishedSplits.ts';
import { identityDirection, readNifti, type Volume, writeNifti } from '../volume/index.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function emptyFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'unetrpp-convert-'));
  folders.push(folder);
  return folder;
}

/** A row of voxels, 2 mm apart, the first 10 mm to the left. */
const volume = (data: Volume['data'], channels = 1): Volume => ({
  shape: [1, 1, data.length / channels],
  channels,
  spacing: [2, 2, 2],
  origin: [10, 0, 0],
  direction: identityDirection,
  data,
});

const image = writeNifti(volume(Int16Array.of(5, -6, 7)));
const labels = writeNifti(volume(Uint8Array.of(0, 1, 1)));

function write(folder: string, files: Readonly<Record<string, Uint8Array | string>>): string {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

const json = (path: string) => JSON.parse(readFileSync(path, 'utf8'));
const read = (path: string) => readNifti(new Uint8Array(readFileSync(path))).volume;
const filesIn = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(folder, name)).isFile())
    .sort();

/** The scans of the challenge: images and label maps have the same numbers. */
function synapse(changes: Record<string, Uint8Array | null> = {}): string {
  const all = [...synapseSplit.train, ...synapseSplit.validation];
  const files: Record<string, Uint8Array | null> = {
    ...Object.fromEntries(
      all.flatMap((name) => [
        [`RawData/Training/img/${name}.nii.gz`, image],
        [`RawData/Training/label/${name.replace('img', 'label')}.nii.gz`, labels],
      ]),
    ),
    'RawData/Testing/img/img0061.nii.gz': image,
    'RawData/Training/img/.DS_Store': new Uint8Array(1),
    ...changes,
  };
  const kept = Object.entries(files).filter((entry): entry is [string, Uint8Array] => entry[1] !== null);
  return write(emptyFolder(), Object.fromEntries(kept));
}

/** Patients 1 (to train with) and 2 (to test with), as the challenge lays them out. */
function acdc(changes: Record<string, Uint8Array | string> = {}): string {
  const patient = (number: string, frame: string, group: string) => ({
    [`training/patient${number}/Info.cfg`]: `ED: 1\nES: ${Number(frame)}\nGroup: ${group}\nHeight: 184.0\nNbFrame: 30\nWeight: 95.0\n`,
    [`training/patient${number}/patient${number}_4d.nii.gz`]: 'the cine, which nobody reads',
    [`training/patient${number}/patient${number}_frame01.nii.gz`]: image,
    [`training/patient${number}/patient${number}_frame01_gt.nii.gz`]: labels,
    [`training/patient${number}/patient${number}_frame${frame}.nii.gz`]: image,
    [`training/patient${number}/patient${number}_frame${frame}_gt.nii.gz`]: labels,
  });
  return write(emptyFolder(), { ...patient('001', '12', 'DCM'), ...patient('002', '12', 'NOR'), ...changes });
}

describe('unetrpp convert', () => {
  test('brings the Synapse download into nnU-Net layout: bytes as they are, the published split, terms and source', async () => {
    const output = join(emptyFolder(), 'out');
    const { code, out, err } = await shell('convert', 'synapse', synapse(), '-o', output);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toContain(
      `${output}: 30 labeled cases, 1 to test with\nFold 0 trains on 18 cases and is validated on 12.\n`,
    );
    expect(out).toContain('Terms of the data: ');
    expect(filesIn(output)).toHaveLength(30 + 30 + 1 + 2);
    expect(readFileSync(join(output, 'imagesTr/img0001_0000.nii.gz'))).toEqual(Buffer.from(image));
    expect(readFileSync(join(output, 'labelsTr/img0001.nii.gz'))).toEqual(Buffer.from(labels));
    expect(readFileSync(join(output, 'imagesTs/img0061_0000.nii.gz'))).toEqual(Buffer.from(image));
    expect(json(join(output, 'splits_final.json'))).toEqual([
      { train: synapseSplit.train, val: synapseSplit.validation },
    ]);
    const { description, cases, splits } = await openDataset(output);
    expect(description.channels).toEqual(['CT']);
    expect(description.labels).toHaveLength(14);
    expect(cases).toHaveLength(30);
    expect(splits?.[0]).toEqual(synapseSplit);
  });

  test('takes the same download for BTCV, whose test cases are not public', async () => {
    const output = join(emptyFolder(), 'out');
    const { code, out, err } = await shell('convert', 'btcv', join(synapse(), 'RawData'), '-o', output, '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ split: null, test: ['img0061'], written: 61, kept: 0 });
    expect(err).toBe('');
    expect((await openDataset(output)).splits).toBeUndefined();
  });

  test('knows the patients of ACDC, their groups and frames', async () => {
    const output = join(emptyFolder(), 'out');
    const { code, err } = await shell('convert', 'acdc', acdc(), '-o', output, '--partial');
    expect(code).toBe(0);
    expect(err).toContain('Of the published split 4 of 200 cases are here.');
    expect(json(join(output, 'patients.json'))[0]).toEqual({
      patient: 'patient001',
      cases: ['patient001_frame01', 'patient001_frame12'],
      group: 'DCM',
      ED_frame: 1,
      ES_frame: 12,
      frames_in_cine: 30,
      height_cm: 184,
      weight_kg: 95,
    });
    // The second frame of patient 2 is called 12, as in the challenge.
    expect(acdcSplit.validation.slice(0, 2)).toEqual(['patient002_frame01', 'patient002_frame12']);
    const { patients, splits } = await openDataset(output);
    expect(patients?.get('patient002_frame12')).toBe('patient002');
    expect(splits).toEqual([
      {
        train: ['patient001_frame01', 'patient001_frame12'],
        validation: ['patient002_frame01', 'patient002_frame12'],
      },
    ]);
  });

  test('brings the lung tumors of the Decathlon', async () => {
    const all = [...lungSplit.train, ...lungSplit.validation];
    const files = Object.fromEntries(
      all.flatMap((name) => [
        [`Task06_Lung/imagesTr/${name}.nii.gz`, image],
        [`Task06_Lung/imagesTr/._${name}.nii.gz`, 'of another operating system'],
        [`Task06_Lung/labelsTr/${name}.nii.gz`, labels],
      ]),
    );
    const output = join(emptyFolder(), 'out');
    const { code } = await shell('convert', 'lung', write(emptyFolder(), files), '-o', output);
    expect(code).toBe(0);
    expect(readFileSync(join(output, 'imagesTr/lung_096_0000.nii.gz'))).toEqual(Buffer.from(image));
    expect((await openDataset(output)).splits?.[0]).toEqual(lungSplit);
  });

  test('splits the four sequences of a brain tumor case', async () => {
    const four = writeNifti(volume(Int16Array.of(1, 2, 11, 12, 21, 22, 31, 32), 4));
    const map = writeNifti(volume(Uint8Array.of(1, 3)));
    const names = [bratsSplit.train[0], bratsSplit.validation[0], 'BRATS_058'];
    const files = Object.fromEntries(
      names.flatMap((name) => [
        [`imagesTr/${name}.nii.gz`, four],
        [`labelsTr/${name}.nii.gz`, map],
      ]),
    );
    const output = join(emptyFolder(), 'out');
    const { code, err } = await shell('convert', 'brats', write(emptyFolder(), files), '-o', output, '--partial');
    expect(code).toBe(0);
    expect(err).toContain('Of the published split 2 of 460 cases are here.');
    const second = read(join(output, 'imagesTr/BRATS_001_0001.nii.gz'));
    expect([...second.data]).toEqual([11, 12]);
    expect(second.data).toBeInstanceOf(Int16Array);
    expect(second).toMatchObject({ spacing: [2, 2, 2], origin: [10, 0, 0], direction: identityDirection });
    const { cases, description, splits } = await openDataset(output);
    expect(cases[0].images).toHaveLength(4);
    expect(description.channels).toEqual(['FLAIR', 'T1w', 'T1gd', 'T2w']);
    expect(description.labels.slice(1)).toEqual([
      { name: 'whole tumor (WT)', values: [1, 2, 3] },
      { name: 'tumor core (TC)', values: [2, 3] },
      { name: 'enhancing tumor (ET)', values: [3] },
    ]);
    expect(description.regionsClassOrder).toEqual([1, 2, 3]);
    // The authors kept this case for tuning: it is in neither part.
    expect(splits).toEqual([{ train: ['BRATS_001'], validation: ['BRATS_011'] }]);
  });

  test("gives the labels of the BraTS challenge the Decathlon's numbers", async () => {
    const stem = 'BraTS20_Training_001/BraTS20_Training_001';
    const files = {
      ...Object.fromEntries(['flair', 't1', 't1ce', 't2'].map((each) => [`${stem}_${each}.nii.gz`, image])),
      [`${stem}_seg.nii.gz`]: writeNifti(volume(Float32Array.of(1, 2, 4))),
    };
    const output = join(emptyFolder(), 'out');
    const { code, err } = await shell('convert', 'brats', write(emptyFolder(), files), '-o', output);
    expect(code).toBe(0);
    expect(err).toContain('The published split names other cases than the training data of BraTS 2020');
    const map = read(join(output, 'labelsTr/BraTS20_Training_001.nii.gz'));
    expect([...map.data]).toEqual([2, 1, 3]);
    expect(map.data).toBeInstanceOf(Uint8Array);
    expect(map.origin).toEqual([10, 0, 0]);
    expect(readFileSync(join(output, 'imagesTr/BraTS20_Training_001_0002.nii.gz'))).toEqual(Buffer.from(image));
  });

  test('goes on where it was stopped, and makes what has changed again', async () => {
    const [source, output] = [synapse(), join(emptyFolder(), 'out')];
    const convert = async () => JSON.parse((await shell('convert', 'synapse', source, '-o', output, '--json')).out);
    expect(await convert()).toMatchObject({ written: 61, kept: 0 });
    expect(await convert()).toMatchObject({ written: 0, kept: 61 });
    rmSync(join(output, 'labelsTr/img0005.nii.gz'));
    writeFileSync(join(output, 'labelsTr/img0006.nii.gz'), 'cut sho');
    const changed = join(source, 'RawData/Training/img/img0007.nii.gz');
    utimesSync(changed, new Date(), new Date(Date.now() + 60_000));
    expect(await convert()).toMatchObject({ written: 3, kept: 58 });
    expect(readFileSync(join(output, 'labelsTr/img0006.nii.gz'))).toEqual(Buffer.from(labels));
  });
});

describe('unetrpp convert between the layouts that many data sets have', () => {
  const decathlonJson = {
    name: 'Lesions',
    reference: 'drawn',
    licence: 'none',
    tensorImageSize: '4D',
    modality: { 0: 'T1w', 1: 'T2w' },
    labels: { 0: 'background', 1: 'lesion' },
    numTraining: 1,
    numTest: 1,
    training: [{ image: './imagesTr/a.nii.gz', label: './labelsTr/a.nii.gz' }],
    test: ['./imagesTs/b.nii.gz'],
  };
  const both = writeNifti(volume(Int16Array.of(1, 2, 3, 11, 12, 13), 2));
  const decathlon = () =>
    write(emptyFolder(), {
      'dataset.json': JSON.stringify(decathlonJson),
      'imagesTr/a.nii.gz': both,
      'labelsTr/a.nii.gz': labels,
      'imagesTs/b.nii.gz': both,
      'splits_final.json': JSON.stringify([{ train: ['a'], val: ['a2'] }]),
      'imagesTr/a2.nii.gz': both,
      'labelsTr/a2.nii.gz': labels,
    });

  test('splits channels into files and merges them again, in their own type and place', async () => {
    const [there, back] = [join(emptyFolder(), 'nnunet'), join(emptyFolder(), 'decathlon')];
    expect((await shell('convert', 'nnunet', decathlon(), '-o', there)).code).toBe(0);
    expect(filesIn(there)).toEqual([
      'dataset.json',
      'imagesTr/a2_0000.nii.gz',
      'imagesTr/a2_0001.nii.gz',
      'imagesTr/a_0000.nii.gz',
      'imagesTr/a_0001.nii.gz',
      'imagesTs/b_0000.nii.gz',
      'imagesTs/b_0001.nii.gz',
      'labelsTr/a.nii.gz',
      'labelsTr/a2.nii.gz',
      'splits_final.json',
    ]);
    expect(json(join(there, 'dataset.json'))).toEqual({
      name: 'Lesions',
      reference: 'drawn',
      licence: 'none',
      channel_names: { 0: 'T1w', 1: 'T2w' },
      labels: { background: 0, lesion: 1 },
      numTraining: 2,
      file_ending: '.nii.gz',
    });
    expect([...read(join(there, 'imagesTr/a_0001.nii.gz')).data]).toEqual([11, 12, 13]);

    expect((await shell('convert', 'decathlon', there, '-o', back)).code).toBe(0);
    const merged = read(join(back, 'imagesTr/a.nii.gz'));
    expect(merged).toEqual(readNifti(both).volume);
    expect(readFileSync(join(back, 'labelsTr/a.nii.gz'))).toEqual(Buffer.from(labels));
    expect(json(join(back, 'dataset.json'))).toMatchObject({
      modality: decathlonJson.modality,
      labels: decathlonJson.labels,
      tensorImageSize: '4D',
      test: decathlonJson.test,
    });
    expect((await openDataset(back)).splits).toEqual([{ train: ['a'], validation: ['a2'] }]);
  });

  test('encodes what is in another format', async () => {
    const source = write(emptyFolder(), {
      'dataset.json': JSON.stringify({
        channel_names: { 0: 'CT' },
        labels: { background: 0, liver: 1 },
        file_ending: '.nii',
      }),
      'imagesTr/a_0000.nii': gunzipSync(image),
      'labelsTr/a.nii': gunzipSync(labels),
    });
    const output = join(emptyFolder(), 'out');
    expect((await shell('convert', 'decathlon', source, '-o', output)).code).toBe(0);
    expect(read(join(output, 'imagesTr/a.nii.gz'))).toEqual(readNifti(image).volume);
  });

  test('says that the Decathlon has no regions', async () => {
    const source = write(emptyFolder(), {
      'dataset.json': JSON.stringify({
        channel_names: { 0: 'CT' },
        labels: { background: 0, whole: [1, 2], core: 2 },
        regions_class_order: [1, 2],
      }),
      'imagesTr/a_0000.nii.gz': image,
      'labelsTr/a.nii.gz': labels,
    });
    const { code, err } = await shell('convert', 'decathlon', source, '-o', join(emptyFolder(), 'out'));
    expect(code).toBe(2);
    expect(err).toContain("are regions, which the Decathlon's dataset.json cannot say");
  });
});

describe('unetrpp convert refuses with one sentence', () => {
  const refusal = async (name: string, source: string, output = join(emptyFolder(), 'out'), ...options: string[]) => {
    const { code, err } = await shell('convert', name, source, '-o', output, ...options);
    expect(code).toBe(2);
    expect(err).toMatch(/^error: [^\n]+\n$/);
    return err;
  };

  test('an unknown name', async () => {
    expect(await refusal('synapsis', emptyFolder())).toBe(
      'error: There is no data set or layout synapsis; give synapse, btcv, acdc, brats, lung, nnunet or decathlon.\n',
    );
    expect(await refusal('constructor', emptyFolder())).toContain('There is no data set or layout constructor;');
  });

  test('a folder that is not there, or holds something else', async () => {
    expect(await refusal('acdc', '/nowhere')).toContain('There is no folder /nowhere');
    expect(await refusal('acdc', synapse())).toContain(
      'holds nothing like patient{patient}/patient{patient}_frame{frame}.nii.gz and',
    );
  });

  test('a missing label map, a missing image', async () => {
    expect(await refusal('synapse', synapse({ 'RawData/Training/label/label0003.nii.gz': null }))).toContain(
      'lacks RawData/Training/label/label0003.nii.gz; download or unpack it again.',
    );
    expect(await refusal('synapse', synapse({ 'RawData/Training/img/img0004.nii.gz': null }))).toContain(
      'lacks RawData/Training/img/img0004.nii.gz;',
    );
  });

  test('a case of the published split that is missing', async () => {
    const source = synapse({
      'RawData/Training/img/img0003.nii.gz': null,
      'RawData/Training/label/label0003.nii.gz': null,
    });
    expect(await refusal('synapse', source)).toContain(
      'lacks 1 of the 30 cases of the published split, such as img0003;',
    );
  });

  test('patients whose Info.cfg is missing, says nothing, or contradicts the frames', async () => {
    const lost = acdc();
    rmSync(join(lost, 'training/patient001/Info.cfg'));
    expect(await refusal('acdc', lost, undefined, '--partial')).toContain('lacks training/patient001/Info.cfg;');
    const silent = acdc({ 'training/patient001/Info.cfg': 'ED: 1\n' });
    expect(await refusal('acdc', silent, undefined, '--partial')).toContain('does not say ED, ES and Group');
    const other = acdc({ 'training/patient001/Info.cfg': 'ED: 1\nES: 9\nGroup: DCM\n' });
    expect(await refusal('acdc', other, undefined, '--partial')).toContain(
      'patient001_frame12 is neither the end-diastolic (1) nor the end-systolic frame (9)',
    );
  });

  test('a label that the challenge does not have', async () => {
    const stem = 'BraTS2021_00001/BraTS2021_00001';
    const files = {
      ...Object.fromEntries(['flair', 't1', 't1ce', 't2'].map((each) => [`${stem}_${each}.nii.gz`, image])),
      [`${stem}_seg.nii.gz`]: writeNifti(volume(Uint8Array.of(1, 2, 3))),
    };
    const output = join(emptyFolder(), 'out');
    expect(await refusal('brats', write(emptyFolder(), files), output)).toContain(
      'holds the value 3, and this data set has 0, 1, 2, 4',
    );
    expect(filesIn(output)).not.toContain('labelsTr/BraTS2021_00001.nii.gz');
    expect(filesIn(output)).not.toContain('dataset.json');
  });

  test('a 4-D image with another number of channels', async () => {
    const source = write(emptyFolder(), { 'imagesTr/BRATS_001.nii.gz': image, 'labelsTr/BRATS_001.nii.gz': labels });
    expect(await refusal('brats', source, undefined, '--partial')).toContain('has 1 channels, and 4 are wanted');
  });

  test('an output folder that holds other things, or is the input', async () => {
    const output = write(emptyFolder(), { 'imagesTr/mine.nii.gz': image });
    expect(await refusal('synapse', synapse(), output)).toContain(
      'holds imagesTr/mine.nii.gz, which is not of this data set;',
    );
    const source = synapse();
    expect(await refusal('synapse', source, source)).toContain('is the data set itself; name a new folder');
  });
});
