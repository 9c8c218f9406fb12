import type { Found } from './found.ts';
import { RCODE, type ResourceRecord } from './message.ts';
import { lowerName } from './name.ts';
import type { UpstreamQuestion } from './upstream.ts';

export interface CacheLimits {
  entries: number;
  bytes: number;
}

/** Some thousand guests' working set; a record is some hundred bytes. */
const LIMITS: CacheLimits = { entries: 20_000, bytes: 16 << 20 };
/** What an entry and a record weigh beside their bytes, about. */
const ENTRY_BYTES = 400;
const RECORD_BYTES = 150;

interface Entry {
  found: Found;
  /** Milliseconds, monotonic. */
  until: number;
  bytes: number;
}

/**
 * What upstreams have answered, for as long as they said it holds. All guests
 * share it: what one may know of it is judged anew for each answer. Bounded in
 * entries and bytes; what was not used for longest goes first.
 */
export class Cache {
  readonly #entries = new Map<string, Entry>();
  readonly #limits: CacheLimits;
  readonly #now: () => number;
  #bytes = 0;

  /** @param now milliseconds, monotonic */
  constructor(limits: CacheLimits = LIMITS, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  /** What is known, with `ttl` the whole seconds that are left of it. */
  get({ name, type }: UpstreamQuestion): Found | undefined {
    const text = lowerName(name).toString('latin1');
    return this.#take(keyOf(type, text)) ?? this.#take(keyOf(NO_SUCH_NAME, text));
  }

  /** Keeps an answer until its time is over; one that holds for this time only is not kept. */
  add({ name, type }: UpstreamQuestion, found: Found): void {
    if (found.ttl === 0) return;
    // "No such name" answers every type (RFC 2308 section 5), unless it speaks of an alias' target.
    const everyType = found.rcode === RCODE.NXDOMAIN && found.answers.length === 0;
    const key = keyOf(everyType ? NO_SUCH_NAME : type, lowerName(name).toString('latin1'));
    this.#remove(key);
    const bytes = weigh(key, found);
    if (bytes > this.#limits.bytes / 16) return;
    this.#entries.set(key, {
      found: inOnePiece(found),
      until: this.#now() + found.ttl * 1000,
      bytes,
    });
    this.#bytes += bytes;
    for (const oldest of this.#entries.keys()) {
      const { entries, bytes: most } = this.#limits;
      if (this.#entries.size <= entries && this.#bytes <= most) break;
      this.#remove(oldest);
    }
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }

  get size(): { entries: number; bytes: number } {
    return { entries: this.#entries.size, bytes: this.#bytes };
  }

  #take(key: string): Found | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    const ttl = Math.floor((entry.until - this.#now()) / 1000);
    if (ttl <= 0) {
      this.#remove(key);
      return undefined;
    }
    // A Map keeps the order in which keys were set: this one is now the youngest.
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return { ...entry.found, ttl };
  }

  #remove(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
  }
}

/** Type 0 is reserved (RFC 6895): no question has it. */
const NO_SUCH_NAME = 0;

function keyOf(type: number, name: string): string {
  return `${type} ${name}`;
}

/**
 * Its bytes in memory of their own. A small Buffer is a part of one of 64 KiB
 * that many share (`Buffer.poolSize`), and what is kept would keep it whole.
 */
function inOnePiece(found: Found): Found {
  const bytes = recordsOf(found).reduce(
    (sum, { name, data }) => sum + name.length + data.length,
    0,
  );
  const memory = Buffer.allocUnsafeSlow(bytes);
  let at = 0;
  const moved = (part: Buffer) => memory.subarray(at, (at += part.copy(memory, at)));
  const movedRecord = (record: ResourceRecord): ResourceRecord => ({
    ...record,
    name: moved(record.name),
    data: moved(record.data),
  });
  const { answers, authority } = found;
  return {
    ...found,
    answers: answers.map(movedRecord),
    authority: authority && movedRecord(authority),
  };
}

function recordsOf({ answers, authority }: Found): readonly ResourceRecord[] {
  return authority === undefined ? answers : [...answers, authority];
}

function weigh(key: string, found: Found): number {
  const ofRecords = recordsOf(found).reduce(
    (sum, { name, data }) => sum + RECORD_BYTES + name.length + data.length,
    0,
  );
  return ENTRY_BYTES + key.length + ofRecords;
}
