/**
 * The weights of one network as the beginning of another, of the same build: another patch, other classes, other channels
 * of the image. Whatever is not taken over as it is, is said.
 */
import { InputError } from '../errors.ts';
import { changePatch, type UnetrppSettings, unetrpp } from '../nets/index.ts';
import { elementCount, sameShape, type Tensor } from '../tensor.ts';
import { initialize } from '../weights/index.ts';

type Weights = ReadonlyMap<string, Tensor<'float32'>>;

/** Settings that change no weight, or whose change is mended below. */
const mayDiffer = new Set<keyof UnetrppSettings>([
  'classes',
  'inputChannels',
  'patch',
  'attentionDropout',
  'channelDropout',
  'deepSupervision',
]);

/**
 * @param from the network that was trained, and its weights
 * @param seed for what is initialized anew
 * @returns weights for `network`, and what a user should know of them
 * @throws InputError when the networks differ in more than classes, channels, patch, dropout and heads
 */
export function fineTuningWeights(
  from: { readonly settings: UnetrppSettings; readonly weights: Weights },
  network: UnetrppSettings,
  seed: number,
): { weights: Map<string, Tensor<'float32'>>; notices: string[] } {
  for (const key of Object.keys(network) as (keyof UnetrppSettings)[]) {
    const [before, now] = [JSON.stringify(from.settings[key]), JSON.stringify(network[key])];
    if (before === now || mayDiffer.has(key)) continue;
    throw new InputError(
      `The network's ${key} is ${now}, and that of the bundle to begin from ${before}; leave it as it is there, or train without --from.`,
    );
  }
  const { weights: given, notice } = changePatch(from.settings, from.weights, network.patch);
  const fresh = initialize(unetrpp(network), seed);
  const [averaged, renewed]: [string[], string[]] = [[], []];
  const weights = new Map<string, Tensor<'float32'>>();
  for (const [name, wanted] of fresh) {
    const found = given.get(name);
    if (found && sameShape(found.shape, wanted.shape)) {
      weights.set(name, found);
    } else if (found && isInputWeight(found, wanted, from.settings, network)) {
      weights.set(name, overChannels(found, wanted));
      averaged.push(name);
    } else {
      weights.set(name, wanted);
      renewed.push(name);
    }
  }
  const notices = notice ? [notice] : [];
  if (averaged.length > 0) {
    notices.push(
      `The image has ${network.inputChannels} channels in place of ${from.settings.inputChannels}: the weights that read it ` +
        `(${averaged.join(', ')}) are the mean over channels, for each.`,
    );
  }
  if (renewed.length > 0) {
    const reason =
      network.classes === from.settings.classes
        ? 'The bundle has none of these weights'
        : `There are ${network.classes} classes in place of ${from.settings.classes}`;
    notices.push(`${reason}: ${renewed.join(', ')} are initialized anew.`);
  }
  return { weights, notices };
}

/** Whether a weight differs only in its axis of input channels, [out, in, ..kernel]. */
function isInputWeight(
  found: Tensor,
  wanted: Tensor,
  { inputChannels: before }: UnetrppSettings,
  { inputChannels: now }: UnetrppSettings,
): boolean {
  if (before === now || found.shape[1] !== before || wanted.shape[1] !== now) return false;
  return sameShape(found.shape.with(1, now), wanted.shape);
}

/** [out, in, ..kernel] -> [out, in', ..kernel]: the mean over `in`, scaled so that equal channels give the same sum. */
function overChannels({ shape, data }: Tensor<'float32'>, { shape: target }: Tensor): Tensor<'float32'> {
  const [outputs, before] = shape;
  const now = target[1];
  const kernel = elementCount(shape.slice(2));
  const result = new Float32Array(outputs * now * kernel);
  for (let o = 0; o < outputs; o++) {
    for (let k = 0; k < kernel; k++) {
      let sum = 0;
      for (let c = 0; c < before; c++) sum += data[(o * before + c) * kernel + k];
      for (let c = 0; c < now; c++) result[(o * now + c) * kernel + k] = sum / now;
    }
  }
  return { dtype: 'float32', shape: target, data: result };
}
