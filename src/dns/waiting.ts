export interface WaitingLimits {
  perGuest: number;
  total: number;
}

const LIMITS: WaitingLimits = { perGuest: 256, total: 4096 };
/** So many of each guest fit in even when others have taken all: nobody starves the rest. */
const RESERVED = 4;

/** Counts questions that wait for somebody's answer, of each guest and of all. */
export class Waiting {
  readonly #limits: WaitingLimits;
  readonly #counts = new Map<string, number>();
  #total = 0;

  constructor(limits: WaitingLimits = LIMITS) {
    this.#limits = limits;
  }

  /** Runs `work` in one of the guest's places; undefined, with nothing begun, when there is none. */
  async hold<T>(source: string, work: () => Promise<T>): Promise<{ result: T } | undefined> {
    const mine = this.of(source);
    const { perGuest, total } = this.#limits;
    const full = mine >= perGuest || (this.#total >= total && mine >= RESERVED);
    if (full) return undefined;
    this.#counts.set(source, mine + 1);
    this.#total++;
    try {
      return { result: await work() };
    } finally {
      this.#total--;
      const left = this.of(source) - 1;
      if (left === 0) this.#counts.delete(source);
      else this.#counts.set(source, left);
    }
  }

  of(source: string): number {
    return this.#counts.get(source) ?? 0;
  }

  get total(): number {
    return this.#total;
  }
}
