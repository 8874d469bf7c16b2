/**
 * `unetrpp convert`: the original download of one of the paper's data sets into nnU-Net's layout, and nnU-Net's layout into
 * the Decathlon's and back.
 */
import { type Converted, convertLayout, convertOriginal } from '../dataset/converting.node.ts';
import { type RecipeName, recipes } from '../dataset/recipes.ts';
import { InputError } from '../errors.ts';
import { statusLine } from './progress.ts';
import { example, printJson, type Register, type Terminal } from './terminal.ts';

interface Options {
  readonly output: string;
  readonly partial?: boolean;
  readonly json?: boolean;
}

const recipeNames = Object.keys(recipes) as RecipeName[];

export const registerConvert: Register = (program, terminal) => {
  const command = program
    .command('convert <name> <folder>')
    .description(
      `Bring a data set into another layout. ${recipeNames.join(', ')}: the original download into nnU-Net v2's layout, with the ` +
        "published split. nnunet, decathlon: a data set of the Decathlon into nnU-Net v2's layout (a file for each channel), or the " +
        'other way. Images whose format stays are copied byte for byte; the same command goes on with a conversion that was stopped.',
    )
    .requiredOption('-o, --output <folder>', 'folder for the converted data set')
    .option('--partial', 'convert what is there, although the published split names more cases')
    .option('--json', 'print the result as JSON')
    .action((name: string, folder: string, options: Options) => convertCommand(name, folder, options, terminal));
  example(
    command,
    'unetrpp convert synapse Abdomen/RawData -o Dataset001_Synapse',
    'unetrpp convert acdc ACDC/database/training -o Dataset027_ACDC',
    'unetrpp convert nnunet Task04_Hippocampus -o Dataset004_Hippocampus',
  );
};

async function convertCommand(name: string, folder: string, options: Options, terminal: Terminal): Promise<void> {
  const { output, partial, json } = options;
  const line = statusLine(terminal);
  const conversion = {
    partial,
    signal: terminal.signal,
    onStep: (done: number, total: number) => line.show(`${done} of ${total} images and label maps`, done / total),
  };
  let converted: Converted;
  try {
    if (name === 'nnunet' || name === 'decathlon') {
      if (partial) throw new InputError('--partial is about the published split of a recipe; leave it out here.');
      converted = await convertLayout(name, folder, output, conversion);
    } else converted = await convertOriginal(recipeNamed(name), folder, output, conversion);
  } finally {
    line.end();
  }
  const { training, test, split, kept, written, notices } = converted;
  if (json) {
    printJson(terminal, { folder: output, training, test, split: split ?? null, written, kept, notices });
    return;
  }
  const tested = test.length > 0 ? `, ${test.length} to test with` : '';
  terminal.out(`${output}: ${training.length} labeled cases${tested}\n`);
  if (split)
    terminal.out(`Fold 0 trains on ${split.train.length} cases and is validated on ${split.validation.length}.\n`);
  if (kept > 0) terminal.out(`${kept} files were there already, ${written} were written.\n`);
  for (const notice of notices) terminal.err(`note: ${notice}\n`);
  if (name in recipes) {
    const { source } = recipes[name as RecipeName];
    terminal.out(`Terms of the data: ${source.licence}. Cite ${source.reference}.\n`);
  }
}

/** @throws InputError for a name that is none */
function recipeNamed(name: string): RecipeName {
  const found = recipeNames.find((each) => each === name);
  if (found) return found;
  throw new InputError(`There is no data set or layout ${name}; give ${recipeNames.join(', ')}, nnunet or decathlon.`);
}
