/**
 * A name that a file gave, fit to stand in an error message: quoted, control characters escaped, at most 120 characters.
 */
export function quote(name: string): string {
  return JSON.stringify(name.length <= 120 ? name : name.slice(0, 117) + '...');
}
