import type { DecisionBatch } from '../gen/vmsan/v1/gate_pb.js';
import { messageOf } from '../host/failure.ts';
import { forgetSeen, readCounters, readSeen, type Seen } from '../net/observe.ts';
import type { HostNetwork, VmNetwork } from '../net/plan.ts';
import { SEEN } from '../net/vm-seen.ts';
import type { Policy } from '../policy/policy.ts';
import type { VmSurroundings } from '../policy/decide.ts';
import type { Decided, TrafficStore } from '../store/traffic.ts';
import type { Leases } from './leases.ts';
import { surroundingsOf } from './policy.ts';
import { TrafficFollower, type News } from './traffic-follower.ts';
import { DecidedSum } from './traffic-sum.ts';
import {
  countedSince,
  explainer,
  keyOf,
  more,
  droppedUntil,
  NOTHING_READ,
  since,
  type LastRead,
} from './traffic-kernel.ts';

/** A VM that runs, with the policy that the kernel enforces. */
export interface Watched {
  network: VmNetwork;
  policy: Policy;
  /** What its decisions depend on beside the policy, as it is now. */
  world: () => VmSurroundings;
}

const WRITE_EVERY_MS = 500;
/** How often the kernel is looked at while nobody asks, and while somebody follows. */
const LOOK_EVERY_MS = 30_000;
const FOLLOW_EVERY_MS = 1000;
/** The same error is not told more often: the disk may be full of such. */
const COMPLAIN_EVERY_MS = 60_000;

/**
 * What was decided of what VMs asked for: the resolver and the proxy tell it as
 * it comes, the kernel when it is looked at. Nothing waits for it, and no
 * error of it is anybody else's.
 */
export class Traffic {
  readonly #store: TrafficStore;
  readonly #running: (id: string) => Watched | undefined;
  readonly #isKnown: (id: string) => boolean;
  readonly #onError: (error: string) => void;
  /** What is not written down yet, by VM. */
  readonly #news = new Map<string, DecidedSum>();
  /** By VM. */
  readonly #read = new Map<string, LastRead>();
  readonly #followers = new Set<TrafficFollower>();
  #writing: NodeJS.Timeout | undefined;
  #quietUntil = 0;

  constructor(options: {
    store: TrafficStore;
    /** The VM, when it runs. */
    running: (id: string) => Watched | undefined;
    /** Whether there is such a VM, running or not. */
    isKnown: (id: string) => boolean;
    onError: (error: string) => void;
  }) {
    this.#store = options.store;
    this.#running = options.running;
    this.#isKnown = options.isKnown;
    this.#onError = options.onError;
  }

  /** Looks at all of `ids` now and then. */
  keepLooking(ids: () => Iterable<string>): void {
    setInterval(() => {
      for (const id of ids()) this.look(id);
    }, LOOK_EVERY_MS).unref();
  }

  takeFromGate({ decisions, leftOut }: Pick<DecisionBatch, 'decisions' | 'leftOut'>): void {
    const known = new Map<string, boolean>();
    const isKnown = (id: string) => {
      const answer = known.get(id) ?? this.#isKnown(id);
      known.set(id, answer);
      return answer;
    };
    for (const { vmId, atMs, $typeName, ...decided } of decisions) {
      void $typeName;
      if (!isKnown(vmId)) continue;
      const at = Number(atMs);
      this.#add(vmId, { ...decided, firstAtMs: at, lastAtMs: at, count: 1 });
    }
    for (const [vmId, count] of Object.entries(leftOut)) {
      if (isKnown(vmId)) this.#leaveOut(vmId, Number(count));
    }
  }

  /** Takes down what the kernel decided for a VM since the last time. Never throws. */
  look(id: string): void {
    const watched = this.#running(id);
    if (watched === undefined) return;
    try {
      this.#look(id, watched);
    } catch (error) {
      this.#complain(error);
    }
  }

  /**
   * The policy of a VM was loaded anew: nothing was decided under it yet.
   * @param network so was its network
   */
  begin(id: string, { network = false } = {}): void {
    const { counters, dropped = {} } = this.#lastRead(id);
    const { refused, passed, ...kept } = counters;
    void [refused, passed];
    const going = network ? { counters: {}, dropped: {} } : { counters: kept, dropped };
    this.#remember(id, { ...going, seen: {} });
  }

  /** What was decided for a VM, newest last. Looks. */
  of(id: string, options: { sinceMs?: number; denied?: boolean } = {}): News {
    this.look(id);
    const { sinceMs = 0, denied = false } = options;
    const sum = new DecidedSum(this.#store.of(id, options), Infinity);
    const news = this.#news.get(id);
    for (const each of news?.entries() ?? []) {
      if (each.lastAtMs >= sinceMs && (!denied || each.verdict === 'deny')) sum.add(each);
    }
    const leftOut = this.#store.leftOut(id) + (news?.leftOut ?? 0);
    return { entries: sum.entries(), leftOut };
  }

  /** Packets of a VM that went no further since its network was made, by reason. Looks. */
  dropped(id: string): Record<string, number> {
    this.look(id);
    return this.#lastRead(id).dropped ?? {};
  }

  /** What there is, and then what comes, until the signal or the VM's end. */
  async *follow(
    id: string,
    options: { sinceMs?: number; denied?: boolean },
    signal: AbortSignal,
  ): AsyncGenerator<News> {
    const follower = new TrafficFollower(id, options.denied === true);
    const first = this.of(id, options);
    this.#followers.add(follower);
    try {
      yield first;
      for (let looked = performance.now(); !signal.aborted && !follower.ended;) {
        await follower.wait(signal, FOLLOW_EVERY_MS);
        if (performance.now() - looked >= FOLLOW_EVERY_MS) {
          this.look(id);
          looked = performance.now();
        }
        const news = follower.take();
        if (news !== null) yield news;
      }
    } finally {
      this.#followers.delete(follower);
    }
  }

  /** The VM is no more. */
  forget(id: string): void {
    this.#news.delete(id);
    this.#read.delete(id);
    for (const follower of this.#followers) if (follower.id === id) follower.end();
    this.#try(() => this.#store.forget(id));
  }

  /** Forgets VMs that are no more. */
  keepOnly(ids: readonly string[]): void {
    this.#try(() => this.#store.keepOnly(ids));
  }

  /** Writes down what there is, when there is room. */
  write(): void {
    clearTimeout(this.#writing);
    this.#writing = undefined;
    this.#try(() => {
      if (this.#news.size === 0 || !this.#store.hasRoom()) return;
      const changes = [...this.#news].map(([id, news]) => {
        const read = JSON.stringify(this.#read.get(id) ?? NOTHING_READ);
        return [id, { entries: news.entries(), leftOut: news.leftOut, read }] as const;
      });
      this.#store.change(new Map(changes));
      this.#news.clear();
    });
  }

  #look(id: string, { network, policy, world }: Watched): void {
    const last = this.#lastRead(id);
    const counters = readCounters(network);
    const nowMs = Date.now();
    const read: LastRead = {
      counters: Object.fromEntries([...counters].map(([name, { packets }]) => [name, packets])),
      seen: { ...last.seen },
      dropped: droppedUntil(counters, last),
    };
    let explain: ReturnType<typeof explainer> | undefined;
    for (const each of countedSince(counters, last, nowMs)) this.#add(id, each);
    for (const [verdict, counter] of [
      ['deny', 'refused'],
      ['allow', 'passed'],
    ] as const) {
      const decided = since(counters, last, counter);
      if (decided === 0) continue;
      explain ??= explainer(policy, world());
      const there = readSeen(network, verdict, nowMs);
      const listed = this.#addSeen(id, there, read.seen, explain);
      this.#leaveOut(id, Math.max(0, decided - listed));
      // Packets that came between the two readings are told already.
      read.counters[counter]! += Math.max(0, listed - decided);
      if (!isCrowded(there)) continue;
      forgetSeen(network, verdict);
      for (const each of there) delete read.seen[keyOf(each)];
    }
    this.#remember(id, read);
  }

  /** @returns of how many packets they tell */
  #addSeen(
    id: string,
    there: readonly Seen[],
    seen: LastRead['seen'],
    explain: (seen: Seen, count: number) => Decided,
  ): number {
    let listed = 0;
    for (const each of there) {
      const key = keyOf(each);
      const count = more(each.packets, seen[key]);
      seen[key] = each.packets;
      if (count === 0) continue;
      listed += count;
      this.#add(id, explain(each, count));
    }
    return listed;
  }

  #lastRead(id: string): LastRead {
    const known = this.#read.get(id);
    if (known !== undefined) return known;
    let read = NOTHING_READ;
    this.#try(() => {
      const text = this.#store.read(id);
      if (text) read = JSON.parse(text) as LastRead;
    });
    this.#read.set(id, read);
    return read;
  }

  #remember(id: string, read: LastRead): void {
    const before = this.#read.get(id);
    this.#read.set(id, read);
    if (JSON.stringify(before) !== JSON.stringify(read)) this.#newsOf(id);
  }

  #add(id: string, decided: Decided): void {
    this.#newsOf(id).add(decided);
    for (const follower of this.#followers) follower.add(id, decided);
  }

  #leaveOut(id: string, count: number): void {
    if (count === 0) return;
    this.#newsOf(id).leftOut += count;
    for (const follower of this.#followers) follower.leaveOut(id, count);
  }

  #newsOf(id: string): DecidedSum {
    const news = this.#news.get(id) ?? new DecidedSum();
    this.#news.set(id, news);
    this.#writing ??= setTimeout(() => this.write(), WRITE_EVERY_MS).unref();
    return news;
  }

  #try(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#complain(error);
    }
  }

  #complain(error: unknown): void {
    if (performance.now() < this.#quietUntil) return;
    this.#quietUntil = performance.now() + COMPLAIN_EVERY_MS;
    this.#onError(messageOf(error));
  }
}

/** A VM that runs, as the leases know it. */
export function watchedOf(leases: Leases, host: HostNetwork, id: string): Watched | undefined {
  const inForce = leases.inForce(id);
  if (inForce === undefined) return undefined;
  const { network, policy } = inForce;
  return {
    network,
    policy,
    world: () => ({
      ...surroundingsOf(host),
      gateway: network.gatewayIp,
      learned: leases.learned({ id, policy }),
    }),
  };
}

/** Whether a set is about to be full, of either kind of protocols. */
function isCrowded(there: readonly Seen[]): boolean {
  const withPort = there.filter(({ port }) => port !== undefined).length;
  return withPort > SEEN.ports / 2 || there.length - withPort > SEEN.others / 2;
}
