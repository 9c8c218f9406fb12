import { closeFd } from '../host/ffi.ts';
import type { HostNetwork, VmNetwork } from '../net/plan.ts';
import * as links from '../net/vm-links.ts';
import { UNLIMITED } from '../policy/bandwidth.ts';
import { DENY_ALL } from '../policy/policy.ts';

/**
 * The network of a VM that is still to come: netns, TAP and links are there
 * and up, under deny-all, and the host's table knows no VM behind the link.
 */
export interface ReadyNetwork {
  id: string;
  network: VmNetwork;
  /** The TAP's descriptor; null when somebody else has it. */
  tapFd: number | null;
}

/** Networks made ahead, while nobody waits: spawning and linking is most of what a network takes. */
export class ReadyNetworks {
  readonly #host: HostNetwork;
  readonly #wanted: number;
  readonly #ready: ReadyNetwork[] = [];
  /** Those that are ready, being made, or taken and not let in yet. */
  readonly #known = new Map<string, VmNetwork>();

  /** @param wanted so many VMs created at once find one */
  constructor(host: HostNetwork, wanted: number) {
    this.#host = host;
    this.#wanted = wanted;
  }

  get isFull(): boolean {
    return this.#ready.length >= this.#wanted;
  }

  /** What no VM is behind yet. */
  networks(): VmNetwork[] {
    return [...this.#known.values()];
  }

  /**
   * Makes one.
   * @param announce has the host's table know its link, before there is one
   */
  async add(id: string, network: VmNetwork, announce: () => Promise<void>): Promise<void> {
    const ready: ReadyNetwork = { id, network, tapFd: null };
    this.#known.set(id, network);
    try {
      await announce();
      await links.addAnchor(network);
      ready.tapFd = links.openGuardedTap(network, this.#host, DENY_ALL, 1);
      await links.connectLinks(network, UNLIMITED);
    } catch (error) {
      await this.discard(ready);
      throw error;
    }
    this.#ready.push(ready);
  }

  /** One that is ready, for the VM that has its id from now on. */
  take(): ReadyNetwork | undefined {
    return this.#ready.shift();
  }

  /** The VM of this id is in the host's table, or has been taken away. */
  forget(id: string): boolean {
    return this.#known.delete(id);
  }

  /** Takes one away. Twice is once. */
  async discard(ready: ReadyNetwork): Promise<void> {
    if (ready.tapFd !== null) closeFd(ready.tapFd);
    ready.tapFd = null;
    await links.removeHostLink(ready.network);
    await links.removeAnchor(ready.network);
    this.forget(ready.id);
  }

  /** Takes all of them away that are nobody's. */
  async drain(): Promise<void> {
    for (let ready = this.take(); ready !== undefined; ready = this.take()) {
      await this.discard(ready);
    }
  }
}
