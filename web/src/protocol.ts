/**
 * What the page and its worker say to each other. The worker holds one scan, one model and the cases to train it on; the page asks, one question at
 * a time is answered, and each answer, step of progress or failure carries the question's number.
 */
import type { DeviceName, DeviceReport } from '../../src/engine/engine.ts';
import type { Progress } from '../../src/index.ts';
import type { FineTuneProgress } from '../../src/train/fineTune.ts';
import type { LabelVolume, Vector3 } from '../../src/volume/index.ts';

/** By it the worker knows that it is the page's own, not one of the threads that the runtime starts. */
export const workerName = 'segmentation';

/** A file that was dropped, chosen or fetched. */
export interface GivenFile {
  /** Path within what was given, `/` between folders. */
  readonly path: string;
  readonly bytes: Blob;
}

export interface Scan {
  /** As a person calls it, such as `NIfTI-1` or `DICOM`. */
  readonly format: string;
  /** Voxels along x, y, z as stored, and mm between them. */
  readonly size: Vector3;
  readonly spacing: Vector3;
  readonly channels: number;
  /** Smallest and largest intensity of the first channel. */
  readonly range: readonly [number, number];
  readonly notices: readonly string[];
  /** The first channel as a NIfTI file that is not compressed, for display. */
  readonly picture: Uint8Array<ArrayBuffer>;
}

export interface LoadedModel {
  readonly name: string;
  readonly description: string;
  readonly license: string | undefined;
  /** Without the background. */
  readonly labels: readonly { readonly value: number; readonly name: string }[];
  readonly channels: readonly { readonly name: string; readonly isCt: boolean }[];
  /** Distance of two tiles that the plan asks for, as a fraction of the patch. */
  readonly step: number;
}

interface RunOptions {
  readonly device: DeviceName;
  readonly mirror: boolean;
  /** undefined: as the model's plan says. */
  readonly step: number | undefined;
}

export interface Segmented {
  readonly volumes: readonly LabelVolume[];
  readonly notices: readonly string[];
  readonly seconds: number;
  /** The mask as a NIfTI file that is not compressed, for display. */
  readonly picture: Uint8Array<ArrayBuffer>;
  /** The mask as .nii.gz in the scan's own geometry, for keeping. */
  readonly file: Uint8Array<ArrayBuffer>;
}

/** One DICOM series of several in the same folder. */
export interface Series {
  /** 1, 2, ... in the order of the listing. */
  readonly number: number;
  readonly modality: string;
  /** Columns, rows, slices. */
  readonly size: Vector3;
  readonly spacing: Vector3 | undefined;
}

/** A scan and its label map, to learn from. */
export interface LabelledFiles {
  readonly name: string;
  /** In the order of the channels. */
  readonly images: readonly GivenFile[];
  readonly labels: GivenFile;
}

export interface LabelledCase {
  readonly name: string;
  /** Voxels along x, y, z as stored. */
  readonly size: Vector3;
  /** Of each structure that occurs. */
  readonly labels: readonly { readonly value: number; readonly name: string; readonly voxels: number }[];
  readonly notices: readonly string[];
}

interface FineTuneAsks {
  readonly device: DeviceName;
  readonly steps: number;
  readonly rate: number;
  readonly batch: number;
}

export interface FineTunedModel {
  /** The files of the bundle. */
  readonly manifest: Uint8Array<ArrayBuffer>;
  readonly weights: Uint8Array<ArrayBuffer>;
  readonly steps: number;
  readonly notices: readonly string[];
}

/** Question -> what it carries and what it is answered with. */
export interface Questions {
  devices: { asks: Record<never, never>; answer: readonly DeviceReport[] };
  series: { asks: { readonly files: readonly GivenFile[] }; answer: readonly Series[] };
  /** One list of files for each image; several images become the channels of one scan. */
  scan: {
    asks: { readonly images: readonly (readonly GivenFile[])[]; readonly series: number | undefined };
    answer: Scan;
  };
  model: { asks: { readonly manifest: Blob; readonly weights: Blob; readonly name: string }; answer: LoadedModel };
  /** Peak bytes of a run, roughly. */
  memory: { asks: { readonly device: DeviceName }; answer: number };
  segment: { asks: RunOptions; answer: Segmented };
  /** Reads labelled scans and prepares them for the model; the worker holds them. */
  cases: { asks: { readonly cases: readonly LabelledFiles[] }; answer: readonly LabelledCase[] };
  /** Peak bytes of a training, roughly. */
  trainingMemory: { asks: Pick<FineTuneAsks, 'device' | 'batch'>; answer: number };
  /** Cancelling it ends it after the step at work, with what was learned. */
  fineTune: { asks: FineTuneAsks; answer: FineTunedModel };
}

/** What a question's answer is on its way. */
export interface Progresses {
  segment: Progress;
  fineTune: FineTuneProgress;
}

export type AnyProgress = Progresses[keyof Progresses];

export type Kind = keyof Questions;

export type Question = { [K in Kind]: { readonly id: number; readonly kind: K } & Questions[K]['asks'] }[Kind];

export type ToWorker = Question | { readonly kind: 'cancel'; readonly id: number };

/** `input`: the user can mend it, as the message says. `resource`: memory or a device is lacking. `bug`: anything else. */
export type FailureKind = 'input' | 'resource' | 'cancelled' | 'bug';

export type FromWorker =
  | { readonly id: number; readonly answer: Questions[Kind]['answer'] }
  | { readonly id: number; readonly progress: AnyProgress }
  | { readonly id: number; readonly failure: { readonly kind: FailureKind; readonly message: string } };
