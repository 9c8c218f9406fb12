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
  readonly #limits: LeaseLimits;

  constructor(holdings: Iterable<Holding> = [], limits = LEASE_LIMITS) {
    this.#limits = limits;
    for (const holding of holdings) this.#holdings.set(keyOf(holding), holding);
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
      this.#holdings.delete(key);
      this.#holdings.set(key, holding);
      return holding;
    });
    const ofName = this.all().filter((each) => each.name === name);
    const evicted = [...ofName.slice(0, Math.max(0, ofName.length - this.#limits.addressesOfName))];
    for (const holding of evicted) this.#holdings.delete(keyOf(holding));
    for (const holding of this.all().slice(0, -this.#limits.addresses)) {
      this.#holdings.delete(keyOf(holding));
      evicted.push(holding);
    }
    return { taken, evicted };
  }

  /** Takes out what `goes` says. @returns that */
  remove(goes: (holding: Holding) => boolean): Holding[] {
    const gone = this.all().filter(goes);
    for (const holding of gone) this.#holdings.delete(keyOf(holding));
    return gone;
  }

  /** The one asked for the longest ago first. */
  all(): Holding[] {
    return [...this.#holdings.values()];
  }

  /** The names that hold an address. */
  ofAddress(address: string): Holding[] {
    return this.all().filter((holding) => holding.address === address);
  }
}

function keyOf({ name, address }: Pick<Holding, 'name' | 'address'>): string {
  return `${name} ${address}`;
}
