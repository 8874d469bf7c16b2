/**
 * `npm run bench [-- NAME]`: benchmarks print, they assert nothing. Ratios within one run mean something on any machine;
 * absolute times only on yours.
 */
const benchmarks: Record<string, () => Promise<unknown>> = {
  memory: () => import('./memory.ts'),
  forward: () => import('./forward.ts'),
  train: () => import('./train.ts'),
  import: () => import('./import.ts'),
  resampling: () => import('./resampling.ts'),
  scan: () => import('./scan.ts'),
  surfaces: () => import('./surfaces.ts'),
  hippocampus: () => import('./hippocampus.ts'),
  evaluation: () => import('./evaluation.ts'),
  report: () => import('./report.ts'),
};

const [name, ...rest] = process.argv.slice(2);
if (name !== undefined && !(name in benchmarks)) {
  console.error(`There is no benchmark ${name}; there are ${Object.keys(benchmarks).join(', ')}.`);
  process.exit(2);
}
process.argv.splice(2, process.argv.length, ...rest);
for (const each of name === undefined ? Object.keys(benchmarks) : [name]) {
  console.log(`\n${each}`);
  await benchmarks[each]();
}
