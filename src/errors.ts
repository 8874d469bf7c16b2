/**
 * The errors that a user can act on. The command line turns them into exit codes; anything else is a bug.
 *
 * A message is one sentence (or a few) with what is wrong, where, and what to do. Here are also the two phrases that many of
 * them need.
 */

/** The user can mend it: a bad file, a bad option, an illegal size. Exit code 2. */
export class InputError extends Error {
  override readonly name = 'InputError';
}

/** The machine lacks something: memory, disk, a device. Exit code 3. */
export class ResourceError extends Error {
  override readonly name = 'ResourceError';
}

/** Names for a message, the first few. */
export function some(names: readonly string[]): string {
  const shown = names.slice(0, 3).join(', ');
  return names.length > 3 ? `${shown} and ${names.length - 3} more` : shown;
}

/** `1 case`, `3 cases`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
