/**
 * `unetrpp plan`: what a training on a data set would be, as a file with a reason for every number that a person can edit;
 * with a budget, chosen by timing steps on this machine. `unetrpp train` follows it.
 */
import { join } from 'node:path';
import { datasetHash, openDataset } from '../dataset/folder.node.ts';
import type { DeviceName } from '../engine/engine.ts';
import { showDuration } from '../predict/index.ts';
import type { Expected } from '../train/budget.ts';
import type { Explanation } from '../train/planning.ts';
import type { TrainSettings } from '../train/settings.ts';
import { writeWhole } from '../wholeFiles.node.ts';
import { showBytes } from './machine.node.ts';
import { parseBytes, parseCount, parseDevice, parsePatch, parseSeconds } from './options.ts';
import { statusLine } from './progress.ts';
import { example, printJson, type Register, type Terminal } from './terminal.ts';

interface Options {
  readonly dataset: string;
  readonly output?: string;
  readonly budget?: number;
  readonly ram?: number;
  readonly patch?: readonly number[];
  readonly nnunet?: string;
  readonly device?: DeviceName;
  readonly threads?: number;
  readonly explain?: boolean;
  readonly json?: boolean;
}

export const registerPlan: Register = (program, terminal) => {
  const command = program
    .command('plan')
    .description('Plan a training for a data set: spacing, patch, network, schedule, each with its reason.')
    .requiredOption('-d, --dataset <folder>', 'data set: dataset.json, imagesTr, labelsTr')
    .option('-o, --output <file>', 'file of the plan (default: plan.json in the data set, which train follows)')
    .option(
      '--budget <duration>',
      'time that the training may take, such as 90m: times steps here and fits the plan',
      parseSeconds,
    )
    .option('--ram <size>', 'memory that a step may take, such as 8GB', parseBytes)
    .option('--patch <size>', 'input size of the network, such as 64x128x128 (default: planned)', parsePatch)
    .option('--nnunet <file>', "take spacing and normalization from nnU-Net's plans.json (v2) or plans.pkl (v1)")
    .option('--device <name>', 'cpu, cuda or webgpu (default: cuda where it is installed, else cpu)', parseDevice)
    .option('--threads <count>', 'threads of the network (default: all cores)', parseCount)
    .option('--explain', 'say why each number is what it is')
    .option('--json', 'print the plan as JSON')
    .action((options: Options) => planCommand(options, terminal));
  example(
    command,
    'unetrpp plan -d Dataset004_Hippocampus --explain',
    'unetrpp plan -d Dataset027_ACDC --budget 120m --ram 8GB',
    'unetrpp train -d Dataset027_ACDC -f 0 -o run',
  );
};

async function planCommand(options: Options, terminal: Terminal): Promise<void> {
  const { dataset: folder, budget: seconds, ram: memoryBytes, patch, device, threads } = options;
  const output = options.output ?? join(folder, 'plan.json');
  const { planDataset } = await import('../train/plan.node.ts');
  const { planFile } = await import('../train/planFile.ts');
  const dataset = await openDataset(folder);
  const line = statusLine(terminal);
  try {
    const planned = await planDataset(dataset, {
      fold: 'all',
      sha256: await datasetHash(dataset),
      patch,
      nnunet: options.nnunet,
      onCase: (done, total) => line.show(`measuring case ${done} of ${total}`, done / total),
      signal: terminal.signal,
    });
    let found: { settings: TrainSettings; explanation: readonly Explanation[]; expected?: Expected } = planned;
    if (seconds !== undefined || memoryBytes !== undefined) {
      const { planWithin } = await import('../train/budget.ts');
      const { nodeEngine } = await import('../engine/node.ts');
      found = await planWithin(
        nodeEngine,
        planned,
        { seconds, memoryBytes },
        {
          device,
          threads,
          now: () => performance.now(),
          onTrial: (text) => line.print(`timed: ${text}\n`),
          signal: terminal.signal,
        },
      );
    }
    line.end();
    const { settings, explanation, expected } = found;
    const text = planFile(settings, explanation, expected);
    await writeWhole(output, text);
    if (options.json) printJson(terminal, { path: output, ...JSON.parse(text) });
    else show(output, dataset.cases.length, settings, explanation, expected, options.explain ?? false, terminal);
  } finally {
    line.end();
  }
}

function show(
  output: string,
  cases: number,
  { network, plan, batch, batchesPerEpoch, epochs, optimizer, schedule }: TrainSettings,
  explanation: readonly Explanation[],
  expected: Expected | undefined,
  explains: boolean,
  terminal: Terminal,
): void {
  const row = (what: string, value: string) => terminal.out(`  ${what.padEnd(14)}${value}\n`);
  const mm = plan.spacing?.map((each) => Number(each.toFixed(4))).join(' x ');
  terminal.out(`${output}: planned from ${cases} cases\n`);
  row('spacing', `${mm} mm, orientation ${plan.orientation}`);
  row('patch', `${network.patch.join('x')}, stem ${network.stem.join('x')}, batch ${batch}`);
  row('network', `${network.dims.join(', ')} channels, ${network.featureSize} at full resolution`);
  const until = epochs === null ? 'epochs by the time limit' : `${epochs} epochs`;
  row(
    'training',
    `${until}, of ${batchesPerEpoch} batches; ${optimizer.kind}, rate ${schedule.kind} from ${schedule.rate}`,
  );
  if (expected) {
    const { secondsPerStep, examplesPerSecond, steps, peakMemoryBytes } = expected;
    const count = steps === null ? '' : `, about ${steps} steps in ${showDuration(steps * secondsPerStep)}`;
    row(
      'expected',
      `${examplesPerSecond.toFixed(1)} examples/s${count}, peak memory about ${showBytes(peakMemoryBytes)}`,
    );
  }
  if (!explains) return;
  terminal.out('\n');
  for (const { key, value, because } of explanation) {
    terminal.out(`${key}: ${JSON.stringify(value)}\n    ${because}\n`);
  }
}
