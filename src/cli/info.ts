/**
 * `unetrpp info`: what a file or folder is and what is in it; or what a published network is made of and costs.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { InputError } from '../errors.ts';
import { costKind, costStage, unetrpp, unetrppPresets } from '../nets/index.ts';
import { ensembleFile } from '../predict/ensemble.ts';
import { openModel, readEnsembleFile } from '../predict/model.node.ts';
import { costBy, parameterCount } from '../program/index.ts';
import { type Tensor, toFloat32 } from '../tensor.ts';
import { readBytes, readVolumeFile } from '../volume/files.node.ts';
import { imageEnding, labelVolumes, orientationOf, storedTypeOf } from '../volume/index.ts';
import { type CheckpointTensor, manifestFile, readCheckpoint, readSafetensors } from '../weights/index.ts';
import { example, printJson, type Register, type Terminal } from './terminal.ts';

interface Options {
  readonly network?: string;
  readonly cost?: boolean;
  readonly tensorsOnly?: boolean;
  readonly json?: boolean;
}

export const registerInfo: Register = (program, terminal) => {
  const command = program
    .command('info')
    .description('Say what a bundle, a checkpoint, an image, a DICOM folder or a network is.')
    .argument('[path]', 'bundle, ensemble, checkpoint, .safetensors, image or DICOM folder')
    .option('-n, --network <name>', `a published network: ${Object.keys(unetrppPresets).join(', ')}`)
    .option('--cost', 'with a network or a bundle: multiply-adds by stage and kind')
    .option('--tensors-only', 'with a checkpoint: skip classes that it names and that are not allowed')
    .option('--json', 'print as JSON')
    .action(async (path: string | undefined, options: Options) => {
      if ((path === undefined) === (options.network === undefined)) {
        throw new InputError('Give either a path or --network with the name of a published network.');
      }
      const shown = path === undefined ? networkInfo(options.network!, options) : await pathInfo(path, options);
      if (options.json) printJson(terminal, shown.json);
      else shown.print(terminal);
    });
  example(command, 'unetrpp info models/hippocampus', 'unetrpp info -n synapse --cost');
};

/** The same facts twice: as data, and as lines for a person. */
interface Shown {
  readonly json: unknown;
  print(terminal: Terminal): void;
}

type Network = Parameters<typeof unetrpp>[0];

function networkInfo(name: string, options: Options): Shown {
  if (!(name in unetrppPresets)) {
    throw new InputError(`There is no network '${name}'; there are ${Object.keys(unetrppPresets).join(', ')}.`);
  }
  return settingsInfo(name, unetrppPresets[name as keyof typeof unetrppPresets], options);
}

function settingsInfo(name: string, settings: Network, options: Options): Shown {
  const program = unetrpp(settings);
  const parameters = parameterCount(program);
  const stages = costBy(program, (cost) => `${costStage(cost)}|${costKind(cost)}`);
  const kinds = costBy(program, costKind);
  const total = [...kinds.values()].reduce((so, value) => so + value, 0);
  const byStage: Record<string, Record<string, number>> = {};
  for (const [key, value] of stages) {
    const [stage, kind] = key.split('|');
    byStage[stage] = { ...byStage[stage], [kind]: value };
  }
  return {
    json: {
      network: name,
      settings,
      parameters,
      multiplyAdds: total,
      ...(options.cost && { byKind: Object.fromEntries(kinds), byStage }),
    },
    print(terminal) {
      terminal.out(
        `UNETR++ ${name}: ${parameters.toLocaleString('en-US')} parameters, ${giga(total)} G multiply-adds a patch\n`,
      );
      for (const [key, value] of Object.entries(settings)) {
        terminal.out(`  ${key.padEnd(20)}${Array.isArray(value) ? value.join(', ') : value}\n`);
      }
      if (!options.cost) return;
      const columns = [...kinds.keys()];
      const widths = [...columns, 'total'].map((column) => Math.max(column.length, 9) + 2);
      const line = (head: string, cells: string[]) =>
        terminal.out(`${head.padEnd(26)}${cells.map((cell, i) => cell.padStart(widths[i])).join('')}\n`);
      terminal.out('\nG multiply-adds, batch 1\n');
      line('', [...columns, 'total']);
      for (const [stage, costs] of Object.entries(byStage)) {
        const sum = Object.values(costs).reduce((so, value) => so + value, 0);
        line(stage, [...columns.map((kind) => (costs[kind] ? giga(costs[kind]) : '-')), giga(sum)]);
      }
      line('total', [...columns.map((kind) => giga(kinds.get(kind)!)), giga(total)]);
    },
  };
}

const giga = (count: number) => (count / 1e9).toFixed(4);

async function pathInfo(path: string, options: Options): Promise<Shown> {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) throw new InputError(`There is no file or folder ${path}; check the path.`);
  if (stats.isDirectory()) {
    if (existsSync(join(path, manifestFile))) return bundleInfo(path, options);
    if (existsSync(join(path, ensembleFile))) return ensembleInfo(path);
    if (readdirSync(path).length === 0) throw new InputError(`${path} is an empty folder.`);
    return dicomInfo(path);
  }
  if (imageEnding(path)) return imageInfo(path);
  const bytes = await readBytes(path);
  if (path.endsWith('.safetensors')) {
    const { tensors, metadata } = readSafetensors(bytes, basename(path));
    return tensorsInfo(
      `safetensors, ${tensors.size} tensors`,
      { metadata },
      [...tensors].map(([name, tensor]) => describe(name, tensor)),
    );
  }
  const checkpoint = readCheckpoint(bytes, { name: basename(path), tensorsOnly: options.tensorsOnly });
  const { container, pickleProtocol, tensors } = checkpoint;
  const rows = tensors.map((tensor) => describe(tensor.path, tensor.read(), tensor));
  const what = `PyTorch checkpoint (${container}, pickle protocol ${pickleProtocol}), ${tensors.length} tensors`;
  return tensorsInfo(what, { container, pickleProtocol }, rows);
}

interface TensorRow {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sum: number;
  readonly first: number | undefined;
  readonly last: number | undefined;
  readonly aliasOf?: string;
}

function describe(name: string, tensor: Tensor, stored?: CheckpointTensor): TensorRow {
  const narrow = tensor.dtype === 'float16' || tensor.dtype === 'bfloat16';
  const data = narrow ? toFloat32(tensor).data : tensor.data;
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += Number(data[i]);
  const at = (index: number) => (data.length === 0 ? undefined : Number(data.at(index)));
  return { name, dtype: tensor.dtype, shape: tensor.shape, sum, first: at(0), last: at(-1), aliasOf: stored?.aliasOf };
}

function tensorsInfo(what: string, facts: object, tensors: readonly TensorRow[]): Shown {
  return {
    json: { ...facts, tensors },
    print(terminal) {
      terminal.out(`${what}\n`);
      for (const { name, dtype, shape, sum, first, last, aliasOf } of tensors) {
        const values = aliasOf
          ? `same storage as ${aliasOf}`
          : `sum ${short(sum)}  first ${short(first)}  last ${short(last)}`;
        terminal.out(`  ${name.padEnd(64)} ${dtype} [${shape.join(', ')}]  ${values}\n`);
      }
    },
  };
}

const short = (value: number | undefined) => (value === undefined ? '-' : String(Number(value.toPrecision(7))));

async function bundleInfo(path: string, options: Options): Promise<Shown> {
  const model = await openModel(path);
  const network = settingsInfo(model.name, model.settings, options);
  const { manifest, plan } = model;
  return {
    json: { manifest, network: network.json },
    print(terminal) {
      terminal.out(`${path}: ${manifest.name}\n  ${manifest.description}\n`);
      for (const [key, value] of Object.entries(manifest.provenance)) {
        terminal.out(`  ${key}: ${typeof value === 'object' ? JSON.stringify(value) : value}\n`);
      }
      terminal.out(
        `  weights: ${manifest.weights.dtype}, ${(manifest.weights.bytes / 1e6).toFixed(1)} MB, SHA-256 ${manifest.weights.sha256}\n`,
      );
      terminal.out(`  labels: ${manifest.labels.map(({ value, name }) => `${value} ${name}`).join(', ')}\n`);
      const spacing = plan.spacing ? `${plan.spacing.join(' x ')} mm` : 'as stored';
      const channels = plan.channels.map(({ name, normalization }) => `${name} (${normalization})`).join(', ');
      terminal.out(
        `  channels: ${channels}\n  spacing: ${spacing}; orientation: ${plan.orientation ?? 'as stored'}\n\n`,
      );
      network.print(terminal);
    },
  };
}

async function ensembleInfo(path: string): Promise<Shown> {
  const { name, bundles, keepLargestComponents, about } = await readEnsembleFile(path);
  const kept = keepLargestComponents.map((set) => set.join(' and ')).join(', then of ');
  return {
    json: { ensemble: name, bundles, keepLargestComponents, about },
    print(terminal) {
      terminal.out(`${path}: an ensemble, ${name}\n`);
      for (const bundle of bundles) terminal.out(`  ${join(path, bundle)}\n`);
      terminal.out(`  keeps ${kept ? `the largest component of the labels ${kept}` : 'all components'}\n`);
      for (const [key, value] of Object.entries(about ?? {})) terminal.out(`  ${key}: ${JSON.stringify(value)}\n`);
    },
  };
}

async function imageInfo(path: string): Promise<Shown> {
  const { volume, format, header, notices } = await readVolumeFile(path);
  const { shape, channels, spacing, origin, direction, data } = volume;
  let [least, largest, sum] = [Infinity, -Infinity, 0];
  for (const value of data) {
    if (value < least) least = value;
    if (value > largest) largest = value;
    sum += value;
  }
  const sizeXyz = [...shape].reverse();
  const orientation = orientationOf(volume);
  const facts = {
    format,
    sizeXyz,
    channels,
    spacingMm: spacing,
    originLpsMm: origin,
    directionLps: direction,
    orientation,
    storedType: header?.storedType ?? storedTypeOf(data),
    minimum: least,
    maximum: largest,
    mean: sum / data.length,
    notices,
  };
  return {
    json: facts,
    print(terminal) {
      const rounded = (values: readonly number[]) => values.map((value) => Number(value.toFixed(6))).join(', ');
      terminal.out(`${path}: ${facts.format}, ${sizeXyz.join(' x ')} voxels (x, y, z)`);
      terminal.out(`${channels > 1 ? `, ${channels} channels` : ''}, stored as ${facts.storedType}\n`);
      terminal.out(`  spacing      ${rounded(spacing)} mm\n`);
      terminal.out(`  origin       ${rounded(origin)} mm (LPS)\n`);
      terminal.out(`  direction    ${rounded(direction)} (LPS, rows)\n`);
      terminal.out(`  orientation  ${orientation}\n`);
      terminal.out(`  values       ${short(least)} to ${short(largest)}, mean ${short(facts.mean)}\n`);
      for (const notice of notices) terminal.out(`  note: ${notice}\n`);
      if (data instanceof Float32Array || data instanceof Float64Array || largest > 255 || least < 0) return;
      const counts = labelVolumes({ ...volume, labels: new Map() });
      if (counts.length > 32) return;
      for (const { value, voxels, volumeMl } of counts) {
        terminal.out(`  value ${String(value).padStart(3)}    ${voxels} voxels, ${volumeMl.toFixed(3)} mL\n`);
      }
    },
  };
}

async function dicomInfo(folder: string): Promise<Shown> {
  const { readDicomFolder } = await import('./dicomFolder.node.ts');
  const { series, skipped } = await readDicomFolder(folder);
  return {
    json: { series, skipped },
    print(terminal) {
      terminal.out(`${folder}: ${series.length} DICOM series\n`);
      for (const one of series) {
        terminal.out(
          `  series ${one.number}: ${one.modality}, ${one.files} files, ${one.columns} x ${one.rows} x ${one.slices}`,
        );
        terminal.out(
          `${one.spacingMm ? `, ${one.spacingMm.map((mm) => Number(mm.toFixed(4))).join(' x ')} mm` : ''}, ${one.transferSyntax}\n`,
        );
        for (const note of one.notes) terminal.out(`    note: ${note}\n`);
      }
      for (const { file, reason } of skipped) terminal.out(`  skipped ${file}: ${reason}\n`);
    },
  };
}
