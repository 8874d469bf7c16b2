import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { shell } from '../../test/shell.ts';
import type { Evaluation } from '../evaluate/index.ts';
import { identityDirection, type Volume, writeNifti } from '../volume/index.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'unetrpp-evaluate-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const at = (...parts: string[]) => join(folder, ...parts);

/** A row of voxels, 2 mm long along x. */
function row(text: string, rest: Partial<Volume> = {}): Volume {
  return {
    data: Uint8Array.from(text.replaceAll('.', '0'), Number),
    channels: 1,
    shape: [1, 1, text.length],
    spacing: [2, 3, 4],
    origin: [0, 0, 0],
    direction: identityDirection,
    ...rest,
  };
}

function write(name: string, masks: Record<string, string | Volume>): string {
  mkdirSync(at(name), { recursive: true });
  for (const [stem, mask] of Object.entries(masks)) {
    writeFileSync(at(name, `${stem}.nii.gz`), writeNifti(typeof mask === 'string' ? row(mask) : mask));
  }
  return at(name);
}

const description = (labels: object) =>
  JSON.stringify({ channel_names: { 0: 'CT' }, labels, numTraining: 1, file_ending: '.nii.gz' });

const references = { a: '11.2', b: '1..2', c: '11..' };

describe('unetrpp evaluate', () => {
  test('writes summary.json, a table and the record, and prints means and whose distances they are', async () => {
    const r = write('r', references);
    const p = write('p', { a: '11.2', b: '11.2', c: '11..' });
    const { code, out } = await shell('evaluate', '-r', r, '-p', p, '-o', at('scores'));
    expect(code).toBe(0);
    expect(out).toContain('3 cases, 2 labels; distances in mm as medpy defines them, NSD within 1 mm');
    // Of label 1 the Dice is 1, 2/3, 1; label 2 is in two cases.
    expect(out).toMatch(/label 1 +0\.8889 \[0\.6667, 1\.0000\]/);
    expect(out).toMatch(/label 2 +1\.0000 .* 2 +0 +0\n/);
    expect(out).toContain('Empty masks (--empty penalize): 0 missed and 0 invented count as Dice 0 and the diagonal');
    expect(out).toContain('Worst cases by Dice: b 0.8333');
    expect(readdirSync(at('scores')).sort()).toEqual(['evaluation.json', 'report.html', 'scores.csv', 'summary.json']);
    await shell('evaluate', '-r', r, '-p', p, '-o', at('no-report'), '--no-report');
    expect(readdirSync(at('no-report')).sort()).toEqual(['evaluation.json', 'scores.csv', 'summary.json']);
    const summary = JSON.parse(readFileSync(at('scores', 'summary.json'), 'utf8').replaceAll(': NaN', ': null'));
    expect(summary.mean['1'].Dice).toBeCloseTo(8 / 9, 12);
    expect(summary.metric_per_case[1]).toMatchObject({
      reference_file: join(r, 'b.nii.gz'),
      metrics: { 1: { TP: 1, FP: 1, HD95: expect.any(Number) } },
    });
    expect(readFileSync(at('scores', 'scores.csv'), 'utf8').split('\n')).toHaveLength(1 + 6 + 1);
    const record = JSON.parse(readFileSync(at('scores', 'evaluation.json'), 'utf8')) as Evaluation;
    expect(record).toMatchObject({ convention: 'medpy', unit: 'mm', empty: 'penalize', tolerance: 1 });
    expect(record.cases.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  });

  test('a missed organ is said, costs the diagonal, and is the best score under the rule of the paper', async () => {
    const r = write('missed-r', { a: '1...' });
    const p = write('missed-p', { a: '....' });
    const of = async (...more: string[]) => {
      const { out } = await shell('evaluate', '-r', r, '-p', p, '--json', ...more);
      return (JSON.parse(out) as Evaluation).cases[0].labels[0].scores.hd95;
    };
    expect(await of()).toBeCloseTo(Math.hypot(8, 3, 4), 12);
    expect(await of('--voxels')).toBeCloseTo(Math.hypot(4, 1, 1), 12);
    expect(await of('--empty', 'nan')).toBeNull();
    expect(await of('--convention', 'unetrpp')).toBe(0);
    const { out } = await shell('evaluate', '-r', r, '-p', p);
    expect(out).toContain('1 missed and 0 invented count as Dice 0 and the diagonal of the image');
  });

  test('labels and regions come from dataset.json beside the references', async () => {
    const r = write('set/labelsTr', { a: '12.3' });
    writeFileSync(
      at('set', 'dataset.json'),
      JSON.stringify({
        ...JSON.parse(description({ background: 0, whole: [1, 2], core: 2, ignore: 3 })),
        regions_class_order: [1, 2],
      }),
    );
    const p = write('set-p', { a: '11.1' });
    const { out } = await shell('evaluate', '-r', r, '-p', p, '--json', '--metrics', 'dice');
    const { labels, cases, ignoreLabel } = JSON.parse(out) as Evaluation;
    expect([labels.map(({ name }) => name), ignoreLabel]).toEqual([['whole', 'core'], 3]);
    expect(cases[0].labels.map(({ scores, empty }) => [scores.dice, empty])).toEqual([
      [1, null],
      [0, 'missed'],
    ]);
  });

  test('--labels names labels and regions', async () => {
    const [r, p] = [write('l-r', { a: '12.3' }), write('l-p', { a: '21.3' })];
    const { out } = await shell('evaluate', '-r', r, '-p', p, '--metrics', 'dice', '-l', 'WT=1,2', '3');
    expect(out).toMatch(/WT +1\.0000/);
    expect(out).toMatch(/label 3 +1\.0000/);
    expect(out).not.toContain('distances');
  });

  test('two files are one case', async () => {
    const [r, p] = [write('f-r', { scan: '11' }), write('f-p', { other: '1.' })];
    const { code, out } = await shell('evaluate', '-r', join(r, 'scan.nii.gz'), '-p', join(p, 'other.nii.gz'));
    expect(code).toBe(0);
    expect(out).toMatch(/1 case, 1 label;/);
    expect(out).toMatch(/label 1 +0\.6667 /);
  });

  test('a fold of a file of splits restricts the cases', async () => {
    const r = write('split-r', references);
    const p = write('split-p', { b: '1..2' });
    writeFileSync(at('splits.json'), JSON.stringify([{ train: ['a', 'c'], val: ['b'] }]));
    const { out } = await shell('evaluate', '-r', r, '-p', p, '--split', at('splits.json'), '--fold', '0', '--json');
    expect((JSON.parse(out) as Evaluation).cases.map(({ name }) => name)).toEqual(['b']);
    writeFileSync(at('split.json'), JSON.stringify({ train: ['a', 'c'], test: ['b'] }));
    const single = await shell('evaluate', '-r', r, '-p', p, '--split', at('split.json'), '--json');
    expect(single.out).toBe(out);
  });

  test('scans of a patient are drawn together, by the list of patients or by names, unless told otherwise', async () => {
    const frames = { patient001_frame01: '11.', patient001_frame07: '11.', patient002_frame01: '11.' };
    const r = write('patients-r', frames);
    const p = write('patients-p', { ...frames, patient002_frame01: '1..' });
    const of = async (...more: string[]) => {
      const { out } = await shell('evaluate', '-r', r, '-p', p, '--metrics', 'dice', '--json', ...more);
      return (JSON.parse(out) as Evaluation).bootstrap.patients;
    };
    expect([await of(), await of('--by-case')]).toEqual([2, null]);
    const { out } = await shell('evaluate', '-r', r, '-p', p, '-o', at('patients'));
    expect(out).toContain('in brackets their 95 % bootstrap intervals, which draw 2 patients with all of their scans');
    expect(readFileSync(at('patients', 'report.html'), 'utf8')).toContain('3 cases of 2 patients, 1 label.');

    const named = write('named/labelsTr', { a: '11.', b: '11.', c: '11.' });
    writeFileSync(at('named', 'dataset.json'), description({ background: 0, one: 1 }));
    const list = [
      { patient: 'x', cases: ['a', 'c'] },
      { patient: 'y', cases: ['b'] },
    ];
    writeFileSync(at('named', 'patients.json'), JSON.stringify(list));
    const own = await shell('evaluate', '-r', named, '-p', named, '--json');
    expect((JSON.parse(own.out) as Evaluation).bootstrap.patients).toBe(2);
    const paired = await shell('compare-predictions', p, r, '-r', r);
    expect(paired.out).toContain('pairs are patients');
    expect(paired.out).toMatch(/with 2 patients no difference/);
    writeFileSync(at('named', 'patients.json'), JSON.stringify(list.slice(1)));
    const { code, err } = await shell('evaluate', '-r', named, '-p', named);
    expect([code, err.split('\n')[0]]).toEqual([2, expect.stringMatching(/names no patient for the case a; add it/)]);
  });

  test('--heart compares ejection fractions, in the table, the record and the report', async () => {
    const r = write('hearts/labelsTr', {
      p1_frame01: '1233',
      p1_frame09: '1223',
      p2_frame01: '1333',
      p2_frame04: '1123',
    });
    writeFileSync(at('hearts', 'dataset.json'), description({ background: 0, RV: 1, MYO: 2, LV: 3 }));
    const list = [
      { patient: 'p1', cases: ['p1_frame01', 'p1_frame09'], ED_frame: 1, ES_frame: 9 },
      { patient: 'p2', cases: ['p2_frame04', 'p2_frame01'], ED_frame: 1, ES_frame: 4 },
    ];
    const patients = at('hearts', 'patients.json');
    writeFileSync(patients, JSON.stringify(list));
    const p = write('hearts-p', { p1_frame01: '1333', p1_frame09: '1223', p2_frame01: '1333', p2_frame04: '1123' });
    const { code, out, err } = await shell('evaluate', '-r', r, '-p', p, '--heart', '-o', at('heart-scores'));
    expect(code, err).toBe(0);
    expect(out).toMatch(/^2 hearts, means; error: predicted - reference/m);
    expect(out).toMatch(/^LV ejection fraction \(%\) +58\.3 +66\.7 +\+8\.3 \[-14\.8, \+31\.4\] +8\.3 +- +2$/m);
    const { hearts } = JSON.parse(readFileSync(at('heart-scores', 'evaluation.json'), 'utf8'));
    expect(hearts.hearts[1]).toMatchObject({ patient: 'p2', endDiastole: 'p2_frame01', endSystole: 'p2_frame04' });
    expect(readFileSync(at('heart-scores', 'report.html'), 'utf8')).toContain('Function of the heart');

    const refused = async (...more: string[]) => {
      const { code: exit, err: said } = await shell('evaluate', '-r', r, '-p', p, '--heart', ...more);
      return [exit, said];
    };
    expect(await refused('--heart-labels', '1,2,4')).toEqual([2, expect.stringContaining('The left ventricle (4)')]);
    expect(await refused('--heart-labels', '1,2')).toEqual([2, expect.stringContaining('three different values')]);
    writeFileSync(patients, JSON.stringify(list.map(({ ED_frame: _, ...each }) => each)));
    expect(await refused()).toEqual([2, expect.stringContaining('patients.json at 0.ED_frame')]);
    writeFileSync(patients, JSON.stringify(list.map((each) => ({ ...each, ES_frame: 7 }))));
    expect(await refused()).toEqual([2, expect.stringContaining('no patient with both frames')]);
    rmSync(patients);
    expect(await refused()).toEqual([2, expect.stringContaining('there is none; add it')]);
  });

  test('another grid is brought onto the reference’s only when asked', async () => {
    const r = write('grid-r', { a: '.11.' });
    const p = write('grid-p', { a: row('..1111..', { spacing: [1, 3, 4], origin: [-0.5, 0, 0] }) });
    const { code, err } = await shell('evaluate', '-r', r, '-p', p);
    expect(code).toBe(2);
    expect(err).toBe(
      'error: a: the prediction has 1x1x8 voxels (z, y, x) and the reference 1x1x4; they can be compared on one grid only, so predict on the reference’s grid, or let --resample bring it there.\n',
    );
    const { out } = await shell('evaluate', '-r', r, '-p', p, '--resample', '--json');
    expect((JSON.parse(out) as Evaluation).cases[0].labels[0].scores.dice).toBe(1);
  });
});

describe('bad input is refused in a sentence, with exit code 2 and nothing written', () => {
  beforeAll(() => {
    write('bad-r', { a: '11', b: '11' });
    write('one-p', { a: '11' });
    write('more-p', { a: '11', b: '11', z: '11' });
    write('declared-r', { a: '12' });
    writeFileSync(at('declared-r', 'dataset.json'), description({ background: 0, liver: 1, spleen: 2 }));
    write('declared-p', { a: '17' });
    write('half-p', { a: row('..', { data: Float32Array.of(0, 0.5) }), b: '11' });
    write('nothing-r', { a: '..' });
    write('nothing-p', { a: '..' });
    writeFileSync(at('unknown.json'), JSON.stringify([{ train: ['a'], val: ['q'] }]));
    const fold = { train: ['a'], val: ['b'] };
    writeFileSync(at('folds.json'), JSON.stringify([fold, { train: ['b'], val: ['a'] }]));
    writeFileSync(at('both.json'), JSON.stringify([{ train: ['a', 'b'], val: ['b'] }]));
  });

  test.each([
    [
      'a missing prediction',
      'bad-r',
      'one-p',
      [],
      'has no prediction for 1 of 2 cases (b); predict them, or name the fold',
    ],
    ['an extra prediction', 'bad-r', 'more-p', [], 'has 1 prediction without a reference in'],
    [
      'an undeclared label',
      'declared-r',
      'declared-p',
      [],
      'holds the value 7 in 1 voxel, which dataset.json does not declare (0, 1, 2)',
    ],
    ['probabilities in place of labels', 'bad-r', 'half-p', [], 'is no label map: 0.5 at voxel 1 is no integer'],
    ['only background', 'nothing-r', 'nothing-p', [], 'No label map holds anything but background'],
    [
      'an unknown name of a label',
      'declared-r',
      'one-p',
      ['-l', 'live'],
      'There is no label "live"; dataset.json names background, liver, spleen;',
    ],
    ['a label twice', 'declared-r', 'one-p', ['-l', '1', 'x=1'], 'The label x (1) would be scored twice'],
    ['the background', 'declared-r', 'one-p', ['-l', '0'], 'holds 0, the background'],
    [
      'a split of unknown cases',
      'bad-r',
      'one-p',
      ['--fold', '0', '--split', 'unknown.json'],
      'names the case q, which',
    ],
    [
      'a case on both sides',
      'bad-r',
      'one-p',
      ['--fold', '0', '--split', 'both.json'],
      'names the case b in "train" and in "val"',
    ],
    ['several folds and none named', 'bad-r', 'one-p', ['--split', 'folds.json'], 'say which one with --fold'],
    ['an unknown convention', 'bad-r', 'one-p', ['--convention', 'mine'], 'medpy, nnunet, unetrpp, monai, deepmind'],
    ['an unknown metric', 'bad-r', 'one-p', ['--metrics', 'dice,hd99'], 'There is no metric hd99'],
    ['a negative tolerance', 'bad-r', 'one-p', ['--tolerance', '-1'], 'a number from 0 up'],
    ['no such folder', 'bad-r', 'no-p', [], 'There is no prediction'],
  ])('%s', async (_, r, p, more, sentence) => {
    const words = more.map((word) => (word.endsWith('.json') ? at(word) : word));
    const { code, err, out } = await shell('evaluate', '-r', at(r), '-p', at(p), '-o', at('nowhere'), ...words);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(sentence);
    expect(err.trim().split('\n')).toHaveLength(1);
    expect(existsSync(at('nowhere'))).toBe(false);
  });
});

describe('unetrpp compare-predictions', () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  const set = (mask: (index: number) => string) => Object.fromEntries(names.map((name, index) => [name, mask(index)]));

  test('six cases that are all better: p = 2 / 64, and a sentence', async () => {
    const r = write(
      'cmp-r',
      set(() => '1111111111'),
    );
    const a = write(
      'old',
      set((index) => '1'.repeat(index + 2).padEnd(10, '.')),
    );
    const b = write(
      'new',
      set(() => '111111111.'),
    );
    const { code, out } = await shell('compare-predictions', a, b, '-r', r);
    expect(code).toBe(0);
    expect(out).toMatch(
      /new is better than old in Dice by 0\.\d{4} on average \(6 cases, 95 % interval .* p = 0\.031,/,
    );
    expect(out).toMatch(/old: Empty masks \(--empty penalize\): none\./);
    const json = JSON.parse((await shell('compare-predictions', a, b, '-r', r, '--json', '--metric', 'hd95')).out);
    expect(json).toMatchObject({ metric: 'hd95', convention: 'medpy', unit: 'mm', empty: 'penalize' });
    expect(json.overall).toMatchObject({ pairs: 6, p: 2 / 64, effect: -1 });
    expect(json.labels[0]).toMatchObject({ name: 'label 1', adjustedP: 2 / 64 });
  });

  test('a case that one of them lacks is an error', async () => {
    const r = write('cmp-r', {});
    const { code, err } = await shell(
      'compare-predictions',
      write('old', {}),
      write('few', { a: '1111111111' }),
      '-r',
      r,
    );
    expect(code).toBe(2);
    expect(err).toContain('few has no prediction for 5 of 6 cases (b, c, d and 2 more)');
  });
});

describe('unetrpp measure', () => {
  test('volumes, pieces and diameters of each label, named by dataset.json beside it', async () => {
    const r = write('measured', { a: '11.2', b: '1..2' });
    writeFileSync(join(r, 'dataset.json'), description({ background: 0, liver: 1, tumor: 2, cyst: 3 }));
    const { code, out } = await shell('measure', join(r, 'a.nii.gz'), '--compare', join(r, 'b.nii.gz'));
    expect(code).toBe(0);
    // Two voxels of 24 mm3; in the slice 4 mm by 3 mm.
    expect(out).toMatch(/1 liver +0\.05 mL +1 piece +5\.0 x 4\.8 mm/);
    expect(out).toMatch(/3 cyst +0\.00 mL +0 pieces +-/);
    expect(out).toMatch(/liver +0\.02 -> 0\.05 mL +\+0\.02 mL +\+100\.0 %/);
    const { labels, changes } = JSON.parse(
      (await shell('measure', join(r, 'a.nii.gz'), '--compare', join(r, 'b.nii.gz'), '--json')).out,
    );
    expect(labels[0]).toMatchObject({ name: 'liver', voxels: 2, lesions: 1, longest: { longMm: 5 } });
    expect(changes[0].changePercent).toBeCloseTo(100, 9);
  });

  test('a heart of two frames', async () => {
    const r = write('heart', { ed: '1233', es: '123.' });
    const frames = [join(r, 'ed.nii.gz'), join(r, 'es.nii.gz')];
    const { code, out } = await shell('measure', '--heart', ...frames, '--heart-rate', '70', '--body-surface', '1.9');
    expect(code).toBe(0);
    expect(out).toMatch(/left ventricle +0\.0 mL +0\.0 mL +0\.0 mL +50\.0 %/);
    expect(out).toMatch(/cardiac output: 0\.00 L\/min\nby body surface: /);
    const { heart } = JSON.parse((await shell('measure', '--heart', ...frames, '--json')).out);
    expect(heart.leftVentricle).toMatchObject({ edvMl: 0.048, esvMl: 0.024 });
    expect(heart.myocardialMassG).toBeCloseTo(0.024 * 1.05, 12);
  });

  test.each([
    [[], 'Name a label map, or a pair of frames'],
    [['--heart', 'heart/ed.nii.gz'], '--heart takes two label maps, ED and ES, and was given 1 file'],
    [['--heart', 'heart/es.nii.gz', 'heart/ed.nii.gz'], 'give ED first, then ES'],
    [['--heart', 'heart/ed.nii.gz', 'measured/a.nii.gz'], 'has no voxel of the left ventricle (3); say which'],
    [['--compare', 'measured/a.nii.gz'], 'measure LATER --compare EARLIER'],
    [['measured/none.nii.gz'], 'There is no file'],
  ])('%j is refused', async (words, sentence) => {
    const { code, err } = await shell('measure', ...words.map((word) => (word.includes('/') ? at(word) : word)));
    expect(code).toBe(2);
    expect(err).toContain(sentence);
  });
});
