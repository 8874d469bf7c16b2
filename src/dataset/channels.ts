/**
 * What the name of a channel says of its intensities: which normalization they get.
 *
 * nnU-Net decides by the name too, and gives every name that it does not know, a misspelt one as well, the case's own mean
 * and deviation. Here an unknown name is an error: Hounsfield units that are normalized by the case lose what they mean, and
 * nobody would see it.
 */
import { InputError } from '../errors.ts';
import type { Plan } from './plan.ts';

export type ChannelNormalization = Plan['channels'][number]['normalization'];

/** nnU-Net v2's words (`channel_names` of its dataset.json), in small letters. */
const byWord: Readonly<Record<string, ChannelNormalization>> = {
  ct: 'ct',
  nonorm: 'none',
  zscore: 'zScore',
  rescale_to_0_1: 'rescale01',
  rgb_to_0_1: 'rgb',
};

/** MR: the modality, sequences and maps whose values have no unit, so that each case's own mean and deviation are taken. */
const sequences =
  /^(cine)?(mri?|cmr|mra|t1|t2|t2star|flair|pd|dwi|adc|swi|stir|bssfp|ssfp|cine|lge|dce|dsc|tof|mprage|mp2rage|gre|epi)(w|wi|ce|c|gd|km|n|f|fs|post|pre)?$/;
/** What may stand beside a sequence: `T1 post contrast`, `T2w-FLAIR`. */
const qualifiers = new Set([
  'w',
  'weighted',
  'gd',
  'ce',
  'c',
  'pre',
  'post',
  'contrast',
  'fs',
  'fatsat',
  'ax',
  'cor',
  'sag',
]);

function isMagneticResonance(name: string): boolean {
  const words = name.replace(/t2\*/g, 't2star').split(/[^a-z0-9]+/);
  return (
    words.some((word) => sequences.test(word)) && words.every((word) => sequences.test(word) || qualifiers.has(word))
  );
}

/**
 * How nnU-Net v2 normalizes a channel of this name; capitals make no difference.
 * @throws InputError when the name says nothing, with those that do
 */
export function normalizationOf(channelName: string): ChannelNormalization {
  const name = channelName.trim().toLowerCase();
  // A name such as "constructor" is no word of the table.
  if (Object.hasOwn(byWord, name)) return byWord[name];
  if (isMagneticResonance(name)) return 'zScore';
  throw new InputError(
    `The channel name ${JSON.stringify(channelName)} does not say how its values are normalized; in dataset.json write CT (Hounsfield units), ` +
      "MRI or an MR sequence such as T1w, T1ce, T2w, FLAIR, DWI, ADC, LGE or cineMRI, zscore (each scan's own mean and deviation), " +
      'rescale_to_0_1, rgb_to_0_1 or noNorm.',
  );
}
