import { describe, expect, test } from 'vitest';
import { InputError } from '../errors.ts';
import { labelColor, type Picture, type PictureOptions, threePlanes } from './picture.ts';
import { identityDirection, type Matrix3, type Vector3, type Volume } from './volume.ts';

// Every drawn volume has 5 x 5 x 5 voxels of 1 mm, and at this width each voxel gets 4 x 4 pixels:
// 12 pixels of margin, then panels of 20 pixels with 12 between them.
const width = 12 * 4 + 3 * 20;
const blackToWhite: PictureOptions = { width, window: { level: 0.5, width: 1 } };

/** A volume in the patient's own axes (x left, y posterior, z superior) that is 0 but for the given voxels (z, y, x). */
function drawn(...marks: readonly (readonly [voxel: Vector3, value: number])[]): Volume<Float32Array> {
  const data = new Float32Array(125);
  for (const [[z, y, x], value] of marks) data[(z * 5 + y) * 5 + x] = value;
  return { shape: [5, 5, 5], spacing: [1, 1, 1], origin: [0, 0, 0], direction: identityDirection, channels: 1, data };
}

/** Color in the middle of a voxel of panel 0 (axial), 1 (coronal) or 2 (sagittal). */
function colorAt({ data, width }: Picture, panel: number, row: number, column: number): number[] {
  const x = 12 + panel * 32 + column * 4 + 2;
  const y = 12 + row * 4 + 2;
  return [...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)];
}

/** Where a panel is brighter than half, as [row, column]. */
function bright(picture: Picture, panel: number): number[][] {
  const found: number[][] = [];
  for (let row = 0; row < 5; row++) {
    for (let column = 0; column < 5; column++) {
      if (colorAt(picture, panel, row, column)[0] > 128) found.push([row, column]);
    }
  }
  return found;
}

/** The same volume stored with other axes: new axis a (x, y, z) is old axis `order[a]`, reversed where `flip[a]`. */
function stored(volume: Volume<Float32Array>, order: readonly number[], flip: readonly boolean[]) {
  const sizeXyz = [volume.shape[2], volume.shape[1], volume.shape[0]];
  const [nx, ny, nz] = order.map((axis) => sizeXyz[axis]);
  const data = new Float32Array(volume.data.length);
  for (let z = 0, i = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++, i++) {
        const old = [0, 0, 0];
        [x, y, z].forEach((index, a) => {
          old[order[a]] = flip[a] ? sizeXyz[order[a]] - 1 - index : index;
        });
        data[i] = volume.data[(old[2] * sizeXyz[1] + old[1]) * sizeXyz[0] + old[0]];
      }
    }
  }
  const direction = [0, 1, 2].flatMap((world) => order.map((axis, a) => (axis === world ? (flip[a] ? -1 : 1) : 0)));
  return {
    ...volume,
    shape: [nz, ny, nx] as const,
    spacing: order.map((axis) => volume.spacing[axis]) as unknown as Vector3,
    direction: direction as unknown as Matrix3,
    data,
  };
}

describe('orientation', () => {
  // One bright voxel in the middle slices but for one step to the patient's right, anterior and superior.
  test("the patient's right is on the left, anterior is up, or left in the sagittal slice, superior is up", () => {
    expect(bright(threePlanes(drawn([[2, 2, 1], 1]), undefined, blackToWhite), 0)).toEqual([[2, 1]]);
    expect(bright(threePlanes(drawn([[2, 1, 2], 1]), undefined, blackToWhite), 0)).toEqual([[1, 2]]);
    expect(bright(threePlanes(drawn([[2, 2, 1], 1]), undefined, blackToWhite), 1)).toEqual([[2, 1]]);
    expect(bright(threePlanes(drawn([[3, 2, 2], 1]), undefined, blackToWhite), 1)).toEqual([[1, 2]]);
    expect(bright(threePlanes(drawn([[2, 1, 2], 1]), undefined, blackToWhite), 2)).toEqual([[2, 1]]);
    expect(bright(threePlanes(drawn([[3, 2, 2], 1]), undefined, blackToWhite), 2)).toEqual([[1, 2]]);
  });

  test('the picture is the same in all 48 ways to store the volume', () => {
    const image = { ...drawn([[2, 2, 1], 1], [[2, 1, 2], 0.6], [[3, 2, 2], 0.8]), spacing: [1, 2, 3] as const };
    const labels = { ...drawn([[2, 3, 3], 1], [[1, 2, 2], 2]), spacing: image.spacing };
    const picture = threePlanes(image, labels, { ...blackToWhite, at: [2, 2, 2] });
    const orders = ['012', '021', '102', '120', '201', '210'].map((text) => [...text].map(Number));
    for (const order of orders) {
      for (let flips = 0; flips < 8; flips++) {
        const flip = [0, 1, 2].map((axis) => Boolean(flips & (1 << axis)));
        const other = threePlanes(stored(image, order, flip), stored(labels, order, flip), {
          ...blackToWhite,
          at: [2, 2, 2],
        });
        expect([other.width, other.height]).toEqual([picture.width, picture.height]);
        expect(Buffer.compare(other.data, picture.data), `${order} ${flip}`).toBe(0);
      }
    }
  });

  test('an oblique grid is shown along the axes that are closest', () => {
    const image = drawn([[2, 2, 1], 1]);
    const [c, s] = [Math.cos(0.6), Math.sin(0.6)];
    const tilted = { ...image, direction: [c, -s, 0, s, c, 0, 0, 0, 1] as const };
    expect(threePlanes(tilted, undefined, blackToWhite)).toEqual(threePlanes(image, undefined, blackToWhite));
  });
});

describe('size', () => {
  test('all panels have one scale in mm, so thick slices are tall', () => {
    // 5 voxels of 3 mm from foot to head, 5 mm across: the coronal panel is three times as tall as wide.
    const image = { ...drawn(), data: new Float32Array(125).fill(1), spacing: [1, 1, 3] as const };
    const picture = threePlanes(image, undefined, blackToWhite);
    expect(picture).toMatchObject({ width, height: 12 + 60 + 12 });
    const lit = (x: number) => {
      let pixels = 0;
      for (let y = 0; y < picture.height; y++) pixels += +(picture.data[(y * width + x) * 3] === 255);
      return pixels;
    };
    expect([12 + 10, 12 + 32 + 10, 12 + 64 + 10].map(lit)).toEqual([20, 60, 60]);
  });

  test('a tall volume gives a picture no taller than wide', () => {
    const { width, height } = threePlanes({ ...drawn(), spacing: [1, 1, 50] });
    expect([width, height]).toEqual([1080, 1080]);
  });

  test('a volume with more voxels than pixels is averaged, not thinned out', () => {
    // Columns 0 and 1 in turn: at one pixel for ten voxels, gray.
    const data = new Float32Array(1000).map((_, i) => i % 2);
    const stripes: Volume = { ...drawn(), shape: [1, 1, 1000], data };
    const picture = threePlanes(stripes, undefined, { width: 150, window: { level: 0.5, width: 1 } });
    const row = picture.data.subarray((12 * 150 + 20) * 3, (12 * 150 + 60) * 3);
    expect(Math.min(...row)).toBeGreaterThan(120);
    expect(Math.max(...row)).toBeLessThan(135);
  });
});

describe('gray values', () => {
  test('one outlier among them, and voxels that are no number, leave the others their contrast', () => {
    const data = new Float32Array(125 * 8);
    for (let i = 0; i < data.length; i++) data[i] = i % 2;
    data[0] = 1e6;
    data[1] = Number.NaN;
    const image: Volume = { ...drawn(), shape: [10, 10, 10], data };
    const picture = threePlanes(image, undefined, { width: 12 * 4 + 3 * 40 });
    const axial = picture.data.filter((_, i) => i % 3 === 0);
    expect(Math.max(...axial)).toBe(255);
    expect(Math.min(...axial)).toBe(0);
  });

  test('a constant volume is shown without complaint', () => {
    const { data } = threePlanes({ ...drawn(), data: new Float32Array(125).fill(7) }, undefined, { width });
    expect(data.every(Number.isFinite)).toBe(true);
  });

  test('a window is the intensity of middle gray and the distance from black to white', () => {
    const hounsfield = { ...drawn(), data: new Float32Array(125).fill(40) };
    const gray = (level: number) =>
      colorAt(threePlanes(hounsfield, undefined, { width, window: { level, width: 400 } }), 0, 2, 2)[0];
    expect([gray(240), gray(40), gray(-160)]).toEqual([0, 128, 255]);
  });

  test('the second channel', () => {
    const image = { ...drawn(), channels: 2, data: new Float32Array(250).fill(1, 125) };
    expect(colorAt(threePlanes(image, undefined, blackToWhite), 0, 2, 2)).toEqual([0, 0, 0]);
    expect(colorAt(threePlanes(image, undefined, { ...blackToWhite, channel: 1 }), 0, 2, 2)).toEqual([255, 255, 255]);
  });
});

describe('labels', () => {
  /** A label map that is `label` where the test says so. */
  const where = (label: number, inside: (z: number, y: number, x: number) => boolean) => ({
    ...drawn(),
    data: new Float32Array(125).map((_, i) => (inside(Math.floor(i / 25), Math.floor(i / 5) % 5, i % 5) ? label : 0)),
  });

  test('a structure has a veil inside, an opaque outline, and the image is untouched around it', () => {
    // The three left columns: the edge runs between the columns 2 and 3 of the axial panel, at pixel 12 + 12.
    const picture = threePlanes(
      drawn(),
      where(1, (_z, _y, x) => x < 3),
      { ...blackToWhite, opacity: 0.5 },
    );
    const row = [8, 9, 10, 11, 12, 13].map((x) => {
      const i = ((12 + 10) * width + 12 + x) * 3;
      return [...picture.data.subarray(i, i + 3)];
    });
    const [veil, outline, black] = [[115, 60, 0], [...labelColor(1)], [0, 0, 0]];
    expect(row.map(String)).toEqual(
      // The outline is 1.5 pixels wide: one pixel whole, one half.
      [veil, veil, row[2], outline, black, black].map(String),
    );
    expect(row[2]).toEqual([173, 90, 0]);
  });

  test('the slices go through the center of the largest structure', () => {
    const labels = where(2, (z, y, x) => z <= 2 && y <= 2 && x <= 2);
    labels.data[124] = 1;
    const picture = threePlanes(drawn([[1, 1, 1], 1]), labels, { ...blackToWhite, opacity: 0 });
    expect(colorAt(picture, 0, 1, 1)[1]).toBeGreaterThan(200);
    expect(colorAt(picture, 1, 3, 1)[1]).toBeGreaterThan(200);
    expect(colorAt(picture, 2, 3, 1)[1]).toBeGreaterThan(200);
  });

  test('an empty label map changes nothing', () => {
    const image = drawn([[2, 2, 1], 1]);
    expect(threePlanes(image, drawn(), blackToWhite)).toEqual(threePlanes(image, undefined, blackToWhite));
  });

  test('a hundred labels have a hundred colors, and neighbors are far apart', () => {
    const colors = Array.from({ length: 100 }, (_, i) => labelColor(i + 1));
    expect(new Set(colors.map(String)).size).toBe(100);
    for (let i = 1; i < colors.length; i++) {
      expect(Math.hypot(...colors[i].map((part, c) => part - colors[i - 1][c])), `${i}`).toBeGreaterThan(75);
    }
  });
});

describe('what cannot be drawn', () => {
  test('labels on another grid', () => {
    const labels: Volume = { ...drawn(), shape: [5, 5, 4], data: new Uint8Array(100) };
    expect(() => threePlanes(drawn(), labels)).toThrow(
      new InputError('the labels have 5x5x4 voxels (z, y, x) and the image 5x5x5; a picture needs both on one grid'),
    );
  });

  test('labels elsewhere in the patient, or turned', () => {
    for (const geometry of [{ origin: [0, 0, 1] as const }, { direction: [-1, 0, 0, 0, -1, 0, 0, 0, 1] as const }]) {
      expect(() => threePlanes(drawn(), { ...drawn(), ...geometry })).toThrow(
        'the labels lie elsewhere in the patient',
      );
    }
  });

  test('a voxel outside, and a channel that is not there', () => {
    expect(() => threePlanes(drawn(), undefined, { at: [2, 5, 2] })).toThrow(
      'the voxel 2, 5, 2 (z, y, x) lies outside of the volume, 5x5x5',
    );
    expect(() => threePlanes(drawn(), undefined, { channel: 1 })).toThrow('there is no channel 1: the volume has 1');
  });
});

test('a reference is drawn as outlines over labels that then have none', () => {
  const block = (indices: readonly number[], label: number) =>
    drawn(...indices.flatMap((z) => indices.flatMap((y) => indices.map((x) => [[z, y, x], label] as const))));
  const options = { ...blackToWhite, at: [2, 2, 2], opacity: 0.5 } as const;
  const [labels, reference] = [block([1, 2, 3], 1), block([2], 2)];
  const [picture, alone] = [{ ...options, reference }, options].map((each) => threePlanes(drawn(), labels, each));
  const [opaque, half] = [labelColor(1), labelColor(1).map((part) => Math.round(part / 2))];
  for (const panel of [0, 1, 2]) {
    /** In the row of the middle voxel, so many pixels from the left of the panel. */
    const pixel = ({ data, width }: Picture, across: number) => {
      const at = ((12 + 10) * width + 12 + panel * 32 + across) * 3;
      return [...data.subarray(at, at + 3)];
    };
    // The labels begin at 4, the reference, a diamond once it is smooth, at 8.
    expect([pixel(alone, 4), pixel(picture, 4)]).toEqual([opaque, half]);
    expect([pixel(alone, 9), pixel(picture, 9)]).toEqual([half, labelColor(2)]);
  }
  expect(() => threePlanes(drawn(), drawn(), { reference: { ...drawn(), shape: [1, 5, 5] } })).toThrow(InputError);
});
