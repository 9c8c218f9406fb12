import { messageOf } from '../host/failure.ts';
import { learnedOf, type Learned } from '../net/learned.ts';
import type { VmNetwork } from '../net/plan.ts';
import { changeLearned } from '../net/vm-links.ts';
import type { VmSurroundings } from '../policy/decide.ts';
import { domainMatcher, type DomainMatcher } from '../policy/domain-matcher.ts';
import { normalName } from '../policy/domain.ts';
import { dialJudge, nameJudge } from '../policy/name-verdict.ts';
import type { Policy, Surroundings } from '../policy/policy.ts';
import { holdsPort, type PortRange } from '../policy/ports.ts';
import { onlyWidens } from '../policy/widens.ts';
import type { LeaseStore } from '../store/leases.ts';
import { LeaseTable, LEASE_LIMITS, type Holding } from './lease-table.ts';

/** What a guest is about to be told of a name, as the gate says it. */
export interface WantedLease {
  vmId: string;
  generation: number;
  name: string;
  addresses: readonly string[];
  ttlSeconds: number;
}

/** A VM as leases are taken for it: it runs, under a policy that is in force. */
interface Holder {
  readonly network: VmNetwork;
  readonly generation: number;
  /** From this generation on, changes only widened: what they let through goes on. */
  readonly since: number;
  readonly policy: Policy;
  readonly matcher: DomainMatcher;
  readonly table: LeaseTable;
  /** What is in the kernel's set, by address; some of it may have ended. */
  readonly loaded: Map<string, readonly Learned[]>;
  /** Called when the policy changes. */
  readonly waiting: Set<() => void>;
}

/** The gate hears of a policy before the kernel: how long a lease under it waits for that. */
const CHANGE_DEADLINE_MS = 2_000;

/**
 * Which names hold which addresses for which VM, checked once more here: the
 * gate reads hostile bytes, and is believed nothing that the policy does not
 * allow. What is acknowledged is in the kernel.
 */
export class Leases {
  readonly #store: LeaseStore;
  readonly #world: () => Surroundings;
  readonly #onError: (vmId: string, error: string) => void;
  readonly #holders = new Map<string, Holder>();

  constructor(options: {
    store: LeaseStore;
    /** What no VM reaches, as it is now. */
    world: () => Surroundings;
    onError: (vmId: string, error: string) => void;
  }) {
    this.#store = options.store;
    this.#world = options.world;
    this.#onError = options.onError;
  }

  /**
   * From now on leases are taken for a VM.
   * @returns what its names still hold, for the ruleset that is about to be loaded
   */
  begin(vm: { id: string; policy: Policy; generation: number }, network: VmNetwork): Learned[] {
    const table = new LeaseTable(this.#store.of(vm.id));
    const holder = this.#hold(vm, network, table);
    return this.#load(holder);
  }

  /** The VM does not run any more. What its names hold, they hold if it starts again in time. */
  end(id: string): void {
    this.#holders.delete(id);
  }

  /** The VM is no more. */
  forget(id: string): void {
    this.end(id);
    this.#store.forget(id);
  }

  /**
   * Changes the policy of a VM that runs.
   * @param load puts the new ruleset in force, with what names still hold, and lets the flows of
   *   generations from `since` on be; when it throws nothing was changed
   * @param narrower it takes away what is not of the policy: no flow goes on unjudged
   * @returns how many addresses are no longer held
   */
  change(
    vm: { id: string; policy: Policy; generation: number },
    network: VmNetwork,
    load: (learned: readonly Learned[], since: number) => void,
    { narrower = false } = {},
  ): number {
    const before = this.#holders.get(vm.id);
    const table = new LeaseTable(before?.table.all());
    const widens = before !== undefined && !narrower && onlyWidens(before.policy, vm.policy);
    const holder = this.#hold(vm, network, table, widens ? before.since : vm.generation);
    const now = Date.now();
    const live = before?.table.all().filter(({ expiresAtMs }) => expiresAtMs > now) ?? [];
    try {
      load(this.#load(holder), holder.since);
    } catch (error) {
      if (before !== undefined) this.#holders.set(vm.id, before);
      throw error;
    }
    for (const wake of before?.waiting ?? []) wake();
    return live.length - table.all().length;
  }

  /** Takes leases, and gives the indexes of those that are not in force. */
  async take(leases: readonly WantedLease[]): Promise<number[]> {
    const groups = Map.groupBy(
      leases.map((lease, index) => ({ lease, index })),
      ({ lease: { vmId, generation } }) => `${vmId} ${generation}`,
    );
    const refused = await Promise.all([...groups.values()].map((group) => this.#takeGroup(group)));
    return refused.flat();
  }

  /** What a VM's names hold right now. */
  holdings(id: string): (Holding & { ports: readonly PortRange[] })[] {
    const holder = this.#holders.get(id);
    const now = Date.now();
    return (holder?.table.all() ?? [])
      .filter(({ expiresAtMs }) => expiresAtMs > now)
      .map((holding) => ({ ...holding, ports: holder!.matcher.leased(holding.name) }));
  }

  /** For `decide` under this policy: the name that holds an address for a protocol and port. */
  learned({ id, policy }: { id: string; policy: Policy }): NonNullable<VmSurroundings['learned']> {
    const matcher = domainMatcher(policy.domains);
    const holdings = this.holdings(id).filter(keptBy(policy, this.#world()));
    return (address, protocol, port) =>
      holdings.find(
        (each) => each.address === address && holdsPort(matcher.leased(each.name), protocol, port),
      )?.name;
  }

  /** How many addresses a change to this policy would take from names. */
  wouldDrop({ id, policy }: { id: string; policy: Policy }): number {
    const holdings = this.holdings(id);
    return holdings.length - holdings.filter(keptBy(policy, this.#world())).length;
  }

  /** The policy of a VM that runs, from the moment at which the kernel enforces it. */
  inForce(id: string): { network: VmNetwork; policy: Policy } | undefined {
    return this.#holders.get(id);
  }

  /** The VMs for which leases are taken, and their networks. */
  running(): [id: string, network: VmNetwork][] {
    return [...this.#holders].map(([id, { network }]) => [id, network]);
  }

  /** Strikes out what has ended. */
  expire(): void {
    const now = Date.now();
    for (const [id, { table, loaded }] of this.#holders) {
      const gone = table.remove(({ expiresAtMs }) => expiresAtMs <= now);
      this.#store.change(id, [], gone);
      for (const { address } of gone) {
        // The kernel has forgotten it by itself.
        if (table.ofAddress(address).length === 0) loaded.delete(address);
      }
    }
  }

  #hold(
    { id, policy, generation }: { id: string; policy: Policy; generation: number },
    network: VmNetwork,
    table: LeaseTable,
    since = generation,
  ): Holder {
    const keeps = keptBy(policy, this.#world());
    const now = Date.now();
    const gone = table.remove((holding) => holding.expiresAtMs <= now || !keeps(holding));
    this.#store.change(id, [], gone);
    const matcher = domainMatcher(policy.domains);
    const holder: Holder = {
      network,
      generation,
      since,
      policy,
      matcher,
      table,
      loaded: new Map(),
      waiting: new Set(),
    };
    this.#holders.set(id, holder);
    return holder;
  }

  /** All that is to be in the kernel's set. */
  #load({ table, loaded, matcher }: Holder): Learned[] {
    for (const address of new Set(table.all().map((holding) => holding.address))) {
      loaded.set(address, wanted(table, matcher, address));
    }
    return [...loaded.values()].flat();
  }

  async #takeGroup(group: readonly { lease: WantedLease; index: number }[]): Promise<number[]> {
    const { vmId, generation } = group[0]!.lease;
    const holder = await this.#underGeneration(vmId, generation);
    if (holder === undefined) return group.map(({ index }) => index);
    const keeps = keptBy(holder.policy, this.#world());
    const isRight = ({ name, addresses }: WantedLease) =>
      holder.policy.domains.length > 0 &&
      normalName(name) === name &&
      addresses.length <= LEASE_LIMITS.addressesOfName &&
      addresses.every((address) => isIpv4(address) && keeps({ name, address }));
    const right: WantedLease[] = [];
    const wrong: number[] = [];
    for (const { lease, index } of group) {
      if (isRight(lease)) right.push(lease);
      else wrong.push(index);
    }
    try {
      this.#putInForce(vmId, holder, right);
      return wrong;
    } catch (error) {
      this.#onError(vmId, messageOf(error));
      return group.map(({ index }) => index);
    }
  }

  #putInForce(vmId: string, holder: Holder, leases: readonly WantedLease[]): void {
    const { table, loaded, matcher, network } = holder;
    const now = Date.now();
    const held: Holding[] = [];
    const gone: Holding[] = [];
    for (const { name, addresses, ttlSeconds } of leases) {
      const { taken, evicted } = table.take(name, addresses, ttlSeconds, now);
      held.push(...taken);
      gone.push(...evicted);
    }
    const touched = new Set(
      [...held, ...gone]
        .filter(({ name }) => matcher.leased(name).length > 0)
        .map(({ address }) => address),
    );
    const changes = [...touched].map((address) => ({
      address,
      before: loaded.get(address) ?? [],
      after: wanted(table, matcher, address),
    }));
    try {
      if (changes.length > 0) {
        changeLearned(
          network,
          changes.flatMap(({ before }) => before),
          changes.flatMap(({ after }) => after),
        );
      }
    } catch (error) {
      const taken = new Set(held);
      table.remove((holding) => taken.has(holding));
      throw error;
    }
    for (const { address, after } of changes) loaded.set(address, after);
    this.#store.change(
      vmId,
      held.filter((holding) => table.has(holding)),
      gone,
    );
  }

  /** The VM once it is under this generation; undefined when it is past it, or does not run. */
  async #underGeneration(id: string, generation: number): Promise<Holder | undefined> {
    const holder = this.#holders.get(id);
    if (holder === undefined || generation < holder.generation) return undefined;
    if (generation === holder.generation) return holder;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, CHANGE_DEADLINE_MS);
    holder.waiting.add(resolve);
    await promise;
    clearTimeout(timer);
    holder.waiting.delete(resolve);
    const changed = this.#holders.get(id);
    return changed?.generation === generation ? changed : undefined;
  }
}

/**
 * Whether a name may hold an address under a policy. One that allows all the
 * rest needs no leases and takes none from names: the next may need them.
 */
function keptBy(
  policy: Policy,
  world: Surroundings,
): (holding: Pick<Holding, 'name' | 'address'>) => boolean {
  const allows = nameJudge(policy);
  const reaches = dialJudge(policy, world);
  return ({ name, address }) =>
    (policy.domains.length > 0 || policy.default === 'allow') &&
    allows({ name }).allow &&
    reaches(address).verdict === 'allow';
}

function wanted(table: LeaseTable, matcher: DomainMatcher, address: string): Learned[] {
  const now = Date.now();
  /** Until when each list of ports is held: names under one rule share one. */
  const held = new Map<readonly PortRange[], number>();
  for (const { name, expiresAtMs } of table.ofAddress(address)) {
    const ports = matcher.leased(name);
    held.set(ports, Math.max(held.get(ports) ?? 0, expiresAtMs));
  }
  return learnedOf(
    address,
    [...held].map(([ports, until]) => ({ ports, milliseconds: until - now })),
  );
}

function isIpv4(address: string): boolean {
  return /^(?:\d{1,3}\.){3}\d{1,3}$/.test(address);
}
