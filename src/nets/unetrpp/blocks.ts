/** The parts of the network between which little is handed on: what recomputation keeps are the results that cross. */

/** The transformer or residual block that a scope belongs to; undefined between blocks. */
export function blockOf(scope: string): string | undefined {
  return /^(unetr_pp_encoder\.stages\.\d+\.\d+|decoder\d\.decoder_block\.0(\.\d+)?|encoder1)(?=\.|$)/.exec(scope)?.[0];
}
