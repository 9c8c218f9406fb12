import Table from 'cli-table3';
import type { Outcome } from './probes.ts';

/** Says what is being done, line by line, with the time each took. */
export class Narrator {
  readonly #write: (text: string) => void;

  /** @param write gets whole lines */
  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  heading(text: string): void {
    this.#write(`\n${text}\n`);
  }

  async step<T>(what: string, work: () => Promise<T>): Promise<T> {
    const start = performance.now();
    const value = await work();
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    this.#write(`  ${what} (${seconds} s)\n`);
    return value;
  }

  outcome(outcome: Outcome): void {
    this.#write(`  ${outcome.asPromised ? 'ok  ' : 'FAIL'} ${outcome.command}\n`);
    this.#write(`       the VM saw: ${outcome.guest}; the other end saw: ${outcome.internet}\n`);
  }
}

/** The outcomes as a table for people, in the order they came. */
export function tableOf(outcomes: readonly Outcome[]): string {
  const table = new Table({
    head: ['policy', 'from inside the VM', 'promised', 'the VM saw', 'the other end saw', ''],
    style: { head: [], border: [] },
    colWidths: [14, 26, 10, 34, 26, 6],
    wordWrap: true,
  });
  for (const { policy, what, promised, guest, internet, asPromised } of outcomes) {
    table.push([policy, what, promised, guest, internet, asPromised ? 'ok' : 'FAIL']);
  }
  return table.toString();
}
