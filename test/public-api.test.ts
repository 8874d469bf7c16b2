/** The names that the package exports, pinned: adding or removing one is a decision that shows in this file. */
import { expect, test } from 'vitest';
import * as node from '../src/index.node.ts';
import * as browser from '../src/index.ts';

test('the public names', () => {
  expect(Object.keys(browser).sort()).toMatchInlineSnapshot(`
    [
      "InputError",
      "ResourceError",
      "createSegmenter",
      "encodePng",
      "ensembleOf",
      "importCheckpoint",
      "labelVolumes",
      "loadModel",
      "readImage",
      "readNifti",
      "segment",
      "tensor",
      "threePlanes",
      "voxelCount",
      "voxelVolumeMl",
      "writeMetaImage",
      "writeMetaImageLabels",
      "writeNifti",
      "writeNiftiLabels",
      "writeNrrd",
      "writeNrrdLabels",
    ]
  `);
  // What Node has besides.
  expect(Object.keys(node).filter((name) => !(name in browser))).toMatchInlineSnapshot(`
    [
      "openModel",
      "openModels",
      "crossValidation",
      "trainInFolder",
      "runUnits",
      "readVolumeFile",
    ]
  `);
});
