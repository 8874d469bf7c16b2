/**
 * The five data sets of the UNETR++ paper, as one table: where each comes from, how its original download is laid out, what its
 * labels mean and which of them are scored, how the published split divides it, how the published network was set up, and
 * what was published. Code that converts and compares reads this, and knows no data set by name.
 *
 * Source of splits, patches and batches: the authors' repository (Amshaker/unetr_plus_plus). Of the networks themselves:
 * `unetrppPresets`.
 */
import type { Vector3 } from '../volume/index.ts';
import { acdcSplit, bratsSplit, lungSplit, synapseSplit } from './publishedSplits.ts';
import type { Split } from './split.ts';

export type RecipeName = 'synapse' | 'btcv' | 'acdc' | 'brats' | 'lung';

/** A path in the original download, with `/`; `{id}`, `{patient}` and `{frame}` stand for digits, the same ones throughout. */
type PathPattern = string;

/** How files lie in a download, and what becomes of them. */
export interface OriginalLayout {
  /** To tell layouts of one data set apart in messages. */
  readonly called: string;
  /** Folders in which the rest may lie, from the one that the user names; '' is that one itself. */
  readonly within: readonly string[];
  /** Of a case: one file for each channel in order, or a single one with all of them. */
  readonly images: readonly PathPattern[];
  readonly label: PathPattern;
  /** Name of the case in nnU-Net's layout. */
  readonly case: PathPattern;
  /** Name of the patient, where one has several cases. */
  readonly patient?: PathPattern;
  /** Text file beside a patient's images with `ED`, `ES`, `Group`, `NbFrame`, `Height` and `Weight`, one `Key: value` a line. */
  readonly patientInfo?: PathPattern;
  /** Images without public labels, for imagesTs; a download may lack them. */
  readonly testImages?: PathPattern;
  readonly testCase?: PathPattern;
  /** Stored label values that become others, where the challenge's numbers have gaps. Left out: label maps stay as they are. */
  readonly labelValues?: Readonly<Record<number, number>>;
  /** Whether its cases have the names of the published split. */
  readonly published: boolean;
}

export interface Scored {
  readonly name: string;
  /** Label values that it is made of. */
  readonly values: readonly number[];
}

export interface PublishedScore {
  readonly method: string;
  /** Dice in percent, by the names in `evaluated`. */
  readonly dice: Readonly<Record<string, number>>;
  readonly meanDice: number;
  /** Mean over all; in the authors' script a distance in voxels, although the table says mm. */
  readonly hd95?: number;
}

export interface Recipe {
  readonly title: string;
  readonly source: { readonly url: string; readonly licence: string; readonly reference: string };
  readonly layouts: readonly OriginalLayout[];
  /** For `channel_names`. */
  readonly channels: readonly string[];
  /** In the order of their values, from 0, the background. */
  readonly labels: readonly string[];
  /** What the published scores are of, in the table's order. */
  readonly evaluated: readonly Scored[];
  /** Regions that overlap, in the order in which they are written over each other: `regions_class_order` of nnU-Net. */
  readonly regions?: { readonly names: readonly Scored[]; readonly classOrder: readonly number[] };
  /** The published training and test cases, or why there are none. */
  readonly split: Split | { readonly none: string };
  /** How the published network was trained. */
  readonly training: {
    /** Name in `unetrppPresets`. */
    readonly preset: 'synapse' | 'acdc' | 'lung' | 'brats';
    /** Voxels along z, y, x. */
    readonly patch: Vector3;
    /** Undefined where it lies in a plan file that was not published. */
    readonly batch?: number;
    /** mm along z, y, x; undefined as for the batch. */
    readonly spacing?: Vector3;
  };
  /** Where the scores are from, or why there are none. */
  readonly scoresSource: string;
  readonly scores: readonly PublishedScore[];
}

/** The download of the challenge "Beyond the Cranial Vault" (2015): Synapse and BTCV are two protocols over the same scans. */
const cranialVault: OriginalLayout = {
  called: 'RawData of the challenge (Abdomen)',
  within: ['', 'RawData', 'Abdomen/RawData', 'Abdomen'],
  images: ['Training/img/img{id}.nii.gz'],
  label: 'Training/label/label{id}.nii.gz',
  case: 'img{id}',
  testImages: 'Testing/img/img{id}.nii.gz',
  testCase: 'img{id}',
  published: true,
};

const cranialVaultSource = {
  url: 'https://www.synapse.org/Synapse:syn3193805/wiki/217789',
  licence: "the challenge's own terms, accepted with an account at Synapse; the scans may not be passed on",
  reference: 'Landman et al., MICCAI 2015 Multi-Atlas Labeling Beyond the Cranial Vault, doi:10.7303/syn3193805',
};

const abdomenLabels = [
  'background',
  'spleen',
  'right kidney',
  'left kidney',
  'gallbladder',
  'esophagus',
  'liver',
  'stomach',
  'aorta',
  'inferior vena cava',
  'portal and splenic vein',
  'pancreas',
  'right adrenal gland',
  'left adrenal gland',
] as const;

/** The Decathlon's layout: all channels of a case in one file. */
const decathlon = (folder: string, stem: string): OriginalLayout => ({
  called: `${folder} of the Medical Segmentation Decathlon`,
  within: ['', folder],
  images: [`imagesTr/${stem}{id}.nii.gz`],
  label: `labelsTr/${stem}{id}.nii.gz`,
  case: `${stem}{id}`,
  testImages: `imagesTs/${stem}{id}.nii.gz`,
  testCase: `${stem}{id}`,
  published: true,
});

const decathlonSource = {
  url: 'http://medicaldecathlon.com',
  licence: 'CC BY-SA 4.0',
  reference: 'Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 13, 4128 (2022)',
};

/** Of the challenge itself: a file for each channel, and labels 1, 2 and 4. */
const bratsChallenge = (year: string, stem: string, within: readonly string[]): OriginalLayout => ({
  called: `training data of BraTS ${year}`,
  within,
  images: ['flair', 't1', 't1ce', 't2'].map((channel) => `${stem}{id}/${stem}{id}_${channel}.nii.gz`),
  label: `${stem}{id}/${stem}{id}_seg.nii.gz`,
  case: `${stem}{id}`,
  // Necrosis and non-enhancing tumor 1, edema 2, enhancing tumor 4: to the Decathlon's edema 1, non-enhancing 2, enhancing 3.
  labelValues: { 0: 0, 1: 2, 2: 1, 4: 3 },
  published: false,
});

const tumorRegions: readonly Scored[] = [
  { name: 'whole tumor (WT)', values: [1, 2, 3] },
  { name: 'tumor core (TC)', values: [2, 3] },
  { name: 'enhancing tumor (ET)', values: [3] },
];

const organs = [
  'spleen',
  'right kidney',
  'left kidney',
  'gallbladder',
  'liver',
  'stomach',
  'aorta',
  'pancreas',
] as const;
const heart = ['RV', 'MYO', 'LV'] as const;

/** A row of a published table: one figure for each name, then the mean. */
function row(method: string, names: readonly string[], figures: readonly number[], hd95?: number): PublishedScore {
  const dice = Object.fromEntries(names.map((name, index) => [name, figures[index]]));
  return { method, dice, meanDice: figures[names.length], ...(hd95 !== undefined && { hd95 }) };
}

const scoredLabel =
  (labels: readonly string[]) =>
  (name: string): Scored => ({ name, values: [labels.indexOf(name)] });

export const recipes: Readonly<Record<RecipeName, Recipe>> = {
  synapse: {
    title: 'Synapse multi-organ CT',
    source: cranialVaultSource,
    layouts: [cranialVault],
    channels: ['CT'],
    labels: abdomenLabels,
    evaluated: organs.map(scoredLabel(abdomenLabels)),
    split: synapseSplit,
    training: { preset: 'synapse', patch: [64, 128, 128], batch: 2, spacing: [3, 0.75781244, 0.75781244] },
    scoresSource: 'README of Amshaker/unetr_plus_plus, table "Synapse"',
    scores: [
      row('U-Net', organs, [86.67, 68.6, 77.77, 69.72, 93.43, 75.58, 89.07, 53.98, 76.85]),
      row('TransUNet', organs, [85.08, 77.02, 81.87, 63.16, 94.08, 75.62, 87.23, 55.86, 77.49], 31.69),
      row('Swin-UNet', organs, [90.66, 79.61, 83.28, 66.53, 94.29, 76.6, 85.47, 56.58, 79.13], 21.55),
      row('UNETR', organs, [85.0, 84.52, 85.6, 56.3, 94.57, 70.46, 89.8, 60.47, 78.35], 18.59),
      row('MISSFormer', organs, [91.92, 82.0, 85.21, 68.65, 94.41, 80.81, 86.99, 65.67, 81.96], 18.2),
      row('Swin-UNETR', organs, [95.37, 86.26, 86.99, 66.54, 95.72, 77.01, 91.12, 68.8, 83.48], 10.55),
      row('nnFormer', organs, [90.51, 86.25, 86.57, 70.17, 96.84, 86.83, 92.04, 83.35, 86.57], 10.63),
      row('UNETR++', organs, [95.77, 87.18, 87.54, 71.25, 96.42, 86.01, 92.52, 81.1, 87.22], 7.53),
    ],
  },
  btcv: {
    title: 'BTCV multi-organ CT',
    source: cranialVaultSource,
    layouts: [cranialVault],
    channels: ['CT'],
    labels: abdomenLabels,
    evaluated: abdomenLabels.slice(1).map(scoredLabel(abdomenLabels)),
    split: {
      none: "the paper trains on all 30 labeled scans and is scored on the challenge's 20, whose labels are not public",
    },
    training: { preset: 'synapse', patch: [64, 128, 128], batch: 2, spacing: [3, 0.75781244, 0.75781244] },
    scoresSource: 'none: the repository has no figure and no code for this protocol',
    scores: [],
  },
  acdc: {
    title: 'ACDC cardiac cine MR',
    source: {
      url: 'https://www.creatis.insa-lyon.fr/Challenge/acdc/',
      licence: 'CC BY-NC-SA 4.0, for non-commercial scientific research only',
      reference: 'Bernard et al., IEEE TMI 37(11), 2514-2525 (2018), doi:10.1109/TMI.2018.2837502',
    },
    layouts: [
      {
        called: 'training data of the challenge',
        within: ['', 'training', 'database/training', 'ACDC/database/training'],
        images: ['patient{patient}/patient{patient}_frame{frame}.nii.gz'],
        label: 'patient{patient}/patient{patient}_frame{frame}_gt.nii.gz',
        case: 'patient{patient}_frame{frame}',
        patient: 'patient{patient}',
        patientInfo: 'patient{patient}/Info.cfg',
        published: true,
      },
    ],
    channels: ['cineMRI'],
    labels: ['background', ...heart],
    evaluated: heart.map(scoredLabel(['background', ...heart])),
    split: acdcSplit,
    training: { preset: 'acdc', patch: [16, 160, 160], batch: 4 },
    scoresSource: 'README of Amshaker/unetr_plus_plus, table "ACDC" (of the preprint)',
    scores: [
      row('TransUNet', heart, [88.86, 84.54, 95.73, 89.71]),
      row('Swin-UNet', heart, [88.55, 85.62, 95.83, 90.0]),
      row('UNETR', heart, [88.49, 82.04, 91.62, 87.38]),
      row('MISSFormer', heart, [86.36, 85.75, 91.59, 87.9]),
      row('nnFormer', heart, [91.18, 86.24, 94.07, 90.5]),
      row('UNETR++', heart, [91.47, 86.47, 94.25, 90.73]),
    ],
  },
  brats: {
    title: 'Brain tumors in four MR sequences (Decathlon task 1)',
    source: decathlonSource,
    layouts: [
      decathlon('Task01_BrainTumour', 'BRATS_'),
      bratsChallenge('2020', 'BraTS20_Training_', ['', 'MICCAI_BraTS2020_TrainingData']),
      bratsChallenge('2021', 'BraTS2021_', ['', 'BraTS2021_Training_Data']),
    ],
    channels: ['FLAIR', 'T1w', 'T1gd', 'T2w'],
    labels: ['background', 'edema', 'non-enhancing tumor', 'enhancing tumor'],
    evaluated: tumorRegions,
    // Edema is written first, over the whole tumor; then the core; then what enhances.
    regions: { names: tumorRegions, classOrder: [1, 2, 3] },
    split: bratsSplit,
    training: { preset: 'brats', patch: [128, 128, 128], spacing: [1, 1, 1] },
    scoresSource: 'none: the repository has no figure for BraTS',
    scores: [],
  },
  lung: {
    title: 'Lung tumors in CT (Decathlon task 6)',
    source: decathlonSource,
    layouts: [decathlon('Task06_Lung', 'lung_')],
    channels: ['CT'],
    labels: ['background', 'cancer'],
    evaluated: [{ name: 'cancer', values: [1] }],
    split: lungSplit,
    training: { preset: 'lung', patch: [32, 192, 192] },
    scoresSource: 'reply of the authors in the issues of Amshaker/unetr_plus_plus; 13 test cases',
    scores: [row('UNETR++', ['cancer'], [80.68, 80.68])],
  },
};
