/**
 * Why a checkpoint was not read. The kind is for programs (a command may offer to read the tensors alone); a person
 * reads the message, which says the same.
 */
import { InputError } from '../errors.ts';

export type CheckpointFault =
  /** Another kind of file. */
  | 'not-a-checkpoint'
  /** Something that must be there is missing: the file was cut short. */
  | 'truncated'
  /** It contradicts itself, or states what cannot be. */
  | 'damaged'
  /** It is legal, but holds something that is not read here, or more than is read here. */
  | 'unsupported'
  /** It asks to import something that weights do not need. */
  | 'global-not-allowed';

export class CheckpointError extends InputError {
  readonly kind: CheckpointFault;

  constructor(kind: CheckpointFault, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}
