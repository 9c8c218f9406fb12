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

  /** @param what said before, because a boot takes seconds */
  async step<T>(what: string, work: () => Promise<T>): Promise<T> {
    const start = performance.now();
    this.#write(`  ${what}`);
    try {
      const value = await work();
      this.#write(` (${((performance.now() - start) / 1000).toFixed(1)} s)`);
      return value;
    } finally {
      this.#write('\n');
    }
  }

  outcome({ asPromised, command, guest, internet }: Outcome): void {
    this.#write(`  ${asPromised ? 'ok  ' : 'FAIL'} ${command}\n`);
    const saw = guest === '' ? '' : `the VM saw: ${guest}; `;
    this.#write(`       ${saw}the other end saw: ${internet}\n`);
  }
}

/** The outcomes as a table for people, in the order they came. */
export function tableOf(outcomes: readonly Outcome[]): string {
  const table = new Table({
    head: ['policy', 'from inside the VM', 'promised', 'the VM saw', 'the other end saw', ''],
    style: { head: [], border: [] },
    chars: { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' },
  });
  let last = '';
  for (const { policy, what, promised, guest, internet, asPromised } of outcomes) {
    const first = policy === last ? '' : policy;
    table.push([first, what, promised, guest, internet, asPromised ? 'ok' : 'FAIL']);
    last = policy;
  }
  return table.toString();
}
