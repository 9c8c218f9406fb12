/** Bytes of the buffers that upstreams are read into: small until a read fills it. */
const SMALL = 16 << 10;
const LARGE = 64 << 10;
/** Buffers kept for reuse, of each size. */
const KEPT = 64;

const free: Record<number, Buffer[]> = { [SMALL]: [], [LARGE]: [] };

/** The buffer of one socket, from a pool. */
export class ReadBuffer {
  #buffer = taken(SMALL);

  /** Where the next read goes. */
  get current(): Buffer {
    return this.#buffer;
  }

  /** To be told of each read once its bytes have been dealt with: a full one asks for more room. */
  wasFilledTo(bytes: number): void {
    if (bytes < this.#buffer.length || bytes >= LARGE) return;
    // The old one is not given back: a write of its bytes may be under way.
    this.#buffer = taken(LARGE);
  }

  /** When neither a read nor a write of it is under way any more. */
  release(): void {
    const list = free[this.#buffer.length];
    if (list !== undefined && list.length < KEPT) list.push(this.#buffer);
    this.#buffer = NONE;
  }
}

const NONE = Buffer.alloc(0);

function taken(bytes: number): Buffer {
  return free[bytes]?.pop() ?? Buffer.allocUnsafeSlow(bytes);
}
