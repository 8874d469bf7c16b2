/** The names that the package exports, pinned: adding or removing one is a decision that shows in this file. */
import { expect, test } from 'vitest';
import * as node from '../src/index.node.ts';
import * as browser from '../src/index.ts';

test('the public names', () => {
  expect(Object.keys(browser).sort()).toMatchInlineSnapshot(`
    [
      "InputError",
      "ResourceError",
      "encodePng",
      "tensor",
      "threePlanes",
      "voxelCount",
      "voxelVolumeMl",
    ]
  `);
  // What Node has besides.
  expect(Object.keys(node).filter((name) => !(name in browser))).toMatchInlineSnapshot(`[]`);
});
