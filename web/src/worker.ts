/**
 * The worker: reads scans and models, runs and trains the network, writes masks, so that the page stays responsive. It holds the last
 * scan, model and labelled cases that it read. All that it knows of segmentation is the library's `segment`, and of training
 * `fineTune`.
 */
import { webEngine } from '../../src/engine/web.ts';
import {
  InputError,
  labelVolumes,
  loadModel,
  type Model,
  ResourceError,
  segment,
  voxelCount,
  writeNifti,
  writeNiftiLabels,
} from '../../src/index.ts';
import { networkMemory, scanMemory } from '../../src/predict/index.ts';
import { fineTune, fineTuneMemory, type TrainingCase, trainingCase } from '../../src/train/index.ts';
import { listDicomSeries } from '../../src/volume/formats/dicomSeries.ts';
import type { VolumeImage } from '../../src/volume/formats/image.ts';
import { stackChannels } from '../../src/volume/index.ts';
import { readImage } from '../../src/volume/read.ts';
import { rangeOf } from '../../src/volume/volume.ts';
import { packBundle } from '../../src/weights/index.ts';
import { imageFile } from './files.ts';
import {
  type FailureKind,
  type FromWorker,
  type GivenFile,
  type Kind,
  type Question,
  type Questions,
  type ToWorker,
  workerName,
} from './protocol.ts';

let scan: VolumeImage | undefined;
let model: Model | undefined;
/** Prepared for the model. */
let cases: readonly TrainingCase[] = [];

interface Turn {
  readonly signal: AbortSignal;
  report(progress: Extract<FromWorker, { progress: unknown }>['progress']): void;
}

type Answers = { [K in Kind]: (asked: Questions[K]['asks'], turn: Turn) => Promise<Questions[K]['answer']> };

const answers: Answers = {
  devices: () => webEngine.devices(),

  async series({ files }) {
    const { series } = await listDicomSeries(files.map(imageFile));
    return series.map(({ number, modality, columns, rows, slices, spacingMm }) => ({
      number,
      modality,
      size: [columns, rows, slices],
      spacing: spacingMm,
    }));
  },

  async scan({ images, series }) {
    const read = await readScan(images, series);
    scan = read;
    const { format, volume, header, notices } = read;
    const first = { ...volume, channels: 1, data: volume.data.subarray(0, voxelCount(volume)) };
    const [z, y, x] = volume.shape;
    return {
      // How the voxels are packed, said after a comma, is nothing to a reader of the page.
      format: format.split(',')[0],
      size: [x, y, z],
      spacing: volume.spacing,
      channels: volume.channels,
      range: rangeOf(first.data),
      notices,
      picture: ownBytes(writeNifti(first, { gzip: false, source: header })),
    };
  },

  async model({ manifest, weights, name }) {
    const bytes = async (blob: Blob) => new Uint8Array(await blob.arrayBuffer());
    model = await loadModel({ manifest: await bytes(manifest), weights: await bytes(weights) }, name);
    const { plan } = model;
    return {
      name: model.name,
      description: model.manifest.description ?? '',
      license: model.manifest.provenance.license,
      labels: [...model.labels].map(([value, label]) => ({ value, name: label })).filter(({ value }) => value !== 0),
      channels: plan.channels.map((channel) => ({ name: channel.name, isCt: channel.normalization === 'ct' })),
      step: plan.inference.step,
    };
  },

  async memory(options) {
    const given = both();
    return networkMemory(webEngine, given.model, options) + scanMemory(given.model, given.scan.volume);
  },

  async segment({ device, mirror, step }, { signal, report }) {
    const given = both();
    const start = performance.now();
    const options = { device, mirror, step, signal, onProgress: report };
    const { labels, notices } = await segment(given.model, given.scan.volume, options);
    const { header: source } = given.scan;
    return {
      volumes: labelVolumes(labels),
      notices,
      seconds: (performance.now() - start) / 1000,
      picture: ownBytes(writeNiftiLabels(labels, { gzip: false, source })),
      file: ownBytes(writeNiftiLabels(labels, { source })),
    };
  },

  async cases({ cases: given }) {
    const known = theModel();
    cases = [];
    const prepared: TrainingCase[] = [];
    const facts = [];
    for (const { name, images, labels: labelFile } of given) {
      const scan = await readScan(
        images.map((file) => [file]),
        undefined,
      );
      const { volume: labels, notices } = await readScan([[labelFile]], undefined);
      prepared.push(trainingCase(known, name, { image: scan.volume, labels }));
      const counts = new Map<number, number>();
      for (const value of labels.data) counts.set(value, (counts.get(value) ?? 0) + 1);
      const [z, y, x] = labels.shape;
      facts.push({
        name,
        size: [x, y, z] as const,
        labels: [...known.labels].slice(1).flatMap(([value, label]) => {
          const voxels = counts.get(value);
          return voxels ? [{ value, name: label, voxels }] : [];
        }),
        notices: [...scan.notices, ...notices],
      });
    }
    cases = prepared;
    return facts;
  },

  async trainingMemory(options) {
    return fineTuneMemory(webEngine, theModel(), options);
  },

  async fineTune(options, { signal, report }) {
    const before = theModel();
    const tuned = await fineTune(webEngine, before, cases, options, { onProgress: report, signal });
    // In the precision of what it began with: a bundle does not double by learning.
    const packed = await packBundle(tuned.manifest, tuned.weights, before.manifest.weights.dtype);
    return {
      manifest: ownBytes(packed.manifest),
      weights: ownBytes(packed.weights),
      steps: tuned.losses.length,
      notices: tuned.notices,
    };
  },
};

/** @throws InputError when no image can be read, or the channels lie on different grids */
async function readScan(images: readonly (readonly GivenFile[])[], series: number | undefined): Promise<VolumeImage> {
  const options = series === undefined ? {} : { series: String(series) };
  const parts = [];
  for (const files of images) parts.push({ ...(await readImage(files.map(imageFile), options)), name: files[0].path });
  const [first] = parts;
  if (parts.length === 1) return first;
  return {
    format: first.format,
    volume: stackChannels(parts, 'The scan'),
    header: first.header,
    notices: parts.flatMap(({ notices }) => notices),
  };
}

function theModel(): Model {
  if (!model) throw new InputError('The model cannot be read again; give it again.');
  return model;
}

function both(): { scan: VolumeImage; model: Model } {
  // The page asks only when it has both; this worker may be a new one, for which a file has gone.
  if (!scan || !model) throw new InputError('The scan or the model cannot be read again; give it again.');
  return { scan, model };
}

/** Bytes that fill their buffer and that nobody shares, so that they can be handed over without a copy. */
function ownBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes;
  const whole = buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength;
  return whole ? new Uint8Array(buffer) : new Uint8Array(bytes);
}

function failure(error: unknown): { kind: FailureKind; message: string } {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof InputError) return { kind: 'input', message };
  if (error instanceof ResourceError) return { kind: 'resource', message };
  if (error instanceof Error && error.name === 'AbortError') return { kind: 'cancelled', message };
  // What browsers and the runtime say when an allocation fails, each in its own words.
  if (/out of memory|bad_alloc|allocation failed|memory access out of bounds/i.test(message)) {
    return {
      kind: 'resource',
      message: 'This browser has no memory left for the run; close other tabs, or use the command line.',
    };
  }
  return { kind: 'bug', message };
}

const cancels = new Map<number, AbortController>();
/** The end of the last question: one is answered at a time, in the order asked. */
let last = Promise.resolve();

async function answer(question: Question): Promise<void> {
  const { id, kind } = question;
  const say = (message: FromWorker, transfer: Transferable[] = []) => postMessage(message, { transfer });
  const controller = new AbortController();
  cancels.set(id, controller);
  try {
    const turn: Turn = { signal: controller.signal, report: (progress) => say({ id, progress }) };
    // The compiler cannot see that the question's own kind picks the answer that takes it.
    const reply = answers[kind] as (asked: Question, turn: Turn) => Promise<Questions[Kind]['answer']>;
    const given = await reply(question, turn);
    const buffers = Object.values(given).filter((value) => value instanceof Uint8Array);
    say(
      { id, answer: given },
      buffers.map(({ buffer }) => buffer),
    );
  } catch (error) {
    say({ id, failure: failure(error) });
  } finally {
    cancels.delete(id);
  }
}

// A bundler may put what the runtime's own threads load and this file into one script; they have their own messages.
if (self.name === workerName) {
  addEventListener('message', ({ data }: MessageEvent<ToWorker>) => {
    if (data.kind === 'cancel') cancels.get(data.id)?.abort();
    else last = last.then(() => answer(data));
  });
}
