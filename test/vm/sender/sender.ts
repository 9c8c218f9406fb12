import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { killGroup } from '../../lab/command.ts';
import type { Lab } from '../../lab/lab.ts';
import { firstLine } from '../../lab/machine.ts';
import { TREE } from '../../lab/paths.ts';

/** A hostile guest's frames on every TAP of the lab's VMs, for as long as this is there; see main.ts. */
export class Sender implements AsyncDisposable {
  readonly #child: ReturnType<Lab['spawn']>;
  readonly #lines: Interface;

  private constructor(child: ReturnType<Lab['spawn']>) {
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout! });
  }

  static async start(lab: Lab, destinations: readonly string[]): Promise<Sender> {
    const main = `${TREE}/test/vm/sender/main.ts`;
    const child = lab.spawn([process.execPath, '--disable-warning=*', main, ...destinations]);
    await firstLine(child, 'the sender of frames');
    child.stderr!.pipe(process.stderr);
    return new Sender(child);
  }

  /** How many frames TAPs have taken since the start. */
  async taken(): Promise<number> {
    const answer = once(this.#lines, 'line') as Promise<[string]>;
    this.#child.stdin!.write('?\n');
    return Number((await answer)[0]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    killGroup(this.#child);
  }
}
