import { RCODE, TYPE, type Message, type Question } from './message.ts';
import { nameText, lowerName } from './name.ts';
import { encodeReply, readQuery, type Asked, type Reply, type Transport } from './query.ts';
import type { Exchange } from './exchange.ts';

/** A VM as the resolver knows it. Its source address is what it is known by. */
export interface Guest {
  readonly ip: string;
  readonly vmId: string;
  /** Its policy's name, for reasons. */
  readonly policy: string;
  /** Whether its policy lets names be resolved. */
  readonly resolves: boolean;
}

/** What a guest asks, as the one who decides sees it. */
export interface DecidedQuery {
  /** Lower case, no final dot, unusual bytes escaped (`nameText`). */
  name: string;
  type: number;
}

export type Verdict = { allow: true } | { allow: false; reason: string };

/** Whether this guest may ask this. Pure; asked again after every wait. */
export type Decide = (query: DecidedQuery, guest: Guest) => Verdict;

/** Tells the operator, at a bounded rate. */
export type Report = (event: string, details?: Record<string, unknown>) => void;

export interface ResolverOptions {
  /** The guest that `source` is as of now. */
  guestOf: (source: string) => Guest | undefined;
  decide: Decide;
  exchange: Exchange;
  report: Report;
  /** Questions that wait for an upstream, of one guest and of all. */
  limits?: { perGuest: number; total: number };
}

/**
 * What to send back for a message from `source`, or null for nothing. Never
 * rejects, whatever the bytes are.
 */
export type Resolve = (
  bytes: Buffer,
  source: string,
  transport: Transport,
) => Promise<Buffer | null>;

const LIMITS = { perGuest: 256, total: 4096 };

/** INFO-CODEs of RFC 8914 section 4. */
const EXTENDED_ERROR = { OTHER: 0, PROHIBITED: 18, NO_REACHABLE_AUTHORITY: 22 } as const;

export function createResolver(options: ResolverOptions): Resolve {
  const { guestOf, decide, exchange, report, limits = LIMITS } = options;
  const waiting = new Map<string, number>();
  let total = 0;

  async function answer(bytes: Buffer, source: string): Promise<[Asked, Reply] | null> {
    const guest = guestOf(source);
    if (guest === undefined) return null;
    const reading = readQuery(bytes);
    if (reading === null) return null;
    const { asked } = reading;
    if (reading.kind === 'wrong') return [asked, { rcode: reading.rcode }];
    const { question } = reading;
    const query = { name: nameText(lowerName(question.name)), type: question.type };

    const verdict = decide(query, guest);
    if (!verdict.allow) return [asked, refusal(verdict.reason)];
    // Guests have no IPv6: no data, at once, so that nothing waits for it.
    if (question.type === TYPE.AAAA) return [asked, { rcode: RCODE.NOERROR }];

    const mine = waiting.get(source) ?? 0;
    if (mine >= limits.perGuest || total >= limits.total) {
      report('too many DNS queries are waiting', { vm: guest.vmId, ofThisVm: mine, ofAll: total });
      return [asked, failure(EXTENDED_ERROR.OTHER, 'vmsan: too many queries are waiting')];
    }
    waiting.set(source, mine + 1);
    total++;
    const result = await exchange(question).finally(() => {
      total--;
      const left = (waiting.get(source) ?? 1) - 1;
      if (left === 0) waiting.delete(source);
      else waiting.set(source, left);
    });

    // The policy may have changed meanwhile, and the address may be another VM's.
    const now = guestOf(source);
    if (now?.vmId !== guest.vmId) return null;
    const again = decide(query, now);
    if (!again.allow) return [asked, refusal(again.reason)];
    if (result.kind === 'answer') return [asked, forwarded(question, result.message)];
    report('no upstream resolver answered', {
      vm: guest.vmId,
      query,
      tries: result.tries.slice(0, 4),
    });
    const why = 'vmsan: no resolver of the host gave an answer';
    return [asked, failure(EXTENDED_ERROR.NO_REACHABLE_AUTHORITY, why)];
  }

  return async (bytes, source, transport) => {
    try {
      const reply = await answer(bytes, source);
      return reply && encodeReply(reply[0], reply[1], transport);
    } catch (error) {
      report('a DNS query could not be handled', { source, error: String(error).slice(0, 500) });
      return null;
    }
  };
}

function refusal(reason: string): Reply {
  return {
    rcode: RCODE.REFUSED,
    extendedError: { code: EXTENDED_ERROR.PROHIBITED, text: reason },
  };
}

function failure(code: number, text: string): Reply {
  return { rcode: RCODE.SERVFAIL, extendedError: { code, text } };
}

/**
 * What of an upstream's answer a guest gets: the records that answer, no IPv6
 * addresses; for "no such name" and "no data" the SOA that says for how long
 * (RFC 2308). Name servers and additional records serve no stub resolver.
 */
function forwarded(question: Question, { rcode, answers, authorities }: Message): Reply {
  const isData = (type: number) => type !== TYPE.AAAA;
  const kept = answers.filter((r) => r.class === question.class && isData(r.type));
  const negative = rcode === RCODE.NXDOMAIN || !kept.some((r) => r.type === question.type);
  const soa = authorities.filter((r) => r.class === question.class && r.type === TYPE.SOA);
  return { rcode, answers: kept, authorities: negative ? soa : [] };
}
