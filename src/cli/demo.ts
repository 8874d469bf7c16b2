/**
 * `unetrpp demo`: the first look. Segments the example scan, or a scan of the user's, with the model that ships, and draws
 * a picture of the result.
 */
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { segmentOnce } from '../predict/index.ts';
import { openModel } from '../predict/model.node.ts';
import { encodeLabels, imageStem } from '../volume/files.node.ts';
import { encodePng, type Geometry, labelVolumes, threePlanes } from '../volume/index.ts';
import { prepareOutputFolder, writeTogether } from '../wholeFiles.node.ts';
import { progressBar } from './progress.ts';
import { findScans, readScan } from './scans.node.ts';
import { example, printJson, type Register } from './terminal.ts';

const shipped = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

const exampleScan = 'examples/hippocampus_099.nii.gz';
const exampleModel = 'models/hippocampus';

/** A caution when the scan cannot be what the shipped model was trained on: hippocampus crops of about 35 x 50 x 35 mm. */
function tooLarge({ shape, spacing }: Geometry): string | undefined {
  const extent = spacing.map((mm, axis) => Math.round(mm * shape[2 - axis]));
  if (extent.every((mm) => mm <= 120)) return undefined;
  return `The scan measures ${extent.join(' x ')} mm. The shipped model knows only crops of the hippocampus, about 35 x 50 x 35 mm: its mask means nothing here.`;
}

/** What the first labels look like in the picture (see `labelColor`). */
export const colorNames = ['orange', 'light blue', 'green', 'yellow', 'pink', 'blue', 'red', 'pale cyan'];

export const registerDemo: Register = (program, terminal) => {
  const command = program
    .command('demo')
    .description('Segment the example scan (or yours) with the model that ships, and draw a picture.')
    .argument(
      '[scan]',
      `a scan of yours; the model knows cropped MR of the hippocampus (default: ${basename(exampleScan)})`,
    )
    .option('-o, --output <folder>', 'folder for mask and picture', 'out')
    .option('-m, --model <folder>', `model bundle (default: ${exampleModel})`)
    .option('--json', 'print the results as JSON')
    .action(async (scan: string | undefined, options: { output: string; model?: string; json?: boolean }) => {
      // Loaded when it is needed: the runtime's library is large, and help should come at once.
      const { nodeEngine } = await import('../engine/node.ts');
      const start = Date.now();
      const path = scan ?? shipped(exampleScan);
      const model = await openModel(options.model ?? shipped(exampleModel));
      const [files] = findScans([path], model.settings.inputChannels);
      const { volume, header, notices } = await readScan(files);
      const abandonFolder = await prepareOutputFolder(options.output);
      terminal.err(`Segmenting ${basename(path)} with ${model.name} ...\n`);
      const bar = progressBar(terminal, basename(path));
      const result = await segmentOnce(nodeEngine, model, volume, { onProgress: bar.report, signal: terminal.signal })
        .catch(async (error) => {
          await abandonFolder();
          throw error;
        })
        .finally(bar.end);

      const stem = imageStem(path);
      const [mask, picture] = [join(options.output, `${stem}_mask.nii.gz`), join(options.output, `${stem}.png`)];
      await writeTogether([
        { path: mask, content: await encodeLabels(result.labels, '.nii.gz', header) },
        { path: picture, content: encodePng(threePlanes(volume, result.labels)) },
      ]).finally(abandonFolder);

      const strange = options.model === undefined && tooLarge(volume);
      const said = [...notices, ...result.notices, ...(strange ? [strange] : [])];
      const found = labelVolumes(result.labels);
      if (options.json) {
        printJson(terminal, { scan: path, model: model.name, mask, picture, labels: found, notices: said });
        return;
      }
      for (const notice of said) terminal.out(`note: ${notice}\n`);
      for (const { value, name, volumeMl } of found) {
        terminal.out(`  ${name.padEnd(24)}${volumeMl.toFixed(2).padStart(8)} mL  ${colorNames[value - 1] ?? ''}\n`);
      }
      if (found.every(({ voxels }) => voxels === 0)) {
        terminal.out(
          'The model found nothing in this scan: it knows cropped MR volumes of the hippocampus, about 35 x 50 x 35 mm.\n',
        );
      }
      terminal.out(`\nmask     ${resolve(mask)}\npicture  ${resolve(picture)}\n`);
      terminal.out(
        `${((Date.now() - start) / 1000).toFixed(1)} s, on this machine alone. Research use only, not a medical device.\n`,
      );
      terminal.out('\nNext:\n');
      terminal.out('  npm start -- YOUR_SCAN.nii.gz                                   your own scan\n');
      terminal.out('  npx unetrpp predict -m models/hippocampus -i FOLDER -o masks    a folder of scans\n');
      terminal.out(
        '  npx unetrpp import model_final_checkpoint.model -o bundle       a checkpoint of the UNETR++ authors\n',
      );
      terminal.out('  npx unetrpp --help                                              everything else\n');
    });
  example(command, 'unetrpp demo', 'unetrpp demo scan.nii.gz -o out');
};
