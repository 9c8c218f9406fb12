import { FLAG, HEADER_BYTES, TYPE } from './message.ts';
import { readName } from './name.ts';

/** An answer as it was sent, to be sent again for the same bytes of a query. */
interface Ready {
  bytes: Buffer;
  /** Where in it the times of its records stand. */
  ttlOffsets: readonly number[];
  /** Milliseconds, monotonic: when its records end, and when it has to be made anew. */
  expires: number;
  until: number;
  /** Told whenever it is sent again. */
  used: () => void;
}

/** Of one guest. */
const MAX_READY = 256;
/** Longer queries and answers are rare. */
const MAX_BYTES = 512;

/**
 * The last answers of each guest over UDP, by the bytes that it sent without
 * the id: the short way for what was asked, judged and let through a moment
 * ago. A guest's are gone with the guest as it was: with the object.
 */
export class ReadyAnswers<G extends object> {
  #guests = new WeakMap<G, Map<string, Ready>>();
  readonly #now: () => number;

  /** @param now milliseconds, monotonic */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** The answer to send, undefined when it has to be made. */
  get(guest: G, query: Buffer): Buffer | undefined {
    if (query.length > MAX_BYTES || query.length < HEADER_BYTES) return undefined;
    const answers = this.#guests.get(guest);
    const key = query.toString('latin1', 2);
    const ready = answers?.get(key);
    if (ready === undefined) return undefined;
    const now = this.#now();
    if (now >= ready.until) {
      answers?.delete(key);
      return undefined;
    }
    const bytes = Buffer.allocUnsafe(ready.bytes.length);
    ready.bytes.copy(bytes);
    bytes[0] = query[0]!;
    bytes[1] = query[1]!;
    const ttl = Math.floor((ready.expires - now) / 1000);
    for (const at of ready.ttlOffsets) bytes.writeUInt32BE(ttl, at);
    ready.used();
    return bytes;
  }

  /** Keeps an answer that may be given again for `keepMs`, and whose records all have `ttl` seconds. */
  add(
    guest: G,
    query: Buffer,
    answer: Buffer,
    terms: { ttl: number; keepMs: number; used: () => void },
  ): void {
    const { ttl, keepMs, used } = terms;
    if (query.length > MAX_BYTES || answer.length > MAX_BYTES) return;
    const ttlOffsets = ttlOffsetsOf(answer);
    if (ttlOffsets === null) return;
    const now = this.#now();
    const expires = now + ttl * 1000;
    // With less than a second left it is over.
    const until = Math.min(expires - 1000, now + keepMs);
    let answers = this.#guests.get(guest);
    if (answers === undefined || answers.size >= MAX_READY) {
      answers = new Map();
      this.#guests.set(guest, answers);
    }
    // A copy that keeps nothing else: see the cache's `inOnePiece`.
    const bytes = Buffer.allocUnsafeSlow(answer.length);
    answer.copy(bytes);
    answers.set(query.toString('latin1', 2), { bytes, ttlOffsets, expires, until, used });
  }

  clear(): void {
    this.#guests = new WeakMap();
  }
}

/** Where the times of a message's records stand, OPT left out; null when it is cut or malformed. */
function ttlOffsetsOf(answer: Buffer): number[] | null {
  if ((answer.readUInt16BE(2) & FLAG.TC) !== 0) return null;
  const [questions = 0, ...records] = [4, 6, 8, 10].map((at) => answer.readUInt16BE(at));
  let at = HEADER_BYTES;
  for (let i = 0; i < questions; i++) {
    const name = readName(answer, at);
    if (name === null) return null;
    at = name.next + 4;
  }
  const offsets: number[] = [];
  for (let i = records.reduce((sum, count) => sum + count, 0); i > 0; i--) {
    const name = readName(answer, at);
    if (name === null || name.next + 10 > answer.length) return null;
    if (answer.readUInt16BE(name.next) !== TYPE.OPT) offsets.push(name.next + 4);
    at = name.next + 10 + answer.readUInt16BE(name.next + 8);
  }
  return offsets;
}
