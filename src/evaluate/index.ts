/** Scores of predicted label maps, and what may be concluded from them. */
export { type BothEmpty, dice, type Overlap, overlaps } from './overlap.ts';
export {
  type Alternative,
  type BootstrapOptions,
  bootstrapMean,
  bootstrapMeanDifference,
  holm,
  type Interval,
  mean,
  median,
  type SignedRankOptions,
  type SignedRankTest,
  signedRankTest,
  standardDeviation,
  type UniformSource,
} from './statistics.ts';
