/**
 * Masks of validation cases by models that have not seen them, and what they score. Each mask is a unit of work; masks are
 * as the network decides them, without post-processing, which is chosen on them.
 */
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { DatasetDescription } from '../dataset/description.ts';
import type { CaseFiles } from '../dataset/folder.node.ts';
import type { Patients } from '../dataset/patients.ts';
import type { Engine } from '../engine/engine.ts';
import {
  dice,
  type EvaluatedCase,
  type Evaluation,
  type EvaluationSettings,
  evaluateCases,
  mean,
  scoreCase,
} from '../evaluate/index.ts';
import {
  type ComponentDecision,
  type ComponentScores,
  componentScores,
  decideComponents,
} from '../evaluate/postprocessing.ts';
import { createSegmenter, ensembleOf, type Model, type Segmenter } from '../predict/index.ts';
import { openModel } from '../predict/model.node.ts';
import { encodeLabels, readVolumeFile } from '../volume/files.node.ts';
import { type Connectivity, keepLargestComponent, stackChannels, type Volume } from '../volume/index.ts';
import { toSmallestIntegers } from '../volume/volume.ts';
import { type Manifest, manifestFile, parseManifest, weightsFile } from '../weights/index.ts';
import { prepareOutputFolder, writeWhole } from '../wholeFiles.node.ts';
import type { RunRequest } from './run.node.ts';
import { recordedUnit } from './units.node.ts';
import type { Unit } from './units.ts';

/** The cases of a fold, and who predicts them. */
export interface HeldOut {
  readonly fold: number;
  /** Folders of the bundles; of several the averaged probabilities decide. */
  readonly bundles: readonly string[];
  readonly cases: readonly CaseFiles[];
  /** Folder for their masks. */
  readonly masks: string;
  /** Folder for the records of the units. */
  readonly records: string;
}

export const maskOf = ({ masks }: HeldOut, { name }: CaseFiles): string => join(masks, `${name}.nii.gz`);

/** @throws InputError when there is none */
export function readManifest(bundle: string): Manifest {
  return parseManifest(new Uint8Array(readFileSync(join(bundle, manifestFile))), bundle);
}

/** One unit for each case. Networks are compiled when they are needed, one fold at a time. */
export function predictionUnits(
  engine: Engine,
  held: readonly HeldOut[],
  options: Pick<RunRequest, 'device' | 'threads'>,
): { readonly units: Unit[]; dispose(): Promise<void> } {
  let open: { readonly of: HeldOut; readonly segmenter: Segmenter } | undefined;
  const dispose = async () => {
    await open?.segmenter.dispose();
    open = undefined;
  };
  const segmenterOf = async (of: HeldOut): Promise<Segmenter> => {
    if (open?.of === of) return open.segmenter;
    await dispose();
    const models: Model[] = [];
    for (const bundle of of.bundles) models.push(await openModel(bundle));
    const [one] = models;
    const { device, threads } = options;
    const model =
      models.length === 1
        ? { ...one, plan: { ...one.plan, keepLargestComponents: undefined } }
        : ensembleOf(models, { keepLargestComponents: [] });
    open = { of, segmenter: await createSegmenter(engine, model, { device, threads }) };
    return open.segmenter;
  };
  const units = held.flatMap((of) =>
    of.cases.map((files): Unit => {
      const manifests = of.bundles.map((bundle) => join(bundle, manifestFile));
      const mask = maskOf(of, files);
      return recordedUnit({
        name: `predict ${files.name} of fold ${of.fold}`,
        inputs: [...of.bundles.map((bundle) => join(bundle, weightsFile)), ...manifests, ...files.images],
        // Of a manifest, network and plan count, and not where they come from.
        uncounted: manifests,
        settings: () =>
          of.bundles.map((bundle) => {
            const { network, plan } = readManifest(bundle);
            return { network, plan: { ...plan, keepLargestComponents: undefined } };
          }),
        outputs: [mask],
        record: join(of.records, `${files.name}.json`),
        async run(signal) {
          const segmenter = await segmenterOf(of);
          const images = await Promise.all(files.images.map((path) => readVolumeFile(path)));
          const named = images.map(({ volume }, index) => ({ volume, name: files.images[index] }));
          const { labels } = await segmenter.segment(stackChannels(named, files.name), { signal });
          const content = await encodeLabels(labels, '.nii.gz', images[0].header);
          await mkdir(dirname(mask), { recursive: true });
          await prepareOutputFolder(dirname(mask));
          await writeWhole(mask, content);
        },
      });
    }),
  );
  return { units, dispose };
}

/** A mask with its reference, and what to call it. */
interface Pair {
  readonly name: string;
  readonly patient: string | undefined;
  readonly reference: string;
  readonly mask: string;
}

function pairsOf(held: readonly HeldOut[], patients: Patients | undefined): Pair[] {
  const count = new Map<string, number>();
  for (const { name } of held.flatMap(({ cases }) => cases)) count.set(name, (count.get(name) ?? 0) + 1);
  // Splits that someone wrote may hold a case back more than once.
  return held
    .flatMap((of) =>
      of.cases.map((files) => ({
        name: count.get(files.name)! > 1 ? `${files.name}, fold ${of.fold}` : files.name,
        patient: patients?.get(files.name),
        reference: files.label,
        mask: maskOf(of, files),
      })),
    )
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function readLabels(path: string): Promise<Volume> {
  const { volume } = await readVolumeFile(path);
  return { ...volume, data: toSmallestIntegers(volume.data) };
}

export interface OutOfFold {
  readonly components: ComponentDecision;
  /** Of the masks after that post-processing. */
  readonly evaluation: Evaluation;
}

export interface ScoringWork {
  readonly connectivity: Connectivity;
  /** Whose scans the cases are, where that is known. */
  readonly patients?: Patients;
  readonly metrics?: EvaluationSettings['metrics'];
  readonly onCase?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Decides on the post-processing, then scores what it makes of the masks. Every pair is read twice, and one is in memory at a
 * time. Masks of regions, whose voxels belong to several, are left and scored as they are.
 */
export async function scoreOutOfFold(
  { labels, ignoreLabel, regionsClassOrder }: DatasetDescription,
  held: readonly HeldOut[],
  { connectivity, patients, metrics, onCase, signal }: ScoringWork,
): Promise<OutOfFold> {
  const pairs = pairsOf(held, patients);
  const region = regionsClassOrder !== undefined && { region: true };
  const foreground = labels.slice(1).map(({ name, values }) => ({ name, values, ...region }));
  const values = foreground.map((label) => label.values[0]);
  const looks = regionsClassOrder ? 1 : 2;
  const tell = (done: number) => {
    signal?.throwIfAborted();
    onCase?.(done, looks * pairs.length);
  };
  const scored: ComponentScores[] = [];
  for (const { reference, mask } of regionsClassOrder ? [] : pairs) {
    tell(scored.length);
    const [expected, predicted] = [await readLabels(reference), await readLabels(mask)];
    scored.push(componentScores(expected, predicted, values, { connectivity, ignoreLabel }));
  }
  const decided = regionsClassOrder ? undefined : decideComponents(scored, values);
  const settings: EvaluationSettings = { labels: foreground, ignoreLabel, metrics };
  const cases: EvaluatedCase[] = [];
  for (const { name, patient, reference, mask } of pairs) {
    tell(scored.length + cases.length);
    const [expected, predicted] = [await readLabels(reference), await readLabels(mask)];
    const kept = (decided?.keep ?? []).reduce<Volume['data']>(
      (data, set) => keepLargestComponent(data, predicted.shape, set, { connectivity }).data,
      predicted.data,
    );
    const scores = scoreCase(name, expected, { ...predicted, data: kept }, settings);
    cases.push({ ...scores, patient, referenceFile: reference, predictionFile: mask });
  }
  const evaluation = evaluateCases(cases, settings);
  return { components: decided ?? allKept(evaluation), evaluation };
}

/** No post-processing. */
function allKept({ cases, labels }: Evaluation): ComponentDecision {
  const before = labels.map((_, index) => {
    const values = cases.map((each) => dice(each.labels[index].overlap, 'nan')).filter((value) => !Number.isNaN(value));
    return values.length === 0 ? null : mean(values);
  });
  return { keep: [], steps: [], before, after: before };
}

/** Mean over labels of their means, of those that have one; null of none. */
export function foregroundDice(dice: ComponentDecision['before']): number | null {
  const defined = dice.filter((value) => value !== null);
  return defined.length === 0 ? null : mean(defined);
}
