/** From a prepared image to classes: tiles, mirroring, blending. */
export {
  type Blending,
  blendTiles,
  type Head,
  importanceMap,
  largestClass,
  type Padding,
  pad,
  paddedShape,
  paddingFor,
  tileStarts,
  toProbabilities,
  unpad,
} from './tiles.ts';
