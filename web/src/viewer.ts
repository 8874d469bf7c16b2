/**
 * The scan and its mask in three planes and in 3-D, on a canvas: a thin layer over NiiVue, which is loaded when the first scan is
 * shown. Images come as NIfTI bytes from memory; nothing is fetched.
 *
 * Shown as radiologists hang films, like the library's `threePlanes`: the patient's right on the viewer's left, the nose
 * to the left in the sagittal plane. Positions are along NiiVue's axes: 0 to the right, 1 anterior, 2 superior.
 */
import type { Niivue, NVImage } from '@niivue/niivue';
import { labelColor } from '../../src/volume/index.ts';

export interface Position {
  /** Slice in each plane, counted from 0: sagittal (to the right), coronal (anterior), axial (superior); and how many. */
  readonly slices: readonly [number, number, number];
  readonly counts: readonly [number, number, number];
  /** In mm, RAS. */
  readonly mm: readonly [number, number, number];
  readonly intensity: number;
  readonly label: number;
}

export interface Viewer {
  /** Shows a scan, without a mask. */
  showScan(picture: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Lays a mask over the scan and goes to the middle of its largest structure. */
  showMask(picture: Uint8Array<ArrayBuffer>, labels: ReadonlyMap<number, string>): Promise<void>;
  hideMask(): void;
  /** 0 to 1 */
  setMaskOpacity(opacity: number): void;
  setSlice(axis: 0 | 1 | 2, slice: number): void;
  clear(): void;
}

const background = [16 / 255, 18 / 255, 22 / 255, 1];

/**
 * @param onMove called when the position changes, whoever changed it
 * @returns undefined when the browser has no WebGL 2
 */
export async function openViewer(
  canvas: HTMLCanvasElement,
  onMove: (position: Position) => void,
): Promise<Viewer | undefined> {
  if (!document.createElement('canvas').getContext('webgl2')) return undefined;
  const { Niivue, NVImage, MULTIPLANAR_TYPE, SHOW_RENDER, SLICE_TYPE } = await import('@niivue/niivue');
  const niivue = new Niivue({
    backColor: background,
    crosshairColor: [1, 1, 1, 0.55],
    crosshairWidth: 0.5,
    crosshairWidthUnit: 'percent',
    crosshairGap: 6,
    fontColor: [1, 1, 1, 0.9],
    // Without a color of its own, a cut shows the scan's; the mask is not cut.
    clipPlaneColor: [0, 0, 0, 0],
    isClipAllVolumes: false,
    sliceType: SLICE_TYPE.MULTIPLANAR,
    multiplanarLayout: MULTIPLANAR_TYPE.GRID,
    multiplanarShowRender: SHOW_RENDER.ALWAYS,
    multiplanarPadPixels: 8,
    tileMargin: 8,
    isRadiologicalConvention: true,
    sagittalNoseLeft: true,
    isColorbar: false,
    fontSizeScaling: 0.3,
    // The page has its own drop zone, and its own keys.
    dragAndDropEnabled: false,
    viewModeHotKey: '',
    clipPlaneHotKey: '',
    cycleClipPlaneHotKey: '',
    // Otherwise the wheel would turn slices while the reader scrolls past.
    scrollRequiresFocus: true,
    loadingText: '',
    logLevel: 'error',
  });
  await niivue.attachToCanvas(canvas);

  /** Cuts the scan of the 3-D picture open along the sagittal slice, so that the mask is seen where it lies. */
  let cutAt = -1;
  const cut = (x: number) => {
    if (x === cutAt) return;
    cutAt = x;
    // Distance from the middle, as a fraction of the volume; azimuth 270 is the patient's left, which goes.
    niivue.setClipPlane([0.5 - x, 270, 0]);
  };

  const toldPosition = () => {
    const [scan, mask] = niivue.volumes;
    if (!scan) return;
    const frac = niivue.scene.crosshairPos;
    cut(frac[0]);
    const slices = slicesAt(scan, frac);
    const [x, y, z] = niivue.frac2mm(frac);
    const at = (volume: NVImage) => volume.getValue(...slices, 0);
    onMove({ slices, counts: slicesOf(scan), mm: [x, y, z], intensity: at(scan), label: mask ? at(mask) : 0 });
  };
  niivue.onLocationChange = toldPosition;

  const load = async (picture: Uint8Array<ArrayBuffer>, name: string) =>
    NVImage.loadFromUrl({ url: picture.buffer, name });

  const goTo = (frac: readonly [number, number, number]) => {
    niivue.scene.crosshairPos = new Float32Array(frac) as unknown as Niivue['scene']['crosshairPos'];
    niivue.drawScene();
    toldPosition();
  };

  const hideMask = () => {
    for (const old of niivue.volumes.slice(1)) niivue.removeVolume(old);
  };

  const clear = () => {
    for (const volume of [...niivue.volumes].reverse()) niivue.removeVolume(volume);
  };

  return {
    async showScan(picture) {
      clear();
      niivue.addVolume(await load(picture, 'scan.nii'));
      goTo([0.5, 0.5, 0.5]);
    },

    async showMask(picture, labels) {
      const mask = await load(picture, 'mask.nii');
      const values = [0, ...labels.keys()];
      const colors = values.map((value) => (value === 0 ? [0, 0, 0] : labelColor(value)));
      const [R, G, B] = [0, 1, 2].map((part) => colors.map((color) => color[part]));
      const A = values.map((value) => (value === 0 ? 0 : 255));
      mask.setColormapLabel({ R, G, B, A, I: values, labels: values.map((value) => labels.get(value) ?? '') });
      hideMask();
      niivue.addVolume(mask);
      goTo(middleOfLargest(mask));
    },

    hideMask,

    setMaskOpacity(opacity) {
      if (niivue.volumes.length > 1) niivue.setOpacity(1, opacity);
    },

    setSlice(axis, slice) {
      const [scan] = niivue.volumes;
      if (!scan) return;
      const [x, y, z] = niivue.scene.crosshairPos;
      const frac: [number, number, number] = [x, y, z];
      frac[axis] = (slice + 0.5) / slicesOf(scan)[axis];
      goTo(frac);
    },

    clear,
  };
}

function slicesOf({ dimsRAS }: NVImage): [number, number, number] {
  if (!dimsRAS) throw new Error('the viewer has not read the image');
  return [dimsRAS[1], dimsRAS[2], dimsRAS[3]];
}

/** @param frac position from 0 to 1 along each axis */
function slicesAt(volume: NVImage, frac: ArrayLike<number>): [number, number, number] {
  const counts = slicesOf(volume);
  const at = (axis: 0 | 1 | 2) => Math.min(counts[axis] - 1, Math.max(0, Math.floor(frac[axis] * counts[axis])));
  return [at(0), at(1), at(2)];
}

/** From 0 to 1 along each axis: the center of the slices that cut most of the commonest label; the volume's, when all is background. */
function middleOfLargest(mask: NVImage): [number, number, number] {
  const [nx, ny, nz] = slicesOf(mask);
  const sums = new Map<number, { count: number; x: number; y: number; z: number }>();
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++) {
        const value = mask.getValue(x, y, z, 0);
        if (value === 0) continue;
        const sum = sums.get(value) ?? { count: 0, x: 0, y: 0, z: 0 };
        sum.count += 1;
        sum.x += x;
        sum.y += y;
        sum.z += z;
        sums.set(value, sum);
      }
    }
  }
  const [largest] = [...sums.values()].sort((a, b) => b.count - a.count);
  if (!largest) return [0.5, 0.5, 0.5];
  const { count, x, y, z } = largest;
  return [(x / count + 0.5) / nx, (y / count + 0.5) / ny, (z / count + 0.5) / nz];
}
