/**
 * Something wrong with a data set: said alone as an error, or as one of many by `unetrpp check`.
 */
export interface Fault {
  /** Path from the data set's folder. */
  readonly file: string;
  /** What is wrong and where: a sentence as far as its semicolon. */
  readonly text: string;
  /** What to do: the rest of the sentence, without its full stop. */
  readonly remedy: string;
}

export const sentenceOf = ({ text, remedy }: Fault) => `${text}; ${remedy}.`;
