import type { Connection } from '../gen/vmsan/v1/gate_pb.js';
import { Mutex } from '../host/mutex.ts';
import type { Opening, Upstream } from '../net/host-ruleset.ts';
import {
  addGateAddress,
  clearHostNetwork,
  setHostNetwork,
  type LentSysctls,
} from '../net/host-network.ts';
import { addPasses, removePasses } from '../net/firewall/firewall.ts';
import { findingWords } from '../net/firewall/words.ts';
import { hostSignature } from '../net/host-signature.ts';
import { LoadedTable } from '../net/loaded-table.ts';
import type { HostNetwork, VmNetwork } from '../net/plan.ts';
import { keepRoutesToVms, removeRoutingRule } from '../net/routing-rule.ts';
import { routedNetworks } from '../net/routes.ts';
import type { Policy } from '../policy/policy.ts';
import type { PublishedPort } from '../policy/published-ports.ts';
import { Gate, type GuestView } from './gate.ts';
import { surroundingsOf } from './policy.ts';
import { ReadyNetworks, type ReadyNetwork } from './ready-networks.ts';

/**
 * Where the next network would be, beside the host's routes (CIDRs); null when
 * the pool is full.
 */
export type Place = (routes: readonly string[]) => { id: string; network: VmNetwork } | null;

/** A VM's share in the host's network. */
export interface Attachment {
  network: VmNetwork;
  policy: Policy;
  /** The policy's. */
  generation: number;
  ports: readonly PublishedPort[];
}

/**
 * The part of the host's network that all VMs share: the host's table, the
 * gate's address, and the gate. It is there while a VM is, and no longer.
 */
export class SharedNetwork {
  readonly #host: HostNetwork;
  readonly #runDir: string;
  readonly #lent: LentSysctls;
  readonly #upstreams: () => Upstream[];
  readonly #onGate: (gate: Gate) => void;
  readonly #onRestart: () => void;
  readonly #onUse: (used: boolean) => void;
  readonly #onError: (error: unknown) => void;
  readonly #onRefusals: (refusals: readonly string[]) => void;
  readonly #attached = new Map<string, Attachment>();
  readonly #table = new LoadedTable();
  readonly #ready: ReadyNetworks;
  readonly #turn = new Mutex();
  #gate: Gate | null = null;
  /** Other firewalls have been looked at, and let VMs pass. */
  #passes = false;
  /** What they refuse all the same, in words. */
  #refusals: readonly string[] = [];
  /** What the host was like when `lookAround` looked last. */
  #seen = '';

  constructor(options: {
    host: HostNetwork;
    runDir: string;
    lent: LentSysctls;
    upstreams: () => Upstream[];
    /** How many networks are made ahead. */
    readyNetworks: number;
    /** Told of every gate, from its first moment. */
    onGate: (gate: Gate) => void;
    /** Told when the gate had ended and was started again. */
    onRestart: () => void;
    /** Told whether there is a VM. */
    onUse: (used: boolean) => void;
    /** Told when the gate could not be started again, or other firewalls not be looked at. */
    onError: (error: unknown) => void;
    /** Told of what other firewalls go on refusing of VMs' packets, when it is new. */
    onRefusals: (refusals: readonly string[]) => void;
  }) {
    this.#host = options.host;
    this.#ready = new ReadyNetworks(options.host, options.readyNetworks);
    this.#runDir = options.runDir;
    this.#lent = options.lent;
    this.#upstreams = options.upstreams;
    this.#onGate = options.onGate;
    this.#onRestart = options.onRestart;
    this.#onUse = options.onUse;
    this.#onError = options.onError;
    this.#onRefusals = options.onRefusals;
  }

  get gatePid(): number {
    return this.#gate?.process.pid ?? 0;
  }

  /** What other firewalls refuse of VMs' packets all the same, in words. */
  get refusals(): readonly string[] {
    return this.#refusals;
  }

  /** The slots of networks that are no VM's yet. */
  slotsAhead(): number[] {
    return this.#ready.networks().map(({ slot }) => slot);
  }

  /** A network that was made ahead, when there is one; for the VM that takes its id. */
  takeReady(): ReadyNetwork | undefined {
    return this.#ready.take();
  }

  /** Takes away what `takeReady` gave, when it becomes no VM's. Twice is once. */
  discard(ready: ReadyNetwork): Promise<void> {
    return this.#turn.run(() => this.#ready.discard(ready));
  }

  /** Makes networks ahead for VMs to come, one after the other, while there is a VM. */
  async makeAhead(place: Place): Promise<void> {
    for (let more = true; more;) {
      more = await this.#turn.run(async () => {
        if (this.#attached.size === 0 || this.#ready.isFull) return false;
        const routes = await routedNetworks();
        // Nothing is awaited between the choice of a slot and its being known.
        const next = place(routes);
        if (next === null) return false;
        await this.#ready.add(next.id, next.network, () => this.#setHost());
        return true;
      });
    }
  }

  /** Lets a VM's link in, under its policy. When it returns the host routes for it and names resolve. */
  attach(id: string, attachment: Attachment): Promise<void> {
    return this.#turn.run(async () => {
      this.#attached.set(id, attachment);
      this.#ready.forget(id);
      await this.#apply();
    });
  }

  /**
   * Tells the gate of a VM's new policy, and the host's table of what it opens of the host and
   * of its published ports.
   * @returns how many proxied connections that ended
   */
  change(id: string, changes: Omit<Attachment, 'network'>): Promise<number> {
    return this.#turn.run(async () => {
      const attachment = this.#attached.get(id);
      if (attachment === undefined) return 0;
      const { policy, generation, ports } = changes;
      const changed = { ...attachment, policy, generation, ports };
      this.#attached.set(id, changed);
      let ended = 0;
      if (hostRulesOf(attachment) !== hostRulesOf(changed)) ended += await this.#apply();
      try {
        return ended + (await this.#tellGate());
      } catch (error) {
        // It may still answer under the old policy. The next one starts with the new.
        this.#onError(error);
        await this.#gate?.stop();
        return ended;
      }
    });
  }

  /** Loads the host's table anew: somebody else has changed it. */
  restore(): Promise<void> {
    return this.#turn.run(async () => {
      this.#table.forget();
      if (this.#attached.size > 0) await this.#apply();
    });
  }

  /** Has the gate resolve names again for a VM: see `Gate.renew`. */
  async renew(vmId: string, names: readonly string[]): Promise<void> {
    await this.#gate?.renew(vmId, names);
  }

  /** What a VM has open through the proxy. @throws when the gate does not answer */
  async connections(vmId: string): Promise<readonly Connection[]> {
    return (await this.#gate?.connections(vmId)) ?? [];
  }

  /** How many proxied connections a change would end. @throws when the gate does not answer */
  async wouldEnd(id: string, policy: Policy, generation: number): Promise<number> {
    const attachment = this.#attached.get(id);
    if (attachment === undefined) return 0;
    const { guestIp } = attachment.network;
    const guest = { vmId: id, guestIp, policy, generation };
    return (await this.#gate?.wouldEnd(guest, surroundingsOf(this.#host))) ?? 0;
  }

  /** Shuts a VM's link out. With the last one, the host is left as it was before the first. */
  detach(id: string): Promise<void> {
    return this.#turn.run(async () => {
      const wasReady = this.#ready.forget(id);
      if (!this.#attached.delete(id) && !wasReady) return;
      if (this.#attached.size > 0) await this.#apply();
      else await this.#clear();
    });
  }

  /**
   * Looks whether something of the host that VMs depend on is not as it was, and follows it:
   * resolvers, routes, other firewalls, our own table when somebody took it away.
   * @returns how many ms the look took
   */
  lookAround(): Promise<number> {
    return this.#turn.run(async () => {
      if (this.#attached.size === 0) return 0;
      const start = performance.now();
      const seen = JSON.stringify([this.#upstreams(), await hostSignature(this.#host)]);
      const ms = performance.now() - start;
      if (seen === this.#seen) return ms;
      this.#table.forget();
      this.#passes = false;
      await this.#apply();
      const vms = [...this.#attached.values()].map(({ network }) => network);
      await keepRoutesToVms(this.#host, vms);
      // Not before: what failed is tried again.
      this.#seen = seen;
      return ms;
    });
  }

  /** Takes up what an earlier daemon left: all of `attachments`, or nothing at all. */
  adopt(attachments: ReadonlyMap<string, Attachment>): Promise<void> {
    return this.#turn.run(async () => {
      const gate = await Gate.adopt(this.#runDir);
      if (gate !== null) {
        await addGateAddress(this.#host);
        this.#keep(gate);
      }
      for (const [id, attachment] of attachments) this.#attached.set(id, attachment);
      if (this.#attached.size > 0) await this.#apply();
      else await this.#clear();
    });
  }

  /** @returns how many proxied connections it ended */
  async #apply(): Promise<number> {
    if (this.#gate?.isAlive() !== true) {
      await addGateAddress(this.#host);
      this.#keep(await Gate.start(this.#host, this.#runDir));
    }
    const ended = await this.#tellGate();
    await this.#setHost();
    if (!this.#passes) await this.#addPasses();
    this.#onUse(true);
    return ended;
  }

  /** After our own table, which judges what passes. A VM may not need them: without, it comes up too. */
  async #addPasses(): Promise<void> {
    try {
      const findings = await addPasses(this.#host);
      this.#passes = true;
      const refusals = findings.filter(({ passed }) => !passed).map(findingWords);
      const news = refusals.filter((words) => !this.#refusals.includes(words));
      this.#refusals = refusals;
      if (news.length > 0) this.#onRefusals(news);
    } catch (error) {
      this.#onError(error);
    }
  }

  async #setHost(): Promise<void> {
    await setHostNetwork(
      this.#host,
      {
        vms: [...this.#attached.values()].map(({ network }) => network),
        waiting: this.#ready.networks(),
        gateUp: true,
        upstreams: this.#upstreams(),
        opened: [...this.#attached.values()].flatMap(openingsOf),
        dialable: [...this.#attached.values()].flatMap(({ policy }) => dialableOf(policy)),
        published: [...this.#attached.values()].flatMap(({ network: vm, ports }) =>
          ports.map((port) => ({ vm, port })),
        ),
      },
      this.#lent,
      this.#table,
    );
  }

  /** Follows a gate to its end, and starts another while there are VMs. */
  #keep(gate: Gate): void {
    this.#gate = gate;
    this.#onGate(gate);
    void gate
      .ended()
      .then(() =>
        this.#turn.run(async () => {
          if (this.#gate !== gate) return;
          this.#gate = null;
          if (this.#attached.size === 0) return;
          await this.#apply();
          this.#onRestart();
        }),
      )
      .catch(this.#onError);
  }

  async #tellGate(): Promise<number> {
    const guests = [...this.#attached].map(
      ([vmId, { network, policy, generation }]): GuestView => ({
        vmId,
        guestIp: network.guestIp,
        policy,
        generation,
      }),
    );
    const told = await this.#gate?.setSnapshot(
      guests,
      this.#upstreams(),
      surroundingsOf(this.#host),
    );
    return told ?? 0;
  }

  async #clear(): Promise<void> {
    this.#onUse(false);
    await this.#ready.drain();
    const gate = this.#gate;
    // Before its end, so that nobody starts another in its place.
    this.#gate = null;
    this.#passes = false;
    this.#refusals = [];
    this.#seen = '';
    await gate?.stop();
    try {
      await removePasses();
      await removeRoutingRule(this.#host);
    } finally {
      await clearHostNetwork(this.#host, this.#lent, this.#table);
    }
  }
}

/** What the proxy may dial of networks that are not public: those that a policy with names allows. */
function dialableOf(policy: Policy): readonly string[] {
  return policy.domains.length === 0 ? [] : policy.allowed;
}

/** What of a VM's policy is in the host's table, to be compared. */
function hostRulesOf(attachment: Attachment): string {
  return JSON.stringify([openingsOf(attachment), dialableOf(attachment.policy), attachment.ports]);
}

/** The host's own addresses are opened one by one; of link-local, what the host forwards needs nothing. */
function openingsOf({ network: vm, policy }: Attachment): Opening[] {
  return policy.opened
    .filter((cidr) => cidr.endsWith('/32'))
    .map((cidr) => ({ vm, address: cidr.slice(0, -'/32'.length) }));
}
