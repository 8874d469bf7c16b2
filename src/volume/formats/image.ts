/** What every reader of this folder takes and gives, whatever the format. */
import type { Volume } from '../volume.ts';
import type { NiftiHeader } from './niftiHeader.ts';

/** A file that can be read from its beginning or whole: on a disk in Node, dropped on a page in a browser. */
export interface ImageFile {
  /** Path within what was given, with `/` between folders; used in messages. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /**
   * All of its bytes, or as many of its first ones.
   * @throws InputError when it cannot be read
   */
  read(length?: number): Promise<Uint8Array>;
}

export interface VolumeImage {
  /** What a person calls the format: `NIfTI-1`, `NRRD`, `DICOM, JPEG 2000 lossless`. */
  readonly format: string;
  /** Intensities after any stored scale and intercept, in the stored axis order. */
  readonly volume: Volume;
  /** What was assumed or changed on the way in, one sentence each, for the user to see. */
  readonly notices: readonly string[];
  /** Of a NIfTI file: what it said of its geometry, so that a mask's header can repeat it bit for bit. */
  readonly header?: NiftiHeader;
}
