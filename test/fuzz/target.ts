import type { Random } from './random.ts';

/** A parser under test, and what must hold of it whatever the input. */
export interface Target {
  name: string;
  /** Words that mean something to it. */
  words: readonly Buffer[];
  /**
   * @returns what became of the input, in few words: inputs that lead somewhere
   *   new are kept and changed further
   * @throws when something does not hold
   */
  check: (input: Buffer, random: Random) => string;
}

export function words(...texts: string[]): Buffer[] {
  return texts.map((text) => Buffer.from(text, 'latin1'));
}

export function hexWords(...texts: string[]): Buffer[] {
  return texts.map((text) => Buffer.from(text, 'hex'));
}
