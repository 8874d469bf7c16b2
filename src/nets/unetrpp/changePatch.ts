/**
 * Weights that were trained at one patch, made to fit another: position tables and token projections are interpolated over
 * their grid, everything else stays. Not the network that was trained: scores must be measured again.
 *
 * Interpolation is linear, matching the extent of the grids (not their end points). A projection sums over tokens, so it
 * is scaled by the old count over the new one: a constant map keeps its projected value.
 */
import { elementCount, type Shape, sameShape, showShape, type Tensor } from '../../tensor.ts';
import { unetrpp } from './network.ts';
import { stageGrids, type UnetrppSettings } from './settings.ts';

export interface ChangedPatch {
  readonly settings: UnetrppSettings;
  readonly weights: ReadonlyMap<string, Tensor<'float32'>>;
  /** For the user; undefined when nothing had to change. */
  readonly notice: string | undefined;
}

/** @throws InputError when the new patch is illegal */
export function changePatch(
  settings: UnetrppSettings,
  weights: ReadonlyMap<string, Tensor<'float32'>>,
  patch: Shape,
): ChangedPatch {
  if (sameShape(settings.patch, patch)) return { settings, weights, notice: undefined };
  const changed = { ...settings, patch: [...patch] };
  const program = unetrpp(changed);
  const [oldGrids, newGrids] = [stageGrids(settings), stageGrids(changed)];
  const result = new Map(weights);
  for (const { name } of program.parameters) {
    const table = weights.get(name);
    const stage = stageOf(name);
    if (!table || stage === undefined) continue;
    const [from, to] = [oldGrids[stage], newGrids[stage]];
    const [outer, inner, scale] = /\.E\.|\.F\./.test(name)
      ? [table.shape[0], 1, elementCount(from) / elementCount(to)]
      : [1, table.shape.at(-1)!, name.endsWith('.EF') ? elementCount(from) / elementCount(to) : 1];
    const data = interpolate(table.data, outer, from, inner, to, scale);
    const tokens = elementCount(to);
    const shape = name.endsWith('pos_embed') ? [1, tokens, inner] : inner === 1 ? [outer, tokens] : [tokens, inner];
    result.set(name, { dtype: 'float32', shape, data });
  }
  const notice =
    `The weights were trained at a patch of ${showShape(settings.patch)}; for ${showShape(patch)} their position tables ` +
    'and token projections are interpolated. Measure the scores again before you trust them.';
  return { settings: changed, weights: result, notice };
}

/** 0 to 3 for tensors that have a token axis: encoder stages 1 to 4; decoder5, 4, 3 work on the grids of stages 3, 2, 1. */
function stageOf(name: string): number | undefined {
  if (!/\.(pos_embed|epa_block\.(EF|E\.weight|F\.weight))$/.test(name)) return undefined;
  const stage = /^unetr_pp_encoder\.stages\.(\d)\./.exec(name);
  if (stage) return Number(stage[1]);
  const decoder = /^decoder(\d)\./.exec(name);
  return decoder ? Number(decoder[1]) - 3 : undefined;
}

/** [outer, ..from, inner] -> [outer, ..to, inner], axis by axis. */
function interpolate(
  data: Float32Array,
  outer: number,
  from: Shape,
  inner: number,
  to: Shape,
  scale: number,
): Float32Array {
  let values = Float64Array.from(data, (value) => value * scale);
  const grid = [...from];
  for (let axis = 0; axis < grid.length; axis++) {
    const [n, m] = [grid[axis], to[axis]];
    if (n === m) continue;
    const before = outer * elementCount(grid.slice(0, axis));
    const after = elementCount(grid.slice(axis + 1)) * inner;
    const next = new Float64Array(before * m * after);
    for (let k = 0; k < m; k++) {
      const position = Math.min(Math.max(((k + 0.5) * n) / m - 0.5, 0), n - 1);
      const low = Math.floor(position);
      const high = Math.min(low + 1, n - 1);
      const part = position - low;
      for (let b = 0; b < before; b++) {
        const [target, lower, upper] = [(b * m + k) * after, (b * n + low) * after, (b * n + high) * after];
        for (let a = 0; a < after; a++) next[target + a] = values[lower + a] * (1 - part) + values[upper + a] * part;
      }
    }
    values = next;
    grid[axis] = m;
  }
  return new Float32Array(values);
}
