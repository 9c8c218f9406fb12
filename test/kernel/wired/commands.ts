import { createInterface } from 'node:readline';
import type { WantedLease } from '../../../src/daemon/leases.ts';
import type { Learned } from '../../../src/net/learned.ts';
import type { VmNetwork } from '../../../src/net/plan.ts';
import type { Caps } from '../../../src/net/vm-caps.ts';
import { UNLIMITED, type Bandwidth } from '../../../src/policy/bandwidth.ts';
import type { PolicyWords } from '../../../src/policy/policy.ts';
import { killGroup, type ExecOptions, type ExecResult } from '../../lab/command.ts';
import type { Lab } from '../../lab/lab.ts';
import { TREE } from '../../lab/paths.ts';

/** A policy by its base, or with lists. */
export type Said = string | PolicyWords;

/** What the program in main.ts understands. A slot is a wired guest's name. */
export type Command =
  | { do: 'add'; slot: number; policy: Said; netns: boolean; bandwidth: Bandwidth }
  | { do: 'bandwidth'; slot: number; bandwidth: Bandwidth }
  | { do: 'policy'; slot: number; policy: Said; generation: number; learned?: Learned[] }
  | { do: 'publish'; slot: number; ports: string[]; policy: Said; generation: number }
  | { do: 'restore'; slot: number }
  | { do: 'holdings'; slot: number }
  | { do: 'take'; slot: number; leases: WantedLease[] }
  /** What was decided, as of now. */
  | { do: 'traffic'; slot: number }
  | { do: 'kill gate'; slot: number }
  | { do: 'learn'; slot: number; removed: Learned[]; added: Learned[] }
  | { do: 'caps'; slot: number; caps: Partial<Caps> }
  | { do: 'frames'; slot: number; frames: string[] }
  | { do: 'remove'; slot: number }
  /** What a daemon does that starts where no VM runs. */
  | { do: 'adopt none'; slot: number };

/** VM networks on a lab's host, with wired guests in the place of VMs. */
export class WiredNetworks implements AsyncDisposable {
  readonly #lab: Lab;
  readonly #child: ReturnType<Lab['spawn']>;
  readonly #lines: AsyncIterator<string>;

  private constructor(lab: Lab) {
    this.#lab = lab;
    // Each guest, gone ones too, has two reads waiting, each of which takes a thread of the pool (4 by default).
    this.#child = lab.spawn([process.execPath, `${TREE}/test/kernel/wired/main.ts`], {
      env: { UV_THREADPOOL_SIZE: '128' },
    });
    this.#child.stderr?.pipe(process.stderr);
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  static async start(lab: Lab): Promise<WiredNetworks> {
    const networks = new WiredNetworks(lab);
    await networks.#line();
    return networks;
  }

  /** @throws Error with the program's words */
  async do(command: Command): Promise<unknown> {
    this.#child.stdin!.write(`${JSON.stringify(command)}\n`);
    const answer = JSON.parse(await this.#line()) as { result?: unknown; error?: string };
    if (answer.error !== undefined) throw new Error(`${command.do}: ${answer.error}`);
    return answer.result;
  }

  async add(
    slot: number,
    policy: Said,
    { netns = true, bandwidth = UNLIMITED }: { netns?: boolean; bandwidth?: Bandwidth } = {},
  ): Promise<VmNetwork> {
    return (await this.do({ do: 'add', slot, policy, netns, bandwidth })) as VmNetwork;
  }

  /** Runs a command in a wired guest. */
  exec(slot: number, argv: readonly string[], options?: ExecOptions): Promise<ExecResult> {
    return this.#lab.exec(inGuest(slot, argv), options);
  }

  /** Starts a command in a wired guest. */
  spawn(slot: number, argv: readonly string[]): ReturnType<Lab['spawn']> {
    return this.#lab.spawn(inGuest(slot, argv));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    killGroup(this.#child);
    await this.#lines.return?.();
  }

  async #line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error('the program of the wired networks has ended');
    return value;
  }
}

function inGuest(slot: number, argv: readonly string[]): string[] {
  return ['nsenter', `--net=/run/netns/guest-${slot}`, '--', ...argv];
}
