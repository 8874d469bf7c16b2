/**
 * The cost table of UNETR++: which kind of work each multiply-add is, and in which stage it falls.
 */
import type { OperationCost } from '../../program/index.ts';

export type CostKind =
  | '3x3x3 convolutions'
  | 'other convolutions'
  | 'transposed convolutions'
  | 'channel Linears'
  | 'token projections'
  | 'attention products';

export function costKind({ kind, operation }: OperationCost): CostKind {
  if (kind === 'transposedConvolution') return 'transposed convolutions';
  if (kind === 'convolution') {
    const kernel = operation.inputs[1].shape.slice(2);
    return kernel.every((length) => length === 3) ? '3x3x3 convolutions' : 'other convolutions';
  }
  const place = operation.scope.split('.').at(-1)!;
  if (['E', 'F', 'EF'].includes(place)) return 'token projections';
  if (['qkvv', 'out_proj', 'out_proj2'].includes(place)) return 'channel Linears';
  return 'attention products';
}

/** `stem and encoder stage 1`, .., `decoder5`, .., `heads`. */
export function costStage({ operation }: OperationCost): string {
  const path = operation.scope.split('.');
  if (path[0] === 'unetr_pp_encoder') return `encoder stage ${Number(path[2]) + 1}`;
  if (path[0] === 'encoder1') return 'encoder1 (full resolution)';
  if (path[0] === 'decoder2') return 'decoder2 (full resolution)';
  return path[0].startsWith('out') ? 'heads' : path[0];
}
