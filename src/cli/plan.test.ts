import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { shell } from '../../test/shell.ts';
import { randomStream, standardNormal } from '../dataset/index.ts';
import { identityDirection, writeNifti } from '../volume/index.ts';

const scratch = mkdtempSync(join(tmpdir(), 'unetrpp-plan-'));
const dataset = join(scratch, 'Dataset001_Drawn');
const planPath = join(dataset, 'plan.json');
afterAll(() => rmSync(scratch, { recursive: true }));

/** Eight scans of 16 x 18 x 19 voxels with one label. */
beforeAll(() => {
  for (const part of ['imagesTr', 'labelsTr']) mkdirSync(join(dataset, part), { recursive: true });
  const json = { channel_names: { 0: 'MRI' }, labels: { background: 0, spot: 1 }, file_ending: '.nii' };
  writeFileSync(join(dataset, 'dataset.json'), JSON.stringify(json));
  const shape = [16, 18, 19] as const;
  for (let index = 0; index < 8; index++) {
    const data = standardNormal(randomStream(index), 16 * 18 * 19);
    const labels = Uint8Array.from(data, (value, i) => (i % 19 > 5 && i % 19 < 13 && value > 0 ? 1 : 0));
    const grid = { shape, channels: 1, spacing: [1, 1, 1], origin: [0, 0, 0], direction: identityDirection } as const;
    const write = (path: string, values: Float32Array | Uint8Array) =>
      writeFileSync(join(dataset, path), writeNifti({ ...grid, data: values }, { gzip: false }));
    write(`imagesTr/scan_${index}_0000.nii`, data);
    write(`labelsTr/scan_${index}.nii`, labels);
  }
});

const readPlan = () => JSON.parse(readFileSync(planPath, 'utf8'));

/** Trains nothing: an option that is refused after the settings are complete. */
const settle = (...more: string[]) =>
  shell('train', '-d', dataset, '-f', '0', '-o', join(scratch, 'run'), '--max-memory', '1MB', ...more);

async function edited(change: (plan: ReturnType<typeof readPlan>) => void): Promise<string> {
  const path = join(scratch, 'edited.json');
  const plan = readPlan();
  change(plan);
  writeFileSync(path, JSON.stringify(plan));
  const { code, err } = await settle('--config', path);
  expect(code, err).toBe(2);
  expect(existsSync(join(scratch, 'run'))).toBe(false);
  return err.trimEnd().split('\n').at(-1)!.replace(path, 'edited.json');
}

describe('unetrpp plan', () => {
  test('writes plan.json into the data set, with a reason for each number when asked', async () => {
    const { code, out, err } = await shell('plan', '-d', dataset, '--explain');
    expect(code, err).toBe(0);
    expect(out).toContain('plan.json: planned from 8 cases');
    expect(out).toContain('patch         16x16x16, stem 1x1x1, batch 2');
    expect(out).toMatch(/network\.patch: \[16,16,16\]\n {4}the median case is 16x18x19/);
    expect(readPlan()).toMatchObject({
      format: 'unetrpp-training-plan',
      dataset: { name: 'Dataset001_Drawn' },
      network: { patch: [16, 16, 16], classes: 2 },
      plan: { orientation: 'LPS', inference: { mirrorAxes: [2] } },
    });
  });

  test('with a budget times steps here, and says what to expect', async () => {
    const output = join(scratch, 'budget.json');
    const { code, out, err } = await shell(
      ...['plan', '-d', dataset, '-o', output, '--budget', '90s', '--ram', '1GB', '--threads', '1', '--json'],
    );
    expect(code, err).toBe(0);
    const plan = JSON.parse(out);
    expect(plan).toMatchObject({ path: output, epochs: null, timeLimit: 90 });
    expect(plan.expected.secondsPerStep).toBeGreaterThan(0);
    expect(plan.expected.steps).toBe(Math.floor((90 * 0.85) / plan.expected.secondsPerStep));
    expect(plan.explanation.map(({ key }: { key: string }) => key)).toContain('timeLimit');
  });

  test('says so where no network fits into the memory', async () => {
    const { code, err } = await shell('plan', '-d', dataset, '-o', join(scratch, 'none.json'), '--ram', '1MB');
    expect(code).toBe(3);
    expect(err).toMatch(/^error: A step of the smallest network .* needs more than 1 MB; give a larger --ram\.$/m);
    expect(existsSync(join(scratch, 'none.json'))).toBe(false);
  });
});

describe('unetrpp train', () => {
  test('follows the plan.json of its data set', async () => {
    const { code, err } = await settle();
    expect(code).toBe(3);
    expect(err).toContain(`note: The plan is that of ${planPath}.`);
  });

  test('refuses a plan that was made for another data set', async () => {
    const other = join(scratch, 'Dataset002_Other');
    cpSync(dataset, other, { recursive: true });
    const scan = join(other, 'labelsTr', 'scan_0.nii');
    const bytes = readFileSync(scan);
    bytes[bytes.length - 1] ^= 1;
    writeFileSync(scan, bytes);
    const { code, err } = await shell('train', '-d', other, '-f', '0', '-o', join(scratch, 'run'));
    expect(code).toBe(2);
    expect(err).toMatch(
      /^error: .*plan\.json is a plan made for another data set \(Dataset001_Drawn\) .*, not for Dataset002_Other as it is; make one with unetrpp plan\.$/m,
    );
  });

  test('refuses an edited plan that is not legal, in a sentence', async () => {
    expect(
      await edited((plan) => {
        plan.network.patch = [16, 16, 20];
        plan.plan.patch = [16, 16, 20];
      }),
    ).toMatch(/^error: The patch 16x16x20 does not fit the network: each axis must be a multiple of 8x8x8/);
    expect(await edited((plan) => (plan.plan.patch = [16, 16, 24]))).toMatch(
      /^error: edited\.json: network\.patch is 16x16x16 and plan\.patch is 16x16x24; give both the same\.$/,
    );
    expect(await edited((plan) => (plan.network.classes = 5))).toMatch(/The settings say 5 classes, and .* has 2/);
    expect(await edited((plan) => (plan.batch = 0))).toMatch(/^error: edited\.json: batch: /);
    expect(await edited((plan) => (plan.shedule = plan.schedule))).toMatch(/^error: edited\.json: .*shedule/);
    expect(await edited((plan) => delete plan.optimizer)).toMatch(/^error: edited\.json: optimizer: /);
  });

  test('refuses a plan file that is no JSON', async () => {
    const kept = readFileSync(planPath);
    writeFileSync(planPath, '{');
    const { code, err } = await settle();
    writeFileSync(planPath, kept);
    expect(code).toBe(2);
    expect(err).toMatch(/plan\.json is no plan \(.*\); correct it, remove it, or make it anew with unetrpp plan\.$/m);
  });
});

describe('unetrpp preprocess', () => {
  test('prepares the cases of the plan once', async () => {
    const first = await shell('preprocess', '-d', dataset, '--workers', '1');
    expect(first.code, first.err).toBe(0);
    expect(first.out).toMatch(/preprocessed\/[0-9a-f]{12}: 8 cases prepared, 0 were there already\n$/);
    const again = await shell('preprocess', '-d', dataset, '--workers', '1', '--json');
    const { prepared, present, folder } = JSON.parse(again.out);
    expect([prepared.length, present.length]).toEqual([0, 8]);
    expect(readdirSync(folder)).toHaveLength(8);
  });

  test('refuses what is no plan', async () => {
    const path = join(scratch, 'batch.json');
    writeFileSync(path, JSON.stringify({ batch: 3 }));
    const { code, err } = await shell('preprocess', '-d', dataset, '--plan', path);
    expect(code).toBe(2);
    expect(err).toMatch(/batch\.json is no plan \("format": "unetrpp-training-plan"\); make one with unetrpp plan\.$/m);
  });
});
