/**
 * The errors that a user can act on. The command line turns them into exit codes; anything else is a bug.
 *
 * A message is one sentence (or a few) with what is wrong, where, and what to do.
 */

/** The user can mend it: a bad file, a bad option, an illegal size. Exit code 2. */
export class InputError extends Error {
  override readonly name = 'InputError';
}

/** The machine lacks something: memory, disk, a device. Exit code 3. */
export class ResourceError extends Error {
  override readonly name = 'ResourceError';
}
