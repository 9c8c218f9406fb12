import { TRAFFIC_LIMITS, type Decided } from '../store/traffic.ts';

/** Decisions in memory, like ones as one; at most so many. */
export class DecidedSum {
  /** How many were not taken. */
  leftOut = 0;
  readonly #entries = new Map<string, Decided>();

  readonly #limit: number;

  constructor(entries: readonly Decided[] = [], limit: number = TRAFFIC_LIMITS.perVm) {
    this.#limit = limit;
    for (const each of entries) this.add(each);
  }

  get isEmpty(): boolean {
    return this.#entries.size === 0 && this.leftOut === 0;
  }

  add(decided: Decided): void {
    const { kind, what, verdict, rule, reason, address, port } = decided;
    const key = JSON.stringify([kind, what, verdict, rule, reason, address, port]);
    const before = this.#entries.get(key);
    if (before === undefined && this.#entries.size >= this.#limit) {
      this.leftOut += decided.count;
      return;
    }
    this.#entries.set(key, before === undefined ? { ...decided } : together(before, decided));
  }

  /** Newest last. */
  entries(): Decided[] {
    return [...this.#entries.values()].toSorted((a, b) => a.lastAtMs - b.lastAtMs);
  }
}

function together(a: Decided, b: Decided): Decided {
  return {
    ...a,
    firstAtMs: Math.min(a.firstAtMs, b.firstAtMs),
    lastAtMs: Math.max(a.lastAtMs, b.lastAtMs),
    count: a.count + b.count,
  };
}
