/**
 * The memory estimate against the measured peak, for the four published networks on the CPU.
 *
 * Each network runs in a process of its own: fresh weights, compile, three runs; the peak is the process's own largest
 * resident size. `npm run bench -- memory`.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { nodeEngine } from '../src/engine/node.ts';
import { type UnetrppPreset, unetrpp, unetrppPresets } from '../src/nets/index.ts';
import { initialize } from '../src/weights/initialization.ts';

const [preset] = process.argv.slice(2) as [UnetrppPreset | undefined];

if (preset) {
  // As prediction does it: the output at full resolution alone, and nobody keeps the weights.
  const program = unetrpp(unetrppPresets[preset], { outputs: 'first' });
  const estimate = nodeEngine.memoryEstimate(program, { device: 'cpu' });
  const executable = await nodeEngine.compile(program, initialize(program, 1), { device: 'cpu' });
  const { shape } = program.inputs[0];
  const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i));
  for (let i = 0; i < 3; i++) await executable.run(new Map([['image', { dtype: 'float32', shape, data }]]));
  await executable.dispose();
  // maxRSS is in kilobytes of 1024 bytes.
  process.stdout.write(JSON.stringify({ estimate, peak: process.resourceUsage().maxRSS * 1024 }));
} else {
  console.log('network   estimated    measured   estimate / measured');
  for (const name of Object.keys(unetrppPresets)) {
    const child = spawnSync(process.execPath, [...process.execArgv, fileURLToPath(import.meta.url), name], {
      encoding: 'utf8',
      // As the program itself is started, see cli/main.ts.
      env: { ...process.env, MALLOC_TRIM_THRESHOLD_: '131072' },
    });
    if (child.status !== 0) throw new Error(child.stderr);
    const { estimate, peak } = JSON.parse(child.stdout) as { estimate: number; peak: number };
    const mega = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`.padStart(10);
    console.log(`${name.padEnd(8)}${mega(estimate)}  ${mega(peak)}   ${(estimate / peak).toFixed(2)}`);
  }
}
