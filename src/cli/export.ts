/**
 * `unetrpp export`: a bundle as an ONNX file that runs in any ONNX Runtime.
 */
import { basename, dirname, join } from 'node:path';
import { InputError } from '../errors.ts';
import { unetrpp } from '../nets/index.ts';
import { encodeModel, layOutExternally } from '../onnx/index.ts';
import { openModel } from '../predict/model.node.ts';
import { emit, foldParameters, lower, noLowerings } from '../program/index.ts';
import { prepareOutputFolder, writeTogether } from '../wholeFiles.node.ts';
import { example, printJson, type Register } from './terminal.ts';

interface Options {
  readonly output: string;
  readonly external?: boolean;
  readonly allHeads?: boolean;
  readonly lowered?: boolean;
  readonly json?: boolean;
}

export const registerExport: Register = (program, terminal) => {
  const command = program
    .command('export')
    .description('Write the network of a model bundle as an ONNX file.')
    .argument('<bundle>', 'model bundle')
    .requiredOption('-o, --output <file>', 'the .onnx file')
    .option('--external', 'put the weights into a file of their own beside it, NAME.onnx.weights')
    .option('--all-heads', 'also the heads of deep supervision, out2 and out3')
    .option('--lowered', 'in the form that is fastest on the CPU, not the plain one')
    .option('--json', 'print the result as JSON')
    .action(async (bundle: string, options: Options) => {
      if (!options.output.endsWith('.onnx')) {
        throw new InputError(`${options.output} does not end in .onnx; name the file to write.`);
      }
      const model = await openModel(bundle);
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
    });
  example(command, 'unetrpp export models/hippocampus -o hippocampus.onnx');
};

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
