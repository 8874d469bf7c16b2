/**
 * `unetrpp export`: a bundle as an ONNX file that runs in any ONNX Runtime; or as another bundle, to give away: weights
 * as 16-bit floats, and what a person should know about it.
 */
import { existsSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { InputError } from '../errors.ts';
import { unetrpp } from '../nets/index.ts';
import { encodeModel, layOutExternally } from '../onnx/index.ts';
import type { Model } from '../predict/index.ts';
import { openModel } from '../predict/model.node.ts';
import { emit, foldParameters, lower, noLowerings } from '../program/index.ts';
import { manifestFile, packBundle, weightsFile } from '../weights/index.ts';
import { prepareOutputFolder, writeTogether } from '../wholeFiles.node.ts';
import { example, printJson, type Register, type Terminal } from './terminal.ts';

interface OnnxOptions {
  readonly external?: boolean;
  readonly allHeads?: boolean;
  readonly lowered?: boolean;
}

interface BundleOptions {
  readonly half?: boolean;
  readonly name?: string;
  readonly description?: string;
  readonly data?: string;
  readonly license?: string;
  readonly attribution?: string;
}

interface Options extends OnnxOptions, BundleOptions {
  readonly output: string;
  readonly json?: boolean;
}

/** Options that only one of the two has, as they are typed. */
const onnxOnly = { external: '--external', allHeads: '--all-heads', lowered: '--lowered' } as const;
const bundleOnly = {
  half: '--half',
  name: '--name',
  description: '--description',
  data: '--data',
  license: '--license',
  attribution: '--attribution',
} as const;

export const registerExport: Register = (program, terminal) => {
  const command = program
    .command('export')
    .description('Write a model bundle as an ONNX file, or as another bundle to give away.')
    .argument('<bundle>', 'model bundle')
    .requiredOption('-o, --output <path>', 'the .onnx file, or the folder of the new bundle')
    .option('--external', 'ONNX: put the weights into a file of their own beside it, NAME.onnx.weights')
    .option('--all-heads', 'ONNX: also the heads of deep supervision, out2 and out3')
    .option('--lowered', 'ONNX: in the form that is fastest on the CPU, not the plain one')
    .option('--half', 'bundle: store the weights as 16-bit floats, half the size')
    .option('--name <name>', 'bundle: name of the model')
    .option('--description <text>', 'bundle: what the model does, for a person')
    .option('--data <text>', 'bundle: on what data it was trained')
    .option('--license <text>', 'bundle: license of the weights')
    .option('--attribution <text>', 'bundle: whom to name')
    .option('--json', 'print the result as JSON')
    .action(async (bundle: string, options: Options) => {
      const onnx = options.output.endsWith('.onnx');
      checkOptions(options, onnx);
      const model = await openModel(bundle);
      await (onnx ? exportOnnx : exportBundle)(model, options, terminal);
    });
  example(
    command,
    'unetrpp export models/hippocampus -o hippocampus.onnx',
    'unetrpp export run/bundle -o my-model --half --name my-model --license "CC-BY-SA 4.0"',
  );
};

/** @throws InputError for an option that the other kind of output has */
function checkOptions({ output, ...options }: Options, onnx: boolean): void {
  if (!onnx && extname(output) !== '') {
    throw new InputError(`${output} does not end in .onnx; name the file to write, or a folder for a bundle.`);
  }
  const others: Partial<Record<keyof typeof options, string>> = onnx ? bundleOnly : onnxOnly;
  for (const [option, typed] of Object.entries(others)) {
    if (options[option as keyof typeof options] === undefined) continue;
    throw new InputError(
      onnx
        ? `${typed} is for a bundle and ${output} is an ONNX file; leave it out, or name a folder.`
        : `${typed} is for an ONNX file and ${output} does not end in .onnx; leave it out, or name such a file.`,
    );
  }
}

async function exportOnnx(model: Model, options: Options, terminal: Terminal): Promise<void> {
  const abandonFolder = await prepareOutputFolder(dirname(options.output));
  const network = unetrpp(model.settings, { outputs: options.allHeads ? 'all' : 'first' });
  const folded = foldParameters(lower(network, 'cpu', options.lowered ? {} : noLowerings), model.weights);
  const onnx = emit(folded.program, folded.weights, {
    model: model.name,
    labels: JSON.stringify([...model.labels]),
    plan: JSON.stringify(model.plan),
  });
  const beside = `${basename(options.output)}.weights`;
  const files = () => {
    if (!options.external) return [{ path: options.output, content: encodeModel(onnx) }];
    const layout = layOutExternally(onnx, beside);
    return [
      { path: join(dirname(options.output), beside), content: chunksOf(layout) },
      { path: options.output, content: encodeModel(onnx, layout.locations) },
    ];
  };
  await writeTogether(files()).finally(abandonFolder);
  const describe = ({ name, shape }: { name: string; shape: readonly number[] }) => ({ name, shape });
  const result = {
    file: options.output,
    opset: onnx.opset,
    nodes: onnx.nodes.length,
    inputs: onnx.inputs.map(describe),
    outputs: onnx.outputs.map(describe),
  };
  if (options.json) {
    printJson(terminal, result);
    return;
  }
  const list = (values: typeof result.inputs) => values.map(({ name, shape }) => `${name} [${shape}]`).join(', ');
  terminal.out(`${options.output}: opset ${onnx.opset}, ${onnx.nodes.length} nodes\n`);
  terminal.out(
    `  takes ${list(result.inputs)} (float32, normalized as the plan says)\n  gives ${list(result.outputs)} (logits)\n`,
  );
  if (options.external) terminal.out(`  weights: ${beside}, beside it\n`);
}

/** Weights in file order with zeros between them, so that each stands at its place. */
function* chunksOf({ order, locations }: ReturnType<typeof layOutExternally>): Generator<Uint8Array> {
  let written = 0;
  for (const { name, bytes } of order) {
    const { offset } = locations.get(name)!;
    if (offset > written) yield new Uint8Array(offset - written);
    yield bytes;
    written = offset + bytes.byteLength;
  }
}

/** What the bundle says about itself stays, but for what the options say anew. */
async function exportBundle({ manifest, weights }: Model, options: Options, terminal: Terminal): Promise<void> {
  const { output, half, name, description, data, license, attribution } = options;
  if (existsSync(join(output, manifestFile))) {
    throw new InputError(`${output} holds a model bundle already; name another folder, or remove it first.`);
  }
  const { format: _format, version: _version, weights: stored, ...kept } = manifest;
  const given = Object.entries({ data, license, attribution }).filter(([, text]) => text !== undefined);
  const dtype = half ? 'float16' : stored.dtype;
  const changed = {
    ...kept,
    name: name ?? kept.name,
    description: description ?? kept.description,
    provenance: { ...kept.provenance, ...Object.fromEntries(given) },
  };
  const packed = await packBundle(changed, weights, dtype);
  const abandonFolder = await prepareOutputFolder(output);
  // The description comes last: a folder without it is no bundle, so an interrupt leaves nothing that looks whole.
  await writeTogether([
    { path: join(output, weightsFile), content: packed.weights },
    { path: join(output, manifestFile), content: packed.manifest },
  ]).finally(abandonFolder);
  const bytes = packed.weights.byteLength;
  if (options.json) printJson(terminal, { bundle: output, name: changed.name, dtype, bytes });
  else {
    terminal.out(`${output}: ${changed.name}, ${weights.size} tensors as ${dtype}, ${(bytes / 1e6).toFixed(1)} MB\n`);
  }
}
