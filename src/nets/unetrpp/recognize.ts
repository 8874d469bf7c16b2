/**
 * Which UNETR++ a set of weights belongs to, read from the names and shapes of its tensors alone.
 *
 * Everything follows from them but two things: the patch, of which shapes give only the number of tokens, and the dropouts,
 * which prediction does not use.
 */
import type { z } from 'zod';
import { InputError } from '../../errors.ts';
import { elementCount, type Shape, sameShape, showShape } from '../../tensor.ts';
import { unetrpp } from './network.ts';
import { unetrppPresets } from './presets.ts';
import { stageGrids, type UnetrppSettings, unetrppSettings } from './settings.ts';

export interface WeightShapes {
  /** Shape by name, `module.` already taken off. */
  readonly shapes: ReadonlyMap<string, Shape>;
  /** Tensors that share their storage with an earlier one: name -> the earlier name. */
  readonly aliases: ReadonlyMap<string, string>;
}

export interface Recognized {
  readonly settings: UnetrppSettings;
  /** False when the patch was told or is a preset's; true when it was chosen among those that fit the token count. */
  readonly patchGuessed: boolean;
  /** Tensors that the network wants and the weights lack, and the other way round. Empty when all fit. */
  readonly mismatch: Mismatch;
}

export interface Mismatch {
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly wrongShape: readonly { readonly name: string; readonly found: Shape; readonly wanted: Shape }[];
}

const encoder = 'unetr_pp_encoder';
const firstBlock = `${encoder}.stages.0.0`;

/**
 * @param patch the network's input size where it is known (a plan, the user); else a preset's, else the most even one
 * @throws InputError when the weights hold no UNETR++, or `patch` does not give their number of tokens
 */
export function recognizeUnetrpp({ shapes, aliases }: WeightShapes, patch?: Shape): Recognized {
  const find = (name: string): Shape => {
    const shape = shapes.get(name);
    // Of an empty tensor the other axes may be of any length, for no numbers stand behind them.
    if (shape?.includes(0))
      throw new InputError(`The tensor ${name} is empty (${showShape(shape)}); the weights are damaged.`);
    if (shape) return shape;
    const some = [...shapes.keys()].slice(0, 3).join(', ');
    throw new InputError(
      `These weights are no UNETR++: there is no tensor ${name} among their ${shapes.size} (the first are ${some}).`,
    );
  };
  const stemShape = find(`${encoder}.downsample_layers.0.0.conv.weight`);
  const stem = stemShape.slice(2);
  const dims = [0, 1, 2, 3].map((stage) => find(`${encoder}.downsample_layers.${stage}.0.conv.weight`)[0]);
  const count = (prefix: string) => {
    let blocks = 0;
    while (shapes.has(`${prefix}.${blocks}.gamma`)) blocks++;
    return blocks;
  };
  const withoutBias = shapes.has(`${firstBlock}.epa_block.EF`);
  const projection = (block: string) =>
    withoutBias ? find(`${block}.epa_block.EF`)[1] : find(`${block}.epa_block.E.weight`)[0];
  const sharedNames = aliases.get(`${firstBlock}.epa_block.F.weight`) === `${firstBlock}.epa_block.E.weight`;
  const shared = sharedNames || !shapes.has(`${firstBlock}.epa_block.F.weight`);
  const tokenProjection = withoutBias ? 'sharedNoBias' : shared ? 'shared' : 'separate';
  const tokens = [0, 1, 2, 3].map((stage) => find(`${encoder}.stages.${stage}.0.pos_embed`)[1]);

  const known: Omit<UnetrppSettings, 'patch'> = {
    inputChannels: stemShape[1],
    classes: find('out1.conv.conv.weight')[0],
    stem,
    featureSize: find('encoder1.conv1.conv.weight')[0],
    dims,
    heads: find(`${firstBlock}.epa_block.temperature`)[0],
    projections: [0, 1, 2, 3].map((stage) => projection(`${encoder}.stages.${stage}.0`)),
    decoderProjections: [5, 4, 3].map((step) => projection(`decoder${step}.decoder_block.0.0`)),
    depths: [0, 1, 2, 3].map((stage) => count(`${encoder}.stages.${stage}`)),
    decoderDepths: [5, 4, 3].map((step) => count(`decoder${step}.decoder_block.0`)),
    tokenProjection,
    residualBlocks: shapes.has(`${firstBlock}.conv52.conv1.conv.weight`) ? 2 : 1,
    fusion: shapes.has(`${firstBlock}.epa_block.out_proj.weight`) ? 'concatenate' : 'add',
    attentionDropout: tokenProjection === 'shared' ? 0.15 : 0.1,
    channelDropout: 0.1,
    deepSupervision: shapes.has('out2.conv.conv.weight'),
    layout: 'reference',
  };
  checkSizes(unetrppSettings.omit({ patch: true }), known);
  const chosen = choosePatch(stem, tokens, patch);
  const settings = { ...known, patch: [...chosen.patch] };
  checkSizes(unetrppSettings, settings);
  return { settings, patchGuessed: chosen.guessed, mismatch: compareWithNetwork(settings, shapes, aliases) };
}

/** Tensors of any shapes may have the right names. */
function checkSizes(schema: z.ZodType, settings: object): void {
  const { error } = schema.safeParse(settings);
  if (!error) return;
  const [{ path, message }] = error.issues;
  throw new InputError(
    `The shapes of these weights are those of no UNETR++ that can be built: ${path.join('.')}: ${message}.`,
  );
}

function tokensOf(patch: Shape, stem: Shape): number[] {
  return stageGrids({ patch: [...patch], stem: [...stem] }).map(elementCount);
}

function choosePatch(
  stem: Shape,
  tokens: readonly number[],
  told: Shape | undefined,
): { patch: Shape; guessed: boolean } {
  if (told) {
    if (told.length === stem.length && sameShape(tokensOf(told, stem), tokens)) return { patch: told, guessed: false };
    throw new InputError(
      `The patch ${showShape(told)} gives ${tokensOf(told, stem).join(', ')} tokens in the four stages; these weights have ` +
        `${tokens.join(', ')}. Leave the patch out, and the nearest that fits is taken.`,
    );
  }
  for (const preset of Object.values(unetrppPresets)) {
    if (sameShape(preset.stem, stem) && sameShape(tokensOf(preset.patch, stem), tokens)) {
      return { patch: preset.patch, guessed: false };
    }
  }
  // The bottom grid has so many voxels; of all its shapes the most even one, equal in the last two axes before all.
  let best: number[] | undefined;
  let leastUneven = Infinity;
  for (const grid of factorizations(tokens[3], stem.length)) {
    const spread = Math.max(...grid) / Math.min(...grid);
    const uneven = spread + (grid.at(-1) === grid.at(-2) ? 0 : 1000);
    if (uneven < leastUneven) [best, leastUneven] = [grid, uneven];
  }
  if (!best) throw new InputError(`No patch gives ${tokens[3]} tokens in the last stage; the weights are damaged.`);
  const patch = best.map((length, axis) => length * 8 * stem[axis]);
  if (!sameShape(tokensOf(patch, stem), tokens)) {
    throw new InputError(
      `No patch gives ${tokens.join(', ')} tokens in the four stages of a UNETR++ with the stem ${showShape(stem)}.`,
    );
  }
  return { patch, guessed: true };
}

/** All ways to write a number as an ordered product of so many factors. */
function* factorizations(number: number, parts: number): Generator<number[]> {
  if (parts === 1) {
    yield [number];
    return;
  }
  for (let first = 1; first <= number; first++) {
    if (number % first !== 0) continue;
    for (const rest of factorizations(number / first, parts - 1)) yield [first, ...rest];
  }
}

function compareWithNetwork(
  settings: UnetrppSettings,
  shapes: ReadonlyMap<string, Shape>,
  aliases: ReadonlyMap<string, string>,
): Mismatch {
  const program = unetrpp(settings);
  const wanted = new Map(program.parameters.map(({ name, shape }) => [name, shape]));
  const missing: string[] = [];
  const wrongShape: { name: string; found: Shape; wanted: Shape }[] = [];
  for (const [name, shape] of wanted) {
    const found = shapes.get(name);
    if (!found) missing.push(name);
    else if (!sameShape(found, shape)) wrongShape.push({ name, found, wanted: shape });
  }
  // Batch norms count their training batches; nothing reads that count.
  const unexpected = [...shapes.keys()].filter(
    (name) =>
      !wanted.has(name) && !program.aliases.has(name) && !aliases.has(name) && !name.endsWith('.num_batches_tracked'),
  );
  return { missing, unexpected, wrongShape };
}

/** The mismatch in words, at most a few names of each kind; undefined when there is none. */
export function describeMismatch({ missing, unexpected, wrongShape }: Mismatch): string | undefined {
  const list = (what: string, names: readonly string[]) => {
    if (names.length === 0) return undefined;
    const more = names.length > 5 ? ` and ${names.length - 5} more` : '';
    return `${names.length} ${what}: ${names.slice(0, 5).join(', ')}${more}`;
  };
  const shown = wrongShape.map(
    ({ name, found, wanted }) => `${name} (${showShape(found)}, wanted ${showShape(wanted)})`,
  );
  const parts = [list('missing', missing), list('unexpected', unexpected), list('of another shape', shown)];
  const said = parts.filter((part) => part !== undefined);
  return said.length === 0 ? undefined : said.join('; ');
}
