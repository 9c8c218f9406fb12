import type { Context } from './context.ts';

/** Where a sentence for the user goes. */
export type Notice = (text: string) => void;

/** Says something the first time `about` comes up on this host, and never again. */
export function sayOnce(context: Context, notice: Notice, about: string, text: string): void {
  const fact = `said: ${about}`;
  if (context.store.fact(fact) !== undefined) return;
  context.store.setFact(fact, 'yes');
  notice(text);
}
