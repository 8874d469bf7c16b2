/**
 * `unetrpp import`: a PyTorch checkpoint to a model bundle, without Python and without executing anything in it.
 */
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { InputError } from '../errors.ts';
import { importCheckpoint } from '../predict/index.ts';
import { readBytes } from '../volume/files.node.ts';
import { manifestFile, packBundle, weightsFile } from '../weights/index.ts';
import { prepareOutputFolder, writeTogether } from '../wholeFiles.node.ts';
import { parsePatch } from './options.ts';
import { example, printJson, type Register } from './terminal.ts';

interface Options {
  readonly output: string;
  readonly plans?: string;
  readonly patch?: readonly number[];
  readonly labels?: string;
  readonly name?: string;
  readonly description?: string;
  readonly data?: string;
  readonly license?: string;
  readonly attribution?: string;
  readonly half?: boolean;
  readonly tensorsOnly?: boolean;
  readonly json?: boolean;
}

/** The sidecar that the authors' trainer writes beside a checkpoint, or the plan of its folder. */
function plansBeside(checkpoint: string): string | undefined {
  return [`${checkpoint}.pkl`, join(dirname(checkpoint), 'plans.pkl')].find(existsSync);
}

export const registerImport: Register = (program, terminal) => {
  const command = program
    .command('import')
    .description('Make a model bundle of a PyTorch checkpoint of UNETR++. Nothing in the file is executed.')
    .argument('<checkpoint>', 'model_final_checkpoint.model, .pt or .pth')
    .requiredOption('-o, --output <folder>', 'folder of the new bundle')
    .option('--plans <file>', 'its .model.pkl or plans.pkl (default: the one beside the checkpoint)')
    .option('--patch <size>', 'input size of the network, such as 64x128x128, where shapes do not say it', parsePatch)
    .option('--labels <names>', 'names of the outputs, background first, with commas between them')
    .option('--name <name>', 'name of the model')
    .option('--description <text>', 'what the model does, for a person')
    .option('--data <text>', 'on what data it was trained')
    .option('--license <text>', 'license of the weights')
    .option('--attribution <text>', 'whom to name')
    .option('--half', 'store the weights as 16-bit floats: half the size')
    .option('--tensors-only', 'skip classes that the file names and that are not allowed')
    .option('--json', 'print the result as JSON')
    .action(async (checkpoint: string, options: Options) => {
      const plans = options.plans ?? plansBeside(checkpoint);
      const imported = await importCheckpoint(await readBytes(checkpoint), {
        name: basename(checkpoint),
        plans: plans === undefined ? undefined : { bytes: await readBytes(plans), name: basename(plans) },
        patch: options.patch,
        labels: options.labels?.split(',').map((name) => name.trim()),
        description: options.description,
        provenance: { data: options.data, license: options.license, attribution: options.attribution },
        tensorsOnly: options.tensorsOnly,
      });
      if (existsSync(join(options.output, manifestFile))) {
        throw new InputError(
          `${options.output} holds a model bundle already; name another folder, or remove it first.`,
        );
      }
      const manifest = { ...imported.manifest, name: options.name ?? imported.manifest.name };
      const packed = await packBundle(manifest, imported.weights, options.half ? 'float16' : 'float32');
      const abandonFolder = await prepareOutputFolder(options.output);
      // The description comes last: a folder without it is no bundle, so an interrupt leaves nothing that looks whole.
      await writeTogether([
        { path: join(options.output, weightsFile), content: packed.weights },
        { path: join(options.output, manifestFile), content: packed.manifest },
      ]).finally(abandonFolder);

      const { settings, preset, notices } = imported;
      if (options.json) {
        printJson(terminal, { bundle: options.output, preset, settings, plans, notices });
        return;
      }
      terminal.out(
        `${options.output}: UNETR++ ${preset ? `(${preset})` : 'of its own sizes'}, ${settings.classes} outputs, `,
      );
      terminal.out(
        `${settings.inputChannels} channel(s), patch ${settings.patch.join('x')}, ${imported.weights.size} tensors, `,
      );
      terminal.out(`${(packed.weights.byteLength / 1e6).toFixed(1)} MB\n`);
      if (plans) terminal.out(`  plan: ${plans}\n`);
      for (const notice of notices) terminal.out(`  note: ${notice}\n`);
    });
  example(
    command,
    'unetrpp import model_final_checkpoint.model -o bundle',
    'unetrpp import weights.pt -o bundle --patch 32x64x64 --labels background,anterior,posterior',
  );
};
