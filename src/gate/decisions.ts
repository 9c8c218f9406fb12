import type { MessageInitShape } from '@bufbuild/protobuf';
import type { DecisionBatchSchema } from '../gen/vmsan/v1/gate_pb.js';
import type { Outcome } from '../dns/resolver.ts';
import { TYPE, typeText } from '../dns/message.ts';
import { Feed } from './feed.ts';

export type DecisionBatch = MessageInitShape<typeof DecisionBatchSchema>;

/** What was decided of something that a guest asked for. Its texts are the guest's: not safe to print. */
export interface Decided {
  kind: 'dns' | 'tls' | 'http';
  what: string;
  verdict: 'allow' | 'deny';
  rule: string;
  reason: string;
  address?: string;
  port?: number;
}

export function decidedOf({ query, verdict, rule, reason }: Outcome): Decided {
  const type = query.type === TYPE.A ? '' : ` ${typeText(query.type)}`;
  return {
    kind: 'dns',
    what: `${query.name}${type}`,
    verdict,
    rule,
    reason: reason.replace(OURS, ''),
  };
}

/** What tells a guest whose refusal it is. */
const OURS = /^vmsan: /;

/** Decisions of one VM a second; ten times as many at a stretch. */
const PER_SECOND = 50;
const BURST = 500;
/** Of all VMs, until the watcher takes them. */
const MAX_KEPT = 4096;
const MAX_TEXT = 300;
const FLUSH_MS = 100;

/**
 * What the resolver and the proxy decided, for whoever watches. Bounded per VM
 * and second and in all: what a guest causes beyond that is counted only.
 */
export class Decisions {
  readonly #feed = new Feed<DecisionBatch>();
  readonly #budgets = new Map<string, { left: number; at: number }>();
  readonly #now: () => number;
  #kept: (Decided & { atMs: bigint; vmId: string })[] = [];
  /** By VM. */
  #leftOut: Record<string, bigint> = {};
  #flushing = false;

  /** @param now milliseconds, monotonic */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  record(vmId: string, decided: Decided): void {
    if (!this.#spend(vmId) || this.#kept.length >= MAX_KEPT) {
      this.#leftOut[vmId] = (this.#leftOut[vmId] ?? 0n) + 1n;
      this.#flushSoon();
      return;
    }
    const [what, rule, reason] = [decided.what, decided.rule, decided.reason].map((text) =>
      text.slice(0, MAX_TEXT),
    );
    this.#kept.push({
      ...decided,
      what: what!,
      rule: rule!,
      reason: reason!,
      atMs: BigInt(Date.now()),
      vmId,
    });
    this.#flushSoon();
  }

  /** Decisions from now on, with the last of those that nobody has watched. */
  watch(signal: AbortSignal): AsyncIterable<DecisionBatch> {
    this.#flushSoon();
    return this.#feed.watch(signal);
  }

  /** Forgets the budgets of VMs that are no more. */
  keepOnly(vmIds: ReadonlySet<string>): void {
    for (const vmId of this.#budgets.keys()) {
      if (!vmIds.has(vmId)) this.#budgets.delete(vmId);
    }
    for (const vmId of Object.keys(this.#leftOut)) {
      if (!vmIds.has(vmId)) delete this.#leftOut[vmId];
    }
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setTimeout(() => this.#flush(), FLUSH_MS).unref();
  }

  #flush(): void {
    this.#flushing = false;
    const nothing = this.#kept.length === 0 && Object.keys(this.#leftOut).length === 0;
    if (!this.#feed.isWatched || nothing) return;
    // A watcher that does not read: what it gets is bounded too.
    if (this.#feed.unread > 0) {
      this.#flushSoon();
      return;
    }
    this.#feed.push({ decisions: this.#kept, leftOut: this.#leftOut });
    this.#kept = [];
    this.#leftOut = {};
  }

  #spend(vmId: string): boolean {
    const now = this.#now();
    const budget = this.#budgets.get(vmId) ?? { left: BURST, at: now };
    const left = Math.min(BURST, budget.left + ((now - budget.at) * PER_SECOND) / 1000);
    this.#budgets.set(vmId, { left: Math.max(0, left - 1), at: now });
    return left >= 1;
  }
}
