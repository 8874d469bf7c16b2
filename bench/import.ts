/**
 * Import of a checkpoint of the Synapse network's size, 43 million parameters in 468 tensors, drawn here as PyTorch writes
 * it: read, checked and recognized; and packed as a bundle. The smallest of three rounds.
 */
import { unetrpp, unetrppPresets } from '../src/nets/index.ts';
import { importCheckpoint } from '../src/predict/index.ts';
import { parameterCount } from '../src/program/index.ts';
import { packBundle } from '../src/weights/index.ts';
import { initialize } from '../src/weights/initialization.ts';
import { drawCheckpoint } from '../test/drawnCheckpoint.ts';

const network = unetrpp(unetrppPresets.synapse);
const checkpoint = drawCheckpoint(initialize(network, 1), network.aliases);
const parameters = parameterCount(network);
console.log(`${(parameters / 1e6).toFixed(2)} M parameters, ${(checkpoint.length / 1e6).toFixed(0)} MB`);

const best = { import: Infinity, pack: Infinity };
for (let round = 0; round < 3; round++) {
  const start = performance.now();
  const imported = await importCheckpoint(checkpoint, { name: 'drawn.model' });
  const read = performance.now();
  await packBundle(imported.manifest, imported.weights, 'float32');
  best.import = Math.min(best.import, read - start);
  best.pack = Math.min(best.pack, performance.now() - read);
}
console.log(`read, checked, recognized: ${(best.import / 1000).toFixed(2)} s`);
console.log(`packed as a bundle, hashed: ${(best.pack / 1000).toFixed(2)} s`);
