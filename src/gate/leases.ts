import type { MessageInitShape } from '@bufbuild/protobuf';
import type { LeaseOutcome } from '../dns/resolver.ts';
import type { LeaseBatchSchema } from '../gen/vmsan/v1/gate_pb.js';
import { Feed } from './feed.ts';
import type { Guest } from './guest.ts';

export type Batch = MessageInitShape<typeof LeaseBatchSchema>;

/** What a guest is about to be told of a name. */
export interface Wanted {
  name: string;
  addresses: readonly string[];
  /** Seconds. */
  ttl: number;
}

export interface LeaseLimits {
  /** Milliseconds that an answer waits for vmsand. */
  ackMs: number;
  /** Leases that are on their way, or wait to be: of one VM, and of all. */
  perVm: number;
  total: number;
}

/** A stub resolver asks again after 5 s; vmsand answers in less than one. */
const LIMITS: LeaseLimits = { ackMs: 2000, perVm: 300, total: 4096 };
/** So many of each VM go even when others have taken all. */
const RESERVED = 4;
/** Batches that vmsand has not read yet. */
const MAX_UNREAD = 8;
/** Leases of one batch: one transaction of the kernel's. */
const MAX_BATCH = 512;
/** With so many batches unacknowledged the next leases wait, at most `GATHER_MS`: a batch costs more than a lease of it. */
const BUSY_BATCHES = 1;
const GATHER_MS = 20;
/** vmsand may have dropped a lease for newer ones meanwhile: an older one is asked for again. */
const RECENT_MS = 5000;
const MAX_REMEMBERED = 10_000;
/** vmsand lets no lease end sooner. */
const SHORTEST_SECONDS = 30;

const UNWATCHED = 'vmsan: its daemon is not there to let the VM through to the address; ask again';
const LATE = 'vmsan: its daemon did not let the VM through to the address in time; ask again';
const REFUSED = 'vmsan: its daemon does not let the VM through to the address';
const FULL = 'vmsan: too many addresses wait to be let through';

interface Pending {
  key: string;
  vmId: string;
  generation: number;
  wanted: Wanted;
  settle: (outcome: LeaseOutcome) => void;
  outcome: Promise<LeaseOutcome>;
}

interface Held {
  generation: number;
  addresses: ReadonlySet<string>;
  /** Milliseconds, monotonic. */
  since: number;
  until: number;
}

/**
 * Leases, as the gate sees them: what of an answer the kernel has to let
 * through before the guest may learn it. Those of one turn of the event loop
 * go to vmsand as one batch, and vmsand says when they are in force.
 */
export class Leases {
  readonly #limits: LeaseLimits;
  readonly #now: () => number;
  readonly #feed = new Feed<Batch>(() => this.#end());
  readonly #queue: Pending[] = [];
  readonly #sent = new Map<bigint, { batch: Pending[]; timer: NodeJS.Timeout }>();
  readonly #pending = new Map<string, Pending>();
  /** Of `#pending`, by VM. */
  readonly #counts = new Map<string, number>();
  readonly #held = new Map<string, Held>();
  #lastId = 0n;
  #flushing = false;
  #gathering: NodeJS.Timeout | undefined;

  /** @param now milliseconds, monotonic */
  constructor(limits: LeaseLimits = LIMITS, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Has a guest let through; resolves when that is so, or with why it is not. Never rejects. */
  ask(guest: Guest, wanted: Wanted): Promise<LeaseOutcome> {
    const { vmId, generation } = guest;
    if (this.#isHeld(guest, wanted)) return Promise.resolve('held');
    if (!this.#feed.isWatched) return Promise.resolve({ why: UNWATCHED });
    // A watcher that does not read: what lies there for it is bounded.
    if (this.#feed.unread >= MAX_UNREAD) return Promise.resolve({ why: LATE });
    const key = JSON.stringify([vmId, generation, wanted.name, wanted.addresses]);
    const same = this.#pending.get(key);
    if (same !== undefined) return same.outcome;
    const mine = this.#counts.get(vmId) ?? 0;
    const { perVm, total } = this.#limits;
    if (mine >= perVm || (this.#pending.size >= total && mine >= RESERVED)) {
      return Promise.resolve({ why: FULL });
    }
    this.#counts.set(vmId, mine + 1);
    const { promise, resolve } = Promise.withResolvers<LeaseOutcome>();
    const pending = { key, vmId, generation, wanted, settle: resolve, outcome: promise };
    this.#pending.set(key, pending);
    this.#queue.push(pending);
    this.#flushSoon();
    return promise;
  }

  /** What vmsand is to let through, from now on. One watches: who came last. */
  watch(signal: AbortSignal): AsyncIterable<Batch> {
    // Another vmsand, maybe, and another kernel's state than we remember.
    this.#held.clear();
    return this.#feed.watch(signal);
  }

  /** A batch is in force, but for the leases at these indexes. One that is unknown or too late is ignored. */
  acknowledge(id: bigint, refused: readonly number[]): void {
    const sent = this.#sent.get(id);
    if (sent === undefined) return;
    this.#sent.delete(id);
    clearTimeout(sent.timer);
    if (this.#gathering !== undefined && this.#sent.size < BUSY_BATCHES) this.#flush();
    for (const [index, pending] of sent.batch.entries()) {
      if (refused.includes(index)) {
        this.#settle(pending, { why: REFUSED });
        continue;
      }
      this.#remember(pending);
      this.#settle(pending, 'held');
    }
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      // While vmsand is at work leases gather: a batch of many costs it little more than one of one.
      if (this.#sent.size < BUSY_BATCHES) this.#flush();
      else this.#gathering = setTimeout(() => this.#flush(), GATHER_MS);
    });
  }

  #flush(): void {
    this.#flushing = false;
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
    while (this.#queue.length > 0 && this.#feed.isWatched) {
      this.#send(this.#queue.splice(0, MAX_BATCH));
    }
  }

  #send(batch: Pending[]): void {
    const id = ++this.#lastId;
    const timer = setTimeout(() => {
      this.#sent.delete(id);
      for (const pending of batch) this.#settle(pending, { why: LATE });
    }, this.#limits.ackMs);
    this.#sent.set(id, { batch, timer });
    const leases = batch.map(({ vmId, generation, wanted: { name, addresses, ttl } }) => ({
      vmId,
      generation,
      name,
      addresses: [...addresses],
      ttlSeconds: ttl,
    }));
    this.#feed.push({ id, leases });
  }

  /** Nobody watches any more: nothing that waits will come. */
  #end(): void {
    for (const { batch, timer } of this.#sent.values()) {
      clearTimeout(timer);
      for (const pending of batch) this.#settle(pending, { why: UNWATCHED });
    }
    this.#sent.clear();
    for (const pending of this.#queue.splice(0)) this.#settle(pending, { why: UNWATCHED });
  }

  #settle(pending: Pending, outcome: LeaseOutcome): void {
    const { key, vmId, settle } = pending;
    if (this.#pending.get(key) === pending) {
      this.#pending.delete(key);
      const left = (this.#counts.get(vmId) ?? 1) - 1;
      if (left === 0) this.#counts.delete(vmId);
      else this.#counts.set(vmId, left);
    }
    settle(outcome);
  }

  #remember({ vmId, generation, wanted: { name, addresses, ttl } }: Pending): void {
    const key = `${vmId} ${name}`;
    const since = this.#now();
    const until = since + Math.max(ttl, SHORTEST_SECONDS) * 1000;
    this.#held.delete(key);
    this.#held.set(key, { generation, addresses: new Set(addresses), since, until });
    for (const oldest of this.#held.keys()) {
      if (this.#held.size <= MAX_REMEMBERED) break;
      this.#held.delete(oldest);
    }
  }

  #isHeld({ vmId, generation }: Guest, { name, addresses, ttl }: Wanted): boolean {
    const held = this.#held.get(`${vmId} ${name}`);
    if (held?.generation !== generation) return false;
    const now = this.#now();
    // Without vmsand nothing drops a lease before its time.
    const isRecent = !this.#feed.isWatched || now - held.since < RECENT_MS;
    return (
      isRecent &&
      now + ttl * 1000 <= held.until &&
      addresses.every((address) => held.addresses.has(address))
    );
  }
}
