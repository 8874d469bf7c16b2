/**
 * `unetrpp measure`: what a clinic reads off a mask. Volumes, lesions and their diameters; their change since an earlier
 * scan; function of the heart from a pair of frames.
 */
import { counted, InputError } from '../errors.ts';
import {
  type AxialDiameters,
  acdcLabels,
  type Burden,
  cardiacOutput,
  changeOf,
  type HeartFunction,
  type HeartLabels,
  heartFunction,
  lesionsOf,
  maskOf,
  type Response,
  recistResponse,
  sumOfDiameters,
} from '../evaluate/index.ts';
import { labelVolumes, reorient, type Volume } from '../volume/index.ts';
import { parseHeartLabels, parsePositive } from './options.ts';
import { datasetBeside, describeDataset, readLabelMap } from './scoring.node.ts';
import { textTable } from './table.ts';
import { example, printJson, type Register, type Terminal } from './terminal.ts';

interface Options {
  readonly compare?: string;
  readonly heart?: readonly string[];
  readonly heartLabels?: HeartLabels;
  readonly heartRate?: number;
  readonly bodySurface?: number;
  readonly dataset?: string;
  readonly json?: boolean;
}

/** Of one label; lengths in mm. */
interface Measured extends Burden {
  readonly value: number;
  readonly name: string;
  readonly voxels: number;
  readonly longest: AxialDiameters | undefined;
  readonly sumOfDiametersMm: number;
}

export const registerMeasure: Register = (program, terminal) => {
  const command = program
    .command('measure')
    .description('Measure a label map: volumes, lesions and diameters, their change, or the function of a heart.')
    .argument('[mask]', 'label map')
    .option('--compare <earlier>', 'label map of an earlier scan: changes of volume and diameters')
    .option('--heart <frames...>', 'two label maps: end of diastole (ED) and end of systole (ES)')
    .option('--heart-labels <values>', 'right ventricle, myocardium, left ventricle (default: 1,2,3)', parseHeartLabels)
    .option('--heart-rate <beats>', 'a minute: also the cardiac output', parsePositive)
    .option('--body-surface <m2>', 'also the volumes and the mass by m2 of body surface', parsePositive)
    .option('-d, --dataset <folder>', 'data set whose dataset.json names the labels (default: the one beside MASK)')
    .option('--json', 'print the result as JSON')
    .action((mask: string | undefined, options: Options) => measure(mask, options, terminal));
  example(
    command,
    'unetrpp measure tumor.nii.gz --compare tumor_in_march.nii.gz',
    'unetrpp measure --heart patient001_frame01.nii.gz patient001_frame12.nii.gz',
  );
};

async function measure(path: string | undefined, options: Options, terminal: Terminal): Promise<void> {
  const { heart, compare, json } = options;
  if (path === undefined && compare !== undefined) {
    throw new InputError(
      '--compare needs the later label map beside the earlier one: unetrpp measure LATER --compare EARLIER.',
    );
  }
  if (path === undefined && !heart) throw new InputError('Name a label map, or a pair of frames with --heart ED ES.');
  const mask = path === undefined ? undefined : await measureLabels(path, options);
  const earlier = compare === undefined ? undefined : await measureLabels(compare, options);
  const changes = mask && earlier && changesOf(mask, earlier);
  const pumped = heart && (await measureHeart(heart, options));
  if (json) {
    printJson(terminal, {
      mask: path,
      labels: mask,
      earlier: compare && { mask: compare, labels: earlier },
      changes,
      heart: pumped,
    });
    return;
  }
  if (mask) terminal.out(labelsText(path!, mask));
  if (changes) terminal.out(`\n${changesText(compare!, changes)}`);
  if (pumped) terminal.out(`${mask ? '\n' : ''}${heartText(pumped)}`);
}

/** By value; of what dataset.json names, also what the mask does not have. */
async function measureLabels(path: string, { dataset }: Options): Promise<Measured[]> {
  const volume = await readLabelMap(path);
  const labels = await labelNames(path, dataset);
  // Slices are axial when the first axis of the array runs from feet to head.
  const axial = reorient(volume, 'LPS');
  return labelVolumes({ ...volume, labels }).map(({ value, name, voxels, volumeMl }): Measured => {
    const lesions = lesionsOf(maskOf(axial, [value]), axial);
    return {
      value,
      name,
      voxels,
      volumeMl,
      lesions: lesions.length,
      largestMl: lesions.reduce((most, lesion) => Math.max(most, lesion.volumeMl), 0),
      longest: lesions[0]?.diameters,
      sumOfDiametersMm: sumOfDiameters(lesions),
    };
  });
}

async function labelNames(path: string, dataset: string | undefined): Promise<Map<number, string>> {
  const folder = dataset ?? datasetBeside(path);
  if (folder === undefined) return new Map();
  const { labels } = await describeDataset(folder);
  // Of a region there is no single value to measure.
  return new Map(labels.flatMap(({ name, values }) => (values.length === 1 ? [[values[0], name] as const] : [])));
}

interface LabelChange {
  readonly name: string;
  readonly earlierMl: number;
  readonly laterMl: number;
  readonly changeMl: number;
  readonly changePercent: number;
  readonly earlierDiametersMm: number;
  readonly laterDiametersMm: number;
  /** With the earlier scan as baseline, and no lesion known to be new; undefined where neither has a measurable lesion. */
  readonly response: Response | undefined;
}

function changesOf(later: readonly Measured[], earlier: readonly Measured[]): LabelChange[] {
  const values = [...new Set([...later, ...earlier].map(({ value }) => value))].sort((a, b) => a - b);
  return values.map((value): LabelChange => {
    const [now, then] = [later, earlier].map((labels) => labels.find((each) => each.value === value));
    const [laterMl, earlierMl] = [now?.volumeMl ?? 0, then?.volumeMl ?? 0];
    const [current, baseline] = [now?.sumOfDiametersMm ?? 0, then?.sumOfDiametersMm ?? 0];
    const { absolute, percent } = changeOf(earlierMl, laterMl);
    return {
      name: (now ?? then)!.name,
      earlierMl,
      laterMl,
      changeMl: absolute,
      changePercent: percent,
      earlierDiametersMm: baseline,
      laterDiametersMm: current,
      response: baseline > 0 ? recistResponse({ baseline, nadir: baseline, current }) : undefined,
    };
  });
}

interface Heart extends HeartFunction {
  readonly cardiacOutputLPerMin?: number;
  readonly byBodySurface?: Readonly<Record<string, number>>;
}

async function measureHeart(frames: readonly string[], options: Options): Promise<Heart> {
  const [diastole, systole, ...more] = frames;
  if (systole === undefined || more.length > 0) {
    throw new InputError(`--heart takes two label maps, ED and ES, and was given ${counted(frames.length, 'file')}.`);
  }
  const { heartLabels = acdcLabels, heartRate, bodySurface } = options;
  const [ed, es] = [await readLabelMap(diastole), await readLabelMap(systole)];
  requireHeart(ed, diastole, heartLabels);
  requireHeart(es, systole, heartLabels);
  const found = heartFunction(ed, es, heartLabels);
  const { leftVentricle: left, rightVentricle: right } = found;
  if (left.edvMl < left.esvMl) {
    throw new InputError(
      `The left ventricle holds ${left.edvMl.toFixed(1)} mL in ${diastole} and ${left.esvMl.toFixed(1)} mL in ${systole}, more at the end of systole; give ED first, then ES.`,
    );
  }
  return {
    ...found,
    ...(heartRate !== undefined && { cardiacOutputLPerMin: cardiacOutput(left, heartRate) }),
    ...(bodySurface !== undefined && {
      byBodySurface: {
        leftEdvMlPerM2: left.edvMl / bodySurface,
        leftEsvMlPerM2: left.esvMl / bodySurface,
        rightEdvMlPerM2: right.edvMl / bodySurface,
        rightEsvMlPerM2: right.esvMl / bodySurface,
        myocardialMassGPerM2: found.myocardialMassG / bodySurface,
      },
    }),
  };
}

function requireHeart({ data }: Volume, path: string, labels: HeartLabels): void {
  const values: readonly (readonly [string, number])[] = [
    ['right ventricle', labels.rightVentricle],
    ['myocardium', labels.myocardium],
    ['left ventricle', labels.leftVentricle],
  ];
  for (const [name, value] of values) {
    if (!data.includes(value)) {
      throw new InputError(
        `${path} has no voxel of the ${name} (${value}); say which values it has with --heart-labels.`,
      );
    }
  }
}

function labelsText(path: string, labels: readonly Measured[]): string {
  if (labels.length === 0) return `${path}: nothing but background\n`;
  const rows = labels.map((each) => [
    `${each.value} ${each.name}`,
    `${each.volumeMl.toFixed(2)} mL`,
    counted(each.lesions, 'piece'),
    each.longest ? `${each.longest.longMm.toFixed(1)} x ${each.longest.shortMm.toFixed(1)} mm` : '-',
    `${each.sumOfDiametersMm.toFixed(1)} mm`,
  ]);
  const header = ['', 'volume', 'pieces', 'longest axial diameter x short axis', 'sum of diameters'];
  return `${path}\n${textTable([header, ...rows])}Sum of diameters: of the five longest pieces of at least 10 mm, by size alone.\n`;
}

function changesText(earlier: string, changes: readonly LabelChange[]): string {
  const signed = (value: number, digits: number) => `${value > 0 ? '+' : ''}${value.toFixed(digits)}`;
  const rows = changes.map((each) => [
    each.name,
    `${each.earlierMl.toFixed(2)} -> ${each.laterMl.toFixed(2)} mL`,
    `${signed(each.changeMl, 2)} mL`,
    Number.isNaN(each.changePercent) ? '-' : `${signed(each.changePercent, 1)} %`,
    `${each.earlierDiametersMm.toFixed(1)} -> ${each.laterDiametersMm.toFixed(1)} mm`,
    each.response ?? '-',
  ]);
  const header = ['', 'volume', 'change', '', 'sum of diameters', 'as RECIST'];
  return (
    `Since ${earlier}\n${textTable([header, ...rows])}` +
    'As RECIST: the thresholds of RECIST 1.1 on sums of diameters, the earlier scan as baseline; a mask does not know new lesions or lymph nodes, and this is no reading.\n'
  );
}

function heartText(heart: Heart): string {
  const rows = (
    [
      ['left ventricle', heart.leftVentricle],
      ['right ventricle', heart.rightVentricle],
    ] as const
  ).map(([name, { edvMl, esvMl, strokeVolumeMl, ejectionFractionPercent }]) => [
    name,
    ...[edvMl, esvMl, strokeVolumeMl].map((value) => `${value.toFixed(1)} mL`),
    `${ejectionFractionPercent.toFixed(1)} %`,
  ]);
  const lines = [
    textTable([['', 'EDV', 'ESV', 'stroke volume', 'ejection fraction'], ...rows]).trimEnd(),
    `myocardium at ED: ${heart.myocardialVolumeMl.toFixed(1)} mL, ${heart.myocardialMassG.toFixed(1)} g (1.05 g/mL)`,
  ];
  if (heart.cardiacOutputLPerMin !== undefined) {
    lines.push(`cardiac output: ${heart.cardiacOutputLPerMin.toFixed(2)} L/min`);
  }
  if (heart.byBodySurface) {
    const { leftEdvMlPerM2, leftEsvMlPerM2, rightEdvMlPerM2, rightEsvMlPerM2, myocardialMassGPerM2 } =
      heart.byBodySurface;
    lines.push(
      `by body surface: left EDV ${leftEdvMlPerM2.toFixed(1)}, ESV ${leftEsvMlPerM2.toFixed(1)}, right EDV ${rightEdvMlPerM2.toFixed(1)}, ESV ${rightEsvMlPerM2.toFixed(1)} mL/m2; mass ${myocardialMassGPerM2.toFixed(1)} g/m2`,
    );
  }
  return `${lines.join('\n')}\n`;
}
