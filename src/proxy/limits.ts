/** Bounds of what guests can make the gate hold. Counts are of connections, times in milliseconds. */
export interface ProxyLimits {
  /** Of one VM. */
  perGuest: number;
  /** Of one VM to one address: what it can take of the ports that all VMs share. */
  perDestination: number;
  /** Of all VMs, both servers together. */
  total: number;
  /** From the first byte of a hello or head, or from accept, to its end. */
  headMs: number;
  /** For one address to answer a connect. */
  connectMs: number;
  /** For a server to answer a ClientHello, and the client a HelloRetryRequest. */
  handshakeMs: number;
  /** Between two requests. */
  keepAliveMs: number;
  /** Without a byte from the side that still speaks, when the other has ended. */
  halfClosedMs: number;
  /** Without a byte either way. */
  idleMs: number;
  /** For a guest to read why it was refused. */
  lingerMs: number;
}

export const LIMITS: ProxyLimits = {
  perGuest: 512,
  perDestination: 256,
  total: 4096,
  headMs: 15_000,
  connectMs: 5_000,
  handshakeMs: 30_000,
  keepAliveMs: 300_000,
  halfClosedMs: 300_000,
  idleMs: 3_600_000,
  lingerMs: 2_000,
};

/** Counts what is held, by key. A count that reaches 0 is forgotten. */
export class Slots {
  readonly #counts = new Map<string, number>();
  #total = 0;

  /** @returns how to give it back (more than once does nothing), or null when the limit is reached */
  take(key: string, limit: number, total = Infinity): (() => void) | null {
    const count = this.#counts.get(key) ?? 0;
    if (count >= limit || this.#total >= total) return null;
    this.#counts.set(key, count + 1);
    this.#total++;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#total--;
      const left = (this.#counts.get(key) ?? 1) - 1;
      if (left === 0) this.#counts.delete(key);
      else this.#counts.set(key, left);
    };
  }

  /** How many are taken, of all keys. */
  get total(): number {
    return this.#total;
  }
}

/** Shared by the two servers of a gate. */
export class ProxySlots {
  readonly guests = new Slots();
  readonly destinations = new Slots();
}
