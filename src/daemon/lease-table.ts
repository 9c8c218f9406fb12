/** An address that a name was resolved to for a VM. */
export interface Holding {
  readonly name: string;
  readonly address: string;
  /** Milliseconds since 1970. */
  readonly expiresAtMs: number;
}

/** How much a VM's names may hold: above it, what has not been asked for the longest goes. */
export interface LeaseLimits {
  addressesOfName: number;
  addresses: number;
}

export const LEASE_LIMITS: LeaseLimits = { addressesOfName: 64, addresses: 512 };

/** A shorter TTL is no reason to cut off whoever connects a moment after asking. */
const SHORTEST_MS = 30_000;
const LONGEST_MS = 3_600_000;

/** Which names hold which addresses for one VM. Bounded, whatever names its guest asks for. */
export class LeaseTable {
  /** By name and address; who was asked for last stands last. */
  readonly #holdings = new Map<string, Holding>();
  /** The same, each in the same order: a VM's names may all hold one address. */
  readonly #byName = new Map<string, Map<string, Holding>>();
  readonly #byAddress = new Map<string, Map<string, Holding>>();
  readonly #limits: LeaseLimits;

  constructor(holdings: Iterable<Holding> = [], limits = LEASE_LIMITS) {
    this.#limits = limits;
    for (const holding of holdings) this.#put(holding);
  }

  /**
   * Lets a name hold addresses for the answer's TTL, bounded.
   * @param now milliseconds since 1970
   * @returns what it holds now of them, and what had to go for it
   */
  take(
    name: string,
    addresses: readonly string[],
    ttlSeconds: number,
    now: number,
  ): { taken: Holding[]; evicted: Holding[] } {
    const expiresAtMs = now + Math.min(Math.max(ttlSeconds * 1000, SHORTEST_MS), LONGEST_MS);
    const taken = addresses.map((address): Holding => {
      const key = keyOf({ name, address });
      const before = this.#holdings.get(key)?.expiresAtMs ?? 0;
      const holding = { name, address, expiresAtMs: Math.max(before, expiresAtMs) };
      this.#drop(holding);
      this.#put(holding);
      return holding;
    });
    const evicted: Holding[] = [];
    const evictFrom = (holdings: Map<string, Holding>, most: number) => {
      for (const holding of holdings.values()) {
        if (holdings.size <= most) break;
        this.#drop(holding);
        evicted.push(holding);
      }
    };
    evictFrom(this.#byName.get(name) ?? new Map(), this.#limits.addressesOfName);
    evictFrom(this.#holdings, this.#limits.addresses);
    return { taken, evicted };
  }

  /** Takes out what `goes` says. @returns that */
  remove(goes: (holding: Holding) => boolean): Holding[] {
    const gone = this.all().filter(goes);
    for (const holding of gone) this.#drop(holding);
    return gone;
  }

  /** The one asked for the longest ago first. */
  all(): Holding[] {
    return [...this.#holdings.values()];
  }

  /** Whether it is held as it was taken: neither evicted nor taken anew since. */
  has(holding: Holding): boolean {
    return this.#holdings.get(keyOf(holding)) === holding;
  }

  /** The names that hold an address. */
  ofAddress(address: string): Holding[] {
    return [...(this.#byAddress.get(address)?.values() ?? [])];
  }

  #put(holding: Holding): void {
    const { name, address } = holding;
    const key = keyOf(holding);
    this.#holdings.set(key, holding);
    for (const [index, of] of this.#indexes({ name, address })) {
      const beside = index.get(of);
      if (beside === undefined) index.set(of, new Map([[key, holding]]));
      else beside.set(key, holding);
    }
  }

  #drop({ name, address }: Holding): void {
    const key = keyOf({ name, address });
    this.#holdings.delete(key);
    for (const [index, of] of this.#indexes({ name, address })) {
      const beside = index.get(of);
      beside?.delete(key);
      if (beside?.size === 0) index.delete(of);
    }
  }

  #indexes({ name, address }: Pick<Holding, 'name' | 'address'>) {
    return [
      [this.#byName, name],
      [this.#byAddress, address],
    ] as const;
  }
}

function keyOf({ name, address }: Pick<Holding, 'name' | 'address'>): string {
  return `${name} ${address}`;
}
